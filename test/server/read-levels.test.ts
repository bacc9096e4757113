import { describe, expect, test } from 'vitest';
import type { BalsaError } from '../../src/base/errors.js';
import type { AnswerMeta, ReadLevel } from '../../src/rpc/protocol.js';
import { ReplicaWorld, type TestMachine } from './replica-world.js';

const MEMBERS = ['n1', 'n2', 'n3'];
/** Of the replicas of that world. */
const ELECTION_MS = 750;

interface Answer {
  readonly level: ReadLevel;
  error: BalsaError | null;
  meta: AnswerMeta | null;
}

/** Asks, and answers what will have come of it. */
function ask({ replica }: TestMachine, consistency: ReadLevel['consistency'], bound = 0): Answer[] {
  const level = { consistency, bound };
  const answers: Answer[] = [];
  replica.read(level, (error) => {
    answers.push({ level, error, meta: error === null ? replica.meta() : null });
  });
  return answers;
}

async function givenThree() {
  const world = new ReplicaWorld(MEMBERS);
  await world.start();
  await world.write(3);
  await world.run(ELECTION_MS);
  const leader = world.leader as TestMachine;
  const follower = world.running.find((machine) => machine !== leader) as TestMachine;
  return { world, leader, follower };
}

const codeOf = (answers: readonly Answer[]): string =>
  answers.map(({ error }) => error?.code ?? 'served').join();

describe('an idle cluster', () => {
  test('knows how fresh every replica is, and that it has a majority', async () => {
    const { world } = await givenThree();
    await world.run(10_000);
    for (const { replica } of world.running) {
      const { stalenessMs, side } = replica.meta();
      expect(stalenessMs).toBeLessThan(ELECTION_MS);
      expect(side).toBe('majority');
    }
  });

  test('asks three times in an election timeout and replica, no more', async () => {
    const { world, follower } = await givenThree();
    const asked = (): number => follower.sent.filter(({ type }) => type === 'ReadIndex').length;
    const before = asked();
    await world.run(10 * ELECTION_MS);
    expect(asked() - before).toBeLessThanOrEqual(31);
    expect(asked() - before).toBeGreaterThanOrEqual(25);
  });
});

describe('a replica that is cut off', () => {
  test('says so after an election timeout, and states how old its state may be', async () => {
    const { world, follower } = await givenThree();
    world.isolate(follower.id);
    const cutMs = world.scheduler.nowMs;
    await world.run(2 * ELECTION_MS);
    const { side, stalenessMs } = follower.replica.meta();
    expect(side).toBe('isolated');
    expect(stalenessMs).toBeGreaterThanOrEqual(world.scheduler.nowMs - cutMs);
    world.heal();
    await world.until(() => follower.replica.meta().side === 'majority');
  });

  test('serves any, ap-local, at and a session that it has, at once', async () => {
    const { world, follower } = await givenThree();
    world.isolate(follower.id);
    await world.run(10_000);
    const { appliedIndex } = follower.replica;
    expect(codeOf(ask(follower, 'any'))).toBe('served');
    expect(codeOf(ask(follower, 'ap-local'))).toBe('served');
    expect(codeOf(ask(follower, 'at'))).toBe('served');
    expect(codeOf(ask(follower, 'session', appliedIndex))).toBe('served');
  });

  test('refuses a session that it lacks when sessionWaitMsMax is over', async () => {
    const { world, follower } = await givenThree();
    world.isolate(follower.id);
    const { appliedIndex } = follower.replica;
    await world.write(1);
    const answers = ask(follower, 'session', appliedIndex + 1);
    await world.run(world.limits.sessionWaitMsMax - 30);
    expect(answers).toEqual([]);
    await world.run(60);
    expect(codeOf(answers)).toBe('SESSION_BEHIND');
    const { applied, needed } = answers[0]?.error?.details ?? {};
    expect({ applied, needed }).toEqual({ applied: appliedIndex, needed: appliedIndex + 1 });
  });

  test('serves a bounded read until the bound is over, then refuses it', async () => {
    const { world, follower } = await givenThree();
    world.isolate(follower.id);
    await world.run(3000);
    expect(codeOf(ask(follower, 'bounded', 5000))).toBe('served');
    const answers = ask(follower, 'bounded', 3000);
    await world.until(() => answers.length > 0);
    expect(codeOf(answers)).toBe('STALE_BOUND_EXCEEDED');
    const { stalenessMs, boundMs } = answers[0]?.error?.details ?? {};
    expect(boundMs).toBe(3000);
    expect(stalenessMs).toBeGreaterThan(3000);
  });
});

