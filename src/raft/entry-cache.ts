import { assert } from '../base/assert.js';
import type { Entry, LogIndex } from './types.js';

/** What an entry counts beside its payload, so that empty ones are bounded too. */
const ENTRY_OVERHEAD_BYTES = 32;

/** The size that all limits of bytes of entries go by. */
export function entryBytes(entry: Entry): number {
  return entry.payload.byteLength + ENTRY_OVERHEAD_BYTES;
}

/** Fills the places of entries that were let go, so that their payloads are free at once. */
const GONE: Entry = { index: 0, term: 0, type: 'noop', payload: new Uint8Array(0) };

/** Slots in front that may be empty before the array is moved together. */
const EMPTY_SLOTS_MIN = 1024;

/** The newest entries of the log, contiguous to its end. Append and eviction cost O(1) amortised. */
export class EntryCache {
  #slots: Entry[];
  /** Slots in front that are `GONE`. */
  #head = 0;
  /** Index of the entry at `#head`; when nothing is held, of the next one to come. */
  #firstIndex: LogIndex;
  #bytes = 0;

  constructor(firstIndex: LogIndex, entries: readonly Entry[]) {
    this.#firstIndex = firstIndex;
    this.#slots = [...entries];
    for (const entry of entries) this.#bytes += entryBytes(entry);
  }

  get firstIndex(): LogIndex {
    return this.#firstIndex;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get #nextIndex(): LogIndex {
    return this.#firstIndex + this.#slots.length - this.#head;
  }

  append(entry: Entry): void {
    assert(entry.index === this.#nextIndex, 'the cache has no gap');
    this.#slots.push(entry);
    this.#bytes += entryBytes(entry);
  }

  truncateFrom(index: LogIndex): void {
    while (this.#nextIndex > Math.max(index, this.#firstIndex)) {
      const entry = this.#slots.pop();
      if (entry !== undefined) this.#bytes -= entryBytes(entry);
    }
    if (index < this.#firstIndex) this.#firstIndex = index;
  }

  /** Lets all go; the next entry to come is `firstIndex`. */
  reset(firstIndex: LogIndex): void {
    this.#slots = [];
    this.#head = 0;
    this.#firstIndex = firstIndex;
    this.#bytes = 0;
  }

  /** Lets the oldest entries go, none beyond `throughIndex`, until `bytesMax` is kept. */
  evict(throughIndex: LogIndex, bytesMax: number): void {
    while (this.#bytes > bytesMax && this.#firstIndex <= throughIndex) {
      const entry = this.#slots[this.#head];
      if (entry === undefined) break;
      this.#bytes -= entryBytes(entry);
      this.#slots[this.#head] = GONE;
      this.#head += 1;
      this.#firstIndex += 1;
    }
    if (this.#head >= EMPTY_SLOTS_MIN && this.#head * 2 >= this.#slots.length) {
      this.#slots = this.#slots.slice(this.#head);
      this.#head = 0;
    }
  }

  at(index: LogIndex): Entry | undefined {
    return index < this.#firstIndex ? undefined : this.#slots[this.#slotOf(index)];
  }

  /** At least one entry, then as many as fit; `null` when `fromIndex` was let go. */
  slice(fromIndex: LogIndex, toIndex: LogIndex, bytesMax: number): Entry[] | null {
    if (fromIndex < this.#firstIndex) return null;
    const from = this.#slotOf(fromIndex);
    const limit = Math.min(this.#slots.length, this.#slotOf(toIndex) + 1);
    let to = from;
    let bytes = 0;
    while (to < limit) {
      const entry = this.#slots[to];
      if (entry === undefined) break;
      bytes += entryBytes(entry);
      if (bytes > bytesMax && to > from) break;
      to += 1;
    }
    return this.#slots.slice(from, to);
  }

  #slotOf(index: LogIndex): number {
    return this.#head + index - this.#firstIndex;
  }
}
