import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { asBalsaError, BalsaError } from '../src/base/errors.js';
import { compareRuns } from './harness/compare-runs.js';
import { measureLimits } from './harness/limits.js';
import { benchPage } from './harness/page.js';
import { showProgress } from './harness/progress.js';
import { measureScenario, type ScenarioResult } from './harness/rounds.js';
import { rowsOf } from './harness/rows.js';
import { type BenchRun, readRun, writeRun } from './harness/run-file.js';
import { rounded } from './machine.js';
import { type BenchOptions, benchOptions, USAGE } from './options.js';
import { missingPrograms } from './peers/installed.js';
import type { Peer, Subject } from './peers/subject.js';

/** `npm run bench`: see `USAGE`. */
const interrupt = new AbortController();
process.once('SIGINT', () => interrupt.abort());

const EXIT_WRONG_USE = 2;
const EXIT_INTERRUPTED = 130;

const args = process.argv.slice(2);
try {
  if (args.includes('--help')) console.log(USAGE);
  else if (args[0] === 'compare') printComparison(args.slice(1));
  else await bench(benchOptions(args));
} catch (error) {
  const { code, message } = asBalsaError(error);
  if (code !== 'INVALID_ARGUMENT' && code !== 'CANCELLED') throw error;
  console.error(`bench: ${message}`);
  process.exitCode = code === 'CANCELLED' ? EXIT_INTERRUPTED : EXIT_WRONG_USE;
}

async function bench(options: BenchOptions): Promise<void> {
  const loadAverageBefore = loadavg()[0] ?? Number.NaN;
  const limits = await measureLimits();
  console.table(limits.map(({ what, perSecond }) => ({ what, 'per second': rounded(perSecond) })));
  const missing = missingPeers(options);
  for (const [name, reason] of Object.entries(missing))
    console.log(`not measured: ${name}: ${reason}`);

  const started: Peer[] = [];
  try {
    for (const kind of options.peers.filter((one) => one.missing() === null)) {
      started.push(await kind.start());
    }
    const subjects = started.flatMap((peer) => peer.subjects);
    const scenarios = await measureAll(subjects, options);
    writeResults(options, { loadAverageBefore, limits, missing, scenarios, subjects });
  } finally {
    for (const peer of started.reverse()) await peer[Symbol.asyncDispose]();
  }
}

interface Measured extends Pick<BenchRun, 'limits' | 'missing' | 'scenarios'> {
  readonly loadAverageBefore: number;
  readonly subjects: readonly Subject[];
}

function writeResults(options: BenchOptions, measured: Measured): void {
  const { limits, missing, scenarios, subjects, loadAverageBefore } = measured;
  const run: BenchRun = {
    at: new Date().toISOString(),
    command: ['npm run bench --', ...args].join(' '),
    machine: {
      ...{ cpus: cpus().length, cpu: cpus()[0]?.model ?? '', node: process.version },
      loadAverageBefore,
    },
    ...{ limits, missing, scenarios },
    durability: Object.fromEntries(subjects.map(({ name, durability }) => [name, durability])),
  };
  if (options.json !== undefined) writeRun(options.json, run);
  if (options.html !== undefined) writeFileSync(options.html, benchPage(run));
}

function missingPeers({ peers }: BenchOptions): Record<string, string> {
  const all = peers.flatMap((kind) => {
    const reason = kind.missing();
    return reason === null ? [] : [[kind.name, reason] as const];
  });
  const h2load = missingPrograms({ h2load: 'nghttp2-client' });
  const isPartly = h2load !== null && peers.some(({ name }) => name === 'etcd');
  return Object.fromEntries(isPartly ? [...all, ['etcd, h2load', h2load]] : all);
}

async function measureAll(
  subjects: readonly Subject[],
  options: BenchOptions,
): Promise<ScenarioResult[]> {
  const { scenarios, rounds, seconds, warmUpSeconds } = options;
  const results: ScenarioResult[] = [];
  let done = 0;
  let filled = 0;
  const total = scenarios.length * subjects.length * rounds;
  for (const scenario of scenarios) {
    if (filled !== scenario.valueBytes) {
      for (const subject of subjects) await subject.fill(scenario.keys, scenario.valueBytes);
      filled = scenario.valueBytes;
    }
    const result = await measureScenario(subjects, scenario, {
      ...{ rounds, seconds, warmUpSeconds },
      onRound(subject) {
        if (interrupt.signal.aborted) throw new BalsaError('CANCELLED', 'interrupted');
        const minutes = ((total - done) * (seconds + warmUpSeconds)) / 60;
        done += 1;
        showProgress(`round ${done} of ${total}: ${subject}, ${minutes.toFixed(1)} min left`);
      },
    });
    showProgress('');
    results.push(result);
    console.log(result.title);
    console.table(rowsOf(result));
  }
  return results;
}

/** @throws BalsaError `INVALID_ARGUMENT` */
function printComparison(files: readonly string[]): void {
  const [before, after, ...others] = files;
  if (before === undefined || after === undefined || others.length > 0) {
    throw new BalsaError(
      'INVALID_ARGUMENT',
      'compare takes two files: npm run bench -- compare A.json B.json',
    );
  }
  const words = (ratio: number | null): string => (ratio === null ? '' : ratio.toFixed(2));
  console.log('second run through first; latencies below 1 are better');
  console.table(
    compareRuns(readRun(before), readRun(after)).map((one) => ({
      ...{ scenario: one.scenario, subject: one.subject },
      ...{ throughput: words(one.throughput), p50: words(one.p50), p99: words(one.p99) },
      'more than noise': one.isClear ? 'yes' : 'no',
    })),
  );
}
