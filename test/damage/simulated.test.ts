import { describe, expect, test, vi } from 'vitest';
import { type Random, seededRandom } from '../../src/base/random.js';
import { MemoryFiles } from '../../src/storage/memory-files.js';
import { FRAME_MAGIC, SEGMENT_HEADER_BYTES } from '../../src/storage/wal/format.js';
import { makeWorld, runScript } from '../crash/script.js';
import type { Machine } from '../simulation/machine.js';

/** `DAMAGES=all` makes many more runs. */
const RUNS = process.env.DAMAGES === 'all' ? 1500 : 20;

const DOWN_MS = 100;
/** The last frames are left alone: without what follows them they cannot be told from a torn write. */
const FRAMES_LEFT_ALONE = 2;

interface Segment {
  readonly path: string;
  readonly bytes: Buffer;
  readonly frames: readonly number[];
}

function segmentsOf(disk: MemoryFiles): Segment[] {
  return disk
    .list('wal')
    .filter((name) => name.endsWith('.wal'))
    .map((name) => {
      const path = `wal/${name}`;
      const bytes = disk.readWhole(path);
      const frames: number[] = [];
      let at = bytes.indexOf(FRAME_MAGIC, SEGMENT_HEADER_BYTES);
      for (; at >= 0; at = bytes.indexOf(FRAME_MAGIC, at + 1)) frames.push(at);
      return { path, bytes, frames };
    });
}

/** Something in the log of a dead process changes. @returns what, or `null` when there is nothing to damage yet */
function damageLog(disk: MemoryFiles, random: Random): string | null {
  const segments = segmentsOf(disk);
  const newest = segments.findLastIndex(({ frames }) => frames.length > 0);
  const chosen = random.int(newest + 1);
  const segment = segments[chosen];
  if (segment === undefined) return null;
  const { path, bytes, frames } = segment;
  const end =
    chosen < newest
      ? (frames.at(-1) ?? 0)
      : (frames.at(-1 - FRAMES_LEFT_ALONE) ?? SEGMENT_HEADER_BYTES);
  const file = disk.open(path);
  switch (random.int(chosen < newest ? 4 : 3)) {
    case 0: {
      const size = random.int(bytes.length);
      file.truncate(size);
      file.sync();
      return `${path} is cut off at ${size}`;
    }
    case 1: {
      const offset = SEGMENT_HEADER_BYTES + random.int(Math.max(1, end - SEGMENT_HEADER_BYTES));
      const length = Math.min(512, end - offset);
      if (length <= 0) return null;
      file.writeAt(offset, [Buffer.alloc(length)]);
      file.sync();
      return `${path} has zeros at ${offset}`;
    }
    case 2: {
      const inHeader = random.int(4) === 0;
      const offset = inHeader ? random.int(32) : random.int(end);
      disk.flipBit(path, offset, random.int(8));
      return `${path} is flipped at ${offset}`;
    }
    default:
      disk.remove(path);
      disk.syncFolder('wal');
      return `${path} is missing`;
  }
}

function memoryOf({ disk }: Machine): MemoryFiles {
  const { files } = disk;
  if (!(files instanceof MemoryFiles)) throw new Error('the disk is no simulated one');
  return files;
}

/** The script; a member dies at some step, its log is damaged, and if it refuses to start it is begun anew. */
async function runWithDamage(seed: number): Promise<{ problem: string | null; refused: boolean }> {
  const random = seededRandom(seed);
  const world = makeWorld();
  const machine = world.machines[random.int(3)];
  if (machine === undefined) throw new Error('there is no such machine');
  let what: string | null = null;
  let refused = false;
  machine.crashAtDiskStep(60 + random.int(350), () => {
    machine.killed();
    what = damageLog(memoryOf(machine), random);
    machine.disk.isRotten = true;
    world.scheduler.plan(DOWN_MS, () => machine.start());
    world.scheduler.plan(2 * DOWN_MS, () => {
      machine.disk.isRotten = false;
      if (!machine.isLost) return;
      refused = true;
      const former = machine.id;
      machine.wipe();
      machine.start();
      world.operator.reseed(machine, former);
    });
  });
  try {
    await runScript(world);
    return { problem: null, refused };
  } catch (error) {
    return {
      problem: `seed ${seed}, ${machine.name}, ${what}: ${(error as Error).message}`,
      refused,
    };
  }
}

// Much of one core's time, which others may want too.
vi.setConfig({ testTimeout: 3_600_000 });

describe('damage in the log of one replica of a simulated cluster', () => {
  test('is refused, or does no harm; begun anew it comes back, and nothing acknowledged is lost', async () => {
    const problems: string[] = [];
    let refused = 0;
    for (let seed = 1; seed <= RUNS; seed += 1) {
      const run = await runWithDamage(seed);
      if (run.problem !== null) problems.push(run.problem);
      if (run.refused) refused += 1;
    }
    expect(problems).toEqual([]);
    expect(refused).toBeGreaterThan(RUNS / 3);
  });
});
