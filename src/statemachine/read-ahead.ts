import { successor, toMapKey } from '../base/bytes.js';
import { isAliveRecord } from './key-record.js';
import {
  fromKeyRecordKey,
  fromLeaseKeyKey,
  KEYS_TO,
  toKeyRecordKey,
  toLeaseKeyKey,
  toValueRecordKey,
  VALUES_TO,
} from './layout.js';
import type { EntryNeeds, KeyRange } from './needs.js';
import type { Position } from './position.js';
import type { ScanPage, StateStore } from './state-store.js';

/** Records taken from the store at once. */
const CHUNK_KEYS = 1000;
const CHUNK_BYTES = 1024 * 1024;
/** Bytes of records that one slice of a sweep looks at (one record may exceed it). */
const SWEEP_BYTES_MAX = 4 * 1024 * 1024;
/** What looking at a range costs beside its keys, in keys. */
export const RANGE_COST = 4;

/** Bounds that decide what is applied; see `LIMITS`. */
export interface ReadAheadBounds {
  readonly txnReadKeysMax: number;
  readonly leaseKeysMax: number;
  readonly entryReadKeysMax: number;
  readonly namespaceKeysFoundMax: number;
}

type Pair = readonly [key: Uint8Array, value: Uint8Array];

/** What the store had in a range before the entry. */
export type FoundKeys =
  | { readonly type: 'found'; readonly pairs: readonly Pair[] }
  /** There are more keys than one operation may look at. */
  | { readonly type: 'too-many' }
  /** The entry asks for more than is read for one entry. */
  | { readonly type: 'not-read' };

const NOT_READ: FoundKeys = { type: 'not-read' };

/**
 * What the ranges of one log entry find in the store. To apply an entry takes no time in which others
 * act, and the store gives ranges only to those who wait: so they are read before. Nothing is
 * applied in between, and what the entry itself has written is merged in when it is applied.
 */
export class ReadAhead {
  readonly #ranges = new Map<string, FoundKeys>();
  readonly #leases = new Map<number, FoundKeys>();
  readonly #prefixes = new Map<string, FoundKeys>();
  #sweep: ScanPage = { pairs: [], more: false };

  static async read(
    store: StateStore,
    needs: EntryNeeds,
    bounds: ReadAheadBounds & { readonly sweepFrom: Position },
  ): Promise<ReadAhead> {
    const ahead = new ReadAhead();
    await ahead.#read(store, needs, bounds);
    return ahead;
  }

  async #read(
    store: StateStore,
    needs: EntryNeeds,
    bounds: ReadAheadBounds & { readonly sweepFrom: Position },
  ): Promise<void> {
    let left = bounds.entryReadKeysMax;
    const read = async (range: KeyRange, keysMax: number, keep: Keep): Promise<FoundKeys> => {
      left -= RANGE_COST;
      if (left < 0) return NOT_READ;
      const found = await scanKeys(store, range, { keysMax, left }, keep);
      left -= found.type === 'found' ? found.pairs.length : Math.min(keysMax, left);
      return found;
    };
    if (needs.sweepRecords > 0) this.#sweep = await scanSweep(store, needs, bounds.sweepFrom);
    for (const lease of needs.leases) {
      const range = {
        from: toLeaseKeyKey(lease, new Uint8Array()),
        to: toLeaseKeyKey(lease + 1, new Uint8Array()),
      };
      this.#leases.set(lease, await read(range, bounds.leaseKeysMax, KEEP_ALL));
    }
    for (const { from, to } of needs.ranges) {
      const name = rangeName(from, to);
      if (this.#ranges.has(name)) continue;
      const range = {
        from: toKeyRecordKey(from),
        to: to === null ? KEYS_TO : toKeyRecordKey(to),
      };
      this.#ranges.set(name, await read(range, bounds.txnReadKeysMax, KEEP_LIVE));
    }
    for (const { from, to } of needs.prefixes) {
      const range = { from: toKeyRecordKey(from), to: to === null ? KEYS_TO : toKeyRecordKey(to) };
      this.#prefixes.set(
        toMapKey(from),
        await read(range, bounds.namespaceKeysFoundMax, KEEP_LIVE),
      );
    }
  }

  /** Live keys of a range, with their records. */
  range(from: Uint8Array, to: Uint8Array | null): FoundKeys {
    return this.#ranges.get(rangeName(from, to)) ?? NOT_READ;
  }

  keysOfLease(lease: number): FoundKeys {
    return this.#leases.get(lease) ?? NOT_READ;
  }

  prefix(prefix: Uint8Array): FoundKeys {
    return this.#prefixes.get(toMapKey(prefix)) ?? NOT_READ;
  }

  get sweep(): ScanPage {
    return this.#sweep;
  }
}

function rangeName(from: Uint8Array, to: Uint8Array | null): string {
  return `${from.byteLength} ${toMapKey(from)}${to === null ? '' : ` ${toMapKey(to)}`}`;
}

/** What is kept of a record; `null`: it does not count. */
type Keep = (pair: Pair) => Pair | null;

const KEEP_LIVE: Keep = ([storeKey, bytes]) =>
  isAliveRecord(bytes) ? [fromKeyRecordKey(storeKey), bytes] : null;

const KEEP_ALL: Keep = ([storeKey, bytes]) => [fromLeaseKeyKey(storeKey), bytes];

async function scanKeys(
  store: StateStore,
  range: { readonly from: Uint8Array; readonly to: Uint8Array },
  limit: { readonly keysMax: number; readonly left: number },
  keep: Keep,
): Promise<FoundKeys> {
  const pairs: Pair[] = [];
  let { from } = range;
  for (;;) {
    const keysMax = Math.min(CHUNK_KEYS, limit.keysMax + 1);
    const page = await store.scan({ from, to: range.to, keysMax, bytesMax: CHUNK_BYTES });
    for (const pair of page.pairs) {
      const kept = keep(pair);
      if (kept === null) continue;
      pairs.push(kept);
      if (pairs.length > limit.keysMax) return { type: 'too-many' };
      if (pairs.length > limit.left) return NOT_READ;
    }
    const last = page.pairs.at(-1)?.[0];
    if (!page.more || last === undefined) return { type: 'found', pairs };
    from = successor(last);
  }
}

function scanSweep(store: StateStore, needs: EntryNeeds, from: Position): Promise<ScanPage> {
  return store.scan({
    from: toValueRecordKey(from),
    to: VALUES_TO,
    keysMax: needs.sweepRecords,
    bytesMax: SWEEP_BYTES_MAX,
  });
}
