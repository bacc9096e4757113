import { afterEach, describe, expect, test } from 'vitest';
import { Cell } from '../../src/base/cell.js';
import { systemClock } from '../../src/base/clock.js';
import { BalsaError } from '../../src/base/errors.js';
import type { Mode } from '../../src/base/operation.js';
import {
  CALL_LIMITS,
  type CallLimits,
  type Execution,
  type Source,
  type StoreSource,
} from '../../src/compute/execution.js';
import { WorkerPool, type WorkerPoolOptions } from '../../src/compute/sandbox/worker-pool.js';
import { failureOf, oneProcedure, parsed, tellingLoads, WORKER_FILE } from './calls.js';
import { HandClock } from './hand-clock.js';
import { MemorySource } from './memory-source.js';

const TIMEOUT_MS = 60_000;

const pools: WorkerPool[] = [];
afterEach(() => Promise.all(pools.splice(0).map((pool) => pool.close())));

function poolOf(options: Partial<WorkerPoolOptions> = {}): WorkerPool {
  const pool = new WorkerPool({
    clock: systemClock,
    workers: 1,
    callsWaitingMax: 100,
    workerFile: WORKER_FILE,
    ...options,
  });
  pools.push(pool);
  return pool;
}

function run(
  pool: WorkerPool,
  body: string,
  options: {
    readonly source?: Source;
    readonly limits?: Partial<CallLimits>;
    readonly args?: unknown;
    readonly mode?: Mode;
    readonly origin?: string;
    readonly task?: string;
  } = {},
): Promise<Execution> {
  const {
    source = new MemorySource(),
    limits = {},
    args = null,
    mode = 'cp',
    origin = '',
    task,
  } = options;
  return pool.run(
    {
      bundle: { hash: body, code: oneProcedure(body, mode) },
      ...{ name: 'p', args: JSON.stringify(args), nowMs: 0, seed: 1, origin, task },
      limits: { ...CALL_LIMITS, computeMsMax: 30_000, ...limits },
    },
    mode,
    source,
  );
}

