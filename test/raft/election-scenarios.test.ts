import { describe, expect, test } from 'vitest';
import type { MemberId } from '../../src/raft/types.js';
import { Cluster, type ClusterSetup } from './cluster-harness.js';
import {
  ELECTION_TICKS,
  entriesOf,
  heartbeatReply,
  leaderOf,
  Member,
  ofType,
  voteReply,
  voteRequest,
} from './node-fixture.js';
import { demandLiveness } from './schedule.js';

/** Elections, played with whole clusters of cores. */

const THREE = ['n1', 'n2', 'n3'];

function clusterOf(more: Partial<ClusterSetup> = {}): Cluster {
  return new Cluster({ ids: THREE, seed: 5, ...more });
}

function elect(cluster: Cluster, id: MemberId): void {
  cluster.step(id, { type: 'campaign' });
  cluster.settle();
}

/** All but the leader have noticed that it is gone: they are free to vote. */
function forget(cluster: Cluster, leader: MemberId): void {
  for (const id of cluster.ids) {
    if (id !== leader) cluster.step(id, { type: 'disconnected', member: leader });
  }
}

function pass(cluster: Cluster, ticks: number): void {
  for (let i = 0; i < ticks; i += 1) {
    for (const id of cluster.ids) cluster.tick(id);
    cluster.settle();
  }
}

function roles(cluster: Cluster): string[] {
  return cluster.ids.map((id) => cluster.node(id).role);
}

/** Not one step further than that `id`, which campaigns, leads. */
function untilItLeads(cluster: Cluster, id: MemberId): void {
  for (let i = 0; i < 50 && cluster.node(id).role !== 'leader'; i += 1) {
    if (cluster.network.length > 0) cluster.deliver(0);
    else for (const other of cluster.ids) cluster.persist(other);
  }
  expect(cluster.node(id).role).toBe('leader');
}

/** How often each member told that it began the real election. */
function candidacies(cluster: Cluster): number[] {
  return cluster.ids.map(
    (id) =>
      cluster.member(id).events.filter((e) => e.type === 'role' && e.role === 'candidate').length,
  );
}

