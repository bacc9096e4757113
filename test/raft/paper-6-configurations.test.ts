import { describe, expect, test } from 'vitest';
import { formedWith } from '../../src/raft/configuration.js';
import type { Configuration, MemberId, Ready } from '../../src/raft/types.js';
import { membersOf } from './membership-fixture.js';
import {
  append,
  configurationEntry,
  ELECTION_TICKS,
  entry,
  heartbeat,
  Member,
  type MemberSetup,
  ofType,
  voteReply,
} from './node-fixture.js';

/** Where a configuration comes from and how long it holds, at any member. */

const JOINT = { voters: ['n1', 'n2', 'n4'], votersOutgoing: ['n1', 'n2', 'n3'] };

/** A follower of n2 in term 1, whose log holds one entry and then a joint configuration. */
function followerWith(setup: MemberSetup = {}): Member {
  const member = new Member(setup);
  member.receive(append({ term: 1, entries: [entry(1, 1), configurationEntry(2, 1, JOINT)] }));
  member.persist();
  return member;
}

describe('a configuration is in effect as soon as it is in the log (paper §6)', () => {
  test('a follower uses it before it is committed, and says so', () => {
    const member = new Member();
    const ready = member.receive(append({ term: 1, entries: [configurationEntry(1, 1, JOINT)] }));
    expect(membersOf(member)).toEqual({ index: 1, ...JOINT });
    expect(ready.events).toContainEqual({
      type: 'configuration',
      configuration: formedWith(JOINT.voters, { ...JOINT, index: 1 }),
      committed: false,
    });
  });

  test('it says so again when it is committed', () => {
    const member = followerWith();
    const ready = member.receive(heartbeat({ term: 1, commit: 2 }));
    expect(ready.events).toMatchObject([
      { type: 'configuration', configuration: { index: 2 }, committed: true },
    ]);
  });

  test('a candidate asks the voters of the latest one in its log', () => {
    const ready = followerWith().tick(2 * ELECTION_TICKS);
    const asked = ofType(ready.messages, 'RequestVote').map((m) => m.to);
    expect([...new Set(asked)]).toEqual(['n2', 'n4', 'n3']);
  });

  test('two in one message: the later one is in effect', () => {
    const member = new Member();
    const later = { voters: ['n1', 'n2', 'n4'] };
    member.receive(
      append({
        term: 1,
        entries: [configurationEntry(1, 1, JOINT), configurationEntry(2, 1, later)],
      }),
    );
    expect(membersOf(member)).toEqual({ index: 2, ...later });
  });
});

describe('a configuration that is cut off is rolled back', () => {
  test('to the one before it', () => {
    const member = followerWith();
    const ready = member.receive(
      append({ term: 2, from: 'n3', prevLog: { index: 1, term: 1 }, entries: [entry(2, 2)] }),
    );
    expect(membersOf(member)).toEqual({ index: 0, voters: ['n1', 'n2', 'n3'] });
    expect(ready.events).toContainEqual({
      type: 'configuration',
      configuration: formedWith(['n1', 'n2', 'n3']),
      committed: true,
    });
  });

  test('also through two of them, and to one that is not committed either', () => {
    const member = followerWith();
    const final = { voters: JOINT.voters };
    const third = { voters: JOINT.voters, learners: ['n5'] };
    const more = [configurationEntry(3, 1, final), configurationEntry(4, 1, third)];
    member.receive(append({ term: 1, prevLog: { index: 2, term: 1 }, entries: more }));
    const ready = member.receive(
      append({ term: 2, prevLog: { index: 2, term: 1 }, entries: [entry(3, 2)] }),
    );
    expect(membersOf(member)).toEqual({ index: 2, ...JOINT });
    expect(ready.events).toContainEqual(
      expect.objectContaining({ type: 'configuration', committed: false }),
    );
  });

  test('by another one at the same place', () => {
    const member = followerWith();
    const other = { voters: ['n1', 'n2', 'n3'], learners: ['n9'] };
    member.receive(
      append({
        term: 2,
        prevLog: { index: 1, term: 1 },
        entries: [configurationEntry(2, 2, other)],
      }),
    );
    expect(membersOf(member)).toEqual({ index: 2, ...other });
  });

  test('an entry behind it that is cut off does not touch it', () => {
    const member = followerWith();
    member.receive(append({ term: 1, prevLog: { index: 2, term: 1 }, entries: [entry(3, 1)] }));
    member.receive(append({ term: 2, prevLog: { index: 2, term: 1 }, entries: [entry(3, 2)] }));
    expect(membersOf(member)).toEqual({ index: 2, ...JOINT });
  });
});

