import { successor } from '../base/bytes.js';
import type { StateStore } from './state-store.js';

const LOAD_KEYS = 10_000;
const LOAD_BYTES = 4 * 1024 * 1024;

/** All records in `[from, to)`, made something of one by one: for what is kept in memory. */
export async function loadRecords<T>(
  store: StateStore,
  range: { readonly from: Uint8Array; readonly to: Uint8Array },
  read: (storeKey: Uint8Array, bytes: Uint8Array) => T,
): Promise<T[]> {
  const found: T[] = [];
  let { from } = range;
  for (;;) {
    const page = await store.scan({
      from,
      to: range.to,
      keysMax: LOAD_KEYS,
      bytesMax: LOAD_BYTES,
    });
    for (const [storeKey, bytes] of page.pairs) found.push(read(storeKey, bytes));
    const last = page.pairs.at(-1)?.[0];
    if (!page.more || last === undefined) return found;
    from = successor(last);
  }
}
