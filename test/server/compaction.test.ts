import { describe, expect, test } from 'vitest';
import { noFailpoints } from '../../src/base/failpoints.js';
import { LIMITS } from '../../src/base/limits.js';
import { seededRandom } from '../../src/base/random.js';
import type { Entry, LogPosition } from '../../src/raft/types.js';
import { Compaction } from '../../src/server/compaction.js';
import { compactionTarget } from '../../src/server/compaction-policy.js';
import { LogMeter } from '../../src/server/log-meter.js';
import type { DurableStateStore } from '../../src/storage/snapshot.js';
import { Scheduler } from './test-scheduler.js';

const LIMITS_HERE = {
  ...LIMITS,
  logBytesMax: 100_000,
  logEntriesMax: 1000,
  logTrailingEntries: 100,
  logPinnedBytesMax: 200_000,
};

const entry = (index: number, bytes = 0): Entry => ({
  index,
  term: 1,
  type: 'command',
  payload: Buffer.alloc(bytes),
});

function entries(from: number, to: number, bytes = 0): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, bytes));
}

function emptyMeter(): LogMeter {
  return new LogMeter({ startIndex: 0, lastIndex: 0, bytes: 0 }, 100_000);
}

/** A log of `count` entries of so many bytes (32 of them overhead), all applied. */
function logOf(count: number, bytesEach: number) {
  const meter = emptyMeter();
  meter.appended(entries(1, count, bytesEach - 32));
  return {
    startIndex: 0,
    lastIndex: count,
    appliedIndex: count,
    meter,
    pins: [] as number[],
    hardPin: Number.POSITIVE_INFINITY,
    limits: LIMITS_HERE,
  };
}

describe('the meter of the log', () => {
  test('knows the bytes behind a place, whatever was appended, cut and begun anew', () => {
    const random = seededRandom(5);
    const meter = emptyMeter();
    let sizes: number[] = [];
    let start = 0;
    for (let round = 0; round < 400; round += 1) {
      const end = start + sizes.length;
      const dice = random.int(10);
      if (dice < 7) {
        const from = dice === 0 ? start + 1 + random.int(sizes.length + 1) : end + 1;
        const added = Array.from({ length: 1 + random.int(5) }, () => random.int(100_000));
        meter.appended(added.map((bytes, i) => entry(from + i, bytes)));
        sizes = [...sizes.slice(0, from - start - 1), ...added.map((bytes) => bytes + 32)];
      } else if (dice < 9) {
        const cut = random.int(sizes.length + 1);
        meter.cutThrough(start + cut);
        sizes = sizes.slice(cut);
        start += cut;
      } else if (random.int(10) === 0) {
        start = end + 10;
        sizes = [];
        meter.reset(start);
      }
      const total = sizes.reduce((sum, size) => sum + size, 0);
      // Exact to a mark, and an entry here is longer than that.
      expect(Math.abs(meter.bytesBehind(start) - total)).toBeLessThan(1);
      expect(meter.bytesBehind(start + sizes.length)).toBe(0);
    }
  });

  test('spreads what was there at the start over its entries', () => {
    const meter = new LogMeter({ startIndex: 100, lastIndex: 200, bytes: 10_000_000 }, 1_000_000);
    expect(meter.bytesBehind(100)).toBe(10_000_000);
    expect(meter.bytesBehind(150)).toBeCloseTo(5_000_000, -6);
    expect(meter.placeWithBehind(2_500_000)).toBeGreaterThanOrEqual(174);
    expect(meter.placeWithBehind(2_500_000)).toBeLessThanOrEqual(180);
  });

  test('a log that was empty at the start counts from nothing', () => {
    const meter = new LogMeter({ startIndex: 7, lastIndex: 7, bytes: 0 }, 100_000);
    meter.appended([entry(8, 68), entry(9, 68)]);
    expect(meter.bytesBehind(7)).toBe(200);
    meter.appended([entry(8, 968)]);
    expect(meter.bytesBehind(7)).toBe(1000);
  });
});

describe('the log is cut', () => {
  test('when it has too many entries, and keeps the trailing ones', () => {
    expect(compactionTarget(logOf(1000, 40))).toBeNull();
    expect(compactionTarget(logOf(1001, 40))).toBe(901);
  });

  test('when it has too many bytes, and keeps at most half of what is allowed', () => {
    const limits = { ...LIMITS_HERE, logBytesMax: 100_000_000, logEntriesMax: 1_000_000 };
    const log = { ...logOf(110, 1_000_000), limits };
    const target = compactionTarget(log) ?? 0;
    expect(target).toBeGreaterThanOrEqual(59);
    expect(target).toBeLessThanOrEqual(61);
    expect(compactionTarget({ ...logOf(99, 1_000_000), limits })).toBeNull();
  });

  test('never beyond what is applied', () => {
    expect(compactionTarget({ ...logOf(2000, 40), appliedIndex: 300 })).toBe(300);
    expect(compactionTarget({ ...logOf(2000, 40), appliedIndex: 0 })).toBeNull();
  });

  test('never beyond what a follower needs that is there', () => {
    expect(compactionTarget({ ...logOf(2000, 40), pins: [1500, 700] })).toBe(700);
  });

  test('beyond it when that would keep too many bytes: then it gets a snapshot', () => {
    expect(compactionTarget({ ...logOf(9000, 40), pins: [1000] })).toBe(8900);
    expect(compactionTarget({ ...logOf(5000, 40), pins: [1000] })).toBe(1000);
  });

  test('without regard to a follower that needs what is gone already', () => {
    const log = { ...logOf(3000, 40), startIndex: 1000, pins: [400] };
    expect(compactionTarget(log)).toBe(2900);
  });

  test('never beyond a hard pin, whatever it costs', () => {
    expect(compactionTarget({ ...logOf(20_000, 40), hardPin: 2000 })).toBe(2000);
  });

  test('not for a handful of entries: a follower that lags moves a little all the time', () => {
    expect(compactionTarget({ ...logOf(2000, 40), pins: [20] })).toBeNull();
  });
});

