import { describe, expect, test } from 'vitest';
import { formedWith } from '../../src/raft/configuration.js';
import type { LogPosition, RaftEvent, SnapshotOffer } from '../../src/raft/types.js';
import {
  append,
  appended,
  ELECTION_TICKS,
  entriesOf,
  entry,
  heartbeat,
  Member,
  type MemberSetup,
  ofType,
  voteRequest,
} from './node-fixture.js';

function offer(fields: Partial<SnapshotOffer> & { readonly position: LogPosition }): RaftEvent {
  const configuration = formedWith(['n1', 'n2', 'n3']);
  return { type: 'snapshot-received', snapshot: { from: 'n2', term: 2, configuration, ...fields } };
}

describe('a snapshot is received', () => {
  const position = { index: 5, term: 2 };

  test('it is installed when it goes beyond what is committed', () => {
    const member = new Member({ term: 2, log: [1, 1] });
    const ready = member.step(offer({ position }));
    expect(ready.install).toMatchObject({ from: 'n2', position });
    expect(ready.messages).toEqual([]);
    expect(ready.events).toContainEqual({
      type: 'snapshot',
      phase: 'installing',
      member: 'n2',
      index: 5,
    });
    // Its sender may have ceased to lead: heartbeats say who does.
    expect([member.node.leader, member.tick().install]).toEqual([null, null]);
  });

  test('one of an old term is installed, too: what it holds stays committed', () => {
    const member = new Member({ term: 3, log: [1] });
    const ready = member.step(offer({ position }));
    expect([ready.install?.position, ready.messages]).toEqual([position, []]);
    expect([member.node.term, member.node.leader]).toEqual([3, null]);
  });

  test('one of a later term begins that term here, on disk', () => {
    const member = new Member({ term: 1, log: [1] });
    const ready = member.step(offer({ position, term: 4 }));
    expect(ready.install).toMatchObject({ position });
    expect(ready.write?.hardState?.currentTerm).toBe(4);
    expect([member.node.term, member.node.leader]).toEqual([4, null]);
  });

  test('a candidate yields to one of a later term', () => {
    const member = new Member({ term: 1, log: [1] });
    member.step({ type: 'campaign' });
    expect(member.step(offer({ position, term: 2 })).install).not.toBeNull();
    expect(member.node.role).toBe('follower');
  });

  test('one that is stale is answered with what is committed, and not installed', () => {
    const member = new Member({ term: 2, log: [1, 1, 2, 2, 2, 2, 2], commitIndex: 6 });
    const ready = member.step(offer({ position }));
    expect(ready.install).toBeNull();
    expect(ready.messages).toEqual([appended({ from: 'n1', to: 'n2', term: 2, matchIndex: 6 })]);
    expect(member.node.commitIndex).toBe(6);
    // Also when the log that could tell so has been given up
    const later = new Member({ term: 2, logStart: { index: 8, term: 2 }, log: [2] });
    const again = later.step(offer({ position }));
    expect(again.install).toBeNull();
    expect(again.messages).toEqual([appended({ from: 'n1', to: 'n2', term: 2, matchIndex: 8 })]);
    expect(later.node.logStart.index).toBe(8);
  });

  test('what is committed, and not yet on the own disk, is not acknowledged', () => {
    const member = new Member({ term: 2 });
    const entries = entriesOf([1, 1, 2, 2, 2, 2]);
    const taken = member.receive(append({ term: 2, entries, leaderCommit: 6 }));
    expect(taken.commitIndex).toBe(6);
    const ready = member.step(offer({ position }));
    expect(ready.messages).toEqual([]);
    expect(ready.messagesAfterPersist).toMatchObject([{ result: { matchIndex: 6 } }]);
  });

  test('one whose state does not know the members yet is ignored', () => {
    const member = new Member({ term: 2, log: [1, 1] });
    const ready = member.step(offer({ position, configuration: formedWith([]) }));
    expect([ready.install, ready.messages]).toEqual([null, []]);
  });

  test('a log that holds its place only moves its commit index', () => {
    const member = new Member({ term: 2, log: [1, 1, 2, 2, 2, 2, 2] });
    const ready = member.step(offer({ position }));
    expect([ready.install, ready.commitIndex, member.node.lastIndex]).toEqual([null, 5, 7]);
    expect(ready.messages).toMatchObject([{ result: { success: true, matchIndex: 5 } }]);
  });

  test('a log that holds another entry there does not', () => {
    const member = new Member({ term: 2, log: [1, 1, 1, 1, 1, 1, 1] });
    const ready = member.step(offer({ position }));
    expect([ready.install?.position, ready.commitIndex]).toEqual([position, 0]);
  });
});

