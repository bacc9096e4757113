import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { drain } from '../../src/server/drain.js';
import { batchOf, ReplicaWorld, type TestMachine } from './replica-world.js';

const MEMBERS = ['n1', 'n2', 'n3'];

/** A leader that is about to stop; a task that runs elsewhere, say, keeps it until `release`. */
async function given(members: readonly string[] = MEMBERS) {
  const world = new ReplicaWorld(members);
  await world.start();
  await world.write(3);
  const leader = world.leader as TestMachine;
  const { replica } = leader;
  /** Who led when writes were refused. */
  const ledThen: (string | undefined)[] = [];
  let isKept = true;
  let isReached = true;
  let isOver = false;
  const begin = (): void => {
    const drained = {
      node: replica.node,
      get leader() {
        return replica.leader;
      },
      transfer: replica.transfer.bind(replica),
      refuseWrites: () => {
        ledThen.push(world.leader?.id);
        replica.refuseWrites();
      },
      get isDrained() {
        return !isKept && replica.isDrained;
      },
    };
    const clock = world.scheduler.clock(() => true);
    const host = { clock, hasFailed: () => false, isReached: () => isReached };
    void drain(drained, host).then(() => {
      isOver = true;
    });
  };
  return {
    ...{ world, leader, ledThen, begin },
    isOver: () => isOver,
    release: () => {
      isKept = false;
    },
    loseOthers: () => {
      isReached = false;
    },
    /** How long it took, in milliseconds, until this holds. */
    took: async (done: () => boolean): Promise<number> => {
      const fromMs = world.scheduler.nowMs;
      await world.until(done);
      return world.scheduler.nowMs - fromMs;
    },
  };
}

describe('a leader that is stopped in order', () => {
  test('hands over before it refuses writes: another takes them while it drains', async () => {
    const { world, leader, ledThen, begin, isOver, release, took } = await given();
    begin();
    expect(await took(() => ledThen.length > 0)).toBeLessThan(100);
    expect(MEMBERS.filter((id) => id !== leader.id)).toContain(ledThen[0]);
    const answers = await world.write(10);
    expect(answers.every(({ ok }) => ok)).toBe(true);
    expect(isOver()).toBe(false);
    release();
    await world.until(isOver);
    expect(leader.replica.node.role).toBe('follower');
  });

  test('hands over again when leadership comes back to it', async () => {
    const { world, leader, ledThen, begin, took } = await given();
    begin();
    await world.until(() => ledThen.length > 0);
    world.leader?.replica.transfer(leader.id, () => {});
    await world.until(() => world.leader?.id === leader.id);
    expect(await took(() => world.leader?.id !== leader.id)).toBeLessThan(200);
  });

  test('asks again when nothing was heard of the first one, and another is there', async () => {
    const { leader, ledThen, begin, took } = await given();
    const { replica } = leader;
    const transfer = replica.transfer.bind(replica);
    let asked = 0;
    replica.transfer = (target, done) => {
      asked += 1;
      if (asked > 1) return transfer(target, done);
      done(new BalsaError('TRANSFER_FAILED', 'silence', { details: { reason: 'silent-target' } }));
    };
    begin();
    expect(await took(() => ledThen.length > 0)).toBeLessThan(100);
    expect(asked).toBe(2);
    expect(ledThen).not.toEqual([leader.id]);
  });

  test('does not wait when it is alone', async () => {
    const { ledThen, begin, took, leader } = await given(['n1']);
    begin();
    expect(await took(() => ledThen.length > 0)).toBeLessThan(10);
    expect(ledThen).toEqual([leader.id]);
  });

  test('waits for an election timeout when the one that is to take over is too slow, and tries no other', async () => {
    const { world, leader, ledThen, begin, took } = await given();
    const [target, other] = MEMBERS.filter((id) => id !== leader.id);
    // They are heard, and get nothing of the log.
    for (const id of [target, other]) world.machine(id ?? '').diskMs = 1e6;
    void leader.replica.write(batchOf(100), { operations: 1, version: 1 }, () => {});
    await world.run(10);
    begin();
    expect(await took(() => ledThen.length > 0)).toBeLessThan(1000);
    expect(leader.replica.node.role).toBe('leader');
    await world.run(500);
    const phases = leader.events.flatMap((event) => (event.type === 'transfer' ? event.phase : []));
    expect(phases).toEqual(['started', 'aborted']);
  });

  test('does not wait for those that stop as well', async () => {
    const { world, leader, ledThen, begin, took, loseOthers } = await given();
    for (const { id } of world.running) if (id !== leader.id) world.machine(id).crash();
    begin();
    await world.run(20);
    expect(ledThen).toEqual([]);
    loseOthers();
    expect(await took(() => ledThen.length > 0)).toBeLessThan(10);
  });

  test('waits for a while only when nobody takes over, then for what is left, and ends', async () => {
    const { world, leader, ledThen, begin, isOver, took } = await given();
    world.isolate(leader.id);
    begin();
    expect(await took(() => ledThen.length > 0)).toBeLessThanOrEqual(2000);
    expect(await took(isOver)).toBeLessThanOrEqual(3000);
  });
});

test('a follower refuses writes at once', async () => {
  const { world, leader } = await given();
  const { replica } = world.running.find(({ id }) => id !== leader.id) as TestMachine;
  const clock = world.scheduler.clock(() => true);
  const fromMs = world.scheduler.nowMs;
  const host = { clock, hasFailed: () => false, isReached: () => true };
  await world.wait(drain(replica, host));
  expect(world.scheduler.nowMs - fromMs).toBeLessThan(10);
  expect(world.leader?.id).toBe(leader.id);
});
