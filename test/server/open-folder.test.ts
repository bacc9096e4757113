import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import type { BalsaError } from '../../src/base/errors.js';
import { LIMITS, type Limits } from '../../src/base/limits.js';
import { connect } from '../../src/client/client.js';
import { freePorts } from '../../src/cluster/free-ports.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { DataFolder } from '../../src/server/data-folder.js';
import { openOffline } from '../../src/server/offline.js';
import { openStores } from '../../src/server/stores.js';
import { DeltaQueue } from '../../src/storage/delta-queue.js';
import { FolderLock } from '../../src/storage/folder-lock.js';
import { NodeFiles } from '../../src/storage/node-files.js';
import { appendNext } from '../storage/delta-queue-helpers.js';
import { lockedByAnother } from '../storage/locked-by-another.js';
import { Servers } from './servers.js';

const metaOf = (folder: string) => JSON.parse(readFileSync(join(folder, 'meta.json'), 'utf8'));

function changeMeta(folder: string, change: object): void {
  const opened = new DataFolder(folder, new NodeFiles());
  const meta = opened.readMeta();
  if (meta === null) throw new Error('it has no meta.json');
  opened.writeMeta({ ...meta, ...change });
}

function failureOf(promise: Promise<unknown>): Promise<BalsaError> {
  return promise.then(
    () => Promise.reject(new Error('it did not fail')),
    (error: BalsaError) => error,
  );
}

/** A member of a cluster of one that was stopped when it held `k`. */
async function stoppedOne(): Promise<{ servers: Servers; folder: string }> {
  const servers = await Servers.reserve(1);
  const [server] = await servers.startAll();
  await using db = await connect(server?.address ?? '');
  await db.put('k', 'v');
  await server?.close();
  return { servers, folder: join(servers.folder, 'n1') };
}

test('a state that was found damaged while it served is made again from the log', async () => {
  const { servers, folder } = await stoppedOne();
  await using _ = servers;
  changeMeta(folder, { refuses: { code: 'STATE_CORRUPT', reason: 'a wrong checksum' } });
  const server = await servers.start('n1');
  await servers.leader();
  await using db = await connect(server.address);
  expect((await db.get('k')).value?.toString()).toBe('v');
  expect(metaOf(folder).refuses).toBeNull();
  expect(readdirSync(folder).filter((name) => name.startsWith('damaged-'))).toHaveLength(1);
});

test('a state that differed from that of the majority is not started on again', async () => {
  const { servers, folder } = await stoppedOne();
  await using _ = servers;
  changeMeta(folder, { refuses: { code: 'STATE_DIVERGED', reason: 'another hash at 1024' } });
  const error = await failureOf(servers.start('n1'));
  expect(error.code).toBe('STATE_DIVERGED');
  expect(error.message).toMatch(/another hash at 1024.*--reseed/);
});

test('while another process runs on it nothing is moved or made anew, whatever it looks like', async () => {
  const { servers, folder } = await stoppedOne();
  await using _ = servers;
  const [port] = await freePorts(1);
  const members = { ...servers.members, n2: `127.0.0.1:${port}` };
  const lock = await lockedByAnother(folder);
  try {
    // What a look at the files of a database at work may show.
    rmSync(join(folder, 'state-1', 'CURRENT'));
    const before = readdirSync(folder, { recursive: true });
    const contents = readFileSync(join(folder, 'state.json'));
    for (const reseed of [false, true]) {
      const error = await failureOf(servers.start('n1', { reseed, members }));
      expect(error.code).toBe('DATA_FOLDER_IN_USE');
    }
    writeFileSync(join(folder, 'meta.json'), '{');
    const error = await failureOf(servers.start('n1', { reseed: true, members }));
    expect(error.code).toBe('DATA_FOLDER_IN_USE');
    const after = readdirSync(folder, { recursive: true });
    const isDiary = (name: unknown) => /^lock.LOG/.test(String(name));
    expect(after.filter((name) => !isDiary(name))).toEqual(before.filter((name) => !isDiary(name)));
    expect(readFileSync(join(folder, 'state.json'))).toEqual(contents);
  } finally {
    await lock.kill();
  }
});

test('the only member there is does not move its damaged log aside: there is nobody to ask', async () => {
  const { servers, folder } = await stoppedOne();
  await using _ = servers;
  rmSync(join(folder, 'wal'), { recursive: true });
  const error = await failureOf(servers.start('n1', { reseed: true }));
  expect(error.code).toBe('WAL_CORRUPT');
  expect(error.message).toMatch(/no other member/);
  expect(readdirSync(folder).filter((name) => name.startsWith('damaged-'))).toEqual([]);
});