describe('while a snapshot is installed', () => {
  const position = { index: 5, term: 2 };

  function installing(setup: MemberSetup = {}): Member {
    const member = new Member({ term: 2, log: [1, 1], ...setup });
    member.step(offer({ position }));
    member.persist();
    return member;
  }

  test('no entries are taken, and none is refused', () => {
    const member = installing();
    for (const prevLog of [position, { index: 2, term: 1 }, { index: 9, term: 2 }]) {
      const entries = entriesOf([2], prevLog.index + 1);
      const ready = member.receive(append({ term: 2, prevLog, entries, leaderCommit: 6 }));
      expect([ready.messages, ready.messagesAfterPersist, ready.write]).toEqual([[], [], null]);
    }
    expect([member.node.lastIndex, member.node.commitIndex]).toEqual([2, 0]);
  });

  test('heartbeats are answered', () => {
    expect(installing().receive(heartbeat({ term: 2 })).messages).toMatchObject([
      { type: 'HeartbeatReply', term: 2 },
    ]);
  });

  test('votes are given, by the log that was', () => {
    const member = installing();
    member.tick(ELECTION_TICKS);
    const ask = voteRequest({ from: 'n3', term: 3, lastLog: { index: 2, term: 1 } });
    expect(member.answersTo(ask)).toMatchObject([{ granted: true }]);
    const other = installing();
    other.tick(ELECTION_TICKS);
    const old = voteRequest({ from: 'n3', term: 3, lastLog: { index: 1, term: 1 } });
    expect(other.answersTo(old)).toMatchObject([{ granted: false }]);
  });

  test('it starts no election', () => {
    const member = installing();
    const timedOut = member.tick(3 * ELECTION_TICKS);
    const asked = member.step({ type: 'campaign' });
    const handed = member.receive({ type: 'TimeoutNow', from: 'n2', to: 'n1', term: 2 });
    for (const ready of [timedOut, asked, handed]) {
      expect(ofType(ready.messages, 'RequestVote')).toEqual([]);
      expect(ready.messagesAfterPersist).toEqual([]);
    }
    expect([member.node.role, member.node.term]).toEqual(['follower', 2]);
  });

  test('a second one is ignored', () => {
    const member = installing();
    const ready = member.step(offer({ position: { index: 9, term: 2 } }));
    expect([ready.install, ready.messages]).toEqual([null, []]);
  });

  test('the installation of what was not asked for stops the replica', () => {
    const wrong: RaftEvent = { type: 'snapshot-installed', position: { index: 5, term: 1 } };
    expect(() => installing().step(wrong)).toThrow('asked to be installed');
    expect(() => new Member().step(wrong)).toThrow('asked to be installed');
  });
});

