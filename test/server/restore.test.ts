import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { asBalsaError } from '../../src/base/errors.js';
import { inspectBackup } from '../../src/server/inspect-backup.js';
import { restore } from '../../src/server/restore.js';
import { NodeFiles } from '../../src/storage/node-files.js';
import { clientOf, countKeys, leads, putAll, saveBackup } from './offline-cluster.js';
import { Servers } from './servers.js';

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => asBalsaError(error).code,
  );

/** A backup of a cluster of one, with so many keys. */
async function backedUp(servers: Servers, keys: number) {
  const first = await servers.start('n1', { members: { n1: servers.members.n1 ?? '' } });
  await leads(first);
  await putAll(first, 0, keys);
  const file = join(servers.folder, 'b.snap');
  await saveBackup(first, file);
  return { first, file };
}

describe('restore', () => {
  test.skipIf(process.platform !== 'linux')(
    'into a folder that cannot be made fails, and does not try for ever',
    async () => {
      const path = '/proc/balsa/restored';
      expect(await codeOf(restore({ file: 'none', path, name: 'n1', cluster: 'c' }))).toBe(
        'DATA_FOLDER_UNUSABLE',
      );
    },
  );

  test('makes a new cluster of one, with all that was in the backup', async () => {
    await using servers = await Servers.reserve(2);
    const members = { n1: servers.members.n1 ?? '' };
    const first = await servers.start('n1', { members });
    await leads(first);
    await putAll(first, 0, 500);
    // So that the state, too, has an opinion on who the members are.
    const gone = { name: 'n9', incarnation: 'i9', address: '127.0.0.1:1', replaces: null };
    await using db = await clientOf(first);
    const expectedIndex = first.status().membership.index;
    const change = { add: [{ ...gone, promote: false }], promote: [], demote: [], remove: [] };
    await db.cluster.change({ expectedIndex, ...change });
    const file = join(servers.folder, 'b.snap');
    await saveBackup(first, file);
    const before = first.status();
    // What comes after the backup is not in it.
    await putAll(first, 500, 510);
    const report = await inspectBackup(file);
    expect(report).toMatchObject({
      keys: 500,
      learners: ['n9.i9'],
      header: { revision: before.revision },
    });
    expect(report.header.clusterId).toBe(before.clusterId);

    const path = join(servers.folder, 'restored');
    const restored = await restore({ file, path, name: 'n2', cluster: 'other' });

    expect(restored.clusterId).not.toBe(before.clusterId);
    expect(existsSync(`${path}.restoring`)).toBe(false);
    const second = await servers.start('n2', {
      cluster: 'other',
      members: { n2: servers.members.n2 ?? '' },
      dataFolder: path,
    });
    await leads(second);
    expect(await countKeys(second)).toBe(500);
    expect(second.status()).toMatchObject({
      clusterId: restored.clusterId,
      revision: before.revision,
      membership: { members: [{ name: 'n2', role: 'voter' }] },
    });
    // It goes on from there, and does so again after a restart.
    await putAll(second, 500, 600);
    await second.close();
    const again = await servers.start('n2', {
      cluster: 'other',
      members: { n2: servers.members.n2 ?? '' },
      dataFolder: path,
    });
    await leads(again);
    expect(await countKeys(again)).toBe(600);
    expect(await countKeys(first)).toBe(510);
  });

  test('refuses a folder that is not empty; one that is empty will do', async () => {
    await using servers = await Servers.reserve(2);
    const { file } = await backedUp(servers, 10);
    const path = join(servers.folder, 'there');
    mkdirSync(path);
    writeFileSync(join(path, 'mine'), 'x');
    const options = { file, name: 'n1', cluster: 'test' };
    await expect(restore({ ...options, path })).rejects.toThrow(/there is not empty \(mine\)/);
    expect(await codeOf(restore({ ...options, path }))).toBe('DATA_FOLDER_UNUSABLE');
    expect(readdirSync(path)).toEqual(['mine']);
    const empty = join(servers.folder, 'empty');
    mkdirSync(empty);
    const { ino } = statSync(empty);
    // As a new volume has it, and as an attempt leaves it that was ended on its way.
    mkdirSync(join(empty, 'lost+found'));
    mkdirSync(join(empty, '.restoring', 'wal'), { recursive: true });
    expect(await codeOf(restore({ ...options, path: empty }))).toBe('done');
    // It may be a volume, which nobody can rename.
    expect(statSync(empty).ino).toBe(ino);
    expect(readdirSync(empty)).toContain('meta.json');
    expect(readdirSync(empty)).not.toContain('.restoring');
    const second = await servers.start('n2', {
      members: { n2: servers.members.n2 ?? '' },
      ...{ dataFolder: empty, name: 'n1' },
    });
    await leads(second);
    expect(await countKeys(second)).toBe(10);
  });

  test.each(['wal', 'state-2', 'state.json', 'meta.json'])(
    'that fails when %s is moved into the folder leaves one that is not started in',
    async (failing) => {
      await using servers = await Servers.reserve(1);
      const { file, first } = await backedUp(servers, 10);
      await first.close();
      const path = join(servers.folder, 'empty');
      mkdirSync(path);
      const files = new NodeFiles();
      vi.spyOn(files, 'rename').mockImplementation((from, to) => {
        if (to === join(path, failing)) throw new Error('EIO: i/o error');
        renameSync(from, to);
      });
      const made = restore({ file, path, name: 'n1', cluster: 'test' }, { files });
      await expect(made).rejects.toThrow(/a part of the backup .* empty the folder, and restore/);
      const started = servers.start('n1', { dataFolder: path });
      await expect(started).rejects.toThrow(/has a part of a backup \(\.restoring\): empty/);
    },
  );

  test.each([
    ['only begun', ['.restoring']],
    ['all but whose it is', ['.restoring', 'wal', 'state-1']],
  ])('a folder in which it was ended on its way, %s, is not started in', async (_when, names) => {
    await using servers = await Servers.reserve(1);
    const path = join(servers.folder, 'n1');
    for (const name of names) mkdirSync(join(path, name), { recursive: true });
    await expect(servers.start('n1')).rejects.toThrow(/n1 has a part of a backup \(\.restoring\)/);
  });

  test('a damaged backup leaves nothing behind', async () => {
    await using servers = await Servers.reserve(1);
    const { file } = await backedUp(servers, 2000);
    const bytes = readFileSync(file);
    bytes[bytes.length - 300] = (bytes[bytes.length - 300] ?? 0) ^ 4;
    writeFileSync(file, bytes);
    const path = join(servers.folder, 'restored');
    const options = { file, path, name: 'n1', cluster: 'test' };
    expect(await codeOf(restore(options))).toBe('SNAPSHOT_CORRUPT');
    expect(await codeOf(inspectBackup(file))).toBe('SNAPSHOT_CORRUPT');
    expect(existsSync(path)).toBe(false);
    expect(existsSync(`${path}.restoring`)).toBe(false);
  });
});
