import { describe, expect, test } from 'vitest';
import type { SnapshotPair } from '../../src/base/snapshot-codec.js';
import { isChunk, OutboundSnapshot } from '../../src/server/outbound-snapshot.js';
import type { StateView } from '../../src/storage/snapshot.js';
import { headerOf, pairsOf } from '../storage/snapshot-helpers.js';

/** A snapshot of ten pairs, one in each chunk; its reads answer when they are let go. */
function given() {
  const pairs = pairsOf('k', 10);
  const reads: (() => void)[] = [];
  let closed = false;
  const view: StateView = {
    index: 7,
    get: () => undefined,
    next: (after) => {
      const at = after === null ? 0 : pairs.findIndex(([key]) => Buffer.compare(key, after) > 0);
      const found: SnapshotPair[] = at < 0 ? [] : pairs.slice(at, at + 1);
      return new Promise((resolve) => reads.push(() => resolve(found)));
    },
    close: async () => {
      closed = true;
    },
  };
  const snapshot = new OutboundSnapshot({ view, header: headerOf(7, 'first'), chunkBytes: 1 });
  const next = async (): Promise<number | string> => {
    const part = snapshot.next();
    for (const read of reads.splice(0)) read();
    const made = await part;
    if (made === null) return 'dropped';
    return isChunk(made) ? made.number : 'end';
  };
  return { snapshot, next, reads, isClosed: () => closed };
}

describe('a snapshot that is sent', () => {
  test('has its chunks in order, and an end', async () => {
    const { snapshot, next } = given();
    const seen: unknown[] = [];
    for (let i = 0; i < 11; i += 1) seen.push(await next());
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 'end']);
    expect(snapshot.sums).toMatchObject({ chunks: 10, keys: 10 });
  });

  test('goes on from any place that was not acknowledged yet, with the same chunks', async () => {
    const { snapshot, next } = given();
    for (let i = 0; i < 6; i += 1) await next();
    const { sums } = snapshot;
    snapshot.acknowledged(3);
    expect([snapshot.rewindTo(2), snapshot.rewindTo(7)]).toEqual([false, false]);
    for (const place of [6, 5, 4, 3]) {
      expect(snapshot.rewindTo(place)).toBe(true);
      for (let chunk = place + 1; chunk <= 6; chunk += 1) expect(await next()).toBe(chunk);
      expect(snapshot.sums).toEqual(sums);
    }
    expect(await next()).toBe(7);
  });

  test('can always be begun anew, under another name', async () => {
    const { snapshot, next } = given();
    for (let i = 0; i < 6; i += 1) await next();
    snapshot.acknowledged(5);
    snapshot.restart('second');
    expect(snapshot.header.id).toBe('second');
    expect(await next()).toBe(1);
  });

  test('drops a chunk that was being read when the place was changed', async () => {
    const { snapshot, next, reads } = given();
    await next();
    await next();
    const reading = snapshot.next();
    snapshot.rewindTo(1);
    for (const read of reads.splice(0)) read();
    expect(await reading).toBeNull();
    expect(await next()).toBe(2);
  });

  test('lets go of the state when it is closed, but not in the middle of a read', async () => {
    const { snapshot, reads, isClosed } = given();
    const reading = snapshot.next();
    const closing = snapshot.close();
    await Promise.resolve();
    expect(isClosed()).toBe(false);
    for (const read of reads.splice(0)) read();
    expect(await reading).toBeNull();
    await closing;
    expect(isClosed()).toBe(true);
    expect(await snapshot.next()).toBeNull();
  });
});
