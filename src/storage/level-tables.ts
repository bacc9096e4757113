import { type FileHandle, open, readdir } from 'node:fs/promises';
import { crc32c } from './crc32c.js';
import type { Database } from './level-database.js';
import { unsnappy } from './snappy.js';

/**
 * LevelDB's tables have a checksum for each block, which it does not look at when it reads. A flipped bit
 * in a value is seen without it (see `value-checksum`), one in a key, an index or a filter is not: the
 * key would seem not to exist. So the tables are checked here.
 *
 * A table is blocks, one behind the other, each with its type (1 byte) and its checksum (4); the last
 * one is the index of the data blocks. Then comes a footer, which says where that is.
 * https://github.com/google/leveldb/blob/main/doc/table_format.md
 */

export interface DamagedTable {
  readonly number: number;
  readonly file: string;
  readonly offset: number;
}

/** How tables are read. */
export interface TableReading {
  readonly bytesAtOnce: number;
  /** So many were read: it goes on when that is done. */
  readonly onRead: (bytes: number) => Promise<void>;
}

const AT_FULL_SPEED: TableReading = { bytesAtOnce: 1024 * 1024, onRead: async () => {} };

/** Where a block is, without its trailer. */
interface BlockPlace {
  readonly offset: number;
  readonly length: number;
}

const FOOTER_BYTES = 48;
const TRAILER_BYTES = 5;
const CHECKSUM_BYTES = 4;
/** Looked at in one go. */
const SLICE_BYTES = 1024 * 1024;
const MAGIC = Buffer.from('57fb808b247547db', 'hex');
const UNCOMPRESSED = 0;
const SNAPPY = 1;

/**
 * Reads the tables in the folder. A table that LevelDB left behind unfinished is among the damaged ones:
 * only {@link liveTables} count.
 * @param numbers of those to read; all by default
 */
export async function damagedTables(
  folder: string,
  numbers: ReadonlySet<number> | null = null,
  reading = AT_FULL_SPEED,
): Promise<DamagedTable[]> {
  const damaged: DamagedTable[] = [];
  for (const name of await tableNames(folder)) {
    const number = tableNumber(name);
    if (number === null || numbers?.has(number) === false) continue;
    const file = `${folder}/${name}`;
    const offset = await firstDamage(file, reading);
    if (offset !== null) damaged.push({ number, file, offset });
  }
  return damaged;
}

/** Numbers of the tables that make up the database now. */
export function liveTables(database: Database): Set<number> {
  const getProperty: unknown = Reflect.get(database, 'getProperty');
  if (typeof getProperty !== 'function') return new Set();
  const text = String(Reflect.apply(getProperty, database, ['leveldb.sstables']));
  return new Set([...text.matchAll(/^ (\d+):\d+\[/gm)].map((match) => Number(match[1])));
}

async function tableNames(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    // A folder that is no folder, or may not be read: LevelDB says so when it opens it.
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return [];
    throw error;
  }
}

function tableNumber(name: string): number | null {
  const match = /^(\d+)\.(?:ldb|sst)$/.exec(name);
  return match === null ? null : Number(match[1]);
}

/** The offset of the first block that is not what was written; `null` when all are. */
async function firstDamage(file: string, reading: TableReading): Promise<number | null> {
  const handle = await openTable(file);
  if (handle === null) return null;
  try {
    const { size } = await handle.stat();
    const footer = await readFully(handle, size - FOOTER_BYTES, FOOTER_BYTES);
    const places = footer === null ? null : readFooter(footer);
    if (places === null) return Math.max(size - FOOTER_BYTES, 0);
    for (const place of places) {
      if ((await readBlock(handle, place)) === null) return place.offset;
    }
    const [metaIndex, index] = places;
    for (const block of [metaIndex, index]) {
      const contents = await readBlock(handle, block);
      const inner = contents === null ? null : readHandles(contents);
      if (inner === null) return block.offset;
      const damage = await firstDamagedBlock(handle, inner, reading);
      if (damage !== null) return damage;
    }
    return null;
  } finally {
    await handle.close();
  }
}

