import type { HistoryReader } from '../../history/history-reader.js';
import type { Findings } from '../findings.js';
import { judgeByTime } from './by-time.js';
import { judgeByWatch } from './by-watch.js';
import type { Ledger } from './ledger.js';

/** What came of it. */
export interface Judged {
  /** The watch has told what became of everything. */
  readonly isSettled: boolean;
  /** `null`: there is none. */
  readonly doubt: string | null;
}

/**
 * Numbers that are added to, with outcomes that are not known: by the watch where it has them, otherwise by real time, unless something
 * was found before, which shows the same.
 */
export async function judgeLedger(
  findings: Findings,
  ledger: Ledger,
  watch?: HistoryReader,
): Promise<Judged> {
  if (watch !== undefined && (await judgeByWatch(findings, ledger, watch))) {
    return { isSettled: true, doubt: null };
  }
  const undecided = findings.isEmpty ? judgeByTime(findings, ledger) : 0;
  if (undecided === 0) return { isSettled: false, doubt: null };
  const doubt = `of ${undecided} reads it could not be found out within the bounds of the search which of the many of unknown outcome they have seen; the watch of the whole store (--watch) would settle it`;
  return { isSettled: false, doubt };
}
