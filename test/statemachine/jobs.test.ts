import { describe, expect, test } from 'vitest';
import { packCall } from '../../src/base/call-codec.js';
import type { TaskEnd } from '../../src/base/job.js';
import { packItemChunk } from '../../src/base/job-codec.js';
import { call, HASH, startWithProcedure } from './call-records.js';
import { JobWorld, json, stage } from './job-world.js';
import { bytes, del, put } from './replica.js';

const REF = `p@${HASH}`;
const sandboxed = stage('s', { where: 'sandbox', run: 'p' });

const writing = (key: string, fields: Parameters<typeof call>[1]): TaskEnd => ({
  ...{ type: 'result', value: { type: 'json', json: '0' } },
  call: packCall(call(key, { procedure: REF, ...fields })),
});

describe('a job', () => {
  test('has succeeded when each task of each stage is done', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('map')], { input: { type: 'list', items: ['1', '2'] } });
    expect(world.claimable()).toEqual(['1/0', '1/1']);
    await world.run('w', 1, 1, json('b'));
    expect(world.job().phase).toBe('running');
    await world.run('w', 1, 0, json('a'));
    expect(world.job().phase).toBe('succeeded');
    expect([world.value(1, 0), world.value(1, 1)]).toEqual(['"a"', '"b"']);
  });

  test('over nothing gives one result of its tree, and none of a map', async () => {
    const world = await JobWorld.start();
    const none = { input: { type: 'list', items: [] } } as const;
    await world.submit([stage('map')], none, 'maps');
    expect(world.job('maps').phase).toBe('succeeded');
    await world.submit([stage('tree', { kind: 'reduce', fanIn: 2 })], none, 'reduces');
    expect(world.claimable('reduces')).toEqual(['1/0']);
    expect(world.job('reduces').inputsOf(1, 0)).toEqual([]);
  });

  test('is there once under its id, and is told what is not there', async () => {
    const world = await JobWorld.start();
    expect(await world.submit([stage('map')])).toMatchObject({ type: 'done' });
    expect(await world.submit([stage('map')])).toMatchObject({ code: 'JOB_EXISTS' });
    expect(await world.submit([sandboxed], {}, 'k')).toMatchObject({ code: 'PROCEDURE_NOT_FOUND' });
    const cancel = { type: 'job-control', job: 'nobody', action: 'cancel' } as const;
    expect(await world.do(cancel)).toMatchObject({ code: 'JOB_NOT_FOUND' });
  });

  test('is refused beyond jobsMax', async () => {
    const world = await JobWorld.start({ jobsMax: 1 });
    await world.submit([stage('map')]);
    expect(await world.submit([stage('map')], {}, 'k')).toMatchObject({ code: 'JOBS_TOO_MANY' });
  });

  test('fails when a task has failed more often than it may', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('map', { retries: 1 })]);
    const failed: TaskEnd = { type: 'failed', code: 'PROCEDURE_FAILED', message: 'no' };
    await world.run('w', 1, 0, failed);
    expect(world.job().phase).toBe('running');
    expect(world.claimable()[0]).toBe('1/1');
    world.timeMs += 100;
    expect(world.claimable()[0]).toBe('1/0');
    await world.run('w', 1, 0, failed);
    expect(world.job()).toMatchObject({
      ...{ phase: 'failed', endedMs: 1100 },
      failure: { code: 'PROCEDURE_FAILED', message: 'no', stage: 1, ordinal: 0 },
    });
  });

  test('that has failed goes on with what was not done when it is retried', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('map', { retries: 0 })]);
    await world.run('w', 1, 1, json(2));
    await world.run('w', 1, 0, { type: 'failed', code: 'X', message: 'no' });
    expect(await world.claim('w', [[1, 2]])).toEqual([]);
    await world.do({ type: 'job-control', job: 'j', action: 'retry' });
    expect(world.claimable()).toEqual(['1/0', '1/2', '1/3', '1/4']);
    await world.run('w', 1, 0, json(1));
    expect(world.value(1, 0)).toBe('1');
    const again = { type: 'job-control', job: 'j', action: 'retry' } as const;
    expect(await world.do(again)).toMatchObject({
      code: 'JOB_STATE',
      details: { phase: 'running' },
    });
  });
});

