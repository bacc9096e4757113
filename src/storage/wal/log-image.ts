import { assert } from '../../base/assert.js';
import {
  type HardState,
  LOG_START,
  type LogIndex,
  type LogPosition,
  type Term,
} from '../../raft/types.js';
import { EntryIndex, type EntryPlace } from './entry-index.js';

/**
 * The log as the frames on disk make it: what recovery builds up, and the writer carries on. Payloads
 * stay on disk.
 */
export class LogImage {
  hardState: HardState = { currentTerm: 0, votedFor: null, commitIndex: 0 };
  /** The log begins behind this place. */
  logStart: LogPosition = LOG_START;
  /** Where the log's checksums start. */
  salt = 0;
  /** Entries are on disk behind this place; the same as `logStart` once all segments are read. */
  #floor: LogPosition;
  #index: EntryIndex;
  /** The first place of each run of equal terms behind the floor. */
  readonly #terms: LogPosition[] = [];

  constructor(floor: LogPosition) {
    this.#floor = floor;
    this.#index = new EntryIndex(floor.index + 1);
  }

  get floor(): LogPosition {
    return this.#floor;
  }

  get last(): LogPosition {
    const { last } = this.#index;
    return { index: last, term: this.termAt(last) };
  }

  get terms(): readonly LogPosition[] {
    return this.#terms;
  }

  placeOf(index: LogIndex): EntryPlace {
    return this.#index.at(index);
  }

  /** The place is the floor, or an entry that is here with that term. */
  holds({ index, term }: LogPosition): boolean {
    const isHere = index >= this.#floor.index && index <= this.#index.last;
    return isHere && this.termAt(index) === term;
  }

  /** Of the floor or an entry behind it. */
  termAt(index: LogIndex): Term {
    assert(index >= this.#floor.index && index <= this.#index.last, 'the term asked for is known');
    return this.#terms.findLast((run) => run.index <= index)?.term ?? this.#floor.term;
  }

  append(position: LogPosition, place: EntryPlace): void {
    this.#index.append(position.index, place);
    const term = this.#terms.at(-1)?.term;
    if (position.term !== term) this.#terms.push({ index: position.index, term: position.term });
  }

  cutAfter(index: LogIndex): void {
    this.#index.cutAfter(index);
    while ((this.#terms.at(-1)?.index ?? 0) > index) this.#terms.pop();
  }

  /** The log begins behind `position` from now on, which must be in it. */
  startAt(position: LogPosition): void {
    this.logStart = position;
    if (position.index === this.#floor.index) this.#floor = position;
    if (position.index <= this.#floor.index) return;
    const term = this.termAt(position.index);
    assert(term === position.term, 'the log is started at a place that it holds');
    this.#index.dropThrough(position.index);
    this.#floor = position;
    const next = this.#index.first;
    const runs = this.#terms.filter((run) => run.index > next);
    if (next <= this.#index.last) {
      const first = this.#terms.findLast((run) => run.index <= next);
      assert(first !== undefined, 'every entry lies in a run of terms');
      runs.unshift({ index: next, term: first.term });
    }
    this.#terms.splice(0, this.#terms.length, ...runs);
  }

  /** All entries are gone; the log goes on behind `position`. */
  resetTo(position: LogPosition): void {
    this.logStart = position;
    this.beginBehind(position);
  }

  /** Forgets all entries; the next one is that behind `floor`. */
  beginBehind(floor: LogPosition): void {
    this.#floor = floor;
    this.#index = new EntryIndex(floor.index + 1);
    this.#terms.length = 0;
  }
}
