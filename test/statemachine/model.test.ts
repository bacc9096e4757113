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
const isCampaign = MODEL_RUNS !== undefined;
const scale = Number(MODEL_RUNS ?? 50) / 50;
const runs = (usual: number) => ({ numRuns: Math.max(1, Math.round(usual * scale)) });
/** Far more than it takes, unless the machine is very busy. */
const timeoutMs = isCampaign ? 4 * 3_600_000 : 600_000;

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
      let histories = 0;
      await fc.assert(
        fc.asyncProperty(history, async (steps) => {
          const world = await run(steps, new MemoryDisk());
          histories += 1;
          for (const what of world.seen()) seen.set(what, (seen.get(what) ?? 0) + 1);
        }),
        runs(50),
      );
      if (isCampaign) console.log(histories, seen);
      // The histories do reach what they are meant to reach.
      for (const [what, needed] of REACHED) {
        if (histories >= needed) expect(seen.get(what) ?? 0, what).toBeGreaterThan(0);
      }
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
        runs(20),
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
        runs(2),
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
        runs(8),
      );
    },
    timeoutMs,
  );
});

/** What so many histories come across with a chance that is as good as one. */
const REACHED = new Map([
  ['session forgotten', 50],
  ['KEY_DUPLICATE', 50],
  ['KEY_NOT_FOUND', 50],
  ['LEASE_NOT_FOUND', 50],
  ['LEASE_EXISTS', 50],
  ['COMPACTED', 50],
  ['FUTURE_REVISION', 50],
  ['NAMESPACE_NOT_FOUND', 50],
  ['several writes at one revision', 50],
  ['tombstone at the compacted revision', 50],
  ['compacted key made again', 50],
  ['LEASE_FULL', 100],
  ['LEASES_TOO_MANY', 200],
  ['NO_SPACE', 200],
  ['NAMESPACE_CONFLICT', 200],
  ['RANGE_TOO_LARGE', 300],
  ['QUOTA_EXCEEDED', 300],
  ['lease expired with keys', 400],
  ['NAMESPACES_TOO_MANY', 1000],
]);
