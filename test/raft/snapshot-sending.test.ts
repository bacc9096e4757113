import { describe, expect, test } from 'vitest';
import type { RaftEvent } from '../../src/raft/types.js';
import { ask, commit } from './membership-fixture.js';
import {
  append,
  appended,
  ELECTION_TICKS,
  entriesOf,
  entry,
  heartbeatReply,
  leaderOf,
  Member,
  type MemberSetup,
  ofType,
  refused,
} from './node-fixture.js';

/** A leader of term 2 whose log begins behind 5:1 and ends with its noop at 9:2; n3 has all of it. */
function compacted(setup: MemberSetup = {}): Member {
  const member = leaderOf({ logStart: { index: 5, term: 1 }, log: [1, 1, 1], term: 1, ...setup });
  member.receive(appended({ from: 'n3', term: member.node.term, matchIndex: 9 }));
  expect(member.node.commitIndex).toBe(9);
  member.step({ type: 'applied', index: 9 });
  return member;
}

const NEEDS_ONE = refused({ term: 2, prevIndex: 8, hint: { index: 2, term: 1 } });

/** n2 has said that it ends at 2:1. */
function sending(setup: MemberSetup = {}): Member {
  const member = compacted(setup);
  expect(member.receive(NEEDS_ONE).snapshots).toEqual([{ member: 'n2' }]);
  return member;
}

function stateOf(member: Member, follower = 'n2'): unknown[] {
  const found = member.node.progress.find((p) => p.member === follower);
  return [found?.state, found?.matchIndex, found?.nextIndex];
}

function sent(index: number | null): RaftEvent {
  return { type: 'snapshot-sent', member: 'n2', index };
}

/** What n4, whose log ends at 2:1, is asked and sent while time passes. */
function requestsForN4(leader: Member, ticks: number): unknown[] {
  const requests: unknown[] = [];
  const from = 'n4';
  for (let i = 0; i < ticks; i += 1) {
    const ticked = leader.tick();
    const heard = leader.receive(
      ...['n2', 'n3', 'n4'].map((id) => heartbeatReply({ from: id, term: 2 })),
    );
    for (const asked of ofType([...ticked.messages, ...heard.messages], 'AppendEntries')) {
      if (asked.to !== from) continue;
      const { index: prevIndex } = asked.prevLog;
      const refusal = refused({ from, term: 2, prevIndex, hint: { index: 2, term: 1 } });
      requests.push(...leader.receive(refusal).snapshots);
    }
  }
  return requests;
}

describe('a member that leaves while a snapshot is under way to it', () => {
  /** The shell gives the sending up, and says nothing of it. */
  function leaving(): Member {
    const leader = compacted({ learners: ['n4'] });
    const refusal = { term: 2, prevIndex: 8, hint: { index: 2, term: 1 } };
    expect(leader.receive(refused({ from: 'n4', ...refusal })).snapshots).toHaveLength(1);
    ask(leader, { learners: [] });
    commit(leader, 'n2', 'n3');
    return leader;
  }

  test('is sent another one when it is a member again', () => {
    const leader = leaving();
    ask(leader, { learners: ['n4'] });
    commit(leader, 'n2', 'n3');
    expect(requestsForN4(leader, 3 * ELECTION_TICKS)).toEqual([{ member: 'n4' }]);
  });

  test('is sent no other one while it is none', () => {
    const leader = leaving();
    leader.step({ type: 'snapshot-sent', member: 'n4', index: null });
    expect(requestsForN4(leader, 3 * ELECTION_TICKS)).toEqual([]);
  });
});

