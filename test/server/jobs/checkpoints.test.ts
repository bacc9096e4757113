import { beforeEach, describe, expect, test } from 'vitest';
import { BalsaError } from '../../../src/base/errors.js';
import { HASH } from '../../statemachine/call-records.js';
import { stage } from '../../statemachine/job-world.js';
import { ServiceWorld } from './service-world.js';

const PLACE = { stage: 1, ordinal: 0 };

let world: ServiceWorld;
let job: string;

beforeEach(async () => {
  world = await ServiceWorld.start();
  const sandboxed = stage('s', { where: 'sandbox', run: `p@${HASH}` });
  await world.jobs.submit([sandboxed], { input: { type: 'list', items: ['1'] } });
  await world.tick(1000);
  job = [...world.jobs.replica.machine.jobs.all][0]?.id ?? '';
});

async function begin(): Promise<void> {
  await world.jobs.claim(world.demanded().worker, [[1, 0]], { home: 'n2' });
  world.sent.length = 0;
  world.service.applied();
  await world.quiet();
}

/** The leader puts into the log what it was told. */
async function log(): Promise<void> {
  await world.jobs.step(...world.steps());
  world.sent.length = 0;
  world.service.applied();
  await world.quiet();
}

/** What the leader was told since the last time: checkpoints, and how the task has ended. */
function told(): string[] {
  return world.steps().map((step) => {
    if (step.type === 'checkpoint') return step.json;
    return step.type === 'end' ? step.end.type : step.type;
  });
}

describe('checkpoints of a task that runs', () => {
  let make: (json: string) => void;
  beforeEach(async () => {
    world.ran = {
      body: (source) =>
        new Promise(() => {
          make = (json) => source.checkpoint?.(json);
        }),
    };
    await begin();
  });

  test.each([
    ['has them at once', true],
    ['has none of them', false],
  ])('are told at once, and then the newest in a second: the log %s', async (_, isLogged) => {
    let count = 0;
    for (let n = 1; n <= 30; n += 1) {
      make(`${n}`);
      await world.quiet();
      if (n === 1) expect(told()).toEqual(['1']);
      count += told().length;
      if (isLogged) await log();
      else world.sent.length = 0;
      await world.tick(100);
    }
    expect(count).toBeGreaterThanOrEqual(3);
    expect(count).toBeLessThanOrEqual(4);

    for (let i = 0; i < 14; i += 1) await world.tick(100);
    expect(told().at(-1)).toBe('30');
    await log();
    for (let i = 0; i < 14; i += 1) await world.tick(100);
    expect(told()).toEqual([]);
    expect(world.jobs.replica.machine.jobs.checkpoint({ job, ...PLACE })).toBe('30');
  });
});

describe('a checkpoint that is made just before the end', () => {
  test.each([
    ['failed', 'PROCEDURE_FAILED'],
    ['released', 'OVERLOADED'],
  ] as const)('is there for the next attempt when the task has %s', async (type, code) => {
    world.ran = {
      body: (source) => source.checkpoint?.('5'),
      error: new BalsaError(code, 'not yet'),
    };
    await begin();
    // Whatever was told of it meanwhile is lost.
    if (type === 'released') world.sent.length = 0;
    for (const fire of world.timers) fire();
    await world.quiet();
    expect(told()).toEqual(['5', type]);
    await log();
    expect(world.jobs.replica.machine.jobs.checkpoint({ job, ...PLACE })).toBe('5');
    for (let i = 0; i < 14; i += 1) await world.tick(100);
    expect(told()).toEqual([]);
  });

  test('is told to nobody when the task is done', async () => {
    world.ran = { body: (source) => source.checkpoint?.('5'), result: '1' };
    await begin();
    expect(told()).toEqual(['result']);
  });
});
