import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { KEEP_UNSYNCED, MemoryFiles } from '../../src/storage/memory-files.js';
import {
  encodeSegmentHeader,
  FRAME_MAGIC,
  SEGMENT_HEADER_BYTES,
} from '../../src/storage/wal/format.js';
import { Wal } from '../../src/storage/wal/wal.js';
import { entries, ModelLog, read, restoredFacts, write } from './log-helpers.js';
import { ManualWorld } from './manual-world.js';
import { openWal, runScript, scriptedWrites, WAL_LIMITS } from './wal-script.js';

/** The disk after the script; sealed, unless the process was killed right behind the last sync. */
function writtenDisk(isSealed: boolean): MemoryFiles {
  const world = new ManualWorld();
  const files = new MemoryFiles({ schedule: world.schedule });
  const wal = openWal(files, world);
  const script = scriptedWrites();
  runScript(wal, world, script.slice(0, -1), () => {});
  for (const what of script.at(-1) ?? []) wal.append(what, () => {});
  world.run();
  if (isSealed) world.pass(10);
  return files.crash(KEEP_UNSYNCED);
}

function copyOf(disk: MemoryFiles): MemoryFiles {
  return disk.copy(new ManualWorld().schedule);
}

function openError(files: MemoryFiles): BalsaError {
  try {
    openWal(files, new ManualWorld());
  } catch (error) {
    if (error instanceof BalsaError) return error;
    throw error;
  }
  throw new Error('the log opened');
}

/** Paths of the segments with frames, and where their frames begin. */
function frames(disk: MemoryFiles): { path: string; offsets: number[]; end: number }[] {
  return disk
    .list('/data/wal')
    .map((name) => `/data/wal/${name}`)
    .map((path) => {
      const bytes = disk.readWhole(path);
      const offsets: number[] = [];
      let at = bytes.indexOf(FRAME_MAGIC);
      for (; at >= 0; at = bytes.indexOf(FRAME_MAGIC, at + 1)) offsets.push(at);
      let end = bytes.length;
      while (end > SEGMENT_HEADER_BYTES && bytes[end - 1] === 0) end -= 1;
      return { path, offsets, end };
    })
    .filter(({ offsets }) => offsets.length > 0);
}

const sealed = writtenDisk(true);
const whole = ModelLog.after(scriptedWrites().flat()).facts();

