import { describe, expect, test } from 'vitest';
import type { ConfigurationChange } from '../../src/raft/types.js';
import {
  acknowledge,
  answerTo,
  ask,
  commit,
  membersOf,
  settledLeader,
} from './membership-fixture.js';
import {
  append,
  appended,
  ELECTION_TICKS,
  elect,
  heartbeatReply,
  leaderOf,
  Member,
  ofType,
  voteReply,
  voteRequest,
} from './node-fixture.js';

const FOUR = { learners: ['n4'] };
const FIVE = { learners: ['n4', 'n5'] };

describe('a change of the voters (paper §6)', () => {
  test('goes into the log as a joint configuration, which is in effect at once', () => {
    const leader = settledLeader(FOUR);
    const ready = ask(leader, { voters: ['n1', 'n2', 'n4'], learners: [] });
    expect(ready.configurationChanges).toEqual([
      { id: 7, accepted: true, position: { index: 2, term: 1 } },
    ]);
    expect(ready.write?.entries).toMatchObject([{ index: 2, type: 'configuration' }]);
    expect(ofType(ready.messages, 'AppendEntries').map((m) => m.to)).toEqual(['n2', 'n3', 'n4']);
    expect(membersOf(leader)).toEqual({
      index: 2,
      voters: ['n1', 'n2', 'n4'],
      votersOutgoing: ['n1', 'n2', 'n3'],
    });
  });

  test('the joint configuration is committed by majorities of both halves, not of one', () => {
    const setup = { voters: ['n1', 'n2', 'n3'], learners: ['n4', 'n5'] };
    const leader = settledLeader(setup);
    ask(leader, { voters: ['n1', 'n4', 'n5'], learners: [] });
    commit(leader, 'n2', 'n3');
    expect(leader.node.commitIndex).toBe(1);
    acknowledge(leader, 'n4');
    expect(leader.node.commitIndex).toBe(2);
    const other = settledLeader(setup);
    ask(other, { voters: ['n1', 'n4', 'n5'], learners: [] });
    commit(other, 'n4', 'n5');
    expect(other.node.commitIndex).toBe(1);
  });

  test('when it is committed, the leader appends the final one by itself', () => {
    const leader = settledLeader(FOUR);
    ask(leader, { voters: ['n1', 'n2', 'n4'], learners: [] });
    const ready = commit(leader, 'n2', 'n4');
    expect(ready.events).toMatchObject([
      { type: 'configuration', configuration: { index: 2 }, committed: true },
      { type: 'configuration', configuration: { index: 3 }, committed: false },
    ]);
    expect(membersOf(leader)).toEqual({ index: 3, voters: ['n1', 'n2', 'n4'] });
  });

  test('the final one is committed by its own majority alone', () => {
    const leader = settledLeader(FIVE);
    ask(leader, { voters: ['n1', 'n4', 'n5'], learners: [] });
    commit(leader, 'n2', 'n4');
    commit(leader, 'n2', 'n3');
    expect(leader.node.commitIndex).toBe(2);
    acknowledge(leader, 'n4');
    expect(leader.node.commitIndex).toBe(3);
  });

  test('commands go on being taken and committed meanwhile', () => {
    const leader = settledLeader(FOUR);
    ask(leader, { voters: ['n1', 'n2', 'n4'], learners: [] });
    expect(leader.propose('x').proposals).toMatchObject([{ accepted: true }]);
    commit(leader, 'n2', 'n4');
    expect(leader.node.commitIndex).toBe(3);
  });

  test('what waits for a voter that leaves is committed by those who stay, once it is left', () => {
    // Given a command behind the joint configuration, which one follower has, and the old half lacks
    const leader = settledLeader({ voters: ['n1', 'n2', 'n3', 'n4'] });
    ask(leader, { voters: ['n1', 'n2', 'n3'] });
    leader.propose('x');
    commit(leader, 'n2');
    expect(leader.node.commitIndex).toBe(1);
    // When one that leaves has the joint configuration, but not the command
    leader.receive(appended({ from: 'n4', term: 1, matchIndex: 2 }));
    expect([leader.node.commitIndex, membersOf(leader)]).toEqual([
      2,
      { index: 4, voters: ['n1', 'n2', 'n3'] },
    ]);
    // Then the two of three that have it are enough
    leader.persist();
    expect(leader.node.commitIndex).toBe(3);
  });

  test('the old half has to agree to what came before the final configuration', () => {
    const leader = settledLeader({ voters: ['n1', 'n2', 'n3', 'n4'] });
    leader.propose('x');
    ask(leader, { voters: ['n1', 'n2', 'n3'] });
    // Of four it has two, of three two: the old half must agree first.
    commit(leader, 'n2');
    expect(leader.node.commitIndex).toBe(1);
    acknowledge(leader, 'n4');
    expect(leader.node.commitIndex).toBe(3);
    commit(leader, 'n3');
    expect([leader.node.commitIndex, membersOf(leader)]).toEqual([
      4,
      { index: 4, voters: ['n1', 'n2', 'n3'] },
    ]);
  });

  test('several members are replaced in one change', () => {
    const leader = settledLeader(FIVE);
    ask(leader, { voters: ['n1', 'n4', 'n5'], learners: [] });
    commit(leader, 'n2', 'n3', 'n4', 'n5');
    commit(leader, 'n4', 'n5');
    expect(membersOf(leader)).toEqual({ index: 3, voters: ['n1', 'n4', 'n5'] });
    expect(leader.node.commitIndex).toBe(3);
  });

  test('a voter that becomes a learner votes until the joint configuration is left', () => {
    const leader = settledLeader();
    ask(leader, { voters: ['n1', 'n2'], learners: ['n3'] });
    expect(membersOf(leader)).toMatchObject({
      votersOutgoing: ['n1', 'n2', 'n3'],
      learnersNext: ['n3'],
    });
    commit(leader, 'n2', 'n3');
    expect(membersOf(leader)).toEqual({ index: 3, voters: ['n1', 'n2'], learners: ['n3'] });
  });

  test('a single voter grows to two, and two shrink to one', () => {
    const leader = settledLeader({ voters: ['n1'], learners: ['n2'] });
    ask(leader, { voters: ['n1', 'n2'], learners: [] });
    leader.persist();
    expect(leader.node.commitIndex).toBe(1);
    acknowledge(leader, 'n2');
    commit(leader, 'n2');
    expect([leader.node.commitIndex, membersOf(leader)]).toEqual([
      3,
      { index: 3, voters: ['n1', 'n2'] },
    ]);
    ask(leader, { voters: ['n1'] });
    commit(leader, 'n2');
    leader.persist();
    expect([leader.node.commitIndex, membersOf(leader)]).toEqual([5, { index: 5, voters: ['n1'] }]);
  });
});

