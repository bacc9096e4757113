import { describe, expect, test } from 'vitest';
import { packSnapshotFrame, unpackSnapshotFrame } from '../../src/rpc/snapshot-frames.js';
import { OWN_VERSIONS } from '../../src/rpc/version.js';
import { dialOver, frameName } from './channel-pair.js';
import { ReplicaWorld, type TestMachine } from './replica-world.js';
import { SnapshotWorld } from './snapshot-world.js';

const MEMBERS = ['n1', 'n2', 'n3'];

/** Three members of which one follower was away so long that the log no longer holds what it needs. */
async function givenOneThatIsFarBehind(limits: ConstructorParameters<typeof ReplicaWorld>[1] = {}) {
  const world = new ReplicaWorld(MEMBERS, limits);
  await world.start();
  await world.write(5);
  const leader = world.leader as TestMachine;
  const behind = world.machines.get(MEMBERS.find((id) => id !== leader.id) ?? '') as TestMachine;
  world.isolate(behind.id);
  await world.write(200);
  await world.until(() => leader.replica.node.logStart.index > behind.replica.node.lastIndex);
  return { world, leader, behind };
}

/** Asks for a backup, but for no chunk of it; the frames that come. */
function backupOf(world: ReplicaWorld, { replica }: TestMachine): string[] {
  const frames: string[] = [];
  const channel = dialOver(
    { scheduler: world.scheduler, accept: (accepted) => replica.acceptBackup(accepted) },
    { onFrame: (frame) => frames.push(unpackSnapshotFrame(frame).type), onClose: () => {} },
  );
  const request = { ...OWN_VERSIONS, clientName: 'test', clusterId: null };
  channel.send(packSnapshotFrame({ type: 'request', request }));
  return frames;
}

const phases = (machine: TestMachine): string[] =>
  machine.events.flatMap((event) => (event.type === 'snapshot' ? [event.phase] : []));

describe('the log of a replica', () => {
  test('is cut on all replicas, and the state goes on', async () => {
    const world = new ReplicaWorld(MEMBERS);
    await world.start();
    await world.write(200);
    await world.converge();
    for (const machine of world.running) {
      const { node } = machine.replica;
      expect(node.logStart.index).toBeGreaterThan(100);
      expect(node.lastIndex - node.logStart.index).toBeLessThanOrEqual(
        world.limits.logEntriesMax + 20,
      );
      expect(machine.vault.current.syncedIndex()).toBeGreaterThanOrEqual(node.logStart.index);
    }
  });

  test('that was cut is enough to start again after a power failure that takes what is not synced', async () => {
    const world = new ReplicaWorld(MEMBERS);
    await world.start();
    await world.write(150);
    for (const machine of world.running) machine.crash({ keeps: () => 0 });
    await world.start();
    await world.write(1);
    await world.converge();
    for (const { replica } of world.running) expect(replica.machine.revision).toBe(151);
  });
});

