import {
  closeSync,
  cpSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../src/base/clock.js';
import { seededRandom } from '../../src/base/random.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import type { ScrubRate } from '../../src/storage/level-scrub.js';
import { LevelStateStore } from '../../src/storage/level-state-store.js';
import { applyAll, bytes, contents, put } from './snapshot-helpers.js';

const limits = { overlayBytesMax: 64 * 1024 * 1024 };
const LARGE_BYTES = 3 * 1024 * 1024;
const FAST: ScrubRate = { bytesPerSecond: 1e9, intervalMs: 5 };

let parent = '';
let whole = '';
beforeAll(async () => {
  parent = mkdtempSync(join(tmpdir(), 'balsa-scrub-'));
  whole = join(parent, 'whole');
  const random = seededRandom(1);
  const store = await LevelStateStore.open({ folder: whole, limits });
  for (let index = 1; index <= 2; index += 1) {
    const noise = Buffer.from(Array.from({ length: 200_000 }, () => random.int(256)));
    await applyAll(store, index, [put(`k${index}`, noise.toString('latin1'))]);
    await store.sync();
  }
  const large = Buffer.alloc(LARGE_BYTES, 'what does not get shorter is not packed');
  for (let at = 0; at < large.length; at += 16) large.writeUInt32LE(random.int(2 ** 32), at);
  await applyAll(store, 3, [{ key: bytes('large'), value: large }]);
  await store.close();
});
afterAll(() => rmSync(parent, { recursive: true }));

function tables(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith('.ldb'));
}

/** In its place: LevelDB has the file in its memory. */
function flip(path: string, offset: number): void {
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, offset);
  writeSync(file, Buffer.of(byte.readUInt8(0) ^ 4), 0, 1, offset);
  closeSync(file);
}

async function opened(name: string, scrub: ScrubRate | null, clock: Clock = systemClock) {
  const folder = join(parent, name);
  cpSync(whole, folder, { recursive: true });
  const store = await LevelStateStore.open({ folder, limits, clock, scrub });
  const failures: Error[] = [];
  const failed = new Promise<Error>((resolve) => {
    store.onFailure((error) => {
      failures.push(error);
      resolve(error);
    });
  });
  return { folder, store, failures, failed };
}

describe('looking at the tables while they are in use', () => {
  test('finds rot that nobody reads, and ends the store', async () => {
    for (const size of ['small', 'large']) {
      const { folder, store, failed } = await opened(`rotten-${size}`, FAST);
      const sizeOf = (name: string): number => statSync(join(folder, name)).size;
      const bySize = tables(folder).sort((a, b) => sizeOf(a) - sizeOf(b));
      const name = (size === 'small' ? bySize[0] : bySize.at(-1)) ?? '';
      flip(join(folder, name), 100_000);
      expect(await failed).toMatchObject({
        code: 'STATE_CORRUPT',
        message: expect.stringContaining(name),
      });
      expect(() => store.apply(9, [put('a', '1')])).toThrow(name);
      await store.abandon();
    }
  });

  test('goes on for ever where all is whole, also when LevelDB merges tables meanwhile', async () => {
    const { store, failures } = await opened('whole-one', FAST);
    const before = await contents(store);
    for (let index = 4; index < 24; index += 1) {
      await applyAll(store, index, [put('k1', 'x'.repeat(index))]);
      await store.reclaim(bytes('a'), bytes('z'));
    }
    const seen = store.scrubbed?.bytes ?? 0;
    const more = async () =>
      (store.scrubbed?.bytes ?? 0) > seen + 2 * LARGE_BYTES ? true : undefined;
    await waitUntil('all to be read again', more);
    expect(store.scrubbed?.wholeMs).toBeLessThan(60_000);
    expect((await contents(store)).length).toBe(before.length);
    await store.close();
    expect(failures).toEqual([]);
  });

  test('takes as long as its rate says, and rests between two times', async () => {
    let nowMs = 0;
    let longestMs = 0;
    /** Time passes as it is waited for. */
    const clock: Clock = {
      ...systemClock,
      monotonicMs: () => nowMs,
      setTimer: (delayMs, callback) => {
        longestMs = Math.max(longestMs, delayMs);
        return systemClock.setTimer(0, () => {
          nowMs += delayMs;
          callback();
        });
      },
    };
    const rate = { bytesPerSecond: 100_000, intervalMs: 100_000 };
    const { store } = await opened('paced', rate, clock);
    const isRead = async () => ((store.scrubbed?.bytes ?? 0) > 2 * LARGE_BYTES ? true : undefined);
    await waitUntil('two times', isRead);
    const read = store.scrubbed?.bytes ?? 0;
    await store.abandon();
    expect(nowMs).toBeGreaterThanOrEqual((read - LARGE_BYTES) / 100);
    // The first time is an interval away: when it was opened it was whole.
    expect(nowMs).toBeGreaterThan(2 * rate.intervalMs - 1);
    expect(longestMs).toBeLessThanOrEqual(rate.intervalMs);
  });

  test('ends with the store, whatever it waits for', async () => {
    for (const end of ['close', 'abandon'] as const) {
      let timers = 0;
      const clock: Clock = {
        ...systemClock,
        setTimer: (delayMs, callback) => {
          timers += 1;
          const timer = systemClock.setTimer(delayMs, callback);
          return {
            cancel: () => {
              timers -= 1;
              timer.cancel();
            },
          };
        },
      };
      const { store } = await opened(`ends-${end}`, { ...FAST, intervalMs: 3_600_000 }, clock);
      expect(timers).toBe(1);
      await store[end]();
      expect(timers).toBe(0);
    }
  });

  test('is not done unless it is asked for', async () => {
    const { store } = await opened('unasked', null);
    expect(store.scrubbed).toBeNull();
    await store.abandon();
  });
});
