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
    ...{ ...world.host, random: seededRandom(1), nowMs: () => 7, logMs: () => 7, ap: null },
    jobs: {
      ...{ ...world.host, id: 'n1', name: 'n1', random: seededRandom(2), executor: null },
      ...{ nowMs: () => 7, canPropose: () => false, leader: () => null },
      ...{
        propose: () => {},
        send: () => {},
        operations: () => 0,
        loopUse: () => 0,
        machineUse: () => 0,
        processors: 2,
      },
    },
    watches: () => {
      throw new Error('nothing is watched here');
    },
  });
});

/** What a call comes to that is run here. */
async function execute(procedure = 'late'): Promise<string> {
  return new Promise((resolve) => {
    void calls.execute(world.request(procedure), (executed) =>
      resolve(
        executed instanceof BalsaError ? `${executed.code} ${executed.outcome}` : 'it was run',
      ),
    );
  });
}

describe('a call that takes so long that what it reads is no longer kept', () => {
  /** Others write, and compact, while it runs, so many times. */
  async function overtake(times: number): Promise<void> {
    await world.put('n', 0);
    let left = times;
    world.bodies.set('p', async (view) => {
      if (left > 0) {
        left -= 1;
        await world.put('n', left);
        await world.put('other', left);
        await world.replica.do({ type: 'compact', revision: world.replica.machine.revision });
      }
      return view.get('n');
    });
  }

  test('is run again over the state as it is then', async () => {
    await overtake(2);
    expect(await execute('p')).toBe('it was run');
    expect(world.ran).toEqual(['p', 'p', 'p']);
  });

  test('ends when that happens again and again', async () => {
    await overtake(3);
    expect(await execute('p')).toMatch(/^COMPACTED/);
  });
});

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

  test('is in the log and in the figures of the replica that has run it', async () => {
    world.bodies.set('p', async (view) => {
      view.log('so far');
      return null;
    });
    await execute('p');
    expect(calls.log.about('stats')).toMatchObject([{ procedure: 'p', calls: 1, failures: 0 }]);
    expect(calls.log.about('logs')).toMatchObject([{ procedure: 'p', line: 'so far' }]);
  });
});
