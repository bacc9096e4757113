import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import {
  DELTA_FORMAT_VERSION,
  DELTA_HEADER_BYTES,
  encodeDeltaFrame,
  encodeDeltaHeader,
} from '../../src/storage/delta-format.js';
import type { MemoryFiles } from '../../src/storage/memory-files.js';
import { FRAME_HEADER_BYTES } from '../../src/storage/wal/format.js';
import {
  appendNext,
  FOLDER,
  heldDelta,
  idsOf,
  newDisk,
  OTHER,
  openQueue,
  reopened,
} from './delta-queue-helpers.js';
import { ManualWorld } from './manual-world.js';

const FRAMES = 9;

/** Three segments, with some frames of two deltas in each. Copy it before it is changed. */
function filled() {
  const { queue, world, files } = newDisk({ random: seededRandom(3) });
  /** Where each frame begins, by file. */
  const starts = new Map<string, number[]>();
  for (let frame = 1; frame <= FRAMES; frame += 1) {
    appendNext(queue, queue.origin, 100);
    appendNext(queue, OTHER, 200);
    files.onStep = ({ step, path }) => {
      if (step !== 'write' || path.endsWith('.new')) return;
      const end = files.readWhole(path).length;
      starts.set(path, [...(starts.get(path) ?? []), end]);
    };
    world.run();
  }
  return { queue, files: files.copy(), starts, paths: [...starts.keys()] };
}

function errorOf(files: MemoryFiles): BalsaError | null {
  try {
    openQueue(files, new ManualWorld());
    return null;
  } catch (error) {
    expect(error).toBeInstanceOf(BalsaError);
    return error as BalsaError;
  }
}

function withLength(files: MemoryFiles, path: string, length: number): MemoryFiles {
  const disk = files.copy();
  const file = disk.open(path);
  file.truncate(length);
  return disk.copy();
}

function withBytes(files: MemoryFiles, path: string, at: number, bytes: Buffer): MemoryFiles {
  const disk = files.copy();
  disk.open(path).writeAt(at, [bytes]);
  return disk.copy();
}

const { queue: whole, files: disk, starts, paths } = filled();
const last = paths.at(-1) as string;
const ids = idsOf(whole);

describe('the end of the last file', () => {
  const ends = starts.get(last) as number[];
  const lastStart = ends.at(-2) as number;
  const size = ends.at(-1) as number;

  test('is cut off when it is torn, at whichever byte', () => {
    expect(paths).toHaveLength(3);
    expect(lastStart).toBeGreaterThan(DELTA_HEADER_BYTES);
    for (let length = lastStart; length < size; length += 1) {
      const torn = withLength(disk, last, length);
      const queue = reopened(torn);
      expect(idsOf(queue), `${length}`).toEqual(ids.slice(0, -2));
      expect(queue.repairs).toEqual(
        length === lastStart ? [] : [{ file: last, offset: lastStart, bytes: length - lastStart }],
      );
      const repaired = torn.crash({ data: () => 'lost', keepsName: () => false });
      expect(repaired.readWhole(last)).toHaveLength(lastStart);
      expect(reopened(repaired).repairs).toEqual([]);
    }
  });

  test('is cut off when any bit of the last frame is another', () => {
    for (let at = lastStart; at < size; at += 1) {
      const torn = disk.copy();
      torn.flipBit(last, at, at % 8);
      const queue = reopened(torn);
      expect(idsOf(queue), `${at}`).toEqual(ids.slice(0, -2));
      expect(queue.repairs).toHaveLength(1);
      expect(queue.lastSequence(queue.origin)).toBe(FRAMES - 1);
    }
  });

  test('is cut off when a crash has left zeros, or what was there before', () => {
    for (const bytes of [Buffer.alloc(1), Buffer.alloc(5000), Buffer.alloc(700, 0xb5)]) {
      const queue = reopened(withBytes(disk, last, size, bytes));
      expect(idsOf(queue)).toEqual(ids);
      expect(queue.repairs).toEqual([{ file: last, offset: size, bytes: bytes.length }]);
    }
    // A frame that was there before, once more.
    const before = disk.readWhole(last).subarray(lastStart);
    const queue = reopened(withBytes(disk, last, size, before));
    expect(idsOf(queue)).toEqual(ids);
  });

  test('is written on after the cut as if nothing had been', () => {
    const world = new ManualWorld();
    const torn = withLength(disk, last, size - 3).copy(world.schedule);
    const { queue } = openQueue(torn, world);
    appendNext(queue);
    world.run();
    const after = reopened(torn.copy());
    expect(idsOf(after)).toEqual([...ids.slice(0, -2), `${FRAMES}`]);
    expect(after.repairs).toEqual([]);
  });
});

