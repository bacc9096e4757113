import { toBuffer } from '../base/bytes.js';
import { corrupt } from './corrupt.js';
import { COUNT_BYTES, readCount, writeCount } from './fixed-binary.js';
import { NOWHERE, POSITION_BYTES, type Position, readPosition, writePosition } from './position.js';

/**
 * What a key is now. Its value lies under its position, and when it is small also beside this on the disk, so
 * that one look there gives both (see {@link INLINE_BYTES_MAX}).
 */
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
  /** Some earlier writes of the key: where the skip pointers of later ones start. */
  readonly back: Positions;
}

/**
 * Positions, newest first: of each the revision and behind it the sub. Such records are kept for a hundred thousand keys and
 * more, and an object for each position was most of what the garbage collector had to visit.
 */
export type Positions = readonly number[];

/** What the next write of a key points back to. */
export interface Links {
  readonly previous: Position;
  readonly skip: Position;
  readonly depth: number;
  readonly back: Positions;
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
  const { modified, depth } = record;
  // Adding 1 to `depth` clears its trailing 1 bits: that many of `modified` and `back` are never used again.
  const cleared = trailingOnes(depth);
  const back =
    cleared === 0 ? prepended(modified, record.back) : record.back.slice(2 * (cleared - 1));
  const skip = back.length === 0 ? NOWHERE : positionAt(back, 0);
  return { previous: modified, skip, depth: depth + 1, back };
}

function prepended({ revision, sub }: Position, positions: Positions): Positions {
  // Of their length from the start: what grows by `push` keeps room for sixteen more.
  const all = new Array<number>(positions.length + 2);
  all[0] = revision;
  all[1] = sub;
  for (let i = 0; i < positions.length; i += 1) all[i + 2] = positions[i] as number;
  return all;
}

export function positionAt(positions: Positions, place: number): Position {
  return { revision: positions[2 * place] as number, sub: positions[2 * place + 1] as number };
}

function trailingOnes(count: number): number {
  let ones = 0;
  for (let rest = count; rest % 2 === 1; rest = Math.floor(rest / 2)) ones += 1;
  return ones;
}

/**
 * Values up to this size are written beside the record of their key, too. It makes a scan of small values one
 * walk through the keys, where it was a read of the history for each; a put of one writes them twice.
 */
export const INLINE_BYTES_MAX = 256;

const FORMAT = 2;
const VERSION_OFFSET = 1 + POSITION_BYTES + COUNT_BYTES;
const VALUE_BYTES_OFFSET = VERSION_OFFSET + 3 * COUNT_BYTES;
const BACK_COUNT_OFFSET = VALUE_BYTES_OFFSET + 4;
const HEAD_BYTES = BACK_COUNT_OFFSET + 1;

const isInline = (valueBytes: number): boolean => valueBytes <= INLINE_BYTES_MAX;

/** @param value what the key holds; of no length when it is deleted */
export function encodeKeyRecord(record: KeyRecord, value: Uint8Array): Buffer {
  const { back } = record;
  const backCount = back.length / 2;
  const backEnd = HEAD_BYTES + backCount * POSITION_BYTES;
  const inline = isInline(record.valueBytes) ? record.valueBytes : 0;
  const bytes = Buffer.allocUnsafe(backEnd + inline);
  let offset = bytes.writeUInt8(FORMAT, 0);
  offset = writePosition(bytes, record.modified, offset);
  offset = writeCount(bytes, record.createRevision, offset);
  offset = writeCount(bytes, record.version, offset);
  offset = writeCount(bytes, record.lease, offset);
  offset = writeCount(bytes, record.depth, offset);
  offset = bytes.writeUInt32BE(record.valueBytes, offset);
  // Each position of `back` has a lowest bit of its own of a number below 2^53: there are few.
  offset = bytes.writeUInt8(backCount, offset);
  for (let place = 0; place < backCount; place += 1) {
    offset = writePosition(bytes, positionAt(back, place), offset);
  }
  if (inline > 0) bytes.set(value, offset);
  return bytes;
}

/** @throws BalsaError `STATE_CORRUPT` */
export function decodeKeyRecord(source: Uint8Array): KeyRecord {
  const bytes = toBuffer(source);
  checkLength(bytes);
  const counts = 1 + POSITION_BYTES;
  const back = new Array<number>(2 * (bytes[BACK_COUNT_OFFSET] as number));
  let offset = HEAD_BYTES;
  for (let i = 0; i < back.length; i += 2) {
    const { revision, sub } = readPosition(bytes, offset);
    back[i] = revision;
    back[i + 1] = sub;
    offset += POSITION_BYTES;
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

/** The value (a view); `null`: it is too long to be here. */
export function inlineValue(source: Uint8Array): Uint8Array | null {
  const bytes = toBuffer(source);
  return isInline(bytes.readUInt32BE(VALUE_BYTES_OFFSET)) ? bytes.subarray(backEndOf(bytes)) : null;
}

function backEndOf(bytes: Buffer): number {
  return HEAD_BYTES + (bytes[BACK_COUNT_OFFSET] ?? 0) * POSITION_BYTES;
}

/** @throws BalsaError `STATE_CORRUPT` */
function checkLength(bytes: Buffer): void {
  if (bytes.byteLength < HEAD_BYTES || bytes[0] !== FORMAT) throw unreadable(bytes);
  const valueBytes = bytes.readUInt32BE(VALUE_BYTES_OFFSET);
  const inline = isInline(valueBytes) ? valueBytes : 0;
  if (backEndOf(bytes) + inline !== bytes.byteLength) throw unreadable(bytes);
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
  checkLength(bytes);
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
