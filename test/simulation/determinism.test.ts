import { describe, expect, test } from 'vitest';
import { drawSchedule } from './schedule.js';
import { simulate } from './simulate.js';
import { drawOptions } from './swarm.js';

/** Long enough for some faults; seed 7 has procedures, too. */
const DISTURBED_MS = 30_000;

describe('a simulated run', () => {
  test.each([7, 10])('goes the same way twice with the same seed (%i)', async (seed) => {
    const options = drawOptions(seed, DISTURBED_MS);
    const first = await simulate({ seed, options });
    const second = await simulate({ seed, options });
    expect(second.hash).toBe(first.hash);
    expect(second).toEqual(first);
  });

  test('goes another way with another seed, or another schedule', async () => {
    const options = drawOptions(3, 10_000);
    const schedule = drawSchedule(options);
    const run = await simulate({ seed: 3, options, schedule });
    const otherSeed = await simulate({ seed: 4, options: { ...options, seed: 4 }, schedule });
    const otherSchedule = await simulate({ seed: 3, options, schedule: schedule.slice(1) });
    expect(new Set([run.hash, otherSeed.hash, otherSchedule.hash]).size).toBe(3);
  });

  test('has the options and the schedule that belong to its seed', () => {
    expect(drawOptions(8)).toEqual(drawOptions(8));
    expect(drawSchedule(drawOptions(8))).toEqual(drawSchedule(drawOptions(8)));
    expect(drawOptions(8)).not.toEqual(drawOptions(9));
  });
});
