import { fromMapKey } from '../../src/base/bytes.js';
import { BalsaError } from '../../src/base/errors.js';
import type { StateMachine } from '../../src/statemachine/state-machine.js';
import type { RangeQuery, WriteEvent } from '../../src/statemachine/types.js';
import { decodeValueRecord } from '../../src/statemachine/value-record.js';
import type { LoggedEntry, ModelReplica } from './model-replica.js';
import { KEYS } from './model-steps.js';
import { matches } from './naive-filter.js';
import type { NaiveModel } from './naive-model.js';
import { type Item, type NaiveStore, sorted } from './naive-store.js';
import { inOrder, plainItem, same } from './plain.js';

/** What is looked at. */
export interface Checked {
  readonly model: NaiveModel;
  readonly log: readonly LoggedEntry[];
  readonly steady: ModelReplica;
  readonly replicas: readonly ModelReplica[];
}

/** What is cheap enough to look at behind every entry. */
export function checkFacts({ model, steady, replicas }: Checked): void {
  const { store } = model;
  for (const { machine } of replicas) {
    same(machine.appliedIndex, model.index);
    same(machine.sessionCount, model.sessions.length);
    same(machine.stateHash, steady.machine.stateHash);
    const { sweptRevision, ...info } = machine.info();
    same(sweptRevision, steady.machine.info().sweptRevision);
    inOrder([0, sweptRevision, store.compacted]);
    const namespaces = info.namespaces.map((one) => ({ ...one, prefix: textOf(one.prefix) }));
    same({ ...info, namespaces }, storeFacts(store));
    same(machine.leases(), leaseFacts(store));
    checkHousekeeping(machine, store);
  }
}

/** The leader is told to compact what the settings no longer want, and nothing else. */
function checkHousekeeping(machine: StateMachine, store: NaiveStore): void {
  const { historyMs, historyRevisions } = store.settings;
  const nowMs = store.timeMs + 7;
  const found = machine.revisionToKeep(nowMs);
  const byNumber = historyRevisions === 0 ? 0 : store.revision - historyRevisions;
  // What was the latest revision that long ago must stay.
  const agoMs = nowMs - historyMs;
  const byAge = historyMs === 0 ? 0 : store.times.findLastIndex((timeMs) => timeMs <= agoMs);
  const least = byNumber > store.compacted ? byNumber : 0;
  inOrder([least, found ?? 0, Math.max(byNumber, byAge)]);
  if (found !== null) inOrder([store.compacted + 1, found]);
}

function storeFacts(store: NaiveStore): unknown {
  const { spaceQuotaBytes } = store.settings;
  const names = [...store.namespaces].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    revision: store.revision,
    compactedRevision: store.compacted,
    settings: store.settings,
    spaceBytes: store.spaceBytes,
    spaceAlarm: spaceQuotaBytes > 0 && store.spaceBytes >= spaceQuotaBytes,
    leases: store.leases.size,
    logTimeMs: store.timeMs,
    namespaces: names.map(([name, { prefix, quotaBytes }]) => ({
      name,
      prefix,
      quotaBytes,
      ...store.usageOf(prefix),
    })),
  };
}

function leaseFacts(store: NaiveStore): unknown[] {
  const leases = [...store.leases].sort(([a], [b]) => a - b);
  return leases.map(([lease, facts]) => ({
    lease,
    ...facts,
    keyCount: store.keysOf(lease).length,
  }));
}

/** Every read at every revision that is kept, of every replica. */
export async function checkEverything(checked: Checked): Promise<void> {
  const { store } = checked.model;
  for (const replica of checked.replicas) {
    checkGets(replica.machine, store);
    await checkRefused(replica.machine, store);
    await checkRanges(replica.machine, store);
    await checkLeases(replica.machine, store);
    await checkHistory(replica, store);
  }
  checkRecords(checked);
}

function checkGets(machine: StateMachine, store: NaiveStore): void {
  for (let revision = store.compacted; revision <= store.revision; revision += 1) {
    for (const key of [...KEYS, 'once 3', 'nobody']) {
      const expected = store.snapshots[revision]?.get(key) ?? null;
      same(itemAt(machine, key, revision), expected, `${key} at ${revision}`);
    }
  }
  // Twice: what was read once is kept in memory.
  for (const key of [...KEYS, ...KEYS]) {
    same(itemAt(machine, key, null), store.latest.get(key) ?? null);
  }
}

function itemAt(machine: StateMachine, name: string, revision: number | null) {
  const key = fromMapKey(name);
  const found = machine.get(key, revision);
  return found === null ? null : plainItem({ key, ...found });
}

async function checkRefused(machine: StateMachine, store: NaiveStore): Promise<void> {
  const key = fromMapKey('a');
  for (const revision of [store.compacted - 1, 0]) {
    if (revision < 0 || revision >= store.compacted) continue;
    same(await codeOf(() => machine.get(key, revision)), 'COMPACTED');
  }
  same(await codeOf(() => machine.get(key, store.revision + 1)), 'FUTURE_REVISION');
}

