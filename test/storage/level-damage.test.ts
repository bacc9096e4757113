import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { crc32 } from '../../src/base/checksum.js';
import { BalsaError } from '../../src/base/errors.js';
import { crc32c } from '../../src/storage/crc32c.js';
import { checkLevel } from '../../src/storage/level-check.js';
import { openDatabase } from '../../src/storage/level-database.js';
import { LevelStateStore } from '../../src/storage/level-state-store.js';
import { unsnappy } from '../../src/storage/snappy.js';
import { withChecksum, withoutChecksum } from '../../src/storage/value-checksum.js';
import { applyAll, bytes, contents, put } from './snapshot-helpers.js';

const limits = { overlayBytesMax: 1024 * 1024 };
const key = (n: number): string => `key ${String((n * 7919) % 1000).padStart(4, '0')}`;
const value = (n: number): string => `${n} ${'value '.repeat(n % 7)}`;

let parent = '';
let whole = '';
let expected: string[] = [];
beforeAll(async () => {
  parent = mkdtempSync(join(tmpdir(), 'balsa-rot-'));
  whole = join(parent, 'whole');
  const store = await LevelStateStore.open({ folder: whole, limits });
  // Fewer tables than those at which LevelDB begins to merge them by itself.
  for (let index = 1; index <= 3; index += 1) {
    const writes = Array.from({ length: 300 }, (_, n) => put(key(index * 200 + n), value(n)));
    await applyAll(store, index, writes);
    await store.sync();
  }
  expected = await contents(store);
  await store.close();
});
afterAll(() => rmSync(parent, { recursive: true }));

function tables(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith('.ldb'));
}

function flip(file: string, offset: number): void {
  const contents = readFileSync(file);
  contents.writeUInt8(contents.readUInt8(offset) ^ (1 << (offset % 8)), offset);
  writeFileSync(file, contents);
}

/** What a replica would see of the state: all of it, and each key alone. */
async function readAll(folder: string): Promise<string[]> {
  const store = await LevelStateStore.open({ folder, limits });
  try {
    const found = await contents(store);
    for (const pair of expected) {
      const [name = '', text] = pair.split('=');
      expect(Buffer.from(store.get(bytes(name)) ?? []).toString()).toBe(text);
    }
    return found;
  } finally {
    await store.abandon();
  }
}

describe('bit rot in LevelDB', () => {
  test('the state is whole to begin with, and has more than one table', async () => {
    const folder = join(parent, 'copy');
    cpSync(whole, folder, { recursive: true });
    expect(tables(folder).length).toBeGreaterThan(1);
    expect(await readAll(folder)).toEqual(expected);
    // Reads make LevelDB merge tables; what it leaves unfinished when it is closed belongs to nothing.
    expect(await checkLevel(folder)).toEqual({ damage: null, cuts: [] });
    rmSync(folder, { recursive: true });
  });

  test('a flipped bit anywhere in a table is an error that names the folder, or changes nothing', async () => {
    let refused = 0;
    let harmless = 0;
    for (const name of tables(whole)) {
      const size = readFileSync(join(whole, name)).length;
      for (let offset = 1; offset < size; offset += offset < size - 300 ? 101 : 11) {
        const folder = join(parent, 'rotten');
        cpSync(whole, folder, { recursive: true });
        flip(join(folder, name), offset);
        try {
          expect(await readAll(folder)).toEqual(expected);
          harmless += 1;
        } catch (error) {
          expect(error, `${name} ${offset}`).toBeInstanceOf(BalsaError);
          expect(error).toMatchObject({
            code: 'STATE_CORRUPT',
            message: expect.stringContaining(folder),
          });
          refused += 1;
        }
        rmSync(folder, { recursive: true });
      }
    }
    // What does no harm: the zeros that fill up the footer.
    expect(refused).toBeGreaterThan(50);
    expect(harmless).toBeLessThan(refused / 10);
  });

  test('rot that comes while the replica runs is found by a verification, which ends the store', async () => {
    const folder = join(parent, 'running');
    cpSync(whole, folder, { recursive: true });
    const store = await LevelStateStore.open({ folder, limits });
    const failures: Error[] = [];
    store.onFailure((error) => failures.push(error));
    await store.verify();
    const name = tables(folder).at(-1) ?? '';
    flip(join(folder, name), 700);
    await expect(store.verify()).rejects.toMatchObject({
      code: 'STATE_CORRUPT',
      message: expect.stringContaining(name),
    });
    expect(failures).toMatchObject([{ code: 'STATE_CORRUPT' }]);
    await store.abandon();
  });

  test('a value that is not what was written is an error, in reads, scans and views', async () => {
    const folder = join(parent, 'values');
    cpSync(whole, folder, { recursive: true });
    const name = expected[10]?.split('=')[0] ?? '';
    const database = await openDatabase(folder);
    const stored = await database.get(bytes(name));
    await database.put(bytes(name), Buffer.from(stored as Buffer).fill('z', 0, 1));
    await database.close();
    const act: ((store: LevelStateStore) => unknown)[] = [
      (store) => store.get(bytes(name)),
      (store) => contents(store),
      async (store) => {
        const view = await store.view();
        await view.next(null, 1e9);
      },
      async (store) => {
        const view = await store.view();
        view.get(bytes(name));
      },
    ];
    for (const read of act) {
      const store = await LevelStateStore.open({ folder, limits });
      const failures: Error[] = [];
      store.onFailure((error) => failures.push(error));
      await expect((async () => read(store))()).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
      expect(failures).toHaveLength(1);
      await store.abandon();
    }
  });
});

