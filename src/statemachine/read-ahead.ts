import { successor, toMapKey } from '../base/bytes.js';
import { RANGE_COST } from '../base/call.js';
import type { DeadRuns } from './dead-runs.js';
import { isAliveRecord, readKeyHead } from './key-record.js';
import {
  fromKeyRecordKey,
  fromLeaseKeyKey,
  KEYS_TO,
  toKeyRecordKey,
  toLeaseKeyKey,
  toValueRecordKey,
  VALUES_TO,
} from './layout.js';
import type { EntryNeeds, OpenRange } from './needs.js';
import type { Position } from './position.js';
import type { ScanPage, StateStore } from './state-store.js';

/** Records taken from the store at once. */
const CHUNK_KEYS = 1000;
const CHUNK_BYTES = 1024 * 1024;
/** Bytes of records that one slice of a sweep looks at (one record may exceed it). */
const SWEEP_BYTES_MAX = 4 * 1024 * 1024;

/** Where the keys are, and where it is known that there are none. */
export interface KeyStore {
  readonly store: StateStore;
  readonly dead: DeadRuns;
}

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
    store: KeyStore,
    needs: EntryNeeds,
    bounds: ReadAheadBounds & { readonly sweepFrom: Position },
  ): Promise<ReadAhead> {
    const ahead = new ReadAhead();
    await ahead.#read(store, needs, bounds);
    return ahead;
  }

  async #read(
    source: KeyStore,
    needs: EntryNeeds,
    bounds: ReadAheadBounds & { readonly sweepFrom: Position },
  ): Promise<void> {
    let left = bounds.entryReadKeysMax;
    const { store } = source;
    const read = async (
      keysMax: number,
      scan: (bounds: ScanBounds) => Promise<FoundKeys>,
    ): Promise<FoundKeys> => {
      left -= RANGE_COST;
      if (left < 0) return NOT_READ;
      const found = await scan({ keysMax, left });
      left -= found.type === 'found' ? found.pairs.length : Math.min(keysMax, left);
      return found;
    };
    if (needs.sweepRecords > 0) this.#sweep = await scanSweep(store, needs, bounds.sweepFrom);
    for (const lease of needs.leases) {
      const keys = await read(bounds.leaseKeysMax, (max) => scanLease(store, lease, max));
      this.#leases.set(lease, keys);
    }
    for (const { from, to } of needs.ranges) {
      const name = rangeName(from, to);
      if (this.#ranges.has(name)) continue;
      const keys = await read(bounds.txnReadKeysMax, (max) => scanLive(source, { from, to }, max));
      this.#ranges.set(name, keys);
    }
    for (const { from, to } of needs.prefixes) {
      const keysMax = bounds.namespaceKeysFoundMax;
      const keys = await read(keysMax, (max) => scanLive(source, { from, to }, max));
      this.#prefixes.set(toMapKey(from), keys);
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

/** How many keys may be found: of one operation, and of what is left of the entry. */
interface ScanBounds {
  readonly keysMax: number;
  readonly left: number;
}

async function scanLease(store: StateStore, lease: number, bounds: ScanBounds): Promise<FoundKeys> {
  const found = new Collected(bounds);
  const to = toLeaseKeyKey(lease + 1, new Uint8Array());
  let from: Uint8Array = toLeaseKeyKey(lease, new Uint8Array());
  for (;;) {
    const page = await store.scan({ from, to, ...found.chunk() });
    for (const [storeKey, bytes] of page.pairs) {
      if (!found.add([fromLeaseKeyKey(storeKey), bytes])) return found.refusal;
    }
    const last = page.pairs.at(-1)?.[0];
    if (!page.more || last === undefined) return found.all;
    from = successor(last);
  }
}

/** The keys that are there, as the last entry has left them. */
async function scanLive(
  { store, dead }: KeyStore,
  range: OpenRange,
  bounds: ScanBounds,
): Promise<FoundKeys> {
  const found = new Collected(bounds);
  const walk = dead.walk(range, false);
  try {
    let rest: OpenRange = range;
    for (;;) {
      const piece = dead.piece(rest, false, Number.POSITIVE_INFINITY);
      if (piece === null) return found.all;
      if (piece.passed !== null) walk.passed(piece.passed);
      const from = toKeyRecordKey(piece.from);
      const to = piece.to === null ? KEYS_TO : toKeyRecordKey(piece.to);
      const page = await store.scan({ from, to, ...found.chunk() });
      for (const [storeKey, bytes] of page.pairs) {
        const key = fromKeyRecordKey(storeKey);
        if (!isAliveRecord(bytes)) {
          walk.dead(key, readKeyHead(bytes).modRevision);
          continue;
        }
        walk.alive();
        if (!found.add([key, bytes])) return found.refusal;
      }
      const last = page.pairs.at(-1)?.[0];
      if (page.more && last !== undefined) {
        rest = { from: successor(fromKeyRecordKey(last)), to: range.to };
      } else if (piece.isCut && piece.to !== null) {
        rest = { from: piece.to, to: range.to };
      } else {
        return found.all;
      }
    }
  } finally {
    walk.end();
  }
}

/** What a scan has found, within its bounds. */
class Collected {
  readonly #pairs: Pair[] = [];
  readonly #bounds: ScanBounds;

  constructor(bounds: ScanBounds) {
    this.#bounds = bounds;
  }

  get all(): FoundKeys {
    return { type: 'found', pairs: this.#pairs };
  }

  /** Why there is no room for the last one. */
  get refusal(): FoundKeys {
    return this.#pairs.length > this.#bounds.keysMax ? { type: 'too-many' } : NOT_READ;
  }

  /** How much to take from the store at once. */
  chunk(): { readonly keysMax: number; readonly bytesMax: number } {
    return { keysMax: Math.min(CHUNK_KEYS, this.#bounds.keysMax + 1), bytesMax: CHUNK_BYTES };
  }

  /** @returns false: there is no room for it */
  add(pair: Pair): boolean {
    this.#pairs.push(pair);
    return this.#pairs.length <= Math.min(this.#bounds.keysMax, this.#bounds.left);
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
