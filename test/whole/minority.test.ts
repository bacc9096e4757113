import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { balsaHere } from './support.js';

let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await LocalCluster.start();
  await using db = await cluster.connect();
  await db.put('before', 'the cut');
});

afterAll(() => cluster.close());

/** Kills two of three, the leader among them or not; gives the name of the one that is left. */
async function leaveOne(left: 'leader' | 'follower'): Promise<string> {
  const { replica: leader, appliedIndex } = await cluster.waitForLeader();
  await cluster.waitForApplied(appliedIndex);
  const followers = cluster.replicas.map(({ name }) => name).filter((name) => name !== leader);
  const survivor = left === 'leader' ? leader : (followers[0] ?? '');
  for (const { name } of cluster.replicas) if (name !== survivor) await cluster.kill(name);
  return survivor;
}

async function restartAll(): Promise<void> {
  const down = cluster.replicas.filter(({ running }) => !running);
  await Promise.all(down.map(({ name }) => cluster.start(name)));
  await cluster.waitForLeader();
}

describe.each(['leader', 'follower'] as const)('a %s that is left alone of three', (left) => {
  let survivor = '';
  beforeAll(async () => {
    survivor = await leaveOne(left);
  });
  afterAll(restartAll);

  test('refuses writes and linearizable reads in time, and serves reads of any state', async () => {
    await using db = await cluster.connect({ timeoutMs: 1000 });

    const startedMs = performance.now();
    const put = await db.put(`while-${left}`, 'x').catch((error: unknown) => error);
    const get = await db.get('before').catch((error: unknown) => error);
    const tookMs = performance.now() - startedMs;

    expect(put).toMatchObject({
      code: expect.stringMatching(/NO_QUORUM|TIMEOUT|NOT_LEADER|UNREACHABLE/),
      outcome: expect.stringMatching(/unknown|not-applied/),
    });
    expect(get).toMatchObject({
      code: expect.stringMatching(/NO_QUORUM|TIMEOUT|NOT_LEADER|UNREACHABLE/),
    });
    expect(tookMs).toBeLessThan(5000);
    const any = await db.get('before', { consistency: 'any' });
    expect(any.value?.toString()).toBe('the cut');
    expect(any.meta).toMatchObject({ level: 'any', replica: survivor });
  });

  test('makes the command end with the code for unavailable, or for an unknown outcome', async () => {
    const endpoints = cluster.endpoints.join(',');

    const put = await balsaHere(['--endpoints', endpoints, '--timeout', '1s', 'put', 'k', 'v']);
    const get = await balsaHere(['--endpoints', endpoints, '--timeout', '1s', 'get', 'before']);
    const any = await balsaHere([
      ...['--endpoints', endpoints, '--timeout', '1s', '--consistency', 'any', '-o', 'raw'],
      ...['get', 'before'],
    ]);

    expect([5, 6]).toContain(put.code);
    expect(get.code).toBe(5);
    expect(any).toMatchObject({ code: 0, stdout: 'the cut' });
  });

  test('recovers when the others are back', async () => {
    await restartAll();

    await using db = await cluster.connect();
    await db.put(`after-${left}`, 'y', { timeoutMs: 20_000 });
    expect((await db.get(`after-${left}`)).value?.toString()).toBe('y');
  });
});
