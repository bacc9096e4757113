import {
  BalsaError,
  type Client,
  type JobDefinition,
  type JobHandle,
} from '../../src/client/client.js';
import type { Answer, ProcessLog, Question } from '../run/recorder.js';
import { type Bench, forAll, type Step, type Workload } from './workload.js';

/** What workers have. */
const TASKS = `import { setTimeout as delay } from 'node:timers/promises';
export async function triple({ input: { n, ms } }) {
  await delay(ms);
  return 3 * n;
}
`;

interface Part {
  readonly n: number;
  /** How long the task takes. */
  readonly ms: number;
}

interface Submitted {
  readonly id: string;
  readonly handle: JobHandle;
  /** As its submitter was told. */
  readonly isThere: boolean;
}

const WORKERS = 3;
const TASKS_MAX = 12;
const TASK_MS_MAX = 400;
/** A worker or a replica is lost every few seconds: that is no fault of a task. */
const PATIENCE = { poisonAfter: 100, lostRetries: 1000 };
const RESULT_MS = 20_000;
const LAST_RESULT_MS = 120_000;

const IN_REPLICAS: JobDefinition = {
  input: { list: [] },
  stages: {
    note: { run: 'noteTask', ...PATIENCE },
    total: { kind: 'reduce', run: 'sumTasks', fanIn: 4, ...PATIENCE },
  },
};

const AT_WORKERS: JobDefinition = {
  input: { list: [] },
  stages: { triple: { task: 'triple', ...PATIENCE }, ...IN_REPLICAS.stages },
};

/** Tasks may run twice; each has its effect once, and a job comes to the one right result. */
export const jobs: Workload = {
  name: 'jobs',
  about:
    'jobs with tasks in replicas and at workers: each task has its effect once, and the result is right',
  checkers: ['jobs'],
  processes: 3,
  pauseMs: 200,
  prepare: async ({ system }) => system.workers.provide(TASKS, WORKERS),
  start: (bench, { db, log, random }): Step => {
    const left = shared(bench, 'left');
    return async () => {
      const id = `job-${bench.fresh()}`;
      const isAtWorkers = random.int(2) === 0;
      const parts = Array.from(
        { length: 1 + random.int(TASKS_MAX) },
        (_, i): Part => ({ n: i + 1, ms: random.int(TASK_MS_MAX) }),
      );
      const numbers = parts.map(({ n }) => (isAtWorkers ? 3 * n : n));
      const list = isAtWorkers ? parts : numbers;
      const definition = isAtWorkers ? AT_WORKERS : IN_REPLICAS;
      const handle = db.jobs.get(id);
      const expected = numbers.reduce((sum, n) => sum + n, 0);
      log.note({ type: 'ok', f: 'expected', key: id, value: expected });
      const submit = { f: 'submit', key: id, value: { tasks: numbers }, writes: true };
      const came = await log.do({ ...submit, class: 'job submit' }, async () => {
        await db.submit(definition, null, { id, input: { list } });
        return {};
      });
      left.push({ id, handle, isThere: came.type === 'ok' });
      if (came.type === 'fail') return;
      if (random.int(6) === 0) await cancel(log, { id, handle });
      await log.do(asked(id), () => resultOf(handle, RESULT_MS));
    };
  },
  finish: async (bench) => {
    const submitted = shared(bench, 'left');
    await forAll(submitted, ({ id, isThere }) => {
      const call = () => resultOf(bench.db.jobs.get(id), LAST_RESULT_MS);
      // One that nobody was told of, or that was refused, need not be there.
      const answers = isThere ? [] : ['JOB_NOT_FOUND'];
      return bench.final(asked(id), call, { timeoutMs: LAST_RESULT_MS, answers });
    });
    const ids = new Set(submitted.map(({ id }) => id));
    // Also of those that nobody has submitted.
    for await (const { key } of bench.db.range({ prefix: 'effect/', keysOnly: true })) {
      ids.add(key.split('/')[1] ?? '');
    }
    await forAll(ids, (id) =>
      bench.final({ f: 'effects', key: id, writes: false }, () => effectsOf(bench.db, id)),
    );
  },
};

/** Each task as often as it has had its effect. */
async function effectsOf(db: Client, id: string): Promise<Answer> {
  const tasks: number[] = [];
  for await (const { key, value } of db.range({ prefix: `effect/${id}/` })) {
    const n = Number(key.split('/')[2]);
    for (let i = 0; i < Number(value.toString()); i += 1) tasks.push(n);
  }
  return { value: tasks };
}

function shared(bench: Bench, name: string): Submitted[] {
  const list = (bench.shared.get(name) as Submitted[] | undefined) ?? [];
  bench.shared.set(name, list);
  return list;
}

async function cancel(
  log: ProcessLog,
  { id, handle }: Pick<Submitted, 'id' | 'handle'>,
): Promise<void> {
  await log.do({ f: 'cancel', key: id, writes: true, class: 'job cancel' }, async () => {
    await handle.cancel();
    return {};
  });
}

function asked(id: string): Question {
  return { f: 'result', key: id, writes: false, class: 'job result' };
}

async function resultOf(handle: JobHandle, timeoutMs: number): Promise<Answer> {
  try {
    const signal = AbortSignal.timeout(timeoutMs);
    return { value: { status: 'done', value: await handle.result({ signal }) } };
  } catch (error) {
    const status = error instanceof BalsaError ? ENDS[error.code] : undefined;
    if (status === undefined) throw error;
    return { value: { status } };
  }
}

const ENDS: Readonly<Record<string, string>> = { JOB_FAILED: 'failed', JOB_CANCELLED: 'cancelled' };
