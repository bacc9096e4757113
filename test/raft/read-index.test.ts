import { describe, expect, test } from 'vitest';
import type { MemberId, Message } from '../../src/raft/types.js';
import {
  appended,
  ELECTION_TICKS,
  heartbeat,
  heartbeatReply,
  leaderOf,
  Member,
  type MemberSetup,
  ofType,
} from './node-fixture.js';

const FIVE = ['n1', 'n2', 'n3', 'n4', 'n5'];

/** A leader of term 1 that has committed its noop. */
function readyLeader(setup: MemberSetup = {}): Member {
  const member = leaderOf(setup);
  for (const from of (setup.voters ?? ['n1', 'n2', 'n3']).slice(1)) {
    member.receive(appended({ from, term: 1, matchIndex: 1 }));
  }
  return member;
}

function followerOf(leader: MemberId, setup: MemberSetup = {}): Member {
  const member = new Member({ term: 1, log: [1], ...setup });
  member.receive(heartbeat({ term: 1, from: leader }));
  return member;
}

function echo(from: MemberId, readRound: number, term = 1): Message {
  return heartbeatReply({ from, term, readRound });
}

describe('ReadIndex at the leader (thesis §6.4)', () => {
  test('reads of one step share one round', () => {
    const member = readyLeader();
    const ready = member.step({ type: 'read', id: 1 }, { type: 'read', id: 2 });
    expect(ofType(ready.messages, 'Heartbeat').map((m) => m.readRound)).toEqual([1, 1]);
    expect(member.receive(echo('n2', 1)).reads.map((r) => r.id)).toEqual([1, 2]);
  });

  test('reads of another step get a round of their own', () => {
    const member = readyLeader();
    member.read(1);
    const ready = member.read(2);
    expect(ofType(ready.messages, 'Heartbeat').map((m) => m.readRound)).toEqual([2, 2]);
  });

  test('a patient read sends nothing, and is confirmed by the heartbeats that are due next', () => {
    const member = readyLeader();
    const patient = { type: 'read', id: 1, patient: true } as const;
    expect(ofType(member.step(patient).messages, 'Heartbeat')).toEqual([]);
    // Of before: it confirms nothing.
    expect(member.receive(echo('n2', 0)).reads).toEqual([]);
    const ready = member.tick();
    expect(ofType(ready.messages, 'Heartbeat').map((m) => m.readRound)).toEqual([1, 1]);
    expect(member.receive(echo('n2', 1)).reads.map((r) => r.id)).toEqual([1]);
  });

  test('a patient read goes with one that is not, and a follower passes on which it is', () => {
    const member = readyLeader();
    const patient = { type: 'read', id: 1, patient: true } as const;
    const ready = member.step(patient, { type: 'read', id: 2 });
    expect(ofType(ready.messages, 'Heartbeat')).toHaveLength(2);
    const follower = followerOf('n2');
    const alone = follower.step(patient);
    expect(ofType(alone.messages, 'ReadIndex')).toMatchObject([{ patient: true }]);
    const both = follower.step({ ...patient, id: 3 }, { type: 'read', id: 4 });
    expect(ofType(both.messages, 'ReadIndex').map((m) => m.patient)).toEqual([undefined]);
  });

  test('an answer to a round confirms it and all before, nothing later', () => {
    const member = readyLeader();
    for (const id of [1, 2, 3]) member.read(id);
    expect(member.receive(echo('n3', 2)).reads.map((r) => r.id)).toEqual([1, 2]);
    expect(member.receive(echo('n2', 3)).reads.map((r) => r.id)).toEqual([3]);
  });

  test('an answer that was delayed or doubled confirms nothing that was asked later', () => {
    const member = readyLeader();
    member.read(1);
    member.receive(echo('n2', 1));
    member.read(2);
    const late = member.receive(echo('n2', 1), echo('n3', 1), echo('n3', 1));
    expect(late.reads).toEqual([]);
  });

  test('the same member, answering twice, counts once', () => {
    const member = readyLeader({ voters: FIVE });
    member.read(1);
    expect(member.receive(echo('n2', 1), echo('n2', 1)).reads).toEqual([]);
    expect(member.receive(echo('n3', 1)).reads).toHaveLength(1);
  });

  test('answers of learners and strangers do not count', () => {
    const member = readyLeader({ learners: ['n8'] });
    member.read(1);
    expect(member.receive(echo('n8', 1), echo('x', 1)).reads).toEqual([]);
  });

  test('answers of an earlier leadership do not count', () => {
    const member = readyLeader({ term: 4, log: [4] });
    expect(member.node.term).toBe(5);
    member.receive(appended({ term: 5, matchIndex: 2 }));
    member.read(1);
    expect(member.receive(echo('n2', 1, 4), echo('n3', 7, 4)).reads).toEqual([]);
    expect(member.receive(echo('n2', 1, 5)).reads).toHaveLength(1);
  });

  test('a member that is told of an old term does not confirm a round of a later one', () => {
    // Given n2, in term 6 already, gets a heartbeat that was sent in term 5
    const follower = new Member({ id: 'n2', term: 6 });
    const [answer] = follower.answersTo(heartbeat({ term: 5, from: 'n1', to: 'n2', readRound: 1 }));
    // When n1 leads term 6 by now, and has started its first round there
    const member = leaderOf({ term: 5, log: [5] });
    member.receive(appended({ from: 'n3', term: 6, matchIndex: 2 }));
    member.read(1);
    // Then the answer confirms nothing
    expect(answer).toMatchObject({ type: 'HeartbeatReply', term: 6 });
    expect(member.receive(answer ?? echo('n2', 0)).reads).toEqual([]);
  });

  test('the index is that of the commits when the round began', () => {
    const member = readyLeader();
    member.read(1);
    member.propose('x');
    member.persist();
    member.receive(appended({ term: 1, matchIndex: 2 }));
    member.read(2);
    expect(member.receive(echo('n2', 2)).reads).toEqual([
      { id: 1, ok: true, index: 1 },
      { id: 2, ok: true, index: 2 },
    ]);
  });

  test('a round that is lost is repeated by the next heartbeat', () => {
    const member = readyLeader();
    member.read(1);
    const again = member.tick();
    expect(ofType(again.messages, 'Heartbeat').map((m) => m.readRound)).toEqual([1, 1]);
  });

  test('reads are lost when the leader steps down', () => {
    const member = readyLeader();
    member.read(1);
    const ready = member.receive(heartbeat({ term: 2 }));
    expect(ready.reads).toEqual([{ id: 1, ok: false, reason: 'lost-leadership', leader: 'n2' }]);
    expect(member.receive(echo('n2', 1), echo('n3', 1)).reads).toEqual([]);
  });

  test('so are those that waited for the first commit', () => {
    const member = leaderOf();
    member.read(1);
    expect(member.tick(ELECTION_TICKS).reads).toMatchObject([
      { id: 1, ok: false, reason: 'lost-leadership' },
    ]);
  });

  test('at most pendingReadsMax wait', () => {
    const member = readyLeader({ limits: { pendingReadsMax: 2 } });
    member.read(1);
    member.read(2);
    expect(member.read(3).reads).toEqual([
      { id: 3, ok: false, reason: 'overloaded', leader: 'n1' },
    ]);
    member.receive(echo('n2', 2));
    expect(member.read(4).reads).toEqual([]);
  });

  test('patient reads and those of clients leave each other their places', () => {
    const limits = { pendingReadsMax: 1 };
    const overloaded = (id: number) => [{ id, ok: false, reason: 'overloaded' }];
    const patient = (id: number) => ({ type: 'read', id, patient: true }) as const;
    for (const member of [readyLeader({ limits }), followerOf('n2', { limits })]) {
      expect(member.step(patient(1)).reads).toEqual([]);
      expect(member.read(2).reads).toEqual([]);
      expect(member.read(3).reads).toMatchObject(overloaded(3));
      expect(member.step(patient(4)).reads).toMatchObject(overloaded(4));
    }
    const leader = readyLeader({ limits });
    for (let round = 1; round <= 5; round += 1) {
      expect(leader.step(patient(2 * round), { type: 'read', id: 2 * round + 1 }).reads).toEqual(
        [],
      );
      leader.receive(echo('n2', round));
    }
  });

  test('reads that are answered, lost or given up leave their place to others', () => {
    const limits = { pendingReadsMax: 1 };
    const leader = readyLeader({ limits });
    for (let round = 1; round <= 5; round += 1) {
      expect(leader.read(round).reads).toEqual([]);
      leader.receive(echo('n2', round));
    }
    leader.read(6);
    leader.receive(heartbeat({ term: 2, from: 'n2' }));
    expect(leader.read(7).reads).toEqual([]);
    leader.step({ type: 'disconnected', member: 'n2' });
    leader.receive(heartbeat({ term: 2, from: 'n2' }));
    expect(leader.read(8).reads).toEqual([]);
    const follower = followerOf('n2', { limits });
    follower.read(1);
    for (let i = 0; i < ELECTION_TICKS; i += 1) {
      follower.receive(heartbeat({ term: 1 }));
      follower.tick();
    }
    expect(follower.read(2).reads).toEqual([]);
  });

  test('the only voter confirms at once, after its first commit', () => {
    const member = new Member({ voters: ['n1'] });
    member.step({ type: 'campaign' });
    member.persist();
    expect(member.read(1).reads).toEqual([]);
    expect(member.persist().reads).toEqual([{ id: 1, ok: true, index: 1 }]);
    expect(member.read(2).reads).toEqual([{ id: 2, ok: true, index: 1 }]);
  });

  test('a joint configuration confirms by both halves', () => {
    // Given a leader on the way from n1 n2 n3 to n1 n4 n5, that has committed before
    const member = readyLeader({ learners: ['n4', 'n5'] });
    for (const from of ['n4', 'n5']) member.receive(appended({ from, term: 1, matchIndex: 1 }));
    const change = {
      expectedIndex: 0,
      voters: ['n1', 'n4', 'n5'],
      learners: [],
      promotions: [],
      addresses: [],
    };
    member.step({ type: 'change-configuration', id: 1, change });
    expect(member.node.configuration.votersOutgoing).toEqual(['n1', 'n2', 'n3']);
    member.read(1);
    expect(member.receive(echo('n2', 1), echo('n3', 1)).reads).toEqual([]);
    expect(member.receive(echo('n5', 1)).reads).toEqual([{ id: 1, ok: true, index: 1 }]);
    // Nor by the new half alone
    member.read(2);
    expect(member.receive(echo('n4', 2), echo('n5', 2)).reads).toEqual([]);
    expect(member.receive(echo('n3', 2)).reads).toMatchObject([{ id: 2, ok: true }]);
  });
});

