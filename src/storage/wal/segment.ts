import type { Failpoints } from '../../base/failpoints.js';
import type { LogIndex } from '../../raft/types.js';
import type { File, Files } from '../files.js';
import {
  encodeSegmentHeader,
  FORMAT_VERSION,
  FRAME_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  segmentName,
} from './format.js';

/** One file of the log. */
export class Segment {
  readonly number: number;
  readonly file: File;
  /** Bytes that are there to be overwritten; a frame may make the file longer. */
  readonly preparedBytes: number;
  /** Behind the last frame. */
  end: number = SEGMENT_HEADER_BYTES;
  /** The last index of the log when this segment was begun; `null` as long as it holds nothing. */
  baseIndex: LogIndex | null = null;
  #readers = 0;
  #isDropped = false;

  constructor(number: number, file: File) {
    this.number = number;
    this.file = file;
    this.preparedBytes = file.size();
  }

  /** @param path of a segment that is whole */
  static open(files: Files, path: string, number: number): Segment {
    const file = files.open(path);
    try {
      return new Segment(number, file);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  get isEmpty(): boolean {
    return this.end === SEGMENT_HEADER_BYTES;
  }

  /** Room for a frame, and a seal behind it. One that is larger than any segment may have one alone. */
  fits(byteLength: number): boolean {
    return this.isEmpty || this.end + byteLength + FRAME_HEADER_BYTES <= this.preparedBytes;
  }

  /** Keeps the file open until {@link releaseReader}, even if the segment is dropped. */
  addReader(): void {
    this.#readers += 1;
  }

  releaseReader(): void {
    this.#readers -= 1;
    if (this.#isDropped && this.#readers === 0) this.file.close();
  }

  /** Closes the file as soon as nobody reads it. */
  drop(): void {
    this.#isDropped = true;
    if (this.#readers === 0) this.file.close();
  }
}

export interface SegmentPlan {
  readonly files: Files;
  readonly folder: string;
  readonly failpoints: Failpoints;
  readonly salt: number;
  readonly segmentBytes: number;
}

/** A segment is made under a name that recovery throws away, and gets its own when it is whole. */
export const UNFINISHED_SUFFIX = '.new';

/** Zeros synced at a time, so that a segment in the making does not hold up the log. */
const SLICE_BYTES = 1024 * 1024;

/**
 * Zeros written at once. New kernels keep what was written at once as one page, and a small frame that is synced later costs
 * as much as its page is large.
 */
const PIECE_BYTES = 4 * 1024;

export interface SegmentPiece {
  readonly position: number;
  readonly bytes: Buffer;
  /** What was written so far is to be synced now. */
  readonly isSliceEnd: boolean;
}

/** What is written to make a segment, in order. */
export function* segmentPieces(plan: SegmentPlan, number: number): Generator<SegmentPiece> {
  const { salt, segmentBytes } = plan;
  const header = { version: FORMAT_VERSION, number, salt, preparedBytes: segmentBytes };
  const isAll = segmentBytes <= SEGMENT_HEADER_BYTES;
  yield { position: 0, bytes: encodeSegmentHeader(header), isSliceEnd: isAll };
  const zeros = Buffer.alloc(Math.min(PIECE_BYTES, segmentBytes));
  let unsynced = SEGMENT_HEADER_BYTES;
  for (let position = SEGMENT_HEADER_BYTES; position < segmentBytes; ) {
    // Up to where a page ends.
    const length = PIECE_BYTES - (position % PIECE_BYTES);
    const bytes = zeros.subarray(0, Math.min(length, segmentBytes - position));
    const end = position + bytes.length;
    unsynced += bytes.length;
    const isSliceEnd = unsynced >= SLICE_BYTES || end === segmentBytes;
    if (isSliceEnd) unsynced = 0;
    yield { position, bytes, isSliceEnd };
    position = end;
  }
}

export function segmentPath(folder: string, number: number): string {
  return `${folder}/${segmentName(number)}`;
}

/** Makes the first segment of a log, before anyone is served. */
export function createSegment(plan: SegmentPlan, number: number): Segment {
  const { files, folder, failpoints } = plan;
  const path = segmentPath(folder, number);
  failpoints.hit('wal.before-segment-create');
  const unfinished = files.open(path + UNFINISHED_SUFFIX);
  try {
    for (const { position, bytes } of segmentPieces(plan, number)) {
      unfinished.writeAt(position, [bytes]);
    }
    unfinished.sync();
  } finally {
    unfinished.close();
  }
  files.rename(path + UNFINISHED_SUFFIX, path);
  // Without this the file may be gone after a power failure, with all that was synced in it.
  files.syncFolder(folder);
  failpoints.hit('wal.after-segment-create');
  return Segment.open(files, path, number);
}
