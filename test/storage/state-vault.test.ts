import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Failpoints } from '../../src/base/failpoints.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { LevelStateVault } from '../../src/storage/level-state-vault.js';
import { KEEP_UNSYNCED, LOSE_UNSYNCED, MemoryFiles } from '../../src/storage/memory-files.js';
import { MemoryStateVault } from '../../src/storage/memory-state-vault.js';
import { NodeFiles } from '../../src/storage/node-files.js';
import { readPointer, type StatePointer, writePointer } from '../../src/storage/state-pointer.js';
import { ManualWorld } from './manual-world.js';
import { applyAll, contents, fill, headerOf, pairsOf, put, texts } from './snapshot-helpers.js';
import { describeStateVault } from './state-vault-conformance.js';

const limits = { overlayBytesMax: 512 };
const schedule = (complete: () => void): void => void setImmediate(complete);

function openLevel(folder: string, failpoints?: Failpoints): Promise<LevelStateVault> {
  const options = { folder, files: new NodeFiles(), limits };
  return LevelStateVault.open(failpoints === undefined ? options : { ...options, failpoints });
}

describeStateVault('LevelDB in folders', () => {
  const parent = mkdtempSync(join(tmpdir(), 'balsa-vault-'));
  let folder = join(parent, '1');
  mkdirSync(folder);
  let count = 1;
  return {
    open: (failpoints) => openLevel(folder, failpoints),
    // The next process works on a copy of the files as they are now: LevelDB's lock is of this process.
    kill: async (vault) => {
      count += 1;
      const next = join(parent, String(count));
      cpSync(folder, next, { recursive: true });
      await vault.close().catch(() => {});
      folder = next;
    },
    dispose: async () => rmSync(parent, { recursive: true }),
  };
});

describeStateVault('memory', () => {
  let vault = new MemoryStateVault({ schedule });
  return {
    open: async (failpoints) => {
      const options = failpoints === undefined ? { schedule } : { schedule, failpoints };
      vault = vault.crash(options);
      return vault;
    },
    kill: async () => {},
    dispose: async () => {},
  };
});

