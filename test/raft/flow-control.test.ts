import { describe, expect, test } from 'vitest';
import type { AppendEntries, Message } from '../../src/raft/types.js';
import {
  append,
  appended,
  entry,
  heartbeatReply,
  leaderOf,
  Member,
  type MemberSetup,
  ofType,
  refused,
} from './node-fixture.js';

/** A leader of term 2 with this log before its noop; n2 has everything and n3 is silent. */
function replicating(setup: MemberSetup = {}): Member {
  const member = leaderOf({ log: [1, 1, 1], term: 1, ...setup });
  member.receive(appended({ term: 2, matchIndex: member.node.lastIndex }));
  return member;
}

function toN2(messages: readonly Message[]): AppendEntries[] {
  return ofType(messages, 'AppendEntries').filter((m) => m.to === 'n2');
}

function stateOf(member: Member, follower = 'n2'): unknown[] {
  const found = member.node.progress.find((p) => p.member === follower);
  return [found?.state, found?.matchIndex, found?.nextIndex];
}

describe('probing', () => {
  test('a new leader sends one message and waits for its answer', () => {
    const member = leaderOf();
    expect(stateOf(member)).toEqual(['probe', 0, 1]);
    expect(member.propose('a').messages).toEqual([]);
    expect(member.propose('b').messages).toEqual([]);
  });

  test('a heartbeat that is answered frees one more probe, an empty one', () => {
    const member = leaderOf();
    member.propose('a');
    member.tick();
    const ready = member.receive(heartbeatReply({ term: 1 }));
    expect(toN2(ready.messages)).toMatchObject([{ prevLog: { index: 0 }, entries: [] }]);
    expect(member.propose('b').messages).toEqual([]);
    const found = member.receive(appended({ term: 1, matchIndex: 0 }));
    expect(toN2(found.messages)).toMatchObject([{ entries: [{}, {}, {}] }]);
  });

  test('a probe is not repeated before a heartbeat interval has passed', () => {
    const member = leaderOf({ heartbeatTicks: 3 });
    member.tick(2);
    expect(member.receive(heartbeatReply({ term: 1 })).messages).toEqual([]);
    member.tick();
    expect(toN2(member.receive(heartbeatReply({ term: 1 })).messages)).toHaveLength(1);
    expect(member.receive(heartbeatReply({ term: 1 })).messages).toEqual([]);
  });

  test('a success begins to replicate, from behind what matches', () => {
    const member = leaderOf();
    member.propose('a');
    member.propose('b');
    const ready = member.receive(appended({ term: 1, matchIndex: 1 }));
    expect(toN2(ready.messages)).toMatchObject([{ entries: [{ index: 2 }, { index: 3 }] }]);
    expect(stateOf(member)).toEqual(['replicate', 1, 4]);
  });

  test('a refusal moves back to where both may agree', () => {
    const member = leaderOf({ log: [1, 1, 2, 2, 3], term: 3 });
    const ready = member.receive(refused({ term: 4, prevIndex: 5, hint: { index: 4, term: 1 } }));
    expect(toN2(ready.messages)).toMatchObject([{ prevLog: { index: 2, term: 1 } }]);
  });

  test('a refusal that is repeated, or was overtaken, changes nothing', () => {
    const member = leaderOf({ log: [1, 1, 2, 2, 3], term: 3 });
    const refusal = refused({ term: 4, prevIndex: 5, hint: { index: 4, term: 1 } });
    member.receive(refusal);
    expect(member.receive(refusal).messages).toEqual([]);
    expect(stateOf(member)).toEqual(['probe', 0, 3]);
    member.receive(refused({ term: 4, prevIndex: 1, hint: { index: 0, term: 0 } }));
    expect(stateOf(member)).toEqual(['probe', 0, 3]);
  });

  test('an old refusal never takes nextIndex to or below matchIndex', () => {
    const member = replicating();
    expect(stateOf(member)).toEqual(['replicate', 4, 5]);
    for (const prevIndex of [0, 1, 3, 4, 7]) {
      member.receive(refused({ term: 2, prevIndex, hint: { index: 0, term: 0 } }));
      expect(stateOf(member)).toEqual(['replicate', 4, 5]);
    }
  });

  test('an old success never takes matchIndex or nextIndex back', () => {
    const member = replicating();
    member.receive(appended({ term: 2, matchIndex: 2 }));
    expect(stateOf(member)).toEqual(['replicate', 4, 5]);
  });
});

