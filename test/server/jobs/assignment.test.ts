import { describe, expect, test, vi } from 'vitest';
import type { WorkerDemand } from '../../../src/base/job.js';
import { assign, type FreeWorker } from '../../../src/server/jobs/assignment.js';
import { Locality } from '../../../src/server/jobs/locality.js';
import type { Job } from '../../../src/statemachine/jobs/job.js';
import { HASH, startWithProcedure } from '../../statemachine/call-records.js';
import { JobWorld, json, stage } from '../../statemachine/job-world.js';

function worker(name: string, fields: Partial<WorkerDemand> = {}, load = 0): FreeWorker {
  const demand: WorkerDemand = {
    ...{ worker: name, home: name, where: 'worker', slots: 2, threads: 2 },
    ...{ tasks: ['a', 'b'], labels: [], memoryBytes: 0, ...fields },
  };
  return { demand, load, memoryBytes: 0, claims: [] };
}

/** `a:1/0` for each claim of each worker. */
function give(
  jobs: readonly Job[],
  workers: readonly FreeWorker[],
  { running = {}, nowMs = 1000, speculates = false, max = 100, openTasksMax = 100 } = {},
): string[][] {
  const underWay = new Map(Object.entries<number>(running));
  assign({ jobs, workers, nowMs, max, openTasksMax, running: underWay, speculates });
  return workers.map(({ claims }) =>
    claims.map(({ job, stage: n, ordinal }) => `${job}:${n}/${ordinal}`),
  );
}

const list = (n: number) => ({
  input: { type: 'list', items: Array.from({ length: n }, (_, i) => String(i)) } as const,
});

describe('who gets what', () => {
  test('each worker has what it has room for, and the one with the least to do is first', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('a')], list(9), 'x');
    const workers = [worker('full', {}, 2), worker('half', {}, 1), worker('free')];
    expect(give([world.job('x')], workers)).toEqual([[], ['x:1/1'], ['x:1/0', 'x:1/2']]);
  });

  test('no more tasks of a job are begun than may be open, and those that are open go on', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('a', { retries: 5 })], list(9), 'x');
    const fences = await world.claim('w', [[1, 0]], { id: 'x' });
    await world.end(fences[0], { type: 'failed', code: 'X', message: 'no' });
    const free = () => [worker('w', { slots: 5 })];
    const options = { nowMs: 100_000, openTasksMax: 3 };
    expect(give([world.job('x')], free(), options)).toEqual([['x:1/0', 'x:1/1', 'x:1/2']]);
    expect(give([world.job('x')], free(), { ...options, openTasksMax: 1 })).toEqual([['x:1/0']]);
  });

  test('jobs of a higher priority come first', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('a')], list(9), 'low');
    await world.submit([stage('a')], { ...list(1), priority: 7 }, 'high');
    const jobs = [world.job('low'), world.job('high')];
    expect(give(jobs, [worker('w')])).toEqual([['high:1/0', 'low:1/0']]);
  });

  test('those of one priority share by weight what workers do, counting what they have', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('a')], { ...list(20), weight: 1 }, 'one');
    await world.submit([stage('a')], { ...list(20), weight: 3 }, 'three');
    const jobs = [world.job('one'), world.job('three')];
    const count = (given: string[], job: string) => given.filter((c) => c.startsWith(job)).length;
    const [fresh = []] = give(jobs, [worker('w', { slots: 8 })]);
    expect([count(fresh, 'one'), count(fresh, 'three')]).toEqual([2, 6]);
    const [later = []] = give(jobs, [worker('w', { slots: 8 })], { running: { three: 6 } });
    expect([count(later, 'one'), count(later, 'three')]).toEqual([3, 5]);
  });

  test('tasks go to workers that have what they need', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('a', { labels: ['gpu'], memoryBytes: 60 })], list(4), 'x');
    const workers = [
      worker('plain'),
      worker('other', { labels: ['gpu'], tasks: ['b'] }),
      worker('small', { labels: ['gpu'], memoryBytes: 100 }),
      worker('sandbox', { labels: ['gpu'], where: 'sandbox' }),
    ];
    expect(give([world.job('x')], workers)).toEqual([[], [], ['x:1/0'], []]);
  });

  test('of jobs with the same share the older one is first, also when others have nothing to give', async () => {
    const world = await JobWorld.start();
    const ids = ['a', 'b', 'c', 'd'];
    for (const id of ids) await world.submit([stage('a')], list(id === 'b' ? 1 : 9), id);
    await world.claim('w', [[1, 0]], { id: 'b' });
    const jobs = ids.map((id) => world.job(id)).toReversed();
    expect(give(jobs, [worker('w', { slots: 7 })])).toEqual([
      ['a:1/0', 'c:1/0', 'd:1/0', 'a:1/1', 'c:1/1', 'd:1/1', 'a:1/2'],
    ]);
  });

  test('a task that nobody can run does not keep others from running', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('nobody'), stage('b')], list(2), 'x');
    expect(give([world.job('x')], [worker('w')])).toEqual([['x:2/0', 'x:2/1']]);
    await world.submit([stage('b'), stage('nobody')], list(2), 'y');
    expect(give([world.job('y')], [worker('w')])).toEqual([['y:1/0', 'y:1/1']]);
  });

  test('nor do those that a lost worker had, which alone has what they need', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('a'), stage('b', { labels: ['gpu'] })], list(6), 'x');
    const places = [0, 1, 2, 3, 4, 5].map((n) => [2, n] as const);
    await world.claim('gpu', places, { id: 'x' });
    await world.step({ type: 'lost', worker: 'gpu', isGone: true });
    expect(give([world.job('x')], [worker('w')])).toEqual([['x:1/0', 'x:1/1']]);
  });

  test('nor do those for which there is no memory any more', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('a'), stage('b', { memoryBytes: 60 })], list(6), 'x');
    const small = () => [worker('w', { memoryBytes: 100, slots: 3 })];
    const given = give([world.job('x')], small());
    expect(given).toEqual([['x:2/0', 'x:1/0', 'x:1/1']]);
    // The bound of open tasks is one of all stages together.
    expect(give([world.job('x')], small(), { openTasksMax: 2 })).toEqual([['x:2/0', 'x:1/0']]);
  });
});

