import { crc32 } from 'node:zlib';
import type { Entry, LogIndex, Term } from '../../src/raft/types.js';

/** One number for (index, term): both stay far below 2^26 in a run. */
export function entryKey(index: LogIndex, term: Term): number {
  return term * 2 ** 26 + index;
}

const hashes = new WeakMap<Uint8Array, number>();

/** The same payload object goes through many hands. */
export function contentHash(entry: Entry): number {
  const known = hashes.get(entry.payload);
  if (known !== undefined) return known;
  const hash =
    entry.payload.byteLength === 0 ? crc32(entry.type) : crc32(entry.payload, crc32(entry.type));
  hashes.set(entry.payload, hash);
  return hash;
}
