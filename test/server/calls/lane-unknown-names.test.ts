import { beforeEach, describe, expect, test } from 'vitest';
import { BalsaError } from '../../../src/base/errors.js';
import { isOfOtherMode } from '../../../src/server/calls/call-types.js';
import { COUNT, LaneWorld, said } from './lane-world.js';

describe('a call of a procedure that is not known at the leader', () => {
  let world: LaneWorld;
  let goOn: () => void = () => {};
  beforeEach(async () => {
    world = await LaneWorld.start();
    world.bodies.set('p', COUNT);
    world.beforeConfirmed = () =>
      new Promise((resolve) => {
        goOn = resolve;
      });
  });

  async function deployLate(mode: 'cp' | 'read'): Promise<void> {
    const code = Buffer.from('other');
    const procedures = [{ name: 'late', mode, trigger: null }];
    const hash = 'cd'.repeat(32);
    await world.replica.do({ type: 'deploy', hash, code, alias: 'prod', procedures });
  }

  test('holds up neither those before it nor those behind it, however many there are', async () => {
    const known = [world.call('p', 'n')];
    const gone = [world.call('gone'), world.call('gone too')];
    known.push(world.call('p', 'n'));
    expect(await world.commit()).toBe(2);
    known.push(world.call('p', 'n'));
    expect(await world.commit()).toBe(1);
    expect(known.map(said)).toEqual([0, 1, 2]);
    expect(gone.map(said)).toEqual(['no answer yet', 'no answer yet']);

    goOn();
    await world.settled();
    expect(gone.map(said)).toEqual(gone.map(() => 'PROCEDURE_NOT_FOUND not-applied'));
    expect(world.confirmed).toBe(1);
    // What the thread keeps was not made void by them.
    expect(world.news[1]?.revisions).toHaveLength(2);
  });

  test('is run when it comes to be known', async () => {
    const late = world.call('late');
    await world.settled();
    await deployLate('cp');
    goOn();
    await world.commit();
    expect(said(late)).toBe(null);
  });

  test('is handed back when it comes to be known as one that only reads', async () => {
    const late = world.call('late');
    await world.settled();
    await deployLate('read');
    goOn();
    await world.settled();
    const { answer } = late;
    expect(answer !== null && !answer.ok && isOfOtherMode(answer.error)).toBe(true);
  });

  test('is counted with those that wait, and answered once when leadership is lost', async () => {
    const late = Array.from({ length: 10_000 }, () => world.call('late'));
    await world.settled();
    expect(said(world.call('p', 'n'))).toBe('OVERLOADED not-applied');
    world.lane.abandon(new BalsaError('NOT_LEADER', 'another one leads'));
    expect(new Set(late.map(said))).toEqual(new Set(['NOT_LEADER not-applied']));
    goOn();
    await world.settled();
    expect(said(late[0] ?? { answer: null })).toBe('NOT_LEADER not-applied');
  });
});