describe('a follower that was away for too long', () => {
  test('gets a snapshot, and then the rest of the log', async () => {
    const { world, leader, behind } = await givenOneThatIsFarBehind();
    const machine = behind.replica.machine;
    world.heal();
    await world.until(() => behind.replica.snapshots.installed === 1);
    await world.write(20);
    await world.converge();
    expect(phases(behind)).toEqual(['installing', 'installed']);
    expect(phases(leader)).toEqual(['needed', 'sent']);
    expect(behind.replica.machine).not.toBe(machine);
    expect(leader.replica.snapshots).toMatchObject({ sending: [], sent: 1 });
  });

  test('says everywhere what it has applied as soon as it is readable', async () => {
    const { world, behind } = await givenOneThatIsFarBehind();
    const { replica } = behind;
    const before = replica.machine;
    world.heal();
    await world.until(() => replica.machine !== before);
    expect(replica.snapshots.installed).toBe(0);
    expect(replica.appliedIndex).toBe(replica.meta().appliedIndex);
    expect(replica.appliedIndex).toBeGreaterThan(200);
  });

  test('gets it while writes go on, and the log behind it is kept meanwhile', async () => {
    const { world, leader, behind } = await givenOneThatIsFarBehind({
      snapshotBytesPerSecondMax: 40_000,
    });
    world.heal();
    while (behind.replica.snapshots.installed === 0) await world.write(5);
    await world.write(30);
    await world.converge();
    expect(phases(leader)).toEqual(['needed', 'sent']);
  });

  test('serves what it has while the installation waits for a slow disk', async () => {
    const { world, leader, behind } = await givenOneThatIsFarBehind({
      snapshotBytesPerSecondMax: 40_000,
    });
    const { replica } = behind;
    const { appliedIndex } = replica;
    const told: string[] = [];
    const read = (consistency: 'any' | 'session' | 'linearizable', bound = 0): void =>
      replica.read({ consistency, bound }, (error) =>
        told.push(`${consistency} ${bound}: ${error?.code ?? replica.meta().appliedIndex}`),
      );
    world.heal();
    await world.until(() => replica.snapshots.receiving !== null);
    // The term of a new leader takes long to be durable.
    behind.diskMs = 3000;
    const { term } = replica.node;
    leader.replica.transfer(null, () => {});
    await world.until(() => replica.node.term > term);
    behind.diskMs = 0.5;
    await world.until(() => replica.snapshots.installing);
    const machine = replica.machine;
    await world.run(20);
    read('any');
    read('session', appliedIndex);
    const here = [`any 0: ${appliedIndex}`, `session ${appliedIndex}: ${appliedIndex}`];
    expect(told).toEqual(here);
    // What it does not have is waited for.
    read('linearizable');
    await world.run(20);
    expect([told, replica.machine === machine]).toEqual([here, true]);
    await world.until(() => told.length > 2);
    expect(replica.machine).not.toBe(machine);
    expect(told[2]).toMatch(/^linearizable 0: 2\d\d$/);
  });

  test('begins no read while the state is switched', async () => {
    const { world, behind } = await givenOneThatIsFarBehind();
    const { replica } = behind;
    const told: unknown[] = [];
    const { machine } = replica;
    behind.failpoints = {
      hit: (name) => {
        if (name !== 'snapshot.before-switch') return;
        replica.read({ consistency: 'any', bound: 0 }, (error) =>
          told.push(error ?? replica.machine !== machine),
        );
      },
    };
    world.heal();
    await world.until(() => told.length > 0);
    expect(told).toEqual([true]);
  });

  test('restarts with the snapshot', async () => {
    const { world, behind } = await givenOneThatIsFarBehind();
    world.heal();
    await world.until(() => behind.replica.snapshots.installed === 1);
    behind.crash({ keeps: () => 0 });
    await world.wait(behind.start());
    await world.write(3);
    await world.converge();
    expect(phases(behind)).toEqual(['installing', 'installed']);
  });

  test('is told of new members by the snapshot alone', async () => {
    const { world, behind } = await givenOneThatIsFarBehind();
    const leader = world.leader as TestMachine;
    const changed: unknown[] = [];
    const { node } = leader.replica;
    leader.replica.changeMembers(
      {
        expectedIndex: node.configuration.index,
        voters: MEMBERS,
        learners: ['n4'],
        promotions: [],
        addresses: [],
      },
      (error) => changed.push(error),
    );
    await world.until(() => changed.length === 1);
    expect(changed).toEqual([null]);
    await world.write(200);
    world.heal();
    await world.until(() => behind.replica.snapshots.installed === 1);
    expect(behind.replica.node.configuration.learners).toEqual(['n4']);
    behind.crash();
    await world.wait(behind.start());
    expect(behind.replica.node.configuration.learners).toEqual(['n4']);
  });

  test('goes on with a snapshot when its leader is replaced in the middle of one', async () => {
    const { world, leader, behind } = await givenOneThatIsFarBehind({
      snapshotBytesPerSecondMax: 20_000,
    });
    world.heal();
    await world.until(() => (behind.replica.snapshots.receiving?.chunks ?? 0) > 2);
    world.isolate(leader.id);
    await world.until(() => world.leader !== leader);
    await world.until(() => leader.replica.node.role !== 'leader');
    world.heal();
    await world.until(() => behind.replica.snapshots.installed === 1);
    expect(behind.notices).toContainEqual(
      expect.objectContaining({ phase: 'resumed', member: leader.id }),
    );
    await world.write(3);
    await world.converge();
  });

  test('gets that of the next leader when its leader is lost in the middle of one', async () => {
    const { world, leader, behind } = await givenOneThatIsFarBehind({
      snapshotBytesPerSecondMax: 20_000,
    });
    world.heal();
    await world.until(() => (behind.replica.snapshots.receiving?.chunks ?? 0) > 2);
    leader.crash();
    await world.until(() => behind.replica.snapshots.installed === 1);
    await world.write(3);
    await world.converge();
  });

  test('gets one though no leader leads for as long as a snapshot takes', async () => {
    const { world, behind } = await givenOneThatIsFarBehind({ snapshotBytesPerSecondMax: 10_000 });
    const others = world.running.filter((machine) => machine !== behind);
    world.heal();
    const terms = new Set<number>();
    while (behind.replica.snapshots.installed === 0 && terms.size < 30) {
      const { leader } = world;
      const next = others.find((machine) => machine !== leader) as TestMachine;
      leader?.replica.transfer(next.id, () => {});
      await world.until(() => next.replica.node.role === 'leader');
      terms.add(next.replica.node.term);
      await world.write(1);
      await world.run(500);
    }
    expect(behind.replica.snapshots.installed).toBe(1);
    // One of them was enough, and most began none.
    expect(terms.size).toBeGreaterThan(4);
    await world.write(20);
    await world.converge();
    expect(behind.replica.snapshots.installed).toBe(1);
    await world.run(60_000);
    for (const { replica } of others) expect(replica.snapshots.sending).toEqual([]);
  });
});

