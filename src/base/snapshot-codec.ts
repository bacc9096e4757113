import { unreachable } from './assert.js';
import { crc32 } from './checksum.js';
import { check, pack, shownType, unpack } from './codec.js';
import { BalsaError } from './errors.js';

/**
 * Snapshots: the whole state after one entry, as a header, numbered chunks in key order, and an end.
 * The same three parts, in the same bytes, travel from a leader to a follower and lie in a backup file.
 */

/** The newest format that this version reads and writes. */
export const SNAPSHOT_FORMAT = 1;

export interface SnapshotHeader {
  readonly format: number;
  /** Names this one snapshot: an import that was interrupted goes on only with the same. */
  readonly id: string;
  readonly clusterName: string;
  readonly clusterId: string;
  /** The last entry whose effects it holds. */
  readonly position: { readonly index: number; readonly term: number };
  /** `packConfiguration` of the one in effect there, and the index of its entry. */
  readonly configuration: Uint8Array;
  readonly configurationIndex: number;
  readonly revision: number;
  readonly stateHash: number;
  /** Milliseconds since 1970. */
  readonly createdMs: number;
}

export interface SnapshotChunk {
  /** From 1, without gaps. */
  readonly number: number;
  /** Packed pairs in key order; see {@link packPairs}. */
  readonly pairs: Uint8Array;
  /** CRC-32 of `pairs`, continued from the checksum of the chunk before. */
  readonly checksum: number;
}

export interface SnapshotEnd {
  readonly chunks: number;
  readonly keys: number;
  /** Of all `pairs`. */
  readonly bytes: number;
  /** Of the last chunk; 0 when there is none. */
  readonly checksum: number;
}

export type SnapshotPart =
  | { readonly type: 'header'; readonly header: SnapshotHeader }
  | { readonly type: 'chunk'; readonly chunk: SnapshotChunk }
  | { readonly type: 'end'; readonly end: SnapshotEnd };

export type SnapshotPair = readonly [key: Uint8Array, value: Uint8Array];

// ---------------------------------------------------------------- parts

const HEADER = 1;
const CHUNK = 2;
const END = 3;

/** A part in bytes of its own. Header and end carry a checksum of themselves. */
export function packSnapshotPart(part: SnapshotPart): Buffer {
  switch (part.type) {
    case 'header': {
      const h = part.header;
      return packSealed([
        HEADER,
        h.format,
        h.id,
        h.clusterName,
        h.clusterId,
        h.position.index,
        h.position.term,
        h.configuration,
        h.configurationIndex,
        h.revision,
        h.stateHash,
        h.createdMs,
      ]);
    }
    case 'chunk':
      return pack([CHUNK, part.chunk.number, part.chunk.checksum, part.chunk.pairs]);
    case 'end': {
      const { chunks, keys, bytes, checksum } = part.end;
      return packSealed([END, chunks, keys, bytes, checksum]);
    }
    default:
      return unreachable(part);
  }
}

/**
 * Byte strings are views into `bytes`. Of a chunk only the form is checked: see {@link countChunk}.
 * @throws BalsaError `SNAPSHOT_CORRUPT`, `VERSION_UNSUPPORTED`
 */
export function unpackSnapshotPart(bytes: Uint8Array): SnapshotPart {
  try {
    return readPart(check.tuple(unpack(bytes), 'snapshot part', 1));
  } catch (error) {
    if (error instanceof BalsaError && error.code === 'FRAME_INVALID') {
      throw snapshotCorrupt(error.message);
    }
    throw error;
  }
}

function readPart(tuple: readonly unknown[]): SnapshotPart {
  switch (tuple[0]) {
    case HEADER:
      return { type: 'header', header: readHeader(tuple) };
    case CHUNK:
      return {
        type: 'chunk',
        chunk: {
          number: check.count(tuple[1], 'chunk number'),
          checksum: check.count(tuple[2], 'chunk checksum'),
          pairs: check.bytes(tuple[3], 'chunk pairs'),
        },
      };
    case END: {
      const t = unsealed(tuple);
      return {
        type: 'end',
        end: {
          chunks: check.count(t[1], 'snapshot chunks'),
          keys: check.count(t[2], 'snapshot keys'),
          bytes: check.count(t[3], 'snapshot bytes'),
          checksum: check.count(t[4], 'snapshot checksum'),
        },
      };
    }
    default:
      throw snapshotCorrupt(`a part of unknown type ${shownType(tuple[0])}`);
  }
}

function readHeader(tuple: readonly unknown[]): SnapshotHeader {
  const t = unsealed(tuple);
  const format = check.count(t[1], 'snapshot format');
  if (format > SNAPSHOT_FORMAT) {
    throw new BalsaError(
      'VERSION_UNSUPPORTED',
      `the snapshot has format ${format}, this version knows ${SNAPSHOT_FORMAT}; use a newer Balsa`,
      { details: { version: format, supported: SNAPSHOT_FORMAT } },
    );
  }
  return {
    format,
    id: check.text(t[2], 'snapshot id'),
    clusterName: check.text(t[3], 'snapshot cluster'),
    clusterId: check.text(t[4], 'snapshot cluster id'),
    position: {
      index: check.count(t[5], 'snapshot index'),
      term: check.count(t[6], 'snapshot term'),
    },
    configuration: check.bytes(t[7], 'snapshot configuration'),
    configurationIndex: check.count(t[8], 'snapshot configuration index'),
    revision: check.count(t[9], 'snapshot revision'),
    stateHash: check.count(t[10], 'snapshot state hash'),
    createdMs: check.count(t[11], 'snapshot time'),
  };
}

