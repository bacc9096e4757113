import { describe, expect, test } from 'vitest';
import type { Message } from '../../src/raft/types.js';
import {
  append,
  appended,
  heartbeat,
  heartbeatReply,
  leaderOf,
  Member,
  refused,
  voteReply,
  voteRequest,
} from './node-fixture.js';

/** What a member of a newer term may say. */
function messagesOfTerm(term: number): Message[] {
  return [
    voteRequest({ term }),
    voteReply({ term, granted: false }),
    append({ term }),
    appended({ term, matchIndex: 0 }),
    refused({ term, prevIndex: 0, hint: { index: 0, term: 0 } }),
    heartbeat({ term }),
    heartbeatReply({ term }),
    voteReply({ term, preVote: true, granted: false }),
  ];
}

function candidate(): Member {
  const member = new Member();
  member.step({ type: 'campaign' });
  member.receive(voteReply({ term: 1, preVote: true }));
  member.persist();
  expect(member.node.role).toBe('candidate');
  return member;
}

describe('terms (paper §5.1)', () => {
  test('a member starts as a follower of nobody, in the term and with the vote it had saved', () => {
    const { node } = new Member({ term: 7, votedFor: 'n3', log: [1, 5] });
    expect([node.role, node.term, node.votedFor, node.leader]).toEqual(['follower', 7, 'n3', null]);
  });

  test('an election begins a new term, the next integer', () => {
    const member = leaderOf({ log: [1, 4], term: 6 });
    expect(member.node.term).toBe(7);
  });

  test('whoever wins serves as leader for the rest of the term', () => {
    const member = leaderOf();
    for (const message of messagesOfTerm(1).filter((m) => !isFromLeader(m))) {
      member.receive(message);
    }
    expect([member.node.role, member.node.term]).toEqual(['leader', 1]);
  });

  describe('a server whose term is smaller updates it to the larger value', () => {
    for (const message of messagesOfTerm(5)) {
      test(`a follower, by ${name(message)}`, () => {
        const member = new Member({ term: 2, votedFor: 'n3' });
        const ready = member.receive(message);
        expect(member.node.term).toBe(5);
        expect(member.node.role).toBe('follower');
        expect(ready.write?.hardState?.currentTerm).toBe(5);
      });
    }
  });

  describe('a candidate or leader whose term is out of date reverts to follower at once', () => {
    for (const message of messagesOfTerm(9)) {
      test(`a candidate, by ${name(message)}`, () => {
        const member = candidate();
        member.receive(message);
        expect([member.node.role, member.node.term]).toEqual(['follower', 9]);
      });

      // While it leads it ignores votes asked for: see pre-vote.test.ts.
      if (message.type === 'RequestVote') continue;
      test(`a leader, by ${name(message)}`, () => {
        const member = leaderOf();
        member.receive(message);
        expect([member.node.role, member.node.term]).toEqual(['follower', 9]);
      });
    }
  });

  test('who learns a new term has no vote in it yet', () => {
    const member = new Member({ term: 2, votedFor: 'n3' });
    member.receive(heartbeatReply({ term: 3 }));
    expect(member.node.votedFor).toBeNull();
  });

  describe('a request with a stale term number is rejected', () => {
    for (const message of [voteRequest({ term: 2 }), voteRequest({ term: 2, preVote: true })]) {
      test(name(message), () => {
        const member = new Member({ term: 3 });
        expect(member.answersTo(message)).toMatchObject([
          { type: 'RequestVoteReply', to: 'n2', term: 3, granted: false },
        ]);
        expect(member.node.votedFor).toBeNull();
      });
    }

    test('AppendEntries, without effect on the log or on the leader known', () => {
      const member = new Member({ term: 3, log: [1, 1] });
      const stale = append({ term: 2, prevLog: { index: 2, term: 1 }, leaderCommit: 2 });
      expect(member.answersTo(stale)).toMatchObject([
        { type: 'AppendEntriesReply', to: 'n2', term: 3, result: { success: false } },
      ]);
      expect([member.node.leader, member.node.commitIndex]).toEqual([null, 0]);
    });

    test('a heartbeat, with an answer that confirms no round of reads', () => {
      const member = new Member({ term: 3, log: [1, 1] });
      expect(member.answersTo(heartbeat({ term: 2, commit: 2, readRound: 8 }))).toMatchObject([
        { type: 'HeartbeatReply', to: 'n2', term: 3, readRound: 0 },
      ]);
      expect([member.node.leader, member.node.commitIndex]).toEqual([null, 0]);
    });
  });

  test('answers with a stale term number are ignored', () => {
    const member = leaderOf({ term: 4 });
    member.propose('x');
    member.persist();
    member.receive(appended({ term: 4, matchIndex: 2 }), appended({ term: 4, matchIndex: 2 }));
    expect(member.node.commitIndex).toBe(0);
  });

  test('a message to another member, or to an earlier incarnation of this one, is ignored', () => {
    const member = new Member();
    const ready = member.receive(heartbeat({ term: 4, to: 'n1.old' }));
    expect([member.node.term, ready.messages, ready.write]).toEqual([0, [], null]);
  });
});

function isFromLeader(message: Message): boolean {
  return message.type === 'AppendEntries' || message.type === 'Heartbeat';
}

function name(message: Message): string {
  const preVote = 'preVote' in message && message.preVote ? ' (pre-vote)' : '';
  const refusal =
    message.type === 'AppendEntriesReply' && !message.result.success ? ' (refusal)' : '';
  return `${message.type}${preVote}${refusal}`;
}
