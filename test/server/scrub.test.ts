import { closeSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';
import { connect } from '../../src/client/client.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { Servers } from './servers.js';

const limits = { ...LIMITS, scrubBytesPerSecondMax: 1e9, scrubIntervalMs: 100 };

/** The tables of the state that lies in a data folder. */
function tablesIn(data: string): string[] {
  const state = join(data, readdirSync(data).find((name) => /^state-\d+$/.test(name)) ?? '');
  const names = readdirSync(state).filter((name) => name.endsWith('.ldb'));
  return names.map((name) => join(state, name));
}

/** In its place: LevelDB has the file in its memory. */
function flip(path: string, offset: number): void {
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, offset);
  writeSync(file, Buffer.of(byte.readUInt8(0) ^ 1), 0, 1, offset);
  closeSync(file);
}

test('a replica whose state rots while it runs stops, says which file, and does not start on it again', async () => {
  await using servers = await Servers.reserve(1);
  const endpoints = Object.values(servers.members);
  const [first] = await servers.startAll();
  {
    await using db = await connect({ endpoints });
    await db.put('k', 'v'.repeat(10_000));
  }
  await first?.close();
  // What LevelDB finds in its log when it is opened it puts into tables.
  const server = await servers.start('n1', { limits });
  await servers.leader();
  const again = async () => ((server.status().scrub?.bytes ?? 0) > 0 ? true : undefined);
  await waitUntil('it to be looked at', again);
  const folder = join(servers.folder, 'n1');
  const [table = ''] = tablesIn(folder);
  flip(table, 100);
  expect(await server.stopped).toMatchObject({
    code: 'STATE_CORRUPT',
    message: expect.stringContaining(table),
  });
  const meta = JSON.parse(readFileSync(join(folder, 'meta.json'), 'utf8'));
  expect(meta.refuses).toMatchObject({ code: 'STATE_CORRUPT' });
  // The log still has all that the state was made of: it is made again from that, as by any start.
  await servers.start('n1');
  await using db = await connect({ endpoints });
  expect((await db.get('k')).value).toHaveLength(10_000);
  expect(readdirSync(folder).some((name) => name.startsWith('damaged-'))).toBe(true);
});
