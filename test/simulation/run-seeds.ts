import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Coverage } from './coverage.js';
import { COMMON } from './expected.js';
import type { RunReport } from './simulate.js';

const ROOT = resolve(import.meta.dirname, '../..');

/** Far beyond what all seeds of a file take. */
const SEEDS_TIMEOUT_MS = 20 * 60_000;

/**
 * Room for its garbage, most of which is old at once, and no threads for it that other tests want to have; and
 * less of its code is put into other code: compiling what was put together took a tenth of the time of all. Code that is
 * interpreted costs more than to compile it plainly at once.
 */
const ENGINE = [
  ...['--max-semi-space-size=128', '--single-threaded-gc'],
  ...['--max-inlined-bytecode-size-cumulative=250', '--no-use-osr', '--always-sparkplug'],
];

/**
 * Each seed is two simulated minutes of whole replicas and the real client under faults that belong to the
 * seed, and then without: see `simulate`. A failure names the command that repeats it. They run compiled
 * in a process of their own: through the modules of the test runner they take half as long again.
 */
export function testSeeds(from: number, count: number): void {
  const compiled = new Compiled();
  const reports = new Reports();
  beforeAll(async () => {
    const worker = await compiled.make('test/simulation/seeds-worker.ts');
    reports.follow(fork(worker, [`${from}`, `${count}`], { execArgv: ENGINE }));
  });
  afterAll(() => {
    reports.end();
    compiled.remove();
  });
  const seeds = Array.from({ length: count }, (_, i) => from + i);
  test.each(seeds)(
    'a cluster keeps its promises under the faults of seed %i',
    { timeout: SEEDS_TIMEOUT_MS },
    async (seed) => {
      const { violation } = await reports.of(seed);
      expect(violation, `to repeat it: npm run sim -- --seed ${seed}`).toBeNull();
    },
  );

  test('these schedules together went wherever so many are sure to go', {
    timeout: SEEDS_TIMEOUT_MS,
  }, async () => {
    const coverage = new Coverage();
    for (const seed of seeds) coverage.addAll((await reports.of(seed)).coverage);
    expect(coverage.missing(COMMON)).toEqual([]);
  });
}

/** The simulator as it is now, in a folder of its own: nobody else's compilation disturbs it. */
class Compiled {
  readonly #folder: string;

  constructor() {
    // Below the packages that it needs.
    const cache = join(ROOT, 'node_modules/.cache');
    mkdirSync(cache, { recursive: true });
    this.#folder = mkdtempSync(join(cache, 'balsa-simulator-'));
  }

  /** One file, with all that the module imports from this project. @returns where it is */
  async make(module: string): Promise<string> {
    const outfile = join(this.#folder, 'compiled.mjs');
    await build({
      ...{ absWorkingDir: ROOT, entryPoints: [module], outfile, logLevel: 'error' },
      ...{ bundle: true, packages: 'external', platform: 'node', format: 'esm', target: 'node20' },
      // Puts constants where they are used.
      minifySyntax: true,
    });
    return outfile;
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

interface Waiting {
  resolve(report: RunReport): void;
  reject(error: Error): void;
}

/** What a worker says, by seed. */
class Reports {
  readonly #reports = new Map<number, RunReport>();
  readonly #waiting = new Map<number, Waiting>();
  #child: ChildProcess | null = null;
  #ended: Error | null = null;

  follow(child: ChildProcess): void {
    this.#child = child;
    child.on('message', (report: RunReport) => {
      this.#reports.set(report.seed, report);
      this.#waiting.get(report.seed)?.resolve(report);
    });
    child.on('close', (code, signal) => {
      const error = new Error(`the worker ended with ${signal ?? `code ${code}`}`);
      this.#ended = error;
      // Nothing happens to those that have their report.
      for (const { reject } of this.#waiting.values()) reject(error);
    });
  }

  async of(seed: number): Promise<RunReport> {
    const report = this.#reports.get(seed);
    if (report !== undefined) return report;
    if (this.#ended !== null) throw this.#ended;
    return new Promise((resolve, reject) => this.#waiting.set(seed, { resolve, reject }));
  }

  end(): void {
    this.#child?.kill();
  }
}
