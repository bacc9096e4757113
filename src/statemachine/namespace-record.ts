import { toBuffer } from '../base/bytes.js';
import { corrupt } from './corrupt.js';
import { COUNT_BYTES, readCount, writeCount } from './fixed-binary.js';

/** A namespace, as it lies in the store under its name. */
export interface NamespaceRecord {
  /** 0: no bound. */
  readonly quotaBytes: number;
  /** Bytes of its keys and their present values. */
  readonly usedBytes: number;
  readonly keys: number;
  readonly prefix: Uint8Array;
}

const FORMAT = 1;
const HEAD_BYTES = 1 + 3 * COUNT_BYTES;

export function encodeNamespaceRecord(record: NamespaceRecord): Buffer {
  const { quotaBytes, usedBytes, keys, prefix } = record;
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + prefix.byteLength);
  let offset = bytes.writeUInt8(FORMAT, 0);
  offset = writeCount(bytes, quotaBytes, offset);
  offset = writeCount(bytes, usedBytes, offset);
  offset = writeCount(bytes, keys, offset);
  bytes.set(prefix, offset);
  return bytes;
}

/** @throws BalsaError `STATE_CORRUPT` */
export function decodeNamespaceRecord(source: Uint8Array): NamespaceRecord {
  const bytes = toBuffer(source);
  if (bytes.byteLength <= HEAD_BYTES || bytes[0] !== FORMAT) {
    throw corrupt(`a namespace of ${bytes.byteLength} bytes and format ${bytes[0]}`);
  }
  const field = (n: number): number => readCount(bytes, 1 + n * COUNT_BYTES);
  return {
    quotaBytes: field(0),
    usedBytes: field(1),
    keys: field(2),
    prefix: Buffer.from(bytes.subarray(HEAD_BYTES)),
  };
}
