import { crc32 } from '../base/checksum.js';
import { ORIGIN_LENGTH } from '../base/delta.js';
import {
  alignFrame,
  FRAME_HEADER_BYTES,
  readFrameHeader,
  readUint64,
  writeFrameHeader,
  writeUint64,
} from './wal/format.js';

/**
 * The layout of the queue of deltas on disk. All numbers are little-endian.
 *
 * A **segment** is a file `<number, 16 hex digits>.deltas` that grows:
 *
 *     header       in a block of its own: whose queue it is, and how far that was when the segment was begun
 *     frames       one behind the other, each at a multiple of 8
 *
 * A **frame** is one group commit, with the header that frames of the write-ahead log have (and no directory), so that a torn
 * tail is told from damage as it is there:
 *
 *     header       32 bytes: magic, kind, sequence, deltas, bytes of them, checksums
 *     deltas       each with its length before it
 *     zeros        to a multiple of 8
 *
 * A **seal** is a frame without deltas that is written, not synced, behind the last frame when the queue falls idle, and overwritten
 * by the next frame. It names that one, and so says that all before it is durable.
 *
 * A segment is begun when all frames before it are durable, and names the sequence of its first one. So the one before it has
 * all that it ever had, or is damaged.
 */
export const DELTA_FORMAT_VERSION = 1;
/** A block of its own: what is written later is never in it. */
export const DELTA_HEADER_BYTES = 4096;

const MAGIC = Buffer.from('BALSADLT', 'latin1');
const ORIGIN_BYTES = ORIGIN_LENGTH / 2;
const CHECKED_BYTES = 48;
const LENGTH_BYTES = 4;

export interface DeltaSegmentHeader {
  readonly version: number;
  /** Every checksum of a frame begins with it, so that no bytes of another file are ever taken for a frame. */
  readonly salt: number;
  /** Counts the segments of the queue from 1. */
  readonly number: number;
  readonly origin: string;
  /** The last sequence of the queue's own deltas in segments before: it outlives those. */
  readonly ownSequence: number;
  /** Of the first frame. */
  readonly firstFrame: number;
}

export function encodeDeltaHeader(header: DeltaSegmentHeader): Buffer {
  const block = Buffer.alloc(DELTA_HEADER_BYTES);
  MAGIC.copy(block);
  block.writeUInt32LE(header.version, 8);
  block.writeUInt32LE(header.salt, 12);
  writeUint64(block, header.number, 16);
  block.write(header.origin, 24, ORIGIN_BYTES, 'hex');
  writeUint64(block, header.ownSequence, 32);
  writeUint64(block, header.firstFrame, 40);
  block.writeUInt32LE(crc32(block.subarray(0, CHECKED_BYTES)), CHECKED_BYTES);
  return block;
}

/** `null` when the bytes are not a whole header. */
export function decodeDeltaHeader(block: Buffer): DeltaSegmentHeader | null {
  if (block.length < DELTA_HEADER_BYTES) return null;
  if (!block.subarray(0, MAGIC.length).equals(MAGIC)) return null;
  if (block.readUInt32LE(CHECKED_BYTES) !== crc32(block.subarray(0, CHECKED_BYTES))) return null;
  return {
    version: block.readUInt32LE(8),
    salt: block.readUInt32LE(12),
    number: readUint64(block, 16),
    origin: block.toString('hex', 24, 24 + ORIGIN_BYTES),
    ownSequence: readUint64(block, 32),
    firstFrame: readUint64(block, 40),
  };
}

/** What one delta takes in a frame. */
export function deltaBytesInFrame(bytes: Uint8Array): number {
  return LENGTH_BYTES + bytes.byteLength;
}

export function encodeDeltaFrame(
  sequence: number,
  deltas: readonly Uint8Array[],
  salt: number,
): Buffer {
  const payloadBytes = deltas.reduce((sum, bytes) => sum + deltaBytesInFrame(bytes), 0);
  const frame = Buffer.alloc(alignFrame(FRAME_HEADER_BYTES + payloadBytes));
  let offset = FRAME_HEADER_BYTES;
  for (const bytes of deltas) {
    frame.writeUInt32LE(bytes.byteLength, offset);
    frame.set(bytes, offset + LENGTH_BYTES);
    offset += deltaBytesInFrame(bytes);
  }
  const directoryChecksum = crc32(frame.subarray(FRAME_HEADER_BYTES), salt);
  const recordCount = deltas.length;
  const header = {
    kind: 'records',
    sequence,
    recordCount,
    payloadBytes,
    directoryChecksum,
  } as const;
  writeFrameHeader(frame, header, salt);
  return frame;
}

export interface DecodedDeltaFrame {
  readonly sequence: number;
  readonly byteLength: number;
  /** Copies: they do not hold on to the whole file. */
  readonly deltas: readonly Buffer[];
}

/** The frame at `offset`; `null` when there is no whole and undamaged one. */
export function decodeDeltaFrame(
  bytes: Buffer,
  offset: number,
  salt: number,
): DecodedDeltaFrame | null {
  const header = readFrameHeader(bytes, offset, salt);
  if (header === null || header.kind !== 'records') return null;
  const byteLength = alignFrame(FRAME_HEADER_BYTES + header.payloadBytes);
  if (offset + byteLength > bytes.length) return null;
  const payload = bytes.subarray(offset + FRAME_HEADER_BYTES, offset + byteLength);
  if (crc32(payload, salt) !== header.directoryChecksum) return null;
  const deltas: Buffer[] = [];
  for (let at = 0; deltas.length < header.recordCount; ) {
    const end = at + LENGTH_BYTES + payload.readUInt32LE(at);
    deltas.push(Buffer.from(payload.subarray(at + LENGTH_BYTES, end)));
    at = end;
  }
  return { sequence: header.sequence, byteLength, deltas };
}

export function deltaSegmentName(number: number): string {
  return `${number.toString(16).padStart(16, '0')}.deltas`;
}

/** The number in a segment's name; `null` when it is not one. */
export function deltaSegmentNumber(name: string): number | null {
  const match = /^([0-9a-f]{16})\.deltas$/.exec(name);
  return match === null ? null : Number.parseInt(String(match[1]), 16);
}
