import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { scheduleKey } from '../../../src/compute/schedule-keys.js';
import { Schedules } from '../../../src/server/calls/schedules.js';
import type { StateMachine } from '../../../src/statemachine/state-machine.js';
import { Scheduler } from '../test-scheduler.js';

/** A leader with one schedule at most; `looks` counts how often the store was asked. */
function leader(first: string | null) {
  const world = { revision: 7, logMs: 0, looks: 0, calls: 0 };
  const value = Buffer.from(JSON.stringify({ procedure: 'p' }));
  const range = async ({ to }: { readonly to: Uint8Array }) => {
    world.looks += 1;
    const key = Buffer.from(first ?? '~');
    const isIn = key.compare(to) < 0;
    return { items: isIn ? [{ key, value, modRevision: 3 }] : [], continueFrom: null };
  };
  const machine = {
    ...{ range, resolveProcedure: () => ({}), appliedIndex: 1 },
    get revision() {
      return world.revision;
    },
  };
  const scheduler = new Scheduler(1);
  const schedules = new Schedules({
    ...{ clock: scheduler.clock(() => true), random: seededRandom(1), canRun: () => true },
    machine: () => machine as unknown as StateMachine,
    ...{ nowMs: () => world.logMs, logMs: () => world.logMs },
    call: () => {
      world.calls += 1;
    },
    submit: () => {},
    note: () => {},
  });
  const tickFor = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 100) {
      await scheduler.run(scheduler.nowMs + 100);
      world.logMs += 100;
      schedules.tick();
    }
  };
  return { world, tickFor };
}

describe('a leader looks for scheduled calls', () => {
  test('once, where there are none, and again when something was written', async () => {
    const { world, tickFor } = leader(null);
    await tickFor(10_000);
    expect(world.looks).toBe(1);
    world.revision += 1;
    await tickFor(10_000);
    expect(world.looks).toBe(2);
  });

  test('and then not before the first one is due', async () => {
    const { world, tickFor } = leader(scheduleKey(5000, 'id'));
    await tickFor(4900);
    expect([world.looks, world.calls]).toEqual([1, 0]);
    await tickFor(500);
    expect(world.calls).toBe(1);
  });

  test('all the time, while one is due that is not gone', async () => {
    const { world, tickFor } = leader(scheduleKey(0, 'id'));
    await tickFor(10_000);
    expect(world.looks).toBeGreaterThan(20);
    expect(world.calls).toBe(1);
  });

  test.each([
    '_schedules/+99999999999999',
    '_schedules/ 99999999999999',
    '_schedules/5',
    '_schedules/x',
  ])(
    'all the time, while %s is there, which says nothing of what is due behind it',
    async (key) => {
      const { world, tickFor } = leader(key);
      await tickFor(10_000);
      expect(world.looks).toBeGreaterThan(20);
    },
  );
});
