import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Level } from 'level';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Failpoints } from '../../src/base/failpoints.js';
import type { StateWrite } from '../../src/statemachine/state-store.js';
import { FailpointSet } from '../../src/storage/failpoint-set.js';
import { markerKey } from '../../src/storage/flush-markers.js';
import { LevelStateStore } from '../../src/storage/level-state-store.js';
import { ManualWorld } from './manual-world.js';

const limits = { overlayBytesMax: 64 * 1024 * 1024 };
const put = (key: string, value: string): StateWrite => ({
  key: Buffer.from(key),
  value: Buffer.from(value),
});

let folder = '';
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'balsa-level-')), 'state');
});
afterEach(() => rmSync(join(folder, '..'), { recursive: true }));

function open(failpoints?: Failpoints): Promise<LevelStateStore> {
  return LevelStateStore.open({
    folder,
    limits,
    ...(failpoints === undefined ? {} : { failpoints }),
  });
}

async function rawDatabase(): Promise<Level<Buffer, Buffer>> {
  const database = new Level<Buffer, Buffer>(folder, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
  });
  await database.open();
  return database;
}

/** One flush per entry. */
async function applyEach(store: LevelStateStore, from: number, count: number): Promise<void> {
  for (let index = from; index < from + count; index += 1) {
    store.apply(index, [put(`key ${index}`, `value ${index}`)]);
    store.allowDisk(index);
    await new Promise<void>((resolve) => store.whenPendingBelow(0, resolve));
  }
}

describe('opening LevelDB', () => {
  test('a folder that another process uses is said so', async () => {
    const other = await rawDatabase();
    await expect(open()).rejects.toMatchObject({
      code: 'DATA_FOLDER_IN_USE',
      message: expect.stringContaining(folder),
    });
    await other.close();
  });

  test('a folder that is a file is said so', async () => {
    writeFileSync(folder, '');
    await expect(open()).rejects.toMatchObject({
      code: 'DATA_FOLDER_UNUSABLE',
      message: expect.stringContaining(folder),
    });
  });

  test('a damaged database is said so', async () => {
    const store = await open();
    await applyEach(store, 1, 3);
    await store.close();
    const manifest = readdirSync(folder).find((name) => name.startsWith('MANIFEST'));
    truncateSync(join(folder, String(manifest)), 5);
    writeFileSync(join(folder, 'CURRENT'), 'MANIFEST-000099\n');
    await expect(open()).rejects.toMatchObject({
      code: 'STATE_CORRUPT',
      message: expect.stringContaining(folder),
    });
  });

  test('a database in which a batch is missing is damaged', async () => {
    const store = await open();
    await applyEach(store, 1, 5);
    await store.close();
    const database = await rawDatabase();
    await database.del(markerKey(3));
    await database.close();
    await expect(open()).rejects.toMatchObject({
      code: 'STATE_CORRUPT',
      message: expect.stringContaining('batch 3'),
    });
  });
});

