import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { compareRuns } from '../../bench/harness/compare-runs.js';
import { fileSystemOf } from '../../bench/harness/machine-facts.js';
import { benchPage } from '../../bench/harness/page.js';
import { type Round, ratiosOf } from '../../bench/harness/rounds.js';
import { COST_COLUMNS, rowsOf, SPEED_COLUMNS } from '../../bench/harness/rows.js';
import { mustBeWritable, readRun } from '../../bench/harness/run-file.js';
import { benchOptions } from '../../bench/options.js';
import { computeCalls } from '../../bench/peers/balsa-calls.js';
import { fanOut } from '../../bench/peers/fan-out.js';
import { parseH2load, requestFrame } from '../../bench/peers/h2load.js';
import { parseRedis } from '../../bench/peers/redis.js';
import { seededRandom } from '../../src/base/random.js';
import { drive } from '../../src/cli/bench/drive.js';
import { keyChooser } from '../../src/cli/bench/keys.js';
import {
  CURVE_SHARES,
  latencySummary,
  median,
  ratesOverTime,
} from '../../src/cli/bench/latencies.js';
import { OPERATIONS, type Scenario, titleOf } from '../../src/cli/bench/scenario.js';
import type { Client } from '../../src/client/client.js';

const SCENARIO: Scenario = {
  ...{ operation: 'put', valueBytes: 3, outstanding: 4 },
  ...{ distribution: 'uniform', keys: 10, ratePerSecond: null },
};

function round(perSecond: number, p99Ms = 1): Round {
  return {
    ...{ served: 1, perSecond, errors: {}, p50Ms: 1, p99Ms, p999Ms: 1, maxMs: 1 },
    ...{ serverCpuSeconds: 0, clientCpuSeconds: 0, serverPeakBytes: [], diskBytes: 0 },
    ...{ clientPeakBytes: 0, clientLoopDelayMs: null, serverLoopDelayMs: null, syncsPerCall: null },
  };
}

test('percentiles are of the nearest rank, and the median of an even count is between two', () => {
  const latencies = Array.from({ length: 1000 }, (_, i) => 1000 - i);
  expect(latencySummary(latencies)).toEqual({
    ...{ p50Ms: 500, p99Ms: 990, p999Ms: 999, maxMs: 1000 },
    curveMs: CURVE_SHARES.map((share) => Math.ceil(share * 1000)),
  });
  expect(median([1, 10, 2, 20])).toBe(6);
  expect(median([])).toBeNaN();
});

test('keys are chosen all over, or as often as their rank says', () => {
  const counts = (distribution: Scenario['distribution']): number[] => {
    const random = seededRandom(7);
    const next = keyChooser({ distribution, keys: 1000 }, () => random.next());
    const seen = new Array<number>(1000).fill(0);
    for (let i = 0; i < 100_000; i += 1) {
      const key = next();
      seen[key] = (seen[key] ?? 0) + 1;
    }
    return seen.sort((a, b) => b - a);
  };
  expect(counts('uniform')[0]).toBeLessThan(200);
  const [first = 0, second = 0, ...others] = counts('zipfian');
  // 1 / (1 + 1/2^0.99 + … + 1/1000^0.99) of all is the first one's.
  expect(first / 100_000).toBeCloseTo(0.128, 2);
  expect(first / second).toBeGreaterThan(1.7);
  expect(first / second).toBeLessThan(2.3);
  expect(others).toHaveLength(998);
});

test.each([7919, 2 * 7907, 100])('the popularity of %i keys leaves none of them out', (keys) => {
  const dice = { next: 0 };
  const next = keyChooser({ distribution: 'zipfian', keys }, () => dice.next);
  const seen = new Set<number>();
  for (let i = 0; i < 200_000; i += 1) {
    dice.next = i / 200_000;
    seen.add(next());
  }
  expect(seen.size).toBeGreaterThan(0.9 * keys);
});

test('in an open loop, a store that stands still makes all calls late that were due', async () => {
  let calls = 0;
  let stands: Promise<void> | null = null;
  const store = {
    get: async () => {},
    put: async () => {
      calls += 1;
      if (calls === 20) stands = new Promise((resolve) => setTimeout(resolve, 300));
      await stands;
    },
  };
  const length = { warmUpSeconds: 0, seconds: 1 };
  const open = await drive(store, { ...SCENARIO, ratePerSecond: 200 }, length, () => {});
  expect(calls).toBe(200);
  // Of 200, some 60 were due while it stood still.
  expect(open.p99Ms).toBeGreaterThan(200);
  expect(open.served).toBe(200);
});

