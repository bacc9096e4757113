import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JobDefinition } from '../../src/client/client.js';
import type { JobInfo } from '../../src/rpc/job-protocol.js';
import { temporaryFolder } from '../whole/support.js';
import { expectRefusal, type RunResult } from './fakes.js';
import { HandWorker } from './hand-worker.js';
import { MachineStore } from './machine-store.js';

let store: MachineStore;
let folder: ReturnType<typeof temporaryFolder>;
beforeEach(async () => {
  store = await MachineStore.open();
  folder = temporaryFolder();
});
afterEach(() => {
  folder[Symbol.dispose]();
});

const TERMINAL = { isTerminal: true, env: { NO_COLOR: '1' } };

const DOUBLE: JobDefinition = {
  input: { list: [1, 2, 3] },
  stages: { double: { task: 'double', retries: 0 } },
};
const SUM: JobDefinition = {
  input: { list: [1, 2] },
  stages: { double: { task: 'double', retries: 0 }, sum: { kind: 'reduce', task: 'sum' } },
};

const double = (input: unknown): number => 2 * (input as number);
const sum = (input: unknown): number => (input as number[]).reduce((a, b) => a + b, 0);

function file(name: string, text: string): string {
  const path = join(folder.path, name);
  writeFileSync(path, text);
  return path;
}

async function submit(definition: JobDefinition, id: string): Promise<void> {
  await store.h.until(store.db.submit(definition, null, { id }));
}

/** A command that reads files: real time has to pass, too. */
function submitFile(args: readonly string[]): Promise<RunResult> {
  return store.alongside(store.begin(args));
}

/** The worker gives what tasks come to until none comes any more. */
async function work(worker: HandWorker, of: (input: unknown) => unknown): Promise<void> {
  for (;;) {
    await store.sleepFor(200);
    if (worker.tasks.length === 0) return;
    worker.give(of);
  }
}

/** A job that has succeeded, and one that has failed. */
async function endedJobs(): Promise<HandWorker> {
  const worker = HandWorker.start(store.db);
  await submit(DOUBLE, 'good');
  await work(worker, double);
  await submit(DOUBLE, 'bad');
  await store.waitUntil('a task', () => worker.tasks.length > 0);
  worker.end({ type: 'failed', code: 'PROCEDURE_FAILED', message: 'no luck' });
  await store.sleepFor(200);
  return worker;
}

function linesOf(text: string): JobInfo[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as JobInfo);
}

