import { BalsaError } from '../../src/base/errors.js';
import type { StateMachine } from '../../src/statemachine/state-machine.js';
import type { HistoryPage, RangePage } from '../../src/statemachine/types.js';
import { type NaiveStore, sorted } from './naive-store.js';
import { inOrder, plainEvent, plainItem, same } from './plain.js';

const OLD = 4;
/** Small enough that a page now and then ends before all was told. */
const PAGE = { eventsMax: 100, bytesMax: 1000 };

/**
 * Begins reads that go on while the next entry is applied: of the latest state, of an older one, of the
 * history. What that entry writes, compacts and sweeps must not show, unless they say so.
 * @returns to be called when the entry is applied: waits for them and compares
 */
export function beginReads(
  machine: StateMachine,
  index: number,
): (store: NaiveStore) => Promise<void> {
  // Nearly as good as with every entry, and cheaper.
  if (index % 3 !== 0) return async () => {};
  const { revision: before, compactedRevision } = machine;
  const old = Math.max(compactedRevision, before - OLD);
  const keysMax = 1 + (index % 5);
  const range = (revision: number | null) =>
    machine.range({ from: new Uint8Array(), to: null, reverse: false, keysMax, revision });
  const reads = {
    latest: range(null),
    old: orCompacted(range(old)),
    history: orCompacted(machine.history({ fromRevision: old, ...PAGE })),
  };
  return async (store) => {
    const latest = await reads.latest;
    inOrder([before, latest.revision, store.revision]);
    comparePage(latest, store, keysMax);
    const page = await reads.old;
    if (page !== null) comparePage(page, store, keysMax);
    const found = await reads.history;
    if (found !== null) compareHistory(found, store, { from: old, through: before });
    // Only what was compacted meanwhile is refused.
    if (page === null || found === null) inOrder([old + 1, store.compacted]);
  };
}

function comparePage(page: RangePage, store: NaiveStore, keysMax: number): void {
  const all = sorted(store.snapshots[page.revision]?.values() ?? []);
  same(page.items.map(plainItem), all.slice(0, keysMax));
}

function compareHistory(
  page: HistoryPage,
  store: NaiveStore,
  range: { readonly from: number; readonly through: number },
): void {
  const all = store.events.slice(range.from, range.through + 1).flat();
  const bytes = all.reduce((sum, { item }) => sum + item.key.length + item.value.length, 0);
  if (bytes <= PAGE.bytesMax && all.length <= PAGE.eventsMax) {
    same(page.nextRevision, range.through + 1);
  }
  inOrder([range.from + 1, page.nextRevision, range.through + 1]);
  const expected = store.events.slice(range.from, page.nextRevision).flat();
  same(
    page.events.map(plainEvent),
    expected.map(({ previous: _, ...event }) => event),
  );
}

/** `null`: what it reads is no longer kept. */
async function orCompacted<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof BalsaError && error.code === 'COMPACTED') return null;
    throw error;
  }
}