describe('ReadIndex through a follower', () => {
  test('all reads of one step are forwarded as one request', () => {
    const member = followerOf('n2');
    const ready = member.step({ type: 'read', id: 1 }, { type: 'read', id: 2 });
    const [request] = ofType(ready.messages, 'ReadIndex');
    expect(ready.messages).toEqual([request]);
    expect(request).toMatchObject({ to: 'n2', term: 1 });
    const reply = {
      type: 'ReadIndexReply',
      from: 'n2',
      to: 'n1',
      term: 1,
      request: request?.request ?? -1,
      index: 9,
    } as const;
    expect(member.receive(reply).reads).toEqual([
      { id: 1, ok: true, index: 9 },
      { id: 2, ok: true, index: 9 },
    ]);
    expect(member.receive(reply).reads).toEqual([]);
  });

  test('the leader answers after a round, like a read of its own', () => {
    const member = readyLeader();
    const request = { type: 'ReadIndex', from: 'n3', to: 'n1', term: 1, request: 77 } as const;
    const ready = member.receive(request);
    expect(ofType(ready.messages, 'Heartbeat').map((m) => m.readRound)).toEqual([1, 1]);
    expect(ofType(member.receive(echo('n2', 1)).messages, 'ReadIndexReply')).toEqual([
      { type: 'ReadIndexReply', from: 'n1', to: 'n3', term: 1, request: 77, index: 1 },
    ]);
  });

  test('who does not lead does not answer', () => {
    const request = { type: 'ReadIndex', from: 'n3', to: 'n1', term: 1, request: 77 } as const;
    expect(followerOf('n2').receive(request).messages).toEqual([]);
  });

  test('without a leader there is no read', () => {
    expect(new Member().read(1).reads).toEqual([
      { id: 1, ok: false, reason: 'no-leader', leader: null },
    ]);
  });

  for (const [name, change] of [
    ['the term changes', heartbeat({ term: 2, from: 'n2' })],
    ['another leads', heartbeat({ term: 2, from: 'n3' })],
  ] as const) {
    test(`reads under way are lost when ${name}`, () => {
      const member = followerOf('n2');
      member.read(1);
      expect(member.receive(change).reads).toMatchObject([
        { id: 1, ok: false, reason: 'lost-leadership' },
      ]);
    });
  }

  test('and when the connection to the leader breaks, or an election begins', () => {
    for (const event of [{ type: 'disconnected', member: 'n2' }, { type: 'campaign' }] as const) {
      const member = followerOf('n2');
      member.read(1);
      expect(member.step(event).reads).toMatchObject([{ id: 1, reason: 'lost-leadership' }]);
    }
  });

  test('requests that nobody answers fail after an election timeout', () => {
    const member = followerOf('n2');
    member.read(1);
    for (let i = 1; i < ELECTION_TICKS; i += 1) {
      member.receive(heartbeat({ term: 1 }));
      expect(member.tick().reads).toEqual([]);
    }
    member.receive(heartbeat({ term: 1 }));
    expect(member.tick().reads).toEqual([
      { id: 1, ok: false, reason: 'lost-leadership', leader: 'n2' },
    ]);
  });

  test('at most pendingReadsMax wait', () => {
    const member = followerOf('n2', { limits: { pendingReadsMax: 1 } });
    member.read(1);
    expect(member.read(2).reads).toMatchObject([{ id: 2, ok: false, reason: 'overloaded' }]);
  });

  test('an answer to a request of before a restart does not match one of after it', () => {
    const requests = [1, 2, 3].map((seed) => {
      const ready = followerOf('n2', { seed }).read(1);
      return ofType(ready.messages, 'ReadIndex')[0]?.request;
    });
    expect(new Set(requests).size).toBe(3);
    expect(requests.every((request) => Number.isSafeInteger(request))).toBe(true);
  });
});
