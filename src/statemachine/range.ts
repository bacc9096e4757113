import { compareBytes, successor } from '../base/bytes.js';
import type { KeyValue } from '../base/operation.js';
import type { DeadRuns, DeadWalk, Run } from './dead-runs.js';
import { type KeyChains, type KeyVersion, sizeOf } from './key-chain.js';
import { decodeKeyRecord, inlineValue, type KeyHead, readKeyHead } from './key-record.js';
import { fromKeyRecordKey, KEYS_TO, toKeyRecordKey } from './layout.js';
import { loadValues, type WantedValue } from './load-values.js';
import type { OpenRange } from './needs.js';
import { passes, type RevisionBounds, revisionBounds } from './range-filter.js';
import type { StateStore } from './state-store.js';
import type { RangePage, RangeQuery } from './types.js';

export interface RangeLimits {
  readonly rangePageKeysMax: number;
  readonly rangePageBytesMax: number;
}

/** Key records taken from the store at once. What is done with them holds up the replica: this bounds it. */
const CHUNK_KEYS = 512;

/** What one key takes in a page beside its own bytes and those of its value. */
const ITEM_BYTES = 32;

/** A page that only counts looks at so many times as many keys as another one. */
const COUNT_ONLY_FACTOR = 10;

const NO_BYTES = new Uint8Array(0);

/** A query with the revision that it reads at. */
type FixedQuery = RangeQuery & { readonly revision: number };

export interface RangeSource {
  readonly store: StateStore;
  readonly chains: KeyChains;
  readonly dead: DeadRuns;
  readonly limits: RangeLimits;
  /** @throws BalsaError `COMPACTED` when the revision of the query is no longer kept */
  readonly checkKept: () => void;
}

/**
 * Reads one page of a range as of one revision, fixed before the first wait. Key records seen later may
 * be newer: they lead back to that revision, so entries applied meanwhile never show.
 */
export async function readRange(source: RangeSource, query: FixedQuery): Promise<RangePage> {
  const walk = source.dead.walk(query, query.reverse);
  const page = new PageBuilder(source, query, walk);
  try {
    return page.finish(!isEmpty(query) && (await fill(page, source, query)));
  } finally {
    walk.end();
  }
}

/** @returns there may be more behind what is on the page */
async function fill(page: PageBuilder, source: RangeSource, query: FixedQuery): Promise<boolean> {
  const { store, chains, dead, limits, checkKept } = source;
  while (!page.isFull()) {
    const piece = dead.piece(page.rest(), query.reverse, query.revision);
    if (piece === null) return false;
    if (piece.passed !== null) page.pass(piece.passed);
    const chunk = await store.scan({
      from: toKeyRecordKey(piece.from),
      to: piece.to === null ? KEYS_TO : toKeyRecordKey(piece.to),
      reverse: query.reverse,
      keysMax: page.chunkKeys(),
      bytesMax: limits.rangePageBytesMax,
    });
    checkKept();
    const isLeft = page.add(chunk.pairs) || chunk.more;
    if (!isLeft) page.reach(piece);
    const wanted = page.takeWanted();
    if (wanted.length > 0) await loadValues(store, chains, checkKept, wanted);
    if (!isLeft && !piece.isCut) return false;
  }
  return true;
}

function isEmpty(query: RangeQuery): boolean {
  return query.to !== null && compareBytes(query.from, query.to) >= 0;
}

class PageBuilder {
  readonly #chains: KeyChains;
  readonly #query: FixedQuery;
  readonly #bounds: RevisionBounds | null;
  readonly #items: KeyValue[] = [];
  readonly #keysMax: number;
  readonly #bytesMax: number;
  /** Most keys to look at, so that a page of a range full of deleted keys ends, too. */
  readonly #examinedMax: number;
  /** Items whose values have not been loaded. */
  #wanted: WantedValue[] = [];
  #count = 0;
  #examined = 0;
  #bytes = 0;
  #bytesFull = false;
  #lastExamined: Uint8Array | null = null;
  /** The end of a piece that was looked at, behind the last key. */
  #reached: Uint8Array | null = null;
  readonly #walk: DeadWalk;

  constructor({ chains, limits }: RangeSource, query: FixedQuery, walk: DeadWalk) {
    this.#walk = walk;
    const isCount = query.countOnly === true;
    this.#chains = chains;
    this.#query = query;
    this.#bounds = revisionBounds(query);
    this.#keysMax = isCount
      ? Number.POSITIVE_INFINITY
      : Math.min(query.keysMax, limits.rangePageKeysMax);
    this.#bytesMax = limits.rangePageBytesMax;
    this.#examinedMax = limits.rangePageKeysMax * (isCount ? COUNT_ONLY_FACTOR : 1);
  }

