import { beforeEach, describe, expect, test } from 'vitest';
import { BalsaError } from '../../../src/base/errors.js';
import { seededRandom } from '../../../src/base/random.js';
import { Calls } from '../../../src/server/calls/calls.js';
import { LaneWorld } from './lane-world.js';

let world: LaneWorld;
let calls: Calls;
beforeEach(async () => {
  world = await LaneWorld.start();
  calls = new Calls({
    ...{ ...world.host, random: seededRandom(1), nowMs: () => 7 },
    watches: () => {
      throw new Error('nothing is watched here');
    },
  });
});

/** What a call of `late` comes to that is run here. */
async function execute(): Promise<string> {
  return new Promise((resolve) => {
    void calls.execute(world.request('late'), (executed) =>
      resolve(
        executed instanceof BalsaError ? `${executed.code} ${executed.outcome}` : 'it was run',
      ),
    );
  });
}

describe('a call that is run where it is asked', () => {
  test('waits for what was deployed before, when its procedure is not known here', async () => {
    world.beforeConfirmed = async () => {
      await world.replica.do({
        ...{ type: 'deploy', hash: 'cd'.repeat(32), code: Buffer.from('other'), alias: 'prod' },
        procedures: [{ name: 'late', mode: 'cp', trigger: null }],
      });
    };
    expect(await execute()).toBe('it was run');
    expect(await execute()).toBe('it was run');
    expect(world.confirmed).toBe(1);
  });

  test('is told that there is no such procedure only when that is sure', async () => {
    expect(await execute()).toBe('PROCEDURE_NOT_FOUND not-applied');
    world.confirmation = new BalsaError('NO_QUORUM', 'nobody is there');
    expect(await execute()).toBe('NO_QUORUM not-applied');
  });
});
