import { describe, expect, test } from 'vitest';
import {
  append,
  appended,
  ELECTION_TICKS,
  heartbeat,
  heartbeatReply,
  leaderOf,
  Member,
  type MemberSetup,
  ofType,
  voteReply,
  voteRequest,
} from './node-fixture.js';

const FIVE = ['n1', 'n2', 'n3', 'n4', 'n5'];

function ticksUntilCampaign(member: Member): number {
  for (let ticks = 1; ticks < 100; ticks += 1) {
    member.tick();
    if (member.node.role !== 'follower') return ticks;
  }
  return Number.POSITIVE_INFINITY;
}

describe('pre-vote (thesis §9.6)', () => {
  test('a campaign begins with a question that changes neither term nor vote', () => {
    const member = new Member({ term: 4, votedFor: 'n3' });
    const ready = member.step({ type: 'campaign' });
    expect(ofType(ready.messages, 'RequestVote')).toMatchObject([
      { to: 'n2', preVote: true, term: 5 },
      { to: 'n3', preVote: true, term: 5 },
    ]);
    expect([member.node.role, member.node.term, member.node.votedFor, ready.write]).toEqual([
      'pre-candidate',
      4,
      'n3',
      null,
    ]);
  });

  test('who is asked changes neither term nor vote nor timer, and answers at once', () => {
    const member = new Member({ term: 4, votedFor: 'n3' });
    member.tick(ELECTION_TICKS - 1);
    const ready = member.receive(voteRequest({ term: 5, preVote: true }));
    expect(ready.messages).toMatchObject([{ granted: true, preVote: true, term: 5 }]);
    expect([member.node.term, member.node.votedFor, ready.write]).toEqual([4, 'n3', null]);
    for (let seed = 1; seed <= 10; seed += 1) {
      const [asked, unasked] = [1, 2].map(() => new Member({ term: 4, seed }));
      asked?.tick(ELECTION_TICKS - 1);
      unasked?.tick(ELECTION_TICKS - 1);
      asked?.receive(voteRequest({ term: 5, preVote: true }));
      expect(asked && ticksUntilCampaign(asked)).toBe(unasked && ticksUntilCampaign(unasked));
    }
  });

  test('pre-votes may be granted to several candidates of one term', () => {
    const member = new Member({ term: 4 });
    for (const from of ['n2', 'n3']) {
      const ready = member.receive(voteRequest({ from, term: 5, preVote: true }));
      expect(ready.messages).toMatchObject([{ granted: true }]);
    }
  });

  test('a majority of pre-votes begins the real election', () => {
    const member = new Member({ voters: FIVE });
    member.step({ type: 'campaign' });
    member.receive(voteReply({ from: 'n2', term: 1, preVote: true }));
    expect(member.node.role).toBe('pre-candidate');
    member.receive(voteReply({ from: 'n3', term: 1, preVote: true }));
    expect([member.node.role, member.node.term, member.node.votedFor]).toEqual([
      'candidate',
      1,
      'n1',
    ]);
  });

  test('pre-votes do not count as votes', () => {
    const member = new Member({ voters: FIVE });
    member.step({ type: 'campaign' });
    for (const from of FIVE.slice(1)) member.receive(voteReply({ from, term: 1, preVote: true }));
    member.persist();
    for (const from of FIVE.slice(1)) member.receive(voteReply({ from, term: 1, preVote: true }));
    expect(member.node.role).toBe('candidate');
  });

  test('a pre-vote for an earlier term does not count', () => {
    const member = new Member({ term: 3 });
    member.step({ type: 'campaign' });
    member.receive(voteReply({ term: 3, preVote: true }));
    expect(member.node.role).toBe('pre-candidate');
  });

  test('a majority of refusals ends it without a new term', () => {
    const member = new Member({ term: 2 });
    member.step({ type: 'campaign' });
    for (const from of ['n2', 'n3']) {
      member.receive(voteReply({ from, term: 2, preVote: true, granted: false }));
    }
    expect([member.node.role, member.node.term]).toEqual(['follower', 2]);
  });

  test('a refusal from a newer term takes the pre-candidate into that term', () => {
    const member = new Member({ term: 2 });
    member.step({ type: 'campaign' });
    member.receive(voteReply({ term: 6, preVote: true, granted: false }));
    expect([member.node.role, member.node.term]).toEqual(['follower', 6]);
  });

  test('a pre-candidate returns to the leader of its term', () => {
    const member = new Member({ term: 2 });
    member.step({ type: 'campaign' });
    member.receive(heartbeat({ term: 2 }));
    expect([member.node.role, member.node.leader]).toEqual(['follower', 'n2']);
  });

  test('one with the longer log and the lower term is told the term, so that it can win', () => {
    // Given A: short log, term 7; and B: long log, term 5, which asks A
    const a = new Member({ id: 'n1', term: 7, log: [1] });
    const b = new Member({ id: 'n2', term: 5, log: [1, 5] });
    const [question] = ofType(b.step({ type: 'campaign' }).messages, 'RequestVote');
    // When A refuses, and B asks again
    for (const answer of a.answersTo(question ?? append({ term: 0 }))) b.receive(answer);
    b.persist();
    expect(b.node.term).toBe(7);
    const [again] = ofType(b.step({ type: 'campaign' }).messages, 'RequestVote');
    // Then A grants
    expect(a.answersTo(again ?? append({ term: 0 }))).toMatchObject([{ granted: true }]);
  });
});

