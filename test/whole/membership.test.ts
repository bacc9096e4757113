import { describe, expect, test } from 'vitest';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import type { MembersStatus } from '../../src/rpc/protocol.js';
import { expectAllThereOnce, Load } from './support.js';

/** `n1 voter, n2 learner` */
function inWords({ members }: MembersStatus): string {
  return members
    .map(({ name, role }) => `${name} ${role}`)
    .sort()
    .join(', ');
}

const PATIENT = { timeoutMs: 60_000 };

describe('the members of a cluster of processes', () => {
  test('all three are replaced one by one under load, and the client that began with them goes on', async () => {
    await using cluster = await LocalCluster.start();
    await using db = await cluster.connect();
    const load = new Load(db);
    await load.acknowledgedMore(50);
    for (const name of ['n1', 'n2', 'n3']) {
      await cluster.addReplica({ replaces: name });
      await load.acknowledgedMore(50);
    }
    const ledger = await load.stop();
    const { members } = await db.cluster.members();
    expect(inWords(members)).toBe('n4 voter, n5 voter, n6 voter');
    expect(ledger.counts).toMatchObject({ unknown: 0, notApplied: 0 });
    await expectAllThereOnce(cluster, ledger);
  });

  test('it grows from one to five and shrinks to one again, with no write lost', async () => {
    await using cluster = await LocalCluster.start({ replicas: 1 });
    await using db = await cluster.connect();
    const load = new Load(db);
    await load.acknowledgedMore(20);
    for (const count of [2, 3, 4, 5]) {
      await cluster.addReplica();
      const { members } = (await db.cluster.members()).members;
      expect(members.filter((member) => member.role === 'voter')).toHaveLength(count);
      await load.acknowledgedMore(20);
    }
    for (const name of ['n1', 'n2', 'n3', 'n4']) {
      await cluster.removeReplica(name);
      await load.acknowledgedMore(20);
    }
    const ledger = await load.stop();
    expect(ledger.counts).toMatchObject({ unknown: 0, notApplied: 0 });
    expect(inWords((await db.cluster.members()).members)).toBe('n5 voter');
    await expectAllThereOnce(cluster, ledger);
  });

  test('one whose disk was wiped comes back under a new incarnation with --reseed, and votes again', async () => {
    await using cluster = await LocalCluster.start();
    await using db = await cluster.connect();
    const load = new Load(db);
    await load.acknowledgedMore(50);
    const { incarnation } = await cluster.status('n2');
    await cluster.kill('n2');
    cluster.wipe('n2');
    await load.acknowledgedMore(50);
    await cluster.start('n2', { args: ['--reseed'] });
    await db.cluster.settled(PATIENT);
    await cluster.waitFor('its vote', async () => {
      const { members } = (await db.cluster.members()).members;
      return members.some(
        (m) => m.name === 'n2' && m.incarnation !== incarnation && m.role === 'voter',
      );
    });
    await load.acknowledgedMore(50);
    const ledger = await load.stop();
    expect(inWords((await db.cluster.members()).members)).toBe('n1 voter, n2 voter, n3 voter');
    await expectAllThereOnce(cluster, ledger);
    // Twice the same flag does no harm.
    await cluster.restart('n2', { args: ['--reseed'] });
    expect((await cluster.status('n2')).clusterId).not.toBe('');
  });

  test('one that was removed while it was down learns so, says so, and does not start again', async () => {
    await using cluster = await LocalCluster.start();
    await using db = await cluster.connect();
    await db.put('a', '1');
    await cluster.kill('n3');
    await db.cluster.remove('n3', PATIENT);
    const end = async (): Promise<number | null> => {
      await cluster.start('n3', { wait: false });
      return (await cluster.exit('n3')).code;
    };
    expect(await end()).toBe(1);
    expect(cluster.replica('n3').tail()).toContain('MEMBER_REMOVED');
    expect(await end()).toBe(1);
    expect(cluster.replica('n3').tail()).toContain('--reseed');
    await db.put('a', '2');
  });

  test('leadership is handed to the member that is named, and no write fails', async () => {
    await using cluster = await LocalCluster.start();
    await using db = await cluster.connect();
    const load = new Load(db);
    await load.acknowledgedMore(20);
    for (const name of ['n1', 'n2', 'n3', 'n1']) {
      const { leader } = await db.cluster.transfer(name, PATIENT);
      expect(leader).toBe(name);
      await load.acknowledgedMore(20);
    }
    await expectAllThereOnce(cluster, await load.stop());
  });
});
