import { keyOf } from '../src/cli/bench/keys.js';

/**
 * Does `call` for each whole number from 0 to `count`, `outstanding` at a time: each is followed by the next.
 * @returns seconds that it took
 */
export async function forEach(
  count: number,
  outstanding: number,
  call: (i: number) => Promise<unknown>,
): Promise<number> {
  const startedMs = performance.now();
  let next = 0;
  const loop = async (): Promise<void> => {
    while (next < count) {
      const i = next;
      next += 1;
      await call(i);
    }
  };
  await Promise.all(Array.from({ length: outstanding }, loop));
  return (performance.now() - startedMs) / 1000;
}

/** Does `call` over and over for some time, `outstanding` at a time. @returns calls per second */
export async function forSeconds(
  seconds: number,
  outstanding: number,
  call: (i: number) => Promise<unknown>,
): Promise<{ readonly calls: number; readonly perSecond: number }> {
  const startedMs = performance.now();
  const endMs = startedMs + seconds * 1000;
  let next = 0;
  const loop = async (): Promise<void> => {
    while (performance.now() < endMs) {
      const i = next;
      next += 1;
      await call(i);
    }
  };
  await Promise.all(Array.from({ length: outstanding }, loop));
  return { calls: next, perSecond: next / ((performance.now() - startedMs) / 1000) };
}

/**
 * Keys of ten digits, in an order that jumps through all `count` of them, the same in every run; with `step` 1
 * in their own order.
 */
export function scattered(i: number, count: number, step = 7919): string {
  return keyOf((i * step) % count);
}
