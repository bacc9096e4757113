import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Servers } from '../server/servers.js';
import { FakeStore, run } from './fakes.js';

/** A stopped cluster; nobody answers unless the store says so. */
async function stopped(count = 3): Promise<Servers> {
  const servers = await Servers.reserve(count);
  const running = await servers.startAll();
  for (const server of running) await server.close();
  return servers;
}

describe('recover', () => {
  test('its help says with what it ends when it only shows what would be done', async () => {
    const { stdout } = await run(['recover', '--help']);
    expect(stdout).toContain('Without --accept-data-loss nothing is done');
    expect(stdout).toContain('exit code 2');
  });

  test('without --accept-data-loss it says what may be lost, changes nothing and exits 2', async () => {
    await using servers = await stopped();
    const data = join(servers.folder, 'n1');
    const store = new FakeStore();
    const first = await run(['recover', '--data', data], { store });
    expect(first.exit).toBe(2);
    expect(first.stdout).toMatch(/^survivor\tn1 \([0-9a-f]+\) of cluster test\n/);
    expect(first.stdout).toContain(`n2\tvoter at ${servers.members.n2}: does not answer\n`);
    expect(first.stderr).toContain('What may be lost\n- every write behind entry ');
    expect(first.stderr).toContain('nothing was changed; to go on');
    // One that is busy must not be taken for dead.
    const patient = { followLeader: false, connectTimeoutMs: 10_000, timeoutMs: 10_000 };
    expect(store.connections).toMatchObject([patient, patient]);
    const json = await run(['recover', '--data', data, '-o', 'json'], { store });
    expect(JSON.parse(json.stdout)).toMatchObject({
      recovered: false,
      clusterIdAfter: null,
      name: 'n1',
      others: [
        { name: 'n2', answers: false },
        { name: 'n3', answers: false },
      ],
    });
  });

  test('with it the folder becomes a cluster of one, and the next steps are told', async () => {
    await using servers = await stopped();
    const data = join(servers.folder, 'n1');
    const args = ['recover', '--data', data, '--accept-data-loss'];
    const result = await run([...args, '-o', 'json']);
    expect(result.exit).toBe(0);
    const { recovered, clusterId, clusterIdAfter } = JSON.parse(result.stdout);
    expect(recovered).toBe(true);
    expect(clusterIdAfter).not.toBe(clusterId);
    expect(result.stderr).toContain('n1 is the only voter of a new cluster now.');
    expect(result.stderr).toContain('balsa start --join, balsa cluster add');
  });

  test('it refuses while one that answers makes a majority with it; in five, that one is named', async () => {
    await using servers = await stopped(5);
    const other = await servers.start('n3');
    const status = { ...other.status(), lastIndex: 1_000_000, leader: null };
    await other.close();
    const store = new FakeStore();
    store.statuses.set(servers.members.n3 ?? '', status);
    const args = ['recover', '--data', join(servers.folder, 'n1')];
    const two = await run(args, { store });
    expect(two.exit).toBe(2);
    expect(two.stderr).toContain(
      '- n3 answers, and its log ends at 1,000,000: it has more than this one; stop it and recover it',
    );
    const fourth = await servers.start('n4');
    store.statuses.set(servers.members.n4 ?? '', { ...fourth.status(), leader: null });
    await fourth.close();
    const three = await run([...args, '--accept-data-loss'], { store });
    expect(three.exit).toBe(1);
    expect(three.stderr).toMatch(
      /^error QUORUM_ALIVE: n1, n3, n4 are a majority of n1, n2, n3, n4, n5, and alive/,
    );
  });

  test('a folder that is none is told in one line', async () => {
    const result = await run(['recover', '--data', '/nowhere/at/all']);
    expect(result.exit).toBe(1);
    expect(result.stderr).toContain('is not the data folder of a replica: it has no meta.json\n');
  });
});
