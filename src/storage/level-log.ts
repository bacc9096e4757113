import { crc32c } from './crc32c.js';

/**
 * The format in which LevelDB writes both its own log and its MANIFEST: blocks of 32 KiB, in each block
 * records `checksum(4) length(2) type(1) data`; what does not fit in a block is written in parts.
 * https://github.com/google/leveldb/blob/main/doc/log_format.md
 */
const BLOCK_BYTES = 32 * 1024;
const HEADER_BYTES = 7;
const FULL = 1;
const FIRST = 2;
const LAST = 4;

export interface LevelRecords {
  /** All whole records, in order, up to the first place that cannot be read. */
  readonly records: readonly Buffer[];
  /** Where each of them ends. */
  readonly ends: readonly number[];
  /** Behind the last whole record. What lies between here and the end is torn, or damaged. */
  readonly end: number;
  /** There is a whole record behind a place that cannot be read: LevelDB would go on there, without what is missing. */
  readonly hasMore: boolean;
}

interface Part {
  readonly type: number;
  readonly data: Buffer;
  readonly end: number;
}

/** Reads all of a log. */
export function readLevelLog(bytes: Buffer): LevelRecords {
  const records: Buffer[] = [];
  const ends: number[] = [];
  let parts: Buffer[] = [];
  let end = 0;
  let at = 0;
  for (;;) {
    at = skipTrailer(at);
    const part = readPart(bytes, at);
    if (part === null) break;
    // Parts that do not fit together: what was between them is gone.
    const isBegin = part.type === FULL || part.type === FIRST;
    if (isBegin !== (parts.length === 0)) break;
    parts.push(part.data);
    at = part.end;
    if (part.type !== FULL && part.type !== LAST) continue;
    records.push(Buffer.concat(parts));
    parts = [];
    end = at;
    ends.push(end);
  }
  return { records, ends, end, hasMore: end < bytes.length && hasRecordBehind(bytes, end) };
}

/** Less than a header at the end of a block is not used. */
function skipTrailer(at: number): number {
  const left = BLOCK_BYTES - (at % BLOCK_BYTES);
  return left < HEADER_BYTES ? at + left : at;
}

/** `null`: there is no whole one here. */
function readPart(bytes: Buffer, at: number): Part | null {
  if (at + HEADER_BYTES > bytes.length) return null;
  const length = bytes.readUInt16LE(at + 4);
  const type = bytes.readUInt8(at + 6);
  const end = at + HEADER_BYTES + length;
  const blockEnd = at - (at % BLOCK_BYTES) + BLOCK_BYTES;
  if (type < FULL || type > LAST || end > blockEnd || end > bytes.length) return null;
  const rotated = (bytes.readUInt32LE(at) - 0xa282_ead8) >>> 0;
  const checksum = ((rotated >>> 17) | (rotated << 15)) >>> 0;
  if (crc32c(bytes, at + 6, end) !== checksum) return null;
  return { type, data: bytes.subarray(at + HEADER_BYTES, end), end };
}

/** Anywhere: where a length is damaged, records do not begin where they should. */
function hasRecordBehind(bytes: Buffer, from: number): boolean {
  // The rest of a record that was torn in its middle is no record.
  for (let at = from + 1; at + HEADER_BYTES < bytes.length; at += 1) {
    const type = bytes[at + 6];
    if (type !== FULL && type !== FIRST) continue;
    if (readPart(bytes, at) !== null) return true;
  }
  return false;
}
