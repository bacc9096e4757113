import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { noFailpoints } from '../../src/base/failpoints.js';
import { LIMITS } from '../../src/base/limits.js';
import type { Entry } from '../../src/raft/types.js';
import { Applier } from '../../src/server/applier.js';
import type { StateMachine } from '../../src/statemachine/state-machine.js';
import type { StateStore } from '../../src/statemachine/state-store.js';
import type { LogStore } from '../../src/storage/log-store.js';

type Range = Parameters<LogStore['read']>[0];
type ReadDone = Parameters<LogStore['read']>[1];

const entry = (index: number): Entry => ({
  index,
  term: 1,
  type: 'command',
  payload: Buffer.alloc(0),
});

const between = (from: number, to: number): Entry[] =>
  Array.from({ length: to - from + 1 }, (_, i) => entry(from + i));

/**
 * An applier whose log gives at most `perSlice` entries at once; those before `cachedFrom` from the disk.
 * The entries `rangesAt` have to be prepared.
 */
function applierWith({ perSlice = 100, cachedFrom = 1, rangesAt = [] as number[] } = {}) {
  const world = {
    applied: 0,
    /** Entries with ranges that were prepared, and the last of these readings. */
    prepared: [] as number[],
    reading: null as { resolve: () => void; reject: (error: Error) => void } | null,
    pendingBytes: 0,
    progress: 0,
    deferred: [] as (() => void)[],
    reads: [] as { range: Range; done: ReadDone }[],
    onPendingBelow: [] as (() => void)[],
    failures: [] as unknown[],
    failAt: 0,
  };
  const machine = {
    get appliedIndex() {
      return world.applied;
    },
    prepare: ({ index }: Entry) => {
      if (!rangesAt.includes(index)) return null;
      world.prepared.push(index);
      return new Promise<void>((resolve, reject) => {
        world.reading = { resolve, reject };
      });
    },
    apply: ({ index }: Entry) => {
      if (index === world.failAt) throw new BalsaError('STATE_CORRUPT', 'damaged');
      expect(index).toBe(world.applied + 1);
      world.applied = index;
      return [];
    },
  } as unknown as StateMachine;
  const applier = new Applier({
    state: {
      machine,
      stateStore: {
        pendingBytes: () => world.pendingBytes,
        whenPendingBelow: (_bytes: number, callback: () => void) =>
          void world.onPendingBelow.push(callback),
      } as unknown as StateStore,
    },
    logStore: {
      read: (range: Range, done: ReadDone) => void world.reads.push({ range, done }),
    } as unknown as LogStore,
    clock: {
      monotonicMs: () => 0,
      wallMs: () => 0,
      setTimer: () => ({ cancel: () => {} }),
      defer: (callback) => void world.deferred.push(callback),
    },
    limits: { ...LIMITS, overlayBytesMax: 1000 },
    failpoints: noFailpoints,
    cached: (from, to) =>
      from < cachedFrom ? null : between(from, Math.min(to, from + perSlice - 1)),
    onApplied: () => {},
    onProgress: () => {
      world.progress += 1;
    },
    onFailure: (error) => void world.failures.push(error),
  });
  const turn = (): void => {
    for (const callback of world.deferred.splice(0)) callback();
  };
  return { applier, world, turn };
}

