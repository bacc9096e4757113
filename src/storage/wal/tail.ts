import {
  FRAME_ALIGNMENT,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  type FrameHeader,
  readFrameHeader,
} from './format.js';
import type { Segment } from './segment.js';

/** What was cut off the end of the log when it was opened: a write that a crash interrupted. */
export interface WalRepair {
  readonly file: string;
  readonly offset: number;
  readonly bytes: number;
}

/** Part of a segment in which no frame is expected. */
export interface TailRegion {
  readonly segment: Pick<Segment, 'file'>;
  /** All of the segment. */
  readonly bytes: Buffer;
  readonly from: number;
}

/**
 * Something in the region that is only there if the frame `sequence` was durable, in words; `null` if
 * there is nothing, so that the frame was never acknowledged.
 *
 * A frame is written when the one before it is synced. So any newer one will do, or a seal that names a
 * newer one; its header alone, since what follows it may be torn.
 */
export function proofOfLoss(region: TailRegion, sequence: number, salt: number): string | null {
  const { bytes, segment } = region;
  for (let offset = region.from; ; offset += FRAME_ALIGNMENT) {
    offset = nextMagic(bytes, offset);
    if (offset < 0) return null;
    const header = readFrameHeader(bytes, offset, salt);
    if (header === null || !isNewer(header, sequence)) continue;
    const what = header.kind === 'records' ? 'frame' : 'the seal before frame';
    return `${what} ${header.sequence} at offset ${offset} of ${segment.file.path}`;
  }
}

function isNewer(header: FrameHeader, sequence: number): boolean {
  // An end seal is written when the frame that it names is durable.
  return header.sequence > sequence || (header.kind === 'end-seal' && header.sequence === sequence);
}

/** The next aligned frame magic from `offset`, -1 when there is none. */
function nextMagic(bytes: Buffer, offset: number): number {
  let found = bytes.indexOf(FRAME_MAGIC, offset);
  while (found >= 0 && found % FRAME_ALIGNMENT !== 0) {
    found = bytes.indexOf(FRAME_MAGIC, found + 1);
  }
  return found;
}

/**
 * Overwrites what a torn write left with zeros, durably, so that it never lies behind later frames.
 * `null` when there is nothing.
 */
export function cutTail(region: TailRegion, sequence: number, salt: number): WalRepair | null {
  const { bytes, segment } = region;
  const header = readFrameHeader(bytes, region.from, salt);
  const isSealed = header?.kind === 'seal' && header.sequence === sequence;
  const from = isSealed ? region.from + FRAME_HEADER_BYTES : region.from;
  const length = lengthWithoutZeros(bytes.subarray(from));
  if (length === 0) return null;
  segment.file.writeAt(from, [Buffer.alloc(length)]);
  segment.file.sync();
  return { file: segment.file.path, offset: from, bytes: length };
}

const ZEROS = Buffer.alloc(64 * 1024);

/** Up to and with the last byte that is not zero. */
function lengthWithoutZeros(bytes: Buffer): number {
  let end = bytes.length;
  // Whole blocks first: nearly all of a segment may be zeros.
  while (end > 0) {
    const from = Math.max(0, end - ZEROS.length);
    if (bytes.compare(ZEROS, 0, end - from, from, end) !== 0) break;
    end = from;
  }
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}
