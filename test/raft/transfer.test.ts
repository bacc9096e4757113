import { describe, expect, test } from 'vitest';
import type { MemberId } from '../../src/raft/types.js';
import {
  acknowledge,
  ask,
  askedToLead,
  commit,
  pass,
  settledLeader,
  timeoutNow,
  transfer,
} from './membership-fixture.js';
import {
  append,
  appended,
  ELECTION_TICKS,
  elect,
  heartbeat,
  heartbeatReply,
  leaderOf,
  Member,
  ofType,
  refused,
  voteReply,
  voteRequest,
} from './node-fixture.js';

/** Handing leadership over (thesis §3.10). */

describe('a transfer at the leader', () => {
  test('to a follower that has the whole log asks it to campaign at once', () => {
    const leader = settledLeader();
    const ready = transfer(leader, 'n3');
    expect(askedToLead(ready)).toEqual(['n3']);
    expect(ready.events).toMatchObject([
      { type: 'transfer', phase: 'started', target: 'n3' },
      { type: 'transfer', phase: 'timeout-now', target: 'n3' },
    ]);
    expect(ready.transfers).toEqual([]);
  });

  test('is over when it hears of the higher term', () => {
    const leader = settledLeader();
    transfer(leader, 'n3', 5);
    const ready = leader.receive(
      voteRequest({ from: 'n3', term: 2, lastLog: { index: 1, term: 1 }, transfer: true }),
    );
    expect(leader.node.role).toBe('follower');
    expect(ready.transfers).toEqual([{ id: 5, ok: true, target: 'n3' }]);
  });

  test('to a slow follower waits until it has the whole log', () => {
    const leader = settledLeader();
    leader.propose('x');
    expect(askedToLead(transfer(leader, 'n3'))).toEqual([]);
    leader.persist();
    acknowledge(leader, 'n2');
    expect(leader.node.commitIndex).toBe(2);
    expect(askedToLead(acknowledge(leader, 'n3'))).toEqual(['n3']);
    expect(askedToLead(acknowledge(leader, 'n3'))).toEqual([]);
  });

  test('to a follower that needs a snapshot waits until it has that, and all behind it', () => {
    const leader = leaderOf({ logStart: { index: 5, term: 1 }, log: [1], term: 1 });
    acknowledge(leader, 'n2');
    const needs = refused({ from: 'n3', term: 2, prevIndex: 6, hint: { index: 2, term: 1 } });
    expect(leader.receive(needs).snapshots).toEqual([{ member: 'n3' }]);
    expect(askedToLead(transfer(leader, 'n3'))).toEqual([]);
    expect(askedToLead(leader.step({ type: 'snapshot-sent', member: 'n3', index: 5 }))).toEqual([]);
    const behind = leader.receive(appended({ from: 'n3', term: 2, matchIndex: 5 }));
    expect(askedToLead(behind)).toEqual([]);
    expect(ofType(behind.messages, 'AppendEntries')).toMatchObject([
      { to: 'n3', entries: [{}, {}] },
    ]);
    expect(askedToLead(acknowledge(leader, 'n3'))).toEqual(['n3']);
  });

  test('takes no commands meanwhile, so that the log does not grow', () => {
    const leader = settledLeader();
    leader.propose('x');
    transfer(leader, 'n3');
    expect(leader.propose('y').proposals).toEqual([
      { id: 1, accepted: false, reason: 'transferring', leader: 'n1' },
    ]);
    acknowledge(leader, 'n3');
    expect(leader.propose('y').proposals).toMatchObject([{ reason: 'transferring' }]);
  });

  test('goes on answering reads meanwhile: it leads until it hears otherwise', () => {
    const leader = settledLeader();
    transfer(leader, 'n3');
    leader.read(9);
    const echo = heartbeatReply({ from: 'n2', term: 1, readRound: 1 });
    expect(leader.receive(echo).reads).toEqual([{ id: 9, ok: true, index: 1 }]);
  });

  test('is given up after an election timeout, and commands are taken again', () => {
    const leader = settledLeader();
    leader.propose('x');
    transfer(leader, 'n3', 4);
    const readys = pass(leader, ELECTION_TICKS);
    expect(readys.flatMap((ready) => ready.transfers)).toEqual([
      { id: 4, ok: false, reason: 'timeout', leader: 'n1' },
    ]);
    expect(readys.at(-1)?.events).toMatchObject([{ type: 'transfer', phase: 'aborted' }]);
    expect(leader.node.role).toBe('leader');
    expect(leader.propose('y').proposals).toMatchObject([{ accepted: true }]);
    expect(askedToLead(acknowledge(leader, 'n3'))).toEqual([]);
  });

  test('asks the target again as often as heartbeats go out, until it is given up', () => {
    const leader = settledLeader({ heartbeatTicks: 3 });
    expect(askedToLead(transfer(leader, 'n3'))).toEqual(['n3']);
    const asked = pass(leader, 2 * ELECTION_TICKS).map((ready) => askedToLead(ready));
    const atTicks = asked.flatMap((members, at) => (members.length === 0 ? [] : [at + 1]));
    expect(atTicks).toEqual([3, 6, 9]);
    expect(asked.flat()).toEqual(['n3', 'n3', 'n3']);
  });

  test('is given up also when the target was asked, and does not take over', () => {
    const leader = settledLeader();
    transfer(leader, 'n3', 4);
    const answers = pass(leader, ELECTION_TICKS).flatMap((ready) => ready.transfers);
    expect(answers).toMatchObject([{ id: 4, ok: false, reason: 'timeout' }]);
  });

  test('to itself is done already', () => {
    const leader = settledLeader();
    const ready = transfer(leader, 'n1', 2);
    expect(ready.transfers).toEqual([{ id: 2, ok: true, target: 'n1' }]);
    expect(leader.propose('x').proposals).toMatchObject([{ accepted: true }]);
  });

  for (const [name, target] of [
    ['a stranger', 'n9'],
    ['a learner', 'n4'],
  ] as const) {
    test(`to ${name} is refused`, () => {
      const leader = settledLeader({ learners: ['n4'] });
      const ready = transfer(leader, target, 2);
      expect(ready.transfers).toEqual([
        { id: 2, ok: false, reason: 'invalid-target', leader: 'n1' },
      ]);
      expect(ready.messages).toEqual([]);
    });
  }

  test('to a voter that leaves by the joint configuration in effect is refused', () => {
    const leader = settledLeader();
    ask(leader, { voters: ['n1', 'n2'] });
    expect(transfer(leader, 'n3').transfers).toMatchObject([{ reason: 'invalid-target' }]);
  });

  test('to a voter of which nothing is heard is refused, and commands are taken as before', () => {
    const leader = settledLeader();
    for (let i = 0; i < ELECTION_TICKS; i += 1) {
      leader.tick();
      leader.receive(heartbeatReply({ from: 'n2', term: leader.node.term }));
    }
    const ready = transfer(leader, 'n3', 4);
    expect(ready.transfers).toEqual([{ id: 4, ok: false, reason: 'silent-target', leader: 'n1' }]);
    expect(leader.propose('x').proposals).toMatchObject([{ accepted: true }]);
    leader.receive(heartbeatReply({ from: 'n3', term: leader.node.term }));
    expect(transfer(leader, 'n3', 5).transfers).toEqual([]);
  });

  test('to a voter of which a new leader has not heard yet is begun', () => {
    const leader = leaderOf();
    expect(transfer(leader, 'n3').events).toMatchObject([{ phase: 'started', target: 'n3' }]);
  });

  test('asked of a follower is refused, with the name of the leader', () => {
    const member = new Member();
    member.receive(heartbeat({ term: 1, from: 'n2' }));
    expect(transfer(member, 'n3', 6).transfers).toEqual([
      { id: 6, ok: false, reason: 'not-leader', leader: 'n2' },
    ]);
  });

  test('to nobody in particular goes to one that is heard from and has the most', () => {
    const leader = settledLeader({ voters: ['n1', 'n2', 'n3', 'n4', 'n5'] });
    leader.tick(ELECTION_TICKS - 1);
    leader.propose('x');
    leader.receive(heartbeatReply({ from: 'n2', term: 1 }));
    acknowledge(leader, 'n4');
    leader.receive(heartbeatReply({ from: 'n5', term: 1 }));
    leader.tick();
    expect(askedToLead(transfer(leader, null))).toEqual(['n4']);
  });

  test('to nobody in particular, when nobody is heard from, fails', () => {
    const leader = leaderOf();
    expect(transfer(leader, null).transfers).toMatchObject([{ ok: false, reason: 'no-target' }]);
    const alone = leaderOf({ voters: ['n1'], learners: ['n4'] });
    expect(transfer(alone, null).transfers).toMatchObject([{ ok: false, reason: 'no-target' }]);
  });

  test('to a second target takes the place of the first', () => {
    const leader = settledLeader();
    leader.propose('x');
    transfer(leader, 'n2', 1);
    const ready = transfer(leader, 'n3', 2);
    expect(ready.transfers).toEqual([{ id: 1, ok: false, reason: 'superseded', leader: 'n1' }]);
    expect(askedToLead(acknowledge(leader, 'n2'))).toEqual([]);
    expect(askedToLead(acknowledge(leader, 'n3'))).toEqual(['n3']);
  });

  test('to itself ends one that is under way', () => {
    const leader = settledLeader();
    leader.propose('x');
    transfer(leader, 'n2', 1);
    expect(transfer(leader, 'n1', 2).transfers).toMatchObject([
      { id: 1, reason: 'superseded' },
      { id: 2, ok: true },
    ]);
  });

  test('to the same target again joins the first, and gets no more time', () => {
    const leader = settledLeader();
    leader.propose('x');
    transfer(leader, 'n3', 1);
    pass(leader, ELECTION_TICKS - 1);
    expect(transfer(leader, 'n3', 2).transfers).toEqual([]);
    const answers = pass(leader, 1).flatMap((ready) => ready.transfers);
    expect(answers).toMatchObject([
      { id: 1, reason: 'timeout' },
      { id: 2, reason: 'timeout' },
    ]);
  });

  test('ends when another is elected before the target was asked', () => {
    const leader = settledLeader();
    leader.propose('x');
    transfer(leader, 'n3', 1);
    const ready = leader.receive(heartbeat({ term: 5, from: 'n2' }));
    expect(ready.transfers).toEqual([{ id: 1, ok: false, reason: 'not-leader', leader: 'n2' }]);
  });

  test('ends when the leader hears no quorum any more', () => {
    const leader = settledLeader({ electionTicks: 30 });
    leader.tick(20);
    leader.propose('x');
    transfer(leader, 'n3', 1);
    const ready = leader.tick(15);
    expect(leader.node.role).toBe('follower');
    expect(ready.transfers).toMatchObject([{ id: 1, ok: false, reason: 'not-leader' }]);
  });

  for (const [name, learners] of [
    ['removed', [] as string[]],
    ['made a learner', ['n3']],
  ] as const) {
    test(`ends when its target is ${name}`, () => {
      const leader = settledLeader();
      leader.propose('x');
      transfer(leader, 'n3', 1);
      const ready = ask(leader, { voters: ['n1', 'n2'], learners: [...learners] });
      expect(ready.transfers).toMatchObject([{ id: 1, ok: false, reason: 'invalid-target' }]);
      expect(ready.configurationChanges).toMatchObject([{ accepted: true }]);
      expect(leader.propose('y').proposals).toMatchObject([{ accepted: true }]);
    });
  }

  test('no other change of the members begins meanwhile', () => {
    const leader = settledLeader();
    leader.propose('x');
    transfer(leader, 'n3', 1);
    const ready = ask(leader, { learners: ['n4'] });
    expect(ready.configurationChanges).toMatchObject([{ accepted: false, reason: 'transferring' }]);
  });

  test('waits for the final configuration that is appended meanwhile', () => {
    const leader = settledLeader();
    ask(leader, { voters: ['n1', 'n2'] });
    transfer(leader, 'n2');
    commit(leader, 'n3');
    expect(askedToLead(acknowledge(leader, 'n2'))).toEqual([]);
    expect(leader.node.lastIndex).toBe(3);
    expect(askedToLead(acknowledge(leader, 'n2'))).toEqual(['n2']);
  });
});

