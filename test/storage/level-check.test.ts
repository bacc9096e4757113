import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkLevel } from '../../src/storage/level-check.js';
import { LOCKING } from '../../src/storage/level-lock.js';
import { LevelStateStore } from '../../src/storage/level-state-store.js';
import { applyAll, bytes, contents, put } from './snapshot-helpers.js';

const limits = { overlayBytesMax: 64 * 1024 * 1024 };
const BATCHES = 30;

let parent = '';
let killed = '';
let count = 0;
beforeAll(async () => {
  parent = mkdtempSync(join(tmpdir(), 'balsa-check-'));
  const folder = join(parent, 'running');
  const store = await LevelStateStore.open({ folder, limits });
  await applyAll(store, 1, [put('first', '1')]);
  await store.sync();
  for (let index = 2; index <= BATCHES; index += 1) {
    await applyAll(store, index, [put(`key ${index}`, 'v'.repeat(3000))]);
  }
  // As kill -9 leaves it: the batches are in LevelDB's own log only, in three blocks.
  killed = join(parent, 'killed');
  cpSync(folder, killed, { recursive: true });
  await store.close();
});
afterAll(() => rmSync(parent, { recursive: true }));

function copyOf(folder: string): string {
  count += 1;
  const copy = join(parent, `copy-${count}`);
  cpSync(folder, copy, { recursive: true });
  return copy;
}

function fileLike(folder: string, pattern: RegExp): string {
  const name = readdirSync(folder).find((one) => pattern.test(one));
  if (name === undefined) throw new Error(`there is no ${pattern} in ${folder}`);
  return join(folder, name);
}

function flip(file: string, offset: number): void {
  const content = readFileSync(file);
  content.writeUInt8(content.readUInt8(offset) ^ 4, offset);
  writeFileSync(file, content);
}

const openError = (folder: string): Promise<unknown> =>
  LevelStateStore.open({ folder, limits }).then(
    async (store) => {
      await store.abandon();
      return null;
    },
    (error: unknown) => error,
  );

describe("LevelDB's files, before LevelDB opens them", () => {
  test('are fine as they are, also when there are none', async () => {
    const fine = { damage: null, cuts: [] };
    expect(await checkLevel(join(parent, 'none'))).toEqual(fine);
    expect(await checkLevel(killed)).toEqual(fine);
  });

  test('a gap in its log ends the state there: the rest comes again from the log of the replica', async () => {
    const size = readFileSync(fileLike(killed, /\.log$/)).length;
    expect(size).toBeGreaterThan(70_000);
    for (const offset of [10, 5000, 33_000, 50_000, size - 10]) {
      const folder = copyOf(killed);
      flip(fileLike(folder, /\.log$/), offset);
      const store = await LevelStateStore.open({ folder, limits });
      expect(store.restoredIndex).toBe(1 + Math.floor(offset / (size / (BATCHES - 1))));
      expect(await contents(store)).toHaveLength(store.restoredIndex);
      expect(Buffer.from(store.get(bytes('first')) ?? []).toString()).toBe('1');
      await store.abandon();
    }
  });

  test('nothing is changed when one is damaged or missing: a good copy of it is enough', async () => {
    const cases: [RegExp, (file: string) => void][] = [
      [/^CURRENT$/, (file) => rmSync(file)],
      [/^CURRENT$/, (file) => writeFileSync(file, 'MANIFEST-000099\n')],
      [/^MANIFEST/, (file) => rmSync(file)],
      [/^MANIFEST/, (file) => truncateSync(file, readFileSync(file).length - 30)],
      [/^MANIFEST/, (file) => flip(file, 40)],
      [/\.ldb$/, (file) => rmSync(file)],
      [/\.ldb$/, (file) => flip(file, 5)],
      [/\.log$/, (file) => rmSync(file)],
    ];
    for (const [pattern, harm] of cases) {
      const folder = copyOf(killed);
      const file = fileLike(folder, pattern);
      harm(file);
      expect(await openError(folder), String(pattern)).toMatchObject({
        code: 'STATE_CORRUPT',
        message: expect.stringContaining(folder),
      });
      copyFileSync(fileLike(killed, pattern), file);
      const store = await LevelStateStore.open({ folder, limits });
      expect(store.restoredIndex).toBe(BATCHES);
      await store.abandon();
    }
  });

  test('while another process has them open they are in use, whatever they look like', async () => {
    const folder = copyOf(killed);
    const script = `
      import { Level } from 'level';
      const database = new Level(process.argv[1]);
      await database.open();
      console.log('open');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, folder]);
    try {
      await once(child.stdout, 'data');
      // As a log that LevelDB removes between a look at the folder and one into it.
      symlinkSync('nowhere', join(folder, '999999.log'));
      expect(await openError(folder)).toMatchObject({ code: 'DATA_FOLDER_IN_USE' });
      rmSync(join(folder, '999999.log'));
      rmSync(join(folder, 'CURRENT'));
      expect(await openError(folder)).toMatchObject({ code: 'DATA_FOLDER_IN_USE' });
      expect(readdirSync(parent).filter((name) => name.includes(LOCKING))).toEqual([]);
    } finally {
      child.kill();
      await once(child, 'exit');
    }
    expect(await openError(folder)).toMatchObject({ code: 'STATE_CORRUPT' });
  });
});
