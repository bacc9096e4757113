import { describe, expect, test } from 'vitest';
import { Cluster, type ClusterSetup } from './cluster-harness.js';
import { entry } from './node-fixture.js';

/** Time passes at all alike. */
function live(cluster: Cluster, ticks: number): void {
  for (let i = 0; i < ticks; i += 1) {
    for (const id of cluster.ids) cluster.tick(id);
    cluster.settle();
  }
}

function given(setup: Partial<ClusterSetup>): Cluster {
  return new Cluster({ ids: ['n1', 'n2', 'n3'], seed: 1, ...setup });
}

describe('members of priority 0', () => {
  test('lead for a moment when what is committed is on their disks alone', () => {
    const entries = [entry(1, 1), entry(2, 1)];
    const cluster = given({
      priorities: { n2: 0, n3: 0 },
      logs: { n1: entries.slice(0, 1), n2: entries, n3: entries },
    });
    live(cluster, 300);
    expect(cluster.leader()).toBe('n1');
    expect(cluster.node('n1').commitIndex).toBeGreaterThan(2);
  });

  test('lead when nobody else is there to do it', () => {
    const cluster = given({ priorities: { n2: 0, n3: 0 } });
    cluster.crash('n1');
    live(cluster, 300);
    expect(['n2', 'n3']).toContain(cluster.leader());
    cluster.start('n1');
    live(cluster, 100);
    expect(cluster.leader()).toBe('n1');
  });
});

describe('a member of higher priority that can be asked to lead, and cannot win', () => {
  test('does not cost the cluster its leader again and again', () => {
    const ids = ['n1', 'n2', 'n3', 'n4', 'n5'];
    const cluster = given({ ids, priorities: { n3: 150, n5: 200 } });
    for (const id of ['n1', 'n2', 'n4']) {
      cluster.cut.add(`${id}>n5`);
      cluster.cut.add(`n5>${id}`);
    }
    live(cluster, 1_000);
    const tries = ids.flatMap((id) =>
      cluster.member(id).events.filter((e) => e.type === 'transfer' && e.phase === 'timeout-now'),
    );
    // 100 election timeouts: one hand-over to n5 in ten of them, and perhaps one to n3 behind each.
    expect(tries.length).toBeGreaterThan(2);
    expect(tries.length).toBeLessThanOrEqual(22);
  });
});