describe('leader stickiness (thesis §4.2.3, §9.6)', () => {
  for (const preVote of [true, false]) {
    const request = voteRequest({ from: 'n3', term: 9, preVote });
    const what = preVote ? 'a pre-vote' : 'a vote';

    test(`a follower that hears a leader ignores who asks for ${what}`, () => {
      const member = new Member({ term: 1 });
      member.receive(heartbeat({ term: 1 }));
      member.tick(ELECTION_TICKS - 1);
      expect(member.answersTo(request)).toEqual([]);
      expect([member.node.term, member.node.leader]).toEqual([1, 'n2']);
    });

    test(`a leader that hears a quorum ignores who asks for ${what}`, () => {
      const member = leaderOf();
      for (let i = 0; i < 3 * ELECTION_TICKS; i += 1) {
        member.tick();
        member.receive(heartbeatReply({ term: 1 }));
      }
      expect(member.answersTo(request)).toEqual([]);
      expect([member.node.role, member.node.term]).toEqual(['leader', 1]);
    });

    test(`a follower whose leader is silent for the minimum timeout answers who asks for ${what}`, () => {
      const member = new Member({ term: 1, seed: 5 });
      member.receive(heartbeat({ term: 1 }));
      member.tick(ELECTION_TICKS);
      expect(member.answersTo(request)).toMatchObject([{ granted: true }]);
    });
  }

  test('a member that was away cannot unseat a leader by its higher term', () => {
    const member = new Member({ term: 1 });
    member.receive(heartbeat({ term: 1 }));
    member.receive(voteRequest({ from: 'n3', term: 30, lastLog: { index: 99, term: 9 } }));
    expect([member.node.term, member.node.leader]).toEqual([1, 'n2']);
  });
});

