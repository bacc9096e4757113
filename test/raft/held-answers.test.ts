import { describe, expect, test } from 'vitest';
import {
  append,
  appended,
  ELECTION_TICKS,
  entry,
  heartbeat,
  Member,
  ofType,
} from './node-fixture.js';

/** A follower of n2 in term 1, which has said that it has entries 1 and 2. */
function follower(): Member {
  const member = new Member({ log: [1, 1], term: 1 });
  const message = append({ term: 1, prevLog: { index: 2, term: 1 } });
  expect(member.answersTo(message)).toEqual([toLeader(2)]);
  return member;
}

const toLeader = (matchIndex: number, term = 1) =>
  appended({ from: 'n1', to: 'n2', term, matchIndex });

/** Nothing but that what is there is committed. */
const news = append({ term: 1, prevLog: { index: 2, term: 1 }, leaderCommit: 2 });

describe('the answer to nothing but a new commit index', () => {
  test('waits for the next tick, and is given once', () => {
    const member = follower();
    expect(member.answersTo(news)).toEqual([]);
    expect(member.node.commitIndex).toBe(2);
    expect(member.tick().messages).toEqual([toLeader(2)]);
    expect(member.tick().messages).toEqual([]);
  });

  test('is not given where entries behind it are acknowledged before', () => {
    const member = follower();
    member.receive(news);
    const prevLog = { index: 2, term: 1 };
    const next = append({ term: 1, prevLog, entries: [entry(3, 1)], leaderCommit: 2 });
    expect(member.answersTo(next)).toEqual([toLeader(3)]);
    expect(member.tick().messages).toEqual([]);
  });

  test('is given after all where only what was overtaken has been acknowledged', () => {
    const member = new Member({ log: [1, 1], term: 1 });
    const prevLog = { index: 2, term: 1 };
    member.receive(append({ term: 1, prevLog, leaderCommit: 1 }));
    const overtaken = append({ term: 1, prevLog: { index: 1, term: 1 }, leaderCommit: 1 });
    expect(member.answersTo(overtaken)).toEqual([toLeader(1)]);
    expect(member.tick().messages).toEqual([toLeader(2)]);
  });

  test('does not wait where it was a question: what it says is committed was known', () => {
    const member = follower();
    member.receive(news);
    expect(member.answersTo(news)).toEqual([toLeader(2)]);
    expect(member.tick().messages).toEqual([]);
  });

  test('waits for the disk, tick or not, where the disk has not taken what it vouches for', () => {
    const member = new Member({ log: [1], term: 1 });
    const prevLog = { index: 1, term: 1 };
    const first = member.receive(append({ term: 1, prevLog, entries: [entry(2, 1)] }));
    expect(first.messagesAfterPersist).toEqual([toLeader(2)]);
    member.receive(news);
    const ready = member.tick();
    expect(ofType(ready.messages, 'AppendEntriesReply')).toEqual([]);
    expect(ready.messagesAfterPersist).toEqual([toLeader(2)]);
  });

  test('is not given in another term, to another leader', () => {
    const member = follower();
    member.receive(news);
    member.receive(heartbeat({ from: 'n3', term: 2, commit: 2 }));
    member.persist();
    expect(ofType(member.tick().messages, 'AppendEntriesReply')).toEqual([]);
  });

  test('does not keep it from an election', () => {
    const member = follower();
    member.receive(news);
    member.tick(2 * ELECTION_TICKS);
    expect(member.node.role).toBe('pre-candidate');
  });
});