describe('a transfer at the target', () => {
  test('begins an election at once, without a pre-vote, although it hears a leader', () => {
    const member = new Member({ term: 1 });
    member.receive(heartbeat({ term: 1 }));
    const ready = member.receive(timeoutNow({ term: 1 }));
    expect([member.node.role, member.node.term, member.node.votedFor]).toEqual([
      'candidate',
      2,
      'n1',
    ]);
    expect(ready.messages).toEqual([]);
    expect(ofType(ready.messagesAfterPersist, 'RequestVote')).toMatchObject([
      { to: 'n2', preVote: false, transfer: true, term: 2 },
      { to: 'n3', preVote: false, transfer: true, term: 2 },
    ]);
  });

  test('an election that it has to repeat is one like any other', () => {
    const member = new Member({ term: 1 });
    member.receive(timeoutNow({ term: 1 }));
    const ready = member.tick(2 * ELECTION_TICKS);
    expect(ofType(ready.messages, 'RequestVote')).toMatchObject([
      { preVote: true, transfer: false },
      { preVote: true, transfer: false },
    ]);
  });

  test('TimeoutNow of an old term does nothing', () => {
    const member = new Member({ term: 3 });
    const ready = member.receive(timeoutNow({ term: 2 }));
    expect([member.node.role, member.node.term, ready.write]).toEqual(['follower', 3, null]);
  });

  test('TimeoutNow from somebody who does not lead does nothing', () => {
    const member = new Member({ term: 1 });
    member.receive(heartbeat({ term: 1, from: 'n2' }));
    member.receive(timeoutNow({ term: 1, from: 'n3' }));
    expect(member.node.role).toBe('follower');
  });

  test('TimeoutNow at who is not in the configuration does nothing', () => {
    const member = new Member({ voters: ['n2', 'n3'], term: 1 });
    member.receive(timeoutNow({ term: 1 }));
    expect([member.node.role, member.node.term]).toEqual(['follower', 1]);
  });

  test('the others vote although they hear the leader', () => {
    const member = new Member({ term: 1 });
    member.receive(heartbeat({ term: 1, from: 'n2' }));
    const request = voteRequest({ from: 'n3', term: 2, transfer: true });
    expect(member.answersTo(request)).toMatchObject([{ granted: true, term: 2 }]);
  });

  test('but not for who lacks entries', () => {
    const member = new Member({ log: [1, 1] });
    member.receive(heartbeat({ term: 1, from: 'n2' }));
    const request = voteRequest({
      from: 'n3',
      term: 2,
      lastLog: { index: 1, term: 1 },
      transfer: true,
    });
    expect(member.answersTo(request)).toMatchObject([{ granted: false }]);
  });

  test('leadership can be handed back', () => {
    const first = settledLeader();
    transfer(first, 'n2');
    const lastLog = { index: 1, term: 1 };
    first.receive(voteRequest({ from: 'n2', term: 2, lastLog, transfer: true }));
    first.persist();
    const noop = { index: 2, term: 2, type: 'noop', payload: new Uint8Array(0) } as const;
    first.receive(append({ from: 'n2', term: 2, prevLog: lastLog, entries: [noop] }));
    first.persist();
    first.receive(timeoutNow({ term: 2 }));
    first.persist();
    first.receive(voteReply({ from: 'n3', term: 3 }));
    expect([first.node.role, first.node.term]).toEqual(['leader', 3]);
  });
});

