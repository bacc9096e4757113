import { describe, expect, test } from 'vitest';
import {
  append,
  appended,
  elect,
  entry,
  heartbeat,
  leaderOf,
  Member,
  ofType,
  voteRequest,
} from './node-fixture.js';

describe('election restriction (paper §5.4.1)', () => {
  for (const [name, own, lastLog, granted] of [
    ['the logs are equal', [1, 2], { index: 2, term: 2 }, true],
    ['the last terms are equal and its log is longer', [1, 2], { index: 3, term: 2 }, true],
    ['the last terms are equal and its log is shorter', [1, 2], { index: 1, term: 2 }, false],
    ['its last term is later, though its log is shorter', [1, 2, 2], { index: 1, term: 3 }, true],
    ['its last term is earlier, though its log is longer', [1, 3], { index: 9, term: 2 }, false],
    ['both logs are empty', [], { index: 0, term: 0 }, true],
    ['its log is empty, the own is not', [1], { index: 0, term: 0 }, false],
  ] as const) {
    for (const preVote of [false, true]) {
      const verb = granted ? 'gets' : 'does not get';
      test(`a candidate ${verb} the ${preVote ? 'pre-vote' : 'vote'} when ${name}`, () => {
        const member = new Member({ log: own, term: 4 });
        expect(member.answersTo(voteRequest({ term: 5, lastLog, preVote }))).toMatchObject([
          { type: 'RequestVoteReply', granted, preVote, term: preVote && !granted ? 4 : 5 },
        ]);
        expect(member.node.votedFor).toBe(granted && !preVote ? 'n2' : null);
      });
    }
  }

  test('the request for a vote says where the log of the candidate ends', () => {
    const member = new Member({ log: [1, 1, 3], term: 6 });
    const ready = member.step({ type: 'campaign' });
    expect(ofType(ready.messages, 'RequestVote').map((m) => m.lastLog)).toEqual([
      { index: 3, term: 3 },
      { index: 3, term: 3 },
    ]);
  });

  test('entries that are not committed count in the comparison', () => {
    const member = new Member({ term: 1 });
    member.receive(append({ term: 1, entries: [entry(1, 1)] }));
    member.persist();
    const request = voteRequest({ from: 'n3', term: 2, lastLog: { index: 0, term: 0 } });
    member.step({ type: 'disconnected', member: 'n2' });
    expect(member.answersTo(request)).toMatchObject([{ granted: false }]);
  });
});

describe('committing entries from previous terms (paper §5.4.2)', () => {
  test('they are never committed by counting replicas (Figure 8, c)', () => {
    // Given S1 of Figure 8: entry 2 is of term 2, and S1 leads again in term 4
    const voters = ['n1', 'n2', 'n3', 'n4', 'n5'];
    const member = leaderOf({ voters, log: [1, 2], term: 3, commitIndex: 1 });
    // When entry 2 is on a majority
    member.receive(
      appended({ from: 'n2', term: 4, matchIndex: 2 }),
      appended({ from: 'n3', term: 4, matchIndex: 2 }),
    );
    // Then it is not committed
    expect(member.node.commitIndex).toBe(1);
  });

  test('once an entry of the current term is committed, all before it are (Figure 8, e)', () => {
    const voters = ['n1', 'n2', 'n3', 'n4', 'n5'];
    const member = leaderOf({ voters, log: [1, 2], term: 3, commitIndex: 1 });
    member.receive(
      appended({ from: 'n2', term: 4, matchIndex: 3 }),
      appended({ from: 'n3', term: 4, matchIndex: 3 }),
    );
    expect(member.node.commitIndex).toBe(3);
  });

  test('entries keep their term when a later leader replicates them', () => {
    const member = leaderOf({ log: [1, 2], term: 3 });
    member.step({ type: 'disconnected', member: 'n2' });
    const ready = member.receive({
      type: 'AppendEntriesReply',
      from: 'n3',
      to: 'n1',
      term: 4,
      result: { success: false, prevIndex: 2, hint: { index: 0, term: 0 } },
    });
    const sent = ofType(ready.messages, 'AppendEntries')[0];
    expect(sent?.entries.map((e) => e.term)).toEqual([1, 2, 4]);
  });

  test('the follower commits through what the message verified, not through its own last entry', () => {
    // Given a log that ends in entries of an old leader
    const member = new Member({ log: [1, 1, 2, 2, 2], term: 2 });
    // When a new leader verifies entry 2 only, and has committed 4
    const ready = member.receive(
      append({ term: 3, prevLog: { index: 1, term: 1 }, entries: [entry(2, 1)], leaderCommit: 4 }),
    );
    // Then entries 3 and 4 of the old leader are not committed
    expect(ready.commitIndex).toBe(2);
  });

  test('an empty message verifies its preceding place only', () => {
    const member = new Member({ log: [1, 1, 2, 2], term: 2 });
    const ready = member.receive(
      append({ term: 3, prevLog: { index: 2, term: 1 }, leaderCommit: 4 }),
    );
    expect(ready.commitIndex).toBe(2);
  });

  test('the commit index never falls', () => {
    const member = new Member({ log: [1, 1, 1], term: 1, commitIndex: 3 });
    member.receive(append({ term: 1, prevLog: { index: 3, term: 1 }, leaderCommit: 1 }));
    member.receive(heartbeat({ term: 1, commit: 1 }));
    expect(member.node.commitIndex).toBe(3);
  });

  test('a heartbeat commits what the leader knows this follower to have', () => {
    const member = leaderOf();
    member.propose('x');
    member.persist();
    member.receive(appended({ from: 'n2', term: 1, matchIndex: 2 }));
    expect(ofType(member.tick().messages, 'Heartbeat')).toMatchObject([
      { to: 'n2', commit: 2 },
      { to: 'n3', commit: 0 },
    ]);
  });
});

