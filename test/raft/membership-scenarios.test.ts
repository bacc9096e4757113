import { describe, expect, test } from 'vitest';
import type { MemberId } from '../../src/raft/types.js';
import { Cluster, type ClusterSetup } from './cluster-harness.js';
import { demandLiveness } from './schedule.js';

/** What happened to others, played with whole clusters of cores. */

function clusterOf(ids: readonly MemberId[], voters: readonly MemberId[] = ids): Cluster {
  const setup: ClusterSetup = { ids, voters, seed: 11 };
  const cluster = new Cluster(setup);
  cluster.step('n1', { type: 'campaign' });
  cluster.settle();
  expect(cluster.leader()).toBe('n1');
  return cluster;
}

function pass(cluster: Cluster, ticks: number): void {
  for (let i = 0; i < ticks; i += 1) {
    for (const id of cluster.ids) cluster.tick(id);
    cluster.settle();
  }
}

describe('servers that are not in the configuration cannot disturb (thesis §4.2.3, hashicorp/raft#524)', () => {
  for (const [name, learners] of [
    ['removed', [] as MemberId[]],
    ['made a learner', ['n3']],
  ] as const) {
    test(`one that was cut off while it was ${name} comes back without an election`, () => {
      const cluster = clusterOf(['n1', 'n2', 'n3']);
      pass(cluster, 2);
      cluster.isolate('n3');
      cluster.change('n1', { voters: ['n1', 'n2'], learners: [...learners] });
      pass(cluster, 30);
      expect(cluster.node('n1').configuration.voters).toEqual(['n1', 'n2']);
      cluster.heal();
      pass(cluster, 200);
      expect([cluster.leader(), cluster.node('n1').term, cluster.node('n2').term]).toEqual([
        'n1',
        1,
        1,
      ]);
    });
  }

  test('one that was cut off is not elected when the leader fails', () => {
    const cluster = clusterOf(['n1', 'n2', 'n3', 'n4']);
    cluster.isolate('n4');
    cluster.change('n1', { voters: ['n1', 'n2', 'n3'] });
    pass(cluster, 3);
    cluster.heal();
    cluster.crash('n1');
    pass(cluster, 60);
    expect(['n2', 'n3']).toContain(cluster.leader());
  });
});

