import { toBuffer } from '../base/bytes.js';
import { crc32 } from '../base/checksum.js';

/**
 * Each value in LevelDB ends with a CRC-32 over its key and itself: LevelDB does not check what it
 * reads, and a rotten bit must be an error, never an answer.
 */
const CHECKSUM_BYTES = 4;

/** @param checksum of both, signed or not; when somebody has computed it before */
export function withChecksum(
  key: Uint8Array,
  value: Uint8Array,
  checksum: number = crc32(value, crc32(key)),
): Buffer {
  const length = value.byteLength;
  const stored = Buffer.allocUnsafe(length + CHECKSUM_BYTES);
  stored.set(value, 0);
  // Single stores: faster than `writeUInt32BE`.
  stored[length] = checksum >>> 24;
  stored[length + 1] = checksum >>> 16;
  stored[length + 2] = checksum >>> 8;
  stored[length + 3] = checksum;
  return stored;
}

/** The value (a view); `null` when it is not what was written under this key. */
export function withoutChecksum(key: Uint8Array, bytes: Uint8Array): Buffer | null {
  const stored = toBuffer(bytes);
  const length = stored.byteLength - CHECKSUM_BYTES;
  if (length < 0) return null;
  const value = stored.subarray(0, length);
  return crc32(value, crc32(key)) === stored.readUInt32BE(length) ? value : null;
}