describe('safety argument (paper §5.4.3): broken invariants stop the replica', () => {
  test('a leader that lacks a committed entry is not followed', () => {
    const member = new Member({ log: [1, 1, 1], term: 1, commitIndex: 2 });
    const conflict = append({ term: 2, entries: [entry(1, 1), entry(2, 2)] });
    expect(() => member.receive(conflict)).toThrow('entry 2 is committed (through 2)');
  });

  test('a heartbeat that commits beyond the log', () => {
    const member = new Member({ log: [1], term: 1 });
    expect(() => member.receive(heartbeat({ term: 1, commit: 2 }))).toThrow('commit index 2');
  });

  test('an acknowledgement of what the leader never had', () => {
    const member = leaderOf();
    expect(() => member.receive(appended({ term: 1, matchIndex: 9 }))).toThrow('no follower');
  });

  test('entries with gaps, or with terms that fall', () => {
    const member = new Member({ term: 2 });
    const gap = append({ term: 2, entries: [entry(1, 1), entry(3, 1)] });
    expect(() => member.receive(gap)).toThrow('follow one another');
    const falling = append({ term: 2, entries: [entry(1, 2), entry(2, 1)] });
    expect(() => member.receive(falling)).toThrow('follow one another');
  });

  test('a state machine that is ahead of the log on disk', () => {
    expect(() => new Member({ log: [1, 1], appliedIndex: 3 })).toThrow(
      'the state machine has applied entry 3, but the log on disk ends at 2',
    );
  });

  test('entries of a term that is not on disk', () => {
    expect(() => new Member({ log: [1, 2], term: 1 })).toThrow('it is written first');
  });
});

describe('restart (paper §5.1, §5.5)', () => {
  test('the saved commit index holds, bounded by the log', () => {
    expect(new Member({ log: [1, 1], commitIndex: 2 }).node.commitIndex).toBe(2);
    expect(new Member({ log: [1, 1], commitIndex: 7 }).node.commitIndex).toBe(2);
  });

  test('what the state machine has applied is committed', () => {
    const { node } = new Member({ log: [1, 1, 1], commitIndex: 1, appliedIndex: 3 });
    expect([node.commitIndex, node.appliedIndex]).toEqual([3, 3]);
  });

  test('a member that was leader comes back as a follower, and can be elected again', () => {
    const member = new Member({ log: [1, 1], term: 1, votedFor: 'n1' });
    expect(member.node.role).toBe('follower');
    elect(member, ['n2']);
    expect([member.node.role, member.node.term]).toEqual(['leader', 2]);
  });

  test('the whole log is taken as being on disk, also when none of it is in memory', () => {
    const member = new Member({ log: [1, 1, 2], cachedEntries: 0 });
    expect([member.node.flushedIndex, member.node.lastIndex]).toEqual([3, 3]);
    expect(member.node.entries(1, 3, 1000)).toBeNull();
    expect(member.node.termAt(2)).toBe(1);
  });
});
