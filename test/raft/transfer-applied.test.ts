import { describe, expect, test } from 'vitest';
import type { MemberId, Ready } from '../../src/raft/types.js';
import { askedToLead, commit, pass, settledLeader, transfer } from './membership-fixture.js';
import { appended, ELECTION_TICKS, heartbeatReply, type Member } from './node-fixture.js';

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
    expect(askedToLead(says(leader, { n3: 4800 }))).toEqual([]);
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
    expect(askedToLead(transfer(leaderWith({ n2: 3000, n3: 4900 }), null))).toEqual(['n3']);
    expect(askedToLead(transfer(leaderWith({ n2: 4900, n3: 3000 }), null))).toEqual(['n2']);
  });

  test('counts what it says last: it may have been started again with less', () => {
    const leader = leaderWith({ n3: 5000 });
    says(leader, { n3: 1000 });
    expect(askedToLead(transfer(leader, 'n3'))).toEqual([]);
  });

  test('does not wait for one of an older version, which does not say', () => {
    expect(askedToLead(transfer(leaderWith({ n3: null }), 'n3'))).toEqual(['n3']);
  });
});
