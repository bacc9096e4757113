import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { FAILPOINTS, type Failpoints } from '../../src/base/failpoints.js';
import { seededRandom } from '../../src/base/random.js';
import { FailpointSet } from '../../src/storage/failpoint-set.js';
import type { File } from '../../src/storage/files.js';
import {
  type DiskStep,
  type FaultyStep,
  KEEP_UNSYNCED,
  LOSE_UNSYNCED,
  MemoryFiles,
} from '../../src/storage/memory-files.js';
import { SEGMENT_HEADER_BYTES } from '../../src/storage/wal/format.js';
import { Wal } from '../../src/storage/wal/wal.js';
import { entries, ModelLog, plain, restoredFacts, write } from './log-helpers.js';
import { ManualWorld } from './manual-world.js';
import { openWal, runScript, scriptedWrites, WAL_LIMITS } from './wal-script.js';

interface Opened {
  readonly world: ManualWorld;
  readonly files: MemoryFiles;
  readonly wal: Wal;
  readonly steps: DiskStep[];
}

function openedWal(options: { failpoints?: Failpoints; capacityBytes?: number } = {}): Opened {
  const world = new ManualWorld();
  const { capacityBytes, failpoints } = options;
  const files = new MemoryFiles({
    schedule: world.schedule,
    ...(capacityBytes === undefined ? {} : { capacityBytes }),
  });
  const steps: DiskStep[] = [];
  const wal = Wal.open({
    folder: '/data/wal',
    files,
    limits: WAL_LIMITS,
    clock: world,
    salt: 99,
    ...(failpoints === undefined ? {} : { failpoints }),
  });
  world.run();
  files.onStep = (step) => steps.push(step);
  return { world, files, wal, steps };
}

type Outcome = string | null | undefined;

/** Appends entries one write each; the outcome of a write stays undefined until it is called back. */
function appendAll(wal: Wal, from: number, count: number, bytes = 10): Outcome[] {
  const outcomes: Outcome[] = Array.from({ length: count }, () => undefined);
  for (let position = 0; position < count; position += 1) {
    wal.append(write(entries(from + position, 1, 1, 'x'.repeat(bytes))), (error) => {
      expect(outcomes[position], 'called back once').toBeUndefined();
      outcomes[position] = error === null ? null : (error as BalsaError).code;
    });
  }
  return outcomes;
}