describe('check-quorum (thesis §6.2)', () => {
  test('a leader that hears no quorum for an election timeout steps down', () => {
    const member = leaderOf({ voters: FIVE });
    member.tick(ELECTION_TICKS - 1);
    member.receive(heartbeatReply({ from: 'n2', term: 1 }));
    expect(member.node.role).toBe('leader');
    const ready = member.tick();
    expect(ready.events).toEqual([
      { type: 'role', role: 'follower', term: 1, leader: null, reason: 'check-quorum' },
    ]);
    expect(ready.messages).toEqual([]);
  });

  test('a leader that hears a quorum goes on, whatever the answers say', () => {
    const member = leaderOf({ voters: FIVE });
    for (let i = 0; i < 5; i += 1) {
      member.tick(ELECTION_TICKS - 1);
      member.receive(
        heartbeatReply({ from: 'n2', term: 1 }),
        appended({ from: 'n3', term: 1, matchIndex: 0 }),
      );
      member.tick();
    }
    expect(member.node.role).toBe('leader');
    expect(member.node.progress.map((p) => p.recentActive)).toEqual([true, true, false, false]);
  });

  test('signs of life from before the last check do not count', () => {
    const member = leaderOf();
    member.tick(1);
    member.receive(heartbeatReply({ term: 1 }));
    member.tick(ELECTION_TICKS - 1);
    expect(member.node.role).toBe('leader');
    member.tick(ELECTION_TICKS);
    expect(member.node.role).toBe('follower');
  });

  test('the only voter, and a leader with learners, need no answer', () => {
    const member = leaderOf({ voters: ['n1'], learners: ['n9'] });
    member.tick(10 * ELECTION_TICKS);
    expect(member.node.role).toBe('leader');
  });

  test('learners do not count', () => {
    const member = leaderOf({ learners: ['n8', 'n9'] });
    member.tick(ELECTION_TICKS - 1);
    for (const from of ['n8', 'n9']) member.receive(heartbeatReply({ from, term: 1 }));
    member.tick();
    expect(member.node.role).toBe('follower');
  });
});