describe('a change that leaves the voters as they are', () => {
  test('is one entry, committed by the voters', () => {
    const leader = settledLeader();
    const ready = ask(leader, { learners: ['n4'] });
    expect(membersOf(leader)).toEqual({ index: 2, voters: ['n1', 'n2', 'n3'], learners: ['n4'] });
    expect(ofType(ready.messages, 'AppendEntries').map((m) => m.to)).toEqual(['n2', 'n3', 'n4']);
    commit(leader, 'n4');
    expect(leader.node.commitIndex).toBe(1);
    acknowledge(leader, 'n2');
    expect(leader.node.commitIndex).toBe(2);
  });

  test('may be one of the places of the members only', () => {
    const leader = settledLeader();
    ask(leader, { addresses: [{ member: 'n2', address: 'b:2' }] });
    expect(membersOf(leader)).toMatchObject({ index: 2, addresses: [{ address: 'b:2' }] });
  });

  test('is accepted with the present place, and not appended, when it is so already', () => {
    const leader = settledLeader(FOUR);
    ask(leader, { learners: [] });
    commit(leader, 'n2');
    const ready = ask(leader, { voters: ['n3', 'n2', 'n1'] });
    expect(ready.write).toBeNull();
    expect(ready.configurationChanges).toEqual([
      { id: 7, accepted: true, position: { index: 2, term: 1 } },
    ]);
  });

  test('so it is with the one that the cluster was formed with', () => {
    expect(answerTo(settledLeader(), {})).toMatchObject({ position: { index: 0, term: 0 } });
  });
});