describe('a disk that fails', () => {
  test('a failed sync is final, for all that waits, and is not retried', () => {
    const { wal, files, world, steps } = openedWal();
    const good = appendAll(wal, 1, 1);
    world.run();
    expect(good).toEqual([null]);
    steps.length = 0;
    files.failNext('sync', 'EIO');
    const outcomes = appendAll(wal, 2, 3);
    world.run();
    expect(outcomes).toEqual(['DISK_FAILED', 'DISK_FAILED', 'DISK_FAILED']);
    const later = appendAll(wal, 5, 1);
    world.run();
    world.pass(100);
    expect(later).toEqual(['DISK_FAILED']);
    expect(steps.filter(({ step }) => step === 'sync')).toEqual([]);
    expect(steps.filter(({ step }) => step === 'write')).toHaveLength(1);
  });

  test('what a failed sync left in the cache is on the disk once it was read again', () => {
    const { wal, files, world } = openedWal();
    expect(appendAllSettled(wal, world, 1)).toEqual([null]);
    files.failNext('sync', 'EIO');
    const vote = { currentTerm: 7, votedFor: 'n2.aaaaaaaa', commitIndex: 1 };
    let failed: unknown = null;
    wal.append(write(entries(2, 1, 1), vote), (error) => {
      failed = error;
    });
    world.run();
    expect(failed).toMatchObject({ code: 'DISK_FAILED' });
    // The process is started again, and counts on what it reads. Then the power fails.
    const restarted = files.kill(world.schedule);
    const { restored } = openWal(restarted, world);
    expect([restored.lastIndex, restored.hardState]).toEqual([2, vote]);
    const after = openWal(restarted.crash(LOSE_UNSYNCED), world).restored;
    expect([after.lastIndex, after.hardState]).toEqual([2, vote]);
  });

  test('the error of a failed sync names the file', () => {
    const { wal, files, world } = openedWal();
    files.failNext('sync', 'EIO');
    const errors: unknown[] = [];
    wal.append(write(entries(1, 1, 1)), (error) => errors.push(error));
    world.run();
    expect(errors).toMatchObject([
      { code: 'DISK_FAILED', details: { file: '/data/wal/0000000000000001.wal', cause: 'EIO' } },
    ]);
  });

  test('a failed write is final, and is not retried', () => {
    const { wal, files, world, steps } = openedWal();
    files.failNext('write', 'EIO');
    const outcomes = appendAll(wal, 1, 2);
    world.run();
    expect(outcomes).toEqual(['DISK_FAILED', 'DISK_FAILED']);
    expect(steps).toEqual([]);
  });

  test('a full disk lets the log use the room it has, then is final', () => {
    // Room for two segments: the one in use, and the one that is ready.
    const { wal, world, files } = openedWal({ capacityBytes: 2 * WAL_LIMITS.walSegmentBytes });
    const outcomes: Outcome[] = [];
    for (let index = 1; index <= 20; index += 1) {
      const [outcome] = appendAllSettled(wal, world, index);
      outcomes.push(outcome);
    }
    const good = outcomes.filter((outcome) => outcome === null).length;
    expect(good).toBeGreaterThanOrEqual(6);
    expect(outcomes).toEqual([
      ...Array.from({ length: good }, () => null),
      ...Array.from({ length: 20 - good }, () => 'DISK_FULL'),
    ]);
    expect(files.list('/data/wal').filter((name) => name.endsWith('.new'))).toEqual([]);
    files.capacityBytes = Number.POSITIVE_INFINITY;
    const again = openWal(files.crash(KEEP_UNSYNCED), new ManualWorld());
    expect(again.restored.lastIndex).toBeGreaterThanOrEqual(good);
  });

  test('a segment that was made and cannot be opened is closed once, and missed when it is needed', () => {
    const world = new ManualWorld();
    const files = new MemoryFiles({ schedule: world.schedule });
    const closes = new Map<File, number>();
    const open = files.open.bind(files);
    files.open = (path) => {
      if (path.endsWith('2.wal')) throw Object.assign(new Error('too many'), { code: 'EMFILE' });
      const file = open(path);
      file.close = () => closes.set(file, (closes.get(file) ?? 0) + 1);
      return file;
    };
    const wal = openWal(files, world);
    world.run();
    expect([...closes.values()]).toEqual([1, 1]);
    const outcomes = Array.from({ length: 20 }, (_, n) => appendAllSettled(wal, world, n + 1)[0]);
    expect(outcomes[0]).toBeNull();
    expect(outcomes.at(-1)).toBe('DISK_FAILED');
  });

  test('a disk that is full when a log is made is said so', () => {
    expect(() => openedWal({ capacityBytes: 1000 })).toThrow(
      expect.objectContaining({ code: 'DISK_FULL' }),
    );
  });

  test('a folder that cannot be used is said so', () => {
    const files = new MemoryFiles({ schedule: () => {} });
    files.failNext('open', 'EACCES');
    expect(() => openWal(files, new ManualWorld())).toThrow(
      expect.objectContaining({ code: 'DATA_FOLDER_UNUSABLE' }),
    );
  });

  test('a stalled disk calls nobody back, and all when it goes on', () => {
    const { wal, world, files } = openedWal();
    files.stall();
    const outcomes = appendAll(wal, 1, 3);
    world.run();
    world.pass(10_000);
    expect(outcomes).toEqual([undefined, undefined, undefined]);
    files.release();
    world.run();
    expect(outcomes).toEqual([undefined, undefined, undefined].map(() => null));
  });

  test('after a failure the files can be closed', async () => {
    const { wal, world, files } = openedWal();
    files.failNext('sync', 'EIO');
    appendAll(wal, 1, 2);
    world.run();
    const closed = wal.close();
    world.run();
    await closed;
  });

  test('a failure while the log closes ends the closing too', async () => {
    const { wal, world, files } = openedWal();
    files.failNext('sync', 'EIO');
    const outcomes = appendAll(wal, 1, 2);
    const closed = wal.close();
    world.run();
    await closed;
    expect(outcomes).toEqual(['DISK_FAILED', 'DISK_FAILED']);
  });
});