describe('a snapshot is in place', () => {
  const position = { index: 5, term: 2 };
  const installed: RaftEvent = { type: 'snapshot-installed', position };

  test('log, commit and applied index begin with it, and the leader is told', () => {
    const member = new Member({ term: 2, log: [1, 1, 1, 1, 1, 1, 1] });
    member.step(offer({ position }));
    const ready = member.step(installed);
    expect(ready.messages).toEqual([appended({ from: 'n1', to: 'n2', term: 2, matchIndex: 5 })]);
    const { lastIndex, commitIndex, appliedIndex, flushedIndex, cachedLogBytes } = member.node;
    expect([lastIndex, commitIndex, appliedIndex, flushedIndex]).toEqual([5, 5, 5, 5]);
    expect([cachedLogBytes, member.node.termAt(5), member.node.termAt(4)]).toEqual([0, 2, null]);
    expect(ready.write).toBeNull();
  });

  test('what its own log held behind it, of another leader, is gone', () => {
    const member = new Member({ term: 2, log: [1, 1, 1, 1, 1, 1, 1] });
    member.step(offer({ position }), { type: 'tick' });
    member.step(installed);
    const ready = member.receive(
      append({ term: 2, prevLog: position, entries: [entry(6, 2)], leaderCommit: 6 }),
    );
    expect(ready.write?.entries).toEqual([entry(6, 2)]);
    expect([member.node.lastIndex, member.node.commitIndex]).toEqual([6, 6]);
  });

  test('a late completion of a write of before says nothing of what comes behind it', () => {
    // Given a write of entries up to 7 is under way
    const member = new Member({ term: 1 });
    member.receive(append({ term: 1, from: 'n3', entries: entriesOf([1, 1, 1, 1, 1, 1, 1]) }));
    const before = member.sequence;
    member.step(offer({ position }));
    // When the snapshot is in place, and other entries are taken behind it
    member.step(installed);
    member.receive(append({ term: 2, prevLog: position, entries: entriesOf([2, 2], 6) }));
    member.persist(before);
    // Then the completion covers none of these
    expect(member.node.flushedIndex).toBe(5);
    member.persist();
    expect(member.node.flushedIndex).toBe(7);
  });

  test('its configuration is in effect, also when the own log said another', () => {
    const member = new Member({ term: 2, log: [1, 1] });
    const configuration = { ...formedWith(['n1', 'n2', 'n3', 'n4']), index: 4 };
    member.step(offer({ position, configuration }));
    expect(member.node.configuration.voters).toHaveLength(3);
    const ready = member.step(installed);
    expect(member.node.configuration).toEqual(configuration);
    expect(ready.events).toContainEqual({ type: 'configuration', configuration, committed: true });
  });

  test('whoever leads now is told, also when another did when it was sent', () => {
    const member = new Member({ term: 2, log: [1, 1] });
    member.step(offer({ position }));
    member.receive(heartbeat({ from: 'n3', term: 3 }));
    member.persist();
    expect(member.step(installed).messages).toEqual([
      appended({ from: 'n1', to: 'n3', term: 3, matchIndex: 5 }),
    ]);
  });

  test('nobody is told when nobody leads', () => {
    const member = new Member({ term: 2, log: [1, 1] });
    member.step(offer({ position }));
    member.receive(voteRequest({ from: 'n3', term: 3, transfer: true }));
    const ready = member.step(installed);
    expect([...ready.messages, ...ready.messagesAfterPersist]).toEqual([]);
  });

  test('reads that were forwarded wait for the state that the snapshot brings', () => {
    const member = new Member({ term: 2, log: [1, 1] });
    member.receive(heartbeat({ term: 2 }));
    const [request] = ofType(member.read(1).messages, 'ReadIndex');
    member.step(offer({ position }));
    const ready = member.receive({
      type: 'ReadIndexReply',
      from: 'n2',
      to: 'n1',
      term: 2,
      request: request?.request ?? 0,
      index: 5,
    });
    expect(ready.reads).toEqual([{ id: 1, ok: true, index: 5 }]);
    expect(ready.commitIndex).toBe(0);
    expect(member.step(installed).commitIndex).toBe(5);
  });

  test('it may lead, and give up the log again', () => {
    const member = new Member({ term: 2, log: [1, 1] });
    member.step(offer({ position, configuration: formedWith(['n1']) }), installed);
    member.step({ type: 'campaign' });
    member.persist();
    member.persist();
    expect([member.node.role, member.node.commitIndex]).toEqual(['leader', 6]);
    member.step({ type: 'applied', index: 6 }, { type: 'compact', index: 6 });
    expect(member.node.termAt(6)).toBe(3);
  });
});