describe('the pool', { timeout: TIMEOUT_MS }, () => {
  test('runs more calls than it has threads, each with its own arguments', async () => {
    const pool = poolOf({ workers: 3 });
    const all = Array.from({ length: 50 }, (_, i) => run(pool, 'return args * 2;', { args: i }));

    expect((await Promise.all(all)).map(parsed)).toEqual(all.map((_, i) => i * 2));
  });

  test.each([
    ['returns', '1', '{}'],
    ['throws', "(() => { throw new Error('not yet'); })()", '{}'],
    ['is no task', '1', undefined],
  ])(
    'is told the newest checkpoint of a task at its end, and few before: it %s',
    async (_, end, task) => {
      const told: string[] = [];
      const source: Source = new MemorySource();
      source.checkpoint = (json) => told.push(json);
      const body = `for (let i = 0; i <= 20_000; i += 1) ctx.checkpoint(i); return ${end};`;
      const startedMs = performance.now();
      const execution = await run(poolOf(), body, { source, ...(task && { task }) });
      expect(failureOf(execution)).toMatch(/^it gave 1$|not yet/);
      expect(told.at(-1)).toBe(task && '20000');
      expect(told.length).toBeLessThan(3 + (performance.now() - startedMs) / 100);
    },
  );

  test('runs them in their order', async () => {
    const pool = poolOf();
    const order: number[] = [];
    await Promise.all(
      [0, 1, 2, 3].map((i) =>
        run(pool, i === 0 ? 'for (let i = 0; i < 1e6; i += 1);' : 'return 1;').then(() =>
          order.push(i),
        ),
      ),
    );

    expect(order).toEqual([0, 1, 2, 3]);
  });

  test('refuses calls beyond its bound, and serves the others', async () => {
    const pool = poolOf({ callsWaitingMax: 2 });
    const all = await Promise.all([1, 2, 3, 4].map((args) => run(pool, 'return args;', { args })));

    expect(all.map((one) => (one.ok ? one.result : one.error.code))).toEqual([
      ...['1', '2', 'OVERLOADED', 'OVERLOADED'],
    ]);
    expect(all[3]).toMatchObject({ error: { retryable: true, outcome: 'not-applied' } });
    expect(parsed(await run(pool, 'return 7;'))).toBe(7);
  });

  test('keeps more bundles than a thread does', async () => {
    const pool = poolOf();
    for (let round = 0; round < 2; round += 1) {
      for (let i = 0; i < 12; i += 1) {
        expect(parsed(await run(pool, `return ${i};`))).toBe(i);
      }
    }
  });

  test('brings values of any size from the store, and keys in any script', async () => {
    const value = 'é'.repeat(700_000);
    const source = new MemorySource({ ключ: value, ключ2: [1] });
    const body = `
      return (async () => {
        const found = ctx.get('ключ');
        return [found.length, found.endsWith('éé'), ctx.get('nothing'), (await ctx.scan({ prefix: 'ключ' })).map(({ key }) => key)];
      })();`;

    expect(parsed(await run(poolOf(), body, { source }))).toEqual([
      ...[700_000, true, null, ['ключ', 'ключ2']],
    ]);
  });

  test('has cells, their changes, and whose they are, across threads', async () => {
    const origin = 'a'.repeat(16);
    const source = new MemorySource();
    const stamp = { timeMs: 1, count: 0, origin, call: 'a', place: 0 };
    const seats = Cell.empty('escrow');
    seats.apply({ cell: 'escrow', type: 'add', by: 5 }, stamp, { origins: [origin] });
    source.cells.set('seats', seats.encode());
    const log = Cell.empty('log');
    const value = JSON.stringify('é'.repeat(700_000));
    log.apply({ cell: 'log', type: 'append', value }, stamp, null);
    source.cells.set('log', log.encode());
    const body = `const seats = ctx.cell({ cell: 'escrow', key: 'seats' });
      return [seats.take(6), seats.take(2), seats.rights(), ctx.cell({ cell: 'log', key: 'log' }).entries()[0].length,
        ctx.cell({ cell: 'set', key: 'none' }).values()];`;
    const execution = await run(poolOf(), body, { source, mode: 'ap', origin });

    expect(parsed(execution)).toEqual([false, true, 3, 700_000, []]);
    expect(execution).toMatchObject({
      effects: { cells: [{ key: 'seats', change: { cell: 'escrow', type: 'take', by: 2 } }] },
    });
  });

  test('gives a call what those before it have asked for, and what it does not read is not read', async () => {
    const pool = poolOf();
    const source = new MemorySource({ 'of/a': 'A', 'of/b': 'B', 'of/c': 'C' });
    for (const id of ['a', 'b', 'c']) source.cells.set(`n/${id}`, Cell.empty('counter').encode());
    const body = `
      if (args.none) return null;
      return [ctx.get('of/' + args.id), ctx.cell({ cell: 'counter', key: 'n/' + args.id }).value()];`;
    const call = (args: object): Promise<Execution> =>
      run(pool, body, { source, args, mode: 'ap', origin: 'a'.repeat(16) });
    expect(parsed(await call({ id: 'a' }))).toEqual(['A', 0]);
    expect([source.gets, source.cellsRead]).toEqual([1, ['n/a']]);
    const second = call({ id: 'b' });
    expect([source.gets, source.cellsRead]).toEqual([2, ['n/a', 'n/b']]);
    expect(parsed(await second)).toEqual(['B', 0]);
    expect([source.gets, source.cellsRead]).toEqual([2, ['n/a', 'n/b']]);
    expect(await call({ id: 'c', none: true })).toMatchObject({ effects: { reads: [] } });
    expect(source.gets).toBe(3);
  });

  test('gives no cell from before one that the call had to ask for', async () => {
    const pool = poolOf();
    const source = new MemorySource();
    const stamp = { timeMs: 1, count: 0, origin: 'a'.repeat(16), call: 'a', place: 0 };
    const log = Cell.empty('log');
    // Too large to be given.
    log.apply(
      { cell: 'log', type: 'append', value: JSON.stringify('x'.repeat(70_000)) },
      stamp,
      null,
    );
    source.cells.set('log', log.encode());
    source.cells.set('n', Cell.empty('counter').encode());
    const body = `const length = ctx.cell({ cell: 'log', key: 'log' }).entries().length;
      return [length, ctx.cell({ cell: 'counter', key: 'n' }).value()];`;
    const call = (): Promise<Execution> =>
      run(pool, body, { source, mode: 'ap', origin: 'a'.repeat(16) });
    expect(parsed(await call())).toEqual([1, 0]);
    const second = call();
    // Behind what is given, and before the question.
    const counter = Cell.empty('counter');
    counter.apply({ cell: 'counter', type: 'add', by: 1 }, stamp, null);
    source.cells.set('n', counter.encode());
    log.apply(
      { cell: 'log', type: 'append', value: '"n was added to"' },
      { ...stamp, call: 'b' },
      null,
    );
    source.cells.set('log', log.encode());
    expect(parsed(await second)).toEqual([2, 1]);
  });

  test('tells the caller when the store cannot answer, whatever the procedure does', async () => {
    const source: Source = {
      get: () => {
        throw new BalsaError('COMPACTED', 'revision 5 is no longer kept');
      },
      scan: () => ({ items: [], more: false }),
      cell: () => null,
    };
    const body = `try { ctx.get('a'); } catch {} return 1;`;

    expect(failureOf(await run(poolOf(), body, { source }))).toBe(
      'COMPACTED revision 5 is no longer kept',
    );
  });

  test('ends a thread whose interpreter does not notice the time, and goes on with another', async () => {
    const clock = new HandClock();
    const pool = poolOf({ clock });
    let asked = () => {};
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const memory = new MemorySource({ a: 1 });
    const source: Source = {
      get: (key) => {
        asked();
        return memory.get(key);
      },
      scan: (query) => memory.scan(query),
      cell: (key) => memory.cell(key),
    };
    const endless = run(pool, `ctx.get('a'); for (;;) {}`, { source });
    await isAsked;
    clock.fire(32_000);

    expect(failureOf(await endless)).toMatch(/^PROCEDURE_LIMIT .*computeMsMax/);
    expect(parsed(await run(pool, 'return 7;'))).toBe(7);
    expect(clock.timers.size).toBe(0);
  });

  test('gives a call that asks for nothing its time once, from when it is seen to be begun', async () => {
    const clock = new HandClock();
    const pool = poolOf({ clock });
    const source: Source = new MemorySource();
    const isBegun = new Promise<string>((resolve) => {
      source.checkpoint = resolve;
    });
    const endless = run(pool, 'ctx.checkpoint(1); for (;;) {}', { source, task: '{}' });
    await isBegun;
    clock.fire(500);
    clock.fire(31_999);
    expect(clock.timers.size).toBe(1);
    clock.fire(1);
    expect(failureOf(await endless)).toMatch(/^PROCEDURE_LIMIT .*computeMsMax/);
    expect(clock.timers.size).toBe(0);
  });

  test('does not take the time in which the whole process stood still for that of a call: what its thread has said comes first', async () => {
    const clock = new HandClock();
    const pool = poolOf({ clock, threadCpuMs: () => null });
    const deferred: (() => void)[] = [];
    clock.defer = (callback) => void deferred.push(callback);
    const source: Source = new MemorySource();
    let isLate = Promise.resolve();
    const begin = (code: string): Promise<Execution> => {
      isLate = new Promise((resolve) => {
        source.checkpoint = () => {
          for (const ms of [500, 32_000]) clock.fire(ms);
          resolve();
        };
      });
      return run(pool, `ctx.checkpoint(1); ${code}`, { source, task: '{}' });
    };
    const running = begin('return 7;');
    expect(parsed(await running)).toBe(7);
    // It was late, and said its last word before that was looked at.
    expect(deferred.splice(0)).toHaveLength(1);

    const endless = begin('for (;;) {}');
    await isLate;
    expect(deferred).toHaveLength(1);
    while (deferred.length > 0) deferred.shift()?.();
    expect(failureOf(await endless)).toMatch(/^PROCEDURE_LIMIT .*computeMsMax/);
  });

  test('ends a thread by what it has computed, however long it has waited for a processor', async () => {
    const clock = new HandClock();
    let cpuMs = 1000;
    const pool = poolOf({ clock, threadCpuMs: (thread) => (thread === '' ? null : cpuMs) });
    const source: Source = new MemorySource();
    const isBegun = new Promise<string>((resolve) => {
      source.checkpoint = resolve;
    });
    const limits = { computeMsMax: 30_000 };
    const endless = run(pool, 'ctx.checkpoint(1); for (;;) {}', { source, limits, task: '{}' });
    await isBegun;
    clock.fire(100);
    cpuMs += 30_199;
    clock.fire(100);
    expect(clock.timers.size).toBe(1);
    cpuMs += 1;
    clock.fire(100);
    expect(clock.timers.size).toBe(0);
    expect(failureOf(await endless)).toMatch(/^PROCEDURE_LIMIT .*computeMsMax/);
  });

  test('does not run a procedure for a while that had to be ended with its thread; others it does', async () => {
    const clock = new HandClock();
    const pool = poolOf({ clock });
    const code = `return {
      p: { mode: 'cp', handler: (ctx, args) => { if (args) { ctx.checkpoint(1); for (;;) {} } return 'p'; } },
      q: { mode: 'cp', handler: () => 'q' },
    };`;
    const call = (name: string, args: boolean, source: Source): Promise<Execution> =>
      pool.run(
        {
          ...{ bundle: { hash: 'h', code }, name, args: JSON.stringify(args), nowMs: 0, seed: 1 },
          ...{ origin: '', task: '{}', limits: { ...CALL_LIMITS, computeMsMax: 30_000 } },
        },
        'cp',
        source,
      );
    const source: Source = new MemorySource();
    const isBegun = new Promise<string>((resolve) => {
      source.checkpoint = resolve;
    });
    const endless = call('p', true, source);
    await isBegun;
    for (const ms of [0, 32_000]) clock.fire(ms);
    expect(failureOf(await endless)).toMatch(/^PROCEDURE_LIMIT .*computeMsMax/);

    clock.nowMs += 4000;
    const refused = await call('p', false, source);
    expect(refused).toMatchObject({
      error: { code: 'OVERLOADED', outcome: 'not-applied', details: { retryAfterMs: 1000 } },
    });
    expect(parsed(await call('q', false, source))).toBe('q');
    clock.nowMs += 1000;
    expect(parsed(await call('p', false, source))).toBe('p');
  });

  test('ends a thread that does not come to the end of loading, however long its calls may take', async () => {
    const clock = new HandClock();
    const pool = poolOf({ clock, workerFile: tellingLoads(-1), threadCpuMs: () => null });
    const code = oneProcedure(
      'return 1;',
      'cp',
      'Array.prototype.indexOf.call({ length: 9e15 }, 1);',
    );
    const source: StoreSource = new MemorySource();
    source.checkpoint = () => {
      // What is seen to be begun has all of its time from then on.
      for (const ms of [0, 9999]) clock.fire(ms);
      expect(clock.timers.size).toBe(1);
      clock.fire(1);
    };
    const loading = pool.run(
      {
        ...{ bundle: { hash: 'h', code }, name: 'p', args: 'null', nowMs: 0, seed: 1, origin: '' },
        limits: { ...CALL_LIMITS, computeMsMax: 3_600_000 },
      },
      'cp',
      source,
    );
    expect(failureOf(await loading)).toMatch(/^PROCEDURE_LIMIT .*loadMsMax/);
  });

  test('waits for a minute for a thread that takes in what it was sent, and blames no procedure', async () => {
    const clock = new HandClock();
    const code = `import { parentPort } from 'node:worker_threads';
      parentPort.on('message', () => {});
      parentPort.postMessage({ type: 'ready', thread: '' });`;
    const workerFile = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
    const pool = poolOf({ clock, workerFile });
    const running = run(pool, 'return 1;');
    while (clock.timers.size === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.fire(59_999);
    expect(clock.timers.size).toBe(1);
    clock.fire(1);
    expect(failureOf(await running)).toMatch(/^OVERLOADED the call was not begun within 60000 ms/);
  });

  test('closes while a call runs and others wait: each is told', async () => {
    const pool = poolOf();
    const all = ['for (;;) {}', 'return 1;'].map((body) => run(pool, body));
    await pool.close();

    expect((await Promise.all(all)).map(failureOf)).toEqual([
      'SHUTTING_DOWN the replica is stopping',
      'SHUTTING_DOWN the replica is stopping',
    ]);
    expect(failureOf(await run(pool, 'return 1;'))).toMatch(/^SHUTTING_DOWN/);
  });

  test('refuses calls while no thread can be started, and tries again', async () => {
    const clock = new HandClock();
    const workerFile = new URL('./nothing.js', import.meta.url);
    const pool = poolOf({ workers: 3, workerFile, clock });

    expect(failureOf(await run(pool, 'return 1;'))).toMatch(/^OVERLOADED no thread/);
    expect(failureOf(await run(pool, 'return 1;'))).toMatch(/^OVERLOADED no thread/);
    expect(clock.timers.size).toBe(1);
    await pool.close();
    expect(clock.timers.size).toBe(0);
  });
});
