import { seededRandom } from '../../../src/base/random.js';
import type { ExecutorSpeed } from '../native-executor.js';

/** What is called because of a write, or at its time. */
export interface FollowUpOptions {
  readonly speed: ExecutorSpeed;
  /** Longest pause of a client between two of its steps. */
  readonly pauseMs: number;
}

/** With which seeds there are such calls: the others cost what they did. */
export function hasFollowUps(seed: number): boolean {
  return seed % 4 === 2;
}

export function drawFollowUps(seed: number): FollowUpOptions {
  const random = seededRandom(seed * 2 + 0xf0110);
  return {
    speed: { usualMs: [2, 6, 25][random.int(3)] as number, longMs: random.int(2) * 240 + 60 },
    pauseMs: [5000, 9000, 14_000][random.int(3)] as number,
  };
}
