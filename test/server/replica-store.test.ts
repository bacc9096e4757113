import { describe, expect, test } from 'vitest';
import type { WriteOperation } from '../../src/base/operation.js';
import type { LeaseInfo } from '../../src/rpc/protocol.js';
import { answerStoreRequest } from '../../src/server/store-requests.js';
import { ReplicaWorld, type TestMachine } from './replica-world.js';

const MEMBERS = ['n1', 'n2', 'n3'];
const YEARS = 10 * 365 * 24 * 3_600_000;
/** From a deadline until the keys are gone: a tick and the way through the log. */
const EXPIRY_MS = 300;

async function started(): Promise<ReplicaWorld> {
  const world = new ReplicaWorld(MEMBERS);
  world.commandVersion = 3;
  await world.start();
  return world;
}

const bytes = (text: string): Buffer => Buffer.from(text);

const put = (key: string, lease = 0): WriteOperation => ({
  type: 'put',
  key: bytes(key),
  value: bytes('v'),
  lease,
});

async function grant(world: ReplicaWorld, ttlMs: number, keys: readonly string[]): Promise<number> {
  const [granted] = await world.ask({ type: 'lease-grant', lease: 0, ttlMs });
  if (granted?.type !== 'lease') throw new Error('a lease');
  await world.ask(...keys.map((key) => put(key, granted.lease)));
  return granted.lease;
}

const holds = ({ replica }: TestMachine, key: string): boolean =>
  replica.machine.get(bytes(key), null) !== null;

const leads = (world: ReplicaWorld): TestMachine => world.leader as TestMachine;

/** A leader other than the one of now. */
async function changeLeader(world: ReplicaWorld, stop: (old: TestMachine) => void): Promise<void> {
  const old = leads(world);
  stop(old);
  await world.until(() => world.leader !== null && world.leader !== old);
}

async function leaseInfo(world: ReplicaWorld, lease: number): Promise<LeaseInfo | undefined> {
  const { replica } = leads(world);
  const request = { type: 'leases', id: 1, lease, consistency: 'any', bound: 0 } as const;
  const answer = await world.wait(answerStoreRequest(replica, request, replica.meta()));
  return answer.type === 'leases' ? answer.leases[0] : undefined;
}

describe('a lease', () => {
  test('ends with all its keys at one revision when it is not kept alive, and not before', async () => {
    const world = await started();
    await grant(world, 2000, ['a', 'b']);
    const { revision } = leads(world).replica.machine;
    await world.run(1900);
    expect(holds(leads(world), 'a')).toBe(true);
    await world.run(100 + EXPIRY_MS);
    expect([holds(leads(world), 'a'), holds(leads(world), 'b')]).toEqual([false, false]);
    expect(leads(world).replica.machine.revision).toBe(revision + 1);
    await world.converge();
  });

  test('stays as long as it is kept alive', async () => {
    const world = await started();
    const lease = await grant(world, 1000, ['a']);
    for (let i = 0; i < 5; i += 1) {
      await world.run(800);
      await world.ask({ type: 'lease-keep-alive', lease });
    }
    expect(holds(leads(world), 'a')).toBe(true);
    await world.run(1000 + EXPIRY_MS);
    expect(holds(leads(world), 'a')).toBe(false);
  });

  test('and the sessions outlive a leader whose wall clock is years ahead', async () => {
    const world = await started();
    for (const machine of world.running) {
      if (machine !== leads(world)) machine.wallAheadMs = YEARS;
    }
    await grant(world, 60_000, ['a']);
    await changeLeader(world, (old) => old.crash());
    expect(leads(world).wallAheadMs).toBe(YEARS);
    const before = leads(world).replica.machine.logTimeMs;
    await world.ask(put('other'));
    await world.run(3000);
    await world.ask(put('another'));
    expect(leads(world).replica.machine.logTimeMs - before).toBeLessThan(10_000);
    expect(holds(leads(world), 'a')).toBe(true);
    expect(leads(world).replica.machine.sessionCount).toBe(1);
  });

  test('has what remained of it under the next leader, and is gone in time', async () => {
    const world = await started();
    const lease = await grant(world, 20_000, ['a']);
    // Nobody writes anything meanwhile.
    await world.run(15_000);
    await changeLeader(world, (old) => world.isolate(old.id));
    const info = await leaseInfo(world, lease);
    expect(info?.remainingMs).toBeGreaterThan(2500);
    // Behind by at most the last mark of time in the log, and the time without a leader.
    expect(info?.remainingMs).toBeLessThan(9000);
    await world.run((info?.remainingMs ?? 0) - 100);
    expect(holds(leads(world), 'a')).toBe(true);
    await world.run(100 + EXPIRY_MS);
    expect(holds(leads(world), 'a')).toBe(false);
    world.heal();
    await world.converge();
  });

  test('has what remained of it after a restart of the whole cluster', async () => {
    const world = await started();
    const lease = await grant(world, 30_000, ['a']);
    await world.run(10_000);
    for (const machine of world.running) machine.crash();
    await world.run(100_000);
    for (const machine of world.machines.values()) {
      machine.wallAheadMs = YEARS;
      await world.wait(machine.start());
    }
    await world.until(() => world.leader !== null);
    const info = await leaseInfo(world, lease);
    expect(info?.remainingMs).toBeGreaterThan(15_000);
    expect(info?.remainingMs).toBeLessThan(24_000);
    expect(holds(leads(world), 'a')).toBe(true);
  });

  test('is ended by no leader that stood still and was replaced', async () => {
    const world = await started();
    const lease = await grant(world, 5000, ['a']);
    const old = leads(world);
    await changeLeader(world, (paused) => paused.pause());
    for (let i = 0; i < 5; i += 1) {
      await world.run(2000);
      await world.ask({ type: 'lease-keep-alive', lease });
    }
    // By its own clock the lease has been over for long, and it takes itself for the leader.
    old.goOn();
    await world.run(2000);
    await world.ask({ type: 'lease-keep-alive', lease });
    await world.converge();
    expect(world.running.map((machine) => holds(machine, 'a'))).toEqual([true, true, true]);
  });

  test('stays when its keep-alive waited in the socket of a cluster that stood still', async () => {
    const world = await started();
    const lease = await grant(world, 5000, ['a']);
    const leader = leads(world);
    for (const machine of world.running) machine.pause();
    await world.run(8000);
    for (const machine of world.running) machine.goOn();
    // It is read with all that waited, behind the late timers.
    let kept: { results: unknown } = { results: null };
    world.scheduler.plan(0, () => {
      kept = world.begin({ type: 'lease-keep-alive', lease });
    });
    await world.run(1000);
    expect(leads(world)).toBe(leader);
    expect(kept.results).toEqual([{ type: 'lease', lease, ttlMs: 5000 }]);
    expect(world.running.filter((machine) => holds(machine, 'a'))).toHaveLength(3);
  });
});

