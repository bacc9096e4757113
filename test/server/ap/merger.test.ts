import { expect, test } from 'vitest';
import { packCall } from '../../../src/base/call-codec.js';
import { AP_PASTS, MERGED_KEYS_BY_KIND } from '../../../src/base/command-versions.js';
import type { Delta } from '../../../src/base/delta.js';
import { packDelta } from '../../../src/base/delta-codec.js';
import { LIMITS } from '../../../src/base/limits.js';
import { Merger, type MergerOptions } from '../../../src/server/ap/merger.js';
import type { StateMachineOptions } from '../../../src/statemachine/state-machine.js';
import type { MergeCommand, OriginReport } from '../../../src/statemachine/types.js';
import type { HeldDelta } from '../../../src/storage/delta-queue.js';
import { call, deploy, hashOf } from '../../statemachine/call-records.js';
import { bytes, Replica } from '../../statemachine/replica.js';

const ORIGIN = 'a'.repeat(16);
const MEMBERS = ['n1.1'];

const report = (timeMs: number, sequence = 1): OriginReport => {
  return { origin: ORIGIN, member: 'n1.1', sequence, timeMs };
};

const delta = (sequence: number, origin = ORIGIN): Delta => ({
  ...{ origin, sequence, timeMs: 49_000, count: 0, isNamed: false },
  ...{ key: bytes('k'), fingerprint: bytes('12345678'), procedure: 'p', hash: 'ab'.repeat(32) },
  ...{ writes: [{ key: 'n', change: { cell: 'counter', type: 'add', by: 1 } }], result: '1' },
});

/** The log has merged a call, and knows that its member has nothing older than 50,000. */
async function givenMerged(options: StateMachineOptions = {}): Promise<Replica> {
  const replica = await Replica.start(options);
  const reports = [report(50_000)];
  const merge = { members: MEMBERS, reports, deltas: [packDelta(delta(1))] };
  await replica.run({ merge }, MERGED_KEYS_BY_KIND);
  return replica;
}

/** Of a leader that may merge, and has nothing to. */
function mergerOf(
  { machine }: Replica,
  options: Pick<MergerOptions, 'propose'> & Partial<MergerOptions>,
): Merger {
  return new Merger({
    ...{ limits: LIMITS, machine: () => machine, monotonicMs: () => 0, members: () => MEMBERS },
    ...{ canMerge: () => true, canLower: () => true, reports: () => [], durable: () => [] },
    ...options,
  });
}

/** @returns what the leader has noted */
async function noted(
  said: OriginReport,
  canLower = true,
  options: StateMachineOptions = {},
  durable: readonly HeldDelta[] = [],
): Promise<readonly OriginReport[]> {
  const replica = await givenMerged(options);
  const proposed: OriginReport[] = [];
  const merger = mergerOf(replica, {
    ...{ canLower: () => canLower, reports: () => [said], durable: () => durable },
    propose: (one) => proposed.push(...one.reports),
  });
  merger.look();
  return proposed;
}

test.each([
  ['that it has copies of what is older', report(49_999)],
  ['that it has copies of what is older, and more of its own', report(49_999, 2)],
  ['that it has had nothing as old for a while', report(60_000)],
])('a leader has it noted when a member says %s', async (_, said) => {
  expect(await noted(said)).toEqual([said]);
});

test('a leader has it noted of a queue that is not merged, too, when there is no room for more', async () => {
  const said = report(60_000, 2);
  const more = { bytes: packDelta(delta(2)), delta: delta(2) };
  const full = { mergedKeysMax: 1 };
  expect(await noted(said, true, full, [more])).toEqual([said]);
  expect(await noted(said, true, {}, [more])).toEqual([]);
  // Else it would be noted again as soon as it is.
  expect(await noted(said, true, full)).toEqual([]);
});