test('a folder that does not say whose it was asks for the place of whoever had the name', async () => {
  const { servers, folder } = await stoppedOne();
  await using _ = servers;
  const [port] = await freePorts(1);
  const members = { ...servers.members, n2: `127.0.0.1:${port}` };
  writeFileSync(join(folder, 'meta.json'), '{');
  await servers.start('n1', { reseed: true, members });
  expect(metaOf(folder)).toMatchObject({ clusterId: null, joining: { replaces: '' } });
  expect(readdirSync(folder).filter((name) => name.startsWith('damaged-'))).toHaveLength(1);
});

test('one that was removed begins anew with reseed, and waits to be added', async () => {
  const { servers, folder } = await stoppedOne();
  await using _ = servers;
  const [port] = await freePorts(1);
  const members = { ...servers.members, n2: `127.0.0.1:${port}` };
  changeMeta(folder, { refuses: { code: 'MEMBER_REMOVED', reason: 'it was removed' } });
  expect((await failureOf(servers.start('n1', { members }))).code).toBe('MEMBER_REMOVED');
  const server = await servers.start('n1', { reseed: true, members });
  expect(server.status().role).toMatch(/waits to be added/);
  expect(metaOf(folder)).toMatchObject({ clusterId: null, joining: { replaces: null } });
  expect(readdirSync(folder).filter((name) => name.startsWith('damaged-'))).toHaveLength(1);
});

test('an empty disk that there is nobody to fill is not waited with', async () => {
  await using servers = await Servers.reserve(1);
  const error = await failureOf(servers.start('n1', { reseed: true }));
  expect(error.code).toBe('CONFIG_INVALID');
  expect(error.message).toMatch(/leave out --reseed/);
  await servers.start('n1');
  await servers.leader();
});

test('a disk that belongs to no cluster yet can still be told how it shall get into one', async () => {
  await using servers = await Servers.reserve(2);
  const folder = join(servers.folder, 'n1');
  const startAs = async (change: { join?: boolean; reseed?: boolean }) => {
    const server = await servers.start('n1', change);
    await server.close();
    return metaOf(folder).joining;
  };
  expect(await startAs({})).toBeNull();
  expect(await startAs({ reseed: true })).toEqual({ replaces: '' });
  expect(await startAs({ reseed: true })).toEqual({ replaces: '' });
  expect(await startAs({})).toBeNull();
  expect(await startAs({ join: true })).toEqual({ replaces: null });
  // It goes on to wait for being added.
  expect(await startAs({})).toEqual({ replaces: null });
});

test('the length of the leases that it may promise is on its disk as long as it counts', async () => {
  await using servers = await Servers.reserve(1);
  const leaseMs = () => metaOf(join(servers.folder, 'n1')).leaseMs;
  const long = await servers.start('n1', { leaseReads: true });
  expect(leaseMs()).toBe(270);
  await long.close();
  const off = await servers.start('n1', { leaseReads: false });
  expect(leaseMs()).toBe(270);
  await waitUntil('the promise to be over', async () => (leaseMs() === 0 ? true : undefined));
  await off.close();
});

test('one that is restarted without leases keeps what it promised with them: it does not vote, even for itself', async () => {
  await using servers = await Servers.reserve(1);
  const long = await servers.start('n1', { leaseReads: true, electionTimeoutMs: 2000 });
  await servers.leader();
  await long.close();
  const startMs = performance.now();
  const short = await servers.start('n1', {
    leaseReads: false,
    electionTimeoutMs: 100,
    heartbeatMs: 20,
  });
  await waitUntil('it leads', async () =>
    short.status().role === 'leader' ? performance.now() - startMs : undefined,
  );
  expect(performance.now() - startMs).toBeGreaterThan(1800);
});

test('one that joins says who it is, is let in, and is a member also after a restart without the flag', async () => {
  await using servers = await Servers.reserve(1);
  const [first] = await servers.startAll();
  const [port] = await freePorts(1);
  const address = `127.0.0.1:${port}`;
  const change = { listen: address, advertise: address, members: { n2: address } };
  const joiner = await servers.start('n2', { ...change, join: true });
  await using toJoiner = await connect({ endpoints: [address], followLeader: false });
  const { role, incarnation } = await toJoiner.status();
  expect(role).toMatch(/^joining/);
  await expect(toJoiner.get('k', { consistency: 'any' })).rejects.toThrow();
  await using db = await connect({ endpoints: [first?.address ?? ''], timeoutMs: 20_000 });
  await db.cluster.add({ name: 'n2', address });
  const { members } = await db.cluster.settled();
  expect(members.members).toContainEqual({
    name: 'n2',
    incarnation,
    address,
    role: 'voter',
    promote: false,
    replaces: null,
  });
  await joiner.close();
  await servers.start('n2', change);
  await db.put('k', 'v');
  await waitUntil('the write on the new member', async () => {
    await using reader = await connect({ endpoints: [address], followLeader: false });
    const { value } = await reader.get('k', { consistency: 'any' });
    return value === undefined ? undefined : true;
  });
});

