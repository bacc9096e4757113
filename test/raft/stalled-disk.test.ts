import { describe, expect, test } from 'vitest';
import { acknowledge, askedToLead, pass, settledLeader, timeoutNow } from './membership-fixture.js';
import { append, ELECTION_TICKS, Member } from './node-fixture.js';

describe('a disk that does not answer', () => {
  const STALL = 25;

  test('makes a leader step down, and ask the best of the others to lead', () => {
    const leader = settledLeader({ diskStallTicks: STALL });
    pass(leader, 3);
    leader.propose('x');
    acknowledge(leader, 'n3');
    pass(leader, STALL - 1);
    expect(leader.node.role).toBe('leader');
    const ready = leader.tick();
    expect(ready.events).toContainEqual(
      expect.objectContaining({ type: 'role', role: 'follower', reason: 'disk-stalled' }),
    );
    expect(askedToLead(ready)).toEqual(['n3']);
  });

  test('does not, when it answers in time, however busy it is', () => {
    const leader = settledLeader({ diskStallTicks: STALL });
    for (let i = 0; i < 4 * STALL; i += 1) {
      leader.propose('x');
      const before = leader.sequence - 5;
      if (before > 0) leader.persist(before);
      pass(leader, 1);
    }
    expect(leader.node.role).toBe('leader');
  });

  test('holds off elections of this member, until it answers', () => {
    const member = new Member({ diskStallTicks: STALL });
    member.receive(append({ term: 1, entries: [] }));
    member.tick(STALL + 5 * ELECTION_TICKS);
    expect(member.node.role).toBe('follower');
    member.receive(timeoutNow({ term: 1 }));
    expect([member.node.role, member.node.term]).toEqual(['follower', 1]);
    member.persist();
    member.tick(2 * ELECTION_TICKS);
    expect(member.node.role).toBe('pre-candidate');
  });

  test('does not make the only voter step down: there is nobody else', () => {
    const leader = settledLeader({ voters: ['n1'], diskStallTicks: STALL });
    leader.propose('x');
    leader.tick(10 * STALL);
    expect(leader.node.role).toBe('leader');
  });
});