describe('a leader whose log was cut at its very end', () => {
  test('still asks a follower whose snapshot failed, although there are no entries to send', () => {
    const leader = sending();
    leader.step(sent(null));
    leader.step({ type: 'compact', index: 9 });
    expect(leader.node.lastIndex).toBe(9);

    const asked: unknown[] = [];
    for (let i = 0; i < 2 * ELECTION_TICKS && asked.length === 0; i += 1) {
      leader.tick();
      const heard = leader.receive(
        ...['n2', 'n3'].map((id) => heartbeatReply({ from: id, term: 2 })),
      );
      asked.push(...ofType(heard.messages, 'AppendEntries').filter(({ to }) => to === 'n2'));
    }
    expect(asked).toMatchObject([{ prevLog: { index: 9, term: 2 }, entries: [] }]);
    const refusal = refused({ term: 2, prevIndex: 9, hint: { index: 2, term: 1 } });
    expect(leader.receive(refusal).snapshots).toEqual([{ member: 'n2' }]);
  });
});

describe('compaction', () => {
  test('the log begins behind what was given up, and the entries leave the memory', () => {
    const member = leaderOf({ voters: ['n1'], log: [1, 1, 1], term: 1 });
    member.step({ type: 'applied', index: 4 });
    const before = member.node.cachedLogBytes;
    const ready = member.step({ type: 'compact', index: 3 });
    expect(ready.events).toEqual([{ type: 'compacted', logStart: { index: 3, term: 1 } }]);
    expect([2, 3, 4].map((index) => member.node.termAt(index))).toEqual([null, 1, 2]);
    expect(member.node.cachedLogBytes).toBeLessThan(before);
    expect(member.node.entries(3, 4, 1000)).toBeNull();
    expect(ready.write).toBeNull();
  });

  test('what is not applied, or not on the own disk, is never given up', () => {
    const member = leaderOf({ voters: ['n1'], log: [1, 1, 1], term: 1 });
    member.step({ type: 'applied', index: 2 });
    expect(() => member.step({ type: 'compact', index: 3 })).toThrow('compacted through 3');
    const follower = new Member({ term: 1 });
    follower.receive(append({ term: 1, entries: entriesOf([1, 1]), leaderCommit: 2 }));
    follower.step({ type: 'applied', index: 2 });
    expect(() => follower.step({ type: 'compact', index: 2 })).toThrow('on disk through 0');
  });

  test('a compaction that is repeated, or old, changes nothing', () => {
    const member = compacted();
    expect(
      member.step({ type: 'compact', index: 5 }, { type: 'compact', index: 2 }).events,
    ).toEqual([]);
    expect(member.node.termAt(5)).toBe(1);
  });

  test('the whole log may be given up, and the next entries follow', () => {
    const member = leaderOf({ voters: ['n1'], log: [1], term: 1 });
    member.step({ type: 'applied', index: 2 }, { type: 'compact', index: 2 });
    member.propose('a');
    expect(member.persist().commitIndex).toBe(3);
  });

  test('a member starts with a log that begins behind a snapshot', () => {
    const member = new Member({ logStart: { index: 5, term: 3 }, log: [3, 4] });
    expect([member.node.commitIndex, member.node.lastIndex, member.node.term]).toEqual([5, 7, 4]);
    expect([4, 5, 6, 7].map((index) => member.node.termAt(index))).toEqual([null, 3, 3, 4]);
  });

  test('a state that is behind the start of the log stops the replica', () => {
    const setup = { logStart: { index: 5, term: 3 }, log: [3], appliedIndex: 4 };
    expect(() => new Member(setup)).toThrow('entries that it needs are gone');
  });

  test('entries from before the start are taken for what they are: committed', () => {
    const member = new Member({ logStart: { index: 5, term: 1 }, log: [1], term: 2 });
    const entries = [entry(4, 1), entry(5, 1), entry(6, 1), entry(7, 2)];
    const answers = member.answersTo(
      append({ term: 2, prevLog: { index: 3, term: 1 }, entries, leaderCommit: 7 }),
    );
    expect(answers).toMatchObject([{ result: { success: true, matchIndex: 7 } }]);
    expect(member.node.commitIndex).toBe(7);
  });
});

