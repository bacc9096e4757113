import { expect, test } from 'vitest';
import { Deadlines } from '../../src/client/deadlines.js';
import { VirtualClock } from './support/virtual-clock.js';

/** Of so many calls one is due in each millisecond; to walk over all of them takes `walkMs`. */
async function walks(walkMs: number): Promise<number[]> {
  const virtual = new VirtualClock();
  let walkedMs = 0;
  const clock = {
    wallMs: () => virtual.wallMs(),
    monotonicMs: () => virtual.monotonicMs() + walkedMs,
    setTimer: (ms: number, callback: () => void) => virtual.setTimer(ms, callback),
    defer: (callback: () => void) => virtual.defer(callback),
  };
  const startedMs = clock.monotonicMs();
  const atMs: number[] = [];
  const deadlines = new Deadlines(clock, (nowMs) => {
    atMs.push(nowMs - startedMs);
    walkedMs += walkMs;
    return nowMs + 1;
  });
  deadlines.watch(startedMs + 1);
  await virtual.advance(1000);
  deadlines.stop();
  return atMs;
}

test('calls that run out of time are looked for every five milliseconds, where that takes no time', async () => {
  expect((await walks(0)).slice(0, 4)).toEqual([1, 6, 11, 16]);
});

test('and for a tenth of the time at most, where there are very many calls', async () => {
  expect((await walks(10)).slice(0, 3)).toEqual([1, 101, 201]);
});
