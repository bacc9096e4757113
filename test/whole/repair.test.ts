import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { expectAllThereOnce, Load } from './support.js';
import { WalFile } from './wal-file.js';

/** A cluster with some data, and n3 stopped when it had all of it. */
async function clusterWithoutN3(): Promise<{ cluster: LocalCluster; load: Load }> {
  const cluster = await LocalCluster.start();
  await using db = await cluster.connect();
  const load = new Load(db);
  await load.acknowledgedMore(300);
  await load.stop();
  const { commitIndex } = await cluster.waitForLeader();
  await cluster.waitForApplied(commitIndex);
  await cluster.stop('n3');
  return { cluster, load };
}

describe('a replica with damaged data', () => {
  test('gets it anew with --reseed under another incarnation, and what was damaged is kept', async () => {
    const { cluster, load } = await clusterWithoutN3();
    await using _ = cluster;
    await using db = await cluster.connect({ timeoutMs: 60_000 });
    const before = (await db.cluster.members()).members.members.find((m) => m.name === 'n3');
    const { dataFolder } = cluster.replica('n3');
    new WalFile(dataFolder).flipBit();

    await cluster.start('n3', { wait: false });
    expect((await cluster.exit('n3')).code).toBe(1);
    expect(cluster.replica('n3').tail()).toContain('--reseed');
    await cluster.start('n3', { args: ['--reseed'] });

    await cluster.waitFor('its vote', async () => {
      const { members } = (await db.cluster.members()).members;
      const n3 = members.find((m) => m.name === 'n3' && m.role === 'voter');
      return n3 !== undefined && n3.incarnation !== before?.incarnation;
    });
    await expectAllThereOnce(cluster, load.ledger);
    const aside = readdirSync(dataFolder).filter((name) => name.startsWith('damaged-'));
    expect(aside).toHaveLength(1);
    expect(readdirSync(join(dataFolder, aside[0] ?? ''))).toEqual(
      expect.arrayContaining(['meta.json', 'wal', 'state.json']),
    );
  });

  test('is let in by a leader that has joined later, and that it was never told of', async () => {
    await using cluster = await LocalCluster.start();
    await using db = await cluster.connect({ timeoutMs: 60_000 });
    const { name: newcomer } = await cluster.addReplica();
    await cluster.waitFor('the vote of the newcomer', async () => {
      const { members } = (await db.cluster.members()).members;
      return members.some((m) => m.name === newcomer && m.role === 'voter');
    });
    const { address } = cluster.replica('n3');
    const before = (await db.cluster.members()).members.members.find((m) => m.name === 'n3');
    await cluster.kill('n3');
    await db.cluster.transfer(newcomer);
    new WalFile(cluster.replica('n3').dataFolder).flipBit();

    const members = ['n1', 'n2'].map((one) => `${one}=${cluster.replica(one).address}`).join(',');
    const args = ['--reseed', '--members', `n3=${address},${members}`];
    await cluster.start('n3', { args, wait: false });

    await cluster.waitFor('its vote', async () => {
      const { members: now } = (await db.cluster.members()).members;
      const n3 = now.find((m) => m.name === 'n3' && m.role === 'voter');
      return n3 !== undefined && n3.incarnation !== before?.incarnation;
    });
    expect(await cluster.leader()).toBe(newcomer);
  });

  test('makes its state again from the log by itself when that holds all of it, and says so', async () => {
    const { cluster, load } = await clusterWithoutN3();
    await using _ = cluster;
    const { dataFolder } = cluster.replica('n3');
    const state = readdirSync(dataFolder).find((name) => /^state-\d+$/.test(name)) ?? '';
    writeFileSync(join(dataFolder, state, 'CURRENT'), 'MANIFEST-000999\n');

    await cluster.start('n3');

    expect(cluster.replica('n3').tail(100)).toContain('the state is made again from the log');
    await expectAllThereOnce(cluster, load.ledger);
    expect(readdirSync(dataFolder).some((name) => name.startsWith('damaged-'))).toBe(true);
  });
});

describe('a replica whose list of members is out of date', () => {
  test('starts all the same: the log knows the members', async () => {
    const { cluster, load } = await clusterWithoutN3();
    await using _ = cluster;
    const { name, address } = cluster.replica('n3');

    // The last one of two equal flags counts.
    await cluster.start(name, { args: ['--members', `${name}=${address},n9=127.0.0.1:1`] });

    expect(cluster.replica('n3').tail(100)).toContain('the log says who the members are');
    await expectAllThereOnce(cluster, load.ledger);
  });
});
