import { expect, test } from 'vitest';
import type { RangeRead } from '../../../src/base/call.js';
import { HASH } from '../../statemachine/call-records.js';
import { stage } from '../../statemachine/job-world.js';
import { bytes, put } from '../../statemachine/replica.js';
import { ServiceWorld } from './service-world.js';

const sandboxed = stage('s', { where: 'sandbox', run: `p@${HASH}`, retries: 0 });

function range(name: string, keys: number, modRevisionMax = 1): RangeRead {
  return { from: bytes(`${name}/`), to: bytes(`${name}0`), keys, modRevisionMax };
}

const writes = [{ key: bytes('sum'), value: bytes('1') }];

/** @returns how a task ends that has done this */
async function endOf(effects: { ranges: RangeRead[]; writes?: typeof writes }): Promise<unknown> {
  const world = await ServiceWorld.start();
  await world.jobs.submit([sandboxed], { input: { type: 'list', items: ['1'] } });
  world.ran = { effects };
  await world.tick(1000);
  await world.jobs.claim(world.demanded().worker, [[1, 0]], { home: 'n2' });
  world.service.applied();
  await world.quiet();
  return world.told()[0]?.[0]?.end;
}

test('a task of a cp procedure may read any number of keys when it writes nothing', async () => {
  const end = await endOf({ ranges: [range('n', 500_000)] });
  expect(end).toMatchObject({ type: 'result', call: null });
});

test.each([
  ['one range', [range('n', 10_001)], 'txnReadKeysMax'],
  ['all', Array.from({ length: 20 }, (_, i) => range(`n${i}`, 9_997)), 'entryReadKeysMax'],
])(
  'one that writes fails at once when it has read more keys than can be looked at again, in %s',
  async (_, ranges, limit) => {
    const end = await endOf({ ranges, writes });
    expect(end).toMatchObject({ type: 'failed', code: 'PROCEDURE_LIMIT' });
    expect(end).toMatchObject({ message: expect.stringContaining(limit) });
  },
);

test.each([
  ['one range', [range('n', 10_000)]],
  ['all', Array.from({ length: 20 }, (_, i) => range(`n${i}`, 9_996))],
])('one that has read just as many ends well, in %s', async (_, ranges) => {
  const end = await endOf({ ranges, writes });
  expect(end).toMatchObject({ type: 'result', call: expect.anything() });
});

test('tasks whose ends meet have not failed for what they have read together', async () => {
  const world = await ServiceWorld.start({ entryReadKeysMax: 20 });
  const { replica } = world.jobs;
  await replica.do(...Array.from({ length: 8 }, (_, i) => put(`n/${i}`, '1')));
  const items = Array.from({ length: 6 }, (_, i) => `${i}`);
  await world.jobs.submit([sandboxed], { input: { type: 'list', items }, retentionMs: 100_000 });
  world.ran = { effects: { ranges: [range('n', 8, replica.machine.revision)], writes } };
  world.leads = true;
  for (let i = 0; i < 10; i += 1) await world.tick(1000);
  const { phase, failure } = world.jobs.job();
  expect({ phase, failure }).toEqual({ phase: 'succeeded', failure: null });
});