describe('damage in the log', () => {
  test('an undamaged log opens', () => {
    expect(restoredFacts(openWal(copyOf(sealed), new ManualWorld()))).toEqual(whole);
  });

  test('a flipped bit anywhere is refused as corruption, or changes nothing', () => {
    let refused = 0;
    let harmless = 0;
    for (const { path, end } of frames(sealed)) {
      const headerBytes = 32;
      const offsets = [
        ...Array.from({ length: headerBytes }, (_, offset) => offset),
        ...Array.from({ length: end - SEGMENT_HEADER_BYTES }, (_, i) => SEGMENT_HEADER_BYTES + i),
      ].filter((offset) => offset < headerBytes || offset % 7 === 0);
      for (const offset of offsets) {
        const disk = copyOf(sealed);
        disk.flipBit(path, offset, offset % 8);
        try {
          expect(restoredFacts(openWal(disk, new ManualWorld()))).toEqual(whole);
          harmless += 1;
        } catch (error) {
          expect(error, `${path} ${offset}`).toMatchObject({ code: 'WAL_CORRUPT' });
          refused += 1;
        }
      }
    }
    // What does no harm: the zeros that fill up a frame, and the seals.
    expect(harmless).toBeLessThan(refused / 50);
  });

  test('the error names the file and the offset, and what to do', () => {
    const [, second] = frames(sealed);
    const offset = second?.offsets[1] ?? 0;
    const path = second?.path ?? '';
    const disk = copyOf(sealed);
    disk.flipBit(path, offset + 70);
    const error = openError(disk);
    expect(error.code).toBe('WAL_CORRUPT');
    expect(error.details).toEqual({ file: path, offset });
    expect(error.message).toContain(`offset ${offset} of ${path}`);
    expect(error.message).toContain('join again');
  });

  test('a damaged segment header is corruption', () => {
    const disk = copyOf(sealed);
    disk.flipBit('/data/wal/0000000000000002.wal', 9);
    expect(openError(disk)).toMatchObject({
      code: 'WAL_CORRUPT',
      details: { file: '/data/wal/0000000000000002.wal', offset: 0 },
    });
  });

  test('damage in the last frame is corruption when the end is sealed', () => {
    const last = frames(sealed).at(-1);
    const [lastFrame, seal] = last?.offsets.slice(-2) ?? [];
    expect(seal).toBeGreaterThan(lastFrame ?? 0);
    const disk = copyOf(sealed);
    disk.flipBit(last?.path ?? '', (lastFrame ?? 0) + 100);
    expect(openError(disk)).toMatchObject({
      code: 'WAL_CORRUPT',
      details: { file: last?.path, offset: lastFrame },
    });
  });

  test('damage in the last frame cannot be told from a torn write when it is not sealed', () => {
    const world = new ManualWorld();
    const disk = new MemoryFiles({ schedule: world.schedule });
    const wal = openWal(disk, world);
    const writes = [write(entries(1, 2, 1)), write(entries(3, 2, 1))];
    for (const what of writes) wal.append(what, () => {});
    world.run();
    const killed = disk.kill();
    const [first] = frames(killed);
    const lastFrame = first?.offsets.at(-1) ?? 0;
    killed.flipBit(first?.path ?? '', lastFrame + 100);
    const again = openWal(killed, new ManualWorld());
    expect(again.repairs).toMatchObject([{ file: first?.path, offset: lastFrame }]);
    expect(restoredFacts(again)).toEqual(ModelLog.after(writes.slice(0, 1)).facts());
  });

  test('damage in the first frame of a segment is corruption, sealed or not', () => {
    const disk = writtenDisk(false);
    const last = frames(disk).at(-1);
    expect(last?.offsets).toHaveLength(1);
    disk.flipBit(last?.path ?? '', SEGMENT_HEADER_BYTES + 200);
    expect(openError(disk).code).toBe('WAL_CORRUPT');
  });

  test('a block of zeros where frames were is corruption', () => {
    const [first] = frames(sealed);
    const offset = first?.offsets[1] ?? 0;
    const disk = copyOf(sealed);
    disk.open(first?.path ?? '').writeAt(offset, [Buffer.alloc(64)]);
    expect(openError(disk)).toMatchObject({ code: 'WAL_CORRUPT', details: { offset } });
  });

  test('a missing segment is corruption, wherever it was', () => {
    const paths = frames(sealed).map(({ path }) => path);
    for (const path of paths) {
      const disk = copyOf(sealed);
      disk.remove(path);
      expect(openError(disk).code, path).toBe('WAL_CORRUPT');
    }
    const disk = copyOf(sealed);
    for (const name of disk.list('/data/wal').slice(paths.length - 1)) {
      disk.remove(`/data/wal/${name}`);
    }
    expect(openError(disk).code, 'the last ones').toBe('WAL_CORRUPT');
  });

  test('a segment of another log is corruption', () => {
    const disk = copyOf(sealed);
    const world = new ManualWorld();
    const wal = openWal(disk, world);
    void wal.close();
    world.run();
    const name = '/data/wal/0000000000000002.wal';
    const bytes = disk.readWhole(name);
    bytes.writeUInt32LE(bytes.readUInt32LE(12) + 1, 12);
    disk.open(name).writeAt(0, [bytes]);
    expect(openError(disk).code).toBe('WAL_CORRUPT');
  });

  test('a file that is shorter than it was made is corruption, also where only zeros were cut off', () => {
    for (const name of sealed.list('/data/wal')) {
      if (!name.endsWith('.wal')) continue;
      const path = `/data/wal/${name}`;
      // One with a frame larger than itself has grown since.
      const size = WAL_LIMITS.walSegmentBytes;
      for (const left of [size - 1, Math.floor(size / 2), SEGMENT_HEADER_BYTES, 100, 0]) {
        const disk = copyOf(sealed);
        disk.open(path).truncate(left);
        expect(openError(disk), `${path} ${left}`).toMatchObject({
          code: 'WAL_CORRUPT',
          details: { file: path },
        });
      }
    }
  });

  test('a log of a newer format is refused with its version', () => {
    const disk = copyOf(sealed);
    const path = '/data/wal/0000000000000001.wal';
    disk.open(path).writeAt(0, [headerOfVersion(2)]);
    expect(openError(disk)).toMatchObject({ code: 'VERSION_UNSUPPORTED' });
  });

  test('damage that comes while the log is open is found when the entry is read', async () => {
    const world = new ManualWorld();
    const disk = sealed.copy(world.schedule);
    const wal = openWal(disk, world);
    const [first] = frames(disk);
    const at = disk.readWhole(first?.path ?? '').indexOf('entry 2 of term 1');
    disk.flipBit(first?.path ?? '', at);
    const answer = read(wal, 1, 3);
    const failed = expect(answer).rejects.toMatchObject({
      ...{ code: 'WAL_CORRUPT', details: { file: first?.path, offset: at } },
      message: expect.stringContaining('This replica stops, and does not start again, because'),
    });
    world.run();
    await failed;
  });
});