describe('a broken connection to the leader', () => {
  function followerOf(leader: string, seed: number, setup: MemberSetup = {}): Member {
    const member = new Member({ term: 1, seed, electionTicks: 40, ...setup });
    member.receive(heartbeat({ term: 1, from: leader, to: setup.id ?? 'n1' }));
    return member;
  }

  /** How long each of the followers waits that lose this leader, in ticks. */
  function waits(leader: string, voters: readonly string[], electionTicks = 8): number[] {
    const followers = voters.filter((id) => id !== leader);
    return followers.map((id) => {
      const member = new Member({ id, term: 1, voters, electionTicks });
      member.receive(heartbeat({ term: 1, from: leader, to: id }));
      member.tick(1);
      expect(member.node.leader).toBe(leader);
      member.step({ type: 'disconnected', member: leader });
      expect(member.node.leader).toBeNull();
      return ticksUntilCampaign(member);
    });
  }

  test('each follower forgets the leader and asks the others in a tick of its own, going round from the leader on', () => {
    expect(waits('n1', FIVE)).toEqual([1, 2, 3, 4]);
    expect(waits('n3', FIVE)).toEqual([3, 4, 1, 2]);
    expect(waits('n5', FIVE)).toEqual([1, 2, 3, 4]);
  });

  test('where ticks are short, in some ticks of its own: an election has to be over in them', () => {
    expect(waits('n1', FIVE, 40)).toEqual([1, 6, 11, 16]);
  });

  test('of many, some share a tick: none waits for more than about half of a timeout', () => {
    expect(waits('n1', FIVE, 6)).toEqual([1, 2, 3, 1]);
    expect(waits('n1', FIVE, 3)).toEqual([1, 2, 1, 2]);
  });

  test('who is refused because the others have not noticed yet asks again soon, for one election timeout', () => {
    const member = followerOf('n2', 1, { id: 'n3', electionTicks: ELECTION_TICKS });
    member.step({ type: 'disconnected', member: 'n2' });
    const asked: number[] = [];
    for (let tick = 1; tick <= 30; tick += 1) {
      const { messages } = member.tick();
      if (ofType(messages, 'RequestVote').length > 0) asked.push(tick);
      expect(member.node.role).toBe(asked.length === 0 ? 'follower' : 'pre-candidate');
      if (asked.at(-1) === tick) {
        member.receive(voteReply({ from: 'n1', term: 1, preVote: true, granted: false, to: 'n3' }));
      }
    }
    // Behind n2 it comes first. The last of these begins within ten ticks; from then on it waits as anyone does.
    const [last = 0, next = 30] = asked.slice(4);
    expect(asked.slice(0, 4)).toEqual([1, 4, 7, 10]);
    expect(last).toBeGreaterThanOrEqual(13);
    expect(next - last).toBeGreaterThanOrEqual(ELECTION_TICKS);
    expect(member.node.term).toBe(1);
  });

  test('so does who asks in vain when the leader has fallen silent: others may have heard it a little later', () => {
    const member = followerOf('n2', 1, { id: 'n3', electionTicks: ELECTION_TICKS });
    const asked: number[] = [];
    for (let tick = 1; tick <= 60; tick += 1) {
      const { messages } = member.tick();
      if (ofType(messages, 'RequestVote').length > 0) asked.push(tick);
    }
    const [first = 0, ...then] = asked.map((tick) => tick - (asked[0] ?? 0));
    expect([first, ...then.slice(0, 4)]).toEqual([0, 3, 6, 9, 12]);
    expect(asked[0]).toBeGreaterThanOrEqual(ELECTION_TICKS);
    expect(then[4]).toBeGreaterThanOrEqual(12 + ELECTION_TICKS);
  });

  test('it no longer ignores who asks for a vote', () => {
    const member = followerOf('n2', 1);
    member.step({ type: 'disconnected', member: 'n2' });
    const request = voteRequest({ from: 'n3', term: 2, preVote: true });
    expect(member.answersTo(request)).toMatchObject([{ granted: true }]);
  });

  test('a sign of life of the leader restores everything', () => {
    const member = followerOf('n2', 1);
    member.step({ type: 'disconnected', member: 'n2' });
    member.receive(heartbeat({ term: 1, from: 'n2' }));
    expect(member.node.leader).toBe('n2');
    expect(ticksUntilCampaign(member)).toBeGreaterThanOrEqual(40);
  });

  test('a connection that breaks again and again shortens the wait once', () => {
    const once = followerOf('n2', 3);
    const often = followerOf('n2', 3);
    once.step({ type: 'disconnected', member: 'n2' });
    for (let i = 0; i < 50; i += 1) often.step({ type: 'disconnected', member: 'n2' });
    expect(ticksUntilCampaign(often)).toBe(ticksUntilCampaign(once));
  });

  test('who lags gets no vote for all that', () => {
    for (const preVote of [true, false]) {
      const member = new Member({ log: [1, 1] });
      member.receive(heartbeat({ term: 1 }));
      member.step({ type: 'disconnected', member: 'n2' });
      const lastLog = { index: 1, term: 1 };
      const request = voteRequest({ from: 'n3', term: 2, lastLog, preVote });
      expect(member.answersTo(request)).toMatchObject([{ granted: false }]);
    }
  });

  test('a candidate and a leader have no leader to forget', () => {
    const candidate = new Member({ voters: FIVE });
    candidate.step({ type: 'campaign' });
    for (const preVote of [true, false]) {
      expect(candidate.step({ type: 'disconnected', member: 'n2' }).events).toEqual([]);
      expect(candidate.node.role).toBe(preVote ? 'pre-candidate' : 'candidate');
      for (const from of ['n2', 'n3']) candidate.receive(voteReply({ from, term: 1, preVote }));
      candidate.persist();
    }
    expect(candidate.node.role).toBe('leader');
    const ready = candidate.step({ type: 'disconnected', member: 'n2' });
    expect([ready.events, candidate.node.leader]).toEqual([[], 'n1']);
  });

  test('messages to the leader that are lost are no loss of the leader', () => {
    const [member, other] = [followerOf('n2', 1), followerOf('n2', 1)];
    const ready = member.step({ type: 'messages-lost', member: 'n2' });
    expect([ready.events, ready.messages, member.node.leader]).toEqual([[], [], 'n2']);
    const request = voteRequest({ from: 'n3', term: 2, preVote: true });
    expect(member.answersTo(request)).toEqual([]);
    expect(ticksUntilCampaign(member)).toBe(ticksUntilCampaign(other));
  });

  test('a connection to another follower does not matter', () => {
    const member = followerOf('n2', 1);
    member.step({ type: 'disconnected', member: 'n3' });
    expect(member.node.leader).toBe('n2');
    expect(ticksUntilCampaign(member)).toBeGreaterThanOrEqual(40);
  });
});
