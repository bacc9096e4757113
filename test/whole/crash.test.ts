import { describe, expect, test } from 'vitest';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { expectAllThereOnce, Load } from './support.js';

describe('a cluster of real processes under load', () => {
  test('has every acknowledged write once after its leader, then each replica, and then all at once, was killed', async () => {
    await using cluster = await LocalCluster.start();
    await using db = await cluster.connect();
    const load = new Load(db);
    await load.acknowledgedMore(500);
    const old = await cluster.waitForLeader();
    await cluster.kill(old.replica);
    await load.acknowledgedMore(500);
    const leader = await cluster.waitForLeader();
    expect(leader.replica).not.toBe(old.replica);
    expect(leader.term).toBeGreaterThan(old.term);
    expect(load.ledger.counts).toMatchObject({ unknown: 0, notApplied: 0 });
    await cluster.start(old.replica);

    for (const { name } of cluster.replicas) {
      if (name === old.replica) continue;
      await load.acknowledgedMore(300);
      await cluster.kill(name);
      await load.acknowledgedMore(300);
      await cluster.start(name);
    }
    await load.acknowledgedMore(300);
    await Promise.all(cluster.replicas.map(({ name }) => cluster.kill(name)));
    await Promise.all(cluster.replicas.map(({ name }) => cluster.start(name)));
    await load.acknowledgedMore(300);
    await load.stop();

    await expectAllThereOnce(cluster, load.ledger);
  });

  /**
   * The leader has sent an entry on and has it on its own disk, but has not told the client: the entry
   * commits under the next leader, and the client, who must ask again, must not have it twice.
   */
  test('applies nothing twice that was replicated but not answered when a replica died', async () => {
    const failpoints = 'wal.after-sync=exit@100';
    await using cluster = await LocalCluster.start({
      env: { BALSA_UNSAFE_TESTING: '1', BALSA_UNSAFE_FAILPOINTS: failpoints },
    });
    await using db = await cluster.connect();

    const deaths = cluster.replicas.map(async ({ name }) => {
      const exit = await cluster.exit(name);
      await cluster.start(name, { env: { BALSA_UNSAFE_FAILPOINTS: '' } });
      return exit.signal;
    });
    const load = new Load(db, { rests: false });

    expect(await Promise.all(deaths)).toEqual(['SIGKILL', 'SIGKILL', 'SIGKILL']);
    await load.acknowledgedMore(300);
    await load.stop();
    expect(load.ledger.counts).toMatchObject({ unknown: 0, notApplied: 0 });
    await expectAllThereOnce(cluster, load.ledger);
  });

  test('has acknowledged nothing that only the leader had, and takes it back where nobody else has it', async () => {
    await using cluster = await LocalCluster.start();
    await using db = await cluster.connect();
    const load = new Load(db);
    await load.acknowledgedMore(500);
    const leader = await cluster.leader();
    const followers = cluster.replicas.map(({ name }) => name).filter((name) => name !== leader);

    await Promise.all(followers.map((name) => cluster.kill(name)));
    // Until it notices, the leader takes on what it is asked for.
    await cluster.waitFor('the leader to step down', async () => {
      return (await cluster.status(leader)).role !== 'leader';
    });
    await cluster.kill(leader);
    await Promise.all(followers.map((name) => cluster.start(name)));
    await load.acknowledgedMore(500);
    await expectAllThereOnce(cluster, await load.stop());
    await cluster.start(leader);
    await expectAllThereOnce(cluster, load.ledger);
  });

  test('goes on when its leader is paused, and the leader comes back as a follower', async () => {
    await using cluster = await LocalCluster.start();
    await using db = await cluster.connect();
    const load = new Load(db);
    await load.acknowledgedMore(500);
    const old = await cluster.waitForLeader();

    cluster.pause(old.replica);
    const leader = await cluster.waitForLeader();
    await load.acknowledgedMore(500);
    cluster.resume(old.replica);
    await load.acknowledgedMore(500);
    await load.stop();

    expect(leader.replica).not.toBe(old.replica);
    await expectAllThereOnce(cluster, load.ledger);
  });
});

test('a replica that is asked to stop (SIGTERM) ends with code 0, as a follower and as the leader, and what was in flight is answered', async () => {
  await using cluster = await LocalCluster.start();
  await using db = await cluster.connect();
  const load = new Load(db);
  for (const role of ['follower', 'leader']) {
    await load.acknowledgedMore(500);
    const leader = await cluster.leader();
    const follower = cluster.replicas.find(({ name }) => name !== leader)?.name ?? '';
    const name = role === 'leader' ? leader : follower;

    const exit = await cluster.stop(name);
    await load.acknowledgedMore(500);

    expect({ role, exit }).toEqual({ role, exit: { code: 0, signal: null } });
    await cluster.start(name);
  }
  await load.stop();
  expect(load.ledger.counts).toMatchObject({ unknown: 0, notApplied: 0 });
  await expectAllThereOnce(cluster, load.ledger);
});
