import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.js';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { temporaryFolder } from './support.js';

const MiB = 1024 * 1024;
const LARGE = 16 * MiB;
const PATIENT = { timeoutMs: 120_000 };

/** The log is cut behind each large value, and two of them are as much as may wait. */
const LIMITS = {
  logBytesMax: 1 * MiB,
  logTrailingEntries: 0,
  logPinnedBytesMax: 1 * MiB,
  pendingRequestBytesMax: 48 * MiB,
};

const folder = temporaryFolder();
let cluster: LocalCluster;

beforeAll(async () => {
  const config = join(folder.path, 'balsa.json');
  writeFileSync(config, JSON.stringify({ limits: LIMITS }));
  cluster = await LocalCluster.start({ extraArgs: ['--config', config] });
});

afterAll(async () => {
  await cluster.close();
  folder[Symbol.dispose]();
});

/** Bytes that no compression makes smaller, other ones for each seed. */
function bytesOf(seed: number, bytes = LARGE): Buffer {
  const random = seededRandom(seed);
  const block = Buffer.alloc(MiB);
  for (let at = 0; at < MiB; at += 4) block.writeUInt32LE(random.int(2 ** 32), at);
  return Buffer.alloc(bytes, block);
}

async function expectEverywhere(key: string, value: Buffer): Promise<void> {
  await cluster.waitForEqual(PATIENT);
  for (const { name } of cluster.replicas) {
    await using db = await cluster.connectTo(name, PATIENT);
    const found = await db.get(key, { consistency: 'any' });
    expect(found.meta.replica).toBe(name);
    expect(found.value?.equals(value)).toBe(true);
  }
}

/** Who has nothing needs a snapshot. */
async function logIsCut(of: LocalCluster): Promise<void> {
  await of.waitFor(
    'the log to be cut',
    async () => (await of.status(await of.leader())).logStart > 3,
    PATIENT,
  );
}

/** A busy machine with one disk for three replicas needs its time. */
describe('a value of 16 MiB', { timeout: 300_000 }, () => {
  test('is at every replica, outlives a kill of all, and travels in a snapshot', async () => {
    const [first, second] = [bytesOf(1), bytesOf(2)];
    await using db = await cluster.connect(PATIENT);
    await db.put('first', first);
    await expectEverywhere('first', first);

    const leader = await cluster.leader();
    const left = cluster.replicas.find(({ name }) => name !== leader)?.name ?? '';
    await cluster.kill(left);
    await db.put('second', second);
    for (let i = 0; i < 4; i += 1) await db.put('other', bytesOf(3 + i, 2 * MiB));
    await logIsCut(cluster);
    await cluster.start(left);
    await db.put('news', 'for the one that was away');
    await expectEverywhere('second', second);

    for (const { name } of cluster.replicas) await cluster.kill(name);
    for (const { name } of cluster.replicas) await cluster.start(name, { wait: false });
    await cluster.waitForLeader(PATIENT);
    await expectEverywhere('first', first);
    await expectEverywhere('second', second);
  });

  test('is the largest: one byte more is VALUE_TOO_LARGE', async () => {
    await using db = await cluster.connect(PATIENT);
    const refused = await db.put('too large', Buffer.alloc(LARGE + 1)).catch((e: unknown) => e);
    expect(refused).toMatchObject({ code: 'VALUE_TOO_LARGE', outcome: 'not-applied' });
    expect((await db.get('too large')).value).toBeUndefined();
  });

  test('ten times at once is OVERLOADED for some, and the end of nobody', async () => {
    const value = bytesOf(9);
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, async (_, i) => {
        await using db = await cluster.connect({ timeoutMs: 2000 });
        return await db.put(`burst ${i}`, value).then(
          () => 'ok',
          (error: { code: string }) => error.code,
        );
      }),
    );
    for (const outcome of outcomes) {
      expect(['ok', 'OVERLOADED', 'TIMEOUT', 'NOT_LEADER', 'NO_QUORUM']).toContain(outcome);
    }
    expect(outcomes.filter((outcome) => outcome !== 'ok').length).toBeGreaterThan(0);
    await using db = await cluster.connect(PATIENT);
    await db.put('after', 'all is well');
    expect((await db.get('after')).value?.toString()).toBe('all is well');
    expect(cluster.replicas.filter(({ running }) => running)).toHaveLength(3);
  });
});

test('a large value in a snapshot comes over a slow link, though it takes longer than anybody may be silent', {
  timeout: 300_000,
}, async () => {
  using own = temporaryFolder();
  const config = join(own.path, 'balsa.json');
  const log = { logBytesMax: MiB / 4, logPinnedBytesMax: MiB / 4 };
  const limits = { ...LIMITS, ...log, valueBytesMax: 4 * MiB, snapshotIdleMsMax: 2000 };
  writeFileSync(config, JSON.stringify({ limits }));
  await using slow = await LocalCluster.start({
    ...{ network: 'switched', extraArgs: ['--config', config] },
  });
  await using db = await slow.connect(PATIENT);
  const leader = await slow.leader();
  const away = slow.replicas.find(({ name }) => name !== leader)?.name ?? '';
  await slow.stop(away);
  const value = bytesOf(7, 3 * MiB);
  await db.put('large', value);
  for (let i = 0; i < 4; i += 1) await db.put('behind', bytesOf(8, MiB / 2));
  await logIsCut(slow);
  for (const { name } of slow.replicas) {
    if (name !== away) slow.shape(name, away, { bytesPerSecond: MiB });
  }
  await slow.start(away, { wait: false });
  await slow.waitForEqual(PATIENT);
  await using there = await slow.connectTo(away, PATIENT);
  expect((await there.get('large', { consistency: 'any' })).value?.equals(value)).toBe(true);
});

/** Bad cables between all of them, and to the client: by them no heartbeat comes in time if it waits for the value. */
const LINKS = [
  ['each way takes 100 ms', { delayMs: 100 }],
  ['a link takes seconds for it', { delayMs: 5, bytesPerSecond: MiB }],
] as const;
/** A machine that has no processor for a replica for one second is no matter of these tests. */
const ELECTION_TIMEOUT = '2s';

test.each(LINKS)(
  'a large value is written where %s, and nobody loses the leader over it',
  {
    timeout: 300_000,
  },
  async (_what, shape) => {
    const extraArgs = ['--election-timeout', ELECTION_TIMEOUT];
    await using far = await LocalCluster.start({ network: 'switched', extraArgs });
    await using db = await far.connectFrom('client', PATIENT);
    await db.put('near', 'by');
    const leader = await far.leader();
    const { term } = await far.status(leader);
    const places = [...far.replicas.map(({ name }) => name), 'client'];
    for (const from of places) {
      for (const to of places) if (from !== to) far.shape(from, to, shape);
    }
    const value = bytesOf(11, 4 * MiB);
    await db.put('far', value);
    expect((await db.get('far')).value?.equals(value)).toBe(true);
    expect((await far.status(leader)).term).toBe(term);
  },
);
