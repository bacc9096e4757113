import { describe, expect, test } from 'vitest';
import { type Load, WriteWindow } from '../../src/client/write-window.js';

/** How much one client has under way, and what it thinks of what waits. */

/** Of a hundred bytes each. */
const loadOf = (operations: number): Load => ({ operations, bytes: 100 * operations });

/** A leader that takes so many operations per millisecond, in turn; batches of 1000. */
function load(window: WriteWindow, perMs: number, forMs: number, startMs = 0): number {
  const underWay: { readonly sentMs: number; readonly endMs: number }[] = [];
  let nowMs = startMs;
  let freeMs = startMs;
  let most = 0;
  while (nowMs < startMs + forMs) {
    while (window.hasRoom(underWay.length * 1000, 1000)) {
      freeMs = Math.max(freeMs, nowMs) + 1000 / perMs;
      underWay.push({ sentMs: nowMs, endMs: freeMs });
    }
    const [first] = underWay.splice(0, 1);
    if (first === undefined) throw new Error('one is always let in');
    nowMs = first.endMs;
    window.answered(loadOf(1000), first.sentMs, nowMs, 10_000);
    if (nowMs > startMs + forMs / 2) most = Math.max(most, nowMs - first.sentMs);
  }
  return most;
}

describe('the window of writes', () => {
  test.each([3, 10, 20])('lets none wait for long at a leader that does %i per ms', (perMs) => {
    const window = new WriteWindow();
    window.answered(loadOf(1), 0, 2, 0);
    // Late is what takes 400 ms; one batch more than that is under way.
    expect(load(window, perMs, 60_000)).toBeLessThan(400 + 1000 / perMs + 1);
  });

  test('leaves a fast leader nothing to wait for', () => {
    const window = new WriteWindow();
    load(window, 100, 5000);
    expect(window.hasRoom(7000, 1000)).toBe(true);
    expect(window.hasRoom(8000, 1000)).toBe(false);
  });

  test('opens again when the leader is faster', () => {
    const window = new WriteWindow();
    load(window, 2, 20_000);
    expect(window.hasRoom(3000, 1000)).toBe(false);
    load(window, 100, 5000, 100_000);
    expect(window.hasRoom(7000, 1000)).toBe(true);
  });

  test('takes a long way for no load', () => {
    const window = new WriteWindow();
    for (let at = 0; at < 100; at += 1)
      window.answered(loadOf(1000), at * 10, at * 10 + 450, 10_000);
    expect(window.hasRoom(7000, 1000)).toBe(true);
  });

  test('always has room for one batch', () => {
    expect(new WriteWindow().hasRoom(0, 1_000_000)).toBe(true);
  });
});

describe('a write that cannot be answered in its time', () => {
  test('is known by what goes through, while something does', () => {
    const window = new WriteWindow();
    expect(window.hopeless(loadOf(1_000_000), 1, 0)).toBeNull();
    load(window, 10, 2000);
    expect(window.hopeless(loadOf(10_000), 5000, 2010)).toBeNull();
    expect(window.hopeless(loadOf(10_000), 500, 2010)).toBeCloseTo(1000, -2);
    expect(window.hopeless(loadOf(4000), 1, 2010)).toBeNull();
    // One that has all time in the world.
    expect(window.hopeless(loadOf(1_000_000), Number.POSITIVE_INFINITY, 2010)).toBeNull();
    // Nothing is answered any more: perhaps the leader is another one soon.
    expect(window.hopeless(loadOf(10_000), 500, 10_000)).toBeNull();
  });

  test('is not guessed from what is answered while nothing waits', () => {
    const window = new WriteWindow();
    for (let at = 0; at < 100; at += 1) window.answered(loadOf(1), at * 10, at * 10 + 2, 0);
    expect(window.hopeless(loadOf(100_000), 1, 1000)).toBeNull();
  });
});
