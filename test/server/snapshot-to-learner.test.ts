import { expect, test } from 'vitest';
import { ReplicaWorld, TestMachine } from './replica-world.js';

const MEMBERS = ['n1', 'n2', 'n3'];

async function addLearners(world: ReplicaWorld, learners: string[]): Promise<void> {
  const { replica } = world.leader as TestMachine;
  const told: unknown[] = [];
  replica.changeMembers(
    {
      expectedIndex: replica.node.configuration.index,
      voters: MEMBERS,
      learners,
      promotions: [],
      addresses: [],
    },
    (error) => told.push(error),
  );
  await world.until(() => told.length === 1);
  expect(told).toEqual([null]);
}

test('a snapshot on its way to a learner survives the commit of a configuration before the one that names it', async () => {
  const world = new ReplicaWorld(MEMBERS, { snapshotBytesPerSecondMax: 100_000 });
  await world.start();
  await world.write(200);
  await world.converge();
  const leader = world.leader as TestMachine;
  const [late, third] = MEMBERS.filter((id) => id !== leader.id).map((id) => world.machine(id)) as [
    TestMachine,
    TestMachine,
  ];
  // One hears of two changes in one message.
  world.isolate(late.id);
  await addLearners(world, ['n4']);
  await addLearners(world, ['n4', 'n5']);
  const end = leader.replica.node.lastIndex;
  world.heal();
  await world.until(() => late.replica.node.flushedIndex >= end);
  // The power everywhere; it is that one that leads next.
  for (const machine of [leader, late, third]) machine.crash({ keeps: () => 0 });
  world.machines.set('n5', new TestMachine(world, 'n5', MEMBERS));
  await world.wait(world.machine('n5').start());
  await world.wait(late.start());
  await world.until(() => late.replica.node.role === 'pre-candidate');
  expect(late.replica.node.commitIndex).toBeLessThan(end - 1);

  await world.wait(third.start());
  third.diskMs = 100;
  await world.until(() => late.replica.node.role === 'leader');
  await world.until(() => late.replica.node.commitIndex > end);
  await world.run(30_000);
  expect(world.machine('n5').replica.snapshots.installed).toBe(1);
});