/** The tuple with its own checksum as the last field. */
function packSealed(fields: readonly unknown[]): Buffer {
  return pack([...fields, crc32(pack(fields))]);
}

/** Fields may have been appended by a newer version, before the checksum. */
function unsealed(tuple: readonly unknown[]): readonly unknown[] {
  const fields = tuple.slice(0, -1);
  if (tuple.at(-1) !== crc32(pack(fields))) throw snapshotCorrupt('its header or its end');
  return fields;
}

// ---------------------------------------------------------------- pairs

const LENGTHS_BYTES = 8;

/** `[key length (4), value length (4), key, value]` for each pair, one behind the other. */
export function packPairs(pairs: readonly SnapshotPair[]): Buffer {
  let length = 0;
  for (const [key, value] of pairs) length += packedPairBytes(key, value);
  const bytes = Buffer.allocUnsafe(length);
  let offset = 0;
  for (const [key, value] of pairs) {
    offset = bytes.writeUInt32BE(key.byteLength, offset);
    offset = bytes.writeUInt32BE(value.byteLength, offset);
    bytes.set(key, offset);
    offset += key.byteLength;
    bytes.set(value, offset);
    offset += value.byteLength;
  }
  return bytes;
}

/** What a pair takes in {@link packPairs}. */
export function packedPairBytes(key: Uint8Array, value: Uint8Array): number {
  return LENGTHS_BYTES + key.byteLength + value.byteLength;
}

/**
 * Views into `bytes`.
 * @throws BalsaError `SNAPSHOT_CORRUPT`
 */
export function unpackPairs(bytes: Uint8Array): SnapshotPair[] {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const pairs: SnapshotPair[] = [];
  let offset = 0;
  while (offset < view.byteLength) {
    if (offset + LENGTHS_BYTES > view.byteLength) throw snapshotCorrupt('a pair that is cut off');
    const keyStart = offset + LENGTHS_BYTES;
    const valueStart = keyStart + view.readUInt32BE(offset);
    offset = valueStart + view.readUInt32BE(offset + 4);
    if (offset > view.byteLength) throw snapshotCorrupt('a pair that is cut off');
    pairs.push([view.subarray(keyStart, valueStart), view.subarray(valueStart, offset)]);
  }
  return pairs;
}

// ---------------------------------------------------------------- sums

/** The sums over the chunks so far; as an end, those of all. */
export const NO_CHUNKS: SnapshotEnd = { chunks: 0, keys: 0, bytes: 0, checksum: 0 };

/** The next chunk behind those of `sums`, and the sums with it. Whoever sends keeps the sums. */
export function makeChunk(
  sums: SnapshotEnd,
  pairs: readonly SnapshotPair[],
): { readonly chunk: SnapshotChunk; readonly sums: SnapshotEnd } {
  const packed = packPairs(pairs);
  const checksum = crc32(packed, sums.checksum);
  const chunk = { number: sums.chunks + 1, pairs: packed, checksum };
  return { chunk, sums: addChunk(sums, chunk, pairs.length) };
}

/**
 * Checks that `chunk` is the one behind those of `sums`, and undamaged.
 * @throws BalsaError `SNAPSHOT_CORRUPT`
 */
export function countChunk(
  sums: SnapshotEnd,
  chunk: SnapshotChunk,
): { readonly pairs: SnapshotPair[]; readonly sums: SnapshotEnd } {
  if (chunk.number !== sums.chunks + 1) {
    throw snapshotCorrupt(`chunk ${chunk.number} where ${sums.chunks + 1} is due`);
  }
  if (crc32(chunk.pairs, sums.checksum) !== chunk.checksum) {
    throw snapshotCorrupt(`chunk ${chunk.number}, whose checksum is wrong`);
  }
  const pairs = unpackPairs(chunk.pairs);
  return { pairs, sums: addChunk(sums, chunk, pairs.length) };
}

/**
 * Checks that the sums over all chunks are those that the sender states.
 * @throws BalsaError `SNAPSHOT_CORRUPT`
 */
export function checkEnd(sums: SnapshotEnd, end: SnapshotEnd): void {
  for (const name of ['chunks', 'keys', 'bytes', 'checksum'] as const) {
    if (sums[name] === end[name]) continue;
    throw snapshotCorrupt(`${name} are ${sums[name]} where ${end[name]} are due`);
  }
}

export function snapshotCorrupt(found: string): BalsaError {
  return new BalsaError('SNAPSHOT_CORRUPT', `the snapshot is damaged: ${found}`);
}

function addChunk(sums: SnapshotEnd, chunk: SnapshotChunk, keys: number): SnapshotEnd {
  return {
    chunks: chunk.number,
    keys: sums.keys + keys,
    bytes: sums.bytes + chunk.pairs.byteLength,
    checksum: chunk.checksum,
  };
}