describe('job submit', () => {
  test('puts a job of JSON into the log with its arguments, and prints its id', async () => {
    const path = file('double.json', JSON.stringify({ name: 'twice', priority: 7, ...DOUBLE }));

    const named = await submitFile(['job', 'submit', path, '{ "by": 2 }', '--id', 'nightly']);
    const unnamed = await submitFile(['job', 'submit', path]);

    expect(named).toMatchObject({ exit: 0, stdout: 'nightly\n', stderr: '' });
    const { spec } = store.real.machine.jobs.get('nightly') ?? {};
    expect(spec).toMatchObject({ name: 'twice', priority: 7, args: '{"by":2}' });
    expect(spec?.stages).toMatchObject([{ name: 'double', where: 'worker', run: 'double' }]);
    const [id = ''] = unnamed.stdout.split('\n');
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(store.real.machine.jobs.get(id)?.spec.args).toBe('null');
  });

  test('takes the job that a module exports, under the name that it has there', async () => {
    const path = file(
      'words.ts',
      `import { job } from 'balsa/procedures';
      const stages = { double: { task: 'double' } };
      export const one = job({ input: { list: [1] as number[] }, stages });
      export const two = job({ input: { list: [2] as number[] }, stages });
      export const other = 17;`,
    );

    expect(
      await submitFile(['job', 'submit', path, '--job', 'two', '--id', 'x', '-o', 'json']),
    ).toMatchObject({
      ...{ exit: 0, stdout: '{"job":"x"}\n' },
    });
    expect(store.real.machine.jobs.get('x')?.spec.name).toBe('two');
    expectRefusal(await submitFile(['job', 'submit', path]), {
      ...{ exit: 2, says: `${path} exports one, two: name one with --job` },
    });
    expectRefusal(await submitFile(['job', 'submit', path, '--job', 'three']), {
      ...{ exit: 1, says: `${path} exports no job three; see job() of balsa/procedures` },
    });
    // Nothing of what was made to load it is left.
    expect(readdirSync(folder.path)).toEqual(['words.ts']);
  });

  test('--watch and --result stay until it has ended', async () => {
    const path = file('sum.json', JSON.stringify(SUM));
    const worker = HandWorker.start(store.db);
    worker.gives = (input) => (Array.isArray(input) ? sum(input) : double(input));

    const watched = await submitFile(['job', 'submit', path, '--id', 'j', '--watch']);
    const result = await submitFile(['job', 'submit', path, '--result', '-o', 'json']);

    expect(watched).toMatchObject({ exit: 0, stdout: 'j\n' });
    expect(watched.stderr).toMatch(/^j running 0\/3\nsucceeded j in \S+\n$/);
    expect(result).toMatchObject({ exit: 0, stdout: '6\n', stderr: '' });
  });

  test('refuses an id that is taken, exit 4, and one that is none, exit 2', async () => {
    const path = file('double.json', JSON.stringify(DOUBLE));
    await submit(SUM, 'nightly');

    expectRefusal(await submitFile(['job', 'submit', path, '--id', 'nightly']), {
      exit: 4,
      says: 'error JOB_EXISTS: there is a job nightly already\ntry: another --id',
    });
    expectRefusal(await submitFile(['job', 'submit', path, '--id', 'every night']), {
      exit: 2,
      says: 'error INVALID_ARGUMENT: "every night" is no id of a job',
    });
    expect(store.real.machine.jobs.get('nightly')?.spec.stages).toHaveLength(2);
  });

  test('refuses arguments that are no JSON, and says where they are not', async () => {
    const path = file('double.json', JSON.stringify(DOUBLE));

    expectRefusal(await submitFile(['job', 'submit', path, '{"by": 2,}']), {
      ...{ exit: 2, says: 'error INVALID_ARGUMENT: the arguments are no JSON: line 1, column 10' },
    });
    expect(store.real.machine.jobs.size).toBe(0);
  });

  test.each([
    ['missing.json', null, 2, 'missing.json: ENOENT: no such file or directory\n'],
    ['missing.ts', null, 2, 'missing.ts: ENOENT: no such file or directory\n'],
    ['broken.json', '{"stages":', 2, 'broken.json is no JSON: line 1'],
    ['list.json', '[1]', 1, 'list.json is not the definition of a job: it has no stages'],
    ['broken.ts', 'export const a = ;', 1, 'Unexpected ";"'],
    ['none.ts', 'export const a = 1;', 1, 'none.ts exports no job; see job()'],
    [
      'throws.mjs',
      'throw new Error("not today");',
      1,
      'throws.mjs: the module throws: not today\n',
    ],
    ['noinput.json', '{"stages":{"a":{"task":"a"}}}', 2, 'the job has no input'],
    ['norun.json', '{"input":{"list":[]},"stages":{"a":{}}}', 2, 'stage a: either run'],
    [
      'labels.json',
      '{"input":{"list":[]},"stages":{"a":{"task":"a","labels":[""]}}}',
      ...([2, 'stage a: at most 16 labels of 1 to 100 characters'] as const),
    ],
    [
      'procedure.json',
      '{"input":{"list":[]},"stages":{"a":{"run":"count"}}}',
      ...([3, 'error PROCEDURE_NOT_FOUND: there is no procedure count'] as const),
    ],
  ] as const)('refuses %s', async (name, text, exit, says) => {
    const path = text === null ? join(folder.path, name) : file(name, text);

    expectRefusal(await submitFile(['job', 'submit', path]), { exit, says });

    expect(store.real.machine.jobs.size).toBe(0);
    expect(readdirSync(folder.path)).toEqual(text === null ? [] : [name]);
  });
});