function appendAllSettled(wal: Wal, world: ManualWorld, index: number): Outcome[] {
  const outcomes = appendAll(wal, index, 1, 1000);
  world.run();
  return outcomes;
}

describe('an opening that fails', () => {
  /** Counts how many files are open. */
  function counted(files: MemoryFiles, open: { count: number }): void {
    const openFile = files.open.bind(files);
    files.open = (path) => {
      const file = openFile(path);
      open.count += 1;
      file.close = () => {
        open.count -= 1;
      };
      return file;
    };
  }

  /** Fails each step of this kind in turn, until the log is opened without coming to it. */
  function failEach(step: FaultyStep, disk: () => MemoryFiles): number {
    for (let skip = 0; ; skip += 1) {
      const files = disk();
      const open = { count: 0 };
      counted(files, open);
      files.failNext(step, 'EIO', skip);
      try {
        openWal(files, new ManualWorld());
        return skip;
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/DISK_FAILED|UNUSABLE/) });
        expect(open.count, `${step} ${skip} fails`).toBe(0);
      }
    }
  }

  test('a new log leaves no file open', () => {
    const disk = (): MemoryFiles => new MemoryFiles({ schedule: () => {} });
    const failed = (['open', 'write', 'sync', 'sync-folder', 'rename'] as const).map((step) =>
      failEach(step, disk),
    );
    expect(failed).toEqual([1, 2, 1, 1, 1]);
  });

  test('a log with entries leaves no file open', () => {
    const disk = (): MemoryFiles => {
      const { files, wal, world } = openedWal();
      appendAllSettled(wal, world, 1);
      appendAll(wal, 2, 9, 1000);
      world.run();
      return files.crash(KEEP_UNSYNCED, () => {});
    };
    const failed = (['read', 'sync', 'sync-folder'] as const).map((step) => failEach(step, disk));
    expect(failed.every((count) => count > 0)).toBe(true);
  });
});

describe('group commit', () => {
  test('all that is appended while the disk works is one write and one sync', () => {
    const { wal, world, steps } = openedWal();
    const outcomes = appendAll(wal, 1, 50);
    world.run();
    expect(outcomes.every((outcome) => outcome === null)).toBe(true);
    expect(steps.map(({ step }) => step)).toEqual(['write', 'sync', 'write', 'sync']);
    expect(wal.stats()).toMatchObject({ syncs: 2, durableIndex: 50, segments: 1 });
  });

  test('nobody is called back before the sync', () => {
    const { wal, world, files } = openedWal();
    let isSynced = false;
    files.onStep = ({ step }) => {
      if (step === 'sync') isSynced = true;
    };
    const seen: boolean[] = [];
    wal.append(write(entries(1, 1, 1)), () => seen.push(isSynced));
    while (world.runOne()) expect(seen.every(Boolean)).toBe(true);
    expect(seen).toEqual([true]);
  });

  test('the next frame is written only after the one before is synced', () => {
    const { wal, world, steps } = openedWal();
    wal.append(write(entries(1, 1, 1)), () => {});
    wal.append(write(entries(2, 1, 1)), () => {});
    while (world.runOne()) {
      const kinds = steps.map(({ step }) => step).join(' ');
      expect(kinds).not.toContain('write write');
    }
    expect(steps).toHaveLength(4);
  });

  test('the next segment is made ahead of need', () => {
    const { wal, world, files } = openedWal();
    expect(files.list('/data/wal')).toEqual(['0000000000000001.wal', '0000000000000002.wal']);
    appendAll(wal, 1, 4, 1000);
    world.run();
    expect(files.list('/data/wal')).toHaveLength(3);
    expect(files.readWhole('/data/wal/0000000000000003.wal')).toHaveLength(
      WAL_LIMITS.walSegmentBytes,
    );
  });

  test('an idle log is sealed once, and not synced for it', () => {
    const { wal, world, steps } = openedWal();
    appendAll(wal, 1, 1);
    world.run();
    steps.length = 0;
    world.pass(1000);
    world.pass(1000);
    expect(steps.map(({ step }) => step)).toEqual(['write']);
  });

  test('a segment that was made ahead is used after a restart', async () => {
    const { wal, world, files } = openedWal();
    appendAll(wal, 1, 1);
    const closed = wal.close();
    world.run();
    await closed;
    const again = openWal(files, world);
    world.run();
    appendAll(again, 2, 4, 1000);
    world.run();
    expect(again.stats().segments).toBe(2);
    expect(files.list('/data/wal')).toHaveLength(3);
  });
});