/** What `ap` calls would have left at a replica that stopped before anybody heard of them. @returns the name of the queue */
async function leaveDeltas(folder: string, count: number): Promise<string> {
  const queue = DeltaQueue.open({
    ...{ folder: join(folder, 'ap'), files: new NodeFiles(), clock: systemClock },
    onFailure: (error) => {
      throw error;
    },
  });
  for (let i = 0; i < count; i += 1) {
    const position = appendNext(queue);
    // A frame for each: damage in one with a good one behind it is no torn write.
    await new Promise<void>((resolve) => queue.whenDurable(position, resolve));
  }
  await queue.close();
  return queue.origin;
}

function damageDeltas(folder: string): { readonly file: string; readonly mend: () => void } {
  const name = readdirSync(join(folder, 'ap')).find((one) => one.endsWith('.deltas')) ?? '';
  const file = join(folder, 'ap', name);
  const whole = readFileSync(file);
  const bytes = Buffer.from(whole);
  const at = bytes.indexOf('views/front');
  bytes[at] = (bytes[at] as number) ^ 1;
  writeFileSync(file, bytes);
  return { file, mend: () => writeFileSync(file, whole) };
}

const asideIn = (folder: string): string[] =>
  readdirSync(folder).filter((name) => name.startsWith('damaged-'));

/** `undefined` until it is merged. */
async function mergedViews(address: string): Promise<string | undefined> {
  await using db = await connect(address);
  return (await db.get('_cells/views/front')).value?.toString();
}

test('what waited to be merged when it stopped is merged', async () => {
  const { servers, folder } = await stoppedOne();
  await using _ = servers;
  const origin = await leaveDeltas(folder, 3);
  const server = await servers.start('n1');
  expect(await waitUntil('the merge', () => mergedViews(server.address))).toContain('3');
  expect(server.status().ap).toMatchObject({ origin, refusal: null });
});

test('damaged deltas end the start, and nothing is changed: it is said where they are, and what can be done', async () => {
  const { servers, folder } = await stoppedOne();
  await using _ = servers;
  await leaveDeltas(folder, 3);
  const { file, mend } = damageDeltas(folder);
  for (let attempt = 1; attempt <= 2; attempt += 1) {
    const error = await failureOf(servers.start('n1'));
    expect(error).toMatchObject({ code: 'DELTAS_CORRUPT', details: { file } });
    expect(error.message).toContain(file);
    expect(error.message).toMatch(/balsa start --reseed/);
  }
  expect(asideIn(folder)).toEqual([]);
  // Nothing was left open: mended, it starts.
  mend();
  const server = await servers.start('n1');
  expect(await waitUntil('the merge', () => mergedViews(server.address))).toContain('3');
});

test('damaged deltas are moved aside with reseed, also where there is nobody to ask; all else goes on', async () => {
  const { servers, folder } = await stoppedOne();
  await using _ = servers;
  const origin = await leaveDeltas(folder, 3);
  damageDeltas(folder);
  const { incarnation } = metaOf(folder);
  const server = await servers.start('n1', { reseed: true });
  await servers.leader();
  await using db = await connect(server.address);
  expect((await db.get('k')).value?.toString()).toBe('v');
  expect(metaOf(folder)).toMatchObject({ incarnation, joining: null });
  const [aside = ''] = asideIn(folder);
  expect(readdirSync(join(folder, aside))).toEqual(['ap']);
  const { ap } = server.status();
  expect(ap).toMatchObject({ pending: 0 });
  expect(ap?.origin).not.toBe(origin);
  expect((await db.get('_cells/views/front')).value).toBeUndefined();
});

/** A member that was stopped when all of its deltas were merged, and has an old copy of them: its last ones are missing. */
async function withOldDeltas(): Promise<{ servers: Servers; folder: string }> {
  const { servers, folder } = await stoppedOne();
  const deltas = join(folder, 'ap');
  const old = join(servers.folder, 'old-deltas');
  await leaveDeltas(folder, 1);
  cpSync(deltas, old, { recursive: true });
  await leaveDeltas(folder, 2);
  const server = await servers.start('n1');
  await waitUntil('the merge', async () => (await mergedViews(server.address))?.includes('3'));
  await server.close();
  rmSync(deltas, { recursive: true });
  cpSync(old, deltas, { recursive: true });
  return { servers, folder };
}

