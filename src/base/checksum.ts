import { crc32 as zlibCrc32 } from 'node:zlib';

/**
 * CRC-32 (the polynomial of zlib) of `bytes`, 0 to 2^32 - 1. With `start` it goes on from the checksum
 * of what came before: `crc32(b, crc32(a))` is that of `a` and `b` joined.
 */
export function crc32(bytes: Uint8Array, start = 0): number {
  return zlibCrc32(bytes, start);
}