describe('what is no longer kept', () => {
  const overwrite = async (world: ReplicaWorld, times: number): Promise<void> => {
    for (let i = 0; i < times; i += 1) await world.ask(put(`k${i % 3}`), put('hot'));
  };

  test('is swept through the log, at all replicas alike', async () => {
    const world = await started();
    await overwrite(world, 30);
    const { machine } = leads(world).replica;
    const { revision } = machine;
    const before = machine.info().spaceBytes;
    await world.ask({ type: 'compact', revision });
    await world.until(() => machine.sweptRevision === revision);
    expect(machine.info().spaceBytes).toBeLessThan(before / 5);
    await world.converge();
    for (const { replica } of world.running) {
      expect(replica.machine.sweptRevision).toBe(revision);
      expect(replica.machine.info()).toEqual(machine.info());
    }
    expect(holds(leads(world), 'hot')).toBe(true);
  });

  test('is swept on by the next leader', async () => {
    const world = new ReplicaWorld(MEMBERS, { sweepRecordsMax: 1 });
    world.commandVersion = 3;
    await world.start();
    await overwrite(world, 100);
    const { revision } = leads(world).replica.machine;
    await world.ask({ type: 'compact', revision });
    await world.until(() => leads(world).replica.machine.sweptRevision > 10);
    await changeLeader(world, (old) => world.isolate(old.id));
    expect(leads(world).replica.machine.sweptRevision).toBeLessThan(revision);
    await world.until(() => leads(world).replica.machine.sweptRevision === revision);
    world.heal();
    await world.converge();
  });

  test('is compacted by number and by age as the settings say', async () => {
    const world = await started();
    await overwrite(world, 20);
    await world.ask({ type: 'settings', change: { historyRevisions: 10 } });
    const { machine } = leads(world).replica;
    await world.until(() => machine.compactedRevision === machine.revision - 10);
    await world.ask({ type: 'settings', change: { historyRevisions: 0, historyMs: 60_000 } });
    await overwrite(world, 5);
    const { revision } = machine;
    await world.run(30_000);
    expect(machine.compactedRevision).toBeLessThan(revision);
    await world.ask(put('later'));
    await world.until(() => machine.compactedRevision >= revision - 1, 120_000);
    expect(machine.compactedRevision).toBeLessThanOrEqual(revision + 1);
    await world.converge();
  });

  test('nothing is proposed while not all members can read it', async () => {
    const world = await started();
    const lease = await grant(world, 1000, ['a']);
    world.commandVersion = 2;
    const { lastIndex } = leads(world).replica.node;
    await world.run(10_000);
    expect(leads(world).replica.node.lastIndex).toBe(lastIndex);
    world.commandVersion = 3;
    await world.until(() => !holds(leads(world), 'a'));
    expect(leads(world).replica.machine.lease(lease)).toBeNull();
  });

  test('an idle cluster writes nothing to its log', async () => {
    const world = await started();
    await overwrite(world, 5);
    await world.run(1000);
    const { lastIndex } = leads(world).replica.node;
    await world.run(60_000);
    expect(leads(world).replica.node.lastIndex).toBe(lastIndex);
  });
});
