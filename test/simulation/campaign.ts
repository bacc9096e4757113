import { fork } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Coverage } from './coverage.js';
import { dueAfter, EXPECTED } from './expected.js';
import { reportRuns } from './report.js';
import { formatSchedule, parseSchedule, type Schedule } from './schedule.js';
import { shrink } from './shrink.js';
import { type RunReport, simulate } from './simulate.js';

const USAGE = `npm run sim -- [--minutes N] [--cores N] [--from SEED]   a campaign; default: 1 minute, all cores
npm run sim -- --seed N [--schedule FILE]              one run
npm run sim -- --seed N --shrink [--minutes N]         the smallest schedule with which it still fails`;

const SHRINK_MS = 120_000;

/** Totals of a campaign. */
class Totals {
  readonly coverage = new Coverage();
  readonly failures: RunReport[] = [];
  runs = 0;
  simulatedMs = 0;
  events = 0;
  faults = 0;
  acknowledged = 0;

  add(report: RunReport): void {
    this.runs += 1;
    this.simulatedMs += report.simulatedMs;
    this.events += report.events;
    this.faults += report.faults;
    this.acknowledged += report.acknowledged;
    this.coverage.addAll(report.coverage);
    if (report.violation !== null) this.failures.push(report);
  }

  summary(wallMs: number, cores: number): string {
    const hours = this.simulatedMs / 3_600_000;
    const perSecond = (value: number): string => (value / wallMs).toFixed(1);
    return [
      `${this.runs} runs, ${hours.toFixed(1)} simulated hours in ${(wallMs / 60_000).toFixed(1)} minutes on ${cores} cores`,
      `${perSecond(this.simulatedMs / cores)} simulated seconds per second and core, ` +
        `${perSecond((this.events * 1000) / cores)} events per second and core`,
      `${Math.round(this.faults / hours)} faults per simulated hour, ${this.acknowledged} writes acknowledged`,
      `${this.failures.length} violations`,
    ].join('\n');
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function describeFailure({ seed, violation }: RunReport): string {
  return `\nseed ${seed}: ${violation}\nto repeat it: npm run sim -- --seed ${seed} (with --shrink: the smallest part of it that fails)`;
}

async function oneRun(seed: number, schedulePath: string | undefined): Promise<number> {
  const schedule =
    schedulePath === undefined ? undefined : parseSchedule(readFileSync(schedulePath, 'utf8'));
  const startMs = performance.now();
  const report = await simulate({ seed, schedule });
  const totals = new Totals();
  totals.add(report);
  print(totals.coverage.table([]));
  print(totals.summary(performance.now() - startMs, 1));
  print(`hash of all events: ${report.hash}`);
  if (report.violation === null) return 0;
  const file = schedulePath === undefined ? '' : ` --schedule ${schedulePath}`;
  print(`\nseed ${seed}: ${report.violation}\nto repeat it: npm run sim -- --seed ${seed}${file}`);
  return 1;
}

async function shrinkOne(seed: number, timeLimitMs: number): Promise<number> {
  const showSmaller = (schedule: Schedule): void => {
    if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${schedule.length} faults`);
  };
  const shrunk = await shrink(seed, { timeLimitMs, onSmaller: showSmaller });
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  if (shrunk === null) {
    print(`seed ${seed} does not fail`);
    return 0;
  }
  const { schedule, violation, faultsBefore, runs, finished } = shrunk;
  const path = join(tmpdir(), `balsa-sim-${seed}.json`);
  writeFileSync(path, formatSchedule(schedule));
  print(formatSchedule(schedule));
  const end = finished ? 'none smaller was found' : 'the time was up: --minutes N gives it more';
  print(`${schedule.length} of ${faultsBefore} faults left after ${runs} runs; ${end}`);
  print(`seed ${seed}: ${violation}`);
  print(`to repeat it: npm run sim -- --seed ${seed} --schedule ${path}`);
  const again = await simulate({ seed, schedule: parseSchedule(readFileSync(path, 'utf8')) });
  if (again.violation === violation) return 1;
  throw new Error(`not repeated, the simulator is not deterministic: ${again.violation}`);
}

/** What a worker is told, by its environment. */
interface Share {
  readonly from: number;
  readonly step: number;
  readonly untilMs: number;
}

function* seedsOf({ from, step, untilMs }: Share): Generator<number, void> {
  for (let seed = from; Date.now() < untilMs; seed += step) yield seed;
}

async function campaign(options: {
  minutes: number;
  cores: number;
  from: number;
}): Promise<number> {
  const { minutes, cores, from } = options;
  const startMs = performance.now();
  const untilMs = Date.now() + minutes * 60_000;
  const totals = new Totals();
  const progress = new Progress(totals, minutes * 60_000);
  const workers = Array.from({ length: cores }, (_, i) => {
    const share: Share = { from: from + i, step: cores, untilMs };
    const child = fork(process.argv[1] ?? '', ['--worker', JSON.stringify(share)]);
    child.on('message', (report: RunReport) => {
      totals.add(report);
      if (report.violation !== null) print(describeFailure(report));
      progress.show();
    });
    return new Promise<number>((resolve) => child.on('exit', (code) => resolve(code ?? 1)));
  });
  const codes = await Promise.all(workers);
  progress.clear();
  print(totals.coverage.table(EXPECTED));
  print(`\n${totals.summary(performance.now() - startMs, cores)}`);
  const missing = totals.coverage.missing(EXPECTED);
  if (missing.length > 0) print(`never seen: ${missing.join('; ')}`);
  const holes = totals.coverage.missing(dueAfter(totals.runs, from));
  if (holes.length > 0) {
    print(`so many runs must have seen these, or they prove less: ${holes.join('; ')}`);
  }
  for (const failure of totals.failures) print(describeFailure(failure));
  const isWhole = holes.length === 0 && totals.failures.length === 0;
  return isWhole && codes.every((code) => code === 0) ? 0 : 1;
}

/** One line on the error output, if that is a terminal. */
class Progress {
  readonly #totals: Totals;
  readonly #durationMs: number;
  readonly #startMs = performance.now();
  #shownMs = 0;

  constructor(totals: Totals, durationMs: number) {
    this.#totals = totals;
    this.#durationMs = durationMs;
  }

  show(): void {
    const nowMs = performance.now();
    if (!process.stderr.isTTY || nowMs - this.#shownMs < 500) return;
    this.#shownMs = nowMs;
    const { runs, simulatedMs, failures } = this.#totals;
    const wallMs = nowMs - this.#startMs;
    const leftMin = Math.max(0, (this.#durationMs - wallMs) / 60_000);
    const rate = (simulatedMs / wallMs).toFixed(0);
    process.stderr.write(
      `\r\u001b[K${runs} runs, ${rate} simulated seconds per second, ${failures.length} violations, ${leftMin.toFixed(1)} min left`,
    );
  }

  clear(): void {
    if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  }
}

function count(text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!(value >= 0)) throw new Error(`expected a number, found ${text}\n${USAGE}`);
  return value;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string' },
      cores: { type: 'string' },
      from: { type: 'string' },
      seed: { type: 'string' },
      schedule: { type: 'string' },
      shrink: { type: 'boolean' },
      worker: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.worker !== undefined) {
    await reportRuns(seedsOf(JSON.parse(values.worker) as Share));
    return 0;
  }
  if (values.help) {
    print(USAGE);
    return 0;
  }
  if (values.seed !== undefined) {
    const seed = count(values.seed, 1);
    if (!values.shrink) return oneRun(seed, values.schedule);
    if (values.schedule !== undefined)
      throw new Error(`--shrink begins with the schedule of the seed\n${USAGE}`);
    return shrinkOne(
      seed,
      values.minutes === undefined ? SHRINK_MS : count(values.minutes, 2) * 60_000,
    );
  }
  return campaign({
    minutes: count(values.minutes, 1),
    cores: Math.max(1, count(values.cores, availableParallelism())),
    from: count(values.from, 1),
  });
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
  },
);
