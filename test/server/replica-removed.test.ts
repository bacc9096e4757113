import { describe, expect, test } from 'vitest';
import type { ConfigurationChange } from '../../src/raft/types.js';
import type { Replica } from '../../src/server/replica.js';
import { batchOf, ReplicaWorld, type TestMachine } from './replica-world.js';

const MEMBERS = ['n1', 'n2', 'n3'];

async function change(world: ReplicaWorld, what: Partial<ConfigurationChange>): Promise<void> {
  const { replica } = world.leader as { replica: Replica };
  const { index, voters, learners, promotions, addresses } = replica.node.configuration;
  const given = { expectedIndex: index, voters, learners, promotions, addresses, ...what };
  let answer: unknown = 'none';
  replica.changeMembers(given, (error) => {
    answer = error;
  });
  await world.until(() => answer !== 'none');
  expect(answer).toBeNull();
}

/**
 * A leader that is cut off, goes on to write, and is removed meanwhile; then the others add it again. Its
 * disk holds its vote for itself, entries that nobody else has, and a configuration that names it.
 */
async function givenOneRemovedAndAddedAgain(entriesBehind: number, appendBytesMax?: number) {
  const limits = appendBytesMax === undefined ? {} : { appendBytesMax };
  const world = new ReplicaWorld(MEMBERS, limits);
  await world.start();
  await world.write(5);
  const former = world.leader as TestMachine;
  world.isolate(former.id);
  for (let i = 0; i < 3; i += 1)
    former.replica.write(batchOf(900 + i), { operations: 1, version: 1 }, () => {});
  await world.until(() => world.leader !== former && world.leader !== null);
  await world.write(2);
  const others = MEMBERS.filter((id) => id !== former.id);
  await change(world, { voters: others });
  await world.write(entriesBehind);
  await change(world, {
    learners: [former.id],
    promotions: [{ member: former.id, replaces: null }],
  });
  return { world, former };
}

/** Whom it voted for, by term; fails when it did so for two in one. */
function votesOf({ sent }: TestMachine): Map<number, string> {
  const votes = new Map<number, string>();
  for (const message of sent) {
    const isVote = message.type === 'RequestVoteReply' && message.granted && !message.preVote;
    const isCandidacy = message.type === 'RequestVote' && !message.preVote;
    if (!isVote && !isCandidacy) continue;
    const candidate = isVote ? message.to : message.from;
    expect(votes.get(message.term) ?? candidate).toBe(candidate);
    votes.set(message.term, candidate);
  }
  return votes;
}

describe('a member that was removed and is added again with the disk that it had', () => {
  test.each([
    ['through the log', 2, undefined, 0],
    // It learns of the removal before it learns that it was added again: a process ends here.
    ['through the log, entry by entry', 2, 1, 1],
    ['by a snapshot', 200, undefined, 0],
  ])('catches up %s, votes again and never twice', async (...[, entries, appendBytesMax, told]) => {
    const { world, former } = await givenOneRemovedAndAddedAgain(entries, appendBytesMax);
    former.crash();
    await world.wait(former.start());
    world.heal();
    const isVoter = (): boolean =>
      world.leader?.replica.node.configuration.voters.includes(former.id) === true;
    await world.until(isVoter);
    await world.write(5);
    await world.converge();
    // Now it is needed for a majority, also in an election.
    const stays = world.running.find((m) => m !== former && m !== world.leader) as TestMachine;
    const gone = world.running.find((m) => m !== former && m !== stays) as TestMachine;
    world.isolate(gone.id);
    await world.until(() => world.leader !== null && world.leader !== gone);
    await world.write(5);
    world.heal();
    await world.converge();
    expect(world.running).toHaveLength(3);
    expect([...votesOf(former).values()]).toContain(former.id);
    expect(former.events.filter(({ type }) => type === 'removed')).toHaveLength(told);
  });
});
