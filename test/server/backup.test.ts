import { expect, test } from 'vitest';
import type { SnapshotPart } from '../../src/base/snapshot-codec.js';
import { type Client, connect } from '../../src/client/client.js';
import { Servers } from './servers.js';

async function filled(): Promise<{ servers: Servers; db: Client }> {
  const servers = await Servers.reserve(1);
  const [server] = await servers.startAll();
  const db = await connect(server?.address ?? '');
  const value = Buffer.alloc(20_000, 'x');
  await Promise.all(Array.from({ length: 100 }, (_, i) => db.put(`k${i}`, value)));
  return { servers, db };
}

test('a backup comes as a header, all chunks in their order, and an end that counts them', async () => {
  const { servers, db } = await filled();
  await using _servers = servers;
  await using _db = db;
  const parts: SnapshotPart[] = [];
  for await (const part of db.snapshot()) parts.push(part);
  const [header, ...rest] = parts;
  const end = rest.pop();
  expect(header).toMatchObject({ type: 'header', header: { clusterName: 'test' } });
  expect(rest.map((part) => (part.type === 'chunk' ? part.chunk.number : part.type))).toEqual(
    rest.map((_part, i) => i + 1),
  );
  expect(rest.length).toBeGreaterThan(3);
  expect(end).toMatchObject({ type: 'end', end: { chunks: rest.length } });
});

test('a backup that nobody reads on is given up, and the next one begins anew', async () => {
  const { servers, db } = await filled();
  await using _servers = servers;
  await using _db = db;
  for (let i = 0; i < 5; i += 1) {
    for await (const part of db.snapshot()) if (part.type === 'chunk') break;
  }
  const types: string[] = [];
  for await (const part of db.snapshot()) types.push(part.type);
  expect([types[0], types.at(-1)]).toEqual(['header', 'end']);
});

test('an aborted backup is CANCELLED', async () => {
  const { servers, db } = await filled();
  await using _servers = servers;
  await using _db = db;
  const abort = new AbortController();
  const reading = (async () => {
    for await (const part of db.snapshot({ signal: abort.signal })) {
      if (part.type === 'chunk') abort.abort();
    }
  })();
  await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' });
});

test('a backup ends with the client that reads it', async () => {
  const { servers, db } = await filled();
  await using _servers = servers;
  const parts = db.snapshot();
  const later = db.snapshot();
  await parts.next();
  await parts.next();
  await db.close();
  await expect(parts.next()).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
  await expect(later.next()).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
});
