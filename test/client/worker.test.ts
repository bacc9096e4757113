import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { BalsaError } from '../../src/base/errors.js';
import type { WorkerDemand } from '../../src/base/job.js';
import type { JobsParts } from '../../src/client/jobs.js';
import { Worker, type WorkerOptions } from '../../src/client/worker/worker.js';
import { type TaskEvents, type TaskOutcome, WorkerLoop } from '../../src/client/worker-loop.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { temporaryFolder } from '../whole/support.js';

const TASK = {
  ...{ fence: 1, job: 'j', stage: 's', ordinal: 0, attempt: 1, run: 'wait' },
  ...{ args: 'null', checkpoint: null, timeoutMs: 0, memoryBytes: 0 },
};
const DEMAND: WorkerDemand = {
  ...{ worker: 'w-1', home: 'h', where: 'worker' as const, slots: 1, threads: 1 },
  ...{ tasks: ['wait'], labels: [], memoryBytes: 0 },
};
const INPUT = { info: '{"isList":false,"values":[{"type":"json","bytes":4}]}', bytes: 'null' };

interface Encoded {
  readonly type: string;
  readonly demand?: WorkerDemand;
}

type Asked = (
  level: string,
  toRequest: (call: unknown) => { encode(id: number): Encoded },
  asked: { readonly deliver: (answer: unknown, meta: unknown) => void },
) => void;

interface Hand {
  readonly tasks?: readonly (typeof TASK)[];
  /** Were being given to it as it said that it takes nothing more. */
  readonly lateTasks?: readonly (typeof TASK)[];
  readonly onReport?: (report: unknown) => void;
}

/** A cluster that tells a worker what it has as soon as it is asked for work, and what it has not at the end only. */
function clusterOf({ tasks = [], lateTasks = [], onReport = () => {} }: Hand): JobsParts {
  const waiting = [...tasks];
  const late = [...lateTasks];
  const ask: Asked = (_level, toRequest, { deliver }) => {
    const meta = { appliedIndex: 0 };
    const request = toRequest(null).encode(1);
    if (request.type !== 'work') {
      deliver({ ...INPUT, bytes: Buffer.from(INPUT.bytes) }, meta);
      return;
    }
    const isLeaving = request.demand?.slots === 0;
    const task = waiting.shift() ?? (isLeaving ? late.shift() : undefined);
    const assigned = task === undefined ? [] : [task];
    if (task !== undefined || isLeaving) deliver({ assigned, dropped: [] }, meta);
  };
  const env = { clock: systemClock, newSessionId: () => Buffer.alloc(16, 1) };
  const parts = {
    ...{ engine: { env, callLimits: () => ({}) }, reads: { ask } },
    store: {
      write: (_options: unknown, _what: string, operation: () => unknown) => {
        onReport(operation());
        return Promise.resolve(null);
      },
    },
  };
  return parts as unknown as JobsParts;
}

