import { describe, expect, test } from 'vitest';
import {
  append,
  appended,
  ELECTION_TICKS,
  entriesOf,
  entry,
  heartbeat,
  leaderOf,
  Member,
  refused,
  voteReply,
  voteRequest,
} from './node-fixture.js';

describe('promises wait for the disk', () => {
  test('a vote that is granted', () => {
    const member = new Member();
    const ready = member.receive(voteRequest({ term: 3 }));
    expect(ready.write).toEqual({
      sequence: 1,
      hardState: { currentTerm: 3, votedFor: 'n2', commitIndex: 0 },
      entries: [],
    });
    expect(ready.messages).toEqual([]);
    expect(ready.messagesAfterPersist).toMatchObject([{ granted: true, term: 3 }]);
  });

  test('a vote that is asked for again, while its write is under way', () => {
    const member = new Member();
    member.receive(voteRequest({ term: 3 }));
    const again = member.receive(voteRequest({ term: 3 }));
    expect([again.messages, again.write]).toEqual([[], null]);
    expect(again.messagesAfterPersist).toMatchObject([{ granted: true }]);
    member.persist();
    const later = member.receive(voteRequest({ term: 3 }));
    expect(later.messages).toMatchObject([{ granted: true }]);
  });

  test('the refusal of a vote, when it tells a term that is not on disk', () => {
    const member = new Member({ log: [1, 1] });
    const ready = member.receive(voteRequest({ term: 3 }));
    expect(ready.messages).toEqual([]);
    expect(ready.messagesAfterPersist).toMatchObject([{ granted: false, term: 3 }]);
  });

  test('the acknowledgement of entries', () => {
    const member = new Member({ term: 1 });
    const ready = member.receive(append({ term: 1, entries: entriesOf([1, 1]) }));
    expect(ready.messages).toEqual([]);
    expect(ready.messagesAfterPersist).toMatchObject([{ result: { matchIndex: 2 } }]);
  });

  test('the acknowledgement of entries whose write is under way', () => {
    const member = new Member({ term: 1 });
    const message = append({ term: 1, entries: entriesOf([1, 1]) });
    member.receive(message);
    const again = member.receive(message);
    expect([again.messages, again.write]).toEqual([[], null]);
    expect(again.messagesAfterPersist).toMatchObject([{ result: { matchIndex: 2 } }]);
  });

  test('all that is said in a term that is not on disk', () => {
    for (const message of [
      heartbeat({ term: 2 }),
      append({ term: 2, prevLog: { index: 1, term: 1 } }),
      append({ term: 2, prevLog: { index: 9, term: 1 } }),
    ]) {
      const member = new Member({ term: 1, log: [1] });
      const ready = member.receive(message);
      expect(ready.messages).toEqual([]);
      expect(ready.messagesAfterPersist).toHaveLength(1);
      member.persist();
      expect(member.receive(message).messages).toHaveLength(1);
    }
  });

  test('the only voter leads and commits when its disk has answered, not before', () => {
    const member = new Member({ voters: ['n1'] });
    member.step({ type: 'campaign' });
    expect(member.node.role).toBe('candidate');
    const elected = member.persist();
    expect([member.node.role, elected.commitIndex]).toEqual(['leader', 0]);
    expect(member.persist().commitIndex).toBe(1);
    expect(member.propose('x').commitIndex).toBe(1);
    expect(member.persist().commitIndex).toBe(2);
  });
});