  isFull(): boolean {
    return this.#bytesFull || this.#count >= this.#keysMax || this.#examined >= this.#examinedMax;
  }

  /**
   * How many keys to take from the store: no more than can be needed, and one to see if more follow; more and more when most
   * of what is there is not asked for: the first key of a queue may follow thousands that were deleted.
   */
  chunkKeys(): number {
    const passedOver = this.#examined - this.#count;
    const needed = Math.max(this.#keysMax - this.#count, 2 * passedOver);
    return Math.min(CHUNK_KEYS, needed + 1, this.#examinedMax - this.#examined + 1);
  }

  /** The part of the range that was not looked at. */
  rest(): OpenRange {
    const { from, to, reverse } = this.#query;
    const at = this.#continueFrom();
    return reverse ? { from, to: at ?? to } : { from: at ?? from, to };
  }

  /** There is nothing in it. */
  pass(run: Run): void {
    this.#walk.passed(run);
  }

  /** All of a piece was looked at. */
  reach({ from, to }: OpenRange): void {
    const end = this.#query.reverse ? from : to;
    if (end !== null) this.#reached = end;
  }

  /** @returns some of them did not fit */
  add(pairs: readonly (readonly [Uint8Array, Uint8Array])[]): boolean {
    for (const [storeKey, bytes] of pairs) {
      if (this.isFull()) return true;
      const key = fromKeyRecordKey(storeKey);
      if (!this.#addKey(key, bytes)) return true;
      this.#examined += 1;
      this.#lastExamined = key;
      this.#reached = null;
    }
    return false;
  }

  /** @returns false when the key has to wait for the next page */
  #addKey(key: Uint8Array, bytes: Uint8Array): boolean {
    const head = readKeyHead(bytes);
    if (head.version === 0) this.#walk.dead(key, head.modRevision);
    else this.#walk.alive();
    if (head.modRevision > this.#query.revision) return this.#addOlder(bytes);
    if (head.version === 0 || !this.#matches(head)) return true;
    if (this.#query.countOnly === true) return this.#takeCount();
    if (this.#query.keysOnly === true) return this.#take(toItem(key, NO_BYTES, head));
    if (!this.#fits(key.byteLength + head.valueBytes)) return false;
    const value = inlineValue(bytes);
    const item = toItem(key, value ?? NO_BYTES, head);
    if (value === null) {
      this.#wanted.push({ position: { revision: head.modRevision, sub: head.sub }, item });
    }
    this.#items.push(item);
    this.#count += 1;
    return true;
  }

  /** The key has been written since: what it was then is in the history. */
  #addOlder(bytes: Uint8Array): boolean {
    const item = this.#chains.resolve(decodeKeyRecord(bytes), this.#query.revision);
    if (item === null || !this.#matches(item)) return true;
    if (this.#query.countOnly === true) return this.#takeCount();
    return this.#take(this.#query.keysOnly === true ? { ...item, value: NO_BYTES } : item);
  }

  #matches({ modRevision, createRevision }: KeyVersion): boolean {
    return passes(this.#bounds, modRevision, createRevision);
  }

  #takeCount(): true {
    this.#count += 1;
    return true;
  }

  #take(item: KeyValue): boolean {
    if (!this.#fits(sizeOf(item))) return false;
    this.#items.push(item);
    this.#count += 1;
    return true;
  }

  #fits(bytes: number): boolean {
    this.#bytes += bytes + ITEM_BYTES;
    this.#bytesFull = this.#bytes >= this.#bytesMax;
    return this.#bytes <= this.#bytesMax || this.#items.length === 0;
  }

  /** Items that lack their value, each once. */
  takeWanted(): readonly WantedValue[] {
    const wanted = this.#wanted;
    this.#wanted = [];
    return wanted;
  }

  finish(more: boolean): RangePage {
    return {
      items: this.#items,
      count: this.#count,
      revision: this.#query.revision,
      more,
      continueFrom: more ? this.#continueFrom() : null,
    };
  }

  #continueFrom(): Uint8Array | null {
    if (this.#reached !== null) return this.#reached;
    if (this.#lastExamined === null) return null;
    return this.#query.reverse ? this.#lastExamined : successor(this.#lastExamined);
  }
}

function toItem(key: Uint8Array, value: Uint8Array, head: KeyHead) {
  const { createRevision, modRevision, version, lease } = head;
  return { key, value, createRevision, modRevision, version, lease };
}
