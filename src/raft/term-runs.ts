import { assert } from '../base/assert.js';
import { countWhile } from '../base/binary-search.js';
import type { LogIndex, LogPosition, Term } from './types.js';

/**
 * The term of every entry of the log, as a list of runs: terms only grow along a log, so that a log
 * of a million entries has as many runs as it had leaders. This is what lets the core check and
 * repair logs without reading entries back.
 */
export class TermRuns {
  /** The first place of each run; indexes and terms grow. */
  readonly #runs: LogPosition[];

  constructor(runs: readonly LogPosition[]) {
    this.#runs = [...runs];
    this.#runs.forEach((run, position) => {
      const before = this.#runs[position - 1];
      assert(
        before === undefined || (before.index < run.index && before.term < run.term),
        'the runs of terms grow in index and in term',
      );
    });
  }

  get first(): LogPosition | undefined {
    return this.#runs[0];
  }

  get last(): LogPosition | undefined {
    return this.#runs.at(-1);
  }

  /** The run that holds `index`, or the last one when `index` lies beyond the log. */
  runAt(index: LogIndex): LogPosition | undefined {
    const last = this.#runs.at(-1);
    if (last !== undefined && index >= last.index) return last;
    return this.#runs[this.#positionOf(index)];
  }

  append(place: LogPosition): void {
    const last = this.#runs.at(-1);
    assert(last === undefined || place.term >= last.term, 'terms never fall along the log');
    if (last?.term !== place.term) this.#runs.push({ index: place.index, term: place.term });
  }

  truncateFrom(index: LogIndex): void {
    while ((this.#runs.at(-1)?.index ?? 0) >= index && this.#runs.length > 0) this.#runs.pop();
  }

  /** Forgets all through `index`. */
  dropThrough(index: LogIndex, lastIndex: LogIndex): void {
    const position = this.#positionOf(index);
    const run = this.#runs[position];
    if (run === undefined) return;
    const next = this.#runs[position + 1];
    const goesOn = next === undefined ? lastIndex > index : next.index > index + 1;
    this.#runs.splice(0, position + 1, ...(goesOn ? [{ index: index + 1, term: run.term }] : []));
  }

  clear(): void {
    this.#runs.length = 0;
  }

  /**
   * The greatest index through `index` whose term is at most `term`, or `null` when there is none
   * (the conflict back-off of paper §5.3, by whole terms).
   */
  lastIndexWithTermAtMost(index: LogIndex, term: Term): LogIndex | null {
    let end = index;
    for (let position = this.#positionOf(index); position >= 0; position -= 1) {
      const run = this.#runs[position];
      if (run === undefined) return null;
      if (run.term <= term) return end;
      end = run.index - 1;
    }
    return null;
  }

  /** Position in the list of the run that holds `index`; -1 when it lies before all. */
  #positionOf(index: LogIndex): number {
    return countWhile(this.#runs, (run) => run.index <= index) - 1;
  }
}
