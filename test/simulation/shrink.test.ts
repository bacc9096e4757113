import { describe, expect, test } from 'vitest';
import { drawSchedule, formatSchedule, parseSchedule, type Schedule } from './schedule.js';
import { shrink } from './shrink.js';
import { drawOptions } from './swarm.js';

/** Seeds whose schedules are long enough to hold what the tests look for. */
const SEEDS = [4, 5, 13, 20, 41].filter((seed) => wholeOf(seed).length >= 10);

function wholeOf(seed: number): Schedule {
  return drawSchedule(drawOptions(seed));
}

const inTime = (schedule: Schedule): Schedule => schedule.toSorted((a, b) => a.atMs - b.atMs);

/** It fails when faults of these kinds come one behind the other, whatever else there is. */
const failsAfter =
  (kinds: readonly string[]) =>
  async (schedule: Schedule): Promise<string | null> => {
    let place = 0;
    for (const { fault } of inTime(schedule)) if (fault === kinds[place]) place += 1;
    return place < kinds.length ? null : `Order: ${kinds.join(', ')}`;
  };

/** Three faults from all over the schedule of the seed. */
const kindsOf = (seed: number): string[] => {
  const faults = inTime(wholeOf(seed));
  return [1, 5, 8].map((i) => faults[i]?.fault ?? '');
};

describe('shrinking a schedule', () => {
  test.each(SEEDS)('leaves the faults of seed %i that are needed, and no other', async (seed) => {
    const kinds = kindsOf(seed);
    const shrunk = await shrink(seed, { run: failsAfter(kinds), timeLimitMs: 60_000 });
    expect(shrunk?.schedule.map(({ fault }) => fault)).toEqual(kinds);
    expect(shrunk?.finished).toBe(true);
    expect(shrunk?.faultsBefore).toBe(wholeOf(seed).length);
  });

  test('makes those that are left as simple as they can be', async () => {
    const run = async (schedule: Schedule): Promise<string | null> =>
      schedule.some(({ atMs }) => atMs >= 1234) ? 'Late: a fault' : null;
    const shrunk = await shrink(5, { run, timeLimitMs: 60_000 });
    expect(shrunk?.schedule).toHaveLength(1);
    expect(shrunk?.schedule[0]?.atMs).toBe(1234);
  });

  test('tries no schedule twice', async () => {
    const seen: string[] = [];
    const fails = failsAfter(kindsOf(5));
    const run = (schedule: Schedule): Promise<string | null> => {
      seen.push(JSON.stringify(schedule));
      return fails(schedule);
    };
    await shrink(5, { run, timeLimitMs: 60_000 });
    expect(new Set(seen).size).toBe(seen.length);
  });

  test('leaves nothing when the seed fails without any fault', async () => {
    const run = async (): Promise<string> => 'Always: so';
    expect((await shrink(5, { run, timeLimitMs: 60_000 }))?.schedule).toEqual([]);
  });

  test('begins with the schedule of the seed, in the order of time', async () => {
    const seen: Schedule[] = [];
    const run = async (schedule: Schedule): Promise<null> => {
      seen.push(schedule);
      return null;
    };
    expect(await shrink(5, { run, timeLimitMs: 60_000 })).toBeNull();
    expect(seen).toEqual([inTime(wholeOf(5))]);
  });

  test('does not go over to another violation', async () => {
    const whole = wholeOf(5).length;
    const run = async (schedule: Schedule): Promise<string> =>
      schedule.length > whole / 2 ? 'Large: many' : 'Small: few';
    const shrunk = await shrink(5, { run, timeLimitMs: 60_000 });
    expect(shrunk?.violation).toBe('Large: many');
    expect(shrunk?.schedule).toHaveLength(Math.floor(whole / 2) + 1);
  });

  test('ends when its time is up, with the smallest so far, and says so', async () => {
    let nowMs = 0;
    const fails = failsAfter(kindsOf(5));
    const run = (schedule: Schedule): Promise<string | null> => {
      nowMs += 1000;
      return fails(schedule);
    };
    const shrunk = await shrink(5, { run, timeLimitMs: 6000, nowMs: () => nowMs });
    expect(shrunk).toMatchObject({ finished: false, runs: 6 });
    expect(await fails(shrunk?.schedule ?? [])).not.toBeNull();
    expect(shrunk?.schedule.length).toBeLessThan(wholeOf(5).length);
  });

  test('a schedule is the same after it was written and read', () => {
    for (const seed of SEEDS) {
      expect(parseSchedule(formatSchedule(wholeOf(seed)))).toEqual(wholeOf(seed));
    }
  });
});