describe('a fence', () => {
  test('of an attempt that is under way lets its result in, once', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('map')]);
    const [fence] = await world.claim('w', [[1, 0]]);
    await world.end(fence, json('first'));
    await world.end(fence, json('second'));
    expect(world.value(1, 0)).toBe('"first"');
  });

  test('keeps out whoever was taken for lost, also when the task is done by then', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('map')]);
    const [late] = await world.claim('slow', [[1, 0]]);
    await world.step({ type: 'lost', worker: 'slow', isGone: true });
    const [fence] = await world.claim('w', [[1, 0]]);
    await world.end(late, json('late'));
    expect(world.value(1, 0)).toBeNull();
    await world.end(fence, json('good'));
    await world.end(late, json('late'));
    expect(world.value(1, 0)).toBe('"good"');
    const report = { type: 'result', value: { type: 'json', json: '1' }, call: null } as const;
    const said = await world.do({ type: 'task-report', fence: late ?? 0, report });
    expect(said).toMatchObject({ code: 'TASK_FENCED' });
  });

  test('is claimed for one attempt of a task at a time, unless it is a speculation', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('map')]);
    const [first] = await world.claim('a', [[1, 0]]);
    expect(await world.claim('b', [[1, 0]])).toEqual([]);
    expect(await world.claim('a', [[1, 0]], { speculative: true })).toEqual([]);
    const [second] = await world.claim('b', [[1, 0]], { speculative: true });
    expect(second).toBeGreaterThan(first ?? 0);
    expect(await world.claim('c', [[1, 0]], { speculative: true })).toEqual([]);
    await world.end(second, json('second'));
    await world.end(first, json('first'));
    expect(world.value(1, 0)).toBe('"second"');
    expect(await world.claim('c', [[1, 0]], { speculative: true })).toEqual([]);
  });

  test('of a job that was cancelled lets nothing in any more', async () => {
    const world = await JobWorld.start({}, await startWithProcedure());
    await world.submit([sandboxed]);
    const [fence] = await world.claim('w', [[1, 0]]);
    await world.do({ type: 'job-control', job: 'j', action: 'cancel' });
    await world.end(fence, writing('x', { writes: { k: 'v' } }));
    await world.step({ type: 'checkpoint', fence: fence ?? 0, json: '1' });
    expect(await world.replica.items()).toEqual([]);
    expect(world.jobs.checkpoint({ job: 'j', stage: 1, ordinal: 0 })).toBeNull();
    expect(await world.claim('w', [[1, 1]])).toEqual([]);
    expect(world.job().phase).toBe('cancelled');
  });
});

describe('what a task writes', () => {
  test('comes into being with its result, at one revision', async () => {
    const world = await JobWorld.start({}, await startWithProcedure());
    await world.submit([sandboxed]);
    const [fence] = await world.claim('w', [[1, 0]]);
    await world.end(fence, writing('x', { reads: { k: 0 }, writes: { k: 'v', l: 'w' } }));
    expect(await world.replica.items()).toEqual(['k=v', 'l=w']);
    expect(world.replica.machine.revision).toBe(1);
    expect(world.job().isDone(1, 0)).toBe(true);
  });

  test('is not written when what it has read was changed, and the task runs again at once, uncharged', async () => {
    const world = await JobWorld.start({}, await startWithProcedure());
    await world.submit([stage('s', { where: 'sandbox', run: 'p', retries: 0 })]);
    const [fence] = await world.claim('w', [[1, 0]]);
    await world.do(put('k', 'other'));
    await world.end(fence, writing('x', { reads: { k: 0 }, writes: { k: 'v' } }));
    expect(await world.replica.items()).toEqual(['k=other']);
    expect(world.job()).toMatchObject({ phase: 'running' });
    expect(world.claimable()[0]).toBe('1/0');
    await world.run('w', 1, 0, writing('y', { reads: { k: 1 }, writes: { k: 'v' } }));
    expect(await world.replica.items()).toEqual(['k=v']);
  });

  test('depends on ranges that were read, too', async () => {
    const world = await JobWorld.start({}, await startWithProcedure());
    await world.do(put('a', '1'));
    await world.submit([sandboxed]);
    const read = (keys: number, revision: number) =>
      writing('x', { ranges: [['a', 'c', keys, revision]], writes: { sum: '1' } });
    await world.run('w', 1, 0, read(2, 1));
    expect(world.job().isDone(1, 0)).toBe(false);
    await world.run('w', 1, 0, read(1, 1));
    expect(world.job().isDone(1, 0)).toBe(true);
  });

  test('runs the code that the name stood for when the job began', async () => {
    const world = await JobWorld.start({}, await startWithProcedure());
    await world.submit([sandboxed]);
    expect(world.job().spec.stages[0]?.run).toBe(REF);
    const { aliasHistoryMax } = { aliasHistoryMax: 20 };
    for (let i = 0; i < aliasHistoryMax; i += 1) {
      const hash = i.toString(16).padStart(8, 'f').padEnd(64, '0');
      await world.do({
        ...{ type: 'deploy', hash, code: bytes(hash), alias: 'prod' },
        procedures: [{ name: 'p', mode: 'cp', trigger: null }],
      });
    }
    expect(world.replica.machine.procedureCode(HASH)).not.toBeNull();
    await world.run('w', 1, 0, writing('x', { writes: { k: 'v' } }));
    expect(await world.replica.items()).toEqual(['k=v']);
    await world.do({ type: 'job-control', job: 'j', action: 'cancel' });
    await world.do({ type: 'job-control', job: 'j', action: 'remove' });
    await world.step({ type: 'tidy', records: 100 });
    expect(world.replica.machine.procedureCode(HASH)).toBeNull();
  });
});

