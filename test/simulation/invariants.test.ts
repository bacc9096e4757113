import { describe, expect, test } from 'vitest';
import { formedWith } from '../../src/raft/configuration.js';
import { packConfiguration, unpackConfiguration } from '../../src/raft/configuration-codec.js';
import { type Configuration, type DiskWrite, type Entry, LOG_START } from '../../src/raft/types.js';
import type { RestoredLog } from '../../src/storage/log-store.js';
import { Coverage } from './coverage.js';
import { Invariants, type MemberView } from './invariants.js';
import { disjointQuorums, isQuorum, withPromotions } from './quorums.js';
import { Scheduler } from './scheduler.js';

const FORMED = formedWith(['a', 'b', 'c']);
const EMPTY: RestoredLog = {
  hardState: { currentTerm: 0, votedFor: null, commitIndex: 0 },
  logStart: LOG_START,
  terms: [],
  lastIndex: 0,
  tail: [],
  configurationEntries: [],
};
const FOLLOWER = { role: 'follower', term: 0, commitIndex: 0 } as const;

/** Three members with empty logs, watched. */
class Watched {
  readonly scheduler = new Scheduler(1);
  readonly invariants = new Invariants({
    scheduler: this.scheduler,
    coverage: new Coverage(),
    formed: FORMED,
  });
  #sequence = 0;

  constructor() {
    for (const member of ['a', 'b', 'c']) this.invariants.started(member, EMPTY);
  }

  /** What was violated so far; `null`: nothing. */
  async violation(): Promise<string | null> {
    this.scheduler.plan(0, () => {});
    try {
      await this.scheduler.run(1);
      return null;
    } catch (error) {
      return (error as Error).message;
    }
  }

