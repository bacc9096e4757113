import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { BalsaError } from '../../src/base/errors.js';
import { checkNotGivenUp, checkOwner, DataFolder } from '../../src/server/data-folder.js';
import { KEEP_UNSYNCED, LOSE_UNSYNCED, MemoryFiles } from '../../src/storage/memory-files.js';
import { NodeFiles } from '../../src/storage/node-files.js';

const META = {
  cluster: 'c',
  name: 'n1',
  incarnation: 'abcd',
  clusterId: null,
  formation: null,
};

const newDisk = (): MemoryFiles => new MemoryFiles({ schedule: (complete) => complete() });

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return (error as BalsaError).code;
  }
  return 'no error';
}

describe('the data folder', () => {
  test('a new one says nothing', () => {
    const folder = new DataFolder('data', newDisk());
    folder.create();
    expect(folder.readMeta()).toBeNull();
  });

  test('what was written is there after a power failure', () => {
    const disk = newDisk();
    const folder = new DataFolder('data', disk);
    folder.create();
    folder.writeMeta(META);
    expect(new DataFolder('data', disk.crash(LOSE_UNSYNCED)).readMeta()).toMatchObject(META);
  });

  test('a crash at any step of a rewrite leaves the old or the new, whole', () => {
    const rewritten = { ...META, clusterId: 'id' };
    const outcomes = new Set<string | null>();
    for (let at = 1; ; at += 1) {
      const disk = newDisk();
      const folder = new DataFolder('data', disk);
      folder.create();
      folder.writeMeta(META);
      const first = disk.steps;
      let steps = 0;
      const crashed: MemoryFiles[] = [];
      disk.onStep = ({ number }) => {
        steps = number - first;
        if (steps !== at) return;
        crashed.push(disk.crash(LOSE_UNSYNCED), disk.crash(KEEP_UNSYNCED));
      };
      codeOf(() => folder.writeMeta(rewritten));
      for (const after of crashed) {
        const meta = new DataFolder('data', after).readMeta();
        expect([META.clusterId, rewritten.clusterId]).toContain(meta?.clusterId);
        outcomes.add(meta?.clusterId ?? null);
        // And it can be written again.
        new DataFolder('data', after).writeMeta(rewritten);
        expect(new DataFolder('data', after).readMeta()?.clusterId).toBe('id');
      }
      if (crashed.length === 0) break;
    }
    expect(outcomes).toEqual(new Set([null, 'id']));
  });

  test('a flipped bit in meta.json is seen wherever it is', () => {
    const disk = newDisk();
    const folder = new DataFolder('data', disk);
    folder.create();
    folder.writeMeta({ ...META, formation: [{ name: 'n1', incarnation: 'abcd' }] });
    const whole = folder.readMeta();
    const size = disk.readWhole('data/meta.json').length;
    for (let at = 0; at < size * 8; at += 1) {
      const rotten = disk.copy();
      rotten.flipBit('data/meta.json', at >> 3, at % 8);
      try {
        // What lies between the values may change.
        expect(new DataFolder('data', rotten).readMeta()).toEqual(whole);
      } catch (error) {
        expect(error).toMatchObject({ code: 'STATE_CORRUPT' });
      }
    }
  });

  test('a full disk is told as such', () => {
    const disk = newDisk();
    const folder = new DataFolder('data', disk);
    folder.create();
    disk.failNext('write', 'ENOSPC');
    expect(codeOf(() => folder.writeMeta(META))).toBe('DISK_FULL');
  });

  test('a log without meta.json is not taken for a new folder', () => {
    const disk = newDisk();
    const folder = new DataFolder('data', disk);
    folder.create();
    disk.open('data/wal/0000000000000001.wal');
    expect(codeOf(() => folder.readMeta())).toBe('STATE_CORRUPT');
  });

  test('damage and a newer format are told apart', () => {
    const disk = newDisk();
    const folder = new DataFolder('data', disk);
    folder.create();
    disk.open('data/meta.json').writeAt(0, [Buffer.from('{"format":')]);
    expect(codeOf(() => folder.readMeta())).toBe('STATE_CORRUPT');
    disk.remove('data/meta.json');
    disk.open('data/meta.json').writeAt(0, [Buffer.from(JSON.stringify({ ...META, format: 9 }))]);
    expect(codeOf(() => folder.readMeta())).toBe('VERSION_UNSUPPORTED');
  });

  test("another cluster's or member's folder is refused by name", () => {
    const meta = { format: 1, ...META };
    const owner = { cluster: 'c', name: 'n1', path: 'data', members: ['n1', 'n2'] };
    expect(() => checkOwner(meta, owner)).not.toThrow();
    expect(() => checkOwner(meta, { ...owner, cluster: 'd' })).toThrow(/cluster "c", not to "d"/);
    expect(() => checkOwner(meta, { ...owner, name: 'n2' })).toThrow(/member "n1", not to "n2"/);
    const disks = ['n2', 'n1'].map((name) => ({ name, incarnation: 'i' }));
    const joined = { ...meta, formation: disks };
    expect(() => checkOwner(joined, owner)).not.toThrow();
    expect(() => checkOwner(joined, { ...owner, members: ['n1', 'n2', 'n3'] })).toThrow(
      /cluster of n1, n2, but the configuration names the members n1, n2, n3/,
    );
  });

  test('once there is a cluster its log knows the members, whatever the configuration names', () => {
    const formation = [{ name: 'n1', incarnation: 'i' }];
    const owner = { cluster: 'c', name: 'n1', path: 'data', members: ['n1', 'n9'] };
    expect(() => checkOwner({ ...META, formation, clusterId: 'id' }, owner)).not.toThrow();
    expect(codeOf(() => checkOwner({ ...META, formation }, owner))).toBe('DATA_FOLDER_MISMATCH');
  });

  test('a meta.json of an earlier version says nothing of what is new', () => {
    const disk = newDisk();
    const folder = new DataFolder('data', disk);
    folder.create();
    folder.writeMeta(META);
    expect(folder.readMeta()).toEqual({
      format: 2,
      ...META,
      joining: null,
      refuses: null,
      addresses: {},
      leaseMs: 0,
      recovered: [],
    });
  });

  test('what is set aside is kept whole, and the folder stays a damaged one until it is owned anew', () => {
    const path = mkdtempSync(join(tmpdir(), 'balsa-folder-'));
    const folder = new DataFolder(path, new NodeFiles());
    folder.create();
    const formation = [{ name: 'n1', incarnation: 'i' }];
    folder.writeMeta({ ...META, formation });
    writeFileSync(join(folder.walFolder, '0000000000000001.wal'), 'log');
    const aside = folder.setAside(Date.UTC(2026, 0, 2, 3, 4, 5));
    expect(aside).toBe(join(path, 'damaged-2026-01-02T03-04-05-000Z'));
    expect(readFileSync(join(aside, 'wal/0000000000000001.wal'), 'utf8')).toBe('log');
    expect(readFileSync(join(aside, 'meta.json'), 'utf8')).toContain('abcd');
    // A crash here leaves a folder that refuses to be used, not one that looks new.
    expect(folder.readMeta()?.incarnation).toBe('abcd');
    expect(codeOf(() => folder.checkLogIsThere({ formation }))).toBe('WAL_CORRUPT');
    const again = folder.setAside(Date.UTC(2026, 0, 2, 3, 4, 6));
    expect(readdirSync(again)).toEqual(['meta.json']);
    expect(readdirSync(aside)).toEqual(['meta.json', 'wal']);
    rmSync(path, { recursive: true });
  });

  test('one that was given up says why it does not start', () => {
    const refuses = { code: 'MEMBER_REMOVED', reason: 'n1.i was removed' } as const;
    expect(() => checkNotGivenUp({ refuses }, 'data')).toThrow(/n1\.i was removed/);
    expect(() => checkNotGivenUp({ refuses: null }, 'data')).not.toThrow();
  });

  test('a member that has joined a cluster does not start without its log: it may have voted', () => {
    const disk = newDisk();
    const folder = new DataFolder('data', disk);
    folder.create();
    const joined = { ...META, formation: [{ name: 'n1', incarnation: 'i' }] };
    expect(() => folder.checkLogIsThere({ ...META, formation: null })).not.toThrow();
    expect(codeOf(() => folder.checkLogIsThere(joined))).toBe('WAL_CORRUPT');
    disk.open('data/wal/0000000000000001.wal');
    expect(() => folder.checkLogIsThere(joined)).not.toThrow();
  });
});
