import { toBuffer } from '../base/bytes.js';
import { corrupt } from './corrupt.js';
import { COUNT_BYTES, readCount, writeCount } from './fixed-binary.js';

/** A lease, as it lies in the store under its id. */
export interface LeaseRecord {
  readonly ttlMs: number;
  /** In log time. */
  readonly deadlineMs: number;
  /** Keys that hang on it. */
  readonly keyCount: number;
}

const FORMAT = 1;
const BYTES = 1 + 3 * COUNT_BYTES;

export function encodeLeaseRecord({ ttlMs, deadlineMs, keyCount }: LeaseRecord): Buffer {
  const bytes = Buffer.allocUnsafe(BYTES);
  let offset = bytes.writeUInt8(FORMAT, 0);
  offset = writeCount(bytes, ttlMs, offset);
  offset = writeCount(bytes, deadlineMs, offset);
  writeCount(bytes, keyCount, offset);
  return bytes;
}

/** @throws BalsaError `STATE_CORRUPT` */
export function decodeLeaseRecord(source: Uint8Array): LeaseRecord {
  const bytes = toBuffer(source);
  if (bytes.byteLength !== BYTES || bytes[0] !== FORMAT) {
    throw corrupt(`a lease of ${bytes.byteLength} bytes and format ${bytes[0]}`);
  }
  const field = (n: number): number => readCount(bytes, 1 + n * COUNT_BYTES);
  return { ttlMs: field(0), deadlineMs: field(1), keyCount: field(2) };
}
