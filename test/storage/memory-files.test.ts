import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.js';
import {
  KEEP_UNSYNCED,
  LOSE_UNSYNCED,
  MemoryFiles,
  tearUnsynced,
} from '../../src/storage/memory-files.js';
import { MemoryLogStore } from '../../src/storage/memory-log-store.js';
import { MemoryStateStore } from '../../src/storage/memory-state-store.js';
import { append, entries, ModelLog, restoredFacts, write } from './log-helpers.js';
import { ManualWorld } from './manual-world.js';

function disk(): { world: ManualWorld; files: MemoryFiles } {
  const world = new ManualWorld();
  return { world, files: new MemoryFiles({ schedule: world.schedule }) };
}

const text = (files: MemoryFiles, path: string): string => files.readWhole(path).toString();

describe('the simulated disk', () => {
  test('a name is lost in a crash until its folder is synced', () => {
    const { files } = disk();
    const file = files.open('/d/a');
    file.writeAt(0, [Buffer.from('hello')]);
    file.sync();
    expect(files.copy().list('/d')).toEqual(['a']);
    const before = files.copy();
    expect(before.crash(LOSE_UNSYNCED).list('/d')).toEqual(['a']);
    files.syncFolder('/d');
    files.rename('/d/a', '/d/b');
    expect(files.list('/d')).toEqual(['b']);
    expect(files.crash(LOSE_UNSYNCED).list('/d')).toEqual(['a']);
    expect(files.crash(KEEP_UNSYNCED).list('/d')).toEqual(['b']);
  });

  test('what was not synced is lost, kept or torn at sectors', () => {
    const { files } = disk();
    const file = files.open('/d/a');
    file.writeAt(0, [Buffer.alloc(2048, 'o')]);
    file.sync();
    files.syncFolder('/d');
    file.writeAt(100, [Buffer.alloc(1500, 'n')]);
    expect(text(files.crash(LOSE_UNSYNCED), '/d/a')).toBe('o'.repeat(2048));
    expect(text(files.crash(KEEP_UNSYNCED), '/d/a').indexOf('n')).toBe(100);
    const seen = new Set<string>();
    for (let seed = 0; seed < 200; seed += 1) {
      const torn = text(files.crash(tearUnsynced(seededRandom(seed))), '/d/a');
      const sectors = [0, 1, 2, 3].map((sector) =>
        torn.slice(sector * 512 + 100, sector * 512 + 110),
      );
      for (const sector of sectors) expect(['o'.repeat(10), 'n'.repeat(10)]).toContain(sector);
      seen.add(sectors.map((sector) => sector[0]).join(''));
    }
    expect(seen.size).toBeGreaterThanOrEqual(8);
  });

  test('a sync covers what was written before it was asked, not what came during it', () => {
    const { files, world } = disk();
    const file = files.open('/d/a');
    files.syncFolder('/d');
    file.writeAt(0, [Buffer.from('one')]);
    file.syncLater(() => {});
    file.writeAt(3, [Buffer.from('two')]);
    world.run();
    expect(text(files.crash(LOSE_UNSYNCED), '/d/a')).toBe('one');
  });

  test('completions wait for the schedule, and never come after a halt', () => {
    const { files, world } = disk();
    const file = files.open('/d/a');
    const seen: string[] = [];
    file.writeAtLater(0, [Buffer.from('x')], () => seen.push('written'));
    expect(seen).toEqual([]);
    world.run();
    file.syncLater(() => seen.push('synced'));
    files.halt();
    world.run();
    expect(seen).toEqual(['written']);
    expect(() => files.list('/d')).toThrow(/EHALTED/);
  });

  test('a full disk refuses what would make it fuller', () => {
    const { world } = disk();
    const files = new MemoryFiles({ schedule: world.schedule, capacityBytes: 10 });
    const file = files.open('/d/a');
    file.writeAt(0, [Buffer.alloc(8)]);
    expect(() => file.writeAt(8, [Buffer.alloc(8)])).toThrow(/ENOSPC/);
    file.writeAt(0, [Buffer.alloc(10)]);
  });

  test('faults come once, where they were asked for', () => {
    const { files, world } = disk();
    const file = files.open('/d/a');
    files.failNext('sync', 'EIO', 1);
    file.sync();
    expect(() => file.sync()).toThrow(/EIO/);
    file.sync();
    files.failNext('read', 'EIO');
    const errors: unknown[] = [];
    file.readAtLater(0, 1, (error) => errors.push(error?.code));
    world.run();
    expect(errors).toEqual(['EIO']);
  });
});

