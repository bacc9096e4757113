import { describe, expect, test } from 'vitest';
import {
  append,
  appended,
  ELECTION_TICKS,
  entriesOf,
  entry,
  heartbeat,
  heartbeatReply,
  leaderOf,
  Member,
  ofType,
  refused,
  voteReply,
} from './node-fixture.js';

/** A leader of term 1 whose noop (entry 1) is on all disks and committed. */
function settledLeader(voters = ['n1', 'n2', 'n3']): Member {
  const member = leaderOf({ voters });
  for (const from of voters.slice(1)) member.receive(appended({ from, term: 1, matchIndex: 1 }));
  expect(member.node.commitIndex).toBe(1);
  return member;
}

describe('log replication (paper §5.3)', () => {
  test('the leader appends a command to its log as a new entry', () => {
    const member = settledLeader();
    const ready = member.propose('x', 7);
    expect(ready.proposals).toEqual([{ id: 7, accepted: true, position: { index: 2, term: 1 } }]);
    expect(ready.write?.entries).toEqual([entry(2, 1, 'x')]);
  });

  test('it sends AppendEntries to all others in parallel, and does not wait for its own disk', () => {
    const member = settledLeader();
    const ready = member.propose('x');
    const message = {
      from: 'n1',
      term: 1,
      prevLog: { index: 1, term: 1 },
      entries: [entry(2, 1, 'x')],
      leaderCommit: 1,
    };
    expect(ready.messages).toEqual([
      append({ ...message, to: 'n2' }),
      append({ ...message, to: 'n3' }),
    ]);
  });

  test('all commands of one step travel in one message to each follower and one write', () => {
    const member = settledLeader();
    const ready = member.step(
      ...[1, 2, 3].map((id) => ({ type: 'propose' as const, id, payload: Buffer.from(`${id}`) })),
    );
    expect(ready.messages).toHaveLength(2);
    expect(ofType(ready.messages, 'AppendEntries')[0]?.entries).toHaveLength(3);
    expect(ready.write?.entries).toHaveLength(3);
  });

  test('a follower, a candidate and a leader that was cut off refuse commands, and name the leader if known', () => {
    const member = new Member({ term: 1 });
    expect(member.propose('x', 1).proposals).toEqual([
      { id: 1, accepted: false, reason: 'not-leader', leader: null },
    ]);
    member.receive(heartbeat({ term: 1 }));
    expect(member.propose('x', 2).proposals).toEqual([
      { id: 2, accepted: false, reason: 'not-leader', leader: 'n2' },
    ]);
    const candidate = new Member();
    candidate.step({ type: 'campaign' });
    candidate.receive(voteReply({ term: 1, preVote: true }));
    expect(candidate.node.role).toBe('candidate');
    expect(candidate.propose('x', 3).proposals).toEqual([
      { id: 3, accepted: false, reason: 'not-leader', leader: null },
    ]);
    const cutOff = settledLeader();
    cutOff.tick(2 * ELECTION_TICKS);
    const refusal = cutOff.propose('x', 4);
    expect(refusal.proposals).toEqual([
      { id: 4, accepted: false, reason: 'not-leader', leader: null },
    ]);
    expect([refusal.write, cutOff.node.lastIndex]).toEqual([null, 1]);
  });

  test('an entry is committed once the leader that made it has replicated it on a majority', () => {
    const member = settledLeader(['n1', 'n2', 'n3', 'n4', 'n5']);
    member.propose('x');
    member.persist();
    member.receive(appended({ from: 'n2', term: 1, matchIndex: 2 }));
    expect(member.node.commitIndex).toBe(1);
    const ready = member.receive(appended({ from: 'n3', term: 1, matchIndex: 2 }));
    expect(ready.commitIndex).toBe(2);
  });

  test('a majority of followers suffices while the own disk still works (thesis §10.2.1)', () => {
    const member = settledLeader();
    member.propose('x');
    member.receive(appended({ from: 'n2', term: 1, matchIndex: 2 }));
    expect(member.node.commitIndex).toBe(1);
    member.receive(appended({ from: 'n3', term: 1, matchIndex: 2 }));
    expect(member.node.commitIndex).toBe(2);
  });

  test('the own copy counts once it is on the own disk', () => {
    const member = settledLeader();
    member.propose('x');
    member.receive(appended({ from: 'n2', term: 1, matchIndex: 2 }));
    expect(member.node.commitIndex).toBe(1);
    expect(member.persist().commitIndex).toBe(2);
  });

  test('committing an entry commits all before it, also those of earlier leaders', () => {
    const member = leaderOf({ log: [1, 2, 2], term: 2 });
    member.receive(appended({ term: 3, matchIndex: 3 }));
    expect(member.node.commitIndex).toBe(0);
    member.receive(appended({ term: 3, matchIndex: 4 }));
    expect(member.node.commitIndex).toBe(4);
  });

  test('the leader tells followers its commit index at once, and in later AppendEntries', () => {
    const member = settledLeader();
    member.propose('x');
    member.persist();
    const committed = member.receive(appended({ from: 'n2', term: 1, matchIndex: 2 }));
    expect(ofType(committed.messages, 'AppendEntries')).toMatchObject([
      { to: 'n2', entries: [], leaderCommit: 2, prevLog: { index: 2, term: 1 } },
      { to: 'n3', entries: [], leaderCommit: 2, prevLog: { index: 2, term: 1 } },
    ]);
    const next = member.propose('y');
    expect(ofType(next.messages, 'AppendEntries').map((m) => m.leaderCommit)).toEqual([2, 2]);
  });

  test('it is told once, not again with each step', () => {
    const member = settledLeader();
    member.propose('x');
    member.persist();
    member.receive(appended({ from: 'n2', term: 1, matchIndex: 2 }));
    const again = member.receive(appended({ from: 'n3', term: 1, matchIndex: 2 }));
    expect(again.messages).toEqual([]);
  });

  test('a follower that learns that an entry is committed applies it', () => {
    const member = new Member({ term: 1, log: [1, 1] });
    const ready = member.receive(
      append({ term: 1, prevLog: { index: 2, term: 1 }, leaderCommit: 2 }),
    );
    expect(ready.commitIndex).toBe(2);
  });

  test('the leader repeats AppendEntries to a follower until it has stored all', () => {
    const member = settledLeader();
    member.propose('x');
    member.step({ type: 'disconnected', member: 'n2' });
    for (let round = 0; round < 3; round += 1) {
      member.tick();
      const asked = member.receive(heartbeatReply({ term: 1 }));
      expect(ofType(asked.messages, 'AppendEntries')).toMatchObject([{ to: 'n2' }]);
    }
    const again = member.receive(appended({ term: 1, matchIndex: 1 }));
    expect(ofType(again.messages, 'AppendEntries')).toMatchObject([
      { to: 'n2', prevLog: { index: 1 }, entries: [{ index: 2 }] },
    ]);
  });

  test('a message carries index and term of the entry that precedes the new ones', () => {
    const member = leaderOf({ log: [1, 1, 3], term: 4 });
    const sent = member.receive(refused({ term: 5, prevIndex: 3, hint: { index: 2, term: 1 } }));
    expect(ofType(sent.messages, 'AppendEntries')).toMatchObject([
      { to: 'n2', prevLog: { index: 2, term: 1 }, entries: [{ index: 3 }, { index: 4 }] },
    ]);
  });

  describe('a follower that does not find that entry refuses the new ones', () => {
    const setup = { term: 6, log: [1, 4, 4, 6] };
    for (const [name, prevLog, hint] of [
      ['its log is too short', { index: 6, term: 6 }, { index: 4, term: 6 }],
      ['another term stands there', { index: 4, term: 4 }, { index: 3, term: 4 }],
      ['several terms stand in between', { index: 4, term: 3 }, { index: 1, term: 1 }],
    ] as const) {
      test(name, () => {
        const member = new Member(setup);
        const entries = [entry(prevLog.index + 1, 6)];
        const ready = member.receive(append({ term: 6, prevLog, entries, leaderCommit: 9 }));
        expect(ready.messages).toEqual([
          refused({ from: 'n1', to: 'n2', term: 6, prevIndex: prevLog.index, hint }),
        ]);
        expect([ready.write, ready.commitIndex, member.node.lastIndex]).toEqual([null, 0, 4]);
      });
    }
  });

  test('a follower that finds it appends the new entries and acknowledges them from disk', () => {
    const member = new Member({ term: 1, log: [1] });
    const entries = [entry(2, 1), entry(3, 1)];
    const ready = member.receive(append({ term: 1, prevLog: { index: 1, term: 1 }, entries }));
    expect(ready.write?.entries).toEqual(entries);
    expect(ready.messages).toEqual([]);
    expect(ready.messagesAfterPersist).toEqual([
      appended({ from: 'n1', to: 'n2', term: 1, matchIndex: 3 }),
    ]);
  });

  test('the leader finds the latest entry where both agree, a whole term at a time', () => {
    // Given the follower's term 2 run is no part of the leader's log
    const member = leaderOf({ log: [1, 1, 1, 4, 4, 5], term: 5 });
    // When it refuses with the last place of a term that is at most the leader's there
    const sent = member.receive(refused({ term: 6, prevIndex: 6, hint: { index: 5, term: 2 } }));
    // Then the leader goes back to its own last place of a term at most 2
    expect(ofType(sent.messages, 'AppendEntries')).toMatchObject([
      { prevLog: { index: 3, term: 1 } },
    ]);
  });

  test('conflicting entries of a follower are overwritten, with all that follow them', () => {
    const member = new Member({ term: 3, log: [1, 1, 2, 2, 2] });
    const entries = [entry(3, 3)];
    const ready = member.receive(append({ term: 3, prevLog: { index: 2, term: 1 }, entries }));
    expect(ready.write?.entries).toEqual(entries);
    expect([member.node.lastIndex, member.node.termAt(3)]).toEqual([3, 3]);
  });

  test('entries that agree stay, and so does all that follows them', () => {
    const member = new Member({ term: 2, log: [1, 1, 2, 2] });
    const ready = member.receive(
      append({ term: 2, prevLog: { index: 1, term: 1 }, entries: [entry(2, 1), entry(3, 2)] }),
    );
    expect([ready.write, member.node.lastIndex]).toEqual([null, 4]);
    expect(ready.messages).toMatchObject([{ result: { success: true, matchIndex: 3 } }]);
  });

  test('an empty message does not cut off what follows its place', () => {
    const member = new Member({ term: 2, log: [1, 1, 2, 2] });
    member.receive(append({ term: 2, prevLog: { index: 1, term: 1 } }));
    expect(member.node.lastIndex).toBe(4);
  });

  test('the same message, received twice, changes nothing the second time', () => {
    const member = new Member({ term: 1 });
    const message = append({ term: 1, entries: entriesOf([1, 1, 1]), leaderCommit: 2 });
    member.receive(message);
    member.persist();
    const again = member.receive(message);
    expect([again.write, again.commitIndex, member.node.lastIndex]).toEqual([null, 2, 3]);
    expect(again.messages).toMatchObject([{ result: { success: true, matchIndex: 3 } }]);
  });

  test('a message that ends before the commit index is answered with the commit index', () => {
    const member = new Member({ term: 1, log: [1, 1, 1], commitIndex: 3 });
    const ready = member.receive(append({ term: 1, entries: entriesOf([1]) }));
    expect(ready.messages).toMatchObject([{ result: { success: true, matchIndex: 3 } }]);
  });

  test('a leader never overwrites or deletes entries of its own log', () => {
    const member = leaderOf({ log: [1, 1, 1], term: 1 });
    member.receive(refused({ term: 2, prevIndex: 3, hint: { index: 0, term: 0 } }));
    expect([member.node.lastIndex, member.node.termAt(3)]).toEqual([4, 1]);
    // Entries of its own term come from nobody else; those of older terms are not looked at.
    const prevLog = { index: 2, term: 1 };
    const old = append({ term: 1, prevLog, entries: [entry(3, 1, 'other')] });
    expect(member.answersTo(old)).toMatchObject([{ term: 2, result: { success: false } }]);
    const same = append({ term: 2, prevLog, entries: [entry(3, 2)] });
    expect(() => member.receive(same)).toThrow('one leader in term 2');
    expect([member.node.lastIndex, member.node.termAt(3)]).toEqual([4, 1]);
  });

  test('a second leader in one term stops the replica', () => {
    const member = new Member({ term: 1 });
    member.receive(heartbeat({ term: 1, from: 'n2' }));
    expect(() => member.receive(heartbeat({ term: 1, from: 'n3' }))).toThrow(
      'one leader in term 1',
    );
  });
});
