import { assert } from '../../base/assert.js';
import { countWhile } from '../../base/binary-search.js';
import type { EntryType, LogIndex } from '../../raft/types.js';
import { ENTRY_TYPES } from './record.js';
import type { Segment } from './segment.js';

/** Where an entry's payload is on disk. */
export interface EntryPlace {
  readonly segment: Segment;
  /** In the segment's file. */
  readonly offset: number;
  readonly byteLength: number;
  readonly type: EntryType;
  readonly checksum: number;
}

const ENTRIES_PER_CHUNK = 4096;
const WORDS_PER_ENTRY = 3;
/** The entry type shares a word with the payload's length. */
const LENGTH_BITS = 30;
const LENGTH_MASK = 2 ** LENGTH_BITS - 1;

/**
 * Finds entries on disk by index: 12 bytes each, so that a log of millions of entries costs tens of
 * megabytes.
 */
export class EntryIndex {
  /** The index of the first slot of the first chunk. */
  #origin: LogIndex;
  #first: LogIndex;
  #last: LogIndex;
  #chunks: Uint32Array[] = [];
  /** From which index on entries lie in which segment, in order. */
  #segments: { first: LogIndex; readonly segment: Segment }[] = [];

  /** Empty; the first entry will be `first`. */
  constructor(first: LogIndex) {
    this.#origin = first;
    this.#first = first;
    this.#last = first - 1;
  }

  get first(): LogIndex {
    return this.#first;
  }

  /** One less than {@link first} when empty. */
  get last(): LogIndex {
    return this.#last;
  }

  append(index: LogIndex, place: EntryPlace): void {
    assert(index === this.#last + 1, 'entries are indexed without gaps');
    assert(place.byteLength <= LENGTH_MASK, 'an entry is shorter than 1 GiB');
    const slot = index - this.#origin;
    const chunkPosition = Math.floor(slot / ENTRIES_PER_CHUNK);
    let chunk = this.#chunks[chunkPosition];
    if (chunk === undefined) {
      chunk = new Uint32Array(ENTRIES_PER_CHUNK * WORDS_PER_ENTRY);
      this.#chunks.push(chunk);
    }
    const word = (slot % ENTRIES_PER_CHUNK) * WORDS_PER_ENTRY;
    chunk[word] = place.offset;
    chunk[word + 1] = ((ENTRY_TYPES.indexOf(place.type) << LENGTH_BITS) | place.byteLength) >>> 0;
    chunk[word + 2] = place.checksum;
    this.#last = index;
    if (this.#segments.at(-1)?.segment !== place.segment) {
      this.#segments.push({ first: index, segment: place.segment });
    }
  }

  at(index: LogIndex): EntryPlace {
    assert(index >= this.#first && index <= this.#last, 'the entry asked for is in the log');
    const slot = index - this.#origin;
    const chunk = this.#chunks[Math.floor(slot / ENTRIES_PER_CHUNK)];
    const word = (slot % ENTRIES_PER_CHUNK) * WORDS_PER_ENTRY;
    const typeAndLength = chunk?.[word + 1] ?? 0;
    const type = ENTRY_TYPES[typeAndLength >>> LENGTH_BITS];
    const segment = this.#segmentOf(index);
    assert(chunk !== undefined && type !== undefined, 'every entry of the log is indexed');
    return {
      segment,
      offset: chunk[word] ?? 0,
      byteLength: typeAndLength & LENGTH_MASK,
      type,
      checksum: chunk[word + 2] ?? 0,
    };
  }

  /** Forgets all behind `index`. */
  cutAfter(index: LogIndex): void {
    if (index >= this.#last) return;
    assert(index >= this.#first - 1, 'the log is not cut before its start');
    this.#last = index;
    this.#chunks.length = Math.ceil((index + 1 - this.#origin) / ENTRIES_PER_CHUNK);
    while ((this.#segments.at(-1)?.first ?? 0) > index) this.#segments.pop();
  }

  /** Forgets all through `index`. */
  dropThrough(index: LogIndex): void {
    if (index < this.#first) return;
    assert(index <= this.#last, 'what is dropped is in the log');
    this.#first = index + 1;
    const chunksDropped = Math.floor((this.#first - this.#origin) / ENTRIES_PER_CHUNK);
    this.#chunks.splice(0, chunksDropped);
    this.#origin += chunksDropped * ENTRIES_PER_CHUNK;
    const kept = this.#segments.findLastIndex((run) => run.first <= this.#first);
    this.#segments.splice(0, Math.max(kept, 0));
    if (this.#last < this.#first) this.#segments = [];
  }

  #segmentOf(index: LogIndex): Segment {
    const run = this.#segments[countWhile(this.#segments, ({ first }) => first <= index) - 1];
    assert(run !== undefined, 'every entry lies in a segment');
    return run.segment;
  }
}