  write(
    member: string,
    entries: readonly Entry[],
    more: Partial<DiskWrite> = {},
    now: Partial<MemberView> = {},
  ): DiskWrite {
    this.#sequence += 1;
    const write = { sequence: this.#sequence, hardState: null, entries, ...more };
    this.invariants.submitted(member, write, { ...FOLLOWER, ...now });
    return write;
  }

  /** Written, and on disk. */
  store(member: string, entries: readonly Entry[]): void {
    this.invariants.durable(member, this.write(member, entries));
  }

  leads(member: string, term: number): void {
    const event = { type: 'role', role: 'leader', term, leader: member, reason: '' } as const;
    this.invariants.told(member, event);
  }

  turned(member: string, view: Partial<MemberView>): void {
    this.invariants.turned(member, {
      term: 1,
      role: 'leader',
      commitIndex: 0,
      appliedIndex: 0,
      isInstalling: () => false,
      configuration: FORMED,
      ...view,
    });
  }
}

const entry = (index: number, term: number, text = 'x'): Entry => ({
  index,
  term,
  type: 'command',
  payload: Buffer.from(text),
});

const changed = (index: number, term: number, members: Configuration): Entry => ({
  index,
  term,
  type: 'configuration',
  payload: packConfiguration(members),
});

const unpacked = ({ index, payload }: Entry): Configuration => unpackConfiguration(payload, index);

/** On the way from the members that the cluster was formed with. */
const joint = (voters: readonly string[]): Configuration =>
  formedWith(voters, { votersOutgoing: FORMED.voters });

describe('the invariants of the simulator notice', () => {
  test('nothing when an entry is stored by a majority and committed', async () => {
    const watched = new Watched();
    watched.leads('a', 1);
    watched.store('a', [entry(1, 1)]);
    watched.store('b', [entry(1, 1)]);
    watched.turned('a', { commitIndex: 1, appliedIndex: 1 });
    expect(await watched.violation()).toBeNull();
  });

  test('two leaders in a term', async () => {
    const watched = new Watched();
    watched.leads('a', 1);
    watched.leads('b', 1);
    expect(await watched.violation()).toMatch('Election Safety');
  });

  test('a leader without a committed entry', async () => {
    const watched = new Watched();
    watched.leads('a', 1);
    watched.store('a', [entry(1, 1)]);
    watched.store('b', [entry(1, 1)]);
    watched.turned('a', { commitIndex: 1 });
    watched.leads('c', 2);
    expect(await watched.violation()).toMatch('Leader Completeness');
  });

  test('different entries of one term at one index', async () => {
    const watched = new Watched();
    watched.store('a', [entry(1, 1, 'x')]);
    watched.store('b', [entry(1, 1, 'y')]);
    expect(await watched.violation()).toMatch('Log Matching');
  });

  test('an entry that is committed by a minority of disks', async () => {
    const watched = new Watched();
    watched.leads('a', 1);
    watched.store('a', [entry(1, 1)]);
    watched.write('b', [entry(1, 1)]);
    watched.turned('a', { commitIndex: 1 });
    expect(await watched.violation()).toMatch('Quorum');
  });

  test('an entry of an earlier term that is committed by counting', async () => {
    const watched = new Watched();
    watched.store('a', [entry(1, 1)]);
    watched.store('b', [entry(1, 1)]);
    watched.leads('a', 2);
    watched.turned('a', { term: 2, commitIndex: 1 });
    expect(await watched.violation()).toMatch('Commit by Counting');
  });

  test('a committed entry that is cut off', async () => {
    const watched = new Watched();
    watched.leads('a', 1);
    watched.store('a', [entry(1, 1)]);
    watched.store('b', [entry(1, 1)]);
    watched.turned('a', { commitIndex: 1 });
    watched.store('b', [entry(1, 2)]);
    expect(await watched.violation()).toMatch('Committed Is Immutable');
  });

  test('an acknowledgement of what is not on disk, and one that a restart has forgotten', async () => {
    const reply = {
      type: 'AppendEntriesReply',
      from: 'b',
      to: 'a',
      term: 1,
      result: { success: true, matchIndex: 1 },
    } as const;
    const early = new Watched();
    early.write('b', [entry(1, 1)]);
    early.invariants.sent(reply);
    expect(await early.violation()).toMatch('Durable Before Acknowledge');

    const forgotten = new Watched();
    forgotten.store('b', [entry(1, 1)]);
    forgotten.invariants.sent(reply);
    forgotten.invariants.started('b', EMPTY);
    expect(await forgotten.violation()).toMatch('Durable Before Acknowledge');
  });

  test('but not a late word to the leader of an old term of what was on disk in its time', async () => {
    const late = { type: 'AppendEntriesReply', from: 'b', to: 'a', term: 1 } as const;
    const reply = { ...late, result: { success: true, matchIndex: 1 } } as const;
    const cutBy = (watched: Watched): DiskWrite =>
      watched.write('b', [entry(1, 2)], {
        hardState: { currentTerm: 2, votedFor: null, commitIndex: 0 },
      });
    const fine = new Watched();
    const old = fine.write('b', [entry(1, 1)]);
    cutBy(fine);
    fine.invariants.durable('b', old);
    fine.invariants.sent(reply);
    expect(await fine.violation()).toBeNull();

    const early = new Watched();
    early.write('b', [entry(1, 1)]);
    cutBy(early);
    early.invariants.sent(reply);
    expect(await early.violation()).toMatch('Durable Before Acknowledge');
  });

  test('a second vote in a term', async () => {
    const watched = new Watched();
    const votedFor = (name: string) => ({ currentTerm: 3, votedFor: name, commitIndex: 0 });
    watched.write('c', [], { hardState: votedFor('a') });
    watched.write('c', [], { hardState: votedFor('b') });
    expect(await watched.violation()).toMatch('One Vote per Term');
  });

  test('a commit index that goes back, and another state behind the same entry', async () => {
    const back = new Watched();
    back.leads('a', 1);
    back.store('a', [entry(1, 1)]);
    back.store('b', [entry(1, 1)]);
    back.turned('a', { commitIndex: 1 });
    back.turned('a', { commitIndex: 0 });
    expect(await back.violation()).toMatch('goes back');

    const state = new Watched();
    state.invariants.applied('a', 1, 17);
    state.invariants.applied('b', 1, 18);
    expect(await state.violation()).toMatch('State Hash');
  });

  test('a change of members after which two sets could decide without each other', async () => {
    const watched = new Watched();
    const next = formedWith(['c', 'd', 'e'], { index: 1 });
    watched.turned('a', {});
    watched.leads('a', 1);
    const payload = packConfiguration(next);
    watched.store('a', [{ index: 1, term: 1, type: 'configuration', payload }]);
    watched.turned('a', { configuration: next });
    expect(await watched.violation()).toMatch('Quorum Intersection: a writes');
  });

  test('a leader that takes up members whom nobody wrote and who could decide without the others', async () => {
    const watched = new Watched();
    watched.turned('a', {});
    watched.leads('a', 1);
    watched.turned('a', { configuration: formedWith(['c', 'd', 'e'], { index: 1 }) });
    expect(await watched.violation()).toMatch('Quorum Intersection: a goes from');
  });

  test('members written by a leader beside those that another one has written and not committed', async () => {
    const written = async (second: Entry): Promise<string | null> => {
      const watched = new Watched();
      watched.write('a', [changed(1, 1, joint(['d', 'e', 'f']))]);
      watched.write('b', [second]);
      return watched.violation();
    };
    expect(await written(changed(1, 2, joint(['d', 'g', 'h'])))).toBeNull();
    expect(await written(changed(1, 2, formedWith(['d', 'g', 'h'])))).toMatch(
      'Quorum Intersection: b writes',
    );
  });

  test('but not members whom a leader of an earlier term has written, when later ones are committed', async () => {
    const watched = new Watched();
    watched.write('c', [entry(1, 1), entry(2, 1), changed(3, 1, joint(['d', 'e', 'f']))]);
    watched.store('a', [changed(1, 2, joint(['a', 'g', 'h']))]);
    watched.invariants.started('g', EMPTY);
    for (const member of ['b', 'g']) watched.store(member, [changed(1, 2, joint(['a', 'g', 'h']))]);
    const now = { term: 2, role: 'leader' } as const;
    const configuration = unpacked(changed(1, 2, joint(['a', 'g', 'h'])));
    watched.turned('a', { ...now, commitIndex: 1, configuration });
    watched.write(
      'a',
      [changed(2, 2, formedWith(['a', 'g', 'h']))],
      {},
      { ...now, commitIndex: 1 },
    );
    expect(await watched.violation()).toBeNull();
  });

  test('a leader that changes the members before it has committed an entry of its own term', async () => {
    const written = async (commitIndex: number): Promise<string | null> => {
      const watched = new Watched();
      watched.store('a', [entry(1, 1), entry(2, 2)]);
      const change = changed(3, 2, joint(['a', 'b', 'd']));
      watched.write('a', [change], {}, { role: 'leader', term: 2, commitIndex });
      return watched.violation();
    };
    expect(await written(1)).toMatch('Own Term First: a writes');
    expect(await written(2)).toBeNull();
  });
});

describe('quorums', () => {
  test('need a majority of both halves of a joint configuration', () => {
    const joint = formedWith(['a', 'b', 'c'], { votersOutgoing: ['c', 'd', 'e'] });
    expect(isQuorum(joint, new Set(['a', 'b', 'c']))).toBe(false);
    expect(isQuorum(joint, new Set(['a', 'b', 'd', 'e']))).toBe(true);
  });

  test('of what a configuration becomes of itself: each learner that is to be promoted, and all', () => {
    const promotions = [
      { member: 'd', replaces: 'a' },
      { member: 'e', replaces: null },
    ];
    const waiting = formedWith(['a', 'b', 'c'], { learners: ['d', 'e'], promotions });
    const voters = withPromotions(waiting).map((after) => after.voters.join(''));
    expect(voters).toEqual(['bcd', 'abce', 'bcde']);
    expect(withPromotions(FORMED)).toEqual([]);
  });

  test('of a step through a joint configuration always meet', () => {
    const joint = formedWith(['d', 'e', 'f'], { votersOutgoing: ['a', 'b', 'c'] });
    expect(disjointQuorums(FORMED, joint)).toBeNull();
    expect(disjointQuorums(joint, formedWith(['d', 'e', 'f']))).toBeNull();
    expect(disjointQuorums(FORMED, formedWith(['d', 'e', 'f']))).not.toBeNull();
  });
});
