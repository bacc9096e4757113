import { describe, expect, test } from 'vitest';
import { asBalsaError } from '../../src/base/errors.js';
import { DataFolder, newMeta } from '../../src/server/data-folder.js';
import { findState, LevelStateVault, makeCurrent } from '../../src/storage/level-state-vault.js';
import { MemoryFiles } from '../../src/storage/memory-files.js';
import { type StatePointer, writePointer } from '../../src/storage/state-pointer.js';
import { ManualWorld } from '../storage/manual-world.js';
import { outcome, outcomes } from './subsets.js';

const FOLDER = 'data';
const formation = [{ name: 'n1', incarnation: 'old' }];
const META = { ...newMeta({ cluster: 'c', name: 'n1', incarnation: 'old' }), formation };

function write(files: MemoryFiles, path: string, text: string): void {
  const file = files.open(path);
  file.writeAt(0, [Buffer.from(text)]);
  file.sync();
}

/** A folder with everything in it; all of it durable. */
function wholeDisk(pointer: StatePointer): MemoryFiles {
  const disk = new MemoryFiles({ schedule: new ManualWorld().schedule });
  const folder = new DataFolder(FOLDER, disk);
  folder.create();
  folder.writeMeta(META);
  writePointer(disk, FOLDER, pointer);
  disk.makeFolder(`${FOLDER}/${pointer.folder}`);
  for (const name of ['000003.log', 'CURRENT']) {
    write(disk, `${FOLDER}/${pointer.folder}/${name}`, `state ${name}`);
  }
  write(disk, `${FOLDER}/wal/0000000000000001.wal`, 'log 1');
  write(disk, `${FOLDER}/wal/0000000000000002.wal`, 'log 2');
  return disk.copy();
}

/** The disk with all that a power failure at any step of `act` can leave, and behind its end. */
function afterCrashes(disk: MemoryFiles, act: (files: MemoryFiles) => void) {
  const during: MemoryFiles[] = [];
  const collect = (into: MemoryFiles[]): void => {
    const unsynced = disk.unsynced();
    for (let number = 0; number < outcomes(unsynced); number += 1) {
      into.push(disk.copy(new ManualWorld().schedule, outcome(unsynced, number)));
    }
  };
  disk.onStep = () => collect(during);
  act(disk);
  disk.onStep = () => {};
  const behind: MemoryFiles[] = [];
  collect(behind);
  return { during, behind };
}

/** Every file by what is in it, wherever it lies. */
function contents(disk: MemoryFiles, folder = FOLDER): string[] {
  return disk.list(folder).flatMap((name) => {
    const path = `${folder}/${name}`;
    return disk.exists(path) ? [disk.readWhole(path).toString()] : contents(disk, path);
  });
}

function answer<T>(work: () => T): T | string {
  try {
    return work();
  } catch (error) {
    return asBalsaError(error).code;
  }
}

const FIRST: StatePointer = { folder: 'state-1', installed: null };
const SECOND: StatePointer = { folder: 'state-2', installed: { index: 40, term: 3 } };

describe('a power failure at any step', () => {
  test('of a rewrite of meta.json leaves the old one or the new one, whole', () => {
    const next = { ...META, clusterId: 'formed' };
    const { during, behind } = afterCrashes(wholeDisk(FIRST), (disk) =>
      new DataFolder(FOLDER, disk).writeMeta(next),
    );
    const found = (disk: MemoryFiles) => new DataFolder(FOLDER, disk).readMeta()?.clusterId;
    expect(during.length).toBeGreaterThan(10);
    expect(new Set(during.map(found))).toEqual(new Set([null, 'formed']));
    expect(new Set(behind.map(found))).toEqual(new Set(['formed']));
  });

  test('of a switch of the state leaves the pointer at a whole state, the old one or the new one', () => {
    const disk = wholeDisk(FIRST);
    for (const name of ['000007.log', 'CURRENT']) {
      write(disk, `${FOLDER}/state-2.incoming/${name}`, `state 2 ${name}`);
    }
    disk.syncFolder(`${FOLDER}/state-2.incoming`);
    const { during, behind } = afterCrashes(disk, (files) => {
      makeCurrent(files, FOLDER, { from: `${FOLDER}/state-2.incoming`, pointer: SECOND });
    });
    const found = (after: MemoryFiles): string => {
      const pointer = findState(after, FOLDER);
      return `${pointer.folder}: ${contents(after, `${FOLDER}/${pointer.folder}`).join()}`;
    };
    const first = 'state-1: state 000003.log,state CURRENT';
    const second = 'state-2: state 2 000007.log,state 2 CURRENT';
    expect(new Set(during.map(found))).toEqual(new Set([first, second]));
    expect(new Set(behind.map(found))).toEqual(new Set([second]));
  });

  test.each([FIRST, SECOND])(
    'of setting a damaged folder aside loses no file, and leaves no folder that its old member can start on (%o)',
    (pointer) => {
      const disk = wholeDisk(pointer);
      const before = contents(disk);
      const fresh = { ...newMeta({ cluster: 'c', name: 'n1', incarnation: 'new' }) };
      const { during, behind } = afterCrashes(disk, (files) => {
        const folder = new DataFolder(FOLDER, files);
        folder.setAside(0);
        folder.create();
        folder.writeMeta(fresh);
      });
      expect(during.length).toBeGreaterThan(20);
      for (const after of [...during, ...behind]) {
        const left = contents(after);
        for (const content of before) expect(left).toContain(content);
        const folder = new DataFolder(FOLDER, after);
        const meta = folder.readMeta();
        if (meta?.incarnation === 'new') {
          // It begins with nothing.
          expect(after.list(`${FOLDER}/wal`)).toEqual([]);
          expect(after.list(FOLDER)).not.toContain(pointer.folder);
          continue;
        }
        // The old one finds its log untouched (and damaged, as it was), or that it is gone.
        expect(meta?.incarnation).toBe('old');
        const log = after.list(`${FOLDER}/wal`).length;
        expect([0, 2]).toContain(log);
        if (log === 0) expect(answer(() => folder.checkLogIsThere(META))).toBe('WAL_CORRUPT');
      }
      expect(
        behind.every((after) => new DataFolder(FOLDER, after).readMeta()?.incarnation === 'new'),
      ).toBe(true);
    },
  );

  test.each([FIRST, SECOND])(
    'of moving a damaged state aside loses no file, and takes no state for the current one that is not (%o)',
    (pointer) => {
      const disk = wholeDisk(pointer);
      const before = contents(disk);
      const { during, behind } = afterCrashes(disk, (files) => {
        LevelStateVault.moveAside(files, FOLDER, `${FOLDER}/damaged-1`);
      });
      for (const after of [...during, ...behind]) {
        const left = contents(after);
        for (const content of before) expect(left).toContain(content);
        const found = answer(() => findState(after, FOLDER));
        if (typeof found === 'string') {
          expect(found).toBe('STATE_CORRUPT');
          continue;
        }
        // The old one, whole (it is damaged, as it was); or an empty one, to be made again from the log.
        const state = contents(after, `${FOLDER}/${found.folder}`);
        expect([0, 2]).toContain(state.length);
        if (state.length === 0) expect(found.installed).toBeNull();
      }
    },
  );
});
