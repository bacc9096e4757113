import { Cron } from 'croner';
import { expect, test, vi } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { pointerKey, scheduleKey } from '../../../src/compute/schedule-keys.js';
import type { CallRequest } from '../../../src/server/calls/call-types.js';
import { Schedules } from '../../../src/server/calls/schedules.js';
import type { StateMachine } from '../../../src/statemachine/state-machine.js';
import { Scheduler } from '../test-scheduler.js';

/** A leader with one schedule, which is due; `reads` counts how often it was looked what it says. */
function leader(scheduled: unknown) {
  const calls: CallRequest[] = [];
  const world = { reads: 0, isDeployed: false, calls, notes: [] as string[] };
  const key = Buffer.from(scheduleKey(0, 'id'));
  const item = {
    ...{ key, modRevision: 3 },
    get value() {
      world.reads += 1;
      return Buffer.from(JSON.stringify(scheduled));
    },
  };
  const machine = {
    ...{ range: async () => ({ items: [item], continueFrom: null }), appliedIndex: 1, revision: 7 },
    resolveProcedure: (name: string) => (world.isDeployed && name === 'p' ? {} : null),
  };
  const scheduler = new Scheduler(1);
  const schedules = new Schedules({
    ...{ clock: scheduler.clock(() => true), random: seededRandom(1), canRun: () => true },
    machine: () => machine as unknown as StateMachine,
    ...{ nowMs: () => scheduler.nowMs, logMs: () => scheduler.nowMs },
    call: (request) => void calls.push(request),
    submit: () => {},
    note: (_procedure, line) => void world.notes.push(line),
  });
  const tickFor = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 100) {
      await scheduler.run(scheduler.nowMs + 100);
      schedules.tick();
    }
  };
  return { world, tickFor };
}

test('what a schedule says is not read at each look while its procedure is not there, nor when it is due again', async () => {
  const search = vi.spyOn(Cron.prototype, 'nextRun');
  const { world, tickFor } = leader({ procedure: 'p', cron: '0 0 30 2 *' });
  await tickFor(59_000);
  expect(world.reads).toBeGreaterThan(5);
  expect(world.reads).toBeLessThan(14);
  expect(search).not.toHaveBeenCalled();
  expect(world.notes).toEqual(['there is no procedure p: its scheduled calls wait for it']);
  search.mockRestore();
});

test('a call that waits for its procedure is made as soon as that is there', async () => {
  const { world, tickFor } = leader({ procedure: 'p' });
  await tickFor(11_000);
  world.isDeployed = true;
  await tickFor(500);
  expect(world.calls.map(({ procedure }) => procedure)).toEqual(['p']);
});

test('what a procedure has put there with a cron expression that never comes is called once, and is gone then', async () => {
  const { world, tickFor } = leader({ procedure: 'p', cron: '0 0 30 2 *' });
  world.isDeployed = true;
  await tickFor(1000);
  expect(world.calls).toHaveLength(1);
  const { writes = [] } = world.calls[0]?.supplement ?? {};
  expect(writes.map(({ key, value }) => [Buffer.from(key).toString(), value])).toEqual([
    [scheduleKey(0, 'id'), null],
    [pointerKey('id'), null],
  ]);
});

test('what has no cron expression where it says that it has one is no schedule', async () => {
  const { world, tickFor } = leader({ procedure: 'p', cron: 'soon' });
  world.isDeployed = true;
  await tickFor(20_000);
  expect(world.calls).toEqual([]);
  expect(world.reads).toBeLessThan(6);
  expect(world.notes).toEqual([
    'there is no procedure without a name: its scheduled calls wait for it',
  ]);
});