describe('replicating', () => {
  test('messages follow one another without waiting for answers', () => {
    const member = replicating();
    const indexes = ['a', 'b', 'c'].map((text) => toN2(member.propose(text).messages)[0]);
    expect(indexes.map((m) => [m?.prevLog.index, m?.entries.length])).toEqual([
      [4, 1],
      [5, 1],
      [6, 1],
    ]);
  });

  test('at most inflightAppendsMax messages are under way; an answer lets the next go', () => {
    const member = replicating({ limits: { inflightAppendsMax: 2 } });
    expect(toN2(member.propose('a').messages)).toHaveLength(1);
    expect(toN2(member.propose('b').messages)).toHaveLength(1);
    expect(toN2(member.propose('c').messages)).toHaveLength(0);
    expect(toN2(member.propose('d').messages)).toHaveLength(0);
    const ready = member.receive(appended({ term: 2, matchIndex: 5 }));
    expect(toN2(ready.messages)).toMatchObject([{ entries: [{ index: 7 }, { index: 8 }] }]);
  });

  test('at most inflightBytesMax bytes are under way, though one message may exceed it', () => {
    const member = replicating({ limits: { inflightBytesMax: 100 } });
    expect(toN2(member.propose('x'.repeat(500)).messages)).toHaveLength(1);
    expect(toN2(member.propose('y').messages)).toHaveLength(0);
    const ready = member.receive(appended({ term: 2, matchIndex: 5 }));
    expect(toN2(ready.messages)).toHaveLength(1);
  });

  test('a message holds at most appendBytesMax of entries, or one entry', () => {
    const member = leaderOf({ limits: { appendBytesMax: 100 } });
    for (const text of ['a', 'b', 'c', 'd'.repeat(300), 'e']) member.propose(text);
    const sizes: number[] = [];
    let next = member.receive(appended({ term: 1, matchIndex: 1 }));
    for (let last = 1; last < 6; ) {
      const [message] = toN2(next.messages);
      sizes.push(message?.entries.length ?? 0);
      last += message?.entries.length ?? 6;
      next = member.receive(appended({ term: 1, matchIndex: last }));
    }
    expect(sizes).toEqual([3, 1, 1]);
  });

  test('at most one AppendEntries goes to a follower in a step', () => {
    const member = leaderOf({ limits: { appendBytesMax: 50 } });
    for (const text of ['a', 'b', 'c', 'd']) member.propose(text);
    const ready = member.receive(appended({ term: 1, matchIndex: 1 }), heartbeatReply({ term: 1 }));
    expect(toN2(ready.messages)).toHaveLength(1);
  });

  test('a gap that a follower reports is probed from behind what matches', () => {
    const member = replicating();
    for (const text of ['a', 'b', 'c']) member.propose(text);
    const ready = member.receive(refused({ term: 2, prevIndex: 6, hint: { index: 4, term: 2 } }));
    expect(toN2(ready.messages)).toMatchObject([{ prevLog: { index: 4 } }]);
    expect(stateOf(member)).toEqual(['probe', 4, 5]);
  });

  test('only the first refusal of a burst is followed', () => {
    const member = replicating();
    for (const text of ['a', 'b', 'c']) member.propose(text);
    member.receive(refused({ term: 2, prevIndex: 6, hint: { index: 4, term: 2 } }));
    const ready = member.receive(refused({ term: 2, prevIndex: 7, hint: { index: 4, term: 2 } }));
    expect([ready.messages, stateOf(member)]).toEqual([[], ['probe', 4, 5]]);
  });

  test('messages lost without a trace are found out by the next heartbeat', () => {
    const member = replicating({ limits: { inflightAppendsMax: 1 } });
    member.propose('a');
    expect(toN2(member.receive(heartbeatReply({ term: 2 })).messages)).toEqual([]);
    member.tick();
    const asked = member.receive(heartbeatReply({ term: 2 }));
    expect(toN2(asked.messages)).toMatchObject([{ prevLog: { index: 5 }, entries: [] }]);
    const again = member.receive(refused({ term: 2, prevIndex: 5, hint: { index: 4, term: 2 } }));
    expect(toN2(again.messages)).toMatchObject([{ entries: [{ index: 5 }] }]);
  });

  test('a follower that has all is not asked', () => {
    const member = replicating();
    member.tick();
    expect(member.receive(heartbeatReply({ term: 2 })).messages).toEqual([]);
  });

  test('a full window still tells the commit index, by an empty message', () => {
    const member = replicating({ limits: { inflightAppendsMax: 2 } });
    for (const text of ['a', 'b', 'c']) member.propose(text);
    member.persist();
    const ready = member.receive(appended({ from: 'n3', term: 2, matchIndex: 5 }));
    expect(toN2(ready.messages)).toMatchObject([
      { prevLog: { index: 6 }, entries: [], leaderCommit: 5 },
    ]);
    expect(member.tick().messages.filter((m) => m.type === 'AppendEntries')).toEqual([]);
  });

  test('a heartbeat never carries a commit index beyond what the follower is known to have', () => {
    const member = replicating();
    for (const text of ['a', 'b']) member.propose(text);
    member.persist();
    member.receive(appended({ from: 'n3', term: 2, matchIndex: 6 }));
    expect(member.node.commitIndex).toBe(6);
    const beats = ofType(member.tick().messages, 'Heartbeat');
    expect(beats.map((m) => [m.to, m.commit])).toEqual([
      ['n2', 4],
      ['n3', 6],
    ]);
  });

  test('a follower that has all, and lags in its commit index, learns it by the next heartbeat', () => {
    const member = replicating();
    member.propose('a');
    member.persist();
    // The message with the commit index is lost
    member.receive(appended({ term: 2, matchIndex: 5 }));
    const beats = ofType(member.tick().messages, 'Heartbeat');
    expect(beats.find((m) => m.to === 'n2')?.commit).toBe(5);
  });

  test('an unreachable follower is probed, and replicates again when it is back', () => {
    const member = replicating();
    member.propose('a');
    member.step({ type: 'disconnected', member: 'n2' });
    // The probe is lost; nothing more goes, however much there is to send
    for (const text of ['b', 'c']) expect(toN2(member.propose(text).messages)).toEqual([]);
    member.tick();
    const asked = member.receive(heartbeatReply({ term: 2 }));
    expect(toN2(asked.messages)).toMatchObject([{ prevLog: { index: 4 }, entries: [] }]);
    const back = member.receive(appended({ term: 2, matchIndex: 4 }));
    expect(toN2(back.messages)).toMatchObject([{ entries: [{ index: 5 }, {}, {}] }]);
    expect(stateOf(member)).toEqual(['replicate', 4, 8]);
  });

  test('logs that differ in many entries are brought together with one refusal for each term', () => {
    // Given a leader with long terms 1, 3, 5, and a follower with long terms 1, 2, 4
    const run = (term: number): number[] => Array.from({ length: 20 }, () => term);
    const member = leaderOf({ log: [...run(1), ...run(3), ...run(5)], term: 5 });
    const follower = new Member({
      id: 'n2',
      log: [...run(1), ...run(2), ...run(4)],
      term: 5,
    });
    // When they talk until they agree
    let refusals = 0;
    let messages: readonly Message[] = [
      append({ from: 'n1', to: 'n2', term: 6, prevLog: { index: 60, term: 5 } }),
    ];
    for (let round = 0; round < 20 && stateOf(member)[0] === 'probe'; round += 1) {
      const answers = messages.flatMap((message) => follower.answersTo(message));
      refusals += ofType(answers, 'AppendEntriesReply').filter((m) => !m.result.success).length;
      messages = toN2(member.receive(...answers).messages);
    }
    // Then it took at most one refusal for each term, not one for each entry
    expect(stateOf(member)[0]).toBe('replicate');
    expect(refusals).toBeLessThanOrEqual(3);
  });

  test('a broken connection makes it probe, once', () => {
    const member = replicating();
    member.propose('a');
    const first = member.step({ type: 'disconnected', member: 'n2' });
    expect(toN2(first.messages)).toMatchObject([{ entries: [{ index: 5 }] }]);
    expect(stateOf(member)).toEqual(['probe', 4, 5]);
    expect(member.step({ type: 'disconnected', member: 'n2' }).messages).toEqual([]);
  });

  test('so do messages that are lost while the connection stands', () => {
    const member = replicating();
    member.propose('a');
    const first = member.step({ type: 'messages-lost', member: 'n2' });
    expect(toN2(first.messages)).toMatchObject([{ entries: [{ index: 5 }] }]);
    expect(stateOf(member)).toEqual(['probe', 4, 5]);
    expect(member.node.role).toBe('leader');
  });
});

