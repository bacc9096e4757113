import { compareBytes } from '../base/bytes.js';
import type { KeyValue } from '../base/operation.js';
import { decodeKeyRecord } from './key-record.js';
import type { Keyspace } from './keyspace.js';
import { fromKeyRecordKey, KEYS_TO, toKeyRecordKey } from './layout.js';
import type { ScanPage, StateStore } from './state-store.js';
import type { RangePage, RangeQuery } from './types.js';

export interface RangeLimits {
  readonly rangePageKeysMax: number;
  readonly rangePageBytesMax: number;
}

/** Key records taken from the store at once. Values are read synchronously: this bounds one go. */
const CHUNK_KEYS = 256;

/** What one key takes in a page beside its own bytes and those of its value. */
const ITEM_BYTES = 32;

/**
 * Reads one page of a range as of one revision, fixed before the first wait. Key records seen later may
 * be newer: they lead back to that revision, so entries applied meanwhile never show.
 */
export async function readRange(
  source: { readonly store: StateStore; readonly keyspace: Keyspace; readonly limits: RangeLimits },
  query: RangeQuery & { readonly revision: number },
): Promise<RangePage> {
  const page = new PageBuilder(source.keyspace, query, source.limits);
  let more = !isEmpty(query);
  while (more && !page.isFull()) {
    const chunk = await source.store.scan({
      ...page.rest(),
      reverse: query.reverse,
      keysMax: CHUNK_KEYS,
      bytesMax: source.limits.rangePageBytesMax,
    });
    more = page.add(chunk);
  }
  return page.finish(more);
}

function isEmpty(query: RangeQuery): boolean {
  return query.to !== null && compareBytes(query.from, query.to) >= 0;
}

class PageBuilder {
  readonly #keyspace: Keyspace;
  readonly #query: RangeQuery & { readonly revision: number };
  readonly #items: KeyValue[] = [];
  readonly #keysMax: number;
  readonly #bytesMax: number;
  /** Most keys to look at, so that a page of a range full of deleted keys ends, too. */
  readonly #examinedMax: number;
  #examined = 0;
  #bytes = 0;
  #bytesFull = false;
  #lastExamined: Uint8Array | null = null;

  constructor(
    keyspace: Keyspace,
    query: RangeQuery & { readonly revision: number },
    limits: RangeLimits,
  ) {
    this.#keyspace = keyspace;
    this.#query = query;
    this.#keysMax = Math.min(query.keysMax, limits.rangePageKeysMax);
    this.#bytesMax = limits.rangePageBytesMax;
    this.#examinedMax = limits.rangePageKeysMax;
  }

  isFull(): boolean {
    return (
      this.#bytesFull || this.#items.length >= this.#keysMax || this.#examined >= this.#examinedMax
    );
  }

  /** The part of the range that was not looked at, in store keys. */
  rest(): { readonly from: Uint8Array; readonly to: Uint8Array } {
    const { reverse } = this.#query;
    const next = this.#continueFrom();
    const from = reverse ? this.#query.from : (next ?? this.#query.from);
    const to = reverse ? (next ?? this.#query.to) : this.#query.to;
    return { from: toKeyRecordKey(from), to: to === null ? KEYS_TO : toKeyRecordKey(to) };
  }

  /** @returns may more follow? */
  add(chunk: ScanPage): boolean {
    for (const [storeKey, bytes] of chunk.pairs) {
      if (this.isFull()) return true;
      const item = this.#keyspace.resolve(decodeKeyRecord(bytes), this.#query.revision);
      if (item !== null && !this.#take(item)) return true;
      this.#examined += 1;
      this.#lastExamined = fromKeyRecordKey(storeKey);
    }
    return chunk.more;
  }

  /** @returns false when the item has to wait for the next page */
  #take(item: KeyValue): boolean {
    this.#bytes += item.key.byteLength + item.value.byteLength + ITEM_BYTES;
    this.#bytesFull = this.#bytes >= this.#bytesMax;
    if (this.#bytes > this.#bytesMax && this.#items.length > 0) return false;
    this.#items.push(item);
    return true;
  }

  finish(more: boolean): RangePage {
    return {
      items: this.#items,
      revision: this.#query.revision,
      more,
      continueFrom: more ? this.#continueFrom() : null,
    };
  }

  #continueFrom(): Uint8Array | null {
    if (this.#lastExamined === null) return null;
    return this.#query.reverse ? this.#lastExamined : successor(this.#lastExamined);
  }
}

/** The first key after `key`. */
function successor(key: Uint8Array): Uint8Array {
  const next = Buffer.allocUnsafe(key.byteLength + 1);
  next.set(key);
  next[key.byteLength] = 0;
  return next;
}
