import { expect, test } from 'vitest';
import { ReplicaWorld, type TestMachine } from './replica-world.js';

const MEMBERS = ['n1', 'n2', 'n3'];

test.each([500, 1000])(
  'a follower that reads on behind its snapshot is not cut off because it is silent for %i ms',
  async (silentMs) => {
    const world = new ReplicaWorld(MEMBERS, { snapshotBytesPerSecondMax: 40_000 });
    await world.start();
    await world.write(5);
    const leader = world.leader as TestMachine;
    const behind = world.machine(MEMBERS.find((id) => id !== leader.id) ?? '');
    world.isolate(behind.id);
    await world.write(200);
    await world.until(() => leader.replica.node.logStart.index > behind.replica.node.lastIndex);
    world.heal();
    while (behind.replica.snapshots.installed === 0) await world.write(1);
    // It lacks what was written meanwhile, which the log has been kept for.
    world.isolate(behind.id);
    const untilMs = world.scheduler.nowMs + silentMs;
    while (world.scheduler.nowMs < untilMs) await world.write(1);
    world.heal();
    await world.write(20);
    await world.converge();
    const phases = leader.events.flatMap((e) => (e.type === 'snapshot' ? [e.phase] : []));
    expect(phases).toEqual(['needed', 'sent']);
  },
);
