import { toBuffer } from '../base/bytes.js';
import { corrupt } from './corrupt.js';
import { COUNT_BYTES, readCount, writeCount } from './fixed-binary.js';
import { NOWHERE, POSITION_BYTES, type Position, readPosition, writePosition } from './position.js';

/** What a key is now, without its value: that lies once, under its position. */
export interface KeyRecord {
  /** Where the key was last written (put or deleted). */
  readonly modified: Position;
  /** 0 when deleted. */
  readonly createRevision: number;
  /** Number of puts since it was created; 0 when deleted. */
  readonly version: number;
  /** The lease it hangs on; 0: none. */
  readonly lease: number;
  /** Length of its value; 0 when deleted. */
  readonly valueBytes: number;
  /** Number of its writes so far, deletions among them. */
  readonly depth: number;
  /** Some earlier writes of the key, newest first: where the skip pointers of later ones start. */
  readonly back: readonly Position[];
}

/** What the next write of a key points back to. */
export interface Links {
  readonly previous: Position;
  readonly skip: Position;
  readonly depth: number;
  readonly back: readonly Position[];
}

const FIRST: Links = { previous: NOWHERE, skip: NOWHERE, depth: 1, back: [] };

/**
 * The writes of a key form a chain, newest to oldest. So that an old revision of a key that was
 * written a million times is found in tens of steps, write number d points to d - 1 (`previous`) and
 * also to d with its lowest 1 bit cleared (`skip`), as in a Fenwick tree. `back` of write d holds the
 * positions of d with its lowest bit cleared, its two lowest, and so on: all that later ones need.
 */
export function linkNext(record: KeyRecord | null): Links {
  if (record === null) return FIRST;
  // Adding 1 to `depth` clears its trailing 1 bits: that many skip targets are never used again.
  const chain = [record.modified, ...record.back].slice(trailingOnes(record.depth));
  return {
    previous: record.modified,
    skip: chain[0] ?? NOWHERE,
    depth: record.depth + 1,
    back: chain,
  };
}

function trailingOnes(count: number): number {
  let ones = 0;
  for (let rest = count; rest % 2 === 1; rest = Math.floor(rest / 2)) ones += 1;
  return ones;
}

const FORMAT = 1;
const VERSION_OFFSET = 1 + POSITION_BYTES + COUNT_BYTES;
const VALUE_BYTES_OFFSET = VERSION_OFFSET + 3 * COUNT_BYTES;
const HEAD_BYTES = VALUE_BYTES_OFFSET + 4;

export function encodeKeyRecord(record: KeyRecord): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + record.back.length * POSITION_BYTES);
  let offset = bytes.writeUInt8(FORMAT, 0);
  offset = writePosition(bytes, record.modified, offset);
  offset = writeCount(bytes, record.createRevision, offset);
  offset = writeCount(bytes, record.version, offset);
  offset = writeCount(bytes, record.lease, offset);
  offset = writeCount(bytes, record.depth, offset);
  offset = bytes.writeUInt32BE(record.valueBytes, offset);
  for (const position of record.back) offset = writePosition(bytes, position, offset);
  return bytes;
}

/** @throws BalsaError `STATE_CORRUPT` */
export function decodeKeyRecord(source: Uint8Array): KeyRecord {
  const bytes = toBuffer(source);
  const backBytes = bytes.byteLength - HEAD_BYTES;
  if (backBytes < 0 || backBytes % POSITION_BYTES !== 0 || bytes[0] !== FORMAT) {
    throw unreadable(bytes);
  }
  const counts = 1 + POSITION_BYTES;
  const back: Position[] = [];
  for (let offset = HEAD_BYTES; offset < bytes.byteLength; offset += POSITION_BYTES) {
    back.push(readPosition(bytes, offset));
  }
  return {
    modified: readPosition(bytes, 1),
    createRevision: readCount(bytes, counts),
    version: readCount(bytes, counts + COUNT_BYTES),
    lease: readCount(bytes, counts + 2 * COUNT_BYTES),
    depth: readCount(bytes, counts + 3 * COUNT_BYTES),
    valueBytes: bytes.readUInt32BE(VALUE_BYTES_OFFSET),
    back,
  };
}

/** As `decodeKeyRecord(source).version > 0`, for those who look at many. */
export function isAliveRecord(source: Uint8Array): boolean {
  for (let offset = VERSION_OFFSET; offset < VERSION_OFFSET + COUNT_BYTES; offset += 1) {
    if (source[offset] !== 0) return true;
  }
  return false;
}

/** What of a key record says what the key is now, for those who look at many. */
export interface KeyHead {
  readonly modRevision: number;
  readonly sub: number;
  readonly createRevision: number;
  /** 0: deleted. */
  readonly version: number;
  readonly lease: number;
  readonly valueBytes: number;
}

/** @throws BalsaError `STATE_CORRUPT` */
export function readKeyHead(source: Uint8Array): KeyHead {
  const bytes = toBuffer(source);
  if (bytes.byteLength < HEAD_BYTES || bytes[0] !== FORMAT) throw unreadable(bytes);
  return {
    modRevision: readCount(bytes, 1),
    sub: bytes.readUInt16BE(1 + COUNT_BYTES),
    createRevision: readCount(bytes, 1 + POSITION_BYTES),
    version: readCount(bytes, VERSION_OFFSET),
    lease: readCount(bytes, VERSION_OFFSET + COUNT_BYTES),
    valueBytes: bytes.readUInt32BE(VALUE_BYTES_OFFSET),
  };
}

function unreadable(bytes: Uint8Array): Error {
  return corrupt(`a key record of ${bytes.byteLength} bytes and format ${bytes[0]}`);
}