describe('who is sent a snapshot', () => {
  test('a follower that lacks what is gone, once', () => {
    const member = compacted();
    const ready = member.receive(NEEDS_ONE);
    expect(ready.snapshots).toEqual([{ member: 'n2' }]);
    expect(ready.events).toEqual([{ type: 'snapshot', phase: 'needed', member: 'n2', index: 5 }]);
    expect(stateOf(member)[0]).toBe('snapshot');
    const more = [member.receive(NEEDS_ONE), member.propose('a'), member.tick(3)];
    expect(more.flatMap((r) => r.snapshots)).toEqual([]);
  });

  test('not one that ends exactly where the log begins', () => {
    const member = compacted();
    const ready = member.receive(refused({ term: 2, prevIndex: 8, hint: { index: 5, term: 1 } }));
    expect(ready.snapshots).toEqual([]);
    expect(ofType(ready.messages, 'AppendEntries')).toMatchObject([
      { prevLog: { index: 5, term: 1 }, entries: [{ index: 6 }, {}, {}, {}] },
    ]);
  });

  test('one that holds another entry there', () => {
    const member = compacted({ logStart: { index: 5, term: 3 }, log: [3, 3, 3], term: 3 });
    const prevIndex = 8;
    member.receive(refused({ term: 4, prevIndex, hint: { index: 7, term: 2 } }));
    const ready = member.receive(refused({ term: 4, prevIndex: 5, hint: { index: 5, term: 2 } }));
    expect(ready.snapshots).toEqual([{ member: 'n2' }]);
  });

  test('not one that is silent; but when it gives a sign of life', () => {
    // Given n2 has said what it lacks, and the log was given up since
    const member = leaderOf({ log: [1, 1, 1, 1], term: 1 });
    member.receive(appended({ from: 'n3', term: 2, matchIndex: 5 }));
    member.receive(refused({ term: 2, prevIndex: 4, hint: { index: 1, term: 1 } }));
    for (let i = 0; i < ELECTION_TICKS; i += 1) {
      member.tick();
      member.receive(heartbeatReply({ from: 'n3', term: 2 }));
    }
    // When it is probed at the new start, it is silent
    const silent = member.step({ type: 'applied', index: 5 }, { type: 'compact', index: 4 });
    expect(silent.snapshots).toEqual([]);
    expect(member.tick().snapshots).toEqual([]);
    // Then a sign of life makes the leader ask, and the answer makes it send
    const asked = member.receive(heartbeatReply({ term: 2 }));
    expect(ofType(asked.messages, 'AppendEntries')).toMatchObject([{ prevLog: { index: 4 } }]);
    const ready = member.receive(refused({ term: 2, prevIndex: 4, hint: { index: 1, term: 1 } }));
    expect(ready.snapshots).toEqual([{ member: 'n2' }]);
  });

  test('learners, too', () => {
    const member = compacted({ learners: ['n4'] });
    const ready = member.receive(
      refused({ from: 'n4', term: 2, prevIndex: 8, hint: { index: 0, term: 0 } }),
    );
    expect(ready.snapshots).toEqual([{ member: 'n4' }]);
  });

  test('a follower whose load was overtaken by the compaction', () => {
    // Given entries for n2 are being read from the disk
    const member = leaderOf({ log: [1, 1, 1, 1], term: 1, cachedEntries: 1 });
    member.receive(appended({ from: 'n3', term: 2, matchIndex: 5 }));
    const load = member.receive(refused({ term: 2, prevIndex: 4, hint: { index: 1, term: 1 } }));
    expect(load.loads).toMatchObject([{ fromIndex: 2 }]);
    // When the log is given up, and the disk has nothing any more
    const probe = member.step({ type: 'applied', index: 5 }, { type: 'compact', index: 4 });
    expect(ofType(probe.messages, 'AppendEntries')).toMatchObject([{ prevLog: { index: 4 } }]);
    const empty = member.step({ type: 'loaded', member: 'n2', entries: [] });
    expect([empty.loads, empty.messages]).toEqual([[], []]);
    // Then its answer to the probe asks for a snapshot
    const ready = member.receive(refused({ term: 2, prevIndex: 4, hint: { index: 1, term: 1 } }));
    expect(ready.snapshots).toEqual([{ member: 'n2' }]);
  });

  test('a load that comes back empty is not repeated before a sign of life', () => {
    const member = leaderOf({ log: [1, 1, 1, 1], term: 1, cachedEntries: 1 });
    member.receive(refused({ term: 2, prevIndex: 4, hint: { index: 1, term: 1 } }));
    const empty = member.step({ type: 'loaded', member: 'n2', entries: [] });
    expect([empty.loads, empty.snapshots, stateOf(member)]).toEqual([[], [], ['probe', 0, 2]]);
    member.tick();
    const asked = member.receive(heartbeatReply({ term: 2 }));
    expect(ofType(asked.messages, 'AppendEntries')).toMatchObject([{ prevLog: { index: 1 } }]);
    const again = member.receive(appended({ term: 2, matchIndex: 1 }));
    expect(again.loads).toMatchObject([{ fromIndex: 2 }]);
  });

  test('one whose connection broke is first asked what it has', () => {
    const member = compacted();
    member.receive(appended({ term: 2, matchIndex: 9 }));
    member.propose('a');
    member.propose('b');
    member.persist();
    member.receive(appended({ from: 'n3', term: 2, matchIndex: 11 }));
    // n2 has them, but its answer is lost; meanwhile they are given up
    member.step({ type: 'applied', index: 11 }, { type: 'compact', index: 11 });
    const ready = member.step({ type: 'disconnected', member: 'n2' });
    expect([ready.snapshots, stateOf(member)]).toEqual([[], ['probe', 9, 12]]);
    member.tick();
    member.receive(heartbeatReply({ term: 2 }));
    member.receive(appended({ term: 2, matchIndex: 11 }));
    expect(stateOf(member)).toEqual(['replicate', 11, 12]);
  });
});

