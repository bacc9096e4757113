import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CHECKERS } from '../../jepsen-like/checkers/all-checkers.js';
import { JobWorkers } from '../../jepsen-like/cluster/job-workers.js';
import { lookAtMachine } from '../../jepsen-like/cluster/machine.js';
import { System } from '../../jepsen-like/cluster/system.js';
import { isCaught } from '../../jepsen-like/mutations/hunt.js';
import { PREY } from '../../jepsen-like/mutations/prey.js';
import { chooseNemeses } from '../../jepsen-like/nemeses/nemeses.js';
import { planCycles, planPeriods } from '../../jepsen-like/nemeses/schedule.js';
import { parseOptions } from '../../jepsen-like/options.js';
import { htmlReport } from '../../jepsen-like/report/html.js';
import { matrixMarkdown, mergeMatrices } from '../../jepsen-like/report/matrix.js';
import { isGood, summarize } from '../../jepsen-like/report/summary.js';
import { type RunSpec, readsUnderLeases } from '../../jepsen-like/run/conduct.js';
import { judge } from '../../jepsen-like/run/judge.js';
import { run } from '../../jepsen-like/run/run.js';
import { chooseWorkloads } from '../../jepsen-like/workloads/workloads.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { MUTATIONS } from '../mutants/mutations.js';
import { lives } from '../whole/support.js';

/** Real processes and real faults, for as short a time as shows something; `npm run jepsen` goes on for longer. */

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'balsa-jepsen-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function linesOf(path: string): Record<string, unknown>[] {
  const text = readFileSync(path, 'utf8').trim();
  return text === '' ? [] : text.split('\n').map((line) => JSON.parse(line));
}

describe('a schedule of faults', () => {
  const nemeses = chooseNemeses('all');
  const names = (seed: number): unknown =>
    planPeriods({ seed, nemeses, totalMs: 1_800_000 }).map(({ lengthMs, episodes }) => [
      lengthMs,
      ...episodes.map(({ nemesis, afterMs, holdMs, seed: own }) => [
        nemesis.name,
        afterMs,
        holdMs,
        own,
      ]),
    ]);

  test('is a function of its seed', () => {
    expect(names(7)).toEqual(names(7));
    expect(names(7)).not.toEqual(names(8));
  });

  test('gives each nemesis its turn, leaves about a quarter of the time in peace, and takes as long as it is to', () => {
    const periods = planPeriods({ seed: 3, nemeses, totalMs: 1_800_000 });
    const used = new Set(
      periods.flatMap(({ episodes }) => episodes.map((one) => one.nemesis.name)),
    );
    expect([...used].sort()).toEqual(nemeses.map(({ name }) => name).sort());
    const peace = periods.filter(({ episodes }) => episodes.length === 0).length;
    expect(peace / periods.length).toBeGreaterThan(0.15);
    expect(peace / periods.length).toBeLessThan(0.35);
    expect(periods.reduce((sum, { lengthMs }) => sum + lengthMs, 0)).toBe(1_800_000);
  });

  test('of cycles has one fault in each, behind a time without any', () => {
    const periods = planCycles({ seed: 1, nemeses: chooseNemeses('kill-all'), cycles: 12 });
    expect(periods.map(({ episodes }) => episodes.map((one) => one.nemesis.name))).toEqual([
      [],
      ...Array.from({ length: 12 }, () => ['kill-all']),
    ]);
  });
});

test('leaders read under a lease in every second seed, or as it is asked for', () => {
  const reads = (seed: number, asked: string[] = []): boolean => {
    const { leaseReads } = parseOptions(asked);
    return readsUnderLeases({ seed, leaseReads } as RunSpec);
  };
  expect([1, 2, 3, 4].map((seed) => reads(seed))).toEqual([true, false, true, false]);
  expect(reads(2, ['--lease-reads', 'yes'])).toBe(true);
  expect(reads(1, ['--lease-reads', 'no'])).toBe(false);
  expect(() => reads(1, ['--lease-reads', 'maybe'])).toThrow('yes or no');
});

