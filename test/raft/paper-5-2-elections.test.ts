import { describe, expect, test } from 'vitest';
import {
  append,
  ELECTION_TICKS,
  elect,
  heartbeat,
  leaderOf,
  Member,
  ofType,
  voteReply,
  voteRequest,
} from './node-fixture.js';

const FIVE = ['n1', 'n2', 'n3', 'n4', 'n5'];

function candidateOf(voters: readonly string[]): Member {
  const member = new Member({ voters });
  member.step({ type: 'campaign' });
  for (const from of voters.slice(1)) member.receive(voteReply({ from, term: 1, preVote: true }));
  member.persist();
  expect(member.node.role).toBe('candidate');
  return member;
}

/** Makes it a candidate whose vote is on disk. */
function stand(member: Member): void {
  member.step({ type: 'campaign' });
  for (const from of FIVE) {
    if (from !== member.id) {
      member.receive(voteReply({ from, to: member.id, term: 1, preVote: true }));
    }
  }
  member.persist();
  expect(member.node.role).toBe('candidate');
}

/** Ticks until it asks for votes. */
function ticksUntilAsking(member: Member): number {
  for (let ticks = 1; ticks < 100; ticks += 1) {
    if (ofType(member.tick().messages, 'RequestVote').length > 0) return ticks;
  }
  return Number.POSITIVE_INFINITY;
}

/** Ticks until it leaves the role of a follower. */
function ticksUntilCampaign(member: Member): number {
  for (let ticks = 1; ticks < 100; ticks += 1) {
    member.tick();
    if (member.node.role !== 'follower') return ticks;
  }
  return Number.POSITIVE_INFINITY;
}