describe('elections of whole clusters (paper §5.2)', () => {
  test('each member in turn is elected, the leader before it follows', () => {
    const cluster = clusterOf();
    let before: MemberId | null = null;
    for (const [round, id] of ['n1', 'n2', 'n3', 'n1', 'n3', 'n2'].entries()) {
      if (before !== null) forget(cluster, before);
      if (before !== null) cluster.isolate(before);
      elect(cluster, id);
      cluster.heal();
      cluster.tick(id, 2);
      cluster.settle();
      expect(cluster.leader()).toBe(id);
      expect(cluster.node(id).term).toBe(round + 1);
      expect(roles(cluster).filter((role) => role === 'leader')).toHaveLength(1);
      before = id;
    }
  });

  test('of two that campaign at once the one that is heard by the third wins, and the other concedes', () => {
    const cluster = clusterOf();
    cluster.cut.add('n1>n3');
    cluster.cut.add('n3>n1');
    cluster.step('n1', { type: 'campaign' });
    cluster.step('n3', { type: 'campaign' });
    cluster.settle();
    expect(cluster.leader()).toBe('n1');
    expect(cluster.node('n3').role).not.toBe('leader');
    cluster.heal();
    pass(cluster, 3);
    expect(roles(cluster)).toEqual(['leader', 'follower', 'follower']);
    expect(cluster.node('n3').leader).toBe('n1');
    demandLiveness(cluster);
  });

  test('pre-candidates that campaign at once and again do not raise the term of a leader that works', () => {
    const cluster = clusterOf();
    cluster.cut.add('n1>n3');
    cluster.cut.add('n3>n1');
    cluster.step('n1', { type: 'campaign' });
    cluster.step('n3', { type: 'campaign' });
    cluster.settle();
    cluster.propose('n1');
    cluster.settle();
    for (let round = 0; round < 5; round += 1) {
      cluster.step('n3', { type: 'campaign' });
      cluster.settle();
      pass(cluster, 3);
    }
    expect(candidacies(cluster)[2]).toBeLessThanOrEqual(1);
    cluster.heal();
    cluster.step('n3', { type: 'campaign' });
    cluster.settle();
    pass(cluster, 3);
    expect(cluster.leader()).toBe('n1');
    expect(THREE.map((id) => cluster.node(id).term)).toEqual([1, 1, 1]);
  });

  test('a leader that was cut off comes back as a follower, and its own entries go', () => {
    const cluster = clusterOf();
    elect(cluster, 'n3');
    cluster.isolate('n3');
    cluster.propose('n3', 'never committed');
    cluster.settle();
    forget(cluster, 'n3');
    elect(cluster, 'n1');
    cluster.propose('n1', 'committed');
    cluster.settle();
    pass(cluster, 40);
    cluster.heal();
    pass(cluster, 5);
    expect(cluster.leader()).toBe('n1');
    const texts = cluster.member('n3').log.map((e) => Buffer.from(e.payload).toString());
    expect(texts).toContain('committed');
    expect(texts).not.toContain('never committed');
  });

  test('whoever lacks entries of a later term that are not committed may win, and overwrites them', () => {
    // n1 has an entry of term 1; n3 leads term 2 by the votes of n4 and n5, and tells nobody of its entry
    const ids = ['n1', 'n2', 'n3', 'n4', 'n5'];
    const log = entriesOf([1]);
    const terms = Object.fromEntries(ids.map((id) => [id, 1]));
    const cluster = new Cluster({ ids, seed: 5, logs: { n1: log, n2: log }, terms });
    for (const id of ['n1', 'n2']) cluster.isolate(id);
    cluster.step('n3', { type: 'campaign' });
    untilItLeads(cluster, 'n3');
    cluster.heal();
    cluster.isolate('n3');
    cluster.settle();
    expect(cluster.member('n3').log).toMatchObject([{ term: 2 }]);
    // Its first question fails, since n4 and n5 have voted in term 2, and tells it that term.
    elect(cluster, 'n1');
    expect([cluster.node('n1').role, cluster.node('n1').term]).toEqual(['follower', 2]);
    elect(cluster, 'n1');
    expect([cluster.node('n1').role, cluster.node('n1').term]).toEqual(['leader', 3]);
    cluster.heal();
    pass(cluster, 4);
    for (const id of ids) expect(cluster.member(id).log.map((e) => e.term)).toEqual([1, 3]);
  });

  test('a vote of a new term is granted in every role that nobody leads through', () => {
    const request = voteRequest({ from: 'n3', term: 9, lastLog: { index: 9, term: 8 } });
    const follower = new Member();
    const preCandidate = new Member();
    preCandidate.step({ type: 'campaign' });
    const candidate = new Member();
    candidate.step({ type: 'campaign' });
    candidate.receive(voteReply({ term: 1, preVote: true }));
    candidate.persist();
    // A leader that has heard no quorum for an election timeout, and has not noticed yet.
    const leader = leaderOf();
    leader.tick(ELECTION_TICKS - 1);
    leader.receive(heartbeatReply({ term: 1 }));
    leader.tick(ELECTION_TICKS);
    const members = [follower, preCandidate, candidate, leader];
    expect(members.map((m) => m.node.role)).toEqual([
      'follower',
      'pre-candidate',
      'candidate',
      'leader',
    ]);
    for (const member of members) {
      expect(member.answersTo({ ...request, preVote: true } as typeof request)).toMatchObject([
        { granted: true, preVote: true },
      ]);
      expect(member.answersTo(request)).toMatchObject([{ granted: true, term: 9 }]);
      expect([member.node.role, member.node.votedFor]).toEqual(['follower', 'n3']);
    }
  });

  test('messages of an old leader that come late change nothing', () => {
    const cluster = clusterOf();
    elect(cluster, 'n1');
    cluster.propose('n1', 'old');
    const late = ofType(cluster.network, 'AppendEntries');
    expect(late).toHaveLength(2);
    cluster.network = [];
    cluster.isolate('n1');
    forget(cluster, 'n1');
    elect(cluster, 'n2');
    cluster.propose('n2', 'new');
    cluster.settle();
    cluster.heal();
    cluster.network = [...late];
    cluster.settle();
    pass(cluster, 3);
    expect(cluster.leader()).toBe('n2');
    for (const id of THREE) {
      expect(cluster.member(id).log.map((e) => e.term)).toEqual([1, 2, 2]);
    }
  });
});