describe('pieces of a range of keys', () => {
  const names = ['n1', 'n2', 'n3'];
  const range = {
    type: 'range',
    values: 'json',
    ...{ from: Buffer.from('a'), to: null, bytesPerTask: 100, keysPerTask: 1 },
  } as const;

  /** A job of so many pieces. */
  async function cut(world: JobWorld, id: string, pieces: number): Promise<void> {
    await world.submit([stage('a', { where: 'sandbox', run: `p@${HASH}` })], { input: range }, id);
    const [fence] = await world.claim('cutter', [[0, 0]], { id });
    const items = Array.from({ length: pieces }, (_, i) => `["${i}",null]`);
    await world.end(fence, { type: 'cut', items, next: null, call: null });
  }

  /** Workers take one at a time, each a new one as soon as it has done the last. @returns who had each piece */
  async function takeAll(world: JobWorld, id: string, homes: readonly string[]) {
    const owners = new Map<number, string>();
    while (world.job(id).phase === 'running') {
      const free = homes.map((home) => {
        return worker(`${home}.${id}`, { home, where: 'sandbox', slots: 1, threads: 1 });
      });
      assign({
        ...{ jobs: [world.job(id)], workers: free, nowMs: world.timeMs, max: 100 },
        ...{ openTasksMax: 100, running: new Map(), speculates: false },
      });
      const isNearEnd = owners.size > 96 - names.length;
      expect(isNearEnd || free.every(({ claims }) => claims.length > 0)).toBe(true);
      for (const { demand, claims } of free) {
        for (const { ordinal } of claims) {
          owners.set(ordinal, demand.home);
          const [fence] = await world.claim(demand.worker, [[1, ordinal]], { id });
          await world.end(fence, json(1));
        }
      }
    }
    return owners;
  }

  test('are read by the replica that has read them for another job, and nobody is idle for it', async () => {
    const world = await JobWorld.start({}, await startWithProcedure());
    await cut(world, 'x', 96);
    await cut(world, 'y', 96);
    const before = await takeAll(world, 'x', names);
    const after = await takeAll(world, 'y', names.toReversed());
    expect(before.size).toBe(96);
    const same = [...before].filter(([piece, home]) => after.get(piece) === home);
    // By chance it were a third of them.
    expect(same).toHaveLength(96);
    const shares = names.map((name) => [...before.values()].filter((home) => home === name).length);
    expect(shares).toEqual([32, 32, 32]);
  });

  test('are looked for in the jobs that get something, and not in all that there are', async () => {
    const world = await JobWorld.start({}, await startWithProcedure());
    const ids = Array.from({ length: 20 }, (_, i) => `x${i}`);
    for (const id of ids) await cut(world, id, 96);
    const jobs = ids.map((id) => world.job(id));
    const looks = jobs.map((job) => vi.spyOn(job, 'claimable'));
    const workers = names.map((name) => worker(name, { where: 'sandbox' }, name === 'n1' ? 0 : 2));
    const [given] = give(jobs, workers);
    expect(given).toHaveLength(2);
    expect(looks.map((look) => look.mock.calls.length)).toEqual(ids.map((_, i) => (i < 2 ? 1 : 0)));
  });

  test('of a replica that is gone are read by the others', async () => {
    const world = await JobWorld.start({}, await startWithProcedure());
    await cut(world, 'x', 96);
    const owners = await takeAll(world, 'x', ['n1', 'n3']);
    expect(owners.size).toBe(96);
    expect(new Set(owners.values())).toEqual(new Set(['n1', 'n3']));
  });

  test('are looked at once, however many there is room for', async () => {
    const world = await JobWorld.start({}, await startWithProcedure());
    await cut(world, 'x', 900);
    const homeOf = vi.spyOn(Locality.prototype, 'homeOf');
    const sandbox = { where: 'sandbox', threads: 1 } as const;
    const busy = ['n2', 'n3'].map((name) => worker(name, sandbox, 2));
    const workers = [worker('n1', { ...sandbox, slots: 900 }), ...busy];
    const given = give([world.job('x')], workers, { max: 900, openTasksMax: 900 });
    expect(given.map(({ length }) => length)).toEqual([900, 0, 0]);
    expect(homeOf.mock.calls.length).toBeLessThanOrEqual(900);
    homeOf.mockRestore();
  });

  test('what was begun before is not passed over for what is nearer', async () => {
    const world = await JobWorld.start({}, await startWithProcedure());
    await cut(world, 'x', 96);
    const [fence] = await world.claim('n1.x', [[1, 40]], { id: 'x' });
    await world.end(fence, { type: 'failed', code: 'X', message: 'no' });
    for (const home of names) {
      const free = worker(home, { where: 'sandbox', slots: 1, threads: 1 });
      const others = names.filter((name) => name !== home);
      const busy = others.map((name) => worker(name, { where: 'sandbox' }, 2));
      const given = give([world.job('x')], [free, ...busy], { nowMs: 100_000 });
      expect(given[0]).toEqual(['x:1/40']);
    }
  });
});