describe('leader election (paper §5.2)', () => {
  test('a server remains a follower as long as it hears from a leader', () => {
    const member = new Member({ term: 1 });
    for (let i = 0; i < 20; i += 1) {
      member.receive(i % 2 === 0 ? heartbeat({ term: 1 }) : append({ term: 1 }));
      member.tick(ELECTION_TICKS - 1);
    }
    expect([member.node.role, member.node.leader]).toEqual(['follower', 'n2']);
  });

  test('a leader sends periodic heartbeats to all followers', () => {
    const member = leaderOf({ heartbeatTicks: 3 });
    const sent = Array.from({ length: 6 }, () =>
      ofType(member.tick().messages, 'Heartbeat').map((m) => m.to),
    );
    expect(sent).toEqual([[], [], ['n2', 'n3'], [], [], ['n2', 'n3']]);
  });

  test('a follower that hears nothing over an election timeout begins an election', () => {
    const ticks = ticksUntilCampaign(new Member());
    expect(ticks).toBeGreaterThanOrEqual(ELECTION_TICKS);
    expect(ticks).toBeLessThan(2 * ELECTION_TICKS);
  });

  test('election timeouts are chosen randomly from a fixed interval, anew each time', () => {
    const seen = new Set<number>();
    const member = new Member({ term: 1 });
    for (let i = 0; i < 300; i += 1) {
      member.receive(heartbeat({ term: member.node.term }));
      seen.add(ticksUntilCampaign(member));
    }
    const all = Array.from({ length: ELECTION_TICKS }, (_, i) => ELECTION_TICKS + i);
    expect([...seen].sort((a, b) => a - b)).toEqual(all);
  });

  for (const role of ['follower', 'candidate'] as const) {
    test(`the timeouts of five members seldom run out together: each is a ${role}`, () => {
      const rounds = 500;
      let together = 0;
      for (let round = 0; round < rounds; round += 1) {
        const ticks = FIVE.map((id, at) => {
          const member = new Member({ id, voters: FIVE, seed: 10 * round + at });
          if (role === 'candidate') stand(member);
          return ticksUntilAsking(member);
        });
        const first = Math.min(...ticks);
        if (ticks.filter((tick) => tick === first).length > 1) together += 1;
      }
      // Of ten ticks to choose from, five members have one that is first alone in three of four rounds.
      expect(together / rounds).toBeLessThan(0.3);
      expect(together).toBeGreaterThan(0);
    });
  }

  test('to begin an election a follower increments its term and votes for itself', () => {
    const member = candidateOf(FIVE);
    expect([member.node.term, member.node.votedFor]).toEqual([1, 'n1']);
  });

  test('it asks each of the other servers for its vote, after its own vote is on disk', () => {
    const member = new Member({ log: [1, 1] });
    member.step({ type: 'campaign' });
    const ready = member.receive(voteReply({ term: 2, preVote: true }));
    expect(ready.write?.hardState).toMatchObject({ currentTerm: 2, votedFor: 'n1' });
    expect(ofType(ready.messages, 'RequestVote')).toEqual([]);
    const request = { term: 2, from: 'n1', lastLog: { index: 2, term: 1 }, preVote: false };
    expect(ready.messagesAfterPersist).toEqual([
      voteRequest({ ...request, to: 'n2' }),
      voteRequest({ ...request, to: 'n3' }),
    ]);
  });

  test('it wins with the votes of a majority of the full cluster, not before', () => {
    const member = candidateOf(FIVE);
    member.receive(voteReply({ from: 'n2', term: 1 }));
    expect(member.node.role).toBe('candidate');
    member.receive(voteReply({ from: 'n3', term: 1 }));
    expect(member.node.role).toBe('leader');
  });

  test('the same vote, received twice, counts once', () => {
    const member = candidateOf(FIVE);
    member.receive(voteReply({ from: 'n2', term: 1 }), voteReply({ from: 'n2', term: 1 }));
    expect(member.node.role).toBe('candidate');
  });

  test('a vote of who is not a voter does not count', () => {
    const member = candidateOf(FIVE);
    for (const from of ['x1', 'x2', 'x3']) member.receive(voteReply({ from, term: 1 }));
    expect(member.node.role).toBe('candidate');
  });

  test('a candidate that a majority refuses becomes a follower in its term', () => {
    const member = candidateOf(FIVE);
    for (const from of ['n2', 'n3', 'n4']) {
      member.receive(voteReply({ from, term: 1, granted: false }));
    }
    expect([member.node.role, member.node.term, member.node.votedFor]).toEqual([
      'follower',
      1,
      'n1',
    ]);
  });

  test('each server votes for at most one candidate in a term, first come first served', () => {
    const member = new Member();
    const first = member.receive(voteRequest({ from: 'n2', term: 1 }));
    expect(first.messagesAfterPersist).toMatchObject([{ to: 'n2', granted: true }]);
    member.persist();
    const second = member.receive(voteRequest({ from: 'n3', term: 1 }));
    expect(second.messages).toMatchObject([{ to: 'n3', granted: false }]);
    expect(member.node.votedFor).toBe('n2');
  });

  test('it gives the same answer to the same candidate again', () => {
    const member = new Member({ term: 1, votedFor: 'n2' });
    const ready = member.receive(voteRequest({ from: 'n2', term: 1 }));
    expect(ready.messages).toMatchObject([{ to: 'n2', granted: true }]);
    expect(ready.write).toBeNull();
  });

  test('a vote that was saved holds after a restart', () => {
    const member = new Member({ term: 1, votedFor: 'n2' });
    const ready = member.receive(voteRequest({ from: 'n3', term: 1 }));
    expect(ready.messages).toMatchObject([{ to: 'n3', granted: false }]);
  });

  test('a candidate refuses its vote to another candidate of its term', () => {
    const member = candidateOf(FIVE);
    const ready = member.receive(voteRequest({ from: 'n2', term: 1 }));
    expect(ready.messages).toMatchObject([{ to: 'n2', granted: false }]);
  });

  test('once it wins it sends messages to all others to prevent new elections', () => {
    const member = new Member();
    const ready = elect(member, ['n2']);
    expect(ofType(ready.messages, 'AppendEntries').map((m) => m.to)).toEqual(['n2', 'n3']);
    expect(ready.events).toMatchObject([{ type: 'role', role: 'leader', leader: 'n1' }]);
  });

  for (const [name, message] of [
    ['AppendEntries', append({ term: 1 })],
    ['a heartbeat', heartbeat({ term: 1 })],
  ] as const) {
    test(`a candidate that hears ${name} of the leader of its term recognises it`, () => {
      const member = candidateOf(FIVE);
      member.receive(message);
      expect([member.node.role, member.node.leader]).toEqual(['follower', 'n2']);
    });
  }

  test('a candidate that hears a leader of an older term remains a candidate', () => {
    const member = new Member({ term: 3 });
    member.step({ type: 'campaign' });
    member.receive(voteReply({ term: 4, preVote: true }));
    member.persist();
    member.receive(append({ term: 3 }), heartbeat({ term: 3 }));
    expect([member.node.role, member.node.term]).toEqual(['candidate', 4]);
  });

  test('when votes are split, a candidate times out and starts another election', () => {
    const member = candidateOf(FIVE);
    member.receive(voteReply({ from: 'n2', term: 1, granted: false }));
    let asked = 0;
    for (let i = 0; i < 2 * ELECTION_TICKS; i += 1) {
      asked += ofType(member.tick().messages, 'RequestVote').length;
    }
    expect(asked).toBeGreaterThanOrEqual(4);
    for (const from of FIVE.slice(1, 3))
      member.receive(voteReply({ from, term: 2, preVote: true }));
    expect([member.node.role, member.node.term]).toEqual(['candidate', 2]);
  });

  test('a vote of an election that was lost does not count in the next', () => {
    const member = candidateOf(FIVE);
    member.receive(voteReply({ from: 'n2', term: 1 }));
    member.tick(2 * ELECTION_TICKS);
    for (const from of ['n2', 'n3']) member.receive(voteReply({ from, term: 2, preVote: true }));
    member.persist();
    member.receive(voteReply({ from: 'n3', term: 1 }), voteReply({ from: 'n4', term: 1 }));
    expect([member.node.role, member.node.term]).toEqual(['candidate', 2]);
  });

  test('granting a vote holds off the own election; refusing one does not', () => {
    const granting = new Member();
    granting.tick(ELECTION_TICKS - 1);
    granting.receive(voteRequest({ term: 1 }));
    expect(ticksUntilCampaign(granting)).toBeGreaterThanOrEqual(ELECTION_TICKS);

    for (let seed = 1; seed <= 10; seed += 1) {
      const [refusing, unasked] = [1, 2].map(() => new Member({ log: [1, 1], seed }));
      refusing?.tick(ELECTION_TICKS - 1);
      unasked?.tick(ELECTION_TICKS - 1);
      refusing?.receive(voteRequest({ term: 2 }));
      expect(refusing?.node.votedFor).toBeNull();
      expect(refusing && ticksUntilCampaign(refusing)).toBe(unasked && ticksUntilCampaign(unasked));
    }
  });

  test('refusals that come late do not unseat a leader', () => {
    const member = candidateOf(FIVE);
    for (const from of ['n2', 'n3']) member.receive(voteReply({ from, term: 1 }));
    for (const from of ['n2', 'n3', 'n4', 'n5']) {
      for (const preVote of [true, false]) {
        member.receive(voteReply({ from, term: 1, granted: false, preVote }));
      }
    }
    expect(member.node.role).toBe('leader');
  });

  test('learners are not asked for their vote', () => {
    const member = new Member({ learners: ['n8'] });
    const ready = member.step({ type: 'campaign' });
    expect(ofType(ready.messages, 'RequestVote').map((m) => m.to)).toEqual(['n2', 'n3']);
  });

  test('a leader that is told to campaign goes on leading', () => {
    const member = leaderOf();
    const ready = member.step({ type: 'campaign' });
    expect([member.node.role, member.node.term, ready.messages]).toEqual(['leader', 1, []]);
  });

  test('the only voter elects itself, once its vote is on disk', () => {
    const member = new Member({ voters: ['n1'] });
    member.tick(2 * ELECTION_TICKS);
    expect(member.node.role).toBe('candidate');
    member.persist();
    expect(member.node.role).toBe('leader');
    member.persist();
    expect(member.node.commitIndex).toBe(1);
  });

  test('a learner never campaigns, and votes when it is asked', () => {
    const member = new Member({ voters: ['n2', 'n3'], learners: ['n1'] });
    member.tick(10 * ELECTION_TICKS);
    member.step({ type: 'campaign' });
    expect([member.node.role, member.node.term]).toEqual(['follower', 0]);
    const ready = member.receive(voteRequest({ term: 1 }));
    expect(ready.messagesAfterPersist).toMatchObject([{ granted: true }]);
  });

  test('a joint configuration needs the votes of both halves (paper §6)', () => {
    const setup = { voters: ['n1', 'n2', 'n3'], votersOutgoing: ['n1', 'n4', 'n5'] };
    const member = new Member(setup);
    member.step({ type: 'campaign' });
    for (const from of ['n2', 'n4']) member.receive(voteReply({ from, term: 1, preVote: true }));
    member.persist();
    member.receive(voteReply({ from: 'n2', term: 1 }), voteReply({ from: 'n3', term: 1 }));
    expect(member.node.role).toBe('candidate');
    member.receive(voteReply({ from: 'n5', term: 1 }));
    expect(member.node.role).toBe('leader');
    const other = new Member(setup);
    other.step({ type: 'campaign' });
    for (const from of ['n4', 'n5']) other.receive(voteReply({ from, term: 1, preVote: true }));
    expect(other.node.role).toBe('pre-candidate');
    other.receive(voteReply({ from: 'n2', term: 1, preVote: true }));
    other.persist();
    other.receive(voteReply({ from: 'n4', term: 1 }), voteReply({ from: 'n5', term: 1 }));
    expect(other.node.role).toBe('candidate');
    other.receive(voteReply({ from: 'n3', term: 1 }));
    expect(other.node.role).toBe('leader');
  });
});