describe('of calls that take 150 ms, four at a time', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    onTestFinished(() => void vi.useRealTimers());
  });

  const slow = {
    get: async () => {},
    put: () => new Promise((resolve) => setTimeout(resolve, 150)),
  };

  test('those that end within the time measured are the throughput, and those that begin in it have latencies', async () => {
    const measured = drive(slow, SCENARIO, { warmUpSeconds: 0.1, seconds: 1 });
    await vi.advanceTimersByTimeAsync(2000);
    // From 100 to 1100 ms they end at 150, 300, … 1050, and begin at 150, … 1050.
    expect(await measured).toMatchObject({
      ...{ served: 28, perSecond: 28, p50Ms: 150, maxMs: 150, errors: {} },
      perSecondOverTime: [32, 16, 32, 32],
    });
  });

  test('an interruption ends the time measured, and what was under way is waited for', async () => {
    const controller = new AbortController();
    const length = { warmUpSeconds: 0, seconds: 1, signal: controller.signal };
    const measured = drive(slow, SCENARIO, length);
    await vi.advanceTimersByTimeAsync(400);
    controller.abort();
    await vi.advanceTimersByTimeAsync(100);
    // Those of 300 ms end at 450: they have a latency, and are not in the 400 ms.
    expect(await measured).toMatchObject({
      ...{ served: 12, perSecond: 20, perSecondOverTime: [16, (4 * 1000) / 150] },
    });
  });
});

test('calls that fail are counted by their code, and are not among the served', async () => {
  const store = {
    get: async () => {},
    put: async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      throw Object.assign(new Error('full'), { code: 'OVERLOADED' });
    },
  };
  const calls = await drive(store, SCENARIO, { warmUpSeconds: 0, seconds: 0.05 }, () => {});
  expect(calls.served).toBe(0);
  expect(calls.errors.OVERLOADED).toBeGreaterThanOrEqual(4);
});

test('calls that are neither puts nor gets are prepared before the first, and ended behind the last', async () => {
  const said: string[] = [];
  const say = (word: string) => async (): Promise<void> => {
    if (said.at(-1) !== word) said.push(word);
  };
  const others = { range: { begin: say('begin'), call: say('call'), end: say('end') } };
  const store = { get: say('get'), put: say('put'), others };
  const length = { warmUpSeconds: 0, seconds: 0.02 };
  const { served } = await drive(store, { ...SCENARIO, operation: 'range' }, length);
  expect(served).toBeGreaterThan(0);
  expect(said).toEqual(['begin', 'call', 'end']);
  await expect(drive(store, { ...SCENARIO, operation: 'txn' }, length)).rejects.toThrow(
    'the client has calls of txn',
  );
});

test('a put has ended when a hundred watchers were told of it, before or behind its answer', async () => {
  const watchers: ((revision: number) => void)[] = [];
  let ended = 0;
  let answer: (revision: number) => void = () => {};
  const calls = fanOut({
    put: () =>
      new Promise<number>((resolve) => {
        answer = resolve;
      }),
    watch: async (onEvent) => {
      watchers.push(onEvent);
      return async () => {
        ended += 1;
      };
    },
  });
  await calls.begin?.();
  expect(watchers).toHaveLength(100);
  for (const early of [0, 40, 100]) {
    let isDone = false;
    const put = calls.call('k', Buffer.alloc(0)).then(() => {
      isDone = true;
    });
    for (const told of watchers.slice(0, early)) told(7);
    answer(7);
    await new Promise((resolve) => setImmediate(resolve));
    expect(isDone).toBe(early === 100);
    for (const told of watchers.slice(early)) told(7);
    await put;
  }
  await calls.end?.();
  expect(ended).toBe(100);
});

test('a job is removed when it has been measured: the cluster keeps a thousand of them', async () => {
  const kept = new Set<object>();
  const submit = async (): Promise<object> => {
    const handle = { result: async () => ['done'], remove: async () => kept.delete(handle) };
    kept.add(handle);
    return handle;
  };
  const { job } = computeCalls({ submit } as unknown as Client);
  expect(await job?.call('k', Buffer.alloc(0))).toEqual(['done']);
  expect(kept.size).toBe(0);
});

