import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';
import { openOffline } from '../../src/server/offline.js';
import { restore } from '../../src/server/restore.js';
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
    const { steps } = await crashes((root) => mkdirSync(join(root, 'data')));
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