describe('a snapshot that takes the place of the log', () => {
  /** Its own log says other things of the members, at places 2 and 3, which were never committed. */
  function install(member: Member, configuration: Configuration): Ready {
    const position = { index: 9, term: 2 };
    const snapshot = { from: 'n2', term: 2, position, configuration };
    member.step({ type: 'snapshot-received', snapshot });
    return member.step({ type: 'snapshot-installed', position });
  }
  const stale = { log: [1, 1, 1], configurations: { 2: JOINT, 3: { voters: ['n1', 'n4'] } } };

  for (const index of [0, 1, 2, 3, 4, 9]) {
    test(`brings its configuration, of index ${index}; what was not committed is forgotten`, () => {
      const member = new Member(stale);
      const configuration = formedWith(['n1', 'n2', 'n3'], { learners: ['n5'], index });
      const ready = install(member, configuration);
      expect(member.node.configuration).toEqual(configuration);
      expect(ready.events).toContainEqual({
        type: 'configuration',
        configuration,
        committed: true,
      });
    });
  }

  test('may bring a joint one: its old half still counts', () => {
    const member = new Member(stale);
    install(member, formedWith(JOINT.voters, { ...JOINT, index: 7 }));
    const ready = member.tick(2 * ELECTION_TICKS);
    expect(ofType(ready.messages, 'RequestVote').map((m) => m.to)).toEqual(['n2', 'n4', 'n3']);
  });

  test('may make a learner a voter, and a voter a learner', () => {
    const member = new Member({ voters: ['n2', 'n3'], learners: ['n1'] });
    install(member, formedWith(['n1', 'n2', 'n3'], { index: 5 }));
    member.tick(2 * ELECTION_TICKS);
    expect(member.node.role).toBe('pre-candidate');
    const other = new Member();
    install(other, formedWith(['n2', 'n3'], { index: 5, learners: ['n1'] }));
    other.tick(2 * ELECTION_TICKS);
    expect(other.node.role).toBe('follower');
  });

  test('may be how a member learns that it is removed', () => {
    const ready = install(new Member(stale), formedWith(['n2', 'n3'], { index: 3 }));
    expect(ready.events).toContainEqual({ type: 'removed' });
  });
});

describe('a restart', () => {
  const log = [1, 1, 1, 1];
  const configurations = { 2: JOINT, 4: { voters: JOINT.voters } };

  test('finds the latest configuration of the log in effect, committed or not', () => {
    expect(membersOf(new Member({ log, configurations }))).toEqual({
      index: 4,
      voters: JOINT.voters,
    });
  });

  test('rolls back what was not committed when it is cut off', () => {
    const member = new Member({ log, configurations, commitIndex: 2 });
    const conflict = { prevLog: { index: 3, term: 1 }, entries: [entry(4, 2)] };
    member.receive(append({ term: 2, ...conflict }));
    expect(membersOf(member)).toEqual({ index: 2, ...JOINT });
  });

  test('starts from the one that was applied, whatever the log holds before it', () => {
    const base = { configurationIndex: 2, appliedIndex: 3, voters: ['n1', 'n5'] };
    const member = new Member({ ...base, log, configurations: { 1: JOINT, 2: JOINT } });
    expect(membersOf(member)).toEqual({ index: 2, voters: ['n1', 'n5'] });
    const later = new Member({ ...base, log, configurations: { 1: JOINT, 4: JOINT } });
    expect(membersOf(later)).toEqual({ index: 4, ...JOINT });
  });

  test('tells nothing of what was committed before', () => {
    const member = new Member({ log, configurations, commitIndex: 4 });
    expect(member.tick().events).toEqual([]);
  });
});