describe('writing to LevelDB', () => {
  test('nothing reaches the disk before it is allowed, however much waits', async () => {
    const store = await open();
    for (let index = 1; index <= 40; index += 1) {
      store.apply(index, [put(`key ${index}`, 'x'.repeat(100_000))]);
    }
    store.allowDisk(20);
    await store.close();
    const again = await open();
    expect(again.restoredIndex).toBeLessThanOrEqual(20);
    expect(again.restoredIndex).toBeGreaterThan(0);
    const page = await again.scan({
      from: Buffer.alloc(0),
      to: null,
      keysMax: 100,
      bytesMax: 1e9,
    });
    expect(page.pairs).toHaveLength(again.restoredIndex);
    await again.close();
  });

  test('a flush goes when its time has come', async () => {
    const world = new ManualWorld();
    const store = await LevelStateStore.open({ folder, limits, clock: world });
    store.apply(1, [put('a', '1')]);
    store.allowDisk(1);
    expect(store.pendingBytes()).toBeGreaterThan(0);
    const below = new Promise<void>((resolve) => store.whenPendingBelow(0, resolve));
    world.pass(20);
    await below;
    expect(store.pendingBytes()).toBe(0);
    await store.close();
  });

  test('a key that is written often goes to the disk once', async () => {
    const store = await open();
    for (let index = 1; index <= 1000; index += 1) store.apply(index, [put('hot', `${index}`)]);
    expect(store.pendingBytes()).toBeLessThan(200);
    store.allowDisk(1000);
    await store.close();
    const again = await open();
    expect(again.restoredIndex).toBe(1000);
    expect(Buffer.from(again.get(Buffer.from('hot')) ?? []).toString()).toBe('1000');
    await again.close();
  });

  test('what is synced is known', async () => {
    const store = await open();
    await applyEach(store, 1, 3);
    expect(store.syncedIndex()).toBe(0);
    await store.sync();
    expect(store.syncedIndex()).toBe(3);
    await applyEach(store, 4, 1);
    expect(store.syncedIndex()).toBe(3);
    await store.close();
  });

  test('markers of batches that are surely on disk are deleted, and no others', async () => {
    const store = await open();
    await applyEach(store, 1, 6);
    await store.sync();
    await applyEach(store, 7, 6);
    await store.close();
    const database = await rawDatabase();
    const markers = await database.keys({ lt: Buffer.from([1]) }).all();
    await database.close();
    const numbers = markers.map((key) => Number(key.readBigUInt64BE(1)));
    expect(numbers).toEqual([6, 7, 8, 9, 10, 11, 12]);
    const again = await open();
    expect(again.restoredIndex).toBe(12);
    await again.close();
  });

  test('a failed flush is final and told once', async () => {
    const store = await open(FailpointSet.parse('state.before-flush=error'));
    const failures: Error[] = [];
    store.onFailure((error) => failures.push(error));
    store.apply(1, [put('a', '1')]);
    store.allowDisk(1);
    await store.close();
    expect(failures).toMatchObject([{ code: 'DISK_FAILED' }]);
    expect(() => store.apply(2, [])).toThrow(expect.objectContaining({ code: 'DISK_FAILED' }));
  });

  for (const [title, extension] of [
    ['table', 'ldb'],
    ['log', 'log'],
  ] as const) {
    test(`a sync for which LevelDB cannot make a ${title} is none, and final`, async () => {
      const store = await open();
      await applyEach(store, 1, 3);
      const failures: Error[] = [];
      store.onFailure((error) => failures.push(error));
      const there = readdirSync(folder);
      for (let number = 1; number < 30; number += 1) {
        const name = `${String(number).padStart(6, '0')}.${extension}`;
        if (!there.includes(name)) mkdirSync(join(folder, name));
      }
      await expect(store.sync()).rejects.toMatchObject({ code: 'DISK_FAILED' });
      expect(store.syncedIndex()).toBe(0);
      expect(failures).toMatchObject([{ code: 'DISK_FAILED' }]);
      await store.close();
    });
  }

  test('a scan of a store that was closed is refused', async () => {
    const store = await open();
    await store.close();
    const range = { from: Buffer.alloc(0), to: null, keysMax: 1, bytesMax: 1 };
    await expect(store.scan(range)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });

  test('scans during flushes always show the latest state', async () => {
    const store = await LevelStateStore.open({ folder, limits: { overlayBytesMax: 8 * 1024 } });
    const expected = new Map<string, string>();
    const scans: Promise<void>[] = [];
    for (let index = 1; index <= 300; index += 1) {
      const key = `key ${(index * 7919) % 97}`;
      const value = `${index}`.repeat(400);
      expected.set(key, value);
      store.apply(index, [put(key, value)]);
      store.allowDisk(index);
      for (const [k, v] of expected) {
        if (Buffer.from(store.get(Buffer.from(k)) ?? []).toString() !== v)
          expect(k).toBe('present');
      }
      if (index % 10 !== 0) continue;
      const now = [...expected].sort(([a], [b]) => (a < b ? -1 : 1));
      const range = { from: Buffer.from('key'), to: null, keysMax: 1000, bytesMax: 1e9 };
      const scan = store.scan(range).then(({ pairs }) => {
        const seen = pairs.map(([k, v]) => [String(k), String(v)]);
        expect(seen).toEqual(now);
      });
      scans.push(scan);
      if (index % 50 === 0) await scan;
    }
    await Promise.all(scans);
    await store.close();
  });

  test('what a range takes on the disk is known, and is less when its space was given back', async () => {
    const store = await open();
    const random = (place: number): string => randomBytes(10_000).toString('hex') + place;
    const apply = (index: number, writes: readonly StateWrite[]): void => {
      store.apply(index, writes);
      store.allowDisk(index);
    };
    const places = Array.from({ length: 50 }, (_, place) => place);
    const keyOf = (place: number): string => `key ${String(place).padStart(2, '0')}`;
    apply(
      1,
      places.map((place) => put(keyOf(place), random(place))),
    );
    await new Promise<void>((resolve) => store.whenPendingBelow(0, resolve));
    expect(store.flushedIndex()).toBe(1);
    await store.sync();
    const bytesOf = (from: number, to: number): Promise<number> =>
      store.bytesBetween(Buffer.from(keyOf(from)), Buffer.from(keyOf(to)));
    const half = await bytesOf(0, 25);
    // Random digits take half of their bytes at least.
    expect(half).toBeGreaterThan(25 * 10_000);
    expect(half).toBeLessThan(25 * 21_000);
    expect(await bytesOf(60, 70)).toBe(0);
    apply(
      2,
      places.slice(0, 25).map((place) => ({ key: Buffer.from(keyOf(place)), value: null })),
    );
    await new Promise<void>((resolve) => store.whenPendingBelow(0, resolve));
    await store.reclaim(Buffer.from(keyOf(0)), Buffer.from(keyOf(25)));
    expect(await bytesOf(0, 25)).toBeLessThan(half / 4);
    expect(await bytesOf(25, 50)).toBeGreaterThan(25 * 10_000);
    await store.close();
    await expect(bytesOf(0, 25)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });
});