describe('the vault over folders', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'balsa-vault-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test('what a crash left is deleted at start, and nothing else', async () => {
    await (await openLevel(folder)).close();
    for (const name of ['state-2', 'state-2.incoming', 'state-7', 'statement', 'wal']) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'file'), 'x');
    }
    await (await openLevel(folder)).close();
    expect(readdirSync(folder).sort()).toEqual(['state-1', 'state.json', 'statement', 'wal']);
  });

  test('the state that was replaced is deleted', async () => {
    const vault = await openLevel(folder);
    const incoming = await vault.beginImport(headerOf(40));
    await fill(incoming, pairsOf('n', 3));
    await vault.switchTo(incoming);
    await vault.close();
    expect(readdirSync(folder).sort()).toEqual(['state-2', 'state.json']);
  });

  test('a snapshot under way that cannot be deleted does not keep the state from being closed', async () => {
    const files = new NodeFiles();
    const vault = await LevelStateVault.open({ folder, files, limits });
    await applyAll(vault.current, 1, [put('a', '1')]);
    await vault.beginImport(headerOf(40));
    files.removeFolderLater = (path, done) => {
      const error = Object.assign(new Error('cannot be removed'), { code: 'EIO', path });
      setImmediate(done, error);
    };
    await expect(vault.close()).rejects.toThrow('cannot be removed');
    expect(() => vault.current.get(Buffer.from('a'))).toThrow('the state is closed');
  });

  test('a lost or damaged pointer is said so, and no state is taken for the current one', async () => {
    await (await openLevel(folder)).close();
    const path = join(folder, 'state.json');
    rmSync(path);
    await expect(openLevel(folder)).rejects.toMatchObject({
      ...{ code: 'STATE_CORRUPT', details: { file: path } },
      message: expect.stringMatching(/state\.json is missing, .* Put the file back/),
    });
    writeFileSync(path, '{"facts":"{}","checksum":1}');
    await expect(openLevel(folder)).rejects.toMatchObject({
      ...{ code: 'STATE_CORRUPT', details: { file: path } },
      message: expect.stringMatching(/state\.json is not what was written, .* Put the file back/),
    });
    expect(existsSync(join(folder, 'state-1'))).toBe(true);
  });

  test('an installed state whose folder is missing is damage; a first one is made again from the log', async () => {
    const vault = await openLevel(folder);
    await applyAll(vault.current, 1, [put('a', '1')]);
    await vault.close();
    rmSync(join(folder, 'state-1'), { recursive: true });
    const empty = await openLevel(folder);
    expect(empty.current.restoredIndex).toBe(0);
    const incoming = await empty.beginImport(headerOf(40));
    await fill(incoming, pairsOf('n', 3));
    await empty.switchTo(incoming);
    await empty.close();
    rmSync(join(folder, 'state-2'), { recursive: true });
    await expect(openLevel(folder)).rejects.toMatchObject({
      code: 'STATE_CORRUPT',
      message: expect.stringMatching(/state-2 is missing, .* put it back/),
    });
  });

  test('an installed state that was emptied is damage', async () => {
    const vault = await openLevel(folder);
    const incoming = await vault.beginImport(headerOf(40));
    await fill(incoming, pairsOf('n', 3));
    await vault.switchTo(incoming);
    await vault.close();
    rmSync(join(folder, 'state-2'), { recursive: true });
    mkdirSync(join(folder, 'state-2'));
    await expect(openLevel(folder)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
  });

  test('a damaged state is moved aside, never deleted, and an empty one takes its place', async () => {
    const vault = await openLevel(folder);
    await applyAll(vault.current, 1, [put('a', '1')]);
    await vault.close();
    writeFileSync(join(folder, 'state-1', 'CURRENT'), 'rubbish');
    await expect(openLevel(folder)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
    const target = join(folder, 'damaged-1');
    const moved = LevelStateVault.moveAside(new NodeFiles(), folder, target);
    expect(moved).toEqual(['state-1', 'state.json']);
    expect(existsSync(join(target, 'state-1', 'CURRENT'))).toBe(true);
    const again = await openLevel(folder);
    expect(again.current.restoredIndex).toBe(0);
    expect(await contents(again.current)).toEqual([]);
    await again.close();
    expect(readdirSync(folder).sort()).toEqual(['damaged-1', 'state-1', 'state.json']);
  });

  test('the disk fails in a switch: the error says so', async () => {
    const vault = await openLevel(folder, {
      hit(name) {
        if (name === 'snapshot.before-switch') {
          throw Object.assign(new Error('EIO'), { code: 'EIO' });
        }
      },
    });
    const incoming = await vault.beginImport(headerOf(40));
    await fill(incoming, pairsOf('n', 3));
    await expect(vault.switchTo(incoming)).rejects.toMatchObject({ code: 'DISK_FAILED' });
    await vault.close();
  });

  test('a state that was replaced and is long in closing holds up nobody but the end', async () => {
    const vault = await openLevel(folder);
    const old = vault.current;
    const abandon = old.abandon.bind(old);
    let letGo = (): void => {};
    // As LevelDB does, which ends what it compacts before.
    old.abandon = async () => {
      await new Promise<void>((resolve) => {
        letGo = resolve;
      });
      await abandon();
    };
    const incoming = await vault.beginImport(headerOf(40));
    await fill(incoming, pairsOf('n', 3));
    const current = await vault.switchTo(incoming);
    await applyAll(current, 41, [put('o', '1')]);
    const next = await vault.beginImport(headerOf(50));
    await fill(next, pairsOf('m', 2));
    await vault.switchTo(next);
    expect(existsSync(join(folder, 'state-1'))).toBe(true);
    let isClosed = false;
    const closed = vault.close().then(() => {
      isClosed = true;
    });
    await waitUntil('the current state to be closed', async () => {
      try {
        vault.current.get(Buffer.from('m'));
        return undefined;
      } catch {
        return true;
      }
    });
    expect(isClosed).toBe(false);
    letGo();
    await closed;
    expect(readdirSync(folder).sort()).toEqual(['state-3', 'state.json']);
  });

  test('a state that was replaced and cannot be closed is told of at the end, and deleted at the next start', async () => {
    const vault = await openLevel(folder);
    const old = vault.current;
    const abandon = old.abandon.bind(old);
    old.abandon = async () => {
      await abandon();
      throw new Error('Input/output error');
    };
    const incoming = await vault.beginImport(headerOf(40));
    await fill(incoming, pairsOf('n', 3));
    await vault.switchTo(incoming);
    await expect(vault.close()).rejects.toMatchObject({
      ...{ code: 'DISK_FAILED', details: { file: join(folder, 'state-1') } },
    });
    const again = await openLevel(folder);
    expect(await contents(again.current)).toEqual(texts(pairsOf('n', 3)));
    await again.close();
    expect(readdirSync(folder).sort()).toEqual(['state-2', 'state.json']);
  });

  test('an import of which LevelDB cannot make a table is not finished', async () => {
    const vault = await openLevel(folder);
    const incoming = await vault.beginImport(headerOf(40));
    const own = join(folder, 'state-2.incoming');
    const there = readdirSync(own);
    for (let number = 1; number < 30; number += 1) {
      const name = `${String(number).padStart(6, '0')}.ldb`;
      if (!there.includes(name)) mkdirSync(join(own, name));
    }
    await expect(fill(incoming, pairsOf('n', 3))).rejects.toMatchObject({ code: 'DISK_FAILED' });
    await incoming.abandon();
    const next = await vault.beginImport(headerOf(50));
    await fill(next, pairsOf('m', 2));
    expect(await contents(await vault.switchTo(next))).toEqual(texts(pairsOf('m', 2)));
    await vault.close();
  });

  test('a view whose state was replaced says so, and the replica does not fail of it', async () => {
    const vault = await openLevel(folder);
    const failures: Error[] = [];
    const old = vault.current;
    old.onFailure((error) => failures.push(error));
    await applyAll(old, 1, [put('a', '1'), put('b', '1')]);
    const view = await old.view();
    await view.next(null, 1);
    const incoming = await vault.beginImport(headerOf(40));
    await fill(incoming, pairsOf('n', 3));
    await vault.switchTo(incoming);
    const closed = expect.objectContaining({ code: 'SHUTTING_DOWN' });
    await expect(view.next(Buffer.from('b'), 10)).rejects.toEqual(closed);
    expect(() => view.get(Buffer.from('a'))).toThrow(closed);
    expect(() => old.get(Buffer.from('b'))).toThrow(closed);
    await view.close();
    expect(failures).toEqual([]);
    expect(await contents(vault.current)).toEqual(texts(pairsOf('n', 3)));
    await vault.close();
  });
});