describe('a session read', () => {
  test('waits until what it needs is applied', async () => {
    const { world, follower } = await givenThree();
    const answers = ask(follower, 'session', follower.replica.appliedIndex + 1);
    expect(answers).toEqual([]);
    await world.write(1);
    await world.until(() => answers.length > 0, 100);
    expect(codeOf(answers)).toBe('served');
    expect(answers[0]?.meta?.appliedIndex).toBe(follower.replica.appliedIndex);
  });

  test('is refused when the replica stops', async () => {
    const { follower } = await givenThree();
    const answers = ask(follower, 'session', 1_000_000);
    follower.replica.stop();
    expect(codeOf(answers)).toBe('SHUTTING_DOWN');
  });
});

describe('a bounded read', () => {
  test('asks when the state is too old, and is served when that is confirmed', async () => {
    const { world, follower } = await givenThree();
    const answers = ask(follower, 'bounded', 5);
    expect(answers).toEqual([]);
    await world.until(() => answers.length > 0, 20);
    expect(codeOf(answers)).toBe('served');
    expect(answers[0]?.meta?.stalenessMs).toBeLessThanOrEqual(5);
  });

  test('is not served when the process stood still between asking and serving', async () => {
    const { world, follower } = await givenThree();
    const answers = ask(follower, 'bounded', 5);
    // The question is on its way, the answer comes while it stands still.
    await world.run(1);
    follower.pause();
    await world.run(5000);
    expect(answers).toEqual([]);
    follower.goOn();
    await world.until(() => answers.length > 0);
    expect(codeOf(answers)).toBe('STALE_BOUND_EXCEEDED');
    await world.run(ELECTION_MS);
    expect(codeOf(ask(follower, 'bounded', ELECTION_MS))).toBe('served');
  });

  test('is not taken for fresh when a process that stood still is asked before anything else', async () => {
    const { world, follower } = await givenThree();
    follower.pause();
    await world.run(5000);
    const answers = ask(follower, 'bounded', 4000);
    expect(answers).toEqual([]);
    expect(follower.replica.meta().side).toBe('unknown');
  });

  test('waits for apply: a confirmed index alone is not enough', async () => {
    const { world, leader, follower } = await givenThree();
    const { appliedIndex } = follower.replica;
    const store = follower.vault.current;
    store.pendingBytes = () => Number.POSITIVE_INFINITY;
    store.whenPendingBelow = () => {};
    await world.write(1);
    const answers = ask(follower, 'bounded', 100);
    await world.run(world.limits.readWaitMsMax + 100);
    expect(codeOf(answers)).toBe('STALE_BOUND_EXCEEDED');
    expect(follower.replica.appliedIndex).toBe(appliedIndex);
    expect(follower.replica.meta().stalenessMs).toBeGreaterThan(world.limits.readWaitMsMax);
    expect(leader.replica.meta().stalenessMs).toBeLessThan(ELECTION_MS);
  });
});

