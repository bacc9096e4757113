import { describe, expect, test } from 'vitest';
import { ReplicaWorld, type TestMachine } from './replica-world.js';

const MEMBERS = ['n1', 'n2', 'n3'];

const campaigns = (machines: readonly TestMachine[]): number =>
  machines
    .flatMap((machine) => machine.events)
    .filter((event) => event.type === 'role' && event.role === 'candidate').length;

const preVotes = (machine: TestMachine): number =>
  machine.events.filter((event) => event.type === 'role' && event.role === 'pre-candidate').length;

describe('a process that stood still for ten seconds', () => {
  test('as a follower does not campaign when it goes on: its leader was there all the time', async () => {
    const world = new ReplicaWorld(MEMBERS);
    await world.start();
    await world.write(3);
    const leader = world.leader as TestMachine;
    const { term } = leader.replica.node;
    const paused = world.running.find((machine) => machine !== leader) as TestMachine;
    const before = preVotes(paused);
    paused.pause();
    await world.run(10_000);
    paused.goOn();
    await world.run(5000);
    expect(preVotes(paused)).toBe(before);
    expect(world.leader).toBe(leader);
    expect(leader.replica.node.term).toBe(term);
    await world.write(3);
    await world.converge();
  });

  test('as a leader finds another one, and there is one election only', async () => {
    const world = new ReplicaWorld(MEMBERS);
    await world.start();
    await world.write(3);
    const old = world.leader as TestMachine;
    const { term } = old.replica.node;
    old.pause();
    const others = world.running.filter((machine) => machine !== old);
    await world.run(10_000);
    const held = campaigns(world.running);
    old.goOn();
    await world.run(5000);
    expect(campaigns(world.running)).toBe(held);
    expect(others.some(({ replica }) => replica.node.role === 'leader')).toBe(true);
    expect(old.replica.node.role).toBe('follower');
    expect(old.replica.node.term).toBe(term + 1);
    await world.write(3);
    await world.converge();
  });

  test('all at once, they go on under the same leader, or elect one without a storm', async () => {
    const world = new ReplicaWorld(MEMBERS);
    await world.start();
    await world.write(3);
    const { term } = (world.leader as TestMachine).replica.node;
    for (const machine of world.running) machine.pause();
    await world.run(10_000);
    for (const machine of world.running) machine.goOn();
    await world.run(5000);
    expect(world.leader?.replica.node.term).toBe(term);
    await world.write(3);
    await world.converge();
  });
});
