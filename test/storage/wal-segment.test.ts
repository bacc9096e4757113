import { describe, expect, test } from 'vitest';
import { noFailpoints } from '../../src/base/failpoints.js';
import { MemoryFiles } from '../../src/storage/memory-files.js';
import { SEGMENT_HEADER_BYTES } from '../../src/storage/wal/format.js';
import { segmentPieces } from '../../src/storage/wal/segment.js';

/** How a segment is made: what is written, and when that is synced. */

const MIB = 1024 * 1024;
const PAGE = 16 * 1024;

const piecesOf = (segmentBytes: number) => {
  const files = new MemoryFiles({ schedule: (complete) => complete() });
  const plan = { files, folder: 'wal', failpoints: noFailpoints, salt: 1, segmentBytes };
  return [...segmentPieces(plan, 1)];
};

describe('the pieces of a segment', () => {
  test.each([
    SEGMENT_HEADER_BYTES,
    SEGMENT_HEADER_BYTES + 1,
    PAGE,
    PAGE + 1,
    3 * MIB,
    3 * MIB + 100,
  ])('are all of its bytes, in order, none larger than a page is to be (%i)', (segmentBytes) => {
    const pieces = piecesOf(segmentBytes);
    let end = 0;
    for (const { position, bytes } of pieces) {
      expect(position).toBe(end);
      end += bytes.length;
      expect(Math.floor(position / PAGE)).toBe(Math.floor((end - 1) / PAGE));
    }
    expect(end).toBe(segmentBytes);
    expect(pieces.at(-1)?.isSliceEnd).toBe(true);
  });

  test('are synced by the megabyte', () => {
    const pieces = piecesOf(4 * MIB);
    const syncs = pieces.filter(({ isSliceEnd }) => isSliceEnd);
    expect(syncs.map(({ position, bytes }) => position + bytes.length)).toEqual([
      ...[MIB, 2 * MIB, 3 * MIB, 4 * MIB],
    ]);
  });
});
