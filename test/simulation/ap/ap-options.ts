import { LIMITS, type Limits } from '../../../src/base/limits.js';
import { type Random, seededRandom } from '../../../src/base/random.js';
import type { ExecutorSpeed } from '../native-executor.js';

/** Calls of `ap` procedures. */
export interface ApOptions {
  readonly speed: ExecutorSpeed;
  /** Longest pause of a caller between two calls. */
  readonly pauseMs: number;
  /** How long merged calls are remembered; small, so that some are forgotten. */
  readonly bounds: { readonly callKeptMs: number; readonly clockSkewMsMax: number };
}

/** With which seeds there are such calls: the others cost what they did. */
export function hasAp(seed: number): boolean {
  return seed % 4 === 1;
}

export function drawAp(seed: number): ApOptions {
  const random = seededRandom(seed * 2 + 0xa9a9);
  return {
    speed: { usualMs: pick(random, [2, 6, 25]), longMs: pick(random, [60, 300]) },
    pauseMs: pick(random, [8000, 12_000, 18_000]),
    bounds: {
      callKeptMs: pick(random, [LIMITS.callKeptMs, 5000]),
      // As much as the clocks of machines differ here.
      clockSkewMsMax: 60_000,
    },
  };
}

export function drawApLimits(seed: number): Partial<Limits> {
  const random = seededRandom(seed * 2 + 0xa911);
  return { apCopiesBytesMax: pick(random, [LIMITS.apCopiesBytesMax, 1000]) };
}

function pick<T>(random: Random, from: readonly T[]): T {
  return from[random.int(from.length)] as T;
}