describe('elections with pre-vote (thesis §9.6)', () => {
  /** The first is lost after it has led; all others campaign at once, their questions pass each other, and each votes for itself. */
  function splitVotes(ids: readonly MemberId[]): { cluster: Cluster; candidates: MemberId[] } {
    const cluster = new Cluster({ ids, seed: 5 });
    const [leader = '', ...candidates] = ids;
    elect(cluster, leader);
    cluster.crash(leader);
    forget(cluster, leader);
    for (const id of candidates) cluster.step(id, { type: 'campaign' });
    cluster.settle();
    expect(cluster.leader()).toBeNull();
    expect(candidates.map((id) => cluster.node(id).term)).toEqual(candidates.map(() => 2));
    return { cluster, candidates };
  }

  test('when both followers campaign at once, votes are split, and one wins soon after', () => {
    const { cluster } = splitVotes(THREE);
    // In less than an election timeout: a leader was lost, and both were told that the other has its vote.
    pass(cluster, ELECTION_TICKS / 2);
    expect(cluster.leader()).toBe('n2');
    demandLiveness(cluster);
  });

  test('when each of three has its own vote alone, one of them wins soon after, too', () => {
    const { cluster, candidates } = splitVotes(['n1', 'n2', 'n3', 'n4']);
    // All were refused by two: no further answer can help them.
    expect(candidates.map((id) => cluster.node(id).role)).toEqual(Array(3).fill('follower'));
    pass(cluster, ELECTION_TICKS / 2);
    expect(cluster.leader()).toBe('n2');
    demandLiveness(cluster);
  });

  test('votes that are split while one more member is lost than the leader are asked for again soon, too', () => {
    const cluster = new Cluster({ ids: ['n1', 'n2', 'n3', 'n4', 'n5'], seed: 5 });
    elect(cluster, 'n1');
    for (const id of ['n1', 'n5']) cluster.crash(id);
    forget(cluster, 'n1');
    for (const id of ['n2', 'n3']) cluster.step(id, { type: 'campaign' });
    cluster.settle();
    expect([cluster.leader(), cluster.node('n2').term]).toEqual([null, 2]);
    // In less than an election timeout.
    pass(cluster, ELECTION_TICKS - 1);
    expect(cluster.leader()).not.toBeNull();
  });

  test('who was refused by one, and may yet be given the votes of others, waits for them', () => {
    const cluster = new Cluster({ ids: ['n1', 'n2', 'n3', 'n4', 'n5'], seed: 5 });
    elect(cluster, 'n1');
    cluster.crash('n1');
    forget(cluster, 'n1');
    for (const id of ['n2', 'n3']) cluster.step(id, { type: 'campaign' });
    // Their votes are not on disk for long.
    cluster.settle({ disks: ['n4', 'n5'] });
    const state = (): unknown[] => [cluster.node('n2').role, cluster.node('n2').term];
    expect(state()).toEqual(['candidate', 2]);
    for (const id of ['n2', 'n3']) cluster.tick(id, ELECTION_TICKS / 2);
    expect(state()).toEqual(['candidate', 2]);
    cluster.settle();
    expect(cluster.leader()).not.toBeNull();
    expect(cluster.node('n2').term).toBe(2);
  });

  test('a member of a lower term than all others can be elected', () => {
    // n3 has a log like the others, and was away for many terms
    const log = entriesOf([1, 1]);
    const cluster = clusterOf({
      logs: { n1: log, n2: log, n3: log },
      terms: { n1: 7, n2: 7, n3: 1 },
    });
    cluster.crash('n1');
    elect(cluster, 'n3');
    elect(cluster, 'n3');
    expect([cluster.leader(), cluster.node('n3').term]).toEqual(['n3', 8]);
    cluster.start('n1');
    demandLiveness(cluster);
  });

  test('neither a longer log of a lower term nor a higher term with a shorter log blocks the other', () => {
    // Only n1 and n2 are there: n1 has the term, n2 has the log
    for (const first of ['n1', 'n2']) {
      const cluster = clusterOf({
        logs: { n1: entriesOf([1]), n2: entriesOf([1, 5]) },
        terms: { n1: 7, n2: 5, n3: 0 },
      });
      cluster.crash('n3');
      cluster.step(first, { type: 'campaign' });
      cluster.settle();
      pass(cluster, 10 * ELECTION_TICKS);
      expect(cluster.leader()).toBe('n2');
      demandLiveness(cluster);
    }
  });

  test('one whose term is higher than that of a leader that works is taken in, and not stuck', () => {
    const cluster = clusterOf({ terms: { n1: 0, n2: 0, n3: 5 } });
    cluster.isolate('n3');
    elect(cluster, 'n1');
    expect([cluster.leader(), cluster.node('n1').term]).toEqual(['n1', 1]);
    cluster.heal();
    pass(cluster, 10 * ELECTION_TICKS);
    const leader = cluster.leader() ?? '';
    expect(cluster.node(leader).term).toBeGreaterThan(5);
    for (const id of THREE) expect(cluster.node(id).leader).toBe(leader);
    demandLiveness(cluster);
  });

  test('one that was cut off for long comes back without an election, whatever it tried meanwhile', () => {
    const cluster = clusterOf();
    elect(cluster, 'n1');
    cluster.isolate('n3');
    pass(cluster, 20 * ELECTION_TICKS);
    expect(cluster.node('n3').role).toBe('pre-candidate');
    cluster.heal();
    pass(cluster, 5 * ELECTION_TICKS);
    expect(cluster.leader()).toBe('n1');
    expect(THREE.map((id) => cluster.node(id).term)).toEqual([1, 1, 1]);
    expect(candidacies(cluster)).toEqual([1, 0, 0]);
  });

  test('a leader is superseded when those who follow it have heard nothing for an election timeout, not before', () => {
    // Given n3 hears nothing of the leader n1, which n2 follows
    const cluster = clusterOf();
    elect(cluster, 'n1');
    cluster.cut.add('n1>n3');
    cluster.cut.add('n3>n1');
    pass(cluster, 10 * ELECTION_TICKS);
    expect(THREE.map((id) => [cluster.leader(), cluster.node(id).term])).toEqual([
      ['n1', 1],
      ['n1', 1],
      ['n1', 1],
    ]);
    // When n1 is cut off from n2, too
    cluster.isolate('n1');
    pass(cluster, ELECTION_TICKS - 3);
    expect(cluster.node('n2').leader).toBe('n1');
    pass(cluster, 5 * ELECTION_TICKS);
    // Then one of the others leads
    expect(['n2', 'n3']).toContain(cluster.leader());
    expect(cluster.node('n1').role).not.toBe('leader');
  });
});

describe('a restart of all members', () => {
  test('a read after it sees what was read before it, though no commit index was saved', () => {
    for (const next of THREE) {
      const cluster = clusterOf();
      elect(cluster, 'n1');
      cluster.propose('n1', 'x');
      cluster.settle();
      const before = cluster.read('n1');
      cluster.settle();
      const first = cluster.member('n1').answers.find(({ id }) => id === before);
      expect(first).toMatchObject({ ok: true, index: 2 });
      for (const id of THREE) cluster.crash(id, 9);
      for (const id of THREE) cluster.start(id);
      for (const id of THREE) expect(cluster.node(id).commitIndex).toBeLessThan(2);
      cluster.step(next, { type: 'campaign' });
      untilItLeads(cluster, next);
      // It leads, has all, and does not know yet that it is committed.
      expect(cluster.node(next).commitIndex).toBeLessThan(2);
      const again = cluster.read(next);
      cluster.settle();
      const answer = cluster.member(next).answers.find(({ id }) => id === again);
      expect(answer).toMatchObject({ ok: true, index: 3 });
    }
  });
});
