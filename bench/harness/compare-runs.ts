import { type Spread, spread } from './rounds.js';
import type { RunFile } from './run-file.js';

export interface Difference {
  readonly scenario: string;
  readonly subject: string;
  readonly throughput: Change;
  readonly p50: Change;
  readonly p99: Change;
}

export interface Change {
  /** Second run through first, of the medians; `null` where one of them has no such figure. */
  readonly ratio: number | null;
  /** All rounds of one run lie beyond all of the other, and there are several: more than noise. */
  readonly isClear: boolean;
}

export interface Comparison {
  readonly differences: readonly Difference[];
  /** What only one of the runs has measured. */
  readonly unmatched: readonly string[];
}

/** What both runs have measured, side by side. */
export function compareRuns(before: RunFile, after: RunFile): Comparison {
  const first = measuredIn(before);
  const second = measuredIn(after);
  const differences = [...first].flatMap(([name, { scenario, subject, rounds }]) => {
    const other = second.get(name);
    if (other === undefined) return [];
    const change = (figure: Figure): Change => changeOf(rounds, other.rounds, figure);
    return [
      {
        ...{ scenario, subject, throughput: change('perSecond') },
        ...{ p50: change('p50Ms'), p99: change('p99Ms') },
      },
    ];
  });
  const unmatched = [...first.keys(), ...second.keys()].filter(
    (name) => !(first.has(name) && second.has(name)),
  );
  return { differences, unmatched };
}

type Rounds = RunFile['scenarios'][number]['results'][number]['rounds'];
type Figure = 'perSecond' | 'p50Ms' | 'p99Ms';

interface Measured {
  readonly scenario: string;
  readonly subject: string;
  readonly rounds: Rounds;
}

function measuredIn(run: RunFile): Map<string, Measured> {
  const all = run.scenarios.flatMap(({ title, results }) =>
    results.map(({ subject, rounds }) => ({ scenario: title, subject, rounds })),
  );
  return new Map(all.map((one) => [`${one.scenario}: ${one.subject}`, one]));
}

function changeOf(before: Rounds, after: Rounds, figure: Figure): Change {
  const one = spreadOf(before, figure);
  const two = spreadOf(after, figure);
  const ratio = two.median / one.median;
  const areApart = one.max < two.min || two.max < one.min;
  return {
    ratio: Number.isFinite(ratio) ? ratio : null,
    isClear: areApart && before.length > 1 && after.length > 1,
  };
}

function spreadOf(rounds: Rounds, figure: Figure): Spread {
  return spread(rounds.map((round) => round[figure] ?? Number.NaN));
}
