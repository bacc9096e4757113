import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { BalsaError } from '../src/base/errors.js';
import { titleOf } from '../src/cli/bench/scenario.js';
import { type Change, compareRuns } from './harness/compare-runs.js';
import { clearAtExit, EXIT_INTERRUPTED, SIGNALS } from './harness/interrupt.js';
import { measureLimits } from './harness/limits.js';
import { machineFacts } from './harness/machine-facts.js';
import { benchPage } from './harness/page.js';
import { Progress, showProgress } from './harness/progress.js';
import { ableTo, measureScenario, type ScenarioResult } from './harness/rounds.js';
import { COST_COLUMNS, rowsOf, SPEED_COLUMNS } from './harness/rows.js';
import { type BenchRun, mustBeWritable, readRun, writeRun } from './harness/run-file.js';
import { rounded } from './machine.js';
import { type BenchOptions, benchOptions, USAGE } from './options.js';
import { missingPrograms } from './peers/installed.js';
import type { Peer, Subject } from './peers/subject.js';

/** `npm run bench`: see `USAGE`. */
const interrupt = new AbortController();
for (const signal of SIGNALS) {
  process.once(signal, () => {
    interrupt.abort(new BalsaError('CANCELLED', 'interrupted'));
    // At once, at the second time.
    process.once(signal, () => process.exit(EXIT_INTERRUPTED));
  });
}

const EXIT_WRONG_USE = 2;
const EXIT_FAILED = 1;

const args = process.argv.slice(2);
try {
  if (args.includes('--help')) console.log(USAGE);
  else if (args[0] === 'compare') printComparison(args.slice(1));
  else await bench(benchOptions(args));
} catch (error) {
  if (!(error instanceof BalsaError)) throw error;
  showProgress('');
  console.error(`bench: ${error.message}`);
  process.exitCode = exitCodeOf(error);
}

function exitCodeOf({ code }: BalsaError): number {
  if (code === 'CANCELLED') return EXIT_INTERRUPTED;
  return code === 'INVALID_ARGUMENT' ? EXIT_WRONG_USE : EXIT_FAILED;
}

async function bench(options: BenchOptions): Promise<void> {
  if (process.platform !== 'linux') {
    throw new BalsaError('INVALID_ARGUMENT', 'what processes take is read from /proc: Linux only');
  }
  for (const path of [options.json, options.html]) if (path !== undefined) mustBeWritable(path);
  clearAtExit();
  const machine = machineFacts(tmpdir());
  if (machine.fileSystem === 'tmpfs') {
    console.log(
      `${tmpdir()} is memory (tmpfs), where a sync costs nothing: set TMPDIR to a folder on a disk`,
    );
  }
  const limits = await measureLimits();
  console.table(limits.map(({ what, perSecond }) => ({ what, 'per second': rounded(perSecond) })));
  const missing = missingPeers(options);
  for (const [name, reason] of Object.entries(missing))
    console.log(`not measured: ${name}: ${reason}`);

  const started: Peer[] = [];
  try {
    for (const kind of options.peers.filter((one) => one.missing() === null)) {
      stopIfInterrupted();
      started.push(await kind.start());
    }
    const subjects = started.flatMap((peer) => peer.subjects);
    const durability = Object.fromEntries(
      subjects.map(({ name, durability: its }) => [name, its] as const),
    );
    for (const [name, its] of Object.entries(durability)) console.log(`${name}: ${its}`);
    const command = ['npm run bench --', ...args].join(' ');
    const facts = { at: new Date().toISOString(), command, machine, limits, missing, durability };
    await measureAll(subjects, options, (scenarios) =>
      writeResults(options, { ...facts, scenarios }),
    );
  } finally {
    for (const peer of started.reverse()) await peer[Symbol.asyncDispose]();
  }
}

function writeResults({ json, html }: BenchOptions, run: BenchRun): void {
  if (json !== undefined) writeRun(json, run);
  if (html !== undefined) writeFileSync(html, benchPage(run));
}

/** @throws BalsaError `CANCELLED` */
function stopIfInterrupted(): void {
  if (interrupt.signal.aborted) throw new BalsaError('CANCELLED', 'interrupted');
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

/** @param onScenario is given all that was measured so far: what comes may fail, or be interrupted */
async function measureAll(
  subjects: readonly Subject[],
  options: BenchOptions,
  onScenario: (results: readonly ScenarioResult[]) => void,
): Promise<void> {
  const { scenarios, rounds, seconds, warmUpSeconds } = options;
  const results: ScenarioResult[] = [];
  const pairs = scenarios.flatMap((one) => ableTo(one, subjects));
  const total = pairs.length * rounds;
  const progress = new Progress({ total });
  // What is compiled while it runs has to have run for longer than a round before it is measured.
  const beforeAll = { seconds, warmUpSeconds: 3 * warmUpSeconds, signal: interrupt.signal };
  let begun = 0;
  let filled = 0;
  try {
    for (const scenario of scenarios) {
      if (filled !== scenario.valueBytes) {
        for (const subject of subjects) {
          stopIfInterrupted();
          progress.at(begun, `${scenario.keys} keys for ${subject.name}`);
          await subject.fill(scenario.keys, scenario.valueBytes);
        }
        filled = scenario.valueBytes;
      }
      if (results.length === 0) {
        for (const subject of ableTo(scenario, subjects)) {
          progress.at(begun, `${subject.name} runs for the first time, not counted`);
          await subject.measure(scenario, beforeAll, () => {});
        }
      }
      const result = await measureScenario(subjects, scenario, {
        ...{ rounds, seconds, warmUpSeconds, signal: interrupt.signal },
        onRound(subject) {
          progress.at(begun, `round ${begun + 1} of ${total}: ${subject}, ${titleOf(scenario)}`);
          begun += 1;
        },
      });
      results.push(result);
      onScenario(results);
      progress.say(result.title);
      for (const columns of [SPEED_COLUMNS, COST_COLUMNS]) {
        console.table(rowsOf(result), [...columns]);
      }
    }
  } finally {
    progress.end();
  }
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
  const words = ({ ratio, isClear }: Change): string => {
    if (ratio === null) return '';
    return `${ratio.toFixed(2)}${isClear ? '' : ' (noise)'}`;
  };
  const { differences, unmatched } = compareRuns(readRun(before), readRun(after));
  console.log(
    'second run through first; latencies below 1 are better; noise: rounds of both lie among each other, or there is only one',
  );
  console.table(
    differences.map((one) => ({
      ...{ scenario: one.scenario, subject: one.subject },
      ...{ throughput: words(one.throughput), p50: words(one.p50), p99: words(one.p99) },
    })),
  );
  for (const name of unmatched) console.log(`only in one of them: ${name}`);
}