describe('damage inside', () => {
  test('is refused at every place, by file and offset', () => {
    for (const path of paths) {
      const ends = starts.get(path) as number[];
      // The last frame of the last file could be a torn one.
      const end = (path === last ? ends.at(-2) : ends.at(-1)) as number;
      for (let at = 0; at < end; at += 1) {
        const isPadding = at >= 52 && at < DELTA_HEADER_BYTES;
        if (isPadding) continue;
        const rotten = disk.copy();
        rotten.flipBit(path, at, at % 8);
        const error = errorOf(rotten);
        expect(error, `${path} ${at}`).toMatchObject({ code: 'DELTAS_CORRUPT' });
        const offset = [...ends].reverse().find((start) => start <= at) ?? DELTA_HEADER_BYTES;
        const place = at < DELTA_HEADER_BYTES ? 0 : offset;
        expect(error?.details, `${path} ${at}`).toEqual({ file: path, offset: place });
        expect(error?.message).toMatch(/ap calls|newer/);
      }
    }
  });

  test('of a whole frame, or the end of a file that is not the last', () => {
    for (const path of paths.slice(0, -1)) {
      const ends = starts.get(path) as number[];
      for (const length of [
        DELTA_HEADER_BYTES,
        ...ends.slice(0, -1),
        (ends.at(-1) as number) - 1,
      ]) {
        expect(errorOf(withLength(disk, path, length))).toMatchObject({
          ...{ code: 'DELTAS_CORRUPT', details: { file: path } },
        });
      }
      // As a torn seal would leave it.
      const longer = withBytes(disk, path, ends.at(-1) as number, Buffer.alloc(8, 0xb5));
      expect(idsOf(reopened(longer))).toEqual(ids);
    }
  });

  test('of copies alone, before a file that holds nothing yet', () => {
    const { queue, world, files } = newDisk();
    const path = `${FOLDER}/0000000000000001.deltas`;
    appendNext(queue, OTHER, 500);
    world.run();
    const end = files.readWhole(path).length;
    appendNext(queue, OTHER, 1500);
    world.run();
    appendNext(queue, OTHER);
    world.run();
    const begun = withLength(files, `${FOLDER}/0000000000000002.deltas`, DELTA_HEADER_BYTES);
    expect(idsOf(reopened(begun))).toEqual(['a1', 'a2']);
    expect(errorOf(withLength(begun, path, end))).toMatchObject({
      ...{ code: 'DELTAS_CORRUPT', details: { file: path, offset: end } },
    });
  });

  test('of the length of a header', () => {
    for (const path of paths) {
      for (const length of [0, 1, 51, DELTA_HEADER_BYTES - 1]) {
        expect(errorOf(withLength(disk, path, length))?.code).toBe('DELTAS_CORRUPT');
      }
    }
  });

  test('a file that is missing between others, or is a copy of one', () => {
    const [first, second, third] = paths as [string, string, string];
    const missing = disk.copy();
    missing.remove(second);
    expect(errorOf(missing)).toMatchObject({ code: 'DELTAS_CORRUPT', details: { file: second } });
    const copied = disk.copy();
    copied.remove(third);
    copied.open(third).writeAt(0, [copied.readWhole(second)]);
    expect(errorOf(copied)?.message).toMatch(/it is a copy of/);
    // The first ones alone may be missing: their deltas were merged.
    const trimmed = disk.copy();
    trimmed.remove(first);
    expect(errorOf(trimmed)).toBeNull();
  });

  test('a file of another queue', () => {
    const other = newDisk({ random: seededRandom(4) });
    for (let frame = 1; frame <= FRAMES; frame += 1) {
      appendNext(other.queue, other.queue.origin, 100);
      appendNext(other.queue, OTHER, 200);
      other.world.run();
    }
    const mixed = withBytes(disk, last, 0, other.files.readWhole(last));
    expect(errorOf(mixed)?.message).toMatch(/belongs to another queue/);
  });

  test('deltas that checksums say are whole and that are none, or come out of order', () => {
    const salt = disk.readWhole(last).readUInt32LE(12);
    const end = disk.readWhole(last).length;
    const put = (bytes: Uint8Array) =>
      errorOf(withBytes(disk, last, end, encodeDeltaFrame(FRAMES + 1, [bytes], salt)));
    expect(put(Buffer.of(1, 2, 3))?.message).toMatch(/a delta is none/);
    expect(put(heldDelta(whole.origin, FRAMES).bytes)?.message).toMatch(/comes behind/);
    expect(put(heldDelta(whole.origin, FRAMES + 2).bytes)?.message).toMatch(/comes behind/);
    expect(put(heldDelta(OTHER, FRAMES).bytes)?.message).toMatch(/comes behind/);
    expect(put(heldDelta(OTHER, FRAMES + 2).bytes)).toBeNull();
    expect(put(heldDelta(whole.origin, FRAMES + 1).bytes)).toBeNull();
  });

  test('is not seen in bytes of other files that a delta carries', () => {
    // A torn frame with a frame in it that would be newer, of a queue with another salt.
    const frame = encodeDeltaFrame(FRAMES + 5, [Buffer.alloc(64)], 12345);
    const torn = Buffer.concat([Buffer.alloc(FRAME_HEADER_BYTES, 1), frame]);
    const queue = reopened(withBytes(disk, last, disk.readWhole(last).length, torn));
    expect(idsOf(queue)).toEqual(ids);
  });
});