describe('job list', () => {
  test('has a line for each job, the latest first', async () => {
    await endedJobs();
    await submit(SUM, 'going');

    const { stdout, exit } = await store.run(['job', 'list', '-o', 'json']);

    expect(exit).toBe(0);
    expect(linesOf(stdout)).toMatchObject([
      { job: 'going', phase: 'running', name: 'job', endedMs: 0, failure: null },
      { job: 'bad', phase: 'failed', failure: { code: 'PROCEDURE_FAILED', message: 'no luck' } },
      { job: 'good', phase: 'succeeded', items: 3, failure: null },
    ]);
    const running = await store.run(['job', 'list', '--running', '-o', 'json']);
    expect(linesOf(running.stdout)).toMatchObject([{ job: 'going' }]);
    const piped = (await store.run(['job', 'list'])).stdout.split('\n');
    expect(piped).toEqual([
      'JOB\tNAME\tPHASE\tDONE\tSUBMITTED\tTOOK',
      expect.stringMatching(/^going\tjob\trunning\t0\/3\t1970-01-01T00:00:\d\dZ\t\d+ms$/),
      expect.stringMatching(/^bad\tjob\tfailed\t0\/3\t1970-01-01T00:00:\d\dZ\t\d+ms$/),
      expect.stringMatching(/^good\tjob\tsucceeded\t3\/3\t1970-01-01T00:00:\d\dZ\t\d+ms$/),
      '',
    ]);
  });

  test('and what else shows jobs keeps to its lines, whatever others have written', async () => {
    const home = 'ada\u001b[2J';
    const worker = HandWorker.start(store.db, { home, labels: ['gpu\tbig'] });
    await submit({ ...DOUBLE, name: 'a\tb\u001b[2J' }, 'nightly');
    await store.waitUntil('a task', () => worker.tasks.length > 0);
    const stats = await store.run(['job', 'stats']);
    worker.end({ type: 'failed', code: 'PROCEDURE_FAILED', message: 'no\nluck\u001b[2J' });
    await store.sleepFor(200);

    expect(stats.stdout).toMatch(/\nw-1\tworker\tada\\e\[2J\t2\t2\t\d+%\tgpu\\tbig\n$/);
    expect((await store.run(['job', 'list'])).stdout).toMatch(/\nnightly\ta\\tb\\e\[2J\tfailed\t/);
    const status = await store.run(['job', 'status', 'nightly']);
    expect(status.stdout).toMatch(/\nname\ta\\tb\\e\[2J\n/);
    expect(status.stdout).toContain('failed: PROCEDURE_FAILED: no\\nluck\\e[2J\nSTAGE');
    const watched = await store.run(['job', 'watch', 'nightly'], TERMINAL);
    expect(watched.stderr).toContain('failed: PROCEDURE_FAILED: no\\nluck\\e[2J\n');
  });

  test('is a table for people, and says when there is nothing', async () => {
    const none = await store.run(['job', 'list'], TERMINAL);
    expect(none).toMatchObject({ exit: 0, stdout: '', stderr: 'no jobs\n' });
    expect((await store.run(['job', 'list', '-o', 'json'])).stdout).toBe('');

    await submit(DOUBLE, 'nightly');
    const { stdout } = await store.run(['job', 'list'], TERMINAL);

    expect(stdout).toMatch(/^JOB {6}NAME {2}PHASE {4}DONE {2}SUBMITTED {13}TOOK\n/);
    expect(stdout).toMatch(/\nnightly {2}job {3}running {3}0\/3 {2}1970-\S+Z +\d+ms\n$/);
  });
});

describe('job status', () => {
  test('shows how far each stage is, and why a job has failed', async () => {
    await endedJobs();
    await submit(SUM, 'going');
    await store.sleepFor(1000);

    const going = await store.run(['job', 'status', 'going'], TERMINAL);
    expect(going.stdout).toMatch(
      /^job {8}going\nname {7}job\nphase {6}running\npriority {3}5, weight 100\nsubmitted {2}1970-\S+Z\ntook {7}1s\n/,
    );
    expect(going.stdout).toMatch(
      /\nSTAGE {3}KIND {4}TASKS {2}DONE {2}RUNNING {2}WAITING {2}FAILED/,
    );
    expect(going.stdout).toMatch(/\ndouble {2}map +2 +0 +2 +0 +0\nsum {5}reduce +1 +0 +0 +0 +0\n$/);
    const bad = await store.run(['job', 'status', 'bad']);
    expect(bad.stdout).toMatch(
      /\nfailure\ttask 0 of stage double failed: PROCEDURE_FAILED: no luck\nSTAGE\tKIND\t/,
    );
    expect(bad.stdout).toMatch(/\ndouble\tmap\t3\t0\t0\t\d\t1\n$/);
    expect(await store.json(['job', 'status', 'good'])).toMatchObject({
      ...{ job: 'good', phase: 'succeeded', priority: 5, weight: 100 },
      stages: [{ name: 'double', tasks: 3, isFinal: true, done: 3, running: 0 }],
    });
  });
});

describe('job watch', () => {
  test('draws a bar for each stage over the one before, on a terminal', async () => {
    const worker = HandWorker.start(store.db, { slots: 1, threads: 1 });
    await submit(DOUBLE, 'nightly');
    const running = store.begin(['job', 'watch', 'nightly'], TERMINAL);
    await work(worker, double);

    const { exit, stdout, stderr } = await store.h.until(running);

    expect({ exit, stdout }).toEqual({ exit: 0, stdout: '' });
    const [first = '', ...rest] = stderr.split('\u001b[1A\u001b[0J');
    expect(first).toMatch(/^double {2}░{20} {3}0% {2}0\/3 done(, 1 running)?\n$/);
    const [last = ''] = rest.slice(-1);
    expect(last).toMatch(
      /^double {2}█{20} 100% {2}3\/3 done, [\d.]+\/s, \S+\nsucceeded nightly in /,
    );
    expect(rest.join('')).toMatch(/█{7}░{13} {2}33% {2}1\/3 done/);
  });

  test('says it in lines where there is no terminal, and as JSON', async () => {
    const worker = HandWorker.start(store.db, { slots: 1, threads: 1 });
    await submit(DOUBLE, 'nightly');
    const lines = store.begin(['job', 'watch', 'nightly']);
    const json = store.begin(['job', 'watch', 'nightly', '-o', 'json']);
    await work(worker, double);

    expect(await store.h.until(lines)).toMatchObject({
      ...{ exit: 0, stdout: '' },
      stderr: expect.stringMatching(/^nightly running 0\/3\nsucceeded nightly in \S+\n$/),
    });
    const { exit, stdout, stderr } = await store.h.until(json);
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
    const done = linesOf(stdout).map(({ phase, stages }) => `${phase} ${stages[0]?.done}`);
    expect([...new Set(done)]).toEqual(['running 0', 'running 1', 'running 2', 'succeeded 3']);
  });

  test('is exit code 1 when the job fails or is cancelled, and says why', async () => {
    await endedJobs();
    await submit(DOUBLE, 'gone');
    await store.run(['job', 'cancel', 'gone']);

    const bad = await store.run(['job', 'watch', 'bad']);
    const gone = await store.run(['job', 'watch', 'gone', '-o', 'json']);

    expect(bad).toMatchObject({ exit: 1, stdout: '' });
    expect(bad.stderr).toMatch(/\nfailed bad in \S+\ntask 0 of stage double failed: .*no luck\n$/);
    expect(gone).toMatchObject({ exit: 1, stderr: '' });
    expect(linesOf(gone.stdout)).toMatchObject([{ job: 'gone', phase: 'cancelled' }]);
  });

  test('Ctrl-C ends the watching and not the job', async () => {
    await submit(DOUBLE, 'nightly');
    const controller = new AbortController();
    const { signal: interrupted } = controller;
    const running = store.begin(['job', 'watch', 'nightly'], { interrupted });
    await store.sleepFor(1000);
    controller.abort();

    expect(await store.h.until(running)).toMatchObject({
      ...{ exit: 130, stdout: '' },
      stderr: 'nightly running 0/3\ninterrupted\n',
    });
    expect(store.real.machine.jobs.get('nightly')?.phase).toBe('running');
  });
});

describe('job result', () => {
  test('of stages that nobody takes is a line for each task, of a tree one value', async () => {
    const worker = HandWorker.start(store.db);
    await submit(DOUBLE, 'list');
    await submit(SUM, 'tree');
    await work(worker, (input) => (Array.isArray(input) ? { sum: sum(input) } : double(input)));

    expect(await store.run(['job', 'result', 'list'])).toMatchObject({
      ...{ exit: 0, stdout: '2\n4\n6\n', stderr: '' },
    });
    expect((await store.run(['job', 'result', 'tree'])).stdout).toBe('{"sum":6}\n');
    const people = await store.run(['job', 'result', 'tree'], TERMINAL);
    expect(people.stdout).toBe('{\n  "sum": 6\n}\n');
  });

  test('of several stages that nobody takes is that of one after the other', async () => {
    const worker = HandWorker.start(store.db);
    worker.gives = (input) => (Array.isArray(input) ? sum(input) : double(input));
    const tree = { kind: 'reduce', task: 'sum', after: 'input', fanIn: 2 } as const;
    const stages = { tree, double: { task: 'double', after: 'input' } };
    await submit({ input: { list: [1, 2, 4] }, stages }, 'both');

    expect((await store.run(['job', 'result', 'both'])).stdout).toBe('7\n2\n4\n8\n');
  });

  test('bytes are printed as they are, and with -o json as base64', async () => {
    const worker = HandWorker.start(store.db);
    await submit({ ...DOUBLE, input: { list: [1] } }, 'bytes');
    await work(worker, () => Buffer.from([0, 0xff, 10]));

    const { stdoutBytes } = await store.run(['job', 'result', 'bytes']);
    expect([...stdoutBytes]).toEqual([0, 0xff, 10]);
    expect(await store.json(['job', 'result', 'bytes'])).toEqual({ base64: 'AP8K' });
  });

  test('what a task gives does not move the cursor of a terminal', async () => {
    const worker = HandWorker.start(store.db);
    await submit({ ...DOUBLE, input: { list: [1] } }, 'text');
    await work(worker, () => 'a\u009b2J');

    expect((await store.run(['job', 'result', 'text'], TERMINAL)).stdout).not.toContain('\u009b');
  });

  test('waits until the job has ended, and is exit code 1 when that was not well', async () => {
    const worker = HandWorker.start(store.db);
    await submit({ ...DOUBLE, input: { list: [1] } }, 'slow');
    const running = store.begin(['job', 'result', 'slow']);
    await store.sleepFor(2000);
    worker.end({ type: 'failed', code: 'PROCEDURE_FAILED', message: 'no luck' });

    expectRefusal(await store.h.until(running), {
      exit: 1,
      says: 'error JOB_FAILED: job slow has failed at task 0 of stage double: PROCEDURE_FAILED: no luck\ntry: balsa job retry',
    });
    await submit(DOUBLE, 'gone');
    await store.run(['job', 'cancel', 'gone']);
    expectRefusal(await store.run(['job', 'result', 'gone']), {
      ...{ exit: 1, says: 'error JOB_CANCELLED: job gone was cancelled\n' },
    });
  });
});

describe('job cancel, retry and remove', () => {
  const phase = (id: string) => store.real.machine.jobs.get(id)?.phase ?? null;

  test('cancel ends a job', async () => {
    await submit(DOUBLE, 'nightly');

    expect(await store.run(['job', 'cancel', 'nightly'])).toMatchObject({
      ...{ exit: 0, stdout: '', stderr: 'cancelled nightly\n' },
    });
    expect(phase('nightly')).toBe('cancelled');
  });

  test('retry goes on with one that has failed', async () => {
    const worker = await endedJobs();

    expect(await store.run(['job', 'retry', 'bad'])).toMatchObject({
      ...{ exit: 0, stdout: '', stderr: 'goes on bad\n' },
    });
    expect(phase('bad')).toBe('running');
    // What it was given before the failure does not count any more.
    worker.tasks.length = 0;
    await work(worker, double);
    expect((await store.run(['job', 'result', 'bad'])).stdout).toBe('2\n4\n6\n');
  });

  test('remove forgets one that has ended, with its results', async () => {
    await endedJobs();

    expect(await store.json(['job', 'remove', 'good'])).toEqual({ job: 'good', done: 'removed' });
    await store.sleepFor(1000);
    expect(phase('good')).toBeNull();
    expect(phase('bad')).toBe('failed');
  });

  test.each([
    ['cancel', 'good', 'job good is succeeded: it cannot be told to cancel'],
    ['retry', 'good', 'job good is succeeded: it cannot be told to retry'],
    ['remove', 'going', 'job going is running: it cannot be told to remove'],
  ])('%s of %s is exit code 4', async (command, id, says) => {
    await endedJobs();
    await submit(SUM, 'going');

    expectRefusal(await store.run(['job', command, id]), {
      ...{ exit: 4, says: `error JOB_STATE: ${says}\ntry: balsa job status` },
    });
  });
});

test.each(['status', 'watch', 'result', 'cancel', 'retry', 'remove'])(
  'job %s of a job that is not there is exit code 3, of none a wrong usage',
  async (command) => {
    expectRefusal(await store.run(['job', command, 'nightly']), {
      ...{ exit: 3, says: 'error JOB_NOT_FOUND: there is no job nightly\ntry: balsa job list' },
    });
    expectRefusal(await store.run(['job', command]), {
      ...{ exit: 2, says: `missing required argument 'id'\ntry: balsa job ${command} --help` },
    });
  },
);

describe('job stats', () => {
  test('shows what waits, and who has what', async () => {
    HandWorker.start(store.db, { labels: ['gpu', 'ffmpeg'] });
    HandWorker.start(store.db, { worker: 'w-2', home: 'bob', slots: 1, threads: 1 });
    await submit({ ...DOUBLE, input: { list: [1, 2, 3, 4, 5] } }, 'nightly');
    await store.sleepFor(1000);

    expect(await store.json(['job', 'stats'])).toMatchObject({
      ...{ queued: 2, running: 3, usefulThreads: 5, usefulWorkers: 4 },
      workers: [
        { worker: 'w-1', home: 'ada', threads: 2, running: 2, labels: ['gpu', 'ffmpeg'] },
        { worker: 'w-2', home: 'bob', threads: 1, running: 1, labels: [] },
      ],
    });
    const { stdout } = await store.run(['job', 'stats'], TERMINAL);
    expect(stdout).toMatch(
      /^queued {10}2\nrunning {9}3\nuseful workers {2}4\nWORKER {2}WHERE {3}HOME/,
    );
    expect(stdout).toMatch(
      /\nw-1 {5}worker {2}ada +2 +2 +\d+% {2}gpu ffmpeg\nw-2 {5}worker {2}bob +1 +1 +/,
    );
  });

  test('is as short as can be without workers', async () => {
    expect((await store.run(['job', 'stats'])).stdout).toBe(
      'queued\t0\nrunning\t0\nuseful workers\t0\n',
    );
  });
});