describe('compaction', () => {
  /** Entries of 1000 bytes, three or four of which fill a segment. */
  function compactedWal(): Opened & { model: ModelLog } {
    const opened = openedWal();
    const model = new ModelLog();
    const writes = [
      write(entries(1, 10, 1, 'a'.repeat(1000)), {
        currentTerm: 1,
        votedFor: 'n1.5f0c',
        commitIndex: 0,
      }),
      ...Array.from({ length: 10 }, (_, i) => write(entries(11 + i, 1, 2, 'b'.repeat(1000)))),
    ];
    for (const what of writes) {
      model.apply(what);
      opened.wal.append(what, () => {});
      opened.world.run();
    }
    return { ...opened, model };
  }

  test('segments before the start of the log are deleted, and the rest is whole', () => {
    const { wal, world, files, model } = compactedWal();
    const before = wal.stats();
    let isDone = false;
    wal.compactTo({ index: 14, term: 2 }, () => {
      isDone = true;
    });
    world.run();
    expect(isDone).toBe(true);
    expect(wal.stats().bytes).toBeLessThan(before.bytes - 9000);
    expect(files.exists('/data/wal/0000000000000001.wal')).toBe(false);
    const again = openWal(files.kill(), new ManualWorld());
    expect(again.restored).toMatchObject({
      hardState: { currentTerm: 1, votedFor: 'n1.5f0c' },
      logStart: { index: 14, term: 2 },
      terms: [{ index: 15, term: 2 }],
      lastIndex: 20,
    });
    expect(plain(again.restored.tail)).toEqual(plain(model.log.slice(14)));
  });

  test('a start in the middle of a run of terms keeps the rest of the run', () => {
    const { wal, world, files } = compactedWal();
    wal.compactTo({ index: 4, term: 1 }, () => {});
    world.run();
    const again = openWal(files.kill(), new ManualWorld());
    expect(again.restored.terms).toEqual([
      { index: 5, term: 1 },
      { index: 11, term: 2 },
    ]);
  });

  test('a log can be cut at its end, and goes on', () => {
    const { wal, world, files } = compactedWal();
    wal.compactTo({ index: 20, term: 2 }, () => {});
    world.run();
    wal.append(write(entries(21, 1, 3)), () => {});
    world.run();
    const again = openWal(files.kill(), new ManualWorld());
    expect(again.restored).toMatchObject({
      logStart: { index: 20, term: 2 },
      terms: [{ index: 21, term: 3 }],
      lastIndex: 21,
    });
  });

  test('a crash at any step of it leaves a whole log', () => {
    const total = countSteps();
    for (let step = 1; step <= total; step += 1) {
      for (let seed = 0; seed < 12; seed += 1) {
        const random = seededRandom(seed);
        const { wal, world, files, model } = compactedWal();
        const first = files.steps;
        files.onStep = ({ number }) => {
          if (number === first + step) files.halt();
        };
        wal.compactTo({ index: 14, term: 2 }, () => {});
        world.run();
        const choice = { data: () => 'lost' as const, keepsName: () => random.int(2) === 0 };
        const again = openWal(files.crash(choice), new ManualWorld());
        const { logStart, tail, lastIndex } = again.restored;
        expect([0, 14]).toContain(logStart.index);
        expect(lastIndex).toBe(20);
        expect(plain(tail)).toEqual(plain(model.log.slice(logStart.index)));
      }
    }
  });

  function countSteps(): number {
    const { wal, world, files } = compactedWal();
    const first = files.steps;
    wal.compactTo({ index: 14, term: 2 }, () => {});
    world.run();
    return files.steps - first;
  }

  test('a log whose first segments are missing without compaction is corrupt', () => {
    const { files } = compactedWal();
    const disk = files.crash(KEEP_UNSYNCED);
    disk.remove('/data/wal/0000000000000001.wal');
    expect(() => openWal(disk, new ManualWorld())).toThrow(
      expect.objectContaining({ code: 'WAL_CORRUPT' }),
    );
  });
});

