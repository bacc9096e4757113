import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { Reclaim } from '../../src/server/reclaim.js';
import type { StoreState } from '../../src/statemachine/types.js';
import type { DurableStateStore } from '../../src/storage/snapshot.js';

const MiB = 1024 * 1024;

/** A history of which all is swept, on a disk that has not given the space back. */
class World {
  nowMs = 1_000_000;
  diskBytes: () => Promise<number> = () => Promise.resolve(100 * MiB);
  reclaim: () => Promise<void> = () => Promise.resolve();
  pieces = 0;
  readonly failures: unknown[] = [];
  readonly #reclaim = new Reclaim({
    clock: {
      monotonicMs: () => this.nowMs,
      wallMs: () => 0,
      setTimer: (_delayMs, callback) => {
        setImmediate(callback);
        return { cancel: () => {} };
      },
      defer: (callback) => void setImmediate(callback),
    },
    store: () => {
      const reclaim = (): Promise<void> => {
        this.pieces += 1;
        return this.reclaim();
      };
      return { diskBytes: () => this.diskBytes(), reclaim } as unknown as DurableStateStore;
    },
    info: () => ({ spaceBytes: MiB }) as StoreState,
    onFailure: (error) => void this.failures.push(error),
  });

  /** A sweep has come to this revision, and half a minute goes by. */
  async swept(revision: number): Promise<void> {
    this.#reclaim.consider({ compactedRevision: revision, sweptRevision: revision });
    for (let i = 0; i < 100; i += 1) await new Promise((resolve) => setImmediate(resolve));
    this.nowMs += 30_000;
  }
}

describe('the space of a history that was swept', () => {
  test('is given back in pieces', async () => {
    const world = new World();
    await world.swept(1000);
    expect(world.pieces).toBe(16);
    await world.swept(1000);
    expect(world.pieces).toBe(16);
  });

  test('is given back later when nobody can say just now what there is on the disk', async () => {
    const world = new World();
    world.diskBytes = () =>
      Promise.reject(Object.assign(new Error('too many open files'), { code: 'EMFILE' }));
    await world.swept(1000);
    expect(world.failures).toEqual([]);
    world.diskBytes = () => Promise.resolve(100 * MiB);
    await world.swept(1000);
    expect(world.pieces).toBe(16);
  });

  test('is no matter any more when another state has taken the place of this one', async () => {
    const world = new World();
    world.reclaim = () => Promise.reject(new BalsaError('SHUTTING_DOWN', 'the state is closed'));
    await world.swept(1000);
    expect(world.failures).toEqual([]);
  });

  test('tells of a disk that fails', async () => {
    const world = new World();
    const failed = new BalsaError('DISK_FAILED', 'EIO');
    world.reclaim = () => Promise.reject(failed);
    await world.swept(1000);
    expect(world.failures).toEqual([failed]);
  });
});
