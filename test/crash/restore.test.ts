import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';
import { DataFolder } from '../../src/server/data-folder.js';
import { openOffline } from '../../src/server/offline.js';
import { restore } from '../../src/server/restore.js';
import { NodeFiles } from '../../src/storage/node-files.js';
import { leads, putAll, saveBackup } from '../server/offline-cluster.js';
import { Servers } from '../server/servers.js';
import { emptyFolder, WatchedDisk } from './watched-disk.js';

const KEYS = 300;
const LIMITS_HERE = { ...LIMITS, walSegmentBytes: 64 * 1024 };

/** Removed at the end. */
const work = mkdtempSync(join(tmpdir(), 'balsa-restore-'));
const file = join(work, 'b.snap');
let revision = 0;

beforeAll(async () => {
  await using servers = await Servers.reserve(1);
  const server = await servers.start('n1');
  await leads(server);
  await putAll(server, 0, KEYS);
  await saveBackup(server, file);
  revision = server.status().revision;
});

afterAll(() => rmSync(work, { recursive: true, force: true }));

const into = (folder: string) => ({
  file,
  path: join(folder, 'data'),
  name: 'n1',
  cluster: 'other',
});

/** Opens what has the final name as a start does; fails unless it is all of the backup. */
async function expectWhole(folder: string): Promise<void> {
  const { stores, meta } = await openOffline(join(folder, 'data'));
  try {
    const { machine, restoredLog } = stores;
    expect(machine.revision).toBe(revision);
    let keys = 0;
    for (let i = 0; i < KEYS; i += 1) {
      if (machine.get(Buffer.from(`key-${i}`), null) !== null) keys += 1;
    }
    expect(keys).toBe(KEYS);
    expect(restoredLog.lastIndex).toBe(restoredLog.logStart.index + 1);
    expect(restoredLog.hardState.votedFor).toBe(`n1.${meta.incarnation}`);
  } finally {
    await stores.close();
  }
}

/** Everything that is found after the process, or the power, fails at a step of a restore. */
async function crashes(prepare: (root: string) => void = () => {}) {
  const root = join(work, 'root');
  const found = join(work, 'found');
  emptyFolder(root);
  emptyFolder(found);
  prepare(root);
  const disk = new WatchedDisk(root);
  const steps: { what: string; folders: string[] }[] = [];
  disk.onStep = (what) => {
    const folders = (['all', 'synced'] as const).map((keeps) => {
      const folder = join(found, `${steps.length}-${keeps}`);
      disk.copy(folder, keeps);
      return folder;
    });
    steps.push({ what, folders });
  };
  const { files, failpoints } = disk;
  await restore(into(root), { files, failpoints, limits: LIMITS_HERE });
  return { root, steps };
}

const isNamed = (folder: string): boolean => existsSync(join(folder, 'data'));

describe('a crash at any step of a restore', () => {
  test('leaves no folder of that name, or all of the backup in it', async () => {
    const { root, steps } = await crashes();
    for (const { what, folders } of steps) {
      for (const folder of folders.filter(isNamed)) {
        await expectWhole(folder).catch((error: Error) => {
          throw new Error(`after "${what}", in ${folder}: ${error.message}`);
        });
      }
    }
    await expectWhole(root);
    expect(steps.length).toBeGreaterThan(40);
    const names = steps.map(({ what }) => what);
    const first = steps.findIndex(({ folders }) => folders.some(isNamed));
    expect(names.slice(first)).toEqual(['rename data', 'sync folder ']);
    for (const failpoint of ['snapshot.after-chunk', 'snapshot.after-switch', 'wal.after-sync']) {
      expect(names).toContain(failpoint);
    }
  }, 120_000);

  test('is no hindrance to the next restore, which takes away what was left', async () => {
    const { steps } = await crashes();
    const unfinished = steps.flatMap(({ folders }) =>
      folders.filter((folder) => existsSync(join(folder, 'data.restoring'))),
    );
    expect(unfinished.length).toBeGreaterThan(80);
    for (let i = 0; i < unfinished.length; i += 20) {
      const folder = unfinished[i] ?? '';
      await restore(into(folder), { limits: LIMITS_HERE });
      await expectWhole(folder);
      expect(readdirSync(folder)).toEqual(['data']);
    }
  }, 120_000);
});

describe('a crash at any step of a restore into an empty folder', () => {
  const inPlace = () => crashes((root) => mkdirSync(join(root, 'data')));
  const has = (folder: string, name: string): boolean => existsSync(join(folder, 'data', name));

  test('leaves one that no replica starts in, or all of the backup', async () => {
    const { root, steps } = await inPlace();
    let begun = 0;
    let whole = 0;
    for (const { what, folders } of steps) {
      for (const folder of folders.filter((one) => readdirSync(join(one, 'data')).length > 0)) {
        if (has(folder, 'meta.json')) {
          whole += 1;
          await expectWhole(folder).catch((error: Error) => {
            throw new Error(`after "${what}", in ${folder}: ${error.message}`);
          });
          continue;
        }
        begun += 1;
        const data = new DataFolder(join(folder, 'data'), new NodeFiles());
        expect(() => data.readMeta(), `after "${what}"`).toThrow(/a part of a backup/);
      }
    }
    await expectWhole(root);
    expect(has(root, '.restoring')).toBe(false);
    expect(begun).toBeGreaterThan(80);
    expect(whole).toBeGreaterThan(1);
    const names = steps.map(({ what }) => what);
    const moves = names.filter((name) => /^rename data\/[^/]+$/.test(name));
    expect(moves.length).toBeGreaterThan(2);
    expect(moves.at(-1)).toBe('rename data/meta.json');
  }, 120_000);

  test('is no hindrance to the next restore before anything was moved, and is told behind that', async () => {
    const { steps } = await inPlace();
    const left = steps.flatMap(({ folders }) => folders.filter((one) => has(one, '.restoring')));
    const isMoved = (folder: string): boolean => readdirSync(join(folder, 'data')).length > 1;
    const unmoved = left.filter((folder) => !isMoved(folder));
    expect(unmoved.length).toBeGreaterThan(80);
    for (let i = 0; i < unmoved.length; i += 20) {
      const folder = unmoved[i] ?? '';
      await restore(into(folder), { limits: LIMITS_HERE });
      await expectWhole(folder);
      expect(has(folder, '.restoring')).toBe(false);
    }
    const moved = left.filter(isMoved);
    expect(moved.length).toBeGreaterThan(4);
    for (const folder of moved) {
      await expect(restore(into(folder))).rejects.toThrow(/data is not empty/);
    }
  }, 120_000);
});