describe('the installation of a snapshot', () => {
  test('switches the state, then resets the log', async () => {
    const { world, behind } = await givenOneThatIsFarBehind();
    const { steps } = behind;
    const { resetTo } = behind.logStore;
    behind.logStore.resetTo = (position, done) => {
      steps.push('reset');
      resetTo.call(behind.logStore, position, done);
    };
    world.heal();
    await world.until(() => behind.replica.snapshots.installed === 1);
    const wanted = ['snapshot.before-switch', 'snapshot.after-switch', 'reset'];
    expect(steps.filter((step) => wanted.includes(step))).toEqual(wanted);
  });

  test('touches the old state no more: backups of it are ended first, and nothing is put on its disk', async () => {
    const { world, behind } = await givenOneThatIsFarBehind({ snapshotBytesPerSecondMax: 40_000 });
    const { current } = behind.vault;
    const { view, allowDisk } = current;
    let openViews = 0;
    current.view = async () => {
      const opened = await view.call(current);
      const { close } = opened;
      openViews += 1;
      opened.close = async () => {
        await new Promise<void>((resolve) => void world.scheduler.plan(20, resolve));
        openViews -= 1;
        await close.call(opened);
      };
      return opened;
    };
    const seen: string[] = [];
    current.allowDisk = (index) => {
      if (behind.replica.snapshots.installing) seen.push('allowed');
      allowDisk.call(current, index);
    };
    behind.failpoints = {
      hit: (name) => {
        if (name === 'snapshot.before-switch') seen.push(`views ${openViews}`);
      },
    };
    const frames = backupOf(world, behind);
    await world.until(() => frames.includes('header'));
    // Its client is slow: it never asks for a chunk.
    expect(openViews).toBe(1);
    world.heal();
    await world.until(() => behind.replica.snapshots.installed === 1);
    expect(seen).toEqual(['views 0']);
    expect(frames.at(-1)).toBe('refusal');
  });

  test('waits until all earlier writes of the log are durable: its term must not be behind', async () => {
    const leader = new SnapshotWorld();
    const world = new ReplicaWorld(MEMBERS, {}, leader.scheduler);
    const n1 = world.machine('n1');
    await world.wait(n1.start());
    const { append } = n1.logStore;
    const held: (() => void)[] = [];
    n1.logStore.append = (write, done) => {
      held.push(() => append.call(n1.logStore, write, done));
    };
    await leader.fill(20);
    leader.acceptors.set('n1', (channel) => n1.replica.acceptSnapshot(channel));
    // Of a term that n1 has never heard of: it writes that down first.
    leader.senders.request('n1', 3);
    await world.until(() => n1.replica.snapshots.installing);
    await world.run(100);
    expect(held).toHaveLength(1);
    expect(n1.steps).not.toContain('snapshot.before-switch');
    for (const write of held.splice(0)) write();
    await world.until(() => n1.replica.snapshots.installed === 1);
    expect(n1.replica.node.logStart).toEqual({ index: 10, term: 3 });
    expect(n1.logStore.restart('lost').restored.hardState.currentTerm).toBe(3);
  });

  test('lets reads wait while there is no state, and answers them from the new one', async () => {
    const { world, behind } = await givenOneThatIsFarBehind();
    world.heal();
    await world.until(() => behind.replica.snapshots.installing);
    const old = behind.replica.machine;
    const revisions: number[] = [];
    for (const consistency of ['any', 'linearizable'] as const) {
      behind.replica.read({ consistency, bound: 0 }, (error) => {
        expect(error).toBeNull();
        revisions.push(behind.replica.machine.revision);
      });
    }
    expect(revisions).toEqual([]);
    await world.until(() => revisions.length === 2);
    expect(Math.min(...revisions)).toBeGreaterThan(old.revision + 50);
  });

  const CRASHES = [
    'snapshot.before-chunk',
    'snapshot.after-chunk',
    'snapshot.before-finish',
    'snapshot.after-finish',
    'snapshot.before-switch',
    'snapshot.after-switch',
    'snapshot.before-reset',
    'snapshot.after-reset',
  ];

  test.each(CRASHES)('survives a crash at %s', async (place) => {
    const { world, behind } = await givenOneThatIsFarBehind();
    let crashed = false;
    behind.failpoints = {
      hit: (name) => {
        if (name !== place || crashed) return;
        crashed = true;
        // Behind the moment of the switch the new state is the current one.
        world.scheduler.plan(0, () => behind.crash({ keeps: () => 0 }));
      },
    };
    world.heal();
    await world.until(() => crashed && !behind.isRunning);
    await world.write(3);
    await world.wait(behind.start());
    await world.until(() => behind.replica.node.lastIndex === world.leader?.replica.node.lastIndex);
    await world.write(3);
    await world.converge();
    expect(behind.failures).toEqual([]);
  });

  test('that was cut off between the switch of the state and the reset of the log is finished at the start', async () => {
    const { world, behind } = await givenOneThatIsFarBehind();
    world.heal();
    await world.until(() => behind.vault.isSwitching);
    const before = behind.logStore.restored.lastIndex;
    behind.crash({ isSwitched: true });
    const { installed } = behind.vault;
    expect(installed?.index).toBeGreaterThan(behind.logStore.restored.lastIndex);
    expect(before).toBeLessThan(installed?.index ?? 0);
    await world.wait(behind.start());
    expect(behind.replica.node.logStart).toEqual(installed);
    expect(behind.replica.appliedIndex).toBe(installed?.index);
    await world.write(3);
    await world.converge();
  });

  test('fails the replica when the state cannot be switched', async () => {
    const { world, behind } = await givenOneThatIsFarBehind();
    behind.failpoints = {
      hit: (name) => {
        if (name === 'snapshot.before-switch') throw new Error('EIO');
      },
    };
    world.heal();
    await world.until(() => behind.failures.length > 0);
    expect(behind.failures[0]?.message).toContain('EIO');
  });
});

describe('stopping', () => {
  test('in the middle of a snapshot lets go of the stores', async () => {
    const { world, leader, behind } = await givenOneThatIsFarBehind({
      snapshotBytesPerSecondMax: 20_000,
    });
    world.heal();
    await world.until(() => (behind.replica.snapshots.receiving?.chunks ?? 0) > 2);
    leader.replica.stop();
    behind.replica.stop();
    await world.wait(leader.replica.whenIdle());
    await world.wait(behind.replica.whenIdle());
    const frames: string[] = [];
    world.fate = (_to, from, frame) => {
      frames.push(`${from} ${frameName(frame)}`);
      return 'pass';
    };
    await world.run(5000);
    expect(frames.filter((frame) => frame.startsWith('dialler'))).toEqual([]);
  });
});