describe('a run', () => {
  test('survives faults with valid histories, and leaves these and its logs, and no data and no process', async () => {
    const nemeses = chooseNemeses('kill-all,partition-leader,pause-leader,worker-kill');
    const record = await run({
      workloads: chooseWorkloads('register,bank,jobs'),
      nemeses,
      nodes: 3,
      periods: planCycles({ seed: 5, nemeses, cycles: 4 }),
      untilMs: Number.POSITIVE_INFINITY,
      seed: 5,
      pace: 1,
      leaseReads: true,
      network: 'proxies',
      folder: join(folder, 'run'),
      machine: lookAtMachine(),
      signal: new AbortController().signal,
      onProgress: () => {},
    });
    expect(record.problems).toEqual([]);
    expect([...record.injected.keys()]).toEqual(
      expect.arrayContaining(['kill-all', 'partition-leader', 'pause-leader', 'worker-kill']),
    );
    const judged = await judge(record);
    const verdicts = judged.flatMap(({ verdicts: all }) => all);
    expect(verdicts.length).toBeGreaterThan(0);
    expect(verdicts.filter(({ valid }) => valid !== true)).toEqual([]);
    expect(verdicts.every(({ operations }) => operations > 0)).toBe(true);
    const page = htmlReport(
      summarize(record, judged, { command: 'npm run jepsen', leftOut: ['clock-jump (no x)'] }),
      [],
    );
    expect(page).toContain('nothing wrong was found');
    expect(page).toContain('clock-jump (no x)');
    expect(page).toContain('leaders read under a lease');
    expect(page).not.toMatch(/(?:src|href)=|https?:/);
    const faults = linesOf(join(folder, 'run', 'faults.jsonl'));
    expect(faults.filter(({ phase }) => phase === 'begin')).toHaveLength(4);
    expect(faults.filter(({ phase }) => phase === 'end')).toHaveLength(4);
    const watched = linesOf(record.watchPath);
    expect(watched.length).toBe(record.events);
    expect(readdirSync(join(folder, 'run', 'replicas')).sort()).toEqual([
      'n1.log',
      'n2.log',
      'n3.log',
    ]);
  });
});

const machine = lookAtMachine();

test.skipIf(machine.fakeTimeLibrary === null)(
  'a replica with a clock that lies leaves nothing in shared memory, however it ends',
  async () => {
    await using system = await System.start({
      ...{ nodes: 1, folder, machine, clocks: true, network: 'proxies', oldReplicas: false },
      leaseReads: false,
    });
    const pid = system.cluster.replicas[0]?.pid ?? 0;
    const left = (): string[] => readdirSync('/dev/shm').filter((name) => name.endsWith(`_${pid}`));
    expect(left()).not.toEqual([]);
    await system.cluster.kill('n1');
    expect(left()).toEqual([]);
  },
);

test('a worker of jobs that ends by itself is told of, with what it had said', async () => {
  const entry = join(folder, 'broken.mjs');
  writeFileSync(entry, "console.error('no such thing'); process.exitCode = 3;");
  const workers = new JobWorkers({ folder, entry, endpoints: () => [] });
  workers.provide('', 1);
  await waitUntil('its end', async () => (workers.strangeEnds.length > 0 ? true : undefined));
  expect(workers.strangeEnds).toEqual([expect.stringMatching(/code 3.*no such thing/s)]);
  expect(workers.running).toEqual([]);
});

describe('a report', () => {
  const one = {
    none: { put: { ok: 10, errors: {} } },
    'partition-leader: minority side': { put: { ok: 0, errors: { NO_QUORUM: 9, TIMEOUT: 1 } } },
  };

  test('says of each fault what was served, and with what the rest was refused', () => {
    const both = mergeMatrices([one, { none: { put: { ok: 10, errors: { TIMEOUT: 20 } } } }]);
    const [, , none, cut] = matrixMarkdown(both).split('\n');
    expect(none).toBe('| no fault | 50 % served, else `TIMEOUT` |');
    expect(cut).toBe('| partition-leader: minority side | `NO_QUORUM`, `TIMEOUT` |');
  });

  test('calls nothing good of which a part is not known, or which nobody has judged', () => {
    const verdict = (valid: true | 'unknown') => ({
      workload: 'register',
      history: 'x',
      verdicts: [{ valid, checker: 'register', operations: 1, text: '', tookMs: 1 }],
    });
    expect(isGood({ verdicts: [verdict(true)], problems: [] })).toBe(true);
    expect(isGood({ verdicts: [verdict('unknown')], problems: [] })).toBe(false);
    expect(isGood({ verdicts: [verdict(true)], problems: ['n1 ended'] })).toBe(false);
    expect(isGood({ verdicts: [], problems: [] })).toBe(false);
  });
});