describe('a second attempt', () => {
  async function slow(): Promise<JobWorld> {
    const world = await JobWorld.start();
    await world.submit([stage('a')], list(4), 'x');
    const fences = await world.claim(
      'slow',
      [0, 1, 2, 3].map((n) => [1, n] as const),
      { id: 'x' },
    );
    world.timeMs += 400;
    for (const fence of fences.slice(0, 3)) await world.end(fence, json(1));
    return world;
  }

  test('is made elsewhere of what takes much longer than others did', async () => {
    const world = await slow();
    const at = (nowMs: number, ...workers: FreeWorker[]) =>
      give([world.job('x')], workers, { nowMs, speculates: true });
    expect(at(2000, worker('w'))).toEqual([[]]);
    expect(at(2100, worker('w'))).toEqual([['x:1/3']]);
    expect(at(2100, worker('slow'))).toEqual([[]]);
    expect(at(2100, worker('busy', {}, 2))).toEqual([[]]);
  });

  test('is not made when there is one, or as long as too little is known', async () => {
    const world = await slow();
    await world.claim('w', [[1, 3]], { id: 'x', speculative: true });
    const options = { nowMs: 9000, speculates: true };
    expect(give([world.job('x')], [worker('third')], options)).toEqual([[]]);
    const fresh = await JobWorld.start();
    await fresh.submit([stage('a')], list(1), 'x');
    await fresh.claim('slow', [[1, 0]], { id: 'x' });
    expect(give([fresh.job('x')], [worker('w')], options)).toEqual([[]]);
  });
});
