import { describe, expect, test } from 'vitest';
import { KNOWN_COMMANDS } from '../../src/base/command-versions.js';
import type { BalsaError } from '../../src/base/errors.js';
import type { ConfigurationChange } from '../../src/raft/types.js';
import type { Replica } from '../../src/server/replica.js';
import { batchOf, ReplicaWorld, type TestMachine } from './replica-world.js';

const LINEARIZABLE = { consistency: 'linearizable', bound: 0 } as const;
const MEMBERS = ['n1', 'n2', 'n3'];

async function given(
  limits: ConstructorParameters<typeof ReplicaWorld>[1] = {},
  prepare: (world: ReplicaWorld) => void = () => {},
) {
  const world = new ReplicaWorld(MEMBERS, limits);
  prepare(world);
  await world.start();
  await world.write(3);
  return { world, leader: world.leader as TestMachine };
}

function changeOf(replica: Replica, change: Partial<ConfigurationChange>): ConfigurationChange {
  const { index, voters, learners, promotions, addresses } = replica.node.configuration;
  return { expectedIndex: index, voters, learners, promotions, addresses, ...change };
}

/** What `done` was told, in a word. */
function told(error: BalsaError | null): string {
  if (error === null) return 'done';
  return error.outcome === undefined ? error.code : `${error.code} ${error.outcome}`;
}

describe('a change of the members', () => {
  test('is done when it is committed', async () => {
    const { world, leader } = await given();
    const answers: string[] = [];
    const change = changeOf(leader.replica, { learners: ['n4'] });
    leader.replica.changeMembers(change, (error) => answers.push(told(error)));
    expect(answers).toEqual([]);
    await world.until(() => answers.length > 0);
    expect(answers).toEqual(['done']);
    expect(leader.replica.node.configuration.learners).toEqual(['n4']);
    expect(leader.replica.machine.configuration?.index).toBe(
      leader.replica.node.configuration.index,
    );
  });

  test('of the voters is done when the joint configuration is left', async () => {
    const { world, leader } = await given();
    const leaving = MEMBERS.find((id) => id !== leader.id) ?? '';
    const answers: string[] = [];
    const voters = MEMBERS.filter((id) => id !== leaving);
    const isCommitted: boolean[] = [];
    leader.replica.changeMembers(changeOf(leader.replica, { voters }), (error) => {
      answers.push(told(error));
      const { configuration, commitIndex } = leader.replica.node;
      isCommitted.push(configuration.index <= commitIndex);
    });
    await world.until(() => answers.length > 0);
    expect([answers, isCommitted]).toEqual([['done'], [true]]);
    expect(leader.replica.node.configuration.voters).toEqual(voters);
  });

  test('that changes nothing is done at once', async () => {
    const { world, leader } = await given();
    const answers: string[] = [];
    const { lastIndex } = leader.replica.node;
    leader.replica.changeMembers(changeOf(leader.replica, {}), (error) =>
      answers.push(told(error)),
    );
    await world.run(1000);
    expect([answers, leader.replica.node.lastIndex]).toEqual([['done'], lastIndex]);
  });

  test('that was decided from old members is refused', async () => {
    const { world, leader } = await given();
    const answers: string[] = [];
    const change = changeOf(leader.replica, { learners: ['n4'], expectedIndex: 77 });
    leader.replica.changeMembers(change, (error) => answers.push(told(error)));
    await world.until(() => answers.length > 0);
    expect(answers).toEqual(['CONFIGURATION_CONFLICT not-applied']);
  });

  test('must go to the leader', async () => {
    const { world, leader } = await given();
    const follower = world.running.find((machine) => machine !== leader) as TestMachine;
    const errors: (BalsaError | null)[] = [];
    const change = changeOf(follower.replica, { learners: ['n4'] });
    follower.replica.changeMembers(change, (error) => errors.push(error));
    await world.until(() => errors.length > 0);
    expect(errors[0]).toMatchObject({ code: 'NOT_LEADER', details: { leader: leader.id } });
  });

  test('whose leader is cut off may or may not come about', async () => {
    const { world, leader } = await given();
    world.isolate(leader.id);
    const answers: string[] = [];
    const change = changeOf(leader.replica, { learners: ['n4'] });
    leader.replica.changeMembers(change, (error) => answers.push(told(error)));
    await world.until(() => answers.length > 0);
    expect(answers).toEqual(['NOT_LEADER unknown']);
  });

  test('that waits when the replica stops is answered', async () => {
    const { world, leader } = await given();
    world.isolate(leader.id);
    const answers: string[] = [];
    const change = changeOf(leader.replica, { learners: ['n4'] });
    leader.replica.changeMembers(change, (error) => answers.push(told(error)));
    await world.run(100);
    leader.replica.stop();
    leader.replica.changeMembers(change, (error) => answers.push(told(error)));
    expect(answers).toEqual(['SHUTTING_DOWN unknown', 'SHUTTING_DOWN not-applied']);
  });
});

