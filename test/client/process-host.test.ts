import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { BalsaError } from '../../src/base/errors.js';
import { ProcessHost } from '../../src/client/worker/process-host.js';
import type { RunningTask } from '../../src/client/worker-loop.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { temporaryFolder } from '../whole/support.js';

const TASKS = `
import { spawn } from 'node:child_process';
const forever = ['-e', 'setInterval(() => {}, 1e6)'];
export async function obey({ signal, checkpoint }) {
  const { pid } = spawn(process.execPath, forever, { stdio: 'ignore' });
  const aborted = new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  });
  void checkpoint(pid);
  await aborted;
}
export function die() {
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => {});
}
export async function tell({ input, checkpoint }) {
  await checkpoint(input === 'nothing' ? undefined : () => 1);
  return 'told';
}
export async function tooLarge({ input, checkpoint }) {
  const told = checkpoint('large');
  if (input === 'unheard') return new Promise((resolve) => setTimeout(resolve, 50, 'went on'));
  return told.catch(({ name, code, message }) => name + ' ' + code + ': ' + message);
}
export function makeFunction() { return { f: () => 1 }; }
export function twice({ input }) { return 2 * input; }
`;

/** Nobody waits for so long: what happens before happens for another reason. */
const HOUR_MS = 3_600_000;

let folder: ReturnType<typeof temporaryFolder>;
let host: ProcessHost;
beforeEach(() => {
  folder = temporaryFolder();
  const path = join(folder.path, 'tasks.mjs');
  writeFileSync(path, TASKS);
  host = new ProcessHost({
    ...{ clock: systemClock, module: pathToFileURL(path).href, slots: 1, graceMs: HOUR_MS },
    // The source as it is.
    env: { ...process.env, NODE_OPTIONS: '--import tsx' },
  });
});
afterEach(async () => {
  host.close();
  for (const pid of host.pids) process.kill(-pid, 'SIGKILL');
  await waitUntil('the processes to end', async () => host.pids.length === 0 || undefined);
  folder[Symbol.dispose]();
});

function start(run: string, input: unknown, onCheckpoint: (json: string) => void): RunningTask {
  const task = {
    ...{ fence: 1, job: 'j', stage: run, ordinal: 0, attempt: 1, run },
    ...{ args: 'null', checkpoint: null, timeoutMs: 0, memoryBytes: 0 },
  };
  return host.run(task, input, { checkpoint: async (json) => onCheckpoint(json) });
}

/** A task runs, and has started a process of its own. @returns that */
async function startObedient(): Promise<{ readonly running: RunningTask; readonly pid: number }> {
  let running: RunningTask | null = null;
  const json = await new Promise<string>((resolve) => {
    running = start('obey', null, resolve);
  });
  if (running === null) throw new Error('it was not begun');
  return { running, pid: Number(json) };
}

function isGone(pid: number): true | undefined {
  try {
    process.kill(pid, 0);
    return undefined;
  } catch {
    return true;
  }
}

describe('processes of tasks', () => {
  test('one that ends its task when it is told to gives its place to the next at once', async () => {
    expect(await host.tasks()).toEqual([
      'die',
      'makeFunction',
      'obey',
      'tell',
      'tooLarge',
      'twice',
    ]);
    const { running, pid } = await startObedient();
    const [first] = host.pids;

    running.stop('the attempt does not count any more');

    const message = 'the attempt does not count any more';
    expect(await running.ended).toEqual({ type: 'failed', code: 'TIMEOUT', message });
    const next = await start('twice', 4, () => {}).ended;
    expect(next).toEqual({ type: 'result', value: 8 });
    expect(host.pids).toHaveLength(1);
    expect(host.pids).not.toContain(first);
    // What it had started has ended with it.
    await waitUntil('what the task started to end', async () => isGone(pid));
  });

  test('what is no JSON is no checkpoint; nothing at all is null', async () => {
    const told: unknown[] = [];
    const keep = (json: unknown): void => void told.push(json);
    const nothing = await start('tell', 'nothing', keep as (json: string) => void).ended;
    expect([nothing, told]).toEqual([{ type: 'result', value: 'told' }, ['null']]);
    const other = await start('tell', 'a function', keep as (json: string) => void).ended;
    expect(other).toMatchObject({
      ...{
        type: 'failed',
        code: 'PROCEDURE_FAILED',
        message: 'a checkpoint is JSON, found a function',
      },
    });
    expect(told).toHaveLength(1);
  });

  test('a checkpoint that cannot be kept is told to the task, which need not have asked', async () => {
    const refuse = (): never => {
      throw new BalsaError('JOB_LIMIT', 'too large');
    };
    const heard = await start('tooLarge', null, refuse).ended;
    expect(heard).toEqual({ type: 'result', value: 'BalsaError JOB_LIMIT: too large' });
    const unheard = await start('tooLarge', 'unheard', refuse).ended;
    expect(unheard).toEqual({ type: 'result', value: 'went on' });
  });

  test('a result that cannot be sent has failed, and its process does the next task', async () => {
    const outcome = await start('makeFunction', null, () => {}).ended;
    const message = expect.stringMatching(/^its result cannot be sent: .*could not be cloned/);
    expect(outcome).toEqual({ type: 'failed', code: 'PROCEDURE_FAILED', message });
    const [first] = host.pids;
    expect(await start('twice', 4, () => {}).ended).toEqual({ type: 'result', value: 8 });
    expect(host.pids).toEqual([first]);
  });

  test('a task for which none can be started any more has crashed', async () => {
    await host.tasks();
    expect(await start('die', null, () => {}).ended).toMatchObject({ type: 'crashed' });
    // A deployment has moved the file away.
    rmSync(join(folder.path, 'tasks.mjs'));

    const outcomes = await Promise.all([1, 2].map((n) => start('twice', n, () => {}).ended));

    const message = expect.stringMatching(/no process for it could be started: .*tasks\.mjs/);
    expect(outcomes).toEqual([1, 2].map(() => ({ type: 'crashed', message })));
  });

  test('those of a host that is closed are gone as soon as their tasks have ended', async () => {
    const { running, pid } = await startObedient();

    host.close();

    expect(await running.ended).toMatchObject({ type: 'failed', code: 'CANCELLED' });
    await waitUntil('the process to be gone', async () => host.pids.length === 0 || undefined);
    await waitUntil('what the task started to end', async () => isGone(pid));
  });
});
