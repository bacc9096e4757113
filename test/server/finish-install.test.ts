import { describe, expect, test } from 'vitest';
import type { Entry, LogPosition } from '../../src/raft/types.js';
import { finishInstall } from '../../src/server/finish-install.js';
import { MemoryLogStore } from '../../src/storage/memory-log-store.js';

const HARD_STATE = { currentTerm: 5, votedFor: 'n2', commitIndex: 2 };

/** A log that has been restarted, with entries of these terms from index 1. */
function logWith(...terms: number[]): MemoryLogStore {
  const world = new MemoryLogStore({ schedule: (run) => run() });
  const entries = terms.map(
    (term, i): Entry => ({ index: i + 1, term, type: 'noop', payload: Buffer.alloc(0) }),
  );
  world.append({ sequence: 1, hardState: HARD_STATE, entries }, () => {});
  return world.restart('kept', { schedule: (run) => run() });
}

async function finish(log: MemoryLogStore, installed: LogPosition | null) {
  const restored = await finishInstall({ installed }, log);
  // What the next start finds is what this one was told.
  expect(log.restart('lost').restored).toEqual(restored);
  return restored;
}

describe('at the start of a replica', () => {
  test('without a snapshot the log stays as it is', async () => {
    expect((await finish(logWith(1, 1, 2), null)).lastIndex).toBe(3);
  });

  test('a log that ends before the snapshot is begun behind it: the crash came in between', async () => {
    const restored = await finish(logWith(1, 1, 2), { index: 10, term: 4 });
    expect(restored).toMatchObject({
      hardState: HARD_STATE,
      logStart: { index: 10, term: 4 },
      lastIndex: 10,
      terms: [],
    });
  });

  test('a log that holds another entry at the place of the snapshot is given up', async () => {
    const restored = await finish(logWith(1, 1, 2, 2), { index: 3, term: 4 });
    expect([restored.logStart, restored.lastIndex]).toEqual([{ index: 3, term: 4 }, 3]);
  });

  test('a log that holds the place of the snapshot stays, with what is behind it', async () => {
    const restored = await finish(logWith(1, 1, 4, 4), { index: 3, term: 4 });
    expect([restored.logStart.index, restored.lastIndex]).toEqual([0, 4]);
  });

  test('a log that begins behind the snapshot, or later, stays', async () => {
    const log = logWith(1, 1, 2, 2);
    log.compactTo({ index: 3, term: 2 }, () => {});
    const restarted = log.restart('kept', { schedule: (run) => run() });
    const restored = await finish(restarted, { index: 2, term: 1 });
    expect([restored.logStart.index, restored.lastIndex]).toEqual([3, 4]);
  });

  test('a log that cannot be reset stops the start', async () => {
    const log = logWith(1);
    log.fail(new Error('EIO'));
    await expect(finishInstall({ installed: { index: 9, term: 1 } }, log)).rejects.toThrow('EIO');
  });
});
