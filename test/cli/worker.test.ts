import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import type { StoreClient, StoreOptions } from '../../src/cli/store-client.js';
import type { WorkerNotice, WorkerOptions } from '../../src/client/client.js';
import type { AssignedTask } from '../../src/rpc/job-protocol.js';
import { temporaryFolder } from '../whole/support.js';
import { expectRefusal, type RunOptions, type RunResult, run } from './fakes.js';
import { MachineStore } from './machine-store.js';

const TASK: AssignedTask = {
  ...{ fence: 1, job: 'nightly', stage: 'encode', ordinal: 7, attempt: 1, run: 'encode' },
  ...{ args: 'null', checkpoint: null, timeoutMs: 0, memoryBytes: 0 },
};

/** Stands for a client whose worker runs nothing: what the command asks of it, and what it is told. */
class FakeWorkers {
  readonly asked: WorkerOptions[] = [];
  readonly connections: StoreOptions[] = [];
  readonly calls: string[] = [];
  active = 0;
  /** Instead of a worker. */
  refusal: ((module: string) => BalsaError) | null = null;
  #end: (error: BalsaError | null) => void = () => {};
  readonly #ended = new Promise<BalsaError | null>((resolve) => {
    this.#end = resolve;
  });
  #started: () => void = () => {};
  /** The worker runs. */
  readonly started = new Promise<void>((resolve) => {
    this.#started = resolve;
  });

  connect = async (options: StoreOptions): Promise<StoreClient> => {
    this.connections.push(options);
    const close = async (): Promise<void> => void this.calls.push('client closed');
    return { worker: this.#worker, close } as unknown as StoreClient;
  };

  readonly #worker = async (options: WorkerOptions) => {
    this.asked.push(options);
    if (this.refusal !== null) throw this.refusal(String(options.tasks));
    // Behind this turn: the command has it by then.
    setImmediate(this.#started);
    return {
      ...{ id: 'w-1', tasks: ['encode', 'join'], active: this.active, ended: this.#ended },
      drain: async () => void this.calls.push('drained'),
      [Symbol.asyncDispose]: async () => void this.calls.push('worker closed'),
    };
  };

  tell(notice: Omit<WorkerNotice, 'task'>, task: Partial<AssignedTask> = {}): void {
    this.asked[0]?.onNotice?.({ ...notice, task: { ...TASK, ...task } });
  }

  end(error: BalsaError | null): void {
    this.#end(error);
  }
}

let folder: ReturnType<typeof temporaryFolder>;
let path: string;
let workers: FakeWorkers;
beforeEach(() => {
  folder = temporaryFolder();
  path = join(folder.path, 'tasks.ts');
  writeFileSync(path, 'export const encode = ({ input }: { input: number }): number => input;');
  workers = new FakeWorkers();
});
afterEach(() => {
  folder[Symbol.dispose]();
});

/** Until it is told to stop, as soon as `meanwhile` has been done. */
async function runUntilStopped(
  args: readonly string[],
  options: RunOptions = {},
  meanwhile: () => void = () => {},
): Promise<RunResult> {
  const stop = new AbortController();
  const { connect } = workers;
  const running = run(['worker', ...args], { connect, interrupted: stop.signal, ...options });
  await Promise.race([workers.started, running]);
  meanwhile();
  stop.abort();
  return await running;
}

describe('worker', () => {
  test('says what it has, and is one of the slots, labels and memory that it was given', async () => {
    let files: string[] = [];
    const { exit, stdout, stderr } = await runUntilStopped(
      ['--slots', '4', '--label', 'ffmpeg', '--label', 'gpu', path, '--memory', '1.5GiB'],
      {},
      () => {
        files = readdirSync(folder.path);
      },
    );

    expect({ exit, stdout }).toEqual({ exit: 0, stdout: '' });
    expect(stderr).toBe('w-1 has encode, join; it waits for tasks\n');
    expect(workers.asked).toMatchObject([
      { slots: 4, labels: ['ffmpeg', 'gpu'], memoryBytes: 1.5 * 2 ** 30, home: undefined },
    ]);
    // It is compiled beside the module as long as it runs, and taken away then.
    const made = fileURLToPath(String(workers.asked[0]?.tasks));
    expect(files.map((name) => join(folder.path, name)).sort()).toEqual([made, path].sort());
    expect(readdirSync(folder.path)).toEqual(['tasks.ts']);
    expect(workers.calls).toEqual(['drained', 'worker closed', 'client closed']);
  });

  test('has one slot and nothing else when nothing is said, and variables stand for flags', async () => {
    await runUntilStopped([path, '--home', 'rack-7']);
    workers = new FakeWorkers();
    const env = { BALSA_LABEL: 'gpu', BALSA_SLOTS: '3', BALSA_MEMORY: '512MiB' };
    await runUntilStopped([path], { env });

    expect(workers.asked).toMatchObject([
      { slots: 3, labels: ['gpu'], memoryBytes: 512 * 2 ** 20, home: undefined },
    ]);
  });

  test('does what it has first when it is told to stop', async () => {
    workers.active = 2;

    const { exit, stderr } = await runUntilStopped([path]);

    expect(exit).toBe(0);
    expect(stderr).toMatch(/\n2 tasks are done first\n$/);
    expect(workers.calls[0]).toBe('drained');
  });

  test('tells what becomes of tasks', async () => {
    const { stderr } = await runUntilStopped([path], { isTerminal: true, env: {} }, () => {
      workers.tell({ type: 'begun', message: '' });
      workers.tell({ type: 'failed', message: 'no luck' }, { attempt: 2 });
    });
    const plain = { isTerminal: true, env: { NO_COLOR: '1' } };
    workers = new FakeWorkers();
    const uncoloured = await runUntilStopped([path], plain, () => {
      workers.tell({ type: 'crashed', message: 'killed\u001b[2J\nby hand' });
      workers.tell({ type: 'done', message: '' });
    });

    expect(stderr).toContain('\u001b[2mbegun\u001b[22m nightly encode/7\n');
    expect(stderr).toContain('\u001b[31mfailed\u001b[39m nightly encode/7 (attempt 2): no luck\n');
    expect(uncoloured.stderr).toContain(
      '\ncrashed nightly encode/7: killed\\e[2J\\nby hand\ndone nightly encode/7\n',
    );
  });

  test('ends with what has ended it', async () => {
    const running = run(['worker', path], { connect: workers.connect });
    await workers.started;
    workers.end(new BalsaError('INVALID_ARGUMENT', 'it is refused'));

    expectRefusal(await running, { exit: 2, says: '\nerror INVALID_ARGUMENT: it is refused\n' });
    expect(workers.calls).toEqual(['worker closed', 'client closed']);
    expect(readdirSync(folder.path)).toEqual(['tasks.ts']);
  });

  test('that cannot begin leaves nothing behind', async () => {
    // As of code that throws while it is loaded: what was made of the file is no name for a user.
    workers.refusal = (module) =>
      new BalsaError('FILE_INVALID', `${module}: no package, from ${fileURLToPath(module)}`);

    expectRefusal(await run(['worker', path], { connect: workers.connect }), {
      ...{ exit: 1, says: `error FILE_INVALID: ${path}: no package, from ${path}\n` },
    });
    const unreachable = await run(['worker', path], {
      connect: () => Promise.reject(new BalsaError('UNREACHABLE', 'nobody is there')),
    });
    expectRefusal(unreachable, { exit: 5, says: 'error UNREACHABLE: nobody is there\n' });
    expect(workers.calls).toEqual(['client closed']);
    expect(readdirSync(folder.path)).toEqual(['tasks.ts']);
  });

  test.each([
    ['--memory', 'much'],
    ['--memory', '8GB'],
    ['--memory', '-1'],
    ['--memory', ''],
    ['--slots', '0'],
    ['--slots', '1.5'],
    ['--slots', '1001'],
    ['--label', ''],
    ['--label', 'x'.repeat(101)],
  ])('refuses %s=%s', async (flag, value) => {
    expectRefusal(await runUntilStopped([path, `${flag}=${value}`]), {
      ...{ exit: 2, says: `error: option '${flag} <` },
    });
    expect(workers.connections).toEqual([]);
  });

  test.each(['', 'x'.repeat(101)])('the client refuses a label like %j, too', async (label) => {
    const { db, h } = await MachineStore.open();

    expect(await h.failure(db.worker({ tasks: path, labels: ['gpu', label] }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: 'labels of a worker: each has 1 to 100 characters',
    });
  });

  test('refuses a file that is not there, and one that is no module, before it connects', async () => {
    writeFileSync(path, 'export const encode = ;');
    const { connect } = workers;

    expectRefusal(await run(['worker', join(folder.path, 'none.ts')], { connect }), {
      ...{ exit: 2, says: 'none.ts: ENOENT: no such file or directory\ntry: check the path' },
    });
    expectRefusal(await run(['worker', folder.path], { connect }), {
      ...{ exit: 2, says: `error FILE_UNREADABLE: ${folder.path} is no file\n` },
    });
    expectRefusal(await run(['worker', path], { connect }), {
      ...{ exit: 1, says: 'tasks.ts:1: Unexpected ";"\n' },
    });
    expectRefusal(await run(['worker'], { connect }), {
      ...{ exit: 2, says: "error: missing required argument 'file'\ntry: balsa worker --help" },
    });
    expect(workers.connections).toEqual([]);
    expect(readdirSync(folder.path)).toEqual(['tasks.ts']);
  });
});