describe('writes', () => {
  test('term and vote are in the write of the step that changed them', () => {
    const member = new Member({ term: 1 });
    const ready = member.receive(append({ term: 4, entries: [entry(1, 4)] }));
    expect(ready.write?.hardState).toEqual({ currentTerm: 4, votedFor: null, commitIndex: 0 });
    expect(ready.write?.entries).toHaveLength(1);
  });

  test('a commit index alone causes no write', () => {
    const member = new Member({ term: 1, log: [1, 1] });
    expect(member.receive(heartbeat({ term: 1, commit: 2 })).write).toBeNull();
  });

  test('when nothing else has been written for ten ticks it is written alone, once', () => {
    const member = new Member({ term: 1, log: [1, 1] });
    const written: unknown[] = [];
    for (let tick = 1; tick <= 30; tick += 1) {
      // Whoever leads is heard of, so that no election begins.
      const heard = member.receive(heartbeat({ term: 1, commit: 2 }));
      for (const { write } of [heard, member.tick()]) {
        if (write !== null) written.push([tick, write.hardState, write.entries]);
      }
      member.persist();
    }
    expect(written).toEqual([[10, { currentTerm: 1, votedFor: null, commitIndex: 2 }, []]]);
    expect(member.node.savedCommitIndex).toBe(2);
  });

  test('it goes along with the next write, never beyond what is on disk already', () => {
    const member = new Member({ term: 1, log: [1, 1] });
    const entries = [entry(3, 1)];
    const prevLog = { index: 2, term: 1 };
    const ready = member.receive(append({ term: 1, prevLog, entries, leaderCommit: 3 }));
    expect(ready.commitIndex).toBe(3);
    // Entry 3 comes after the hard state in this very write: it may be lost, and the hard state not.
    expect(ready.write?.hardState?.commitIndex).toBe(2);
  });

  test('what a write replaces is not declared committed by its hard state', () => {
    // Given entries 2 and 3 of an old leader on disk
    const member = new Member({ term: 2, log: [1, 2, 2] });
    // When a new leader replaces and commits them in one message
    const entries = [entry(2, 3), entry(3, 3)];
    const prevLog = { index: 1, term: 1 };
    const ready = member.receive(append({ term: 3, prevLog, entries, leaderCommit: 3 }));
    // Then a write torn behind its hard state does not commit the old ones
    expect(ready.write?.hardState).toEqual({ currentTerm: 3, votedFor: null, commitIndex: 1 });
  });

  test('numbers grow by one, and each entry is written once', () => {
    const member = leaderOf();
    const first = member.propose('a').write;
    const second = member.propose('b').write;
    expect(second?.sequence).toBe((first?.sequence ?? 0) + 1);
    expect([first, second].map((w) => w?.entries.map((e) => e.index))).toEqual([[2], [3]]);
  });

  test('one step makes one write, also when it replaces what it has just taken', () => {
    const member = new Member({ term: 1, log: [1] });
    const ready = member.receive(
      append({ term: 1, prevLog: { index: 1, term: 1 }, entries: [entry(2, 1), entry(3, 1)] }),
      append({ term: 2, from: 'n3', prevLog: { index: 1, term: 1 }, entries: [entry(2, 2)] }),
    );
    expect(ready.write?.entries).toEqual([entry(2, 2)]);
    expect(ready.write?.hardState?.currentTerm).toBe(2);
  });
});

