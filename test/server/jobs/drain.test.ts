import { beforeEach, describe, expect, test } from 'vitest';
import { BalsaError } from '../../../src/base/errors.js';
import type { WorkerDemand } from '../../../src/base/job.js';
import { packJobStep, unpackJobStep } from '../../../src/base/job-codec.js';
import { HASH } from '../../statemachine/call-records.js';
import { json, stage } from '../../statemachine/job-world.js';
import { ServiceWorld } from './service-world.js';

const STOPPING = new BalsaError('SHUTTING_DOWN', 'it stops');

let world: ServiceWorld;
let worker: string;

/** The leader gives the replica these tasks, and they begin. */
async function claim(...ordinals: number[]): Promise<number[]> {
  const tasks = ordinals.map((n) => [1, n] as const);
  const fences = await world.jobs.claim(worker, tasks, { home: 'n2' });
  world.service.applied();
  await world.quiet();
  return fences;
}

/** What the leader was told since the last time gets into the log. @returns how tasks have ended */
async function logTold(): Promise<(readonly [number, string])[]> {
  const ends = world.told().flat();
  world.sent.length = 0;
  for (const { fence, end } of ends) await world.jobs.end(fence, end);
  world.service.applied();
  await world.quiet();
  return ends.map(({ fence, end }) => [fence, end.type] as const);
}

async function drain(): Promise<void> {
  world.service.drain(STOPPING);
  await world.quiet();
}

beforeEach(async () => {
  world = await ServiceWorld.start();
  const sandboxed = stage('s', { where: 'sandbox', run: `p@${HASH}` });
  await world.jobs.submit([sandboxed], {
    input: { type: 'list', items: ['1', '2', '3', '4', '5'] },
  });
  await world.tick(1000);
  worker = world.demanded().worker;
});

describe('a replica that is about to stop', () => {
  test('gives back what runs and what waits, and has handed on its tasks when the log says so', async () => {
    world.ran = { isEndless: true };
    const fences = await claim(0, 1, 2, 3);
    world.sent.length = 0;
    await drain();
    expect(world.aborted).toBe(2);
    expect(world.demanded().slots).toBe(0);
    await world.tick(5000);
    expect(world.service.isHandedOn).toBe(false);
    const ends = await logTold();
    expect(new Map(ends)).toEqual(new Map(fences.map((fence) => [fence, 'released'])));
    expect(world.service.isHandedOn).toBe(true);
    // It cost them nothing: nobody takes its worker for lost.
    expect(world.jobs.jobs.workers).toEqual([]);
    expect([...world.jobs.job().tasks].map(({ homes, lost }) => [homes, lost])).toEqual(
      fences.map(() => [[], 0]),
    );
  });

  test('tells how tasks have ended that the log does not have yet, until it has', async () => {
    const [fence] = await claim(0);
    world.sent.length = 0;
    await drain();
    await world.tick(301);
    expect(world.service.isHandedOn).toBe(false);
    expect(new Map(await logTold())).toEqual(new Map([[fence, 'result']]));
    expect(world.service.isHandedOn).toBe(true);
    expect(world.jobs.job().isDone(1, 0)).toBe(true);
  });

  test('gives back what it is given all the same, at once', async () => {
    await drain();
    // Something may be on its way.
    expect(world.service.isHandedOn).toBe(false);
    const [fence = 0] = await claim(0);
    await world.tick(301);
    expect(world.service.isHandedOn).toBe(false);
    expect(world.told()[0]).toMatchObject([{ fence, end: { type: 'released' } }]);
    await logTold();
    expect(world.service.isHandedOn).toBe(true);
  });

  test('waits a while for one who leads, and not for ever', async () => {
    world.ran = { isEndless: true };
    await claim(0);
    world.leaderKnown = false;
    await drain();
    await world.tick(1400);
    expect(world.service.isHandedOn).toBe(false);
    await world.tick(100);
    expect(world.service.isHandedOn).toBe(true);
  });

  test('has nothing to wait for where no job runs', async () => {
    for (const n of [0, 1, 2, 3, 4]) await world.jobs.run('w', 1, n, json(n));
    world.service.applied();
    await drain();
    expect(world.service.isHandedOn).toBe(true);
  });

  test('answers workers of users, which ask others', async () => {
    const demand: WorkerDemand = {
      ...{ worker: 'w', home: 'h', where: 'worker', slots: 1, threads: 1 },
      ...{ tasks: ['map'], labels: [], memoryBytes: 0 },
    };
    const answers: unknown[] = [];
    world.service.work({ demand, fences: [] }, (answer) => answers.push(answer));
    await drain();
    world.service.work({ demand, fences: [] }, (answer) => answers.push(answer));
    expect(answers).toEqual([STOPPING, STOPPING]);
  });

  test('says how far its tasks are before it gives them back', async () => {
    world.ran = { isEndless: true };
    await claim(0);
    world.sent.length = 0;
    world.checkpoint('"half"');
    await drain();
    const steps = world.sent.flatMap((one) => (one.type === 'task-ends' ? one.steps : []));
    expect(steps.map((step) => unpackJobStep(step).type)).toEqual(['checkpoint', 'end']);
  });

  test('and leads gives out nothing more, and takes how others have ended theirs', async () => {
    const [fence = 0] = await world.jobs.claim('other', [[1, 0]]);
    world.leads = true;
    await drain();
    const fields = { worker: 'other', home: 'n1', slots: 2, threads: 2, memoryBytes: 0 };
    const demand = { ...fields, where: 'sandbox', tasks: [], labels: [] } as const;
    world.service.receive('n1.1', { type: 'task-demand', workers: [demand] });
    const end = packJobStep({ type: 'end', fence, end: json(1) });
    world.service.receive('n1.1', { type: 'task-ends', steps: [end] });
    await world.tick(100);
    expect(world.jobs.job().isDone(1, 0)).toBe(true);
    expect(world.jobs.jobs.workers).toEqual([]);
  });
});
