import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { expectAllThereOnce, Load, stopWithAll } from './support.js';
import { WalFile } from './wal-file.js';

let cluster: LocalCluster;
let load: Load;

beforeAll(async () => {
  cluster = await LocalCluster.start();
  await using db = await cluster.connect();
  load = new Load(db);
  await load.acknowledgedMore(300);
  await load.stop();
});
afterAll(() => cluster.close());

function movedAside(dataFolder: string): string[] {
  return readdirSync(dataFolder).filter((name) => name.startsWith('damaged-'));
}

describe('a replica with damaged data', () => {
  test('makes its state again from the log by itself when that holds all of it, and says so', async () => {
    await stopWithAll(cluster, 'n3');
    const { dataFolder } = cluster.replica('n3');
    const state = readdirSync(dataFolder).find((name) => /^state-\d+$/.test(name)) ?? '';
    const asideBefore = movedAside(dataFolder).length;
    writeFileSync(join(dataFolder, state, 'CURRENT'), 'MANIFEST-000999\n');

    await cluster.start('n3');

    expect(cluster.replica('n3').tail(100)).toContain('the state is made again from the log');
    await expectAllThereOnce(cluster, load.ledger);
    expect(movedAside(dataFolder)).toHaveLength(asideBefore + 1);
  });

  // Its log does not hold all of it any more, then.
  test('gets it anew with --reseed under another incarnation, and what was damaged is kept', async () => {
    await stopWithAll(cluster, 'n3');
    await using db = await cluster.connect({ timeoutMs: 60_000 });
    const before = (await db.cluster.members()).members.members.find((m) => m.name === 'n3');
    const { dataFolder } = cluster.replica('n3');
    const asideBefore = movedAside(dataFolder);
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
    const aside = movedAside(dataFolder).filter((name) => !asideBefore.includes(name));
    expect(aside).toHaveLength(1);
    expect(readdirSync(join(dataFolder, aside[0] ?? ''))).toEqual(
      expect.arrayContaining(['meta.json', 'wal', 'state.json']),
    );
  });

  test('is let in by a leader that has joined later, and that it was never told of', async () => {
    await using grown = await LocalCluster.start();
    await using db = await grown.connect({ timeoutMs: 60_000 });
    const { name: newcomer } = await grown.addReplica();
    await grown.waitFor('the vote of the newcomer', async () => {
      const { members } = (await db.cluster.members()).members;
      return members.some((m) => m.name === newcomer && m.role === 'voter');
    });
    const { address } = grown.replica('n3');
    const before = (await db.cluster.members()).members.members.find((m) => m.name === 'n3');
    await grown.kill('n3');
    await db.cluster.transfer(newcomer);
    new WalFile(grown.replica('n3').dataFolder).flipBit();

    const members = ['n1', 'n2'].map((one) => `${one}=${grown.replica(one).address}`).join(',');
    const args = ['--reseed', '--members', `n3=${address},${members}`];
    await grown.start('n3', { args, wait: false });

    await grown.waitFor('its vote', async () => {
      const { members: now } = (await db.cluster.members()).members;
      const n3 = now.find((m) => m.name === 'n3' && m.role === 'voter');
      return n3 !== undefined && n3.incarnation !== before?.incarnation;
    });
    expect(await grown.leader()).toBe(newcomer);
  });
});

describe('a replica whose list of members is out of date', () => {
  test('starts all the same: the log knows the members', async () => {
    await stopWithAll(cluster, 'n3');
    const { name, address } = cluster.replica('n3');

    // The last one of two equal flags counts.
    await cluster.start(name, { args: ['--members', `${name}=${address},n9=127.0.0.1:1`] });

    expect(cluster.replica('n3').tail(100)).toContain('the log says who the members are');
    await expectAllThereOnce(cluster, load.ledger);
  });
});
