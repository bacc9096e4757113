import type { HistoryReader } from '../history/history-reader.js';
import type { HistoryOperation } from '../history/operation.js';

/** What a checker says of a history. */
export interface Verdict {
  /** `unknown`: a bound of the checker was reached before it knew. Never a guess. */
  readonly valid: true | false | 'unknown';
  /** Name of the checker. */
  readonly checker: string;
  /** How many operations it has judged (an `invoke` and its end are one). A verdict over 0 operations proves nothing. */
  readonly operations: number;
  /** One line or a few: what was wrong, or what was shown. */
  readonly text: string;
  /** For the report: JSON. */
  readonly details?: unknown;
  /** The smallest part of the history that was found to be wrong by itself. */
  readonly smallest?: readonly HistoryOperation[];
}

/** A pure function of a history. */
export interface Checker {
  readonly name: string;
  /**
   * @param watch every event of the whole store (`f: 'event'`, `key`, `value`, `revision`; `value: null`: deleted), in the order of
   *   revisions, for checkers that lean on it; without it those answer `unknown`
   */
  check(history: HistoryReader, watch?: HistoryReader): Promise<Verdict> | Verdict;
}
