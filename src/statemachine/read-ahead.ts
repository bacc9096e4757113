import { successor, toMapKey } from '../base/bytes.js';
import { RANGE_COST } from '../base/call.js';
import type { DeadRuns, Piece } from './dead-runs.js';
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
import type { BoundedRange, EntryNeeds, NeededRange } from './needs.js';
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

export type Pair = readonly [key: Uint8Array, value: Uint8Array];

/** What the store had in a range before the entry; pairs are in the order of their keys. */
export type FoundKeys =
  | { readonly type: 'found'; readonly pairs: readonly Pair[] }
  /** There are more keys than one operation may look at: those that were looked at, at the end that was begun at. */
  | { readonly type: 'too-many'; readonly pairs: readonly Pair[] }
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
  /** From the end. */
  readonly #reverse = new Map<string, FoundKeys>();
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
    for (const [range, keysMax] of eachOnce(needs.ranges, bounds.txnReadKeysMax)) {
      const name = rangeName(range.from, range.to);
      const [own, other] = this.#inOrder(range.reverse);
      if (other.get(name)?.type === 'found') continue;
      own.set(name, await read(keysMax, (max) => scanLive(source, range, max)));
    }
    for (const { from, to } of needs.prefixes) {
      const keysMax = bounds.namespaceKeysFoundMax;
      const range = { from, to, reverse: false };
      const keys = await read(keysMax, (max) => scanLive(source, range, max));
      this.#prefixes.set(toMapKey(from), keys);
    }
  }

  /** Live keys of a range, with their records; of one with too many of them those at its end (`reverse`), or at its beginning. */
  range({ from, to, reverse }: NeededRange): FoundKeys {
    const name = rangeName(from, to);
    const [own, other] = this.#inOrder(reverse);
    const found = other.get(name);
    return own.get(name) ?? (found?.type === 'found' ? found : NOT_READ);
  }

  /** What was read in that order, and in the other one. */
  #inOrder(reverse: boolean): readonly [Map<string, FoundKeys>, Map<string, FoundKeys>] {
    return reverse ? [this.#reverse, this.#ranges] : [this.#ranges, this.#reverse];
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

/** Each range with as much as is asked for of it, where the first one is that asks. */
function eachOnce(
  ranges: readonly BoundedRange[],
  keysMax: number,
): Iterable<readonly [NeededRange, number]> {
  const found = new Map<string, readonly [NeededRange, number]>();
  for (const range of ranges) {
    const name = `${range.reverse} ${rangeName(range.from, range.to)}`;
    const [first, before] = found.get(name) ?? [range, 0];
    const wanted = Math.min(range.keysMax ?? keysMax, keysMax);
    found.set(name, [first, Math.max(before, wanted)]);
  }
  return found.values();
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
  range: NeededRange,
  bounds: ScanBounds,
): Promise<FoundKeys> {
  const { reverse } = range;
  const found = new Collected(bounds, reverse);
  const walk = dead.walk(range, reverse);
  try {
    let rest: NeededRange | null = range;
    while (rest !== null) {
      const piece = dead.piece(rest, reverse, Number.POSITIVE_INFINITY);
      if (piece === null) break;
      if (piece.passed !== null) walk.passed(piece.passed);
      const from = toKeyRecordKey(piece.from);
      const to = piece.to === null ? KEYS_TO : toKeyRecordKey(piece.to);
      const page = await store.scan({ from, to, reverse, ...found.chunk() });
      for (const [storeKey, bytes] of page.pairs) {
        const key = fromKeyRecordKey(storeKey);
        if (!isAliveRecord(bytes)) {
          walk.dead(key, readKeyHead(bytes).modRevision);
          continue;
        }
        walk.alive();
        if (!found.add([key, bytes])) return found.refusal;
      }
      const last = page.more ? page.pairs.at(-1)?.[0] : undefined;
      rest = behind(range, piece, last === undefined ? null : fromKeyRecordKey(last));
    }
    return found.all;
  } finally {
    walk.end();
  }
}

/**
 * What is left of a range behind a piece of it, or behind the last key that was seen in the piece; `null`: nothing.
 */
function behind(range: NeededRange, piece: Piece, last: Uint8Array | null): NeededRange | null {
  const { from, to, reverse } = range;
  if (last !== null)
    return reverse ? { from, to: last, reverse } : { from: successor(last), to, reverse };
  const end = reverse ? piece.from : piece.to;
  if (!piece.isCut || end === null) return null;
  return reverse ? { from, to: end, reverse } : { from: end, to, reverse };
}

/** What a scan has found, within its bounds. */
class Collected {
  readonly #pairs: Pair[] = [];
  readonly #bounds: ScanBounds;
  readonly #reverse: boolean;

  constructor(bounds: ScanBounds, reverse = false) {
    this.#bounds = bounds;
    this.#reverse = reverse;
  }

  get all(): FoundKeys {
    return { type: 'found', pairs: this.#inOrder() };
  }

  /** Why there is no room for the last one. */
  get refusal(): FoundKeys {
    if (this.#pairs.length <= this.#bounds.keysMax) return NOT_READ;
    return { type: 'too-many', pairs: this.#inOrder() };
  }

  #inOrder(): readonly Pair[] {
    return this.#reverse ? this.#pairs.toReversed() : this.#pairs;
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