describe('a transfer of leadership', () => {
  test('is done when another member leads', async () => {
    const { world, leader } = await given();
    const target = MEMBERS.find((id) => id !== leader.id) ?? '';
    const answers: string[] = [];
    leader.replica.transfer(target, (error) => answers.push(told(error)));
    await world.until(() => answers.length > 0);
    expect(answers).toEqual(['done']);
    expect(leader.replica.leader).toBe(target);
  });

  test('to the leader itself is done at once, and it leads on', async () => {
    const { world, leader } = await given();
    const { term } = leader.replica.node;
    const answers: string[] = [];
    leader.replica.transfer(leader.id, (error) => answers.push(told(error)));
    await world.run(1000);
    expect([answers, leader.replica.node.role, leader.replica.node.term]).toEqual([
      ['done'],
      'leader',
      term,
    ]);
  });

  test('to nobody in particular goes to whom the leader thinks best', async () => {
    const { world, leader } = await given();
    const answers: string[] = [];
    leader.replica.transfer(null, (error) => answers.push(told(error)));
    await world.until(() => answers.length > 0);
    expect(answers).toEqual(['done']);
    expect(leader.replica.leader).not.toBe(leader.id);
  });

  test('to a member that cannot be reached fails, and the leader stays', async () => {
    const { world, leader } = await given();
    const target = MEMBERS.find((id) => id !== leader.id) ?? '';
    world.isolate(target);
    await world.write(1);
    const answers: string[] = [];
    leader.replica.transfer(target, (error) => answers.push(told(error)));
    await world.until(() => answers.length > 0);
    expect(answers).toEqual(['TRANSFER_FAILED']);
    expect(world.leader).toBe(leader);
  });

  test('takes no writes meanwhile: they were not applied, and no leader is named for them', async () => {
    const { world, leader } = await given();
    const target = MEMBERS.find((id) => id !== leader.id) ?? '';
    // It is heard to have applied all, and then it is cut off.
    await world.run(200);
    world.isolate(target);
    await world.write(1);
    leader.replica.transfer(target, () => {});
    await world.run(30);
    const answers: string[] = [];
    const leaders: unknown[] = [];
    leader.replica.write(batchOf(1000), { operations: 1, version: 1 }, (answer) => {
      answers.push(answer.ok ? 'ok' : told(answer.error));
      if (!answer.ok) leaders.push(answer.error.details.leader);
    });
    await world.until(() => answers.length > 0);
    expect(answers).toEqual(['NOT_LEADER not-applied']);
    expect(leaders).toEqual([null]);
  });

  test('must be asked of the leader', async () => {
    const { world, leader } = await given();
    const follower = world.running.find((machine) => machine !== leader) as TestMachine;
    const answers: string[] = [];
    follower.replica.transfer(null, (error) => answers.push(told(error)));
    await world.until(() => answers.length > 0);
    expect(answers).toEqual(['NOT_LEADER']);
  });
});

describe('a replica whose state differs from that of the others', () => {
  test('stops and says at which entry; the others go on', async () => {
    const { world, leader } = await given();
    const wrong = world.running.find((machine) => machine !== leader) as TestMachine;
    // A bit flips in its memory.
    const { machine } = wrong.replica;
    const apply = machine.apply.bind(machine);
    Object.defineProperty(machine, 'stateHash', { get: () => 0xbad });
    machine.apply = (entry) => apply(entry);
    await world.write(40);
    await world.run(1000);
    expect(wrong.failures.map((error) => error.code)).toEqual(['STATE_DIVERGED']);
    expect(wrong.failures[0]?.details).toMatchObject({ index: 16, hash: '00000bad' });
    expect(leader.failures).toEqual([]);
    expect(leader.notices).toContainEqual(
      expect.objectContaining({ type: 'state-mismatch', member: wrong.id, index: 16 }),
    );
    await world.write(1);
  });
});

describe('commands', () => {
  test('are written in the newest version that all members can read', async () => {
    const { world, leader } = await given();
    expect(await versionOfNextCommand(world, leader)).toBe(2);
    world.formatsOf = (member) => ({ command: member === leader.id ? 2 : 1, snapshot: 1 });
    expect(await versionOfNextCommand(world, leader)).toBe(1);
  });

  test('are written in the first version as long as a member has not said what it can read', async () => {
    const { world, leader } = await given();
    world.formatsOf = () => null;
    expect(await versionOfNextCommand(world, leader)).toBe(1);
  });

  test('are written in the version that the log has had, whoever has not said what it can read', async () => {
    const { world, leader } = await given({}, (made) => {
      made.commandVersion = KNOWN_COMMANDS;
    });
    world.formatsOf = () => null;
    expect(await versionOfNextCommand(world, leader)).toBe(KNOWN_COMMANDS);
  });
});

async function versionOfNextCommand(world: ReplicaWorld, leader: TestMachine): Promise<number> {
  await world.write(1);
  const last = leader.sent
    .flatMap((message) => (message.type === 'AppendEntries' ? message.entries : []))
    .filter((entry) => entry.type === 'command')
    .at(-1);
  // A msgpack tuple: its length, then its first field.
  return last?.payload[1] ?? 0;
}

describe('a read at a follower', () => {
  test('that cannot apply fails when its time is up, and one behind it is served when it can', async () => {
    const { world, leader } = await given();
    const follower = world.machines.get(MEMBERS.find((id) => id !== leader.id) ?? '');
    if (follower === undefined) throw new Error('no follower');
    await world.converge();
    const store = follower.vault.current;
    const pendingBytes = store.pendingBytes.bind(store);
    const stuck: (() => void)[] = [];
    store.pendingBytes = () => Number.POSITIVE_INFINITY;
    store.whenPendingBelow = (_bytes, goOn) => void stuck.push(goOn);
    await world.write(1);
    const answers: string[] = [];
    const read = () => follower.replica.read(LINEARIZABLE, (error) => answers.push(told(error)));

    read();
    await world.run(world.limits.readWaitMsMax - 100);
    expect(answers).toEqual([]);
    read();
    await world.run(200);
    expect(answers).toEqual(['REPLICA_BEHIND']);

    store.pendingBytes = pendingBytes;
    for (const goOn of stuck) goOn();
    await world.run(100);
    expect(answers).toEqual(['REPLICA_BEHIND', 'done']);
  });
});
