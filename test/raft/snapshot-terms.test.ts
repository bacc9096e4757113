import { describe, expect, test } from 'vitest';
import { formedWith } from '../../src/raft/configuration.js';
import type { LogPosition, RaftEvent, SnapshotOffer } from '../../src/raft/types.js';
import {
  append,
  appended,
  ELECTION_TICKS,
  elect,
  entriesOf,
  heartbeat,
  leaderOf,
  Member,
  type MemberSetup,
  ofType,
  voteReply,
  voteRequest,
} from './node-fixture.js';

/** The sender has led term 2, and what it sends was committed by then. */
const position = { index: 5, term: 2 };

function offer(fields: Partial<SnapshotOffer> = {}): RaftEvent {
  const configuration = formedWith(['n1', 'n2', 'n3']);
  return {
    type: 'snapshot-received',
    snapshot: { from: 'n2', term: 2, position, configuration, ...fields },
  };
}

function installed(at: LogPosition = position): RaftEvent {
  return { type: 'snapshot-installed', position: at };
}

/** Ticks until it asks for votes; what comes with each of them is `event`. */
function ticksToCampaign(member: Member, event: RaftEvent | null): number {
  for (let ticks = 1; ticks <= 3 * ELECTION_TICKS; ticks += 1) {
    const ready = member.step(...(event === null ? [] : [event]), { type: 'tick' });
    if (ofType(ready.messages, 'RequestVote').length > 0) return ticks;
  }
  throw new Error('it starts no election');
}

describe('a snapshot of an older term', () => {
  test('is installed: what it holds stays committed, whoever leads', () => {
    const member = new Member({ term: 4, log: [1, 1] });
    const ready = member.step(offer());
    expect(ready.install).toMatchObject({ from: 'n2', term: 2, position });
    expect([member.node.term, member.node.leader, ready.write]).toEqual([4, null, null]);
    member.step(installed());
    expect([member.node.commitIndex, member.node.logStart]).toEqual([5, position]);
  });

  test('changes nothing in who is followed; that one is told when it is in place, in its own term', () => {
    const member = new Member({ term: 2, log: [1, 1] });
    member.receive(heartbeat({ from: 'n3', term: 4 }));
    member.persist();
    expect(member.step(offer()).messages).toEqual([]);
    expect([member.node.term, member.node.leader]).toEqual([4, 'n3']);
    expect(member.step(installed()).messages).toEqual([
      appended({ from: 'n1', to: 'n3', term: 4, matchIndex: 5 }),
    ]);
  });

  test('may be that of the present leader, which led before', () => {
    const member = new Member({ term: 2, log: [1, 1] });
    member.receive(heartbeat({ from: 'n2', term: 4 }));
    member.persist();
    member.step(offer());
    expect(member.step(installed()).messages).toEqual([
      appended({ from: 'n1', to: 'n2', term: 4, matchIndex: 5 }),
    ]);
  });

  test('takes the place of what a later leader has sent: that goes through less than it holds', () => {
    // Given the leader of term 4 has sent what comes first
    const member = new Member({ term: 2 });
    member.receive(append({ from: 'n3', term: 4, entries: entriesOf([1, 1, 1]) }));
    member.persist();
    // When the snapshot of term 2 arrives
    member.step(offer(), installed());
    // Then what follows goes on behind it
    const more = append({ from: 'n3', term: 4, prevLog: position, entries: entriesOf([4], 6) });
    expect(member.answersTo(more)).toMatchObject([{ result: { success: true, matchIndex: 6 } }]);
    expect(member.node.lastIndex).toBe(6);
  });

  test('that is behind what is committed is not installed, and the present leader is told', () => {
    const member = new Member({ term: 2, log: [1, 1, 2, 2, 2, 2, 2], commitIndex: 6 });
    member.receive(heartbeat({ from: 'n3', term: 4 }));
    member.persist();
    const ready = member.step(offer());
    expect(ready.install).toBeNull();
    expect(ready.messages).toEqual([appended({ from: 'n1', to: 'n3', term: 4, matchIndex: 6 })]);
  });

  test('that is behind what is committed tells nobody when nobody leads, its sender least of all', () => {
    const member = new Member({ term: 4, log: [1, 1, 2, 2, 2, 2], commitIndex: 6 });
    const ready = member.step(offer());
    expect([ready.install, ready.messages, ready.messagesAfterPersist]).toEqual([null, [], []]);
  });

  test('that the log holds shows what is committed', () => {
    const member = new Member({ term: 4, log: [1, 1, 2, 2, 2, 4, 4] });
    const ready = member.step(offer());
    expect([ready.install, ready.commitIndex, member.node.lastIndex]).toEqual([null, 5, 7]);
  });

  test('ends in no later term than that in which its sender led', () => {
    const wrong = offer({ position: { index: 5, term: 3 } });
    expect(() => new Member({ term: 4 }).step(wrong)).toThrow('committed when its sender led');
  });
});

