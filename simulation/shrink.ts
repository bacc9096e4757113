import fc from 'fast-check';
import { type Schedule, schedules } from './schedule.js';
import { simulate } from './simulate.js';
import { drawOptions } from './swarm.js';

export interface Shrunk {
  readonly schedule: Schedule;
  readonly violation: string;
}

/** The smallest schedule found with which the seed still fails; `null`: it does not fail. */
export async function shrink(seed: number, timeLimitMs: number): Promise<Shrunk | null> {
  const options = drawOptions(seed);
  let violation = '';
  let schedule: Schedule = [];
  const property = fc.asyncProperty(schedules(options), async (candidate) => {
    const report = await simulate({ seed, options, schedule: candidate });
    if (report.violation === null) return true;
    // fast-check goes on from each failure, so the last one is the smallest.
    violation = report.violation;
    schedule = candidate;
    return false;
  });
  await fc.check(property, {
    seed,
    numRuns: 1,
    endOnFailure: false,
    interruptAfterTimeLimit: timeLimitMs,
  });
  return violation === '' ? null : { schedule, violation };
}
