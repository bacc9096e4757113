import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { Reclaim } from '../../src/server/reclaim.js';
import { fromValueRecordKey } from '../../src/statemachine/layout.js';
import type { StoreState } from '../../src/statemachine/types.js';
import type { DurableStateStore } from '../../src/storage/snapshot.js';

const MiB = 1024 * 1024;

/** A history of which all is swept, on a disk that has not given the space back. */
class World {
  nowMs = 1_000_000;
  diskBytes: () => Promise<number> = () => Promise.resolve(100 * MiB);
  reclaim: () => Promise<void> = () => Promise.resolve();
  /** What all revisions together take on the disk, each as much. */
  bytes = 100 * MiB;
  lastRevision = 1000;
  /** From which revision up to which, without that one. */
  readonly pieces: [from: number, to: number][] = [];
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
      const reclaim = (from: Uint8Array, to: Uint8Array): Promise<void> => {
        this.pieces.push(revisions(from, to));
        return this.reclaim();
      };
      const bytesBetween = async (from: Uint8Array, to: Uint8Array): Promise<number> => {
        return this.bytesOf(revisions(from, to));
      };
      const store = { diskBytes: () => this.diskBytes(), bytesBetween, reclaim };
      return store as unknown as DurableStateStore;
    },
    info: () => ({ spaceBytes: MiB }) as StoreState,
    onFailure: (error) => void this.failures.push(error),
  });

  bytesOf([from, to]: readonly [from: number, to: number]): number {
    return ((to - from) * this.bytes) / (this.lastRevision + 1);
  }

  stop(): void {
    this.#reclaim.stop();
  }

  /** A sweep has come to this revision, and half a minute goes by. */
  async swept(revision: number): Promise<void> {
    this.#reclaim.consider({ compactedRevision: revision, sweptRevision: revision });
    for (let i = 0; i < 1000; i += 1) await new Promise((resolve) => setImmediate(resolve));
    this.nowMs += 30_000;
  }
}

function revisions(from: Uint8Array, to: Uint8Array): [from: number, to: number] {
  return [fromValueRecordKey(from).revision, fromValueRecordKey(to).revision];
}

describe('the space of a history that was swept', () => {
  test('is given back in pieces of a few MiB, however much there is', async () => {
    for (const bytes of [10 * MiB, 100 * MiB, 700 * MiB]) {
      const world = new World();
      world.bytes = bytes;
      await world.swept(1000);
      let end = 0;
      for (const piece of world.pieces) {
        expect(piece[0]).toBe(end);
        expect(world.bytesOf(piece)).toBeLessThanOrEqual(16 * MiB);
        end = piece[1];
      }
      expect(end).toBe(1001);
      const count = world.pieces.length;
      expect(count).toBeLessThanOrEqual(Math.max(1, bytes / (4 * MiB)));
      await world.swept(1000);
      expect(world.pieces).toHaveLength(count);
    }
  });

  test('is given back revision by revision where each has much', async () => {
    const world = new World();
    world.bytes = 300 * MiB;
    world.lastRevision = 3;
    await world.swept(3);
    expect(world.pieces).toEqual([
      [0, 1],
      [1, 2],
      [2, 3],
      [3, 4],
    ]);
  });

  test('is not given back any further once the replica stops', async () => {
    const world = new World();
    world.reclaim = async () => {
      if (world.pieces.length === 3) world.stop();
    };
    await world.swept(1000);
    expect(world.pieces).toHaveLength(3);
    expect(world.failures).toEqual([]);
  });

  test('is given back later when nobody can say just now what there is on the disk', async () => {
    const world = new World();
    world.diskBytes = () =>
      Promise.reject(Object.assign(new Error('too many open files'), { code: 'EMFILE' }));
    await world.swept(1000);
    expect(world.failures).toEqual([]);
    world.diskBytes = () => Promise.resolve(100 * MiB);
    expect(world.pieces).toEqual([]);
    await world.swept(1000);
    expect(world.pieces).toHaveLength(8);
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
