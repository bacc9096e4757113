import { expect, test } from 'vitest';
import { unpack } from '../../src/base/codec.js';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { inspectWalFolder } from '../../src/server/offline-wal.js';
import { COMMAND_VERSION_MAX } from '../../src/statemachine/command.js';

const OLD = {
  args: ['--unsafe-formats', 'command=1'],
  env: { BALSA_UNSAFE_TESTING: '1' },
};

/** The versions of the commands in the log of a stopped replica, in order, each run of equal ones once. */
function commandVersions(dataFolder: string): unknown[] {
  const versions: unknown[] = [];
  inspectWalFolder(dataFolder, (record) => {
    if (record.kind !== 'entry' || record.type !== 'command') return;
    const [version] = unpack(record.payload) as unknown[];
    if (versions.at(-1) !== version) versions.push(version);
  });
  return versions;
}

test('what every member knows is served by a majority whose leader was started when another one was gone', async () => {
  await using cluster = await LocalCluster.start();
  await using db = await cluster.connect();
  await db.put('a', 'all are there', { returnPrevious: true });
  const leader = (await cluster.waitForLeader()).replica;
  const others = ['n1', 'n2', 'n3'].filter((name) => name !== leader);
  await cluster.kill(leader);
  await Promise.all(others.map((name) => cluster.stop(name)));
  await Promise.all(others.map((name) => cluster.start(name, { wait: false })));
  const { previous } = await db.put('a', 'one is gone', {
    returnPrevious: true,
    timeoutMs: 60_000,
  });
  expect(previous?.value.toString()).toBe('all are there');
});

test('a newer form of commands is written only when every member can read it', async () => {
  await using cluster = await LocalCluster.start({ env: OLD.env, extraArgs: OLD.args });
  await using db = await cluster.connect();
  await db.put('a', 'all old');
  // What only newer members understand is refused until all do.
  const early = db.put('a', 'new', { returnPrevious: true });
  await expect(early).rejects.toMatchObject({ code: 'UPGRADE_PENDING', outcome: 'not-applied' });
  for (const name of ['n1', 'n2', 'n3']) {
    // The last one of two equal flags counts: no restriction.
    await cluster.restart(name, { args: ['--unsafe-formats', ''] });
    await db.put('a', `${name} is new`);
    if (name === 'n3') continue;
    const { leader } = await cluster.waitForLeader();
    await db.put('a', `led by ${leader}`);
  }
  await cluster.waitFor('a command of the newer form', async () => {
    await db.put('a', 'all new');
    return (await cluster.waitForLeader()).followers.filter((f) => f.active).length === 2;
  });
  const { previous } = await db.put('a', 'the last', { returnPrevious: true });
  expect(previous?.value.toString()).toBe('all new');
  for (const name of ['n1', 'n2', 'n3']) {
    const { appliedIndex } = await cluster.waitForLeader();
    await cluster.waitForApplied(appliedIndex);
    expect((await cluster.status(name)).role).toMatch(/leader|follower/);
  }
  const folders = cluster.replicas.map((replica) => replica.dataFolder);
  for (const name of ['n1', 'n2', 'n3']) await cluster.stop(name);
  for (const folder of folders) {
    const versions = commandVersions(folder);
    // A new leader that has not heard of all yet writes the older form for a moment.
    expect([versions[0], versions.at(-1)]).toEqual([1, COMMAND_VERSION_MAX]);
  }
});
