import { crc32 as zlibCrc32 } from 'node:zlib';

/**
 * CRC-32 (the polynomial of zlib) of `bytes`, 0 to 2^32 - 1. With `start` it goes on from the checksum
 * of what came before: `crc32(b, crc32(a))` is that of `a` and `b` joined.
 */
export function crc32(bytes: Uint8Array, start = 0): number {
  // zlib's own gives 0 for no bytes, whatever the start, when the array has no memory behind it.
  return bytes.byteLength === 0 ? start : zlibCrc32(bytes, start);
}