describe('completions', () => {
  test('a completion covers all writes before it', () => {
    const member = leaderOf();
    member.propose('a');
    member.propose('b');
    member.persist();
    expect(member.node.flushedIndex).toBe(3);
  });

  test('a completion of an earlier write covers no more than that', () => {
    const member = leaderOf();
    member.propose('a');
    const sequence = member.sequence;
    member.propose('b');
    member.persist(sequence);
    expect(member.node.flushedIndex).toBe(2);
  });

  test('a completion that is repeated, or old, changes nothing', () => {
    const member = leaderOf();
    member.propose('a');
    member.persist();
    member.persist(1);
    expect(member.node.flushedIndex).toBe(2);
  });

  test('a completion of what was never asked for stops the replica', () => {
    expect(() => new Member().persist(4)).toThrow('write 4 was asked for');
  });

  test('a late completion does not count for entries that took the place of its own (ABA)', () => {
    // Given entries 2 and 3 of a first leader, their write under way
    const member = new Member({ term: 1, log: [1] });
    const prevLog = { index: 1, term: 1 };
    member.receive(append({ term: 1, prevLog, entries: [entry(2, 1), entry(3, 1)] }));
    const first = member.sequence;
    // When a second leader cuts them off, and a third one puts others at the same places
    member.receive(append({ term: 2, from: 'n3', prevLog, entries: [entry(2, 2)] }));
    const second = member.sequence;
    const entries = [entry(2, 3), entry(3, 3)];
    member.receive(append({ term: 3, prevLog, entries }));
    // Then the completions of the first two say nothing of the new ones
    member.persist(first);
    expect(member.node.flushedIndex).toBe(1);
    member.persist(second);
    expect(member.node.flushedIndex).toBe(1);
    const again = member.receive(append({ term: 3, prevLog, entries }));
    expect(again.messages).toEqual([]);
    member.persist();
    expect(member.node.flushedIndex).toBe(3);
  });

  test('nor when the very same entry returns to its place (A-B-A)', () => {
    const member = new Member({ term: 1, log: [1] });
    const prevLog = { index: 1, term: 1 };
    const a = [entry(2, 1), entry(3, 1)];
    member.receive(append({ term: 1, prevLog, entries: a }));
    const first = member.sequence;
    member.receive(append({ term: 2, from: 'n3', prevLog, entries: [entry(2, 2)] }));
    member.receive(append({ term: 3, prevLog, entries: a }));
    // The disk is between the first write and the cut: entry 2 of term 1 is about to go once more.
    member.persist(first);
    expect(member.node.flushedIndex).toBe(1);
  });

  test('what was flushed and is cut off is flushed no more', () => {
    const member = new Member({ term: 2, log: [1, 1, 1] });
    member.receive(append({ term: 2, prevLog: { index: 1, term: 1 }, entries: [entry(2, 2)] }));
    expect(member.node.flushedIndex).toBe(1);
  });

  test('a leader that returns does not count what it wrote in its earlier term', () => {
    // Given a leader with an entry that its disk has not answered for
    const member = leaderOf();
    member.propose('a');
    const sequence = member.sequence;
    // When another leader replaces it, and this one leads again
    const prevLog = { index: 1, term: 1 };
    member.receive(append({ term: 2, prevLog, entries: [entry(2, 2)] }));
    member.step({ type: 'disconnected', member: 'n2' }, { type: 'campaign' });
    member.receive(voteReply({ from: 'n3', term: 3, preVote: true }));
    member.receive(voteReply({ from: 'n2', term: 3 }), voteReply({ from: 'n3', term: 3 }));
    // Then the old completion counts for no copy of what it holds now, and for no vote
    member.persist(sequence);
    expect([member.node.role, member.node.flushedIndex]).toEqual(['candidate', 1]);
    member.persist();
    expect([member.node.role, member.node.lastIndex]).toEqual(['leader', 3]);
    expect(member.node.flushedIndex).toBe(2);
    // And its new entry counts when its own write is done
    member.receive(appended({ from: 'n3', term: 3, matchIndex: 3 }));
    expect(member.node.commitIndex).toBe(0);
    member.persist();
    expect(member.node.commitIndex).toBe(3);
  });

  test('a candidate counts its own vote when the write of exactly that vote is done', () => {
    // Given the only voter, whose first vote for itself is not on disk when it asks once more
    const member = new Member({ term: 1, log: [1], voters: ['n1'] });
    member.step({ type: 'campaign' });
    const first = member.sequence;
    member.tick(2 * ELECTION_TICKS);
    expect([member.node.role, member.node.term]).toEqual(['candidate', 3]);
    const second = member.sequence;
    // When the disk has done the first
    member.persist(first);
    // Then it does not lead by that one
    expect([member.node.role, member.node.term]).toEqual(['candidate', 3]);
    member.persist(second);
    expect([member.node.role, member.node.term]).toEqual(['leader', 3]);
  });

  test('nor does it count its pre-vote for itself, nor a vote that it gave away since', () => {
    const member = new Member();
    member.step({ type: 'campaign' });
    member.receive(voteReply({ from: 'n2', term: 1, preVote: true }));
    member.receive(voteReply({ from: 'n2', term: 1 }));
    expect(member.node.role).toBe('candidate');
    member.persist();
    expect(member.node.role).toBe('leader');
    const other = new Member({ term: 1, log: [1], voters: ['n1'] });
    other.step({ type: 'campaign' });
    const first = other.sequence;
    other.receive(heartbeat({ term: 9 }), voteRequest({ term: 9 }));
    other.persist(first);
    expect([other.node.role, other.node.term]).toEqual(['follower', 9]);
  });

  test('a vote for itself that reaches the disk after the election was lost makes no leader', () => {
    const member = new Member({ voters: ['n1', 'n2', 'n3', 'n4', 'n5'] });
    member.step({ type: 'campaign' });
    for (const from of ['n2', 'n3']) member.receive(voteReply({ from, term: 1, preVote: true }));
    member.receive(voteReply({ from: 'n2', term: 1 }));
    for (const from of ['n3', 'n4', 'n5']) {
      member.receive(voteReply({ from, term: 1, granted: false }));
    }
    expect(member.node.role).toBe('follower');
    member.persist();
    member.receive(voteReply({ from: 'n3', term: 1 }));
    expect([member.node.role, member.node.term]).toEqual(['follower', 1]);
  });
});

