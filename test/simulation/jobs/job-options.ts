import { LIMITS, type Limits } from '../../../src/base/limits.js';
import { seededRandom } from '../../../src/base/random.js';
import type { ExecutorSpeed } from '../native-executor.js';

export interface JobOptions {
  readonly speed: ExecutorSpeed;
  /** Longest pause between two jobs. */
  readonly pauseMs: number;
  /** Most tasks of the first stage of one job. */
  readonly tasksMax: number;
  /** Longest time that a task of a worker of a user takes, now and then. */
  readonly longMs: number;
}

/** With which seeds there are jobs: the others cost what they did. */
export function hasJobs(seed: number): boolean {
  return seed % 8 === 4;
}

export function drawJobs(seed: number): JobOptions {
  const random = seededRandom(seed * 2 + 0x10b5);
  const pick = <T>(from: readonly T[]): T => from[random.int(from.length)] as T;
  return {
    speed: { usualMs: pick([2, 20, 100]), longMs: pick([300, 4000]) },
    pauseMs: pick([4000, 9000]),
    tasksMax: pick([3, 8]),
    longMs: pick([1500, 6000]),
  };
}

/** So short that workers are taken for lost that are only slow. */
export function drawJobLimits(seed: number): Partial<Limits> {
  const random = seededRandom(seed * 2 + 0x1ea5e);
  return {
    workerLeaseMs: [500, 1000, LIMITS.workerLeaseMs][random.int(3)] as number,
    taskThreadsMax: 1 + random.int(3),
  };
}
