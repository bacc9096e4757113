import { setImmediate as nextTurn } from 'node:timers/promises';
import { simulate } from './simulate.js';

/** Sends the process that has forked this one the report of each run, while it is there. */
export async function reportRuns(seeds: Iterable<number>): Promise<void> {
  for (const seed of seeds) {
    // A simulation never waits: only now can it be noticed that nobody listens any more.
    await nextTurn();
    if (!process.connected) return;
    process.send?.(await simulate({ seed }));
  }
  process.disconnect();
}
