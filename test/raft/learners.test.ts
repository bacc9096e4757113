import { describe, expect, test } from 'vitest';
import { acknowledge, ask, commit, membersOf, settledLeader } from './membership-fixture.js';
import {
  append,
  appended,
  configurationEntry,
  ELECTION_TICKS,
  heartbeat,
  heartbeatReply,
  leaderOf,
  Member,
  ofType,
  voteRequest,
} from './node-fixture.js';

const TO_VOTE = { learners: ['n4'], promotions: [{ member: 'n4', replaces: null }] };

/** Time passes: n2 and n3 have all, and `alive` say that they live. */
function pass(leader: Member, ticks: number, ...alive: string[]): void {
  for (let i = 0; i < ticks; i += 1) {
    leader.tick();
    leader.persist();
    acknowledge(leader, 'n2', 'n3');
    const { term } = leader.node;
    for (const from of alive) leader.receive(heartbeatReply({ from, term }));
  }
}

describe('a learner (thesis §4.2.1)', () => {
  test('receives the log and commits nothing', () => {
    const leader = settledLeader({ learners: ['n4', 'n5'] });
    const ready = leader.propose('x');
    expect(ofType(ready.messages, 'AppendEntries').map((m) => m.to)).toContain('n4');
    commit(leader, 'n4', 'n5');
    expect(leader.node.commitIndex).toBe(1);
  });

  test('never campaigns, not even on TimeoutNow', () => {
    const member = new Member({ voters: ['n2', 'n3'], learners: ['n1'], term: 1 });
    member.receive(heartbeat({ term: 1 }));
    const ready = member.receive({ type: 'TimeoutNow', from: 'n2', to: 'n1', term: 1 });
    expect([ready.messages, ready.messagesAfterPersist, ready.write]).toEqual([[], [], null]);
    member.tick(10 * ELECTION_TICKS);
    expect([member.node.role, member.node.term]).toEqual(['follower', 1]);
  });

  test('votes when it is asked: it may not know yet that it is a voter', () => {
    const member = new Member({ voters: ['n2', 'n3'], learners: ['n1'] });
    for (const preVote of [true, false]) {
      const answers = member.answersTo(voteRequest({ term: 1, preVote }));
      expect(answers).toMatchObject([{ type: 'RequestVoteReply', granted: true }]);
    }
  });

  test('campaigns as soon as a configuration in its log makes it a voter', () => {
    const member = new Member({ voters: ['n2', 'n3'], learners: ['n1'] });
    const voters = ['n1', 'n2', 'n3'];
    const joint = { voters, votersOutgoing: ['n2', 'n3'] };
    member.receive(append({ term: 1, entries: [configurationEntry(1, 1, joint)] }));
    member.persist();
    member.tick(2 * ELECTION_TICKS);
    expect(member.node.role).toBe('pre-candidate');
  });

  test('forwards reads to the leader like any follower', () => {
    const member = new Member({ voters: ['n2', 'n3'], learners: ['n1'] });
    member.receive(heartbeat({ term: 1 }));
    member.persist();
    expect(ofType(member.read(5).messages, 'ReadIndex')).toMatchObject([{ to: 'n2' }]);
  });
});