test('ratios are of rounds that stood beside each other', () => {
  const results = [
    { subject: 'a', rounds: [round(100), round(50), round(200)] },
    { subject: 'b', rounds: [round(10), round(10), round(100)] },
  ];
  expect(ratiosOf(results)).toEqual([
    {
      against: 'b',
      throughput: { median: 5, min: 2, max: 10 },
      ...{ p50: { median: 1, min: 1, max: 1 }, p99: { median: 1, min: 1, max: 1 } },
    },
  ]);
});

test('two runs are compared, and what differs by less than its rounds is called noise', () => {
  const run = (...rates: number[]) => ({
    at: '',
    scenarios: [
      { title: 't', results: [{ subject: 's', rounds: rates.map((rate) => round(rate)) }] },
    ],
  });
  const throughput = (before: number[], after: number[]) =>
    compareRuns(run(...before), run(...after)).differences[0]?.throughput;
  const { differences, unmatched } = compareRuns(run(100, 110, 120), run(200, 220, 240));
  expect(differences).toMatchObject([
    { scenario: 't', subject: 's', throughput: { ratio: 2, isClear: true }, p50: { ratio: 1 } },
  ]);
  expect(unmatched).toEqual([]);
  expect(throughput([100, 110, 120], [119, 130, 140])?.isClear).toBe(false);
  // One round says nothing of how much they differ.
  expect(throughput([100], [200])).toEqual({ ratio: 2, isClear: false });
  expect(compareRuns(run(1), { at: '', scenarios: [] })).toEqual({
    differences: [],
    unmatched: ['t: s'],
  });
});