describe('a worker', () => {
  test('is lost when its lease is over in log time, and no sooner', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('map')]);
    const [fence] = await world.claim('w', [[1, 0]]);
    world.timeMs += 999;
    await world.step({ type: 'lost', worker: 'w', isGone: false });
    expect(world.jobs.attempt(fence ?? 0)).not.toBeNull();
    await world.step({ type: 'extend', workers: ['w'] });
    world.timeMs += 999;
    await world.step({ type: 'lost', worker: 'w', isGone: false });
    expect(world.jobs.attempt(fence ?? 0)).not.toBeNull();
    world.timeMs += 1;
    await world.step({ type: 'lost', worker: 'w', isGone: false });
    expect(world.jobs.attempt(fence ?? 0)).toBeNull();
    expect(world.claimable()[0]).toBe('1/0');
  });

  test('that was lost costs its tasks nothing of what their own failures may cost', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('map', { retries: 0, lostRetries: 2, poisonAfter: 9 })]);
    for (const worker of ['a', 'b']) {
      await world.claim(worker, [[1, 0]], { home: 'one' });
      await world.step({ type: 'lost', worker, isGone: true });
    }
    expect(world.job().phase).toBe('running');
    await world.claim('c', [[1, 0]], { home: 'one' });
    await world.step({ type: 'lost', worker: 'c', isGone: true });
    expect(world.job()).toMatchObject({ phase: 'failed', failure: { code: 'WORKER_LOST' } });
  });

  test('at a third place that breaks at a task makes it poison', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('map')]);
    const crashed: TaskEnd = { type: 'crashed', message: 'out of memory' };
    for (const worker of ['a', 'a', 'b']) await world.run(worker, 1, 0, crashed);
    expect(world.job().phase).toBe('running');
    await world.run('c', 1, 0, crashed);
    expect(world.job()).toMatchObject({ phase: 'failed', failure: { code: 'TASK_POISONED' } });
  });

  test('that goes gives its tasks back at no cost', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('map', { retries: 0, lostRetries: 0, poisonAfter: 1 })]);
    await world.run('w', 1, 0, { type: 'released' });
    expect(world.claimable()[0]).toBe('1/0');
    expect(world.job().phase).toBe('running');
    expect(world.jobs.workers).toEqual([]);
  });

  test('finds the last checkpoint of a task that another one had', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('map')]);
    const place = { job: 'j', stage: 1, ordinal: 0 };
    const [fence] = await world.claim('a', [[1, 0]]);
    await world.step({ type: 'checkpoint', fence: fence ?? 0, json: '{"at":7}' });
    await world.step({ type: 'lost', worker: 'a', isGone: true });
    await world.step({ type: 'checkpoint', fence: fence ?? 0, json: '{"at":8}' });
    expect(world.jobs.checkpoint(place)).toBe('{"at":7}');
    await world.run('b', 1, 0, json(1));
    expect(world.jobs.checkpoint(place)).toBeNull();
  });
});

