import { assert } from '../base/assert.js';
import { successor } from '../base/bytes.js';
import type { KeyChains } from './key-chain.js';
import { fromValueRecordKey, toValueRecordKey } from './layout.js';
import { comparePositions, type Position } from './position.js';
import type { StateStore } from './state-store.js';
import { valueIn } from './value-record.js';

/** An item that lacks its value, which lies at `position`. */
export interface WantedValue {
  readonly position: Position;
  readonly item: { value: Uint8Array };
}

/** One scan is cheaper than single reads when it passes at most so many records for each one wanted. */
const PASSED_PER_WANTED_MAX = 2;
const SCAN_KEYS = 1000;
const SCAN_BYTES = 1024 * 1024;

/**
 * Gives the items their values. Keys that were written one after the other have their values side by
 * side in the history, where one scan takes them all; others are read one by one.
 * @param checkKept throws when they may have been removed meanwhile
 */
export async function loadValues(
  store: StateStore,
  chains: KeyChains,
  checkKept: () => void,
  wanted: readonly WantedValue[],
): Promise<void> {
  const sorted = wanted.toSorted((a, b) => comparePositions(a.position, b.position));
  const first = sorted[0]?.position;
  const last = sorted.at(-1)?.position;
  if (first === undefined || last === undefined) return;
  const span = last.revision - first.revision;
  if (wanted.length > 1 && span < wanted.length * PASSED_PER_WANTED_MAX) {
    await scanValues(store, checkKept, { sorted, first, last });
    return;
  }
  for (const { position, item } of wanted) item.value = chains.valueAt(position);
}

async function scanValues(
  store: StateStore,
  checkKept: () => void,
  wanted: {
    /** By position. */
    readonly sorted: readonly WantedValue[];
    readonly first: Position;
    readonly last: Position;
  },
): Promise<void> {
  const { sorted, first, last } = wanted;
  const to = successor(toValueRecordKey(last));
  let from: Uint8Array = toValueRecordKey(first);
  let next = 0;
  for (;;) {
    const page = await store.scan({ from, to, keysMax: SCAN_KEYS, bytesMax: SCAN_BYTES });
    checkKept();
    for (const [storeKey, bytes] of page.pairs) {
      const one = sorted[next];
      if (one === undefined) return;
      if (comparePositions(fromValueRecordKey(storeKey), one.position) !== 0) continue;
      one.item.value = valueIn(bytes);
      next += 1;
    }
    const end = page.pairs.at(-1)?.[0];
    if (!page.more || end === undefined) break;
    from = successor(end);
  }
  assert(next === sorted.length, 'the value of a key that is there is there');
}
