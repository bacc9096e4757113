import { asBalsaError, BalsaError } from '../../base/errors.js';
import type { FromTaskProcess, RunTask, ToTaskProcess, WorkerTask } from './worker-messages.js';

/** The process in which tasks of a worker run, one at a time. What it is to run is in the module that it is started with. */

const [, , moduleUrl = ''] = process.argv;
let running: AbortController | null = null;
/** By their numbers. */
const checkpoints = new Map<number, (error: BalsaError | null) => void>();
let lastCheckpointNumber = 0;

const say = (message: FromTaskProcess): void => {
  process.send?.(message);
};

/** What a task gives need not be something that can be sent: a function, say. */
function sayEnd(message: FromTaskProcess): void {
  try {
    say(message);
  } catch (error) {
    const why = `its result cannot be sent: ${asBalsaError(error).message}`;
    say({ type: 'failed', code: 'PROCEDURE_FAILED', message: why });
  }
}

/** With all that the tasks have started, which are of its group. */
function end(): void {
  try {
    process.kill(-process.pid, 'SIGKILL');
  } catch {
    // It leads no group.
    process.exit(0);
  }
}

// The worker is gone: nobody waits for what this comes to.
process.on('disconnect', end);
process.on('SIGTERM', () => {
  if (running === null) process.exit(0);
  running.abort(new BalsaError('CANCELLED', 'the attempt is ended'));
});

async function load(): Promise<ReadonlyMap<string, WorkerTask>> {
  const exported = (await import(moduleUrl)) as Record<string, unknown>;
  const tasks = new Map<string, WorkerTask>();
  for (const [name, value] of Object.entries(exported)) {
    if (typeof value === 'function' && name !== 'default') tasks.set(name, value as WorkerTask);
  }
  return tasks;
}

function checkpoint(value: unknown): Promise<void> {
  lastCheckpointNumber += 1;
  const n = lastCheckpointNumber;
  const told = new Promise<void>((resolve, reject) => {
    const json = JSON.stringify(value ?? null) as string | undefined;
    if (json === undefined) throw new TypeError(`a checkpoint is JSON, found a ${typeof value}`);
    checkpoints.set(n, (error) => {
      if (error === null) resolve();
      else {
        // It need not be waited for: then that does not end the process.
        told.catch(() => {});
        reject(error);
      }
    });
    say({ type: 'checkpoint', json, n });
  });
  return told;
}

async function run(
  tasks: ReadonlyMap<string, WorkerTask>,
  { task, input, args, lastCheckpoint }: RunTask,
): Promise<FromTaskProcess> {
  const handler = tasks.get(task.run);
  if (handler === undefined) {
    return { type: 'failed', code: 'PROCEDURE_NOT_FOUND', message: `no task ${task.run}` };
  }
  const controller = new AbortController();
  running = controller;
  const { job, stage, ordinal, attempt, fence } = task;
  try {
    const value = await handler({
      input,
      ...{ args, job, stage, task: ordinal, attempt, fence, lastCheckpoint },
      signal: controller.signal,
      checkpoint,
    } as never);
    return { type: 'result', value };
  } catch (error) {
    const { code, message } = asBalsaError(error);
    // What a task throws is its own, whatever it is called.
    const isOurs = error instanceof BalsaError;
    return { type: 'failed', code: isOurs ? code : 'PROCEDURE_FAILED', message };
  } finally {
    running = null;
  }
}

load().then(
  (tasks) => {
    process.on('message', (message: ToTaskProcess) => {
      if (message.type === 'run') void run(tasks, message).then(sayEnd);
      else {
        const { error } = message;
        checkpoints.get(message.n)?.(error && new BalsaError(error.code, error.message));
        checkpoints.delete(message.n);
      }
    });
    say({ type: 'ready', tasks: [...tasks.keys()] });
  },
  (error: unknown) => {
    say({ type: 'broken', message: error instanceof Error ? error.message : String(error) });
  },
);
