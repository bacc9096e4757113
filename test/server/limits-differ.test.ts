import { describe, expect, test } from 'vitest';
import { LIMITS, type Limits } from '../../src/base/limits.js';
import { bytes, type Client, connect } from '../../src/client/client.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { limitProblems } from '../../src/server/config-limits.js';
import type { Server } from '../../src/server/server.js';
import { Servers } from './servers.js';

/** `frameBytesMax` bounds what clients send: what was taken in reaches the others whatever limits they have. */

const KiB = 1024;
const MiB = 1024 * KiB;

/** More than what {@link SMALL} allows. */
const LARGE_BYTES = 6 * MiB;
const SMALL = { valueBytesMax: 1 * MiB, batchBytesMax: 2 * MiB, frameBytesMax: 5 * MiB };
const SHORT_LOG = { logBytesMax: 64 * KiB, logTrailingEntries: 0, logPinnedBytesMax: 64 * KiB };

function legal(some: Partial<Limits>): Limits {
  const limits = { ...LIMITS, ...some };
  expect(limitProblems(limits)).toEqual([]);
  return limits;
}

type BytesClient = Client<string | Uint8Array, Buffer, 'text'>;

function clientOf(endpoints: readonly string[]): Promise<BytesClient> {
  return connect({ endpoints, codec: bytes, timeoutMs: 30_000 });
}

/** Until the log of the only member begins behind what has been written. */
async function cutLog(db: BytesClient, server: Server): Promise<void> {
  const written = server.status().lastIndex;
  await waitUntil('the log is cut', async () => {
    await db.put('filler', Buffer.alloc(100 * KiB));
    return server.status().logStart > written || undefined;
  });
}

async function joins(servers: Servers, db: BytesClient, limits: Limits): Promise<void> {
  const { n2 = '' } = servers.members;
  await servers.start('n2', { limits, members: { n2 }, join: true });
  await db.cluster.add({ name: 'n2', address: n2 });
  await db.cluster.settled({ timeoutMs: 60_000 });
}

describe('a snapshot', () => {
  test('has answers that are kept and are longer than a frame of a client may be', async () => {
    const limits = legal({ ...SMALL, ...SHORT_LOG });
    await using servers = await Servers.reserve(2);
    const { n1 = '' } = servers.members;
    const server = await servers.start('n1', { limits, members: { n1 } });
    await using other = await clientOf([n1]);
    await using db = await clientOf([n1]);
    const large = Buffer.alloc(1000 * KiB);
    const keys = Array.from({ length: 8 }, (_, i) => `k${i}`);
    for (const key of keys) await other.put(key, large);
    const puts = keys.map((key) => db.put(key, Buffer.from('x'), { returnPrevious: true }));
    for (const { previous } of await Promise.all(puts)) {
      expect(previous?.value.byteLength).toBe(1000 * KiB);
    }
    await cutLog(other, server);
    await joins(servers, other, limits);
  });

  test('has values that were longer than a frame may be now', async () => {
    await using servers = await Servers.reserve(2);
    const { n1 = '' } = servers.members;
    const before = await servers.start('n1', { limits: legal(SHORT_LOG), members: { n1 } });
    await using db = await clientOf([n1]);
    await db.put('large', Buffer.alloc(LARGE_BYTES, 1));
    await before.close();
    const limits = legal({ ...SMALL, ...SHORT_LOG });
    await cutLog(db, await servers.start('n1', { limits, members: { n1 } }));
    await joins(servers, db, limits);
    expect((await db.get('large')).value?.byteLength).toBe(LARGE_BYTES);
  });
});

test('limits that are raised at the leader first stop nothing', async () => {
  await using servers = await Servers.reserve(3);
  const limits = legal(SMALL);
  const [first] = await Promise.all([
    servers.start('n1', { electionPriority: 101 }),
    servers.start('n2', { limits }),
    servers.start('n3', { limits }),
  ]);
  await waitUntil('n1 leads', async () => {
    const { role, commitIndex } = first.status();
    return (role === 'leader' && commitIndex > 0) || undefined;
  });
  await using db = await clientOf(Object.values(servers.members));
  const { term } = first.status();
  await db.put('large', Buffer.alloc(LARGE_BYTES, 1));
  await db.put('small', Buffer.from('2'));
  expect(first.status()).toMatchObject({ role: 'leader', term });
});

describe('a client takes what its replica may send', () => {
  test('a page of a range', async () => {
    const large = { pendingRequestBytesMax: 256 * MiB, pendingAnswerBytesMax: 256 * MiB };
    const limits = legal({
      ...{ rangePageBytesMax: 64 * MiB, frameBytesMax: 128 * MiB, ...large },
      ...{ peerQueueBytesMax: 256 * MiB },
    });
    await using servers = await Servers.reserve(1);
    await servers.start('n1', { limits });
    await using db = await clientOf(Object.values(servers.members));
    for (let i = 0; i < 4; i += 1) await db.put(`k${i}`, Buffer.alloc(15 * MiB, i));
    const found: string[] = [];
    for await (const { key } of db.range({ prefix: 'k' })) found.push(String(key));
    expect(found).toHaveLength(4);
  });
});