describe('whom the leader sends the log to follows the configuration', () => {
  test('a new member gets heartbeats, and what it lacks', () => {
    const leader = settledLeader();
    ask(leader, { learners: ['n4'] });
    const heartbeats = ofType(leader.tick().messages, 'Heartbeat').map((m) => m.to);
    expect(heartbeats).toEqual(['n2', 'n3', 'n4']);
    expect(leader.node.progress.map((p) => p.member)).toEqual(['n2', 'n3', 'n4']);
  });

  test('one that is removed goes on for an election timeout, to learn that it is, then no more', () => {
    const leader = settledLeader();
    ask(leader, { voters: ['n1', 'n2'] });
    commit(leader, 'n2', 'n3');
    expect(membersOf(leader)).toEqual({ index: 3, voters: ['n1', 'n2'] });
    expect(leader.node.progress.map((p) => p.member)).toEqual(['n2']);
    acknowledge(leader, 'n3');
    const told = commit(leader, 'n2');
    expect(leader.node.commitIndex).toBe(3);
    const toRemoved = ofType(told.messages, 'AppendEntries').filter((m) => m.to === 'n3');
    expect(toRemoved).toMatchObject([{ leaderCommit: 3 }]);
    for (let i = 0; i < ELECTION_TICKS; i += 1) {
      leader.tick();
      acknowledge(leader, 'n2');
    }
    leader.propose('x');
    expect(leader.tick().messages.map((m) => m.to)).not.toContain('n3');
  });

  test('answers of who is removed, or of a stranger, do not count', () => {
    const leader = settledLeader({ voters: ['n1', 'n2', 'n3', 'n4'] });
    ask(leader, { voters: ['n1', 'n2', 'n3'] });
    commit(leader, 'n2', 'n4');
    leader.propose('x');
    commit(leader, 'n4', 'n9');
    expect(leader.node.commitIndex).toBe(2);
    acknowledge(leader, 'n2');
    expect(leader.node.commitIndex).toBe(4);
  });
});

describe('a change is refused', () => {
  function reasonOf(leader: Member, fields: Partial<ConfigurationChange>): string {
    const answer = answerTo(leader, fields);
    if (answer === undefined || answer.accepted) return 'accepted';
    expect(answer.message.length).toBeGreaterThan(10);
    expect(answer.leader).toBe(leader.node.leader);
    return answer.reason;
  }

  test('by who does not lead', () => {
    const member = new Member();
    expect(reasonOf(member, { voters: ['n1', 'n2'] })).toBe('not-leader');
  });

  test('before the leader has committed an entry of its own term (Ongaro, 2015)', () => {
    const leader = leaderOf();
    expect(reasonOf(leader, { learners: ['n4'] })).toBe('new-leader');
    acknowledge(leader, 'n2');
    expect(reasonOf(leader, { learners: ['n4'] })).toBe('accepted');
  });

  test('when another configuration is in effect than the one it was made for', () => {
    const leader = settledLeader();
    expect(reasonOf(leader, { expectedIndex: 3, learners: ['n4'] })).toBe('conflict');
    ask(leader, { learners: ['n4'] });
    commit(leader, 'n2', 'n4');
    expect(reasonOf(leader, { expectedIndex: 0, learners: ['n5'] })).toBe('conflict');
  });

  test('while one before it is not committed', () => {
    const leader = settledLeader();
    ask(leader, { learners: ['n4'] });
    expect(reasonOf(leader, { learners: ['n5'] })).toBe('pending');
    commit(leader, 'n2');
    expect(reasonOf(leader, { learners: ['n5'] })).toBe('accepted');
  });

  test('while a joint one, or the final one after it, is not committed', () => {
    const leader = settledLeader();
    ask(leader, { voters: ['n1', 'n2'] });
    expect(reasonOf(leader, { learners: ['n5'] })).toBe('pending');
    commit(leader, 'n2');
    expect(leader.node.configuration.index).toBe(3);
    expect(reasonOf(leader, { learners: ['n5'] })).toBe('pending');
    commit(leader, 'n2');
    expect(reasonOf(leader, { learners: ['n5'] })).toBe('accepted');
  });

  test('at a new leader whose log ends with one that may not be committed', () => {
    const leader = new Member({ log: [1, 1], configurations: { 2: { voters: ['n1', 'n2'] } } });
    elect(leader, ['n2']);
    expect(reasonOf(leader, { learners: ['n5'] })).toBe('new-leader');
    acknowledge(leader, 'n2');
    expect(reasonOf(leader, { learners: ['n5'] })).toBe('accepted');
  });

  test('when it contradicts itself', () => {
    expect(reasonOf(settledLeader(), { voters: [] })).toBe('invalid');
  });

  test('when a voter that it adds is no learner, or lacks the log', () => {
    const leader = settledLeader(FOUR);
    expect(reasonOf(leader, { voters: ['n1', 'n2', 'n3', 'n9'] })).toBe('not-caught-up');
    const voters = ['n1', 'n2', 'n3', 'n4'];
    const behind = leaderOf(FOUR);
    acknowledge(behind, 'n2', 'n3');
    expect(reasonOf(behind, { voters, learners: [] })).toBe('not-caught-up');
    acknowledge(behind, 'n4');
    expect(reasonOf(behind, { voters, learners: [] })).toBe('accepted');
  });

  test('when a quorum of the voters that it asks for is not heard from', () => {
    const leader = settledLeader();
    // n3 is silent; n2 and the leader are a quorum of three, not without n2.
    for (let i = 0; i < ELECTION_TICKS; i += 1) {
      leader.tick();
      leader.receive(heartbeatReply({ from: 'n2', term: 1 }));
    }
    expect(reasonOf(leader, { voters: ['n1', 'n3'] })).toBe('quorum-at-risk');
    expect(reasonOf(leader, { voters: ['n1', 'n2'] })).toBe('accepted');
  });

  test('when a new leader has yet to hear from them: it is to be asked again, not to be mended', () => {
    const leader = new Member();
    elect(leader, ['n2']);
    acknowledge(leader, 'n2');
    expect(reasonOf(leader, { voters: ['n1', 'n3'] })).toBe('new-leader');
    acknowledge(leader, 'n3');
    expect(reasonOf(leader, { voters: ['n1', 'n3'] })).toBe('accepted');
  });
});