describe('a learner that is to vote is promoted by the leader', () => {
  test('as soon as it has caught up, through a joint configuration', () => {
    const leader = settledLeader();
    ask(leader, TO_VOTE);
    commit(leader, 'n2');
    expect(membersOf(leader)).toMatchObject({ index: 2, learners: ['n4'] });
    acknowledge(leader, 'n4');
    expect(membersOf(leader)).toEqual({
      index: 3,
      voters: ['n1', 'n2', 'n3', 'n4'],
      votersOutgoing: ['n1', 'n2', 'n3'],
    });
    commit(leader, 'n2', 'n4', 'n3');
    expect(membersOf(leader)).toEqual({ index: 4, voters: ['n1', 'n2', 'n3', 'n4'] });
  });

  test('not before the configuration that says so is committed', () => {
    const leader = settledLeader();
    ask(leader, TO_VOTE);
    acknowledge(leader, 'n4');
    acknowledge(leader, 'n4');
    expect(leader.node.configuration.index).toBe(2);
  });

  test('not while a round of replication takes an election timeout or longer', () => {
    const leader = settledLeader();
    ask(leader, TO_VOTE);
    commit(leader, 'n2');
    const target = leader.node.lastIndex;
    for (let i = 0; i < 3; i += 1) {
      leader.propose('x');
      pass(leader, ELECTION_TICKS, 'n4');
    }
    // It has now what the log held when the round began: too late. The next round has begun.
    leader.receive(appended({ from: 'n4', term: 1, matchIndex: target }));
    expect(leader.node.configuration.index).toBe(2);
    acknowledge(leader, 'n4');
    expect(membersOf(leader)).toMatchObject({ voters: ['n1', 'n2', 'n3', 'n4'] });
  });

  test('not a learner of which nothing is said', () => {
    const leader = settledLeader();
    ask(leader, { learners: ['n4'] });
    commit(leader, 'n2', 'n4');
    acknowledge(leader, 'n4');
    expect(membersOf(leader)).toMatchObject({ index: 2, learners: ['n4'] });
  });

  test('in the place of the voter that it replaces, in one change', () => {
    const leader = settledLeader();
    ask(leader, { learners: ['n4'], promotions: [{ member: 'n4', replaces: 'n3' }] });
    commit(leader, 'n2');
    acknowledge(leader, 'n4');
    expect(membersOf(leader)).toMatchObject({
      voters: ['n1', 'n2', 'n4'],
      votersOutgoing: ['n1', 'n2', 'n3'],
    });
  });

  const BOTH = {
    learners: ['n4', 'n5'],
    promotions: [
      { member: 'n4', replaces: 'n2' },
      { member: 'n5', replaces: 'n3' },
    ],
  };

  test('all that have caught up together; one waits for another that is alive', () => {
    const leader = settledLeader();
    ask(leader, BOTH);
    commit(leader, 'n2');
    leader.receive(heartbeatReply({ from: 'n5', term: 1 }));
    acknowledge(leader, 'n4');
    expect(leader.node.configuration.index).toBe(2);
    acknowledge(leader, 'n5');
    expect(membersOf(leader)).toMatchObject({ index: 3, voters: ['n1', 'n4', 'n5'] });
  });

  test('it does not wait for one that is silent', () => {
    const leader = settledLeader();
    ask(leader, BOTH);
    commit(leader, 'n2');
    acknowledge(leader, 'n4');
    expect(membersOf(leader)).toMatchObject({
      index: 3,
      voters: ['n1', 'n3', 'n4'],
      learners: ['n5'],
      promotions: [{ member: 'n5', replaces: 'n3' }],
    });
  });

  test('nor for ever for one that lives and does not catch up', () => {
    const leader = settledLeader();
    ask(leader, BOTH);
    commit(leader, 'n2');
    for (let i = 0; i < 23; i += 1) {
      pass(leader, ELECTION_TICKS, 'n4', 'n5');
      acknowledge(leader, 'n4');
    }
    expect(membersOf(leader)).toMatchObject({ learners: ['n5'] });
  });

  test('held back while a quorum of the new voters would not be heard from', () => {
    const leader = settledLeader({ voters: ['n1', 'n2', 'n3', 'n4'] });
    ask(leader, { learners: ['n5'], promotions: [{ member: 'n5', replaces: 'n2' }] });
    commit(leader, 'n2', 'n3');
    // n4 falls silent, and n3: of n1 n3 n4 n5 only two would be left.
    for (let i = 0; i < ELECTION_TICKS; i += 1) {
      leader.tick();
      leader.receive(heartbeatReply({ from: 'n2', term: 1 }));
      if (i < 5) leader.receive(heartbeatReply({ from: 'n3', term: 1 }));
    }
    leader.tick(5);
    leader.receive(heartbeatReply({ from: 'n2', term: 1 }));
    acknowledge(leader, 'n5');
    acknowledge(leader, 'n5');
    expect(membersOf(leader)).toMatchObject({ index: 2, learners: ['n5'] });
    acknowledge(leader, 'n3');
    expect(membersOf(leader)).toMatchObject({ voters: ['n1', 'n3', 'n4', 'n5'] });
  });

  test('by a new leader as well', () => {
    const leader = leaderOf({
      log: [1],
      configurations: { 1: { voters: ['n1', 'n2', 'n3'], ...TO_VOTE } },
    });
    acknowledge(leader, 'n2');
    acknowledge(leader, 'n4');
    expect(membersOf(leader)).toMatchObject({ index: 3, voters: ['n1', 'n2', 'n3', 'n4'] });
  });

  test('when it replaces the leader, that hands leadership over first', () => {
    const leader = settledLeader();
    ask(leader, { learners: ['n4'], promotions: [{ member: 'n4', replaces: 'n1' }] });
    commit(leader, 'n2', 'n3');
    // It has to have led for an election timeout before it does so by itself.
    pass(leader, ELECTION_TICKS);
    acknowledge(leader, 'n4');
    const ready = acknowledge(leader, 'n4');
    expect(ofType(ready.messages, 'TimeoutNow').map((m) => m.to)).toEqual(['n2']);
    expect(leader.node.configuration.index).toBe(2);
  });

  test('a learner that the leader is asked to promote at once must have the log', () => {
    const voters = ['n1', 'n2', 'n3', 'n4'];
    const lacking = leaderOf({ learners: ['n4'] });
    acknowledge(lacking, 'n2', 'n3');
    const refused = ask(lacking, { voters, learners: [] });
    expect(refused.configurationChanges).toMatchObject([
      { accepted: false, reason: 'not-caught-up' },
    ]);
    const leader = settledLeader({ learners: ['n4'] });
    const ready = ask(leader, { voters, learners: [] });
    expect(ready.configurationChanges).toMatchObject([{ accepted: true }]);
  });
});