/** `null`: LevelDB has deleted it. */
async function openTable(file: string): Promise<FileHandle | null> {
  try {
    return await open(file, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** Blocks that lie side by side are read together. */
async function firstDamagedBlock(
  handle: FileHandle,
  places: readonly BlockPlace[],
  { bytesAtOnce, onRead }: TableReading,
): Promise<number | null> {
  let window: { offset: number; bytes: Buffer } = { offset: 0, bytes: Buffer.alloc(0) };
  for (const { offset, length } of places) {
    const need = length + TRAILER_BYTES;
    const isIn =
      offset >= window.offset && offset + need <= window.offset + window.bytes.byteLength;
    if (!isIn) {
      const bytes = await readSome(handle, offset, Math.max(bytesAtOnce, need));
      window = { offset, bytes };
      await onRead(bytes.byteLength);
    }
    const at = offset - window.offset;
    if (at + need > window.bytes.byteLength) return offset;
    const block = window.bytes.subarray(at, at + need);
    if (need > SLICE_BYTES ? !(await isWholeInSlices(block)) : !isWhole(block)) return offset;
  }
  return null;
}

/** The contents of a block, unpacked; `null` when it is damaged. */
async function readBlock(handle: FileHandle, place: BlockPlace): Promise<Buffer | null> {
  const bytes = await readFully(handle, place.offset, place.length + TRAILER_BYTES);
  if (bytes === null || !isWhole(bytes)) return null;
  const contents = bytes.subarray(0, place.length);
  const type = bytes[place.length];
  if (type === UNCOMPRESSED) return contents;
  return type === SNAPPY ? unsnappy(contents) : null;
}

/** Of a block with its trailer. */
function isWhole(block: Buffer): boolean {
  return crc32c(block, 0, block.byteLength - CHECKSUM_BYTES) === checksumOf(block);
}

/** The same of a large one, while others have their turns. */
async function isWholeInSlices(block: Buffer): Promise<boolean> {
  const end = block.byteLength - CHECKSUM_BYTES;
  let crc = 0;
  for (let at = 0; at < end; at += SLICE_BYTES) {
    crc = crc32c(block, at, Math.min(at + SLICE_BYTES, end), crc);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return crc === checksumOf(block);
}

function checksumOf(block: Buffer): number {
  const rotated = (block.readUInt32LE(block.byteLength - CHECKSUM_BYTES) - 0xa282_ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

/** Where the metaindex and the index are. */
function readFooter(footer: Buffer): [BlockPlace, BlockPlace] | null {
  if (!footer.subarray(FOOTER_BYTES - MAGIC.byteLength).equals(MAGIC)) return null;
  const metaIndex = readHandle(footer, 0);
  const index = metaIndex === null ? null : readHandle(footer, metaIndex.end);
  return metaIndex === null || index === null ? null : [metaIndex.place, index.place];
}

/** The places that a block of places (the index, or the metaindex) names; `null` when it cannot be read. */
function readHandles(block: Buffer): BlockPlace[] | null {
  const restarts = block.byteLength >= 4 ? block.readUInt32LE(block.byteLength - 4) : -1;
  const end = block.byteLength - 4 - 4 * restarts;
  if (restarts < 0 || end < 0) return null;
  const places: BlockPlace[] = [];
  // An entry: bytes shared with the key before, other bytes, bytes of the value; key; value.
  for (let at = 0; at < end; ) {
    const shared = readVarint(block, at);
    const own = shared === null ? null : readVarint(block, shared.end);
    const value = own === null ? null : readVarint(block, own.end);
    if (own === null || value === null) return null;
    const valueAt = value.end + own.value;
    const handle = readHandle(block, valueAt);
    if (handle === null) return null;
    places.push(handle.place);
    at = valueAt + value.value;
  }
  return places;
}

function readHandle(bytes: Buffer, at: number): { place: BlockPlace; end: number } | null {
  const offset = readVarint(bytes, at);
  const length = offset === null ? null : readVarint(bytes, offset.end);
  if (offset === null || length === null) return null;
  return { place: { offset: offset.value, length: length.value }, end: length.end };
}

function readVarint(bytes: Buffer, at: number): { value: number; end: number } | null {
  let value = 0;
  for (let n = 0; n < 8; n += 1) {
    const byte = bytes[at + n];
    if (byte === undefined) return null;
    value += (byte & 0x7f) * 2 ** (7 * n);
    if (byte < 0x80) return { value, end: at + n + 1 };
  }
  return null;
}

async function readFully(
  handle: FileHandle,
  position: number,
  length: number,
): Promise<Buffer | null> {
  // A length out of a damaged footer may be anything.
  if (position < 0 || length > (await handle.stat()).size) return null;
  const bytes = await readSome(handle, position, length);
  return bytes.byteLength === length ? bytes : null;
}

/** Fewer bytes at the end of the file only. */
async function readSome(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}
