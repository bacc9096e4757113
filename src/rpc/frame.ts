import { crc32 } from '../base/checksum.js';
import { pack, packLarge, unpack } from '../base/codec.js';
import { BalsaError } from '../base/errors.js';

const CHECKSUM_BYTES = 4;

/**
 * A tuple as the bytes of a frame: a CRC-32 (big-endian), then msgpack. TCP's own checksum misses
 * about one damaged segment in sixty thousand, and a wrong value must never be stored as if it were
 * the one that was sent.
 *
 * @param isLarge there are byte strings of `LARGE_BYTES` or more in it
 */
export function packFrame(tuple: readonly unknown[], isLarge = false): Buffer {
  if (isLarge) return packLargeFrame(tuple);
  const content = pack(tuple);
  const frame = Buffer.allocUnsafe(CHECKSUM_BYTES + content.byteLength);
  frame.writeUInt32BE(crc32(content), 0);
  content.copy(frame, CHECKSUM_BYTES);
  return frame;
}

function packLargeFrame(tuple: readonly unknown[]): Buffer {
  const pieces = packLarge(tuple);
  const head = Buffer.allocUnsafe(CHECKSUM_BYTES);
  head.writeUInt32BE(
    pieces.reduce((checksum, piece) => crc32(piece, checksum), 0),
    0,
  );
  return Buffer.concat([head, ...pieces]);
}

/** @throws BalsaError `FRAME_INVALID` */
export function unpackFrame(bytes: Uint8Array): unknown {
  if (bytes.byteLength <= CHECKSUM_BYTES)
    throw new BalsaError('FRAME_INVALID', 'the frame is empty');
  const content = bytes.subarray(CHECKSUM_BYTES);
  const stated = new DataView(bytes.buffer, bytes.byteOffset, CHECKSUM_BYTES).getUint32(0);
  if (crc32(content) !== stated) {
    throw new BalsaError('FRAME_INVALID', 'the checksum of the frame is wrong: damaged on its way');
  }
  return unpack(content);
}
