import { toBuffer } from '../base/bytes.js';
import { corrupt } from './corrupt.js';
import { COUNT_BYTES, readCount, writeCount } from './fixed-binary.js';

/**
 * The last configuration of the members that was applied. It is part of the state, so that a snapshot
 * brings it along when the log that held it is gone.
 */
export interface ConfigurationRecord {
  /** Of the log entry that held it. */
  readonly index: number;
  /** As it was in the entry; the state machine does not look into it. */
  readonly payload: Uint8Array;
}

const FORMAT = 1;
const HEAD_BYTES = 1 + COUNT_BYTES;

export function encodeConfigurationRecord({ index, payload }: ConfigurationRecord): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + payload.byteLength);
  writeCount(bytes, index, bytes.writeUInt8(FORMAT, 0));
  bytes.set(payload, HEAD_BYTES);
  return bytes;
}

/**
 * The payload is a view into `source`.
 * @throws BalsaError `STATE_CORRUPT`
 */
export function decodeConfigurationRecord(source: Uint8Array): ConfigurationRecord {
  const bytes = toBuffer(source);
  if (bytes.byteLength < HEAD_BYTES || bytes[0] !== FORMAT) {
    throw corrupt(`a configuration of ${bytes.byteLength} bytes and format ${bytes[0]}`);
  }
  return { index: readCount(bytes, 1), payload: bytes.subarray(HEAD_BYTES) };
}