describe('changes of the members and failures', () => {
  test('a change that a leader made alone is undone by the next leader, without a trace', () => {
    const cluster = clusterOf(['n1', 'n2', 'n3', 'n4'], ['n1', 'n2', 'n3']);
    cluster.isolate('n1');
    cluster.change('n1', { learners: ['n4'] });
    cluster.settle();
    expect(cluster.node('n1').configuration.learners).toEqual(['n4']);
    cluster.step('n2', { type: 'disconnected', member: 'n1' });
    cluster.step('n3', { type: 'disconnected', member: 'n1' });
    cluster.step('n2', { type: 'campaign' });
    cluster.settle();
    cluster.heal();
    pass(cluster, 10);
    expect(cluster.node('n1').configuration).toMatchObject({ index: 0, learners: [] });
    demandLiveness(cluster);
  });

  test('opposite changes of two leaders do not both take place (Ongaro, 2015)', () => {
    // n1 adds n5 and nobody hears of it; n2 leads and removes a voter; n1 comes back with its own.
    const cluster = clusterOf(['n1', 'n2', 'n3', 'n4', 'n5'], ['n1', 'n2', 'n3', 'n4']);
    cluster.isolate('n1');
    cluster.change('n1', { learners: ['n5'], promotions: [{ member: 'n5', replaces: null }] });
    cluster.settle();
    for (const id of ['n2', 'n3', 'n4']) {
      cluster.step(id, { type: 'disconnected', member: 'n1' });
    }
    cluster.step('n2', { type: 'campaign' });
    cluster.settle();
    cluster.change('n2', { voters: ['n2', 'n3', 'n4'] });
    cluster.settle();
    cluster.heal();
    cluster.isolate('n2');
    pass(cluster, 60);
    cluster.heal();
    demandLiveness(cluster);
    const voters = cluster.node(cluster.leader() ?? '').configuration.voters;
    expect(voters).toEqual(['n2', 'n3', 'n4']);
  });

  test('when only a member that leaves has the final configuration, it is elected to spread it (thesis §4.2.2)', () => {
    const cluster = clusterOf(['n1', 'n2', 'n3', 'n4'], ['n1', 'n2', 'n3']);
    cluster.change('n1', { learners: ['n4'] });
    pass(cluster, 4);
    // n2 and n3 take the final configuration to their disks; n1, the only voter in it, loses power.
    cluster.change('n1', { voters: ['n1'], learners: [] });
    expect(cluster.node('n1').configuration.votersOutgoing).not.toEqual([]);
    for (let i = 0; i < 50 && cluster.node('n1').configuration.votersOutgoing.length > 0; i += 1) {
      if (cluster.network.length > 0) cluster.deliver(0);
      else for (const id of cluster.ids) cluster.persist(id);
    }
    cluster.settle({ disks: ['n1'] });
    const last = cluster.node('n2').lastIndex;
    cluster.crash('n1');
    cluster.start('n1');
    expect(cluster.node('n1').lastIndex).toBeLessThan(last);
    demandLiveness(cluster);
    expect(cluster.leader()).toBe('n1');
  });

  test('three members are replaced one by one, then all at once, and nothing is lost', () => {
    const ids = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'];
    const cluster = clusterOf(ids, ['n1', 'n2', 'n3']);
    for (const [member, replaces] of [
      ['n4', 'n1'],
      ['n5', 'n2'],
      ['n6', 'n3'],
    ] as const) {
      cluster.propose(cluster.leader() ?? '', `before ${member}`);
      cluster.change(cluster.leader() ?? '', {
        learners: [member],
        promotions: [{ member, replaces }],
      });
      pass(cluster, 40);
    }
    const after = cluster.node(cluster.leader() ?? '');
    expect([...after.configuration.voters].sort()).toEqual(['n4', 'n5', 'n6']);
    cluster.change(after.id, {
      learners: ['n1', 'n2', 'n3'],
      promotions: [
        { member: 'n1', replaces: 'n4' },
        { member: 'n2', replaces: 'n5' },
        { member: 'n3', replaces: 'n6' },
      ],
    });
    pass(cluster, 40);
    const last = cluster.node(cluster.leader() ?? '');
    expect([...last.configuration.voters].sort()).toEqual(['n1', 'n2', 'n3']);
    const texts = cluster.checker.committedEntries.map((e) => Buffer.from(e.payload).toString());
    for (const member of ['n4', 'n5', 'n6']) expect(texts).toContain(`before ${member}`);
    demandLiveness(cluster);
  });

  test('leadership goes round all members by transfer, and comes back', () => {
    const cluster = clusterOf(['n1', 'n2', 'n3']);
    for (const target of ['n2', 'n3', 'n1', 'n3', 'n2', 'n1']) {
      cluster.propose(cluster.leader() ?? '');
      cluster.transfer(cluster.leader() ?? '', target);
      cluster.settle();
      expect(cluster.leader()).toBe(target);
    }
    expect(cluster.node('n1').term).toBe(7);
  });

  test('the member of the highest priority leads in the end', () => {
    const cluster = new Cluster({
      ids: ['n1', 'n2', 'n3'],
      seed: 3,
      priorities: { n1: 10, n2: 100, n3: 50 },
    });
    cluster.step('n1', { type: 'campaign' });
    cluster.settle();
    pass(cluster, 40);
    expect(cluster.leader()).toBe('n2');
    const { term } = cluster.node('n2');
    pass(cluster, 200);
    expect([cluster.leader(), cluster.node('n2').term]).toEqual(['n2', term]);
  });
});
