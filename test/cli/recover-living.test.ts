import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';
import { bytes, type Client, connect } from '../../src/client/client.js';
import { Servers } from '../server/servers.js';
import { FakeStore, run } from './fakes.js';

/** Who seems to be lost and lives, and who has more: `balsa recover` over folders of real replicas. */

type Running = Awaited<ReturnType<Servers['start']>>;

const connectTo = ((options: object) =>
  connect({ ...options, codec: bytes, keys: 'bytes' } as never)) as never;

const recover = (folder: string) =>
  run(['recover', '--data', folder, '--accept-data-loss'], { connect: connectTo });

test('replicas that have no room for a question are not taken for dead', async () => {
  await using servers = await Servers.reserve(3);
  const limits = { ...LIMITS, clientStreamsMax: 1 };
  const all = await Promise.all(['n1', 'n2', 'n3'].map((name) => servers.start(name, { limits })));
  await servers.leader();
  await all[0]?.close();
  const taken: Client[] = [];
  for (const name of ['n2', 'n3']) {
    const endpoints = [servers.members[name] ?? ''];
    taken.push(await connect({ endpoints, followLeader: false, codec: bytes }));
  }
  const { exit, stderr } = await recover(join(servers.folder, 'n1'));
  for (const db of taken) await db.close();
  expect(stderr).toContain('QUORUM_ALIVE');
  expect(stderr).toContain('clientStreamsMax');
  expect(exit).not.toBe(0);
});

/** It loses its disk, and gets its data anew from the others. */
async function replaceDisk(servers: Servers, db: Client, server: Running): Promise<Running> {
  const { replica: name } = server.status();
  await server.close();
  rmSync(join(servers.folder, name), { recursive: true, force: true });
  const again = await servers.start(name, { reseed: true });
  for (;;) {
    const { members } = await db.cluster.members();
    const own = members.members.filter((member) => member.name === name);
    const isIn = own.length === 1 && own[0]?.incarnation === again.status().incarnation;
    if (!members.joint && members.committed && isIn && own[0]?.role === 'voter') return again;
    await sleep(100);
  }
}

test('a cluster whose members have got new disks is not taken for dead', async () => {
  await using servers = await Servers.reserve(3);
  const [one, two, three] = (await servers.startAll()) as [Running, Running, Running];
  const endpoints = Object.values(servers.members);
  const db = await connect({ endpoints, codec: bytes, timeoutMs: 30_000 });
  await db.put('k', Buffer.from('1'));
  const old = join(servers.folder, 'old-n1');
  await one.close();
  cpSync(join(servers.folder, 'n1'), old, { recursive: true });
  const back = await servers.start('n1');
  await replaceDisk(servers, db, two);
  await replaceDisk(servers, db, three);
  await back.close();
  await db.put('k', Buffer.from('2'));
  const { exit, stderr } = await recover(old);
  await db.close();
  expect(stderr).toContain('QUORUM_ALIVE');
  expect(stderr).toContain('another disk');
  expect(exit).not.toBe(0);
});

test('a log that is longer, of an old term, is not said to have more', async () => {
  await using servers = await Servers.reserve(5);
  for (let round = 0; round < 3; round += 1) {
    const running = await servers.startAll();
    const db = await connect({ endpoints: Object.values(servers.members), codec: bytes });
    await db.put('acknowledged', Buffer.from(String(round)));
    await db.close();
    for (const server of running) await server.close();
  }
  const other = await servers.start('n3');
  const status = other.status();
  await other.close();
  const advice = async (term: number): Promise<string> => {
    const store = new FakeStore();
    const said = { ...status, lastIndex: 1_000_000, commitIndex: 1, term, leader: null };
    store.statuses.set(servers.members.n3 ?? '', said);
    const result = await run(['recover', '--data', join(servers.folder, 'n1')], { store });
    return result.stdout + result.stderr;
  };
  expect(status.term).toBeGreaterThan(1);
  expect(await advice(status.term)).toContain('it has more than this one');
  expect(await advice(1)).not.toContain('it has more than this one');
});
