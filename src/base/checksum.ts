import { crc32 as zlibCrc32 } from 'node:zlib';

/** Up to here the way into zlib takes longer than what is done there. */
const SHORT_BYTES_MAX = 96;

/** As it stands in zlib, the lowest bit first. */
const POLYNOMIAL = 0xedb8_8320;

const SLICES = 8;
const TABLE = 256;

/** `SLICES[n * TABLE + b]`: what the byte `b` is worth with `n` more bytes behind it. */
const TABLES = makeTables();

/**
 * CRC-32 (the polynomial of zlib) of `bytes`, 0 to 2^32 - 1. With `start` it goes on from the checksum
 * of what came before: `crc32(b, crc32(a))` is that of `a` and `b` joined.
 */
export function crc32(bytes: Uint8Array, start = 0): number {
  return bytes.length <= SHORT_BYTES_MAX ? crc32OfShort(bytes, start) : zlibCrc32(bytes, start);
}

/** Eight bytes at a time (Kounavis and Berry 2005, "A Systematic Approach to Building High Performance Software-Based CRC Generators"). */
function crc32OfShort(bytes: Uint8Array, start: number): number {
  const tables = TABLES;
  const { length } = bytes;
  let crc = ~start;
  let at = 0;
  for (; at + SLICES <= length; at += SLICES) {
    crc ^= byteAt(bytes, at) | (byteAt(bytes, at + 1) << 8);
    crc ^= (byteAt(bytes, at + 2) << 16) | (byteAt(bytes, at + 3) << 24);
    crc =
      wordAt(tables, 7 * TABLE + (crc & 0xff)) ^
      wordAt(tables, 6 * TABLE + ((crc >>> 8) & 0xff)) ^
      wordAt(tables, 5 * TABLE + ((crc >>> 16) & 0xff)) ^
      wordAt(tables, 4 * TABLE + (crc >>> 24)) ^
      wordAt(tables, 3 * TABLE + byteAt(bytes, at + 4)) ^
      wordAt(tables, 2 * TABLE + byteAt(bytes, at + 5)) ^
      wordAt(tables, TABLE + byteAt(bytes, at + 6)) ^
      wordAt(tables, byteAt(bytes, at + 7));
  }
  for (; at < length; at += 1) {
    crc = wordAt(tables, (crc ^ byteAt(bytes, at)) & 0xff) ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] as number;
}

function wordAt(words: Int32Array, at: number): number {
  return words[at] as number;
}

function makeTables(): Int32Array {
  const tables = new Int32Array(SLICES * TABLE);
  for (let byte = 0; byte < TABLE; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1 ? POLYNOMIAL : 0) ^ (crc >>> 1);
    tables[byte] = crc;
  }
  for (let at = TABLE; at < tables.length; at += 1) {
    const before = wordAt(tables, at - TABLE);
    tables[at] = wordAt(tables, before & 0xff) ^ (before >>> 8);
  }
  return tables;
}
