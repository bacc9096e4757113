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

/** For parts up to this long what they shift by is kept: 4 KiB for each length that there was. */
const KEPT_LENGTH_MAX = 1024;

/** `KEPT_SHIFTS[length]`: see {@link shiftBy}. */
const KEPT_SHIFTS = new Array<Int32Array | undefined>(KEPT_LENGTH_MAX + 1);

/** x^(8 * 2^k) modulo the polynomial: what 2^k bytes shift by. Together they reach to 4 GiB. */
const POWERS = makePowers();

/**
 * `crc32(b, a)` where not `b` is at hand but its own checksum and length: what follows `a` is not read again (the method of
 * `crc32_combine` in zlib).
 * @param a of what comes first, or what else the checksum is begun with
 * @param b of the part that follows it
 * @param length of that part, in bytes
 */
export function crc32Joined(a: number, b: number, length: number): number {
  if (length > KEPT_LENGTH_MAX) return (multiply(powerOf(length), a) ^ b) >>> 0;
  let shift = KEPT_SHIFTS[length];
  if (shift === undefined) {
    shift = shiftBy(length);
    KEPT_SHIFTS[length] = shift;
  }
  const low = wordAt(shift, a & 0xff) ^ wordAt(shift, TABLE + ((a >>> 8) & 0xff));
  const high =
    wordAt(shift, 2 * TABLE + ((a >>> 16) & 0xff)) ^ wordAt(shift, 3 * TABLE + (a >>> 24));
  return (low ^ high ^ b) >>> 0;
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
    for (let bit = 0; bit < 8; bit += 1) crc = timesX(crc);
    tables[byte] = crc;
  }
  for (let at = TABLE; at < tables.length; at += 1) {
    const before = wordAt(tables, at - TABLE);
    tables[at] = wordAt(tables, before & 0xff) ^ (before >>> 8);
  }
  return tables;
}

/** A polynomial times x modulo that of the checksum. */
function timesX(polynomial: number): number {
  return (polynomial & 1 ? POLYNOMIAL : 0) ^ (polynomial >>> 1);
}

/** The product of two polynomials modulo that of the checksum; the highest bit stands for x^0. */
function multiply(a: number, b: number): number {
  let product = 0;
  let power = b;
  for (let bit = 31; bit >= 0; bit -= 1) {
    if ((a >>> bit) & 1) product ^= power;
    power = timesX(power);
  }
  return product >>> 0;
}

function makePowers(): readonly number[] {
  // x^8, which is one byte.
  const powers = [0x0080_0000];
  for (let last = 0x0080_0000; powers.length < 32; ) {
    last = multiply(last, last);
    powers.push(last);
  }
  return powers;
}

/** x^(8 * length) modulo the polynomial. */
function powerOf(length: number): number {
  let power = 0x8000_0000;
  for (const [k, one] of POWERS.entries()) {
    if ((length >>> k) & 1) power = multiply(one, power);
  }
  return power;
}

/** Multiplies by x^(8 * length): four tables, one for each byte of what is multiplied. */
function shiftBy(length: number): Int32Array {
  const power = powerOf(length);
  const tables = new Int32Array(4 * TABLE);
  for (let bit = 0; bit < 32; bit += 1) {
    const product = multiply(power, (1 << bit) >>> 0);
    const table = (bit >>> 3) * TABLE;
    const byte = 1 << (bit & 7);
    for (let below = 0; below < byte; below += 1) {
      tables[table + byte + below] = product ^ wordAt(tables, table + below);
    }
  }
  return tables;
}
