import { assert } from '../base/assert.js';
import { EntryCache } from './entry-cache.js';
import { TermRuns } from './term-runs.js';
import type { Entry, LogIndex, LogPosition, RestoredState, Term } from './types.js';

/**
 * The log as the core sees it: the terms of all entries, and the newest entries themselves. Older
 * entries are on the disk only; whoever needs them asks the shell to load them.
 */
export class RaftLog {
  #start: LogPosition;
  #lastIndex: LogIndex;
  readonly #terms: TermRuns;
  readonly #cache: EntryCache;
  readonly #cacheBytesMax: number;

  constructor(
    restored: Pick<RestoredState, 'logStart' | 'terms' | 'lastIndex' | 'tail'>,
    cacheBytesMax: number,
  ) {
    this.#start = restored.logStart;
    this.#lastIndex = restored.lastIndex;
    this.#terms = new TermRuns(restored.terms);
    this.#cacheBytesMax = cacheBytesMax;
    this.#checkRestored(restored.tail);
    this.#cache = new EntryCache(restored.lastIndex + 1 - restored.tail.length, restored.tail);
  }

  /** The log begins behind this place. */
  get start(): LogPosition {
    return this.#start;
  }

  get lastIndex(): LogIndex {
    return this.#lastIndex;
  }

  get last(): LogPosition {
    const run = this.#terms.last;
    return run === undefined ? this.#start : { index: this.#lastIndex, term: run.term };
  }

  /** Entries from here on are in memory. */
  get firstCachedIndex(): LogIndex {
    return this.#cache.firstIndex;
  }

  get cachedBytes(): number {
    return this.#cache.bytes;
  }

  /** The term of the entry there; `null` when the log does not reach there, or no longer does. */
  termAt(index: LogIndex): Term | null {
    if (index === this.#start.index) return this.#start.term;
    if (index < this.#start.index || index > this.#lastIndex) return null;
    return this.#terms.runAt(index)?.term ?? null;
  }

  holds(place: LogPosition): boolean {
    return this.termAt(place.index) === place.term;
  }

  /** Is a log that ends there at least as up-to-date as this one? (Paper §5.4.1.) */
  isUpToDate(last: LogPosition): boolean {
    const own = this.last;
    return last.term > own.term || (last.term === own.term && last.index >= own.index);
  }

  append(entry: Entry): void {
    assert(
      entry.index === this.#lastIndex + 1,
      `entry ${entry.index} follows the end of the log at ${this.#lastIndex}`,
    );
    this.#terms.append(entry);
    this.#cache.append(entry);
    this.#lastIndex = entry.index;
  }

  truncateFrom(index: LogIndex): void {
    assert(index > this.#start.index, 'what a snapshot stands for is never truncated');
    this.#terms.truncateFrom(index);
    this.#cache.truncateFrom(index);
    this.#lastIndex = Math.min(this.#lastIndex, index - 1);
  }

  /** A snapshot stands for all through `place` from now on. */
  compactTo(place: LogPosition): void {
    assert(this.holds(place), 'a log is compacted only to a place that it holds');
    this.#terms.dropThrough(place.index, this.#lastIndex);
    this.#cache.evict(place.index, 0);
    this.#start = place;
  }

  /** A snapshot through `place` has taken the place of all entries: the log ends where it begins. */
  reset(place: LogPosition): void {
    this.#start = place;
    this.#lastIndex = place.index;
    this.#terms.clear();
    this.#cache.reset(place.index + 1);
  }

  /** Lets entries through `throughIndex` (committed, and on disk) go where the bound asks for it. */
  evict(throughIndex: LogIndex): void {
    this.#cache.evict(throughIndex, this.#cacheBytesMax);
  }

  /**
   * Entries from `fromIndex` through `toIndex`: at least one, if there is one, then as many as fit.
   * `null`: not in memory.
   */
  slice(
    fromIndex: LogIndex,
    bytesMax: number,
    toIndex: LogIndex = this.#lastIndex,
  ): readonly Entry[] | null {
    return this.#cache.slice(fromIndex, Math.min(toIndex, this.#lastIndex), bytesMax);
  }

  /** The entry, when it is in memory. */
  entryAt(index: LogIndex): Entry | undefined {
    return this.#cache.at(index);
  }

  /**
   * The last place at or before `place` whose term is at most `place.term`: where a log that ends in
   * `place` may still agree with this one (conflict back-off by term, paper §5.3).
   */
  lastPossibleAgreement(place: LogPosition): LogPosition {
    const index = this.#terms.lastIndexWithTermAtMost(
      Math.min(place.index, this.#lastIndex),
      place.term,
    );
    if (index === null || index <= this.#start.index) return this.#start;
    return { index, term: this.termAt(index) ?? this.#start.term };
  }

  #checkRestored(tail: readonly Entry[]): void {
    const first = this.#terms.first;
    assert(
      this.#lastIndex >= this.#start.index &&
        (this.#lastIndex === this.#start.index
          ? first === undefined
          : first?.index === this.#start.index + 1),
      'the restored terms cover the log from its start',
    );
    tail.forEach((entry, position) => {
      const index = this.#lastIndex + 1 - tail.length + position;
      assert(
        entry.index === index && this.termAt(index) === entry.term,
        'the restored tail is the end of the log',
      );
    });
  }
}