describe('a follower that needs what is no longer in memory', () => {
  const LOG = [1, 1, 1, 1, 1, 1];

  function behind(limits: MemberSetup['limits'] = {}): Member {
    const member = leaderOf({ log: LOG, term: 1, cachedEntries: 2, limits });
    return member;
  }

  test('its entries are asked for once, through the first in memory', () => {
    const member = behind();
    const ready = member.receive(refused({ term: 2, prevIndex: 6, hint: { index: 1, term: 1 } }));
    expect(ready.loads).toEqual([{ member: 'n2', fromIndex: 2, toIndex: 4, bytesMax: 1 << 20 }]);
    expect(stateOf(member)[0]).toBe('load');
    expect(member.receive(heartbeatReply({ term: 2 })).loads).toEqual([]);
    expect(member.propose('x').loads).toEqual([]);
  });

  test('they are sent when they have come, and the rest follows from memory', () => {
    const member = behind();
    member.receive(refused({ term: 2, prevIndex: 6, hint: { index: 1, term: 1 } }));
    const entries = [entry(2, 1), entry(3, 1), entry(4, 1)];
    const ready = member.step({ type: 'loaded', member: 'n2', entries });
    expect(toN2(ready.messages)).toMatchObject([{ prevLog: { index: 1, term: 1 }, entries }]);
    const next = member.receive(appended({ term: 2, matchIndex: 4 }));
    expect(toN2(next.messages)).toMatchObject([{ entries: [{ index: 5 }, { index: 6 }, {}] }]);
  });

  test('entries of another leader, loaded late, are not sent', () => {
    const member = behind();
    member.receive(refused({ term: 2, prevIndex: 6, hint: { index: 1, term: 1 } }));
    const entries = [entry(2, 1), entry(3, 9)];
    const ready = member.step({ type: 'loaded', member: 'n2', entries });
    expect(toN2(ready.messages)).toEqual([]);
    expect(ready.loads).toMatchObject([{ fromIndex: 2 }]);
  });

  test('a load that was overtaken is ignored', () => {
    const member = behind();
    member.receive(refused({ term: 2, prevIndex: 6, hint: { index: 1, term: 1 } }));
    const other = member.step({ type: 'loaded', member: 'n2', entries: [entry(3, 1)] });
    expect([other.messages, other.loads, stateOf(member)[0]]).toEqual([[], [], 'load']);
    // It turns out to have more: what was loaded no longer fits
    member.receive(appended({ term: 2, matchIndex: 3 }));
    const late = member.step({ type: 'loaded', member: 'n2', entries: [entry(2, 1), entry(3, 1)] });
    expect([toN2(late.messages), late.loads]).toMatchObject([[], [{ fromIndex: 4, toIndex: 4 }]]);
  });

  test('a load for somebody else, or after the leadership, is ignored', () => {
    const member = behind();
    member.receive(refused({ term: 2, prevIndex: 6, hint: { index: 1, term: 1 } }));
    member.receive(heartbeatReply({ term: 5 }));
    const ready = member.step({ type: 'loaded', member: 'n2', entries: [entry(2, 1)] });
    expect(ready.messages).toEqual([]);
    expect(behind().step({ type: 'loaded', member: 'x', entries: [entry(2, 1)] }).messages).toEqual(
      [],
    );
  });
});

