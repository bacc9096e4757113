/** CRC-32C (Castagnoli), as LevelDB has it in its tables. Node has only the other CRC-32. */

const POLYNOMIAL = 0x82f6_3b78;
const BYTE_VALUES = 256;
/** Bytes taken at a time ("slicing by 8"), each with a table of its own. */
const SLICES = 8;
/** Signed, and in one piece: three times as fast as eight lists of unsigned numbers. */
const TABLE = makeTable();

function makeTable(): Int32Array {
  const table = new Int32Array(SLICES * BYTE_VALUES);
  for (let n = 0; n < BYTE_VALUES; n += 1) {
    let crc = n;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    table[n] = crc;
  }
  for (let n = BYTE_VALUES; n < table.length; n += 1) {
    const before = table[n - BYTE_VALUES] as number;
    table[n] = (table[before & 0xff] as number) ^ (before >>> 8);
  }
  return table;
}

/** Of `bytes` from `start` to `end`, going on from that of what stands before. */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.byteLength, before = 0): number {
  let crc = ~before;
  let at = start;
  for (const last = end - 7; at < last; at += 8) {
    const low = crc ^ word(bytes, at);
    const high = word(bytes, at + 4);
    crc =
      (TABLE[0x700 + (low & 0xff)] as number) ^
      (TABLE[0x600 + ((low >>> 8) & 0xff)] as number) ^
      (TABLE[0x500 + ((low >>> 16) & 0xff)] as number) ^
      (TABLE[0x400 + (low >>> 24)] as number) ^
      (TABLE[0x300 + (high & 0xff)] as number) ^
      (TABLE[0x200 + ((high >>> 8) & 0xff)] as number) ^
      (TABLE[0x100 + ((high >>> 16) & 0xff)] as number) ^
      (TABLE[high >>> 24] as number);
  }
  for (; at < end; at += 1) {
    crc = (crc >>> 8) ^ (TABLE[(crc ^ (bytes[at] as number)) & 0xff] as number);
  }
  return ~crc >>> 0;
}

function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}