describe('a snapshot of an older term, and members of which the own log says more', () => {
  const ADDED = { voters: ['n1', 'n2', 'n3'], learners: ['n4'] };
  const configuration = { ...formedWith(['n1', 'n2', 'n3', 'n5']), index: 4 };

  test.each([2, 7])('what the log said at %i and nobody committed is forgotten', (index) => {
    const log = [1, 1, 3, 3, 3, 3, 3];
    const member = new Member({ term: 4, log, configurations: { [index]: ADDED } });
    expect(member.node.configuration.learners).toEqual(['n4']);
    member.step(offer({ configuration }));
    // Until it is in place the latest one in the log counts (paper §6).
    expect(member.node.configuration.learners).toEqual(['n4']);
    const ready = member.step(installed());
    expect(member.node.configuration).toEqual(configuration);
    expect(ready.events).toContainEqual({ type: 'configuration', configuration, committed: true });
  });

  test('what stands behind its place in a log that holds it stays in effect', () => {
    const log = [1, 1, 2, 2, 2, 4, 4];
    const member = new Member({ term: 4, log, configurations: { 7: ADDED } });
    expect(member.step(offer({ configuration })).install).toBeNull();
    expect(member.node.configuration).toMatchObject({ index: 7, learners: ['n4'] });
  });
});

describe('a leader and a snapshot', () => {
  const setup: MemberSetup = { log: [1, 2, 2, 2, 2], term: 2 };

  test('one of an older term is ignored, and so is what it says is committed', () => {
    const leader = leaderOf(setup);
    expect([leader.node.term, leader.node.commitIndex]).toEqual([3, 0]);
    for (const at of [position, { index: 9, term: 2 }]) {
      const ready = leader.step(offer({ position: at }));
      expect([ready.install, ready.messages, ready.commitIndex]).toEqual([null, [], 0]);
      expect(ready.events).toMatchObject([{ type: 'snapshot', phase: 'ignored' }]);
    }
    expect([leader.node.role, leader.node.lastIndex]).toEqual(['leader', 6]);
  });

  test('one of a later term ends its leadership (paper §5.1)', () => {
    const leader = leaderOf(setup);
    const ready = leader.step(offer({ term: 5, position: { index: 9, term: 5 } }));
    expect([leader.node.role, leader.node.term]).toEqual(['follower', 5]);
    expect(ready.install).not.toBeNull();
    expect(ready.write?.hardState?.currentTerm).toBe(5);
  });
});

describe('a snapshot is no sign of life of a leader', () => {
  const behind: MemberSetup = { term: 2, log: [1, 1] };
  const ahead: MemberSetup = { term: 2, log: [1, 1, 2, 2, 2, 2], commitIndex: 6 };

  test.each([2, 1])('one that comes again and again, of term %i, puts off no election', (term) => {
    const alone = ticksToCampaign(new Member(ahead), null);
    const again = offer({ term, position: { index: 5, term: 1 } });
    expect(ticksToCampaign(new Member(ahead), again)).toBe(alone);
  });

  test('one that is installed shortens no wait and lengthens none', () => {
    const alone = ticksToCampaign(new Member(behind), null);
    const member = new Member(behind);
    member.step(offer(), installed());
    expect(ticksToCampaign(member, null)).toBe(alone);
  });

  test('whoever has got one still helps others to be elected', () => {
    for (const term of [2, 3]) {
      const member = new Member(ahead);
      member.step(offer({ term }));
      member.persist();
      const ask = voteRequest({ from: 'n3', term: 4, lastLog: { index: 6, term: 2 } });
      expect(member.answersTo({ ...ask, preVote: true } as typeof ask)).toMatchObject([
        { granted: true },
      ]);
      expect(member.answersTo(ask)).toMatchObject([{ granted: true }]);
    }
  });

  test('a candidacy is given up for one that is installed; votes that come late elect nobody', () => {
    for (const role of ['pre-candidate', 'candidate']) {
      const member = new Member(behind);
      member.step({ type: 'campaign' });
      if (role === 'candidate') {
        member.receive(voteReply({ from: 'n2', term: 3, preVote: true }));
        member.persist();
      }
      expect(member.node.role).toBe(role);
      const { term } = member.node;
      expect(member.step(offer()).install).not.toBeNull();
      expect([member.node.role, member.node.term]).toEqual(['follower', term]);
      const late = voteReply({ from: 'n3', term: 3, preVote: role === 'pre-candidate' });
      expect(member.receive(late).messages).toEqual([]);
      expect(member.node.role).toBe('follower');
      // With the snapshot in place it may be elected.
      member.step(installed());
      elect(member, ['n2', 'n3']);
      expect(member.node.lastIndex).toBe(6);
    }
  });

  test('a candidacy goes on when it brings nothing', () => {
    const member = new Member(ahead);
    member.step({ type: 'campaign' });
    member.step(offer());
    expect(member.node.role).toBe('pre-candidate');
  });
});