describe('applying committed entries', () => {
  test('happens at once and through the commit index, not beyond', () => {
    const { applier, world } = applierWith();
    applier.advance(3);
    expect(world.applied).toBe(3);
    applier.advance(2);
    expect(world.applied).toBe(3);
    expect(world.progress).toBe(1);
  });

  test('goes in slices, with a turn of the event loop between them', () => {
    const { applier, world, turn } = applierWith({ perSlice: 10 });
    applier.advance(25);
    expect(world.applied).toBe(10);
    // What is committed meanwhile does not make it hurry.
    applier.advance(28);
    expect(world.applied).toBe(10);
    turn();
    expect(world.applied).toBe(20);
    turn();
    expect(world.applied).toBe(28);
    expect(world.progress).toBe(3);
  });

  test('waits while too much is on its way to the disk', () => {
    const { applier, world } = applierWith();
    world.pendingBytes = 1001;
    applier.advance(5);
    applier.advance(6);
    expect(world.applied).toBe(0);
    expect(world.onPendingBelow).toHaveLength(1);
    world.pendingBytes = 400;
    world.onPendingBelow[0]?.();
    expect(world.applied).toBe(6);
  });

  test('reads from the disk what is no longer in memory, once, and goes on from there', () => {
    const { applier, world, turn } = applierWith({ cachedFrom: 5 });
    applier.advance(6);
    applier.advance(8);
    expect(world.reads.map(({ range }) => [range.fromIndex, range.toIndex])).toEqual([[1, 6]]);
    world.reads[0]?.done(null, between(1, 3));
    expect(world.applied).toBe(3);
    turn();
    expect(world.reads.map(({ range }) => [range.fromIndex, range.toIndex])[1]).toEqual([4, 8]);
    world.reads[1]?.done(null, between(4, 6));
    turn();
    expect(world.applied).toBe(8);
  });

  test('a failure of the disk, or of an entry behind a read, stops it and is told', () => {
    const disk = applierWith({ cachedFrom: 5 });
    disk.applier.advance(2);
    disk.world.reads[0]?.done(new BalsaError('DISK_FAILED', 'no'), []);
    expect(disk.world.failures).toMatchObject([{ code: 'DISK_FAILED' }]);
    const damaged = applierWith({ cachedFrom: 5 });
    damaged.world.failAt = 2;
    damaged.applier.advance(2);
    damaged.world.reads[0]?.done(null, between(1, 2));
    expect(damaged.world.failures).toMatchObject([{ code: 'STATE_CORRUPT' }]);
    const sliced = applierWith({ perSlice: 1 });
    sliced.world.failAt = 2;
    sliced.applier.advance(2);
    sliced.turn();
    expect(sliced.world.failures).toMatchObject([{ code: 'STATE_CORRUPT' }]);
  });

  test('ends with the replica, whatever is under way', () => {
    const { applier, world, turn } = applierWith({ perSlice: 1 });
    applier.advance(3);
    applier.stop();
    turn();
    expect(world.applied).toBe(1);
    const reading = applierWith({ cachedFrom: 5 });
    reading.applier.advance(3);
    reading.applier.stop();
    reading.world.reads[0]?.done(null, between(1, 3));
    expect(reading.world.applied).toBe(0);
  });

  test('stands still while the state is switched, and goes on with the new one', () => {
    const { applier, world, turn } = applierWith({ perSlice: 1, cachedFrom: 2 });
    applier.advance(5);
    applier.pause();
    world.reads[0]?.done(null, between(1, 1));
    applier.advance(6);
    turn();
    expect(world.applied).toBe(0);
    let applied = 4;
    const machine = {
      get appliedIndex() {
        return applied;
      },
      prepare: () => null,
      apply: ({ index }: Entry) => {
        applied = index;
        return [];
      },
    } as unknown as StateMachine;
    const stateStore = { pendingBytes: () => 0 } as unknown as StateStore;
    applier.resume({ machine, stateStore });
    applier.advance(7);
    for (let i = 0; i < 3; i += 1) turn();
    expect([applier.appliedIndex, world.applied]).toEqual([7, 0]);
  });

  test('tells of an entry with ranges before the ranges of the next one are read', async () => {
    const { applier, world } = applierWith({ rangesAt: [1, 2] });
    applier.advance(3);
    world.reading?.resolve();
    await Promise.resolve();
    expect([world.applied, world.prepared, world.progress]).toEqual([1, [1, 2], 1]);
    world.reading?.resolve();
    await Promise.resolve();
    expect([world.applied, world.progress]).toEqual([3, 2]);
  });

  test('an entry with ranges waits until they are read, and holds up those behind it', async () => {
    const { applier, world } = applierWith({ rangesAt: [2, 3] });
    applier.advance(4);
    expect([world.applied, world.progress]).toEqual([1, 1]);
    applier.advance(5);
    expect([world.applied, world.prepared]).toEqual([1, [2]]);

    world.reading?.resolve();
    await settled();

    expect([world.applied, world.prepared]).toEqual([2, [2, 3]]);
    world.reading?.resolve();
    await settled();
    expect(world.applied).toBe(4);
    expect(world.deferred).toHaveLength(1);
  });

  test('goes on behind an entry with ranges that was the last', async () => {
    const { applier, world } = applierWith({ rangesAt: [1] });
    applier.advance(1);
    world.reading?.resolve();
    await settled();
    applier.advance(2);
    expect([world.applied, world.progress]).toEqual([2, 2]);
  });

  test.each([
    ['stopped', (applier: Applier) => applier.stop()],
    ['paused for another state', (applier: Applier) => applier.pause()],
  ])('drops what was read for it when it is %s meanwhile', async (_what, end) => {
    const read = applierWith({ rangesAt: [1] });
    read.applier.advance(2);
    end(read.applier);
    read.world.reading?.resolve();
    await settled();
    expect(read.world.applied).toBe(0);

    const failed = applierWith({ rangesAt: [1] });
    failed.applier.advance(2);
    end(failed.applier);
    failed.world.reading?.reject(new BalsaError('SHUTTING_DOWN', 'closed'));
    await settled();
    expect(failed.world.failures).toEqual([]);
  });

  test('a range that cannot be read, or an entry behind it, stops it and is told', async () => {
    const unreadable = applierWith({ rangesAt: [1] });
    unreadable.applier.advance(2);
    unreadable.world.reading?.reject(new BalsaError('DISK_FAILED', 'no'));
    await settled();
    expect(unreadable.world.failures).toMatchObject([{ code: 'DISK_FAILED' }]);

    const damaged = applierWith({ rangesAt: [1] });
    damaged.world.failAt = 2;
    damaged.applier.advance(2);
    damaged.world.reading?.resolve();
    await settled();
    expect(damaged.world.failures).toMatchObject([{ code: 'STATE_CORRUPT' }]);
  });
});

/** What was resolved has had its effect. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 4; turn += 1) await Promise.resolve();
}