describe('refusals go at once', () => {
  test('when term and vote are on disk', () => {
    const member = new Member({ term: 2, log: [1] });
    const ready = member.receive(append({ term: 2, prevLog: { index: 5, term: 2 } }));
    expect(ready.messages).toEqual([
      refused({ from: 'n1', to: 'n2', term: 2, prevIndex: 5, hint: { index: 1, term: 1 } }),
    ]);
  });

  test('and so do acknowledgements of what is on disk', () => {
    const member = new Member({ term: 2, log: [1, 2] });
    const ready = member.receive(append({ term: 2, prevLog: { index: 2, term: 2 } }));
    expect(ready.messages).toEqual([appended({ from: 'n1', to: 'n2', term: 2, matchIndex: 2 })]);
  });
});

describe('a restart from a snapshot and the log behind it', () => {
  const setup = { logStart: { index: 5, term: 2 }, log: [2, 3], term: 3 };

  test('all of it is taken as being on disk, and the next write follows', () => {
    const member = new Member(setup);
    expect([member.node.flushedIndex, member.node.lastIndex]).toEqual([7, 7]);
    const ready = member.receive(
      append({ term: 3, prevLog: { index: 7, term: 3 }, entries: [entry(8, 3)] }),
    );
    expect(ready.write?.entries).toEqual([entry(8, 3)]);
  });

  test('what the snapshot stands for is committed, and applied', () => {
    const member = new Member(setup);
    expect([member.node.commitIndex, member.node.appliedIndex]).toEqual([5, 5]);
    const later = new Member({ ...setup, commitIndex: 7, appliedIndex: 6 });
    expect([later.node.commitIndex, later.node.appliedIndex]).toEqual([7, 6]);
  });

  test('the log may be empty: it ends where the snapshot does', () => {
    const member = new Member({ logStart: { index: 5, term: 2 }, term: 4 });
    const answers = member.answersTo(append({ term: 4, prevLog: { index: 5, term: 2 } }));
    expect(answers).toMatchObject([{ result: { success: true, matchIndex: 5 } }]);
    const gap = member.answersTo(append({ term: 4, prevLog: { index: 6, term: 2 } }));
    expect(gap).toMatchObject([{ result: { success: false, hint: { index: 5, term: 2 } } }]);
    const ask = voteRequest({
      term: 5,
      from: 'n3',
      lastLog: { index: 5, term: 1 },
      transfer: true,
    });
    expect(member.answersTo(ask)).toMatchObject([{ granted: false }]);
  });

  test('the tail behind the snapshot is replaced where it conflicts', () => {
    const member = new Member(setup);
    const ready = member.receive(
      append({ term: 4, prevLog: { index: 5, term: 2 }, entries: [entry(6, 4)] }),
    );
    expect(ready.write?.entries).toEqual([entry(6, 4)]);
    expect([member.node.lastIndex, member.node.flushedIndex]).toEqual([6, 5]);
  });

  test('it may lead, and sends what it has: from the log, or as a snapshot', () => {
    const member = leaderOf(setup);
    const prevIndex = 7;
    const near = member.receive(refused({ term: 4, prevIndex, hint: { index: 6, term: 2 } }));
    expect(near.messages).toMatchObject([{ prevLog: { index: 6, term: 2 } }]);
    const far = member.receive(
      refused({ from: 'n3', term: 4, prevIndex, hint: { index: 3, term: 2 } }),
    );
    expect([far.messages, far.snapshots]).toEqual([[], [{ member: 'n3' }]]);
  });

  test('a log that begins behind the state stops the replica', () => {
    expect(() => new Member({ ...setup, appliedIndex: 3 })).toThrow(
      'entries that it needs are gone',
    );
  });

  test('a state that is ahead of the log stops the replica', () => {
    expect(() => new Member({ ...setup, appliedIndex: 8 })).toThrow('the log has lost entries');
  });
});