describe('while a snapshot is sent', () => {
  test('replication to it pauses, and heartbeats go on', () => {
    const member = sending();
    const proposed = member.propose('a');
    expect(ofType(proposed.messages, 'AppendEntries').map((m) => m.to)).toEqual(['n3']);
    const ticked = member.tick();
    expect(ofType(ticked.messages, 'Heartbeat').map((m) => m.to)).toEqual(['n2', 'n3']);
    const alive = member.receive(heartbeatReply({ term: 2 }));
    expect(ofType(alive.messages, 'AppendEntries')).toEqual([]);
  });

  test('it is probed behind the snapshot when it has it', () => {
    const member = sending();
    const ready = member.step(sent(7));
    expect(ofType(ready.messages, 'AppendEntries')).toMatchObject([
      { to: 'n2', prevLog: { index: 7, term: 1 }, entries: [] },
    ]);
    expect(stateOf(member)).toEqual(['probe', 0, 8]);
    const found = member.receive(appended({ term: 2, matchIndex: 7 }));
    expect(ofType(found.messages, 'AppendEntries')).toMatchObject([
      { prevLog: { index: 7 }, entries: [{ index: 8 }, { index: 9 }] },
    ]);
  });

  test('while it installs and is silent, each heartbeat asks once, with an empty message', () => {
    const member = sending();
    member.step(sent(7));
    for (let i = 0; i < 3; i += 1) {
      member.tick();
      const ready = member.receive(heartbeatReply({ term: 2 }));
      expect(ofType(ready.messages, 'AppendEntries')).toMatchObject([{ entries: [] }]);
    }
  });

  test('any place from which entries can follow ends the wait', () => {
    for (const matchIndex of [5, 6, 9]) {
      const member = sending();
      member.receive(appended({ term: 2, matchIndex }));
      expect(stateOf(member).slice(0, 2)).toEqual(['replicate', matchIndex]);
      expect(member.step(sent(7)).events).toEqual([]);
      expect(stateOf(member)).toEqual(['replicate', matchIndex, 10]);
    }
  });

  test('a place before the start does not', () => {
    const member = sending();
    const ready = member.receive(appended({ term: 2, matchIndex: 4 }));
    expect([ready.messages, stateOf(member).slice(0, 2)]).toEqual([[], ['snapshot', 4]]);
  });

  test('a refusal of before does not', () => {
    const member = sending();
    member.receive(refused({ term: 2, prevIndex: 2, hint: { index: 1, term: 1 } }));
    expect(stateOf(member)[0]).toBe('snapshot');
  });

  test('after a failure another goes not before a heartbeat interval and a sign of life', () => {
    const member = sending();
    const failed = member.step(sent(null));
    expect([failed.snapshots, failed.messages, stateOf(member)[0]]).toEqual([[], [], 'probe']);
    expect(member.receive(heartbeatReply({ term: 2 })).messages).toEqual([]);
    expect(member.tick(2).snapshots).toEqual([]);
    // It may have come after all: ask, before all of it goes once more
    const asked = member.receive(heartbeatReply({ term: 2 }));
    expect(ofType(asked.messages, 'AppendEntries')).toMatchObject([
      { prevLog: { index: 5 }, entries: [] },
    ]);
    const again = member.receive(refused({ term: 2, prevIndex: 5, hint: { index: 2, term: 1 } }));
    expect(again.snapshots).toEqual([{ member: 'n2' }]);
  });

  test('an answer that was lost is made up for: the follower turns out to have it', () => {
    const member = sending();
    member.step(sent(null));
    member.tick();
    member.receive(heartbeatReply({ term: 2 }));
    const ready = member.receive(appended({ term: 2, matchIndex: 7 }));
    expect([ready.snapshots, stateOf(member)]).toEqual([[], ['replicate', 7, 10]]);
  });

  test('a follower that loses it again, by a crash, is sent another', () => {
    const member = sending();
    member.step(sent(7));
    const ready = member.receive(refused({ term: 2, prevIndex: 7, hint: { index: 2, term: 1 } }));
    expect(ready.snapshots).toEqual([{ member: 'n2' }]);
  });

  test('a broken connection ends the wait; a sign of life begins it anew', () => {
    const member = sending();
    const broken = member.step({ type: 'disconnected', member: 'n2' });
    expect([broken.messages, broken.snapshots, stateOf(member)[0]]).toEqual([[], [], 'probe']);
    member.tick();
    member.receive(heartbeatReply({ term: 2 }));
    const again = member.receive(refused({ term: 2, prevIndex: 5, hint: { index: 2, term: 1 } }));
    expect(again.snapshots).toEqual([{ member: 'n2' }]);
    // What became of the first is not mixed up with the second: either is as good
    expect(stateOf(member)[0]).toBe('snapshot');
    member.step(sent(7));
    expect(stateOf(member)).toEqual(['probe', 0, 8]);
  });

  test('the log may be given up beyond the snapshot: then another is needed', () => {
    const member = sending();
    member.step({ type: 'compact', index: 9 });
    const ready = member.step(sent(7));
    expect(ofType(ready.messages, 'AppendEntries')).toMatchObject([{ prevLog: { index: 9 } }]);
    const again = member.receive(refused({ term: 2, prevIndex: 9, hint: { index: 7, term: 1 } }));
    expect(again.snapshots).toEqual([{ member: 'n2' }]);
  });

  test('what became of a sending that nobody waits for is ignored', () => {
    const member = compacted();
    for (const index of [7, null]) expect(member.step(sent(index)).messages).toEqual([]);
    expect(stateOf(member)).toEqual(['probe', 0, 9]);
    expect(new Member().step(sent(3)).events).toEqual([]);
  });
});