/** A member says one thing, and another before what the first is about is merged. @returns what is noted once it is */
async function notedOf(before: OriginReport, after: OriginReport): Promise<unknown[]> {
  const replica = await givenMerged();
  let said = before;
  const told: (readonly OriginReport[])[] = [];
  const merger = mergerOf(replica, {
    reports: () => [said],
    propose: (one) => told.push(one.reports),
  });
  merger.look();
  said = after;
  merger.look();
  expect(told).toEqual([]);
  const merge = { members: MEMBERS, reports: [], deltas: [packDelta(delta(2))] };
  await replica.run({ merge }, MERGED_KEYS_BY_KIND);
  merger.look();
  return told;
}

test('what a member has said is noted once that is merged, though it has made more since', async () => {
  expect(await notedOf(report(60_000, 2), report(70_000, 3))).toEqual([[report(60_000, 2)]]);
});

test('and no more of it than it says since then: it may have got copies of what is older', async () => {
  expect(await notedOf(report(80_000, 2), report(61_000, 3))).toEqual([[report(61_000, 2)]]);
});

test('as long as there is something to forget a leader goes on with that', async () => {
  const replica = await givenMerged({ callKeptMs: 100, clockSkewMsMax: 100 });
  const hash = hashOf('bbbb');
  for (const one of [deploy(hashOf('aaaa'), ['p:ap']), deploy(hash, ['p'])]) {
    await replica.doIn(AP_PASTS, one);
  }
  for (let i = 0; i < 3; i += 1) {
    const bornIndex = replica.log.length;
    const keys = Array.from({ length: 3000 }, (_, n) => `${i}/${n}`);
    const calls = keys.map((key) => packCall(call(key, { hash, bornIndex })));
    await replica.run({ calls, wallMs: 49_000 }, AP_PASTS);
  }
  expect(replica.machine.merges.size).toBe(9001);
  const proposed: { readonly merge: MergeCommand; readonly done: (error: null) => void }[] = [];
  const merger = mergerOf(replica, {
    propose: (merge, done) => proposed.push({ merge, done }),
  });
  merger.look();
  for (const sizes of [3000, 0]) {
    const next = proposed.shift();
    if (next === undefined) throw new Error('there is a proposal');
    await replica.run({ merge: next.merge }, AP_PASTS);
    expect(replica.machine.merges.size).toBe(sizes);
    next.done(null);
  }
  expect(proposed).toEqual([]);
});

test.each([
  ['what the log knows', report(50_000)],
  ['hardly more than that', report(59_999)],
  ['so of a queue that is not merged', report(60_000, 2)],
])('and not when it says %s', async (_, said) => {
  expect(await noted(said)).toEqual([]);
});

test('nor that it has older ones as long as entries would not lower what it said: it would be said for ever', async () => {
  expect(await noted(report(49_999), false)).toEqual([]);
});

test('what lies behind a gap is not proposed again and again, and all else is merged', async () => {
  const replica = await givenMerged();
  const other = 'b'.repeat(16);
  const held = [delta(3), delta(4), delta(1, other), delta(2, other)].map((one) => {
    return { delta: one, bytes: packDelta(one) };
  });
  const proposed: Uint8Array[][] = [];
  let asked: (() => void) | null = null;
  const merger = new Merger({
    ...{ limits: LIMITS, machine: () => replica.machine, monotonicMs: () => 0 },
    ...{ canMerge: () => true, canLower: () => true, members: () => MEMBERS, reports: () => [] },
    durable: () =>
      held.filter((one) => one.delta.sequence > replica.machine.mergedThrough(one.delta.origin)),
    propose: ({ deltas }, done) => {
      proposed.push([...deltas]);
      asked = () => done(null);
    },
  });
  merger.look();
  const merge = { members: MEMBERS, reports: [], deltas: proposed[0] ?? [] };
  await replica.run({ merge }, MERGED_KEYS_BY_KIND);
  (asked as (() => void) | null)?.();
  expect(replica.machine.mergedThrough(other)).toBe(2);
  expect(proposed).toHaveLength(1);
});
