import { spread } from './rounds.js';
import type { RunFile } from './run-file.js';

export interface Difference {
  readonly scenario: string;
  readonly subject: string;
  /** Second run through first, of the medians; `null` where one of them has no such figure. */
  readonly throughput: number | null;
  readonly p50: number | null;
  readonly p99: number | null;
  /** The rounds of one run were all faster than all of the other: more than noise. */
  readonly isClear: boolean;
}

/** What both runs have measured, side by side. */
export function compareRuns(before: RunFile, after: RunFile): Difference[] {
  return before.scenarios.flatMap(({ title, results }) => {
    const other = after.scenarios.find((one) => one.title === title);
    return results.flatMap(({ subject, rounds }) => {
      const second = other?.results.find((one) => one.subject === subject)?.rounds;
      return second === undefined ? [] : [differenceOf(title, subject, rounds, second)];
    });
  });
}

type Rounds = RunFile['scenarios'][number]['results'][number]['rounds'];

function differenceOf(
  scenario: string,
  subject: string,
  before: Rounds,
  after: Rounds,
): Difference {
  const ratio = (figure: 'perSecond' | 'p50Ms' | 'p99Ms'): number | null => {
    const value = spreadOf(after, figure).median / spreadOf(before, figure).median;
    return Number.isFinite(value) ? value : null;
  };
  const one = spreadOf(before, 'perSecond');
  const two = spreadOf(after, 'perSecond');
  return {
    ...{ scenario, subject, throughput: ratio('perSecond') },
    ...{ p50: ratio('p50Ms'), p99: ratio('p99Ms') },
    isClear: one.max < two.min || two.max < one.min,
  };
}

function spreadOf(rounds: Rounds, figure: 'perSecond' | 'p50Ms' | 'p99Ms') {
  return spread(rounds.map((round) => round[figure] ?? Number.NaN));
}