test('a file that is no run is refused in words', () => {
  const folder = mkdtempSync(join(tmpdir(), 'balsa-bench-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'a.json');
  expect(() => readRun(path)).toThrow(/is not a run of the benchmark: ENOENT/);
  writeFileSync(path, '{"at": 3}');
  expect(() => readRun(path)).toThrow(/is not a run of the benchmark: .*expected string/);
});

test('what h2load prints and logs is read, and an answer that was none counts as a failure', () => {
  const output = `finished in 5.00s, 2.20 req/s, 1.2KB/s
requests: 12 total, 13 started, 12 done, 11 succeeded, 1 failed, 0 errored, 0 timeout
`;
  const log = '170\t200\t1000\n171\t200\t3000\n172\t500\t9000\n';
  expect(parseH2load(output, log, 5)).toEqual({
    ...{ p50Ms: 1, p99Ms: 3, p999Ms: 3, maxMs: 3 },
    ...{ served: 11, perSecond: 2.2, errors: { failed: 1 }, curveMs: expect.any(Array) },
    perSecondOverTime: [8, ...new Array<number>(19).fill(0)],
  });
  expect(() => parseH2load('could not connect', '', 5)).toThrow(/no counts: could not connect/);
});

test('requests for etcd are frames of gRPC with the lengths that they have', () => {
  const put = requestFrame({ ...SCENARIO, valueBytes: 300 });
  expect(put.readUInt32BE(1)).toBe(put.length - 5);
  expect(put.subarray(5, 7)).toEqual(Buffer.from([0x0a, 14]));
  // 300 as a varint.
  expect(put.subarray(21, 24)).toEqual(Buffer.from([0x12, 0xac, 0x02]));
  expect(put.length).toBe(5 + 2 + 14 + 3 + 300);
});

test('the table of redis-benchmark is read', () => {
  const output = `"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
"SET","1234.50","0.5","0.1","0.4","0.9","1.2","7.0"
`;
  expect(parseRedis(output, 100)).toMatchObject({
    perSecond: 1234.5,
    p50Ms: 0.4,
    p99Ms: 1.2,
    maxMs: 7,
  });
  expect(() => parseRedis('refused', 1)).toThrow(/no row: refused/);
});

test('flags that are wrong are named', () => {
  expect(benchOptions(['--peers', 'balsa', '--rates', '10']).scenarios).toHaveLength(10);
  expect(() => benchOptions(['--operations', 'push'])).toThrow(
    '--operations must be some of put, get, ',
  );
  expect(() => benchOptions(['--seconds', 'x'])).toThrow('--seconds must be a whole number');
  expect(() => benchOptions(['--rounds', '1,2'])).toThrow('--rounds must be a whole number');
  expect(() => benchOptions(['--frobnicate'])).toThrow(/frobnicate/);
});

test('all scenarios are each operation, size, distribution and load, each of them once', () => {
  const { scenarios } = benchOptions(['--peers', 'balsa', '--scenarios', 'all', '--keys', '7']);
  const all = (of: keyof Scenario) => new Set(scenarios.map((one) => one[of]));

  expect(all('operation')).toEqual(new Set(OPERATIONS));
  expect(all('valueBytes')).toEqual(new Set([16, 128, 1024, 65_536]));
  expect(all('outstanding')).toEqual(new Set([1, 64, 256, 1024]));
  expect(all('distribution')).toEqual(new Set(['uniform', 'zipfian']));
  expect(all('ratePerSecond')).toEqual(new Set([null, 2000]));
  expect(all('keys')).toEqual(new Set([7]));
  expect(new Set(scenarios.map(titleOf)).size).toBe(scenarios.length);
  expect(() => benchOptions(['--scenarios', 'all', '--rates=10'])).toThrow('nothing to --rates');
});

test('the page holds what was measured, and nothing of it is taken for markup', () => {
  const page = benchPage({
    ...{ at: 'now', command: 'npm run bench -- "<x>"', limits: [{ what: 'syncs', perSecond: 5 }] },
    machine: {
      ...{ cpus: 2, cpu: 'c', node: 'v', loadAverageBefore: 0.5 },
      ...{ fileSystem: 'ext4', commit: 'abc' },
    },
    ...{ durability: { a: 'synced' }, missing: { redis: 'not found' } },
    scenarios: [1, 64].map((outstanding) => ({
      title: `put, ${outstanding}`,
      scenario: { ...SCENARIO, outstanding },
      results: [
        {
          subject: 'a',
          rounds: [
            { ...round(1234), curveMs: CURVE_SHARES.map(() => 4), perSecondOverTime: [777, 888] },
          ],
        },
      ],
      ...{ ratios: [], left: { b: 'cannot' } },
    })),
  });
  const shown = [
    '1234',
    'redis: not found',
    'b: cannot',
    '&lt;x>',
    '<path d="M64.0',
    'data on ext4',
  ];
  const plots = ['by outstanding calls', 'latency in ms, by percentile', 'over time', '>888<'];
  for (const word of [...shown, ...plots]) {
    expect(page).toContain(word);
  }
});

test('a terminal is shown all that the page shows, in two tables', () => {
  const result = { title: '', scenario: SCENARIO, ratios: [], left: {} };
  const [row] = rowsOf({ ...result, results: [{ subject: 'a', rounds: [round(1)] }] });
  const shown = new Set<string>([...SPEED_COLUMNS, ...COST_COLUMNS]);
  expect(new Set(Object.keys(row ?? {}))).toEqual(shown);
});

test('the file system of a folder is that of the mount closest to it', () => {
  const mounts = [
    'a / ext4 rw',
    'b /tmp tmpfs rw',
    'c /tmp/x xfs rw',
    'd /tmp/x btrfs rw',
    '',
  ].join('\n');
  expect(fileSystemOf('/home/x', mounts)).toBe('ext4');
  expect(fileSystemOf('/tmp', mounts)).toBe('tmpfs');
  expect(fileSystemOf('/tmpfiles', mounts)).toBe('ext4');
  expect(fileSystemOf('/tmp/x/y', mounts)).toBe('btrfs');
  expect(fileSystemOf('/tmp', '')).toBe('unknown');
});

test('a file that cannot be written is refused before anything is measured', () => {
  const folder = mkdtempSync(join(tmpdir(), 'balsa-bench-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  expect(() => mustBeWritable(join(folder, 'none', 'a.json'))).toThrow(/^cannot write .*ENOENT/);
  const path = join(folder, 'a.json');
  writeFileSync(path, 'kept');
  mustBeWritable(path);
  expect(readFileSync(path, 'utf8')).toBe('kept');
});

test('rates over time are of the calls that ended in each interval, the last of which may be shorter', () => {
  expect(ratesOverTime([0, 249.9, 250, 400, 599, 600, 601], 600)).toEqual([8, 8, 10]);
  expect(ratesOverTime([1], 0)).toEqual([]);
});