describe('a worker', () => {
  test('is drained when what it has is done, for all who wait for that, and stays so', async () => {
    let finish: (outcome: TaskOutcome) => void = () => {};
    let begun: () => void = () => {};
    const running = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const host = {
      run: () => {
        begun();
        const ended = new Promise<TaskOutcome>((resolve) => {
          finish = resolve;
        });
        return { ended, stop: () => {} };
      },
    };
    const onFailure = (): void => {};
    const loop = new WorkerLoop({
      parts: clusterOf({ tasks: [TASK] }),
      host,
      demand: DEMAND,
      onFailure,
    });
    loop.start();
    await running;
    const drained = [loop.drain(), loop.drain()];
    expect(loop.active).toBe(1);
    finish({ type: 'result', value: 1 });
    await Promise.all(drained);
    await loop.drain();
    expect(loop.active).toBe(0);
  });

  test('gives back at once what it was just being given when it was told to take nothing more', async () => {
    const run = (): never => {
      throw new Error('it runs nothing more');
    };
    const reports: unknown[] = [];
    const parts = clusterOf({
      lateTasks: [TASK, { ...TASK, fence: 2 }],
      onReport: (report) => reports.push(report),
    });
    const loop = new WorkerLoop({ parts, host: { run }, demand: DEMAND, onFailure: () => {} });
    loop.start();
    await loop.drain();
    const report = { type: 'released' };
    expect(reports).toEqual([
      { type: 'task-report', fence: 1, report },
      { type: 'task-report', fence: 2, report },
    ]);
  });

  test('is drained though a replica that is behind gives it again and again what it has done', async () => {
    let asked = 0;
    const parts = clusterOf({ tasks: Array.from({ length: 100_000 }, () => TASK) });
    const clock = { ...systemClock, monotonicMs: () => asked };
    const counting = {
      ...parts,
      engine: { ...parts.engine, env: { ...parts.engine.env, clock } },
      reads: {
        ask: (...args: Parameters<Asked>): void => {
          asked += 100;
          setImmediate(() => (parts.reads as unknown as { ask: Asked }).ask(...args));
        },
      },
    } as unknown as JobsParts;
    const host = {
      run: () => ({
        ended: Promise.resolve({ type: 'result', value: 1 } as const),
        stop: () => {},
      }),
    };
    const loop = new WorkerLoop({ parts: counting, host, demand: DEMAND, onFailure: () => {} });
    loop.start();
    await loop.drain();
    expect(asked / 100).toBeLessThan(20);
  });

  test.each([
    ['JOB_LIMIT', 'JOB_LIMIT'],
    // It does not count: nobody asks for it.
    ['TASK_FENCED', 'kept'],
  ] as const)('tells a task what became of its checkpoint: %s', async (code, told) => {
    const onReport = (report: unknown): void => {
      const { type } = (report as { readonly report: { readonly type: string } }).report;
      if (type === 'checkpoint') throw new BalsaError(code, 'refused');
    };
    let became: Promise<string> = Promise.resolve('nothing');
    const run = (_task: unknown, _input: unknown, events: TaskEvents) => {
      became = events.checkpoint('1').then(
        () => 'kept',
        (error: BalsaError) => error.code,
      );
      const ended = became.then((): TaskOutcome => ({ type: 'result', value: 1 }));
      return { ended, stop: () => {} };
    };
    const parts = clusterOf({ tasks: [TASK], onReport });
    const loop = new WorkerLoop({ parts, host: { run }, demand: DEMAND, onFailure: () => {} });
    loop.start();
    await waitUntil('the task to be done', async () => (await became) !== 'nothing' || undefined);
    await loop.drain();
    expect(await became).toBe(told);
  });

  test('that was stopped has nothing to wait for', async () => {
    const host = { run: () => ({ ended: new Promise<never>(() => {}), stop: () => {} }) };
    const onFailure = (): void => {};
    const loop = new WorkerLoop({ parts: clusterOf({}), host, demand: DEMAND, onFailure });
    loop.start();
    loop.stop();
    await loop.drain();
  });

  test.each([
    ['memory with a fraction', { memoryBytes: 0.8 * 16_777_216 }, 'memoryBytes'],
    ['memory below 0', { memoryBytes: -1 }, 'memoryBytes'],
    ['a home that is no text', { home: 5 }, 'home'],
    ['a home of any length', { home: 'h'.repeat(256) }, 'home'],
    ['a time to end that is no time', { graceMs: Number.NaN }, 'graceMs'],
    ['no module', { tasks: undefined }, 'tasks'],
    ['labels that are one text', { labels: 'gpu' }, 'labels'],
  ])('is not started with %s', async (_what, wrong, says) => {
    const options = { tasks: './tasks.js', ...wrong } as unknown as WorkerOptions;
    await expect(Worker.start(clusterOf({}), options)).rejects.toMatchObject({
      ...{ code: 'INVALID_ARGUMENT', message: expect.stringContaining(says) },
    });
  });

  test.each(['drain', 'close'] as const)('has ended behind %s', async (how) => {
    using folder = temporaryFolder();
    const tasks = join(folder.path, 'tasks.mjs');
    writeFileSync(tasks, 'export const wait = () => new Promise(() => {});');
    const env = { ...process.env, NODE_OPTIONS: '--import tsx' };
    const worker = await Worker.start(clusterOf({}), { tasks, env });
    await worker[how]();
    expect(await worker.ended).toBeNull();
  });
});