describe('checksums and formats of LevelDB', () => {
  test('CRC-32C is that of its specification', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe306_9283);
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a91_36aa);
    expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8_ab43);
    expect(crc32c(Buffer.from('..123456789.'), 2, 11)).toBe(0xe306_9283);
    const first = crc32c(Buffer.from('12345'));
    expect(crc32c(Buffer.from('6789'), 0, 4, first)).toBe(0xe306_9283);
  });

  test('Snappy is unpacked: literals, and copies that overlap what they make', () => {
    const packed = Buffer.from([11, 0x08, 0x61, 0x62, 0x63, 0x11, 0x03]);
    expect(unsnappy(packed)?.toString()).toBe('abcabcabcab');
    expect(unsnappy(Buffer.from([4, 0x08, 0x61, 0x62, 0x63]))).toBeNull();
    expect(unsnappy(Buffer.from([4, 0x11, 0x03]))).toBeNull();
    expect(unsnappy(Buffer.alloc(0))).toBeNull();
    const long = Buffer.concat([Buffer.from([0x80, 0x02, 60 << 2, 255]), Buffer.alloc(256, 'q')]);
    expect(unsnappy(long)?.toString()).toBe('q'.repeat(256));
  });

  test('a bit that has flipped in memory before the write is an error, where the checksum came with it', async () => {
    const folder = join(parent, 'memory');
    const store = await LevelStateStore.open({ folder, limits });
    const write = { key: bytes('k'), value: Buffer.from('value') };
    const checksum = crc32(write.value, crc32(write.key));
    store.apply(1, [{ ...write, checksum }]);
    write.value.writeUInt8(write.value.readUInt8(2) ^ 1, 2);
    store.allowDisk(1);
    await store.close();

    const opened = await LevelStateStore.open({ folder, limits });
    expect(() => opened.get(bytes('k'))).toThrow(
      expect.objectContaining({ code: 'STATE_CORRUPT' }),
    );
    await opened.abandon();
  });

  test('the checksum of a value covers its key and every bit of it', () => {
    const stored = withChecksum(bytes('k'), bytes('value'));
    expect(withoutChecksum(bytes('k'), stored)?.toString()).toBe('value');
    expect(withoutChecksum(bytes('l'), stored)).toBeNull();
    for (let bit = 0; bit < stored.length * 8; bit += 1) {
      const rotten = Buffer.from(stored);
      rotten.writeUInt8(rotten.readUInt8(bit >> 3) ^ (1 << (bit % 8)), bit >> 3);
      expect(withoutChecksum(bytes('k'), rotten)).toBeNull();
    }
    expect(withoutChecksum(bytes('k'), Buffer.alloc(3))).toBeNull();
  });
});
