import { describe, expect, test, vi } from 'vitest';
import type { TaskEnd } from '../../../src/base/job.js';
import { inputText, readTaskInput } from '../../../src/server/jobs/task-input.js';
import type { Attempt } from '../../../src/statemachine/jobs/jobs.js';
import { HASH } from '../../statemachine/call-records.js';
import { JobWorld, stage } from '../../statemachine/job-world.js';
import { bytes, put } from '../../statemachine/replica.js';
import { ServiceWorld } from './service-world.js';

const KiB = 1024;
const COUNT = 50;
const BOUND = { bytesMax: 8 * KiB, limit: 'frameBytesMax', says: 'half of frameBytesMax' };
const TOO_MUCH = {
  ...{ code: 'JOB_LIMIT', message: expect.stringContaining('(half of frameBytesMax)') },
  details: { limit: 'frameBytesMax', max: 8 * KiB },
};

const result = (json: string): TaskEnd => ({
  ...{ type: 'result', value: { type: 'json', json }, call: null },
});

const join = stage('join', { kind: 'combine', after: [1], fanIn: COUNT });

/** Of a worker that is given the first task of a stage. */
async function attemptOf(world: JobWorld, stageNo: number): Promise<Attempt> {
  const [fence = 0] = await world.claim('w', [[stageNo, 0]]);
  const attempt = world.jobs.attempt(fence);
  if (attempt === null) throw new Error('no attempt');
  return attempt;
}

describe('a task whose input is too large', () => {
  test('has no more results of others read than fit', async () => {
    const world = await JobWorld.start();
    const items = Array.from({ length: COUNT }, (_, i) => `${i}`);
    await world.submit([stage('make'), join], { input: { type: 'list', items } });
    for (let i = 0; i < COUNT; i += 1) await world.run('w', 1, i, result(`"${'x'.repeat(KiB)}"`));
    const attempt = await attemptOf(world, 2);
    const look = vi.spyOn(world.jobs, 'value');

    const read = readTaskInput(() => world.replica.machine, attempt, BOUND);
    await expect(read).rejects.toMatchObject(TOO_MUCH);
    expect(look).toHaveBeenCalledTimes(8);
    const { parts } = await readTaskInput(() => world.replica.machine, attempt, {
      ...{ ...BOUND, bytesMax: COUNT * (KiB + 2) },
    });
    expect(parts).toHaveLength(COUNT);
  });

  test('has no more items read than fit', async () => {
    const world = await JobWorld.start();
    const items = Array.from({ length: COUNT }, () => `"${'x'.repeat(KiB)}"`);
    await world.submit([{ ...join, after: [0] }], { input: { type: 'list', items } });
    const attempt = await attemptOf(world, 1);
    const look = vi.spyOn(world.jobs, 'itemsAt');
    const read = readTaskInput(() => world.replica.machine, attempt, BOUND);
    await expect(read).rejects.toMatchObject(TOO_MUCH);
    expect(look).toHaveBeenCalledTimes(8);
  });

  test.each([
    [
      'pieces of a range',
      KiB,
      Array.from({ length: 12 }, (_, i) => [`k${i + 10}`, `k${i + 11}`]),
      8,
    ],
    ['pages of one piece', 300 * KiB, [['k', 'l']], 1],
  ])('has no more %s read than fit', async (_what, valueBytes, pieces, pages) => {
    const world = await JobWorld.start();
    for (let i = 10; i < 22; i += 1) await world.do(put(`k${i}`, 'x'.repeat(valueBytes)));
    const range = { from: bytes('k'), to: null, bytesPerTask: KiB, keysPerTask: 1 } as const;
    const input = { type: 'range', values: 'text', ...range } as const;
    await world.submit([{ ...join, after: [0] }], { input });
    const [cutter] = await world.claim('w', [[0, 0]]);
    const items = pieces.map((piece) =>
      JSON.stringify(piece.map((key) => Buffer.from(key).toString('base64'))),
    );
    await world.end(cutter, { type: 'cut', items, next: null, call: null });
    const attempt = await attemptOf(world, 1);
    const look = vi.spyOn(world.replica.machine, 'range');
    const read = readTaskInput(() => world.replica.machine, attempt, BOUND);
    await expect(read).rejects.toMatchObject(TOO_MUCH);
    expect(look).toHaveBeenCalledTimes(pages);
  });

  test('has no more chunks of an upload read than fit', async () => {
    const world = await JobWorld.start();
    const machine = world.replica.machine;
    for (let place = 0; place < COUNT; place += 1) {
      await world.do({ type: 'job-upload', upload: 'u', place, bytes: Buffer.alloc(KiB, '1') });
    }
    const value = { type: 'upload', upload: 'u', chunks: COUNT, bytes: COUNT * KiB, isJson: true };
    await world.submit([stage('make'), stage('take', { after: [1] })]);
    await world.run('w', 1, 0, { type: 'result', value, call: null } as TaskEnd);
    const taken = await readTaskInput(() => machine, await attemptOf(world, 2), BOUND);
    const look = vi.spyOn(world.jobs, 'uploadChunk');

    expect(() => inputText(machine, taken, BOUND)).toThrow(expect.objectContaining(TOO_MUCH));
    expect(look).toHaveBeenCalledTimes(9);
    const whole = inputText(machine, taken, { ...BOUND, bytesMax: COUNT * KiB });
    expect(whole).toHaveLength(COUNT * KiB);
  });

  test('fails in the sandbox, whose code is not run', async () => {
    const world = await ServiceWorld.start();
    const sandboxed = { where: 'sandbox', run: `p@${HASH}` } as const;
    const items = Array.from({ length: 33 }, (_, i) => `${i}`);
    await world.jobs.submit([stage('make'), { ...join, ...sandboxed }], {
      input: { type: 'list', items },
    });
    const large = result(`"${'x'.repeat(KiB * KiB - 2)}"`);
    for (let i = 0; i < 33; i += 1) await world.jobs.run('w', 1, i, large);
    world.ran = { result: '"it has run"' };
    await world.tick(1000);
    await world.jobs.claim(world.demanded().worker, [[2, 0]], { home: 'n2' });
    world.service.applied();
    await world.quiet();
    expect(world.told()[0]?.[0]?.end).toMatchObject({ type: 'failed', code: 'JOB_LIMIT' });
  });
});
