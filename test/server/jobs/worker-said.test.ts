import { expect, test } from 'vitest';
import type { WorkerDemand } from '../../../src/base/job.js';
import { ServiceWorld } from './service-world.js';

const DEMAND: WorkerDemand = {
  ...{ worker: 'w', home: 'h', where: 'worker', slots: 1, threads: 1 },
  ...{ tasks: ['map'], labels: [], memoryBytes: 0 },
};

const many = (count: number, length: number): string[] =>
  Array.from({ length: count }, (_, i) => `${i}`.padEnd(length, 'x'));

/** What a worker says that is as large as it may be. */
const LARGEST: Partial<WorkerDemand> = {
  ...{ worker: 'w'.repeat(100), home: 'h'.repeat(255), slots: 1000, threads: 1000 },
  ...{ tasks: many(1000, 200), labels: many(100, 100) },
};

async function ask(fields: Partial<WorkerDemand>, fences: number): Promise<WorkerDemand[]> {
  const { service, sent } = await ServiceWorld.start();
  const list = Array.from({ length: fences }, (_, i) => i + 1);
  service.work({ demand: { ...DEMAND, ...fields }, fences: list }, () => {});
  await new Promise((resolve) => setImmediate(resolve));
  return sent.flatMap((one) => (one.type === 'task-demand' ? one.workers : []));
}

test('what a worker says of itself is told to the leader, as long as it is within bounds', async () => {
  expect(await ask(LARGEST, 10_000)).toEqual([{ ...DEMAND, ...LARGEST }]);
  expect(await ask({ home: '', slots: 0 }, 0)).toEqual([{ ...DEMAND, home: '', slots: 0 }]);
});

test.each<[string, Partial<WorkerDemand>, number?]>([
  ['no id', { worker: '' }],
  ['a home of any length', { home: 'h'.repeat(256) }],
  ['that it is the sandbox of a replica', { where: 'sandbox' }],
  ['too many slots', { slots: 1001 }],
  ['too many threads', { threads: 1001 }],
  ['too many tasks', { tasks: many(1001, 5) }],
  ['a task that no stage can name', { tasks: many(1, 201) }],
  ['too many labels', { labels: many(101, 5) }],
  ['a label that no stage can ask for', { labels: ['gpu', ''] }],
  ['that it has too much', {}, 10_001],
])('a worker that says %s is refused', async (_what, fields, fences = 0) => {
  await expect(ask(fields, fences)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
});