/** Ranges of all sorts; which ones depends on the revision, so that all of them come up. */
async function checkRanges(machine: StateMachine, store: NaiveStore): Promise<void> {
  for (let revision = store.compacted; revision <= store.revision; revision += 1) {
    const query: RangeQuery = {
      from: fromMapKey(revision % 3 === 0 ? 'aa' : ''),
      to: revision % 5 === 0 ? fromMapKey('n/2') : null,
      reverse: revision % 2 === 0,
      keysMax: 1 + (revision % 4),
      revision,
      ...FILTERS[revision % FILTERS.length]?.(revision),
    };
    const { items, count } = await readPages(machine, query);
    const expected = expectedRange(store, query);
    same(count, expected.length, `range at ${revision}`);
    same(
      items,
      query.countOnly === true
        ? []
        : expected.map((item) => (query.keysOnly === true ? { ...item, value: '' } : item)),
      `range at ${revision}`,
    );
  }
  const whole = { from: fromMapKey(''), to: null, reverse: false, keysMax: 100, revision: null };
  const { items } = await readPages(machine, whole);
  same(items, sorted(store.latest.values()));
}

const MADE: readonly ((revision: number) => Partial<RangeQuery>)[] = [
  () => ({}),
  (revision) => ({ modRevisionMin: revision - 3 }),
  () => ({ keysOnly: true }),
  (revision) => ({ modRevisionMax: revision - 2 }),
  (revision) => ({ createRevisionMin: revision - 5, keysOnly: true }),
  () => ({ countOnly: true }),
  (revision) => ({ createRevisionMax: revision - 4, modRevisionMin: revision - 2 }),
  (revision) => ({ modRevisionMax: revision - 1, countOnly: true }),
];

const FILTERS = MADE.map((make) => (revision: number): Partial<RangeQuery> => {
  const filter = make(revision);
  // There are no negative revisions, and 0 means no bound.
  const isNegative = Object.values(filter).some((bound) => typeof bound === 'number' && bound < 0);
  return isNegative ? {} : filter;
});

function expectedRange(store: NaiveStore, query: RangeQuery): Item[] {
  const from = textOf(query.from);
  const to = query.to === null ? null : textOf(query.to);
  const found = sorted(store.snapshots[query.revision ?? 0]?.values() ?? []).filter(
    (item) => item.key >= from && (to === null || item.key < to) && matches(item, query),
  );
  return query.reverse ? found.reverse() : found;
}

async function readPages(machine: StateMachine, first: RangeQuery) {
  const items: Item[] = [];
  let count = 0;
  let query = first;
  for (let pages = 0; pages < 1000; pages += 1) {
    const page = await machine.range(query);
    items.push(...page.items.map(plainItem));
    count += page.count;
    inOrder([page.items.length, query.keysMax]);
    if (!page.more || page.continueFrom === null) return { items, count };
    const next = page.continueFrom;
    query = {
      ...query,
      revision: page.revision,
      ...(query.reverse ? { to: next } : { from: next }),
    };
  }
  throw new Error('the range does not end');
}

async function checkLeases(machine: StateMachine, store: NaiveStore): Promise<void> {
  for (const [lease, { deadlineMs }] of store.leases) {
    same((await machine.keysOfLease(lease)).map(textOf), store.keysOf(lease));
    same(machine.lease(lease)?.deadlineMs, deadlineMs);
  }
  same(machine.lease(77), null);
  for (const nowMs of [store.timeMs, store.timeMs + 500, store.timeMs + 1020]) {
    const due = [...store.leases].filter(([, { deadlineMs }]) => deadlineMs <= nowMs);
    const found = machine.dueLeases(nowMs, 100);
    same(
      found.toSorted((a, b) => a - b),
      due.map(([lease]) => lease).sort((a, b) => a - b),
    );
    const few = machine.dueLeases(nowMs, 1);
    same(few.length, Math.min(1, due.length));
  }
}

async function checkHistory(replica: ModelReplica, store: NaiveStore): Promise<void> {
  const { machine } = replica;
  for (const from of new Set([store.compacted, store.compacted + 1, store.revision - 2])) {
    if (from < store.compacted || from > store.revision) continue;
    const events: WriteEvent[] = [];
    let next = from;
    while (next <= store.revision) {
      const page = await machine.history({ fromRevision: next, eventsMax: 3, bytesMax: 30 });
      inOrder([next + 1, page.nextRevision]);
      for (const { revision } of page.events) {
        inOrder([next, revision, page.nextRevision - 1]);
      }
      events.push(...page.events);
      next = page.nextRevision;
    }
    replica.compareEvents(events, store, from);
  }
  if (store.compacted === 0) return;
  const tooOld = { fromRevision: store.compacted - 1, eventsMax: 3, bytesMax: 30 };
  same(await codeOf(() => machine.history(tooOld)), 'COMPACTED');
}

/** The bytes said to be kept are those that are, and no key is remembered of which nothing is left. */
function checkRecords({ steady, log, model }: Checked): void {
  let bytes = 0;
  const written = new Set<string>();
  const known = new Set<string>();
  for (const [storeKey, value] of steady.pairsAt(log.length)) {
    if (storeKey[0] === 'k'.charCodeAt(0)) known.add(textOf(storeKey.subarray(1)));
    if (storeKey[0] !== 'r'.charCodeAt(0)) continue;
    const record = decodeValueRecord(value);
    bytes += record.key.byteLength + record.value.byteLength;
    written.add(textOf(record.key));
  }
  same(steady.machine.info().spaceBytes, bytes);
  same(model.store.spaceBytes, bytes);
  same(known, written);
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    if (error instanceof BalsaError) return error.code;
    throw error;
  }
  return 'no error';
}
