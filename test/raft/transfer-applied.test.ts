import { describe, expect, test } from 'vitest';
import type { CoreEvent, MemberId, Ready } from '../../src/raft/types.js';
import {
  answerTo,
  askedToLead,
  commit,
  pass,
  settledLeader,
  transfer,
} from './membership-fixture.js';
import {
  appended,
  ELECTION_TICKS,
  heartbeatReply,
  leaderOf,
  type Member,
  ofType,
} from './node-fixture.js';

/** A target that has the log, and has not applied it: whoever writes would wait for that if it led. */
describe('a transfer to one that has yet to apply much', () => {
  /** All have a log of some thousand entries; this much of it they say to have applied. */
  function leaderWith(applied: Record<MemberId, number | null>): Member {
    const leader = settledLeader({ logStart: { index: 5000, term: 1 } });
    says(leader, applied);
    return leader;
  }

  function says(leader: Member, applied: Record<MemberId, number | null>): Ready {
    const { term } = leader.node;
    const replies = Object.entries(applied).map(([from, appliedIndex]) =>
      heartbeatReply({ from, term, appliedIndex }),
    );
    return leader.receive(...replies);
  }

  test('takes commands until it has, and then asks it once it has them too', () => {
    const leader = leaderWith({ n3: 3000 });
    expect(askedToLead(transfer(leader, 'n3'))).toEqual([]);
    expect(leader.propose('x').proposals).toMatchObject([{ accepted: true }]);
    commit(leader, 'n2');
    expect(askedToLead(says(leader, { n3: 4000 }))).toEqual([]);
    expect(leader.propose('y').proposals).toMatchObject([{ accepted: true }]);
    expect(askedToLead(says(leader, { n3: 4990 }))).toEqual([]);
    expect(leader.propose('z').proposals).toMatchObject([{ reason: 'transferring' }]);
    leader.persist();
    const { term, lastIndex: matchIndex } = leader.node;
    expect(askedToLead(leader.receive(appended({ from: 'n3', term, matchIndex })))).toEqual(['n3']);
  });

  test('is waited for no longer than two election timeouts', () => {
    const leader = leaderWith({ n3: 3000 });
    transfer(leader, 'n3', 4);
    const live = (ticks: number): MemberId[] => {
      const asked: MemberId[] = [];
      for (let i = 0; i < ticks; i += 1) {
        asked.push(...askedToLead(leader.tick()));
        asked.push(...askedToLead(says(leader, { n2: 5000, n3: 3000 })));
      }
      return asked;
    };
    expect(live(2 * ELECTION_TICKS - 1)).toEqual([]);
    expect(leader.propose('x').proposals).toMatchObject([{ accepted: true }]);
    commit(leader, 'n2');
    const { term, lastIndex: matchIndex } = leader.node;
    leader.receive(appended({ from: 'n3', term, matchIndex }));
    expect(live(1)).toEqual(['n3']);
    expect(leader.propose('y').proposals).toMatchObject([{ reason: 'transferring' }]);
  });

  test('ends when nothing is heard from it any more', () => {
    const leader = leaderWith({ n3: 3000 });
    pass(leader, ELECTION_TICKS);
    says(leader, { n3: 3000 });
    transfer(leader, 'n3', 4);
    const answers = Array.from({ length: ELECTION_TICKS }, () => {
      const ready = leader.tick();
      says(leader, { n2: 5000 });
      return ready.transfers;
    });
    expect(answers.flat()).toEqual([{ id: 4, ok: false, reason: 'silent-target', leader: 'n1' }]);
    expect(leader.propose('x').proposals).toMatchObject([{ accepted: true }]);
  });

  test('goes to another, if nobody in particular is to lead', () => {
    expect(askedToLead(transfer(leaderWith({ n2: 3000, n3: 4990 }), null))).toEqual(['n3']);
    expect(askedToLead(transfer(leaderWith({ n2: 4990, n3: 3000 }), null))).toEqual(['n2']);
  });

  test('counts what it says last: it may have been started again with less', () => {
    const leader = leaderWith({ n3: 5000 });
    says(leader, { n3: 1000 });
    expect(askedToLead(transfer(leader, 'n3'))).toEqual([]);
  });

  test('does not wait for one of an older version, which does not say', () => {
    expect(askedToLead(transfer(leaderWith({ n3: null }), 'n3'))).toEqual(['n3']);
  });

  test('is given up when it gets no further in its log either, and commands were taken all the while', () => {
    const leader = leaderWith({ n3: 3000 });
    for (let i = 0; i < 40; i += 1) leader.propose('x');
    commit(leader, 'n2');
    transfer(leader, 'n3', 4);
    const answers = Array.from({ length: 2 * ELECTION_TICKS }, () => {
      const ready = leader.tick();
      says(leader, { n2: 5000, n3: 3000 });
      expect(leader.propose('y').proposals).toMatchObject([{ accepted: true }]);
      return ready.transfers;
    });
    expect(answers.flat()).toEqual([{ id: 4, ok: false, reason: 'timeout', leader: 'n1' }]);
  });

  test('is asked at once how far it is, by a leader that has not heard of it yet', () => {
    const leader = leaderOf({ logStart: { index: 5000, term: 1 } });
    const asked = ofType(transfer(leader, 'n3').messages, 'Heartbeat');
    expect(asked.map(({ to }) => to)).toEqual(['n2', 'n3']);
    expect(leader.propose('x').proposals).toMatchObject([{ accepted: true }]);
  });

  test('gives way to one that is ready, if nobody in particular is to lead', () => {
    const leader = leaderWith({ n2: 4990, n3: 3000 });
    transfer(leader, 'n3', 4);
    const ready = transfer(leader, null, 5);
    expect(ready.transfers).toMatchObject([{ id: 4, ok: false, reason: 'superseded' }]);
    expect(askedToLead(ready)).toEqual(['n2']);
  });

  test('is told to try again who asks for a change that waits for it, and not that another leads', () => {
    const leader = leaderWith({ n2: 3000 });
    const members = { voters: ['n2'] };
    expect(answerTo(leader, members)).toMatchObject({ accepted: false, reason: 'pending' });
    expect(answerTo(leader, members)).toMatchObject({ accepted: false, reason: 'pending' });
    expect(leader.propose('x').proposals).toMatchObject([{ accepted: true }]);
    says(leader, { n2: 4990 });
    expect(answerTo(leader, members)).toMatchObject({ accepted: false, reason: 'transferring' });
  });

  test('is not given the leadership for its priority before it has', () => {
    const leader = leaderWith({});
    const starts = (appliedIndex: number): readonly CoreEvent[] => {
      const { term } = leader.node;
      const ready = leader.tick();
      leader.receive(
        heartbeatReply({ from: 'n2', term, appliedIndex: 5000 }),
        heartbeatReply({ from: 'n3', term, appliedIndex, priority: 200 }),
      );
      return ready.events;
    };
    const late = Array.from({ length: 4 * ELECTION_TICKS }, () => starts(3000)).flat();
    expect(late).toMatchObject([
      { type: 'transfer', phase: 'started', target: 'n3', reason: 'priority' },
      { type: 'transfer', phase: 'aborted', target: 'n3', reason: 'timeout' },
    ]);
    // Not again too soon.
    const soon = Array.from({ length: 10 * ELECTION_TICKS }, () => starts(4990));
    expect(soon.flat().slice(0, 2)).toMatchObject([
      { type: 'transfer', phase: 'started', target: 'n3', reason: 'priority' },
      { type: 'transfer', phase: 'timeout-now', target: 'n3' },
    ]);
  });

  test('is asked soon also if it is far away, and lacks what was committed since it was heard', () => {
    const leader = leaderWith({ n3: 4900 });
    transfer(leader, 'n3');
    for (let i = 0; i < 60; i += 1) leader.propose('x');
    commit(leader, 'n2');
    const { term } = leader.node;
    expect(leader.node.commitIndex).toBeGreaterThan(5050);
    leader.receive(appended({ from: 'n3', term, matchIndex: 5001 }));
    says(leader, { n3: 5000 });
    expect(leader.propose('y').proposals).toMatchObject([{ accepted: true }]);
    says(leader, { n3: 5001 });
    expect(leader.propose('z').proposals).toMatchObject([{ reason: 'transferring' }]);
  });
});
