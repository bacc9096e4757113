import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { demandLiveness, run, schedules } from './schedule.js';

/**
 * Schedules of loss, delay, doubling, reordering, partitions and power failures. `SafetyChecker`
 * holds the five properties of Figure 3 after every step. A failure prints its seed and is shrunk.
 */
describe('safety and liveness (paper §5, Figure 3)', () => {
  for (const [memberCount, numRuns] of [
    [3, 2000],
    [5, 1200],
  ] as const) {
    test(`${memberCount} members keep all five properties, and converge when faults stop`, () => {
      let committed = 0;
      let terms = 0;
      let reads = 0;
      fc.assert(
        fc.property(fc.nat(1_000_000), schedules(memberCount), (seed, schedule) => {
          const cluster = run(memberCount, seed, schedule);
          committed += cluster.checker.committedIndex;
          demandLiveness(cluster);
          terms += Math.max(...cluster.ids.map((id) => cluster.node(id).term));
          for (const member of cluster.members.values()) {
            reads += member.answers.filter((answer) => answer.ok).length;
          }
        }),
        { seed: 20_261_122 + memberCount, numRuns, includeErrorInReport: true },
      );
      // A schedule in which nothing happens would prove nothing.
      expect(committed / numRuns).toBeGreaterThan(5);
      expect(terms / numRuns).toBeGreaterThan(3);
      expect(reads / numRuns).toBeGreaterThan(1);
    }, 60_000);
  }
});