describe('a torn tail', () => {
  test('is cut off, overwritten and reported; the log goes on', () => {
    const world = new ManualWorld();
    const disk = sealed.copy(world.schedule);
    const last = frames(disk).at(-1);
    const path = last?.path ?? '';
    const end = last?.offsets.at(-1) ?? 0;
    disk.open(path).writeAt(end, [FRAME_MAGIC, Buffer.alloc(900, 'torn')]);
    const wal = openWal(disk, world);
    expect(wal.repairs).toEqual([{ file: path, offset: end, bytes: 904 }]);
    expect(restoredFacts(wal)).toEqual(whole);
    expect(
      disk
        .readWhole(path)
        .subarray(end)
        .every((byte) => byte === 0),
    ).toBe(true);
    wal.append(write(entries(wal.restored.lastIndex + 1, 1, 9)), () => {});
    world.run();
    expect(openWal(disk.kill(), new ManualWorld()).restored.lastIndex).toBe(
      wal.restored.lastIndex + 1,
    );
  });

  test('with the bytes of another log in it stays a torn tail', () => {
    // A client stores the log file of another cluster as a value, and the write is torn.
    const world = new ManualWorld();
    const other = openWalWithSalt(world, 1234);
    const disk = copyOf(sealed);
    const last = frames(disk).at(-1);
    const end = last?.offsets.at(-1) ?? 0;
    const foreign = other.readWhole('/data/wal/0000000000000001.wal').subarray(4096, 7400);
    disk.open(last?.path ?? '').writeAt(end, [Buffer.alloc(64, 1), foreign.subarray(0, 3200)]);
    const wal = openWal(disk, new ManualWorld());
    expect(wal.repairs).toHaveLength(1);
    expect(restoredFacts(wal)).toEqual(whole);
  });
});

function openWalWithSalt(world: ManualWorld, salt: number): MemoryFiles {
  const files = new MemoryFiles({ schedule: world.schedule });
  const wal = Wal.open({ folder: '/data/wal', files, limits: WAL_LIMITS, clock: world, salt });
  // More frames than the log under test has.
  for (let index = 1; index <= 30; index += 1) {
    wal.append(write(entries(index, 1, 1)), () => {});
    world.run();
  }
  return files;
}

function headerOfVersion(version: number): Buffer {
  return encodeSegmentHeader({ version, number: 1, salt: 99, preparedBytes: 0 });
}