describe('failpoints', () => {
  test('each step of the log passes its failpoint', () => {
    const hits = new Set<string>();
    const { wal, world } = openedWal({ failpoints: { hit: (name) => void hits.add(name) } });
    runScript(wal, world, scriptedWrites(), () => {});
    expect([...hits].sort()).toEqual(FAILPOINTS.filter((name) => name.startsWith('wal.')).sort());
  });

  test('a kill at any failpoint leaves what was acknowledged', () => {
    for (const name of FAILPOINTS.filter((candidate) => candidate.startsWith('wal.'))) {
      for (let hit = 1; hit <= 12; hit += 1) killAt(name, hit);
    }
  });

  function killAt(name: string, hit: number): void {
    const world = new ManualWorld();
    const files = new MemoryFiles({ schedule: world.schedule });
    const failpoints = FailpointSet.parse(`${name}=exit@${hit}`, () => files.halt());
    let acknowledged = 0;
    const script = scriptedWrites();
    try {
      const options = { folder: '/data/wal', files, limits: WAL_LIMITS, clock: world, salt: 99 };
      const wal = Wal.open({ ...options, failpoints });
      runScript(wal, world, script, () => {
        acknowledged += 1;
      });
    } catch (error) {
      expect(error).toBeInstanceOf(BalsaError);
    }
    const writes = script.flat();
    const facts = restoredFacts(openWal(files.kill(), new ManualWorld()));
    const prefixes = Array.from({ length: writes.length - acknowledged + 1 }, (_, more) =>
      ModelLog.after(writes.slice(0, acknowledged + more)).facts(),
    );
    expect(prefixes, `${name}@${hit}`).toContainEqual(facts);
  }

  test('an error at a failpoint fails as the disk would', () => {
    const failpoints = FailpointSet.parse('wal.before-sync=error@2');
    const { wal, world } = openedWal({ failpoints });
    const first = appendAll(wal, 1, 1);
    world.run();
    const second = appendAll(wal, 2, 2);
    world.run();
    expect([...first, ...second]).toEqual([null, 'DISK_FAILED', 'DISK_FAILED']);
  });

  test('a specification that is wrong says what is', () => {
    expect(() => FailpointSet.parse('wal.before-sink=exit')).toThrow(
      /no failpoint 'wal.before-sink'/,
    );
    expect(() => FailpointSet.parse('wal.before-sync')).toThrow(/<name>=<exit\|error>/);
    expect(() => FailpointSet.parse('wal.before-sync=exit@0')).toThrow(/not of the form/);
  });
});

test('a frame never lies in the block of the segment header', () => {
  expect(SEGMENT_HEADER_BYTES % 4096).toBe(0);
});