describe('what is known of freshness', () => {
  test('is forgotten at a restart', async () => {
    const { world, follower } = await givenThree();
    follower.crash();
    world.isolate(follower.id);
    await world.wait(follower.start());
    expect(follower.replica.meta()).toMatchObject({ stalenessMs: null, side: 'unknown' });
    const answers = ask(follower, 'bounded', 1_000_000);
    await world.until(() => answers.length > 0);
    expect(codeOf(answers)).toBe('STALE_BOUND_EXCEEDED');
  });

  test('an old leader that is cut off does not count itself as a majority', async () => {
    const { world, leader } = await givenThree();
    world.isolate(leader.id);
    await world.until(() => world.leader !== leader);
    await world.run(2 * ELECTION_MS);
    expect(leader.replica.meta().side).toBe('isolated');
    expect(leader.replica.meta().stalenessMs).toBeGreaterThan(2 * ELECTION_MS);
  });

  test('a state that a snapshot has replaced is as fresh as was confirmed, and no fresher', async () => {
    const { world, leader, follower } = await givenThree();
    world.isolate(follower.id);
    await world.write(200);
    await world.until(() => leader.replica.node.logStart.index > follower.replica.node.lastIndex);
    world.heal();
    await world.until(() => follower.replica.snapshots.installing);
    const held = ask(follower, 'bounded', ELECTION_MS);
    expect(held).toEqual([]);
    await world.until(() => held.length > 0);
    const { revision } = leader.replica.machine;
    const served = held.every(({ error, meta }) => error !== null || meta?.revision === revision);
    expect(served).toBe(true);
    await world.until(() => follower.replica.meta().side === 'majority');
    await world.converge();
  });
});

describe('what a replica lacks', () => {
  test('is nothing once a majority has confirmed that; one alone is a majority', async () => {
    const { world } = await givenThree();
    for (const { replica } of world.running) expect(replica.lag).toBe(0);
    const alone = new ReplicaWorld(['n1']);
    await alone.start();
    await alone.until(() => alone.machine('n1').replica.lag === 0);
  });

  test('is not known at the start, nor while nobody answers', async () => {
    const { world, leader, follower } = await givenThree();
    world.isolate(follower.id);
    await world.run(3 * ELECTION_MS);
    expect([follower.replica.lag, leader.replica.lag]).toEqual([null, 0]);
    world.heal();
    // Not as soon as it hears of the leader again: there may be much by now that it does not know of.
    await world.until(() => follower.replica.leader !== null);
    expect(follower.replica.lag).toBeNull();
    await world.until(() => follower.replica.lag === 0);
    world.isolate(follower.id);
    follower.crash();
    await world.wait(follower.start());
    await world.run(3 * ELECTION_MS);
    expect(follower.replica.lag).toBeNull();
    world.heal();
    await world.until(() => follower.replica.lag === 0);
  });

  test('is not known by what was confirmed in the same moment in which the leader was lost', async () => {
    const { world, leader, follower } = await givenThree();
    const { replica } = follower;
    const receive = replica.receive.bind(replica);
    let isLost = false;
    replica.receive = (message) => {
      receive(message);
      if (isLost || message.type !== 'ReadIndexReply') return;
      isLost = true;
      replica.lost('disconnected', leader.id);
      world.isolate(follower.id);
    };
    await world.until(() => isLost && replica.leader === null);
    replica.receive = receive;
    expect(replica.lag).toBeNull();
    await world.write(20);
    world.heal();
    await world.until(() => replica.leader !== null);
    expect(replica.lag).toBeNull();
  });

  test('is what the others have, though its own log ends before that, until it has a snapshot of it', async () => {
    const { world, leader, follower } = await givenThree();
    world.isolate(follower.id);
    await world.write(200);
    await world.until(() => leader.replica.node.logStart.index > follower.replica.node.lastIndex);
    await world.run(3 * ELECTION_MS);
    world.fate = () => 'break';
    world.heal();
    const lags = new Set<number | null>();
    const lag = (): number | null => {
      lags.add(follower.replica.lag);
      return follower.replica.lag;
    };
    await world.until(() => lag() !== null);
    expect(lag()).toBeGreaterThanOrEqual(200);
    const { node, appliedIndex } = follower.replica;
    expect(node.commitIndex).toBe(appliedIndex);

    lags.clear();
    world.fate = () => 'pass';
    await world.until(() => {
      lag();
      return follower.replica.snapshots.installing;
    });
    expect([...lags].every((one) => one === null || one >= 200)).toBe(true);
    // There is no state to be read while it is switched.
    expect(lag()).toBeNull();
    await world.until(() => lag() === 0);
    await world.until(() => follower.replica.snapshots.installed === 1);
  });
});
