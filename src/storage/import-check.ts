import {
  checkEnd,
  countChunk,
  NO_CHUNKS,
  type SnapshotChunk,
  type SnapshotEnd,
  type SnapshotPair,
  snapshotCorrupt,
} from '../base/snapshot-codec.js';
import { RESERVED_BYTE } from './flush-markers.js';

/** What an import checks, chunk by chunk: numbers, sums, and that keys come in order. */
export class ImportCheck {
  #sums: SnapshotEnd = NO_CHUNKS;
  #lastKey: Uint8Array | null = null;

  get chunks(): number {
    return this.#sums.chunks;
  }

  /**
   * The pairs of the next chunk. It counts as taken in only with {@link accept}.
   * @throws BalsaError `SNAPSHOT_CORRUPT`
   */
  read(chunk: SnapshotChunk): { readonly pairs: SnapshotPair[]; accept(): void } {
    const { pairs, sums } = countChunk(this.#sums, chunk);
    let last = this.#lastKey;
    for (const [key] of pairs) {
      if (key.byteLength === 0 || key[0] === RESERVED_BYTE) {
        throw snapshotCorrupt('a key that a state does not have');
      }
      if (last !== null && Buffer.compare(last, key) >= 0) {
        throw snapshotCorrupt('keys that are not in order');
      }
      last = key;
    }
    return {
      pairs,
      accept: () => {
        this.#sums = sums;
        // A copy: the key is a view into the chunk.
        this.#lastKey = last === null ? null : Uint8Array.from(last);
      },
    };
  }

  /** @throws BalsaError `SNAPSHOT_CORRUPT` */
  finish(end: SnapshotEnd): void {
    checkEnd(this.#sums, end);
  }
}

/** Is it the same snapshot, so that an import of it may go on? */
export function isSameSnapshot(
  a: { readonly id: string; readonly position: { readonly index: number; readonly term: number } },
  b: typeof a,
): boolean {
  return (
    a.id === b.id && a.position.index === b.position.index && a.position.term === b.position.term
  );
}
