import { beforeEach, describe, expect, test } from 'vitest';
import { packJobFrame } from '../../../src/rpc/peer-frames.js';
import { HASH } from '../../statemachine/call-records.js';
import { json, stage } from '../../statemachine/job-world.js';
import { ServiceWorld } from './service-world.js';

const MiB = 1024 * 1024;
const RESULT_BYTES = MiB / 4;
const TASKS = 1000;

let world: ServiceWorld;
let worker: string;
let next: number;

/** The leader gives the replica so many tasks more, which end at once. */
async function claim(count: number): Promise<number[]> {
  const tasks = Array.from({ length: count }, (_, i) => [1, next + i] as const);
  next += count;
  const fences = await world.jobs.claim(worker, tasks, { home: 'n2' });
  world.service.applied();
  await world.quiet();
  return fences;
}

/** The log has them. */
async function confirm(fences: readonly number[]): Promise<void> {
  for (const fence of fences) await world.jobs.end(fence, json(1));
  world.service.applied();
  await world.quiet();
}

beforeEach(async () => {
  next = 0;
  world = await ServiceWorld.start();
  const items = Array.from({ length: TASKS }, (_, i) => `${i}`);
  const sandboxed = stage('s', { where: 'sandbox', run: `p@${HASH}` });
  await world.jobs.submit([sandboxed], { input: { type: 'list', items } });
  world.ran = { result: JSON.stringify('x'.repeat(RESULT_BYTES)) };
  await world.tick(1000);
  worker = world.demanded().worker;
});

/** The log has become slow, so the replica would like to have very many tasks. */
async function slowLog(): Promise<void> {
  const fences = await claim(world.demanded().slots);
  world.nowMs += 20_000;
  await confirm(fences);
  await world.tick(300);
}

describe('what a replica tells the leader of its tasks', () => {
  test('goes in frames of some MiB, and again only as much as one of them holds', async () => {
    await slowLog();
    await claim(100);
    world.sent.length = 0;
    await world.tick(301);
    const bytes = world.sent.flatMap((frame) =>
      frame.type === 'task-ends' ? [packJobFrame(frame).byteLength] : [],
    );
    expect(bytes).toHaveLength(1);
    expect(bytes[0]).toBeGreaterThan(3 * MiB);
    expect(bytes[0]).toBeLessThan(4.1 * MiB);
  });

  test('all of it is told once, and again in order, as the log takes it', async () => {
    await slowLog();
    world.sent.length = 0;
    const fences = await claim(40);
    const told = (): number[] => world.told().flatMap((frame) => frame.map(({ fence }) => fence));
    expect(new Set(told())).toEqual(new Set(fences));
    for (let left = [...fences]; left.length > 0; ) {
      world.sent.length = 0;
      await world.tick(301);
      const again = told();
      expect(again).toEqual(left.slice(0, again.length));
      expect(again.length).toBeGreaterThan(0);
      await confirm(again);
      left = left.slice(again.length);
    }
    world.sent.length = 0;
    await world.tick(301);
    expect(told()).toEqual([]);
  });

  test('is so much at most: what waits for the log is not joined by more without bound', async () => {
    await slowLog();
    let waiting = 0;
    for (let i = 0; i < 10; i += 1) {
      const more = Math.max(0, world.demanded().slots - waiting);
      await claim(more);
      waiting += more;
      await world.tick(301);
    }
    expect(waiting * RESULT_BYTES).toBeGreaterThan(8 * MiB);
    expect(waiting * RESULT_BYTES).toBeLessThan(24 * MiB);
  });
});
