import { toBuffer } from '../base/bytes.js';
import { corrupt } from './corrupt.js';
import { COUNT_BYTES, readCount, writeCount } from './fixed-binary.js';
import { POSITION_BYTES, type Position, readPosition, writePosition } from './position.js';

/** What one write did. Lies under its {@link Position} and never changes. */
export interface ValueRecord {
  readonly type: 'put' | 'tombstone';
  /** The key's write before this one; revision 0: none. */
  readonly previous: Position;
  /** An earlier write of the key, at most `previous` (see `linkNext`); revision 0: none. */
  readonly skip: Position;
  /** 0 in a tombstone. */
  readonly createRevision: number;
  /** 0 in a tombstone. */
  readonly version: number;
  readonly lease: number;
  /** Length of the value before this write. */
  readonly previousBytes: number;
  readonly key: Uint8Array;
  /** Empty in a tombstone. */
  readonly value: Uint8Array;
}

/** First byte: the format in the high bits, the type in the low ones. */
const PUT = 0x10;
const TOMBSTONE = 0x11;

const COUNTS = 1 + 2 * POSITION_BYTES;
const KEY_LENGTH = COUNTS + 3 * COUNT_BYTES;
const HEAD_BYTES = KEY_LENGTH + 8;

export function encodeValueRecord(record: ValueRecord): Buffer {
  const { key, value } = record;
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + key.byteLength + value.byteLength);
  let offset = bytes.writeUInt8(record.type === 'put' ? PUT : TOMBSTONE, 0);
  offset = writePosition(bytes, record.previous, offset);
  offset = writePosition(bytes, record.skip, offset);
  offset = writeCount(bytes, record.createRevision, offset);
  offset = writeCount(bytes, record.version, offset);
  offset = writeCount(bytes, record.lease, offset);
  offset = bytes.writeUInt32BE(key.byteLength, offset);
  offset = bytes.writeUInt32BE(record.previousBytes, offset);
  bytes.set(key, offset);
  bytes.set(value, offset + key.byteLength);
  return bytes;
}

/**
 * Key and value are views into `source`.
 * @throws BalsaError `STATE_CORRUPT`
 */
export function decodeValueRecord(source: Uint8Array): ValueRecord {
  const bytes = toBuffer(source);
  const keyEnd = keyEndOf(bytes);
  return {
    type: bytes[0] === PUT ? 'put' : 'tombstone',
    previous: readPosition(bytes, 1),
    skip: readPosition(bytes, 1 + POSITION_BYTES),
    createRevision: readCount(bytes, COUNTS),
    version: readCount(bytes, COUNTS + COUNT_BYTES),
    lease: readCount(bytes, COUNTS + 2 * COUNT_BYTES),
    previousBytes: bytes.readUInt32BE(KEY_LENGTH + 4),
    key: bytes.subarray(HEAD_BYTES, keyEnd),
    value: bytes.subarray(keyEnd),
  };
}

/** As `decodeValueRecord(source).value`, for those who read many. */
export function valueIn(source: Uint8Array): Uint8Array {
  const bytes = toBuffer(source);
  return bytes.subarray(keyEndOf(bytes));
}

function keyEndOf(bytes: Buffer): number {
  const type = bytes[0];
  if (bytes.byteLength < HEAD_BYTES || (type !== PUT && type !== TOMBSTONE)) {
    throw corrupt(`a value record of ${bytes.byteLength} bytes and type ${type}`);
  }
  const keyEnd = HEAD_BYTES + bytes.readUInt32BE(KEY_LENGTH);
  if (keyEnd > bytes.byteLength) throw corrupt('a value record that is cut off');
  return keyEnd;
}
