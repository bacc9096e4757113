import { describe, expect, test } from 'vitest';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { expectAllThereOnce, Load } from './support.js';

/** Cables between real replicas are cut. (What is served meanwhile: guarantees.test.ts.) */

/** The leader and one follower; the other three. */
async function sides(cluster: LocalCluster): Promise<[string[], string[]]> {
  const leader = await cluster.leader();
  const others = cluster.replicas.map(({ name }) => name).filter((name) => name !== leader);
  return [[leader, ...others.slice(0, 1)], others.slice(1)];
}

describe('a network that can be cut', () => {
  test('a leader cut off with a minority is replaced, and nothing acknowledged is lost or doubled', async () => {
    await using cluster = await LocalCluster.start({ replicas: 5, network: 'switched' });
    await using db = await cluster.connect();
    const load = new Load(db);
    await load.acknowledgedMore(200);
    for (const how of ['cut', 'reset'] as const) {
      const [few, many] = await sides(cluster);
      cluster.partition([few, many], { how });
      const old = few[0] as string;
      await cluster.waitFor('a leader on the side of the majority', async () => {
        const leaders = await Promise.all(many.map((name) => cluster.status(name)));
        return leaders.some(({ role }) => role === 'leader');
      });
      await cluster.waitFor('the old leader to step down', async () => {
        return (await cluster.status(old)).role !== 'leader';
      });
      await load.acknowledgedMore(200);
      cluster.heal();
      await load.acknowledgedMore(200);
    }
    const ledger = await load.stop();
    await expectAllThereOnce(cluster, ledger);
  });

  test('a follower that hears nobody, but is heard, does not unseat the leader', async () => {
    await using cluster = await LocalCluster.start({ network: 'switched' });
    await using db = await cluster.connect();
    await db.put('k', '1');
    const { replica: leader, term } = await cluster.waitForLeader();
    const [deaf = '', other = ''] = cluster.replicas
      .map(({ name }) => name)
      .filter((name) => name !== leader);
    cluster.cut(leader, deaf);
    cluster.cut(other, deaf);
    await cluster.waitFor('the deaf one to look for a leader', async () => {
      return (await cluster.status(deaf)).role === 'pre-candidate';
    });
    await db.put('k', '2');
    expect(await cluster.status(leader)).toMatchObject({ role: 'leader', term });
    cluster.heal();
    await cluster.waitForEqual();
    expect(await cluster.status(deaf)).toMatchObject({ leader, term });
  });

  test('a client whose own cable is cut hears nothing, and goes on when it is mended', async () => {
    await using cluster = await LocalCluster.start({ network: 'switched' });
    await using near = await cluster.connectFrom('near', { timeoutMs: 1000 });
    await near.put('k', '1');
    cluster.isolate('near');
    await expect(near.put('k', '2')).rejects.toMatchObject({ outcome: 'unknown' });
    await using far = await cluster.connectFrom('far');
    await far.put('other', '1');
    cluster.heal();
    await near.put('k', '3', { timeoutMs: 20_000 });
    expect((await far.get('k')).value?.toString()).toBe('3');
  });

  test('a replica that is added later can be cut off too', async () => {
    await using cluster = await LocalCluster.start({ network: 'switched' });
    await using db = await cluster.connect();
    await cluster.addReplica();
    const { index } = (await cluster.waitForLeader()).membership;
    expect(index).toBeGreaterThan(0);
    cluster.isolate('n4');
    const { revision } = await db.put('k', 'behind its back');
    await using reader = await cluster.connectTo('n4');
    expect((await reader.get('k', { consistency: 'any' })).value).toBeUndefined();
    cluster.heal();
    await waitUntil('n4 to have it', async () => {
      const { meta } = await reader.get('k', { consistency: 'any' });
      return meta.revision >= revision ? true : undefined;
    });
  });

  test('is asked for at the start', async () => {
    await using cluster = await LocalCluster.start({ replicas: 1 });
    expect(() => cluster.heal()).toThrow(/network: 'switched'/);
    await expect(cluster.connectFrom('x')).rejects.toThrow(/network: 'switched'/);
  });
});