describe('an end that is sealed', () => {
  const { queue, world, files } = newDisk();
  appendNext(queue);
  world.run();
  const lastStart = files.readWhole(paths[0] as string).length;
  appendNext(queue, OTHER);
  world.run();
  const end = files.readWhole(paths[0] as string).length;
  // The first time, there has been a frame meanwhile.
  world.pass(10);
  world.pass(10);
  const path = paths[0] as string;

  test('is no torn one, and is sealed once', () => {
    const { steps } = files;
    world.pass(1000);
    expect(files.steps).toBe(steps);
    expect(files.readWhole(path)).toHaveLength(end + FRAME_HEADER_BYTES);
    const again = reopened(files.copy());
    expect([idsOf(again), again.repairs]).toEqual([['1', 'a1'], []]);
  });

  test('tells damage of the last frame from a torn write', () => {
    for (let at = lastStart; at < end; at += 1) {
      const rotten = files.copy();
      rotten.flipBit(path, at, at % 8);
      expect(errorOf(rotten), `${at}`).toMatchObject({
        ...{ code: 'DELTAS_CORRUPT', details: { file: path, offset: lastStart } },
      });
    }
    for (let at = end; at < end + FRAME_HEADER_BYTES; at += 1) {
      const rotten = files.copy();
      rotten.flipBit(path, at, at % 8);
      expect(idsOf(reopened(rotten))).toEqual(['1', 'a1']);
    }
  });

  test('is sealed again after a start, and by the next frame no more', () => {
    const again = new ManualWorld();
    const torn = withLength(files, path, end + 7).copy(again.schedule);
    const next = openQueue(torn, again).queue;
    expect(next.repairs).toEqual([{ file: path, offset: end, bytes: 7 }]);
    again.pass(10);
    expect(torn.readWhole(path)).toHaveLength(end + FRAME_HEADER_BYTES);
    appendNext(next, next.origin, 5000);
    again.run();
    again.pass(10);
    // This one is in the next file, and the seal at the end of this one stays.
    appendNext(next);
    again.run();
    const later = reopened(torn.copy());
    expect([idsOf(later), later.repairs]).toEqual([['1', 'a1', '2', '3'], []]);
    expect(torn.list(FOLDER)).toHaveLength(2);
  });
});

describe('what a newer version wrote', () => {
  test('is not read', () => {
    for (const [position, path] of paths.entries()) {
      const header = {
        ...{ version: DELTA_FORMAT_VERSION + 1, salt: 1, number: position + 1 },
        ...{ origin: whole.origin, ownSequence: 0, firstFrame: 1 },
      };
      const error = errorOf(withBytes(disk, path, 0, encodeDeltaHeader(header)));
      expect(error).toMatchObject({ code: 'VERSION_UNSUPPORTED', details: { file: path } });
    }
  });
});

test('files that are not of the queue are left alone', () => {
  const folder = disk.copy();
  folder.open(`${FOLDER}/notes.txt`);
  folder.open(`${FOLDER}/0000000000000009.deltas.new`);
  expect(idsOf(reopened(folder))).toEqual(ids);
  const names = folder.list(FOLDER);
  expect(names).toContain('notes.txt');
  expect(names).not.toContain('0000000000000009.deltas.new');
});
