import { describe, expect, test } from 'vitest';
import {
  appended,
  elect,
  heartbeat,
  heartbeatReply,
  leaderOf,
  Member,
  ofType,
} from './node-fixture.js';

describe('client interaction (paper §8)', () => {
  test('a leader commits a blank no-op entry into the log at the start of its term', () => {
    const member = new Member({ log: [1, 1], term: 4 });
    const ready = elect(member, ['n2']);
    expect(ready.write?.entries).toEqual([
      { index: 3, term: 5, type: 'noop', payload: new Uint8Array(0) },
    ]);
    member.receive(appended({ term: 5, matchIndex: 3 }));
    expect(member.node.commitIndex).toBe(3);
  });

  test('a read is not served before an entry of the own term is committed', () => {
    const member = leaderOf({ log: [1, 1], term: 1, commitIndex: 1 });
    const asked = member.read(5);
    expect(ofType(asked.messages, 'Heartbeat')).toEqual([]);
    const echoed = member.receive(
      heartbeatReply({ from: 'n2', term: 2 }),
      heartbeatReply({ from: 'n3', term: 2 }),
    );
    expect([...asked.reads, ...echoed.reads]).toEqual([]);
  });

  test('once it is, the read is served at that commit index, after a round', () => {
    const member = leaderOf({ log: [1, 1], term: 1, commitIndex: 1 });
    member.read(5);
    const committed = member.receive(appended({ from: 'n2', term: 2, matchIndex: 3 }));
    expect(committed.reads).toEqual([]);
    expect(ofType(committed.messages, 'Heartbeat')).toMatchObject([
      { to: 'n2', readRound: 1 },
      { to: 'n3', readRound: 1 },
    ]);
    const confirmed = member.receive(heartbeatReply({ from: 'n2', term: 2, readRound: 1 }));
    expect(confirmed.reads).toEqual([{ id: 5, ok: true, index: 3 }]);
  });

  test('a leader exchanges heartbeats with a majority before it answers a read', () => {
    const member = leaderOf({ voters: ['n1', 'n2', 'n3', 'n4', 'n5'] });
    member.receive(
      appended({ from: 'n2', term: 1, matchIndex: 1 }),
      appended({ from: 'n3', term: 1, matchIndex: 1 }),
    );
    expect(member.read(5).reads).toEqual([]);
    const one = member.receive(heartbeatReply({ from: 'n2', term: 1, readRound: 1 }));
    expect(one.reads).toEqual([]);
    const two = member.receive(heartbeatReply({ from: 'n3', term: 1, readRound: 1 }));
    expect(two.reads).toEqual([{ id: 5, ok: true, index: 1 }]);
  });

  test('a follower that a client asks names the leader', () => {
    const member = new Member({ term: 1 });
    member.receive(heartbeat({ term: 1, from: 'n3' }));
    expect(member.propose('x', 4).proposals).toMatchObject([{ accepted: false, leader: 'n3' }]);
  });
});
