import type { Entry, LogIndex } from '../raft/types.js';

/** Bytes of an entry beside its payload, roughly. */
const ENTRY_OVERHEAD_BYTES = 32;
/** Marks in a log of the length at which it is cut: the place of the cut is exact to a thousandth. */
const MARKS = 1024;

interface Mark {
  readonly index: LogIndex;
  /** Of all entries through `index`, from the first that was counted. */
  readonly bytes: number;
}

/**
 * How many bytes of entries the log holds behind a place, from what was appended: exact to a mark.
 * What was in the log at the start is spread evenly over its entries.
 */
export class LogMeter {
  /** In order; the first is where the log begins, the last where it ends. Never empty. */
  #marks: Mark[];
  #lastMarked: number;
  readonly #bytesPerMark: number;

  /** @param logBytesMax at which the log is cut */
  constructor(
    restored: { startIndex: LogIndex; lastIndex: LogIndex; bytes: number },
    logBytesMax: number,
  ) {
    const { startIndex, lastIndex } = restored;
    this.#bytesPerMark = logBytesMax / MARKS;
    const bytes = lastIndex > startIndex ? restored.bytes : 0;
    this.#marks = [{ index: startIndex, bytes: 0 }];
    if (lastIndex > startIndex) this.#marks.push({ index: lastIndex, bytes });
    this.#lastMarked = bytes;
  }

  /** Entries are written; those at and behind the first one's place before go. */
  appended(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    if (first.index <= this.#end.index) this.#truncateFrom(first.index);
    for (const entry of entries) {
      const { bytes } = this.#end;
      if (bytes - this.#lastMarked >= this.#bytesPerMark) this.#lastMarked = bytes;
      else if (bytes > this.#lastMarked) this.#marks.pop();
      this.#marks.push({
        index: entry.index,
        bytes: bytes + entry.payload.byteLength + ENTRY_OVERHEAD_BYTES,
      });
    }
  }

  /** The log begins behind `index` now. */
  cutThrough(index: LogIndex): void {
    const bytes = this.#bytesThrough(index);
    const rest = this.#marks.filter((mark) => mark.index > index);
    this.#marks = [{ index, bytes }, ...rest];
    this.#lastMarked = Math.max(this.#lastMarked, bytes);
  }

  /** The log is empty and begins behind `index`. */
  reset(index: LogIndex): void {
    this.#marks = [{ index, bytes: 0 }];
    this.#lastMarked = 0;
  }

  /** Bytes of the entries behind `index`. */
  bytesBehind(index: LogIndex): number {
    return this.#end.bytes - this.#bytesThrough(index);
  }

  /** The first place behind which there are at most `bytes`. */
  placeWithBehind(bytes: number): LogIndex {
    const limit = this.#end.bytes - bytes;
    const at = this.#marks.findIndex((mark) => mark.bytes >= limit);
    const above = this.#marks[at];
    const below = this.#marks[at - 1];
    if (above === undefined) return this.#end.index;
    if (below === undefined) return above.index;
    const share = (limit - below.bytes) / (above.bytes - below.bytes);
    return Math.min(above.index, Math.ceil(below.index + (above.index - below.index) * share));
  }

  get #begin(): Mark {
    return this.#marks[0] as Mark;
  }

  get #end(): Mark {
    return this.#marks.at(-1) as Mark;
  }

  /** Between two marks: evenly spread. */
  #bytesThrough(index: LogIndex): number {
    if (index >= this.#end.index) return this.#end.bytes;
    if (index <= this.#begin.index) return this.#begin.bytes;
    const at = this.#marks.findIndex((mark) => mark.index >= index);
    const above = this.#marks[at] as Mark;
    const below = this.#marks[at - 1] as Mark;
    const share = (index - below.index) / (above.index - below.index);
    return below.bytes + (above.bytes - below.bytes) * share;
  }

  #truncateFrom(index: LogIndex): void {
    const bytes = this.#bytesThrough(index - 1);
    const kept = this.#marks.filter((mark) => mark.index < index - 1);
    this.#marks = [...kept, { index: index - 1, bytes }];
    this.#lastMarked = Math.min(this.#lastMarked, bytes);
  }
}
