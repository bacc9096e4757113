import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { type Random, seededRandom } from '../../src/base/random.js';

/** What happens to a file. */
export type Damage =
  | { readonly kind: 'flip'; readonly offset: number; readonly bit: number }
  | { readonly kind: 'zeros'; readonly offset: number; readonly length: number }
  | { readonly kind: 'truncated'; readonly size: number }
  | { readonly kind: 'missing' };

const BLOCK_BYTES = 512;

/** Small files are looked at byte by byte, of larger ones so many places are drawn. */
const EVERY_BYTE_MAX = 1100;

/** LevelDB's lock and its diary hold no data, nor does the lock of the folder, which is made anew where it is damaged. */
const NO_DATA = /^lock\/|(^|\/)(LOCK|LOG(\.old)?)$/;

export function dataFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .filter((name) => !NO_DATA.test(name))
    .sort();
}

/** Damages of one file: every kind, and flips all over it. */
export function damagesOf(path: string, flipsMax: number): Damage[] {
  const size = usedBytes(path);
  const random = seededRandom(size + 1);
  const damages: Damage[] = [{ kind: 'missing' }];
  if (size === 0) return damages;
  for (const offset of offsets(size, flipsMax, random)) {
    damages.push({ kind: 'flip', offset, bit: random.int(8) });
  }
  for (let offset = 0; offset < size; offset += BLOCK_BYTES * (1 + Math.floor(size / 16_384))) {
    damages.push({ kind: 'zeros', offset, length: Math.min(BLOCK_BYTES, size - offset) });
  }
  const sizes = new Set([0, 1, size >> 1, size - 1, random.int(size), random.int(size)]);
  for (const cut of sizes) damages.push({ kind: 'truncated', size: cut });
  return damages;
}

/** One bit in each block of the file that is in use, by number of the block. */
export function blocksOf(path: string, blockBytes: number): Damage[] {
  const size = usedBytes(path);
  const random = seededRandom(size + 2);
  return Array.from({ length: Math.ceil(size / blockBytes) }, (_, block) => {
    const length = Math.min(blockBytes, size - block * blockBytes);
    const offset = block * blockBytes + random.int(length);
    return { kind: 'flip', offset, bit: random.int(8) };
  });
}

function offsets(size: number, flipsMax: number, random: Random): number[] {
  if (size <= Math.min(EVERY_BYTE_MAX, flipsMax)) {
    return Array.from({ length: size }, (_, offset) => offset);
  }
  const chosen = new Set<number>();
  // Both ends are where the structure is.
  for (let n = 0; n < flipsMax / 8; n += 1) chosen.add(n).add(size - 1 - n);
  while (chosen.size < flipsMax) chosen.add(random.int(size));
  return [...chosen].sort((a, b) => a - b);
}

/** Without the zeros that a log file is filled up with. */
function usedBytes(path: string): number {
  const bytes = readFileSync(path);
  let size = bytes.length;
  while (size > 0 && bytes[size - 1] === 0) size -= 1;
  return size;
}

/** @returns whether anything has changed */
export function inflict(path: string, damage: Damage): boolean {
  const before = readFileSync(path);
  const after = Buffer.from(before);
  switch (damage.kind) {
    case 'missing':
      rmSync(path);
      return true;
    case 'truncated':
      writeFileSync(path, before.subarray(0, damage.size));
      return damage.size < statSync(path).size || before.length !== damage.size;
    case 'flip':
      after.writeUInt8(after.readUInt8(damage.offset) ^ (1 << damage.bit), damage.offset);
      break;
    case 'zeros':
      after.fill(0, damage.offset, damage.offset + damage.length);
      break;
    default:
      throw new Error(`unknown damage ${JSON.stringify(damage satisfies never)}`);
  }
  writeFileSync(path, after);
  return !after.equals(before);
}
