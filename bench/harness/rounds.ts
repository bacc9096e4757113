import { BalsaError } from '../../src/base/errors.js';
import type { Calls, Length } from '../../src/cli/bench/drive.js';
import { median } from '../../src/cli/bench/latencies.js';
import { type Scenario, titleOf } from '../../src/cli/bench/scenario.js';
import type { ServerFigures, Subject } from '../peers/subject.js';
import { ProcessMeter, type ProcessUse } from './process-use.js';

/** One round of one subject. */
export interface Round extends Calls, ProcessUse {
  /** Of all servers, for one call; `null`: they do not tell. */
  readonly syncsPerCall: number | null;
  /** See {@link ServerFigures}. */
  readonly serverLoopDelayMs: number | null;
}

export interface Result {
  readonly subject: string;
  readonly rounds: readonly Round[];
}

/** The first subject against another one. */
export interface Ratio {
  readonly against: string;
  /** Of calls per second, of the rounds that stood beside each other. */
  readonly throughput: Spread;
  /** Of latencies: below 1 is better. */
  readonly p50: Spread;
  readonly p99: Spread;
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface ScenarioResult {
  readonly title: string;
  readonly scenario: Scenario;
  readonly results: readonly Result[];
  readonly ratios: readonly Ratio[];
  /** Who could not be measured, and why. */
  readonly left: Readonly<Record<string, string>>;
}

export interface RoundsOptions extends Length {
  readonly rounds: number;
  onRound(subject: string): void;
}

/**
 * All subjects in turn, over and over (A B A B): what else the machine does hits all alike, and rounds that stood
 * beside each other may be compared.
 *
 * @throws BalsaError `CANCELLED` when the signal is aborted
 */
export async function measureScenario(
  subjects: readonly Subject[],
  scenario: Scenario,
  options: RoundsOptions,
): Promise<ScenarioResult> {
  const able = ableTo(scenario, subjects);
  const left = subjects.flatMap((subject) => {
    const reason = subject.lacks(scenario);
    return reason === null ? [] : [[subject.name, reason] as const];
  });
  const rounds = new Map<string, Round[]>(able.map(({ name }) => [name, []]));
  for (let round = 0; round < options.rounds; round += 1) {
    for (const subject of able) {
      options.onRound(subject.name);
      const measured = await measureRound(subject, scenario, options);
      // It is not a whole one.
      if (options.signal?.aborted === true) throw new BalsaError('CANCELLED', 'interrupted');
      rounds.get(subject.name)?.push(measured);
    }
  }
  const results = [...rounds].map(([subject, its]) => ({ subject, rounds: its }));
  return {
    ...{ title: titleOf(scenario), scenario, results, ratios: ratiosOf(results) },
    left: Object.fromEntries(left),
  };
}

/** Those of them that have what the scenario needs. */
export function ableTo(scenario: Scenario, subjects: readonly Subject[]): Subject[] {
  return subjects.filter((subject) => subject.lacks(scenario) === null);
}

async function measureRound(subject: Subject, scenario: Scenario, length: Length): Promise<Round> {
  let meter: ProcessMeter | null = null;
  let figures: Promise<ServerFigures> | undefined;
  // It is set by a callback, which the compiler does not see.
  const started = (): ProcessMeter | null => meter;
  let calls: Calls;
  try {
    calls = await subject.measure(scenario, length, (clientPid) => {
      meter = new ProcessMeter(subject.serverPids, clientPid);
      figures = subject.figures?.();
      // Whoever waits for it below is told.
      figures?.catch(() => {});
    });
  } catch (error) {
    // What was measured may be of processes that are gone: the error says more.
    started()?.abandon();
    throw error;
  }
  const use = started()?.stop();
  if (use === undefined) throw new Error(`${subject.name} did not say when its round began`);
  const before = await figures;
  const after = await subject.figures?.();
  const isKnown = before !== undefined && after !== undefined;
  return {
    ...{ ...calls, ...use, serverLoopDelayMs: after?.loopDelayMs ?? null },
    syncsPerCall: isKnown ? (after.syncs - before.syncs) / calls.served : null,
  };
}

/** The first of the results against each of the others, round by round. */
export function ratiosOf([first, ...others]: readonly Result[]): Ratio[] {
  if (first === undefined) return [];
  return others.map(({ subject, rounds }) => {
    const of = (value: (calls: Calls) => number): Spread =>
      pairedRatio(first.rounds.map(value), rounds.map(value));
    return {
      against: subject,
      throughput: of(({ perSecond }) => perSecond),
      p50: of(({ p50Ms }) => p50Ms),
      p99: of(({ p99Ms }) => p99Ms),
    };
  });
}

/** Of rounds that stood beside each other: what else the machine does hits both of a pair. */
export function pairedRatio(own: readonly number[], other: readonly number[]): Spread {
  return spread(own.map((value, i) => value / (other[i] ?? Number.NaN)));
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}