describe('a new leader', () => {
  const JOINT = { voters: ['n1', 'n2', 'n4'], votersOutgoing: ['n1', 'n2', 'n3'] };

  test('that finds a committed joint configuration leaves it, after an entry of its own term', () => {
    const leader = new Member({ log: [1, 1], configurations: { 2: JOINT }, commitIndex: 2 });
    elect(leader, ['n2']);
    expect(leader.node.configuration.index).toBe(2);
    acknowledge(leader, 'n2');
    expect(membersOf(leader)).toEqual({ index: 4, voters: JOINT.voters });
  });

  test('that finds one that is not committed commits it with its noop, by both halves', () => {
    const leader = new Member({ log: [1, 1], configurations: { 2: { ...JOINT, voters: ['n4'] } } });
    elect(leader, ['n2', 'n4']);
    acknowledge(leader, 'n2', 'n3');
    expect(leader.node.commitIndex).toBe(0);
    acknowledge(leader, 'n4');
    expect(leader.node.commitIndex).toBe(3);
    expect(membersOf(leader)).toEqual({ index: 4, voters: ['n4'] });
  });

  test('leaves it once, however many steps it takes', () => {
    const leader = new Member({ log: [1, 1], configurations: { 2: JOINT }, commitIndex: 2 });
    elect(leader, ['n2']);
    acknowledge(leader, 'n2');
    for (let i = 0; i < 5; i += 1) {
      leader.tick();
      acknowledge(leader, 'n3');
    }
    expect(leader.node.lastIndex).toBe(4);
  });
});

