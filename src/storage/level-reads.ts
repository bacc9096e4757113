import { stateCorrupt } from './flush-markers.js';
import type { DiskCursor } from './level-scan.js';
import { withoutChecksum } from './value-checksum.js';

type Pair = readonly [key: Buffer, value: Buffer];

/**
 * The value that LevelDB has under `key`, if what it has is what was written.
 * @throws BalsaError `STATE_CORRUPT`
 */
export function checkedValue(
  key: Uint8Array,
  stored: Buffer | undefined,
  folder: string,
): Buffer | undefined {
  if (stored === undefined) return undefined;
  const value = withoutChecksum(key, stored);
  if (value === null) throw damaged(key, folder);
  return value;
}

/**
 * The pairs without their checksums.
 * @throws BalsaError `STATE_CORRUPT`
 */
export function checkedPairs(pairs: readonly Pair[], folder: string): Pair[] {
  return pairs.map(([key, stored]): Pair => {
    const value = withoutChecksum(key, stored);
    if (value === null) throw damaged(key, folder);
    return [key, value];
  });
}

/** A cursor whose pairs are checked. */
export function checkedCursor(cursor: DiskCursor, folder: string): DiskCursor {
  return { nextv: async (count) => checkedPairs(await cursor.nextv(count), folder) };
}

function damaged(key: Uint8Array, folder: string): Error {
  const hex = Buffer.from(key.subarray(0, 32)).toString('hex');
  return stateCorrupt(folder, `the record at ${hex} is not what was written`, null);
}
