import { crc32 } from '../../base/checksum.js';

/**
 * The layout of the write-ahead log on disk. All numbers are little-endian.
 *
 * A **segment** is a file `<number, 16 hex digits>.wal`, filled with zeros when it is made:
 *
 *     segment header, in a block of its own      SEGMENT_HEADER_BYTES
 *     frames, one behind the other, each at a multiple of 8
 *     zeros
 *
 * A **frame** is one group commit: written at once, synced before the next one is written.
 *
 *     header       32 bytes: magic, kind, sequence, records, payload bytes, checksums
 *     directory    32 bytes per record: what it is, how long its payload is, and its checksum
 *     payloads     one behind the other
 *     zeros        to a multiple of 8
 *
 * Frame sequences grow by one over the whole log. That, and that only one frame is ever under way, is
 * what tells a torn tail from damage: a frame that cannot be read was never acknowledged if nothing
 * newer than it is in the log, and was acknowledged if something is.
 *
 * A **seal** is a frame without records that is written (not synced) behind the last frame when the
 * log falls idle. It says that everything before it is durable, so that damage in the very last frame
 * is recognised too. The next frame overwrites it and has the sequence that the seal names. An
 * **end seal** says that the frame with that sequence is in the next segment, and durable.
 *
 * All checksums start from the log's salt, so that bytes of another log, stored as a value, are never
 * taken for a frame of this one.
 */
export const FORMAT_VERSION = 1;
/** A block of its own: frames are never written into the block of the header. */
export const SEGMENT_HEADER_BYTES = 4096;
export const FRAME_HEADER_BYTES = 32;
export const RECORD_BYTES = 32;
export const FRAME_ALIGNMENT = 8;

const SEGMENT_MAGIC = Buffer.from('BALSAWAL', 'latin1');
const SEGMENT_CHECKED_BYTES = 28;
export const FRAME_MAGIC = Buffer.from([0xb5, 0x57, 0x41, 0x4c]);
const FRAME_CHECKED_BYTES = 28;

export interface SegmentHeader {
  readonly version: number;
  /** Counts the segments of the log from 1. */
  readonly number: number;
  readonly salt: number;
  /** The file is never shorter; 0: an earlier version did not say. */
  readonly preparedBytes: number;
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const block = Buffer.alloc(SEGMENT_HEADER_BYTES);
  SEGMENT_MAGIC.copy(block);
  block.writeUInt32LE(header.version, 8);
  block.writeUInt32LE(header.salt, 12);
  writeUint64(block, header.number, 16);
  block.writeUInt32LE(header.preparedBytes, 24);
  block.writeUInt32LE(crc32(block.subarray(0, SEGMENT_CHECKED_BYTES)), SEGMENT_CHECKED_BYTES);
  return block;
}

/** `null` when the bytes are not a whole segment header. */
export function decodeSegmentHeader(block: Buffer): SegmentHeader | null {
  if (block.length < SEGMENT_HEADER_BYTES) return null;
  if (!block.subarray(0, SEGMENT_MAGIC.length).equals(SEGMENT_MAGIC)) return null;
  const checksum = crc32(block.subarray(0, SEGMENT_CHECKED_BYTES));
  if (block.readUInt32LE(SEGMENT_CHECKED_BYTES) !== checksum) return null;
  return {
    version: block.readUInt32LE(8),
    salt: block.readUInt32LE(12),
    number: readUint64(block, 16),
    preparedBytes: block.readUInt32LE(24),
  };
}

const FRAME_KINDS = ['records', 'seal', 'end-seal'] as const;
export type FrameKind = (typeof FRAME_KINDS)[number];

export interface FrameHeader {
  readonly kind: FrameKind;
  readonly sequence: number;
  readonly recordCount: number;
  readonly payloadBytes: number;
  readonly directoryChecksum: number;
}

export function writeFrameHeader(target: Buffer, header: FrameHeader, salt: number): void {
  FRAME_MAGIC.copy(target);
  target.writeUInt32LE(FRAME_KINDS.indexOf(header.kind), 4);
  writeUint64(target, header.sequence, 8);
  target.writeUInt32LE(header.recordCount, 16);
  target.writeUInt32LE(header.payloadBytes, 20);
  target.writeUInt32LE(header.directoryChecksum, 24);
  target.writeUInt32LE(crc32(target.subarray(0, FRAME_CHECKED_BYTES), salt), FRAME_CHECKED_BYTES);
}

/** `null` when there is no whole frame header at `offset`. */
export function readFrameHeader(bytes: Buffer, offset: number, salt: number): FrameHeader | null {
  if (offset + FRAME_HEADER_BYTES > bytes.length) return null;
  if (bytes.compare(FRAME_MAGIC, 0, FRAME_MAGIC.length, offset, offset + 4) !== 0) return null;
  const checksum = crc32(bytes.subarray(offset, offset + FRAME_CHECKED_BYTES), salt);
  if (bytes.readUInt32LE(offset + FRAME_CHECKED_BYTES) !== checksum) return null;
  const kind = FRAME_KINDS[bytes.readUInt32LE(offset + 4)];
  if (kind === undefined) return null;
  return {
    kind,
    sequence: readUint64(bytes, offset + 8),
    recordCount: bytes.readUInt32LE(offset + 16),
    payloadBytes: bytes.readUInt32LE(offset + 20),
    directoryChecksum: bytes.readUInt32LE(offset + 24),
  };
}

export function encodeSeal(kind: 'seal' | 'end-seal', nextSequence: number, salt: number): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES);
  const header = {
    kind,
    sequence: nextSequence,
    recordCount: 0,
    payloadBytes: 0,
    directoryChecksum: salt,
  };
  writeFrameHeader(bytes, header, salt);
  return bytes;
}

/** Bytes that a frame takes on disk. */
export function frameBytes(recordCount: number, payloadBytes: number): number {
  return alignFrame(FRAME_HEADER_BYTES + recordCount * RECORD_BYTES + payloadBytes);
}

export function alignFrame(offset: number): number {
  return Math.ceil(offset / FRAME_ALIGNMENT) * FRAME_ALIGNMENT;
}

export function segmentName(number: number): string {
  return `${number.toString(16).padStart(16, '0')}.wal`;
}

/** The number in a segment's name; `null` when it is not one. */
export function segmentNumber(name: string): number | null {
  const match = /^([0-9a-f]{16})\.wal$/.exec(name);
  return match === null ? null : Number.parseInt(String(match[1]), 16);
}

export function writeUint64(target: Buffer, value: number, offset: number): void {
  target.writeUInt32LE(value >>> 0, offset);
  target.writeUInt32LE(Math.floor(value / 0x1_0000_0000), offset + 4);
}

export function readUint64(bytes: Buffer, offset: number): number {
  return bytes.readUInt32LE(offset) + bytes.readUInt32LE(offset + 4) * 0x1_0000_0000;
}