describe('the hunt for mutations', () => {
  test('names bugs, workloads and nemeses that there are', () => {
    expect(PREY.length).toBeGreaterThanOrEqual(12);
    for (const { mutation, workload, nemesis, checkers } of PREY) {
      expect(MUTATIONS.map(({ name }) => name)).toContain(mutation);
      expect(chooseWorkloads(workload).length).toBeGreaterThan(0);
      expect(chooseNemeses(nemesis).length).toBeGreaterThan(0);
      const asked = chooseWorkloads(workload).flatMap((one) => one.checkers);
      expect(checkers.filter((name) => !asked.includes(name))).toEqual([]);
    }
  });

  test('catches by the checkers that a bug is for, and by no others', () => {
    const found = (checker: string, valid: false | 'unknown'): boolean => {
      const verdict = { valid, checker, operations: 1, text: '', tookMs: 1 };
      const verdicts = [{ workload: 'x', history: 'x', verdicts: [verdict] }];
      return isCaught({ verdicts, problems: ['the end'] }, { checkers: ['register'] });
    };
    expect([found('register', false), found('register', 'unknown')]).toEqual([true, false]);
    expect(found('lease', false)).toBe(false);
    const one = { checkers: [], problem: 'the end' };
    expect(isCaught({ verdicts: [], problems: ['by the end'] }, one)).toBe(true);
  });

  test('refuses a workload that it does not know', () => {
    expect(() => chooseWorkloads('regster')).toThrow('there is no workload regster; --list names');
  });

  test('knows a checker for each workload', () => {
    const names = chooseWorkloads('all').flatMap(({ checkers }) => checkers);
    expect(names.filter((name) => CHECKERS[name] === undefined)).toEqual([]);
  });
});

describe('the command', () => {
  const MAIN = join(import.meta.dirname, '../../jepsen-like/main.ts');
  const TSX = join(import.meta.dirname, '../../node_modules/.bin/tsx');

  test('lists what there is', () => {
    const listed = execFileSync(TSX, [MAIN, '--list'], { encoding: 'utf8' });
    expect(listed).toMatch(/register +read, write/);
    expect(listed).toMatch(/kill-all +kill -9/);
  });

  test('that is interrupted leaves no process and no data behind', async () => {
    const args = [MAIN, '--workload', 'register', '--nemesis', 'pause,partition', '--nodes', '3'];
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', ...args, '--minutes', '5', '--seed', '1', '--out', folder],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    child.stdout.resume();
    child.stderr.resume();
    const pids = await waitUntil(
      'replicas that are under load',
      async () => {
        const [name] = readdirSync(folder);
        const faults = join(folder, name ?? '', 'faults.jsonl');
        if (name === undefined || !existsSync(faults)) return undefined;
        if (!readFileSync(faults, 'utf8').includes('begin')) return undefined;
        return replicasOf(folder);
      },
      { timeoutMs: 120_000 },
    );
    expect(pids).toHaveLength(3);
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    expect(pids.filter(lives)).toEqual([]);
    const [name = ''] = readdirSync(folder);
    expect(
      readdirSync(join(folder, name, 'replicas')).filter((one) => !one.endsWith('.log')),
    ).toEqual([]);
  });
});

/** Processes whose command line names the folder. */
function replicasOf(path: string): number[] {
  const listing = execFileSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' });
  return listing
    .split('\n')
    .filter((line) => line.includes(' start ') && line.includes(path))
    .map((line) => Number(line.trim().split(' ')[0]));
}