async function goesOnWithoutDeltas(servers: Servers, folder: string): Promise<void> {
  const server = await servers.start('n1', { reseed: true });
  await servers.leader();
  expect(await mergedViews(server.address)).toContain('3');
  expect(server.status().ap).toMatchObject({ pending: 0 });
  const [aside = ''] = asideIn(folder).slice(-1);
  expect(readdirSync(join(folder, aside))).toEqual(['ap']);
}

test('deltas of which a part is missing that was merged end the start, and are moved aside with reseed', async () => {
  const { servers, folder } = await withOldDeltas();
  await using _ = servers;
  for (let attempt = 1; attempt <= 2; attempt += 1) {
    const error = await failureOf(servers.start('n1'));
    expect(error).toMatchObject({ code: 'DELTAS_CORRUPT', details: { merged: 3, last: 1 } });
    expect(error.message).toMatch(/balsa start --reseed/);
  }
  // What makes a cluster anew from its last folder has no use for them (`balsa recover`).
  await (await openOffline(folder)).stores.close();
  expect(asideIn(folder)).toEqual([]);
  await goesOnWithoutDeltas(servers, folder);
});

test('what is missing of the deltas may be seen later only: then the next start knows of it', async () => {
  const { servers, folder } = await withOldDeltas();
  await using _ = servers;
  // It is made again from the log when the replica is there already.
  changeMeta(folder, { refuses: { code: 'STATE_CORRUPT', reason: 'a wrong checksum' } });
  const server = await servers.start('n1');
  const found = await server.stopped;
  expect(found).toMatchObject({ code: 'DELTAS_CORRUPT', details: { merged: 3, last: 1 } });
  expect(found?.message).toMatch(/balsa start --reseed/);
  expect(await failureOf(servers.start('n1'))).toMatchObject({ code: 'DELTAS_CORRUPT' });
  await goesOnWithoutDeltas(servers, folder);
});

test('a damaged log that is begun anew leaves the deltas where they are: they count', async () => {
  await using servers = await Servers.reserve(3);
  const started = await servers.startAll();
  const [one, , three] = started;
  if (one === undefined || three === undefined) throw new Error('three servers');
  const folder = join(servers.folder, 'n3');
  await three.close();
  const origin = await leaveDeltas(folder, 2);
  rmSync(join(folder, 'wal'), { recursive: true });
  const { incarnation } = metaOf(folder);

  const again = await servers.start('n3', { reseed: true });

  await using db = await connect(one.address);
  const merged = await waitUntil('the merge', async () => {
    return (await db.get('_cells/views/front')).value?.toString();
  });
  expect(merged).toContain('2');
  expect(metaOf(folder).incarnation).not.toBe(incarnation);
  expect(again.status().ap).toMatchObject({ origin });
  const [aside = ''] = asideIn(folder);
  expect(existsSync(join(folder, aside, 'meta.json'))).toBe(true);
  expect(existsSync(join(folder, aside, 'ap'))).toBe(false);
});

test('a page of a range is no larger than the configuration says', async () => {
  const { servers, folder } = await stoppedOne();
  await using _ = servers;
  const server = await servers.start('n1');
  await servers.leader();
  await using db = await connect(server.address);
  for (const key of ['a', 'b', 'c', 'd']) await db.put(key, 'x'.repeat(500));
  await server.close();
  const query = { from: Buffer.from('a'), to: Buffer.from('e'), revision: null, reverse: false };
  const pageOf = async (change: Partial<Limits>) => {
    const limits = { ...LIMITS, ...change };
    const lock = await FolderLock.take(folder);
    const replica = { folder: new DataFolder(folder, new NodeFiles()), lock, claim: () => {} };
    const config = { limits, unsafeFailpoints: '' };
    const stores = await openStores({ ...replica, config, log: pino({ level: 'silent' }) });
    const page = await stores.machine.range({ ...query, keysMax: 100 });
    await stores.close();
    return page.items.map(({ key }) => Buffer.from(key).toString());
  };
  expect(await pageOf({})).toEqual(['a', 'b', 'c', 'd']);
  expect(await pageOf({ rangePageKeysMax: 3 })).toEqual(['a', 'b', 'c']);
  expect(await pageOf({ rangePageBytesMax: 1200 })).toEqual(['a', 'b']);
});
