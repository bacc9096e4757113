import { describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { sleep } from '../../src/cli/sleep.js';

const DAY_MS = 24 * 3_600_000;

/**
 * In one go: were anything else in this process to set a timer meanwhile, one that comes again and again, to advance by weeks would
 * take for ever.
 */
function inFakeTime<T>(act: () => T): T {
  vi.useFakeTimers();
  try {
    return act();
  } finally {
    vi.useRealTimers();
  }
}

describe('the clock of the machine', () => {
  test.each([1, 10, 24 * DAY_MS, 30 * DAY_MS, 90 * DAY_MS])('waits for %d ms, and no less', (ms) =>
    inFakeTime(() => {
      const fired = vi.fn();
      systemClock.setTimer(ms, fired);
      vi.advanceTimersByTime(ms - 1);
      expect(fired).not.toHaveBeenCalled();
      vi.advanceTimersByTime(1);
      expect(fired).toHaveBeenCalledTimes(1);
    }),
  );

  test('never fires when it is set for ever, or was cancelled on its way', () => {
    inFakeTime(() => {
      const fired = vi.fn();
      systemClock.setTimer(Number.POSITIVE_INFINITY, fired);
      const timer = systemClock.setTimer(60 * DAY_MS, fired);
      vi.advanceTimersByTime(40 * DAY_MS);
      timer.cancel();
      vi.advanceTimersByTime(400 * DAY_MS);
      expect(fired).not.toHaveBeenCalled();
    });
  });
});

describe('a command that sleeps', () => {
  test('sleeps for a third of the longest time to live that a lease may have', async () => {
    const slept = inFakeTime(() => {
      const sleeping = sleep(30 * DAY_MS, new AbortController().signal);
      vi.advanceTimersByTime(30 * DAY_MS - 1);
      expect(vi.getTimerCount()).toBe(1);
      vi.advanceTimersByTime(1);
      expect(vi.getTimerCount()).toBe(0);
      return sleeping;
    });
    await slept;
  });

  test('wakes up when it is interrupted, and leaves no timer behind', async () => {
    const abort = new AbortController();
    const slept = inFakeTime(() => {
      const sleeping = sleep(DAY_MS, abort.signal);
      abort.abort();
      expect(vi.getTimerCount()).toBe(0);
      return sleeping;
    });
    await slept;
  });
});
