import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { LevelDisk, MemoryDisk, SimpleDisk, type StateDisk } from './model-replica.js';
import { chains, history, type Step, short } from './model-steps.js';
import { ModelWorld } from './model-world.js';
import { bytes, readAll } from './replica.js';

/**
 * Random histories on the model and on several replicas: every answer, every event and every read at every
 * revision that is kept must be those of the model. `MODEL_RUNS` sets the number of histories of a campaign.
 */
const parent = mkdtempSync(join(tmpdir(), 'balsa-model-'));
afterAll(() => rmSync(parent, { recursive: true }));

const { MODEL_RUNS } = process.env;
const scale = Number(MODEL_RUNS ?? 100) / 100;
const runs = (usual: number) => ({ numRuns: Math.max(1, Math.round(usual * scale)) });
const timeoutMs = 120_000 * Math.max(1, scale);

async function run(steps: readonly Step[], disk: StateDisk, marks = false): Promise<ModelWorld> {
  const world = await ModelWorld.start({ disk, marks });
  try {
    await world.run(steps);
  } finally {
    for (const replica of world.replicas) await replica.close();
  }
  return world;
}

describe('any history', () => {
  test(
    'is answered, read and told as the model says, by a replica that never stops, one that crashes and one from a snapshot',
    async () => {
      const seen = new Map<string, number>();
      await fc.assert(
        fc.asyncProperty(history, async (steps) => {
          const world = await run(steps, new MemoryDisk());
          for (const what of world.seen()) seen.set(what, (seen.get(what) ?? 0) + 1);
        }),
        runs(100),
      );
      // The histories do reach what they are meant to reach.
      if (MODEL_RUNS !== undefined) console.log(seen);
      for (const what of RARE) expect(seen.get(what) ?? 0, what).toBeGreaterThan(0);
    },
    timeoutMs,
  );

  test(
    'of few keys, compacted and swept in the smallest slices, is read through broken chains as the model says',
    async () => {
      await fc.assert(
        fc.asyncProperty(chains, async (steps) => {
          await run(steps, new SimpleDisk());
        }),
        runs(60),
      );
    },
    timeoutMs,
  );

  test(
    'is the same for a replica that is closed and opened again on LevelDB',
    async () => {
      await fc.assert(
        fc.asyncProperty(short, async (steps) => {
          const folder = mkdtempSync(join(parent, 'level-'));
          await run(steps, new LevelDisk(folder));
          rmSync(folder, { recursive: true });
        }),
        runs(3),
      );
    },
    timeoutMs,
  );

  test(
    'applies each batch at most once',
    async () => {
      await fc.assert(
        fc.asyncProperty(history, async (steps) => {
          const { steady } = await run(steps, new MemoryDisk(), true);

          const marks = await readAll(steady.machine, { from: bytes('once '), to: bytes('once!') });
          for (const mark of marks) expect(mark.version).toBe(1);
        }),
        runs(30),
      );
    },
    timeoutMs,
  );
});

/** Seen at least once in the histories of the first test. */
const RARE = [
  'session forgotten',
  'KEY_DUPLICATE',
  'KEY_NOT_FOUND',
  'LEASE_NOT_FOUND',
  'LEASE_EXISTS',
  'LEASE_FULL',
  'LEASES_TOO_MANY',
  'RANGE_TOO_LARGE',
  'COMPACTED',
  'FUTURE_REVISION',
  'NO_SPACE',
  'QUOTA_EXCEEDED',
  'NAMESPACE_CONFLICT',
  'NAMESPACE_NOT_FOUND',
  'several writes at one revision',
  'tombstone at the compacted revision',
  'compacted key made again',
  'lease expired with keys',
];