describe('the pointer to the state', () => {
  const first: StatePointer = { folder: 'state-1', installed: null };
  const second: StatePointer = { folder: 'state-2', installed: { index: 40, term: 3 } };

  function diskWithFirst(): MemoryFiles {
    const files = new MemoryFiles({ schedule: new ManualWorld().schedule });
    files.makeFolder('/data');
    writePointer(files, '/data', first);
    return files;
  }

  test('after a crash at any step it is the old or the new one, and the new one once it was written', () => {
    const steps = (() => {
      const files = diskWithFirst();
      const before = files.steps;
      writePointer(files, '/data', second);
      return { before, after: files.steps };
    })();
    for (const choice of [LOSE_UNSYNCED, KEEP_UNSYNCED]) {
      for (let step = steps.before + 1; step <= steps.after; step += 1) {
        const files = diskWithFirst();
        files.onStep = ({ number }) => {
          if (number === step) files.halt();
        };
        let isWritten = true;
        try {
          writePointer(files, '/data', second);
        } catch {
          isWritten = false;
        }
        const found = readPointer(files.crash(choice), '/data');
        const allowed = isWritten ? [second] : [first, second];
        expect(allowed).toContainEqual({ folder: found?.folder, installed: found?.installed });
      }
    }
  });

  test('a flipped bit is seen wherever it is', () => {
    const size = diskWithFirst().readWhole('/data/state.json').length;
    for (let offset = 0; offset < size * 8; offset += 1) {
      const files = diskWithFirst();
      files.flipBit('/data/state.json', offset >> 3, offset % 8);
      try {
        expect(readPointer(files, '/data')).toMatchObject(first);
      } catch (error) {
        expect(error).toMatchObject({ code: 'STATE_CORRUPT' });
      }
    }
  });
});

describe('the vault in memory', () => {
  test('a crash in a switch leaves the old state or the new one, as the simulator chooses', async () => {
    for (const isSwitched of [false, true]) {
      const world = new ManualWorld();
      const vault = new MemoryStateVault({ schedule: world.schedule });
      const finished = (async () => {
        const incoming = await vault.beginImport(headerOf(40));
        await fill(incoming, pairsOf('n', 3));
        return incoming;
      })();
      const incoming = await settle(world, finished);
      void vault.switchTo(incoming);
      expect(vault.isSwitching).toBe(true);
      const after = vault.crash({ schedule: world.schedule }, { isSwitched });
      expect(after.current.restoredIndex).toBe(isSwitched ? 40 : 0);
      expect(after.installed).toEqual(isSwitched ? { index: 40, term: 3 } : null);
    }
  });

  test('a power failure leaves what was synced and as much of the rest as the simulator chooses', async () => {
    const world = new ManualWorld();
    const vault = new MemoryStateVault({ schedule: world.schedule });
    const store = vault.current;
    for (const index of [1, 2, 3, 4]) {
      store.apply(index, [put('k', String(index))]);
      store.allowDisk(index);
      world.run();
      if (index === 2) await settle(world, store.sync());
    }
    expect(store.syncedIndex()).toBe(2);
    const found = [0, 1, 2].map((keeps) => {
      const after = vault.crash({ schedule: world.schedule }, { keeps: () => keeps });
      return after.current.restoredIndex;
    });
    expect(found).toEqual([2, 3, 4]);
  });
});

/** Runs the world until the promise is settled. */
async function settle<T>(world: ManualWorld, promise: Promise<T>): Promise<T> {
  let isDone = false;
  const done = promise.finally(() => {
    isDone = true;
  });
  while (!isDone) {
    world.run();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return done;
}