describe('stages', () => {
  const three = [
    stage('map'),
    stage('combine', { kind: 'combine', fanIn: 2, after: [1] }),
    stage('reduce', { kind: 'reduce', fanIn: 2, after: [2] }),
  ];

  test('begin a task as soon as what it takes is there', async () => {
    const world = await JobWorld.start();
    await world.submit(three);
    await world.run('w', 1, 2, json(3));
    expect(world.claimable()).toEqual(['1/0', '1/1', '1/3', '1/4']);
    await world.run('w', 1, 3, json(4));
    expect(world.claimable()).toEqual(['2/1', '1/0', '1/1', '1/4']);
    expect(await world.claim('w', [[2, 0]])).toEqual([]);
    await world.run('w', 1, 4, json(5));
    expect(world.job().inputsOf(2, 2)).toEqual([{ stage: 1, from: 4, to: 5 }]);
    await world.run('w', 2, 1, json(7));
    await world.run('w', 2, 2, json(5));
    expect(world.claimable()).toEqual(['3/1', '1/0', '1/1']);
  });

  test('of a tree go on until there is one result', async () => {
    const world = await JobWorld.start();
    await world.submit([stage('tree', { kind: 'reduce', fanIn: 2 })]);
    const job = world.job();
    expect(job.shapes[1]).toMatchObject({ tasks: 6, outputs: 1 });
    expect(job.inputsOf(1, 2)).toEqual([{ stage: 0, from: 4, to: 5 }]);
    expect(job.inputsOf(1, 3)).toEqual([{ stage: 1, from: 0, to: 2 }]);
    expect(job.inputsOf(1, 4)).toEqual([{ stage: 1, from: 2, to: 3 }]);
    expect(job.inputsOf(1, 5)).toEqual([{ stage: 1, from: 3, to: 5 }]);
    for (const ordinal of [0, 1, 2, 3, 4]) await world.run('w', 1, ordinal, json(ordinal));
    expect(world.claimable()).toEqual(['1/5']);
    await world.run('w', 1, 5, json('all'));
    expect(job.phase).toBe('succeeded');
  });

  test('take the results of several others, one after the other', async () => {
    const world = await JobWorld.start();
    await world.submit([
      stage('left'),
      stage('right', { kind: 'reduce', fanIn: 5 }),
      stage('both', { after: [2, 1] }),
    ]);
    expect(world.job().shapes[3]).toMatchObject({ inputs: 6, tasks: 6 });
    await world.run('w', 2, 0, json('tree'));
    expect(world.job().inputsOf(3, 0)).toEqual([{ stage: 2, from: 0, to: 1 }]);
    expect(world.job().inputsOf(3, 3)).toEqual([{ stage: 1, from: 2, to: 3 }]);
    expect(world.claimable()[0]).toBe('3/0');
  });
});

describe('an input', () => {
  test('that is cut grows task by task, and those behind begin meanwhile', async () => {
    const world = await JobWorld.start();
    const range = {
      from: bytes('a'),
      to: null,
      bytesPerTask: 10,
      keysPerTask: 10,
      values: 'json',
    } as const;
    const stages = [stage('map'), stage('tree', { kind: 'reduce', fanIn: 9, after: [1] })];
    await world.submit(stages, { input: { type: 'range', ...range } });
    expect(world.claimable()).toEqual(['0/0']);
    const cut = { type: 'cut', items: ['"a"', '"b"'], next: '1', call: null } as const;
    await world.run('w', 0, 0, cut);
    expect(world.claimable()).toEqual(['1/0', '1/1', '0/1']);
    await world.run('w', 1, 0, json(1));
    await world.run('w', 1, 1, json(2));
    expect(world.claimable()).toEqual(['0/1']);
    expect(world.job().cursor).toBe('1');
    await world.run('w', 0, 1, { ...cut, items: ['"c"'], next: null });
    expect(world.jobs.itemsAt(world.job(), 0, 3)).toEqual(['"a"', '"b"', '"c"']);
    expect(world.jobs.itemsAt(world.job(), 2, 3)).toEqual(['"c"']);
    await world.run('w', 1, 2, json(3));
    expect(world.claimable()).toEqual(['2/0']);
  });

  test('of keys keeps its revision from being compacted while the job runs, and not for ever', async () => {
    const world = await JobWorld.start({ jobPinMsMax: 5000 });
    await world.do(put('a', '1'));
    const range = {
      from: bytes(''),
      to: null,
      bytesPerTask: 10,
      keysPerTask: 10,
      values: 'json',
    } as const;
    await world.submit([stage('map')], { input: { type: 'range', ...range } });
    for (const value of ['2', '3']) await world.do(put('a', value));
    const compact = { type: 'compact', revision: 3 } as const;
    expect(await world.do(compact)).toMatchObject({ type: 'done', compactedRevision: 1 });
    expect(await world.do(compact)).toMatchObject({ code: 'COMPACTION_HELD' });
    await world.replica.system(world.timeMs, compact);
    expect(world.replica.machine.compactedRevision).toBe(1);
    world.timeMs += 5001;
    expect(await world.do(compact)).toMatchObject({ type: 'done' });
  });

  test('that was uploaded is read chunk by chunk, and must be whole', async () => {
    const world = await JobWorld.start();
    const chunk = (place: number, items: string[]) =>
      world.do({ type: 'job-upload', upload: 'u', place, bytes: packItemChunk(items) });
    await chunk(0, ['0', '1']);
    expect(await chunk(2, ['9'])).toMatchObject({ code: 'UPLOAD_INCOMPLETE' });
    const input = { type: 'upload', upload: 'u', counts: [2, 3] } as const;
    expect(await world.submit([stage('map')], { input })).toMatchObject({
      code: 'UPLOAD_INCOMPLETE',
    });
    await chunk(1, ['2', '3', '4']);
    await world.submit([stage('map')], { input });
    expect(world.jobs.itemsAt(world.job(), 1, 4)).toEqual(['1', '2', '3']);
    expect(world.job().items).toBe(5);
  });
});