describe('a leader that loses its vote', () => {
  test('hands leadership over first, and says so', () => {
    const leader = settledLeader();
    const ready = ask(leader, { voters: ['n2', 'n3'] });
    expect(ready.configurationChanges).toMatchObject([{ accepted: false, reason: 'transferring' }]);
    expect(ofType(ready.messages, 'TimeoutNow').map((m) => m.to)).toEqual(['n2']);
    expect(leader.node.configuration.index).toBe(0);
    expect(answerTo(leader, { voters: ['n2', 'n3'] })).toMatchObject({ reason: 'transferring' });
  });

  test('so does one that is to become a learner', () => {
    const leader = settledLeader();
    const ready = ask(leader, { voters: ['n2', 'n3'], learners: ['n1'] });
    expect(ready.configurationChanges).toMatchObject([{ reason: 'transferring' }]);
  });

  /** All voters are replaced at once: nobody who votes now could lead afterwards. */
  function replaced(): Member {
    const leader = settledLeader({ voters: ['n1'], learners: ['n4', 'n5', 'n6'] });
    ask(leader, { voters: ['n4', 'n5', 'n6'], learners: [] });
    commit(leader, 'n4', 'n5');
    expect(membersOf(leader)).toEqual({ index: 3, voters: ['n4', 'n5', 'n6'] });
    leader.persist();
    return leader;
  }

  test('when nobody can lead in its place, it leads on, and does not count itself', () => {
    const leader = replaced();
    expect(leader.node.role).toBe('leader');
    acknowledge(leader, 'n4');
    expect([leader.node.role, leader.node.commitIndex]).toEqual(['leader', 2]);
    // Of two it needs both, although with itself it would have two of three.
    const other = settledLeader({ voters: ['n1'], learners: ['n4', 'n5'] });
    ask(other, { voters: ['n4', 'n5'], learners: [] });
    commit(other, 'n4', 'n5');
    commit(other, 'n4');
    expect([other.node.role, other.node.commitIndex]).toEqual(['leader', 2]);
    acknowledge(other, 'n5');
    expect([other.node.role, other.node.commitIndex]).toEqual(['follower', 3]);
  });

  test('it steps down when the configuration without it is committed, and says that it is', () => {
    const leader = replaced();
    acknowledge(leader, 'n4');
    const ready = acknowledge(leader, 'n5');
    expect([leader.node.role, leader.node.commitIndex]).toEqual(['follower', 3]);
    expect(ready.events).toMatchObject([
      { type: 'configuration', committed: true },
      { type: 'removed' },
      { type: 'transfer', phase: 'timeout-now', target: 'n4' },
      { type: 'role', role: 'follower', reason: 'removed' },
    ]);
    expect(ofType(ready.messages, 'Heartbeat')).toMatchObject([
      { to: 'n4', commit: 3 },
      { to: 'n5', commit: 3 },
      { to: 'n6', commit: 1 },
    ]);
    expect(ofType(ready.messages, 'TimeoutNow').map((m) => m.to)).toEqual(['n4']);
  });

  test('it takes no command in the step in which it leaves', () => {
    const leader = replaced();
    acknowledge(leader, 'n4');
    const { term, lastIndex: matchIndex } = leader.node;
    const ready = leader.step(
      {
        type: 'message',
        message: {
          type: 'AppendEntriesReply',
          from: 'n5',
          to: 'n1',
          term,
          result: { success: true, matchIndex },
        },
      },
      { type: 'propose', id: 1, payload: Buffer.from('x') },
    );
    expect(ready.proposals).toMatchObject([{ accepted: false, reason: 'not-leader' }]);
  });

  test('afterwards it sends no heartbeats, and starts no election', () => {
    const leader = replaced();
    acknowledge(leader, 'n4', 'n5');
    const ready = leader.tick(10 * ELECTION_TICKS);
    expect([ready.messages, ready.messagesAfterPersist]).toEqual([[], []]);
  });

  test('it does not hear itself: without a quorum of the others it steps down', () => {
    const leader = replaced();
    leader.tick(2 * ELECTION_TICKS);
    expect([leader.node.role, leader.node.commitIndex]).toEqual(['follower', 2]);
  });
});

describe('a server that is not in the configuration', () => {
  test('is followed and voted for like any other (paper §6)', () => {
    const member = new Member({ id: 'n4', voters: [] });
    const stranger = { from: 'n7', to: 'n4', term: 3 };
    expect(member.receive(append(stranger)).messagesAfterPersist).toMatchObject([
      { type: 'AppendEntriesReply', result: { success: true } },
    ]);
    expect(member.node.leader).toBe('n7');
    const voter = new Member({ log: [1] });
    const request = voteRequest({ from: 'n7', term: 3, lastLog: { index: 1, term: 1 } });
    expect(voter.answersTo(request)).toMatchObject([{ to: 'n7', term: 3, granted: true }]);
  });

  test('gives votes that do not count', () => {
    const member = new Member();
    member.step({ type: 'campaign' });
    member.receive(voteReply({ from: 'n9', term: 1, preVote: true }));
    expect(member.node.role).toBe('pre-candidate');
  });
});
