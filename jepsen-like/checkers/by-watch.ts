import type { HistoryReader } from '../history/history-reader.js';
import type { Checker, Verdict } from './checker.js';
import { Findings } from './findings.js';
import { WatchIndex } from './watch-index.js';

/** One that needs to know what each key held at each revision: without the watch it cannot tell, and a watch that is wrong is a finding. */
export function checkerByWatch(
  name: string,
  run: (
    findings: Findings,
    index: WatchIndex,
    history: HistoryReader,
  ) => Verdict | Promise<Verdict>,
): Checker {
  return {
    name,
    check: async (history, watch) => {
      const findings = new Findings(name);
      if (watch === undefined) return findings.verdict('', NO_WATCH);
      const index = await WatchIndex.load(watch);
      if (index.problem === null) return run(findings, index, history);
      findings.note('the watch is out of order', index.problem);
      return findings.verdict('');
    },
  };
}

/** What nobody can judge without it. */
export const NO_WATCH = { doubt: 'it needs the watch of the whole store (--watch)' };
