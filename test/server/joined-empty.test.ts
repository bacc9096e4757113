import { expect, test } from 'vitest';
import { ReplicaWorld, TestMachine } from './replica-world.js';

const MEMBERS = ['n1', 'n2', 'n3'];
const ANY = { consistency: 'any', bound: 0 } as const;

test('a member that was let in serves nothing before it has a state: it is behind, and not empty', async () => {
  const world = new ReplicaWorld(MEMBERS);
  await world.start();
  await world.write(200);
  await world.converge();
  world.machines.set('n4', new TestMachine(world, 'n4', MEMBERS));
  await world.wait(world.machine('n4').start());
  const { replica } = world.machine('n4');
  const became: string[] = [];
  const read = (): void =>
    replica.read(ANY, (error) => became.push(error?.code ?? `at ${replica.meta().appliedIndex}`));

  read();
  // Not waited for: others have one.
  expect(became).toEqual(['REPLICA_BEHIND']);
  const lags = new Set<number | null>();
  const leader = world.leader as TestMachine;
  const { index: expectedIndex } = leader.replica.node.configuration;
  const change = { expectedIndex, voters: MEMBERS, learners: ['n4'] };
  leader.replica.changeMembers({ ...change, promotions: [], addresses: [] }, () => {});
  await world.until(() => {
    read();
    if (became.at(-1) !== 'REPLICA_BEHIND') return true;
    lags.add(replica.lag);
    return false;
  });
  expect([...lags]).toEqual([null]);
  expect(became.at(-1)).toMatch(/^at 2\d\d$/);
  await world.until(() => replica.lag === 0);
});

test('members that form a cluster serve what there is from the beginning on: nothing', async () => {
  const world = new ReplicaWorld(MEMBERS);
  const machine = world.machine('n1');
  await world.wait(machine.start());
  const errors: unknown[] = [];
  machine.replica.read(ANY, (error) => errors.push(error));
  expect(errors).toEqual([null]);
});