describe('proposals', () => {
  test('are refused while too many bytes are not committed', () => {
    const member = leaderOf({ voters: ['n1', 'n2', 'n3'], limits: { uncommittedBytesMax: 10 } });
    expect(member.propose('x'.repeat(8), 1).proposals).toMatchObject([{ accepted: true }]);
    expect(member.propose('y'.repeat(3), 2).proposals).toEqual([
      { id: 2, accepted: false, reason: 'overloaded', leader: 'n1' },
    ]);
    expect(member.propose('z'.repeat(2), 3).proposals).toMatchObject([{ accepted: true }]);
    expect(member.node.uncommittedBytes).toBe(10);
    member.persist();
    member.receive(appended({ term: 1, matchIndex: 2 }));
    expect(member.node.uncommittedBytes).toBe(2);
  });

  test('one is always taken when none waits', () => {
    const member = leaderOf({ limits: { uncommittedBytesMax: 10 } });
    expect(member.propose('x'.repeat(1000)).proposals).toMatchObject([{ accepted: true }]);
  });
});

describe('memory', () => {
  test('entries stay until they are committed and on disk, then go as the bound asks', () => {
    const member = leaderOf({ limits: { logCacheBytesMax: 100 } });
    for (const text of ['a', 'b', 'c', 'd']) member.propose(text);
    member.persist();
    expect(member.node.entries(1, 5, 1000)).toHaveLength(5);
    member.receive(appended({ term: 1, matchIndex: 2 }));
    member.propose('e');
    member.persist();
    expect(member.node.entries(2, 6, 1000)).toBeNull();
    expect(member.node.entries(3, 6, 1000)).toHaveLength(4);
    member.receive(appended({ term: 1, matchIndex: 6 }));
    member.step({ type: 'applied', index: 6 });
    expect(member.node.cachedLogBytes).toBeLessThanOrEqual(100);
    expect(member.node.entries(6, 6, 1000)).toHaveLength(1);
  });

  test('a follower that applies more slowly than it is sent costs a bounded amount', () => {
    const member = new Member({ term: 1, limits: { logCacheBytesMax: 1_000 } });
    for (let index = 1; index <= 100; index += 1) {
      const prevLog = { index: index - 1, term: index === 1 ? 0 : 1 };
      const entries = [entry(index, 1, 'x'.repeat(100))];
      member.receive(append({ term: 1, prevLog, entries, leaderCommit: index }));
      member.persist();
    }
    expect([member.node.commitIndex, member.node.appliedIndex]).toEqual([100, 0]);
    expect(member.node.cachedLogBytes).toBeLessThanOrEqual(1_000);
  });

  test('entries() gives at least one entry, and as many as fit', () => {
    const member = leaderOf({ log: [1, 1, 1, 1], term: 1 });
    expect(member.node.entries(1, 4, 1)).toHaveLength(1);
    expect(member.node.entries(2, 3, 1000)?.map((e) => e.index)).toEqual([2, 3]);
  });

  test('a follower that never answers costs a bounded amount, however much is written', () => {
    const logCacheBytesMax = 2_000;
    const member = leaderOf({ limits: { logCacheBytesMax, inflightAppendsMax: 4 } });
    let sentToN3 = 0;
    for (let round = 0; round < 500; round += 1) {
      const ready = member.propose('x'.repeat(100));
      sentToN3 += ofType(ready.messages, 'AppendEntries').filter((m) => m.to === 'n3').length;
      member.persist();
      const { lastIndex } = member.node;
      const committed = member.receive(appended({ term: 1, matchIndex: lastIndex }));
      sentToN3 += ofType(committed.messages, 'AppendEntries').filter((m) => m.to === 'n3').length;
      expect(committed.loads).toEqual([]);
      member.step({ type: 'applied', index: lastIndex });
      expect(member.node.cachedLogBytes).toBeLessThanOrEqual(logCacheBytesMax);
    }
    expect(sentToN3).toBe(0);
    expect(member.node.uncommittedBytes).toBe(0);
  });

  test('nor does one that answers once and falls silent: its window is full, and that is all', () => {
    const logCacheBytesMax = 2_000;
    const member = replicating({ limits: { logCacheBytesMax, inflightAppendsMax: 4 } });
    let sentToN2 = 0;
    for (let round = 0; round < 500; round += 1) {
      sentToN2 += toN2(member.propose('x'.repeat(100)).messages).filter(
        (m) => m.entries.length > 0,
      ).length;
      member.persist();
      const { lastIndex } = member.node;
      member.receive(appended({ from: 'n3', term: 2, matchIndex: lastIndex }));
      member.step({ type: 'applied', index: lastIndex });
      expect(member.node.cachedLogBytes).toBeLessThanOrEqual(logCacheBytesMax);
    }
    expect(sentToN2).toBe(4);
  });

  test('a slow follower is served from the disk, one load at a time', () => {
    const member = replicating({ limits: { logCacheBytesMax: 500, inflightAppendsMax: 1 } });
    for (let round = 0; round < 50; round += 1) {
      member.propose('x'.repeat(100));
      member.persist();
      const { lastIndex } = member.node;
      member.receive(appended({ from: 'n3', term: 2, matchIndex: lastIndex }));
      member.step({ type: 'applied', index: lastIndex });
    }
    let loads = 0;
    for (let round = 0; round < 200 && stateOf(member)[1] !== member.node.lastIndex; round += 1) {
      const [, , next] = stateOf(member);
      let ready = member.receive(appended({ term: 2, matchIndex: Number(next) - 1 }));
      expect(ready.loads.length).toBeLessThanOrEqual(1);
      const [load] = ready.loads;
      if (load !== undefined) {
        loads += 1;
        const entries = [entry(load.fromIndex, 2)];
        ready = member.step({ type: 'loaded', member: 'n2', entries });
        expect(toN2(ready.messages)).toMatchObject([{ entries }]);
      }
      expect(member.node.cachedLogBytes).toBeLessThanOrEqual(500);
    }
    expect(stateOf(member)[1]).toBe(member.node.lastIndex);
    expect(loads).toBeGreaterThan(10);
  });
});
