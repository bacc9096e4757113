import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FolderLock, LOCK_FOLDER } from '../../src/storage/folder-lock.js';
import { lockedByAnother } from './locked-by-another.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'balsa-lock-test-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('the lock of a data folder', () => {
  test('keeps out others of this process until it is released', async () => {
    const lock = await FolderLock.take(folder);
    await expect(FolderLock.take(folder)).rejects.toMatchObject({ code: 'DATA_FOLDER_IN_USE' });
    await lock.release();
    await (await FolderLock.take(folder)).release();
  });

  test('keeps out other processes, and ends with its owner however that ends', async () => {
    const other = await lockedByAnother(folder);
    await expect(FolderLock.take(folder)).rejects.toMatchObject({
      code: 'DATA_FOLDER_IN_USE',
      message: expect.stringContaining('another process uses'),
    });
    await other.kill();
    await (await FolderLock.take(folder)).release();
  });

  test('is made anew when a power failure has left something else in its place', async () => {
    await (await FolderLock.take(folder)).release();
    const place = join(folder, LOCK_FOLDER);
    for (const name of readdirSync(place)) {
      if (/^(?:CURRENT|MANIFEST)/.test(name)) writeFileSync(join(place, name), '');
    }
    await (await FolderLock.take(folder)).release();
  });

  test('of an owner that runs is not touched, whatever it looks like', async () => {
    const other = await lockedByAnother(folder);
    const place = join(folder, LOCK_FOLDER);
    writeFileSync(join(place, 'CURRENT'), '');
    // LevelDB keeps its diary before it asks for the lock.
    const names = () => readdirSync(place).filter((name) => !name.startsWith('LOG'));
    const before = names();
    await expect(FolderLock.take(folder)).rejects.toMatchObject({ code: 'DATA_FOLDER_IN_USE' });
    expect(names()).toEqual(before);
    await other.kill();
    await (await FolderLock.take(folder)).release();
  });

  test('is not made anew when it only cannot be used', async () => {
    await (await FolderLock.take(folder)).release();
    const place = join(folder, LOCK_FOLDER);
    rmSync(join(place, 'LOCK'));
    mkdirSync(join(place, 'LOCK'));
    await expect(FolderLock.take(folder)).rejects.toMatchObject({ code: 'DATA_FOLDER_UNUSABLE' });
    expect(readdirSync(place)).toContain('CURRENT');
  });

  test('says so when it cannot be made', async () => {
    mkdirSync(join(folder, 'file'));
    writeFileSync(join(folder, 'file', LOCK_FOLDER), 'a file');
    await expect(FolderLock.take(join(folder, 'file'))).rejects.toMatchObject({
      code: 'DATA_FOLDER_UNUSABLE',
    });
  });
});