describe('a member of higher priority', () => {
  function leaderWith(priorities: Record<MemberId, number>, priority = 50): Member {
    const leader = settledLeader({ priority });
    for (const [from, of] of Object.entries(priorities)) {
      leader.receive(heartbeatReply({ from, term: 1, priority: of }));
    }
    return leader;
  }

  function live(leader: Member, ticks: number, priorities: Record<MemberId, number>): MemberId[] {
    return Array.from({ length: ticks }, () => {
      const asked = askedToLead(leader.tick());
      const { term } = leader.node;
      for (const [from, priority] of Object.entries(priorities)) {
        asked.push(...askedToLead(leader.receive(heartbeatReply({ from, term, priority }))));
      }
      return asked;
    }).flat();
  }

  test('is handed the leadership after an election timeout, the highest first', () => {
    const priorities = { n2: 60, n3: 70 };
    const leader = leaderWith(priorities);
    expect(live(leader, ELECTION_TICKS - 1, priorities)).toEqual([]);
    expect(live(leader, 1, priorities)).toEqual(['n3']);
  });

  test('is not, when its priority is the same or lower', () => {
    const priorities = { n2: 50, n3: 10 };
    expect(live(leaderWith(priorities), 5 * ELECTION_TICKS, priorities)).toEqual([]);
  });

  test('is not, when it is silent or lacks what is committed', () => {
    const leader = leaderWith({ n2: 50, n3: 90 });
    leader.propose('x');
    leader.persist();
    acknowledge(leader, 'n2');
    expect(live(leader, 5 * ELECTION_TICKS, { n2: 50, n3: 90 })).toEqual([]);
    const other = leaderWith({ n2: 50, n3: 90 });
    expect(live(other, 5 * ELECTION_TICKS, { n2: 50 })).toEqual([]);
  });

  test('is asked again only after a while when it does not take over', () => {
    const priorities = { n2: 50, n3: 90 };
    const leader = leaderWith(priorities);
    expect(live(leader, ELECTION_TICKS, priorities)).toEqual(['n3']);
    // The same attempt, repeated at each heartbeat, and here each tick has one.
    expect(live(leader, ELECTION_TICKS, priorities)).toEqual(Array(ELECTION_TICKS - 1).fill('n3'));
    expect(live(leader, 9 * ELECTION_TICKS - 1, priorities)).toEqual([]);
    expect(live(leader, 1, priorities)).toEqual(['n3']);
  });

  test('is not, while the members change, or when it is about to be replaced', () => {
    const priorities = { n2: 50, n3: 90 };
    const leader = leaderWith(priorities);
    ask(leader, { learners: ['n4'], promotions: [{ member: 'n4', replaces: 'n3' }] });
    commit(leader, 'n2', 'n3');
    expect(live(leader, 5 * ELECTION_TICKS, priorities)).toEqual([]);
  });

  test('a member of priority 0 leaves it to others to start an election', () => {
    const member = new Member({ priority: 0, term: 1 });
    for (let round = 0; round < 5; round += 1) {
      member.receive(heartbeat({ term: 1 }));
      member.tick(5 * ELECTION_TICKS);
      const { role, term, leader } = member.node;
      expect([role, term, leader]).toEqual(['follower', 1, null]);
    }
    member.receive(timeoutNow({ term: 1 }));
    expect(member.node.role).toBe('candidate');
  });

  test('a member of priority 0 starts one when nobody else has come forward for long', () => {
    const member = new Member({ priority: 0, term: 1 });
    member.receive(heartbeat({ term: 1 }));
    member.tick(12 * ELECTION_TICKS);
    expect(member.node.role).toBe('pre-candidate');
  });

  test('a member of priority 0 votes, and leads when it is elected', () => {
    const member = new Member({ priority: 0 });
    const granted = member.answersTo(voteRequest({ term: 1, preVote: true }));
    expect(granted).toMatchObject([{ granted: true }]);
    elect(member, ['n2']);
    expect(member.node.role).toBe('leader');
  });
});
