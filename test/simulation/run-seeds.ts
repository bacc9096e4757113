import { expect, test } from 'vitest';
import { simulate } from './simulate.js';

/**
 * Each seed is two simulated minutes of whole replicas and the real client under faults that belong to the
 * seed, and then without: see `simulate`. A failure names the command that repeats it.
 */
export function testSeeds(from: number, count: number): void {
  const seeds = Array.from({ length: count }, (_, i) => from + i);
  test.each(seeds)('a cluster keeps its promises under the faults of seed %i', async (seed) => {
    const { violation } = await simulate({ seed });
    expect(violation, `to repeat it: npm run sim -- --seed ${seed}`).toBeNull();
  });
}

/** Split over several files, so that both workers have their share. */
export const SEEDS_PER_FILE = 75;
