import { type LatencySummary, median } from '../../src/cli/bench/latencies.js';
import { rounded } from '../machine.js';
import type { Result, Round, ScenarioResult, Spread } from './rounds.js';

export type Row = Readonly<Record<string, string | number>>;

const MIB = 1024 * 1024;

/** What a terminal is wide enough for, one table below the other. */
export const SPEED_COLUMNS = [
  ...['subject', 'calls/s', 'from - to', 'p50 ms', 'p99 ms', 'p99.9 ms', 'max ms', 'failed'],
  ...['throughput ratio', 'p50 ratio', 'p99 ratio'],
] as const;
export const COST_COLUMNS = [
  ...['subject', 'server CPU s / 1M', 'client CPU s / 1M', 'peak MiB', 'client peak MiB'],
  ...['loop late ms', 'client loop p99 ms', 'syncs / call', 'disk B / call'],
] as const;

/** For a terminal and for the page: one line for each subject. */
export function rowsOf({ results, ratios }: ScenarioResult): Row[] {
  return results.map((result) => {
    const ratio = ratios.find(({ against }) => against === result.subject);
    return {
      subject: result.subject,
      ...figuresOf(result),
      'throughput ratio': ratio === undefined ? '' : inWords(ratio.throughput),
      'p50 ratio': ratio === undefined ? '' : inWords(ratio.p50),
      'p99 ratio': ratio === undefined ? '' : inWords(ratio.p99),
    };
  });
}

function figuresOf({ rounds }: Result): Row {
  const rates = rounds.map(({ perSecond }) => perSecond);
  const latency = (of: Exclude<keyof LatencySummary, 'curveMs'>): number =>
    rounded(median(rounds.map((round) => round[of])), 2);
  return {
    'calls/s': rounded(median(rates)),
    'from - to': `${rounded(Math.min(...rates))} - ${rounded(Math.max(...rates))}`,
    'p50 ms': latency('p50Ms'),
    'p99 ms': latency('p99Ms'),
    'p99.9 ms': latency('p999Ms'),
    'max ms': latency('maxMs'),
    'server CPU s / 1M': cpuPerMillion(rounds, ({ serverCpuSeconds }) => serverCpuSeconds),
    'client CPU s / 1M': cpuPerMillion(rounds, ({ clientCpuSeconds }) => clientCpuSeconds),
    'peak MiB': mebibytes(greatest(rounds.map(({ serverPeakBytes }) => serverPeakBytes))),
    'client peak MiB': mebibytes(greatest(rounds.map(({ clientPeakBytes }) => [clientPeakBytes]))),
    'loop late ms': known(rounds, ({ serverLoopDelayMs }) => serverLoopDelayMs, 1),
    'client loop p99 ms': known(rounds, ({ clientLoopDelayMs }) => clientLoopDelayMs, 1),
    'syncs / call': known(rounds, ({ syncsPerCall }) => syncsPerCall, 4),
    'disk B / call': rounded(median(rounds.map(({ diskBytes, served }) => diskBytes / served))),
    failed: rounds.map(({ errors }) => errorsInWords(errors)).join('') || 0,
  };
}

/** Of each process, in any of the rounds. */
function greatest(rounds: readonly (readonly number[])[]): number[] {
  const [first = []] = rounds;
  return first.map((_, at) => Math.max(...rounds.map((bytes) => bytes[at] ?? 0)));
}

function mebibytes(bytes: readonly number[]): string {
  return bytes.map((one) => rounded(one / MIB)).join(' ');
}

/** The median; empty where nobody knows. */
function known(
  rounds: readonly Round[],
  of: (round: Round) => number | null,
  digits: number,
): string | number {
  const values = rounds.flatMap((round) => of(round) ?? []);
  return values.length === 0 ? '' : rounded(median(values), digits);
}

function cpuPerMillion(rounds: readonly Round[], of: (round: Round) => number): number {
  return rounded(median(rounds.map((round) => (of(round) * 1e6) / round.served)), 1);
}

function errorsInWords(errors: Readonly<Record<string, number>>): string {
  return Object.entries(errors)
    .map(([word, count]) => `${count} ${word} `)
    .join('');
}

/** The median, and the range of the rounds. */
export function inWords({ median: middle, min, max }: Spread): string {
  return `${middle.toFixed(2)} (${min.toFixed(2)} - ${max.toFixed(2)})`;
}
