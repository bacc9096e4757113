import { describe, expect, test } from 'vitest';
import type { MemberId, Message, Ready } from '../../src/raft/types.js';
import {
  append,
  appended,
  ELECTION_TICKS,
  elect,
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
const LEASE = { leaseMs: 100, leaseDriftMargin: 0.1 };

/** A leader of term 1 that has committed its noop at 0 ms, with leases of 100 ms. */
function leader(setup: MemberSetup = {}): Member {
  const member = new Member({ ...LEASE, ...setup });
  // What an earlier start of it may have promised is over.
  member.nowMs = -1000;
  member.tick();
  member.nowMs = 0;
  elect(member, (setup.voters ?? ['n1', 'n2', 'n3']).slice(1));
  for (const from of (setup.voters ?? ['n1', 'n2', 'n3']).slice(1)) {
    member.receive(appended({ from, term: member.node.term, matchIndex: member.node.lastIndex }));
  }
  expect(member.node.commitIndex).toBe(member.node.lastIndex);
  return member;
}

/** Sends heartbeats at `atMs`; says which round they are of. */
function beat(member: Member, atMs: number): number {
  member.nowMs = atMs;
  const [first] = ofType(member.tick().messages, 'Heartbeat');
  expect(first?.leaseMs).toBe(100);
  return first?.readRound ?? 0;
}

function grant(from: MemberId, readRound: number, term = 1): Message {
  return heartbeatReply({ from, term, readRound, leaseGranted: true });
}

function read(member: Member, atMs: number, id = 1): Ready {
  member.nowMs = atMs;
  return member.read(id);
}

function answered(ready: Ready): boolean {
  return ready.reads.some((r) => r.ok);
}

describe('the lease of a leader (thesis §6.4.1)', () => {
  test('a read under a lease is answered in the same step, without a round', () => {
    const member = leader();
    member.receive(grant('n2', beat(member, 10)));
    const ready = read(member, 20);
    expect(ready.reads).toEqual([{ id: 1, ok: true, index: 1 }]);
    expect(ready.messages).toEqual([]);
  });

  test('it counts from when the heartbeat was sent, less the margin, not from the answer', () => {
    const member = leader();
    const round = beat(member, 10);
    member.nowMs = 95;
    member.receive(grant('n2', round));
    expect(answered(read(member, 99.9))).toBe(true);
    const late = read(member, 100, 2);
    expect(answered(late)).toBe(false);
    expect(ofType(late.messages, 'Heartbeat')).toHaveLength(2);
  });

  test('it is over when the time of day says so: the other clock stands still while a machine is suspended', () => {
    const member = leader();
    member.receive(grant('n2', beat(member, 10)));
    member.wallAheadMs = 60_000;
    expect(answered(read(member, 20))).toBe(false);
    // From then on both go on together.
    member.receive(grant('n2', beat(member, 30)));
    expect(answered(read(member, 110, 2))).toBe(true);
    // What was too short to be noticed by itself counts all the same.
    member.wallAheadMs += 15;
    expect(answered(read(member, 110, 3))).toBe(false);
  });

  test('a time of day that is set back neither ends it nor makes it last longer', () => {
    const member = leader();
    member.receive(grant('n2', beat(member, 10)));
    member.wallAheadMs = -60_000;
    expect(answered(read(member, 99))).toBe(true);
    expect(answered(read(member, 100, 2))).toBe(false);
  });

  test('an answer to an earlier heartbeat counts from that one', () => {
    const member = leader();
    const first = beat(member, 10);
    const second = beat(member, 60);
    expect(second).toBeGreaterThan(first);
    member.receive(grant('n2', first));
    expect(answered(read(member, 101))).toBe(false);
    member.receive(grant('n3', second));
    expect(answered(read(member, 149))).toBe(true);
  });

  test('a read under way is answered when a lease comes, and so are those of other members', () => {
    const member = leader();
    const round = beat(member, 10);
    expect(answered(read(member, 11))).toBe(false);
    member.receive({ type: 'ReadIndex', from: 'n3', to: 'n1', term: 1, request: 7 });
    const ready = member.receive(grant('n2', round));
    expect(ready.reads).toEqual([{ id: 1, ok: true, index: 1 }]);
    expect(ofType(ready.messages, 'ReadIndexReply')).toMatchObject([{ to: 'n3', request: 7 }]);
  });

  test('it is at the commit index of now', () => {
    const member = leader();
    member.receive(grant('n2', beat(member, 10)));
    member.propose('a');
    member.persist();
    member.receive(appended({ term: 1, matchIndex: 2 }));
    expect(read(member, 20).reads).toMatchObject([{ index: 2 }]);
  });

  test('a quorum must have granted it', () => {
    const member = leader({ voters: FIVE });
    const round = beat(member, 10);
    member.receive(grant('n2', round), grant('n2', round));
    member.receive(heartbeatReply({ from: 'n3', term: 1, readRound: round }));
    member.nowMs = 20;
    expect(member.read(1).messages).not.toEqual([]);
    expect(answered(member.receive(grant('n4', round)))).toBe(true);
  });

  test('learners and strangers do not count, and neither does an old leadership', () => {
    const member = leader({ learners: ['n8'], term: 4, log: [4] });
    const round = beat(member, 10);
    member.receive(grant('n8', round, 5), grant('x', round, 5), grant('n2', round, 4));
    expect(answered(read(member, 20))).toBe(false);
  });

  test('there is none before an entry of the own term is committed', () => {
    const member = leaderOf(LEASE);
    member.receive(grant('n2', beat(member, 10)));
    expect(answered(read(member, 20))).toBe(false);
    const ready = member.receive(appended({ term: 1, matchIndex: 1 }));
    expect(ready.reads).toEqual([{ id: 1, ok: true, index: 1 }]);
  });

  test('after TimeoutNow there is none, for the rest of the term', () => {
    // Given a leader with a lease that hands leadership over
    const member = leader();
    const before = beat(member, 10);
    member.receive(grant('n2', before));
    const ready = member.step({ type: 'transfer', id: 1, target: 'n2' });
    expect(ofType(ready.messages, 'TimeoutNow')).toHaveLength(1);
    // When it reads, no lease answers
    expect(answered(read(member, 20))).toBe(false);
    // And though the target never takes over, it neither asks for leases, nor takes late grants for one
    for (let i = 0; i < 2 * ELECTION_TICKS; i += 1) {
      member.nowMs += 1;
      const beats = ofType(member.tick().messages, 'Heartbeat');
      expect(beats.map((m) => m.leaseMs)).toEqual([0, 0]);
      member.receive(grant('n2', beats[0]?.readRound ?? 0), grant('n3', before));
    }
    expect(member.node.role).toBe('leader');
    const late = read(member, member.nowMs + 1, 2);
    expect(answered(late)).toBe(false);
    const [round] = ofType(late.messages, 'Heartbeat');
    expect(answered(member.receive(grant('n3', round?.readRound ?? 0)))).toBe(true);
  });

  test('a leader that stepped down has none, and none when it leads again', () => {
    const member = leader();
    const round = beat(member, 10);
    member.receive(grant('n2', round), grant('n3', round));
    member.receive(heartbeat({ term: 2, from: 'n3' }));
    expect(answered(read(member, 20))).toBe(false);
    member.persist();
    elect(member, ['n2']);
    member.receive(appended({ term: 3, matchIndex: member.node.lastIndex }));
    expect(answered(read(member, 21, 2))).toBe(false);
    member.receive(grant('n2', round, 1));
    expect(answered(read(member, 22, 3))).toBe(false);
  });

  test('without the option none is asked for', () => {
    const member = leader({ leaseMs: 0 });
    const beats = ofType(member.tick().messages, 'Heartbeat');
    expect(beats.map((m) => m.leaseMs)).toEqual([0, 0]);
    member.receive(grant('n2', beats[0]?.readRound ?? 0));
    expect(answered(read(member, 0))).toBe(false);
  });

  test('in a joint configuration both halves must have granted it', () => {
    // Given a leader of n1 n2 n3 with a lease
    const member = leader({ learners: ['n4', 'n5'] });
    for (const from of ['n4', 'n5']) member.receive(appended({ from, term: 1, matchIndex: 1 }));
    const round = beat(member, 10);
    member.receive(grant('n2', round), grant('n3', round));
    expect(answered(read(member, 20))).toBe(true);
    // When the way to n1 n4 n5 begins, it has none until these have granted it, too
    const change = {
      expectedIndex: 0,
      voters: ['n1', 'n4', 'n5'],
      learners: [],
      promotions: [],
      addresses: [],
    };
    member.step({ type: 'change-configuration', id: 1, change });
    expect(member.node.configuration.votersOutgoing).toEqual(['n1', 'n2', 'n3']);
    expect(answered(read(member, 21, 2))).toBe(false);
    expect(member.receive(grant('n5', round)).reads).toMatchObject([{ id: 2, ok: true }]);
    // Nor has it one by the new half alone
    const other = leader({ learners: ['n4', 'n5'] });
    for (const from of ['n4', 'n5']) other.receive(appended({ from, term: 1, matchIndex: 1 }));
    const first = beat(other, 10);
    other.receive(grant('n4', first), grant('n5', first));
    other.step({ type: 'change-configuration', id: 1, change });
    expect(answered(read(other, 21, 3))).toBe(false);
    expect(other.receive(grant('n2', first)).reads).toMatchObject([{ id: 3, ok: true }]);
  });

  test('rounds that were asked for long ago are forgotten', () => {
    const member = leader();
    const first = beat(member, 10);
    for (let at = 20; at <= 400; at += 10) {
      beat(member, at);
      member.receive(heartbeatReply({ from: 'n3', term: 1 }));
    }
    member.receive(grant('n2', first), grant('n3', first));
    expect(answered(read(member, 401))).toBe(false);
  });
});

describe('the promise of a voter', () => {
  /** Has granted n2, the leader of term 1, a lease of 100 ms at 1000 ms. */
  function promised(setup: MemberSetup = {}): Member {
    const member = new Member({ ...LEASE, ...setup });
    member.nowMs = 1000;
    const term = Math.max(1, member.node.term);
    const answers = member.answersTo(heartbeat({ term, leaseMs: 100, readRound: 3 }));
    expect(answers).toMatchObject([{ type: 'HeartbeatReply', leaseGranted: true, readRound: 3 }]);
    return member;
  }

  test('it votes for nobody, not even in a pre-vote, and takes no term from those who ask', () => {
    for (const preVote of [true, false]) {
      const member = promised();
      // Not because it still hears the leader
      member.tick(ELECTION_TICKS);
      member.nowMs = 1099;
      const ask = voteRequest({ from: 'n3', term: 2, preVote });
      expect(member.answersTo(ask)).toEqual([]);
      expect(member.node.term).toBe(1);
      member.nowMs = 1100;
      expect(member.answersTo(ask)).toMatchObject([{ granted: true }]);
    }
  });

  test('it does not vote for itself: it starts no election, and does so when the time has passed', () => {
    const member = promised();
    member.nowMs = 1099;
    const early = member.tick(4 * ELECTION_TICKS);
    expect([early.messages, member.node.role]).toEqual([[], 'follower']);
    expect(member.step({ type: 'campaign' }).messages).toEqual([]);
    member.nowMs = 1100;
    expect(ofType(member.tick().messages, 'RequestVote')).toHaveLength(2);
  });

  test('it holds also when the connection to the leader breaks', () => {
    const member = promised();
    member.nowMs = 1050;
    member.step({ type: 'disconnected', member: 'n2' });
    expect(member.tick(3 * ELECTION_TICKS).messages).toEqual([]);
    expect(member.answersTo(voteRequest({ from: 'n3', term: 2 }))).toEqual([]);
  });

  test('it holds when a later leader is heard', () => {
    const member = promised();
    member.nowMs = 1010;
    member.answersTo(heartbeat({ term: 5, from: 'n3' }));
    expect(member.node.term).toBe(5);
    member.tick(ELECTION_TICKS);
    member.nowMs = 1090;
    expect(member.answersTo(voteRequest({ from: 'n2', term: 6 }))).toEqual([]);
  });

  test('it holds within its own term, too', () => {
    const member = promised();
    member.answersTo(appended({ term: 4, matchIndex: 0 }));
    expect([member.node.term, member.node.votedFor]).toEqual([4, null]);
    expect(member.answersTo(voteRequest({ from: 'n3', term: 4 }))).toEqual([]);
    member.nowMs = 1100;
    expect(member.answersTo(voteRequest({ from: 'n3', term: 4 }))).toMatchObject([
      { granted: true },
    ]);
  });

  test('an election that the leader itself asked for is free of it, for voters and candidate', () => {
    const member = promised();
    const ask = voteRequest({ from: 'n3', term: 2, transfer: true });
    expect(member.answersTo(ask)).toMatchObject([{ granted: true }]);
    const target = promised();
    target.receive({ type: 'TimeoutNow', from: 'n2', to: 'n1', term: 1 });
    expect([target.node.role, target.node.term]).toEqual(['candidate', 2]);
    expect(ofType(target.held, 'RequestVote').map((m) => m.transfer)).toEqual([true, true]);
  });

  test('when that election fails, the next one is not free of it', () => {
    const target = promised();
    target.receive({ type: 'TimeoutNow', from: 'n2', to: 'n1', term: 1 });
    target.persist();
    for (const from of ['n2', 'n3']) {
      target.receive(voteReply({ from, term: 2, granted: false }));
    }
    expect(target.node.role).toBe('follower');
    expect(target.tick(3 * ELECTION_TICKS).messages).toEqual([]);
    target.nowMs = 1100;
    const ready = target.tick();
    expect(ofType(ready.messages, 'RequestVote').map((m) => [m.preVote, m.transfer])).toEqual([
      [true, false],
      [true, false],
    ]);
  });

  test('a vote that is still asked for by an old candidate is refused with the term', () => {
    const member = promised({ term: 3, log: [3] });
    member.answersTo(append({ term: 4, prevLog: { index: 1, term: 3 } }));
    expect(member.answersTo(voteRequest({ from: 'n3', term: 2 }))).toMatchObject([
      { granted: false, term: 4 },
    ]);
  });

  test('a longer promise is never made shorter', () => {
    const member = promised();
    member.nowMs = 1001;
    member.answersTo(heartbeat({ term: 1, leaseMs: 10 }));
    member.tick(ELECTION_TICKS);
    member.nowMs = 1099;
    expect(member.answersTo(voteRequest({ from: 'n3', term: 2 }))).toEqual([]);
  });

  test('none is made to the leader of an old term, or by one who could not keep it', () => {
    const old = new Member({ term: 3, ...LEASE });
    const short = new Member({ term: 1, leaseMs: 99 });
    const off = new Member({ term: 1 });
    const unasked = new Member({ term: 1, ...LEASE });
    for (const [member, leaseMs] of [
      [old, 100],
      [short, 100],
      [off, 100],
      [unasked, 0],
    ] as const) {
      const answers = member.answersTo(heartbeat({ term: 1, leaseMs }));
      expect(answers).toMatchObject([{ leaseGranted: false }]);
    }
  });

  test('a member that starts votes for nobody for as long as a lease lasts', () => {
    const member = new Member({ term: 1, log: [1], ...LEASE });
    member.nowMs = 5000;
    member.tick();
    member.nowMs = 5099;
    const ask = voteRequest({ from: 'n3', term: 2, lastLog: { index: 1, term: 1 } });
    expect(member.answersTo(ask)).toEqual([]);
    expect(member.tick(3 * ELECTION_TICKS).messages).toEqual([]);
    member.nowMs = 5100;
    expect(member.answersTo(ask)).toMatchObject([{ granted: true }]);
  });

  test.each([10, 0])('as long as one lasted before it had leases of %d ms', (leaseMs) => {
    const member = new Member({ term: 1, log: [1], leaseMs, leaseMsBefore: 100 });
    member.nowMs = 5000;
    member.tick();
    member.nowMs = 5099;
    const ask = voteRequest({ from: 'n3', term: 2, lastLog: { index: 1, term: 1 } });
    expect(member.answersTo(ask)).toEqual([]);
    expect(member.tick(3 * ELECTION_TICKS).messages).toEqual([]);
    // It promises no more than it is configured for.
    const answers = member.answersTo(heartbeat({ term: 1, leaseMs: 100, readRound: 3 }));
    expect(answers).toMatchObject([{ leaseGranted: false }]);
    member.tick(ELECTION_TICKS);
    member.nowMs = 5100;
    expect(member.answersTo(ask)).toMatchObject([{ granted: true }]);
  });

  test('but not one that has been in no term, or has no leases', () => {
    for (const setup of [{ ...LEASE }, { term: 1, log: [1] }]) {
      const member = new Member(setup);
      member.nowMs = 5000;
      const ask = voteRequest({ from: 'n3', term: 2, lastLog: { index: 1, term: 1 } });
      expect(member.answersTo(ask)).toMatchObject([{ granted: true }]);
    }
  });
});
