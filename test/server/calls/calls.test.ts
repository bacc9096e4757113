import { beforeEach, describe, expect, test } from 'vitest';
import { BalsaError } from '../../../src/base/errors.js';
import { LIMITS } from '../../../src/base/limits.js';
import { seededRandom } from '../../../src/base/random.js';
import type { CallAnswer } from '../../../src/server/calls/call-types.js';
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

describe('calls outside of the lane', () => {
  const large = 'x'.repeat(LIMITS.pendingRequestBytesMax / 4);
  const codeOf = (answer: CallAnswer): string => (answer.ok ? 'answered' : answer.error.code);
  const ways: Record<string, (told: (said: string) => void) => void> = {
    execute: (told) =>
      void calls.execute(world.request('late', large), (executed) =>
        told(executed instanceof BalsaError ? executed.code : 'answered'),
      ),
    read: (told) => void calls.read(world.request('late', large), (a) => told(codeOf(a))),
    callAp: (told) =>
      void calls.callAp(world.request('late', large), { peers: 0 }, (a) => told(codeOf(a))),
  };

  test('are refused beyond a bound of bytes of their arguments, and taken in again when others have ended', async () => {
    let goOn: () => void = () => {};
    world.beforeConfirmed = () =>
      new Promise((resolve) => {
        goOn = resolve;
      });
    const first: string[] = [];
    const release = calls.bytes.hold(2 * large.length);
    ways.execute?.((said) => first.push(said));
    const refused: unknown[] = [];
    for (const begin of Object.values(ways)) begin((said) => refused.push(said));
    expect(refused).toEqual(['OVERLOADED', 'OVERLOADED', 'OVERLOADED']);
    expect(calls.bytes.hold(2 * large.length)).toMatchObject({
      outcome: 'not-applied',
      details: { limit: 'pendingRequestBytesMax' },
    });

    if (typeof release === 'function') release();
    goOn();
    await world.settled();
    expect(first).toEqual(['PROCEDURE_NOT_FOUND']);
  });

  test.each(Object.keys(ways))('leave nothing of their bytes behind: %s', async (way) => {
    for (let i = 0; i < 5; i += 1) {
      const said = await new Promise<string>((resolve) => ways[way]?.(resolve));
      expect(said).toBe('PROCEDURE_NOT_FOUND');
    }
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
