import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NodeFiles } from '../../src/storage/node-files.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'balsa-files-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** More than one call to the system takes, of different lengths, some empty. */
const chunks = Array.from({ length: 3000 }, (_, i) => Buffer.from(`${i},`.repeat(i % 3)));
const whole = Buffer.concat(chunks).toString();

describe('files on a disk', () => {
  test('more chunks than one write takes are written whole and in order', async () => {
    const files = new NodeFiles();
    const file = files.open(join(folder, 'chunks'));
    file.writeAt(0, chunks);
    expect(file.readAt(0, whole.length + 10).toString()).toBe(whole);
    const later = whole.length;
    await new Promise<void>((resolve, reject) => {
      file.writeAtLater(later, chunks, (error) => (error === null ? resolve() : reject(error)));
    });
    const read = await new Promise<Buffer>((resolve) => {
      file.readAtLater(later, whole.length + 10, (_, bytes) => resolve(bytes));
    });
    expect(read.toString()).toBe(whole);
    expect(file.size()).toBe(2 * whole.length);
    file.close();
  });

  test('a folder is made with its parents, and made again without harm', () => {
    const files = new NodeFiles();
    const deep = join(folder, 'a', 'b', 'c');
    files.makeFolder(deep);
    files.makeFolder(deep);
    expect(files.list(join(folder, 'a', 'b'))).toEqual(['c']);
  });

  test('a folder that cannot be made says so at once, also where the system keeps its own', () => {
    const files = new NodeFiles();
    files.open(join(folder, 'plain-file')).close();
    expect(() => files.makeFolder(join(folder, 'plain-file', 'below'))).toThrow(/ENOTDIR/);
    expect(() => files.makeFolder('/proc/none/below')).toThrow(/ENOENT/);
  });

  test('a folder that does not exist has no names', () => {
    expect(new NodeFiles().list(join(folder, 'none'))).toEqual([]);
  });

  test('a folder can be synced, and one that is missing says so', async () => {
    const files = new NodeFiles();
    files.syncFolder(folder);
    const code = await new Promise<string | undefined>((resolve) => {
      files.syncFolderLater(join(folder, 'none'), (error) => resolve(error?.code));
    });
    expect(code).toBe('ENOENT');
  });
});