/** A log of 2000 entries that is due, and a state that is synced through `synced`. */
function compactionWith(synced: number) {
  const scheduler = new Scheduler(1);
  const world = {
    scheduler,
    steps: [] as string[],
    synced,
    onDisk: 2000,
    start: { index: 0, term: 0 } as LogPosition,
    hardPin: Number.POSITIVE_INFINITY,
    failures: [] as unknown[],
    cut: null as ((error: Error | null) => void) | null,
  };
  const store = {
    syncedIndex: () => world.synced,
    sync: async () => {
      world.steps.push('sync');
      await new Promise<void>((resolve) => void scheduler.plan(5, resolve));
      world.synced = world.onDisk;
    },
  } as unknown as DurableStateStore;
  const meter = emptyMeter();
  meter.appended(entries(1, 2000));
  const compaction = new Compaction({
    clock: scheduler.clock(() => true),
    limits: LIMITS_HERE,
    failpoints: noFailpoints,
    meter,
    store: () => store,
    logStart: () => world.start,
    lastIndex: () => 2000,
    appliedIndex: () => 2000,
    termAt: () => 3,
    pins: () => [],
    hardPin: () => world.hardPin,
    compactTo: (position, done) => {
      world.steps.push(`cut ${position.index}:${position.term}`);
      world.cut = done;
    },
    onCompacted: (index) => {
      world.steps.push(`told ${index}`);
      world.start = { index, term: 3 };
    },
    onFailure: (error) => world.failures.push(error),
  });
  return { world, compaction };
}

describe('compaction', () => {
  test('syncs the state, then cuts the log, then tells the core: in this order', async () => {
    const { world, compaction } = compactionWith(50);
    compaction.consider();
    await world.scheduler.run(100);
    expect(world.steps).toEqual(['sync', 'cut 1900:3']);
    world.scheduler.plan(1, () => world.cut?.(null));
    await world.scheduler.run(200);
    expect(world.steps).toEqual(['sync', 'cut 1900:3', 'told 1900']);
  });

  test('cuts no further than the state is synced', async () => {
    const { world, compaction } = compactionWith(50);
    world.onDisk = 1200;
    compaction.consider();
    await world.scheduler.run(100);
    expect(world.steps).toEqual(['sync', 'cut 1200:3']);
  });

  test('does not sync what is synced', async () => {
    const { world, compaction } = compactionWith(1950);
    compaction.consider();
    await world.scheduler.run(100);
    expect(world.steps).toEqual(['cut 1900:3']);
  });

  test('is done once at a time', async () => {
    const { world, compaction } = compactionWith(1950);
    for (let i = 0; i < 5; i += 1) {
      compaction.consider();
      await world.scheduler.run(world.scheduler.nowMs + 200);
    }
    expect(world.steps).toEqual(['cut 1900:3']);
  });

  test('looks again at the pins when the state is synced', async () => {
    const { world, compaction } = compactionWith(50);
    compaction.consider();
    await world.scheduler.run(2);
    world.hardPin = 1000;
    await world.scheduler.run(100);
    expect(world.steps).toEqual(['sync', 'cut 1000:3']);
  });

  test('that is suspended finishes what it has begun, then does nothing', async () => {
    const { world, compaction } = compactionWith(1950);
    compaction.consider();
    await world.scheduler.run(10);
    let quiet = false;
    compaction.suspend(() => {
      quiet = true;
    });
    expect(quiet).toBe(false);
    world.scheduler.plan(1, () => world.cut?.(null));
    await world.scheduler.run(300);
    expect(quiet).toBe(true);
    world.start = { index: 0, term: 0 };
    compaction.consider();
    await world.scheduler.run(600);
    expect(world.steps).toEqual(['cut 1900:3', 'told 1900']);
  });

  test('fails the replica when the log cannot be cut', async () => {
    const { world, compaction } = compactionWith(1950);
    compaction.consider();
    await world.scheduler.run(10);
    world.scheduler.plan(1, () => world.cut?.(new Error('EIO')));
    await world.scheduler.run(20);
    expect(world.failures).toHaveLength(1);
    expect(world.steps).toEqual(['cut 1900:3']);
  });
});