describe('what is left of jobs', () => {
  test('goes when it has been kept for as long as it says, record by record', async () => {
    const world = await JobWorld.start({}, await startWithProcedure());
    await world.do({ type: 'job-upload', upload: 'u', place: 0, bytes: bytes('result') });
    await world.submit([stage('map')]);
    const value = { type: 'upload', upload: 'u', chunks: 1, bytes: 6, isJson: true } as const;
    await world.run('w', 1, 0, { type: 'result', value, call: null });
    for (const ordinal of [1, 2, 3, 4]) await world.run('w', 1, ordinal, json(ordinal));
    world.timeMs += 999;
    await world.step({ type: 'tidy', records: 3 });
    expect(world.value(1, 1)).toBe('1');
    world.timeMs += 1;
    await world.step({ type: 'tidy', records: 3 });
    expect([world.value(1, 1), world.value(1, 2)]).toEqual([null, '2']);
    expect(world.job().phase).toBe('removing');
    for (let i = 0; i < 5; i += 1) await world.step({ type: 'tidy', records: 3 });
    expect(world.jobs.get('j')).toBeNull();
    const ofJobs = world.replica.store.keys().filter((key) => 'jJgitxTwuU'.includes(key.charAt(0)));
    expect(ofJobs).toEqual([]);
  });

  test('that was uploaded for nothing goes in its time', async () => {
    const world = await JobWorld.start({ uploadKeptMs: 1000 });
    for (const place of [0, 1, 2]) {
      await world.do({ type: 'job-upload', upload: 'u', place, bytes: bytes('x') });
    }
    world.timeMs += 1000;
    await world.step({ type: 'tidy', records: 2 });
    expect(world.jobs.uploads.size).toBe(1);
    await world.step({ type: 'tidy', records: 2 });
    expect(world.jobs.uploads.size).toBe(0);
  });
});

test('the state of jobs is the same behind a restart at any entry', async () => {
  const world = await JobWorld.start({}, await startWithProcedure());
  await world.submit([sandboxed, stage('t', { kind: 'reduce', fanIn: 2, after: [1] })]);
  const fences = await world.claim('b', [
    [1, 3],
    [1, 1],
    [1, 0],
  ]);
  await world.claim('a', [[1, 2]]);
  await world.end(fences[0], json(1));
  await world.end(fences[1], { type: 'failed', code: 'X', message: 'no' });
  await world.step({ type: 'checkpoint', fence: fences[2] ?? 0, json: '1' });
  await world.step({ type: 'lost', worker: 'a', isGone: true });
  await world.do(del('nothing'));
  await world.do({ type: 'job-control', job: 'j', action: 'cancel' });
  await world.do({ type: 'job-control', job: 'j', action: 'remove' });
  for (let i = 0; i < 4; i += 1) await world.step({ type: 'tidy', records: 2 });
  const { stateHash } = world.replica.machine;
  for (let index = 0; index <= world.replica.log.length; index += 1) {
    await world.replica.restart(index);
    expect(world.replica.machine.stateHash).toBe(stateHash);
  }
});

test('of a job that has failed and is retried, too', async () => {
  const world = await JobWorld.start();
  await world.submit([stage('map', { retries: 0, lostRetries: 0 })]);
  await world.run('w', 1, 0, { type: 'failed', code: 'X', message: 'no' });
  await world.do({ type: 'job-control', job: 'j', action: 'retry' });
  await world.claim('v', [[1, 1]]);
  await world.step({ type: 'lost', worker: 'v', isGone: true });
  await world.do({ type: 'job-control', job: 'j', action: 'retry' });
  const { stateHash } = world.replica.machine;
  for (let index = 0; index <= world.replica.log.length; index += 1) {
    await world.replica.restart(index);
    expect(world.replica.machine.stateHash).toBe(stateHash);
  }
});