describe('a member that is removed', () => {
  const without: { voters: MemberId[] } = { voters: ['n2', 'n3'] };

  function removed(): Member {
    const member = new Member();
    member.receive(append({ term: 1, entries: [configurationEntry(1, 1, without)] }));
    member.persist();
    return member;
  }

  test('says so once, when the configuration without it is committed', () => {
    const member = removed();
    const first = member.receive(heartbeat({ term: 1, commit: 1 }));
    expect(first.events.map((event) => event.type)).toEqual(['configuration', 'removed']);
    const more = append({
      term: 1,
      prevLog: { index: 1, term: 1 },
      entries: [entry(2, 1)],
      leaderCommit: 2,
    });
    expect(member.receive(more).events).toEqual([]);
  });

  test('says so also when it was committed before a restart and not applied', () => {
    const setup = { log: [1], configurations: { 1: without }, commitIndex: 1 };
    expect(new Member(setup).tick().events).toEqual([{ type: 'removed' }]);
  });

  test('a joint configuration that it leaves by does not remove it yet', () => {
    const member = new Member();
    const joint = { ...without, votersOutgoing: ['n1', 'n2', 'n3'] };
    const ready = member.receive(
      append({ term: 1, entries: [configurationEntry(1, 1, joint)], leaderCommit: 1 }),
    );
    expect(ready.events.map((event) => event.type)).not.toContain('removed');
  });

  test('one that becomes a learner is not removed', () => {
    const member = new Member();
    const demoted = { ...without, learners: ['n1'] };
    const ready = member.receive(
      append({ term: 1, entries: [configurationEntry(1, 1, demoted)], leaderCommit: 1 }),
    );
    expect(ready.events.map((event) => event.type)).not.toContain('removed');
  });

  test('one that joins is not removed by what was committed before it came', () => {
    const member = new Member({ id: 'n4', voters: [] });
    const entries = [configurationEntry(1, 1, without), entry(2, 1)];
    const ready = member.receive(append({ to: 'n4', term: 1, entries, leaderCommit: 2 }));
    expect(ready.events.map((event) => event.type)).not.toContain('removed');
  });

  test.each([
    ['hears of both in one message', {}],
    ['finds both committed when it starts', { log: [1, 1], commitIndex: 2 }],
  ])('one that joined and was removed says so when it %s', (_how, restored) => {
    const joined = { ...without, learners: ['n4'] };
    const configurations = { 1: joined, 2: without };
    const setup = { id: 'n4', voters: ['n2', 'n3'], ...restored };
    const events =
      'log' in restored
        ? new Member({ ...setup, configurations }).tick().events
        : new Member(setup).receive(
            append({
              to: 'n4',
              term: 1,
              entries: [configurationEntry(1, 1, joined), configurationEntry(2, 1, without)],
              leaderCommit: 2,
            }),
          ).events;
    expect(events).toContainEqual({ type: 'removed' });
  });

  test('never campaigns again', () => {
    const member = removed();
    member.receive(heartbeat({ term: 1, commit: 1 }));
    member.tick(10 * ELECTION_TICKS);
    member.step({ type: 'campaign' });
    member.receive({ type: 'TimeoutNow', from: 'n2', to: 'n1', term: 1 });
    expect([member.node.role, member.node.term]).toEqual(['follower', 1]);
  });

  test('campaigns while that is not committed: those who stay may need its longer log (thesis §4.2.2)', () => {
    // n2 and n3 lost the entry with a power failure: only this member can still be elected.
    const member = removed();
    const ready = member.tick(3 * ELECTION_TICKS);
    expect(ofType(ready.messages, 'RequestVote').map((m) => m.to)).toContain('n2');
    for (const preVote of [true, false]) {
      for (const from of ['n2', 'n3']) member.receive(voteReply({ from, term: 2, preVote }));
      member.persist();
    }
    expect(member.node.role).toBe('leader');
  });
});
