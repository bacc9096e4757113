import { describe, expect, test } from 'vitest';
import { FINE } from './network.js';
import { drawOptions, type SimulationOptions } from './swarm.js';
import { Workload } from './workload.js';
import { World } from './world.js';

const OPTIONS: SimulationOptions = {
  ...drawOptions(3),
  replicas: 3,
  spares: 0,
  weather: FINE,
  clients: 2,
  levels: { share: 0, readFrom: 'leader', readers: ['spread-all', 1] },
};

/** Who is not served within so long when the clients' machines with these numbers are cut off. */
async function unservedWithout(cutOff: readonly number[]): Promise<readonly string[]> {
  const world = new World(OPTIONS);
  const { scheduler, network, machines } = world;
  const workload = new Workload(world);
  await world.startAll();
  await workload.start();
  for (const client of cutOff) {
    for (const { place } of machines) network.cut(world.clientPlace(client), place);
  }
  let served = false;
  workload.probe().then(
    (ok) => {
      served = ok;
    },
    (error: unknown) => scheduler.fail(error as Error),
  );
  await scheduler.run(scheduler.nowMs + 15_000, () => served);
  expect(served).toBe(workload.unanswered.size === 0);
  return [...workload.unanswered];
}

describe('a probe of all clients, while all of them go on', () => {
  test('is over when each was served', async () => {
    expect(await unservedWithout([])).toEqual([]);
  });

  test.each([
    [0, 'c0'],
    [1, 'c1'],
    [2, 'r0'],
    [3, 'r1'],
  ])('is not when client %i is cut off: the others do not speak for it', async (client, name) => {
    expect(await unservedWithout([client])).toEqual([name]);
  });
});
