import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePorts } from '../../src/cluster/free-ports.js';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import {
  balsa,
  expectAllThereOnce,
  expectRefusal,
  Load,
  stopWithAll,
  temporaryFolder,
} from './support.js';
import { WalFile } from './wal-file.js';

let cluster: LocalCluster;
let load: Load;

beforeAll(async () => {
  cluster = await LocalCluster.start();
  await using db = await cluster.connect();
  load = new Load(db);
  await load.acknowledgedMore(500);
  await load.stop();
});
afterAll(() => cluster.close());

describe('a replica whose log', () => {
  test('has a flipped bit in the middle refuses to start and says where; put back, it has all', async () => {
    await stopWithAll(cluster, 'n3');
    const wal = new WalFile(cluster.replica('n3').dataFolder);
    wal.flipBit();

    await cluster.start('n3', { wait: false });
    const exit = await cluster.exit('n3');

    expect(exit.code).toBe(1);
    const said = cluster.replica('n3').tail();
    expect(said).toContain('WAL_CORRUPT');
    expect(said).toContain(wal.path);
    await expectAllThereOnce(cluster, load.ledger);
    wal.restore();
    await cluster.start('n3');
    await expectAllThereOnce(cluster, load.ledger);
  });

  test('has a torn tail cuts it off, says so, and has every acknowledged write', async () => {
    await stopWithAll(cluster, 'n3');
    new WalFile(cluster.replica('n3').dataFolder).tear();

    await cluster.start('n3');

    expect(cluster.replica('n3').tail(100)).toContain('torn');
    await expectAllThereOnce(cluster, load.ledger);
  });
});

const canMount = ((): boolean => {
  using folder = temporaryFolder();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder.path], {
      stdio: 'ignore',
    });
    execFileSync('umount', [folder.path]);
    return true;
  } catch {
    return false;
  }
})();

/** A disk of its own, so that it can be full. */
function smallDisk(path: string, size: string) {
  mkdirSync(path, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path]);
  return {
    grow: (to: string) => execFileSync('mount', ['-o', `remount,size=${to}`, path]),
    [Symbol.dispose]: () => void execFileSync('umount', [path]),
  };
}

describe('a full disk (skipped where a small disk cannot be mounted)', () => {
  test.skipIf(!canMount)('at the start: the replica says so and ends with code 1', async () => {
    using folder = temporaryFolder();
    const data = join(folder.path, 'data');
    using _disk = smallDisk(data, '256k');
    const [port] = await freePorts(1);

    const run = await balsa([
      ...['start', '--name', 's1', '--members', `s1=127.0.0.1:${port}`, '--data', data],
    ]);

    expectRefusal(run, { exit: 1, code: 'DISK_FULL' });
  });

  test.skipIf(!canMount)(
    'under load: that replica ends with code 1, the others go on, and with room it has all again',
    async () => {
      using folder = temporaryFolder();
      using disk = smallDisk(join(folder.path, 'n3'), '48m');
      await using crowded = await LocalCluster.start({ folder: folder.path });
      await using db = await crowded.connect({ timeoutMs: 20_000 });
      const beside = new Load(db);
      const value = Buffer.alloc(512 * 1024, 0x61);
      let written = 0;

      while (crowded.replica('n3').running && written < 400) {
        await db.put(`big-${written}`, value);
        written += 1;
      }
      const exit = await crowded.exit('n3');
      const said = crowded.replica('n3').tail();
      await beside.acknowledgedMore(300);
      disk.grow('1g');
      await crowded.start('n3');
      await beside.acknowledgedMore(300);
      await beside.stop();

      expect(exit.code).toBe(1);
      expect(said).toContain('DISK_FULL');
      const { appliedIndex } = await crowded.waitForLeader();
      await crowded.waitForApplied(appliedIndex);
      const statuses = await crowded.waitForEqual();
      expect(new Set(statuses.map(({ stateHash }) => stateHash)).size).toBe(1);
      await using reader = await crowded.connectTo('n3', { timeoutMs: 20_000 });
      expect((await reader.get(`big-${written - 1}`)).value?.byteLength).toBe(value.byteLength);
      expect(beside.ledger.counts).toMatchObject({ unknown: 0, notApplied: 0 });
    },
  );
});