describe('a sync that fails', () => {
  test('leaves what it should have written readable, and lost in a crash, whatever is synced later', () => {
    const { files } = disk();
    const file = files.open('/d/a');
    files.syncFolder('/d');
    file.writeAt(0, [Buffer.from('old')]);
    file.sync();
    file.writeAt(0, [Buffer.from('new')]);
    files.failNext('sync', 'EIO');
    expect(() => file.sync()).toThrow(/EIO/);
    file.sync();
    expect(file.readAt(0, 3).toString()).toBe('new');
    expect(files.crash(KEEP_UNSYNCED).readWhole('/d/a').toString()).toBe('old');
  });

  test('is made good by another write of the same', () => {
    const { files } = disk();
    const file = files.open('/d/a');
    files.syncFolder('/d');
    file.writeAt(0, [Buffer.from('new')]);
    files.failNext('sync', 'EIO');
    expect(() => file.sync()).toThrow(/EIO/);
    file.writeAt(0, [file.readAt(0, 3)]);
    file.sync();
    expect(files.crash(LOSE_UNSYNCED).readWhole('/d/a').toString()).toBe('new');
  });
});

describe('the memory twins in a crash', () => {
  test('the log loses what was not called back, or keeps it', () => {
    const world = new ManualWorld();
    const store = new MemoryLogStore({ schedule: world.schedule });
    const writes = [write(entries(1, 2, 1)), write(entries(3, 1, 1))];
    const [first, second] = writes;
    let isDurable = false;
    if (first !== undefined) store.append(first, () => (isDurable = true));
    world.run();
    expect(isDurable).toBe(true);
    if (second !== undefined) void append(store, second);
    expect(restoredFacts(store.restart('lost'))).toEqual(
      ModelLog.after(writes.slice(0, 1)).facts(),
    );
    expect(restoredFacts(store.restart('kept'))).toEqual(ModelLog.after(writes).facts());
  });

  test('a failing log tells all that wait, and takes nothing more', () => {
    const world = new ManualWorld();
    const store = new MemoryLogStore({ schedule: world.schedule });
    const errors: unknown[] = [];
    for (const index of [1, 2]) {
      store.append(write(entries(index, 1, 1)), (error) => errors.push(error?.message));
    }
    store.fail(new Error('EIO'));
    store.append(write(entries(3, 1, 1)), (error) => errors.push(error?.message));
    world.run();
    expect(errors).toEqual(['EIO', 'EIO', 'EIO']);
  });

  test('the state comes back as of some entry that was allowed', () => {
    const world = new ManualWorld();
    const store = new MemoryStateStore({ schedule: world.schedule });
    for (let index = 1; index <= 6; index += 1) {
      store.apply(index, [{ key: Buffer.from('k'), value: Buffer.from(String(index)) }]);
      if (index === 2 || index === 4) store.allowDisk(index);
    }
    expect(store.crash().restoredIndex).toBe(0);
    const another = new MemoryStateStore({ schedule: world.schedule });
    another.apply(1, [{ key: Buffer.from('k'), value: Buffer.from('1') }]);
    another.allowDisk(1);
    world.run();
    another.apply(2, [{ key: Buffer.from('k'), value: Buffer.from('2') }]);
    const after = another.crash();
    expect(after.restoredIndex).toBe(1);
    expect(Buffer.from(after.get(Buffer.from('k')) ?? []).toString()).toBe('1');
  });
});
