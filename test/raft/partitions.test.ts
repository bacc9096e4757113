import { describe, expect, test } from 'vitest';
import type { MemberId } from '../../src/raft/types.js';
import { Cluster } from './cluster-harness.js';
import { ELECTION_TICKS } from './node-fixture.js';
import { demandLiveness } from './schedule.js';

/** Links that carry nothing in one direction: every combination of them among three members. */

const IDS = ['n1', 'n2', 'n3'] as const;
const LINKS = IDS.flatMap((from) => IDS.filter((to) => to !== from).map((to) => `${from}>${to}`));
const MATRICES = Array.from({ length: 2 ** LINKS.length }, (_, bits) =>
  LINKS.filter((_link, at) => (bits & (2 ** at)) !== 0),
);

function pass(cluster: Cluster, ticks: number): void {
  for (let i = 0; i < ticks; i += 1) {
    cluster.pass(10);
    for (const id of cluster.ids) cluster.tick(id);
    cluster.settle();
  }
}

/** Two that hear each other are a majority. */
function hasPair(cut: readonly string[]): boolean {
  return IDS.some((a) =>
    IDS.some((b) => a !== b && !cut.includes(`${a}>${b}`) && !cut.includes(`${b}>${a}`)),
  );
}

function commits(cluster: Cluster): boolean {
  const before = cluster.checker.committedIndex;
  for (const id of IDS) if (cluster.node(id).role === 'leader') cluster.propose(id);
  cluster.settle();
  pass(cluster, 3);
  return cluster.checker.committedIndex > before;
}

function leaders(cluster: Cluster): MemberId[] {
  return IDS.filter((id) => cluster.node(id).role === 'leader');
}

describe('links that carry nothing in one direction', () => {
  test('there are 64 combinations of them among three members', () => {
    expect([MATRICES.length, MATRICES.filter(hasPair).length]).toEqual([64, 37]);
  });

  for (const withLeader of [true, false]) {
    const title = withLeader ? 'with a leader' : 'without one';
    test(`whichever they are, ${title} before: two that hear each other commit, others do not, and all converge when they are whole`, () => {
      for (const cut of MATRICES) {
        const cluster = new Cluster({ ids: IDS, seed: 9 });
        if (withLeader) {
          cluster.step('n1', { type: 'campaign' });
          cluster.settle();
          pass(cluster, 2);
        }
        for (const link of cut) cluster.cut.add(link);
        pass(cluster, 12 * ELECTION_TICKS);
        expect(commits(cluster), `cut: ${cut.join(' ')}`).toBe(hasPair(cut));
        if (!hasPair(cut)) expect(leaders(cluster)).toEqual([]);
        demandLiveness(cluster);
      }
    });
  }

  test('a leader that is heard and hears nobody steps down, and its followers find another one', () => {
    const cluster = new Cluster({ ids: IDS, seed: 9 });
    cluster.step('n1', { type: 'campaign' });
    cluster.settle();
    for (const link of ['n2>n1', 'n3>n1']) cluster.cut.add(link);
    pass(cluster, 2 * ELECTION_TICKS);
    expect(cluster.node('n1').role).not.toBe('leader');
    pass(cluster, 4 * ELECTION_TICKS);
    expect(['n2', 'n3']).toContain(cluster.leader());
  });

  test('one that is heard and hears nobody does not disturb the others', () => {
    const cluster = new Cluster({ ids: IDS, seed: 9 });
    cluster.step('n1', { type: 'campaign' });
    cluster.settle();
    for (const link of ['n1>n3', 'n2>n3']) cluster.cut.add(link);
    pass(cluster, 20 * ELECTION_TICKS);
    expect([cluster.leader(), cluster.node('n1').term, cluster.node('n2').term]).toEqual([
      'n1',
      1,
      1,
    ]);
  });
});
