import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { demandLiveness, run, schedules, TICK_MS } from './schedule.js';
import { clockActions, snapshotActions } from './snapshot-actions.js';

/** `BALSA_SOAK` multiplies the number of schedules. */
const SOAK = Number(process.env.BALSA_SOAK ?? 1);
const TIMEOUT_MS = 60_000 * SOAK;

/**
 * Schedules of loss, delay, doubling, reordering, partitions and power failures. `SafetyChecker`
 * holds the five properties of Figure 3 after every step. A failure prints its seed and is shrunk.
 */
describe('safety and liveness (paper §5, Figure 3)', () => {
  for (const [memberCount, usualRuns] of [
    [3, 700],
    [5, 400],
  ] as const) {
    const numRuns = usualRuns * SOAK;
    test(
      `${memberCount} members keep all five properties, and converge when faults stop`,
      () => {
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
      },
      TIMEOUT_MS,
    );
  }

  test(
    'members come and go, leadership is handed over, and all properties hold',
    () => {
      let configurations = 0;
      let transfers = 0;
      const numRuns = 500 * SOAK;
      fc.assert(
        fc.property(fc.nat(1_000_000), schedules(6, 2), (seed, schedule) => {
          const cluster = run(6, seed, schedule, 3);
          demandLiveness(cluster);
          configurations += cluster.checker.committedConfigurations;
          for (const member of cluster.members.values()) {
            transfers += member.transfers.filter((answer) => answer.ok).length;
          }
        }),
        { seed: 20_261_123, numRuns, includeErrorInReport: true },
      );
      expect(configurations / numRuns).toBeGreaterThan(3);
      expect(transfers / numRuns).toBeGreaterThan(0.5);
    },
    TIMEOUT_MS,
  );

  test(
    'logs are given up, snapshots take their place, and all properties hold',
    () => {
      const numRuns = 500 * SOAK;
      const counts = { sent: 0, installed: 0, resumed: 0, compacted: 0 };
      const schedule = schedules(5, 1, snapshotActions(5));
      fc.assert(
        fc.property(fc.nat(1_000_000), schedule, (seed, actions) => {
          const cluster = run(5, seed, actions, 3, { slowIo: seed % 2 === 0 });
          demandLiveness(cluster);
          for (const [what, count] of Object.entries(cluster.snapshots.counts)) {
            counts[what as keyof typeof counts] += count;
          }
        }),
        { seed: 20_261_124, numRuns, includeErrorInReport: true },
      );
      expect(counts.compacted / numRuns).toBeGreaterThan(3);
      expect(counts.installed / numRuns).toBeGreaterThan(1);
      // Crashes between the switch of the state and the reset of the log
      expect(counts.resumed / numRuns).toBeGreaterThan(0.01);
    },
    TIMEOUT_MS,
  );

  test(
    'leaders read by leases, on clocks that run apart, and all properties hold',
    () => {
      const numRuns = 500 * SOAK;
      let leaseReads = 0;
      const more = [...clockActions(4), ...snapshotActions(4)];
      fc.assert(
        fc.property(fc.nat(1_000_000), schedules(4, 1, more), (seed, actions) => {
          const cluster = run(4, seed, actions, 3, { leaseMs: 10 * TICK_MS });
          demandLiveness(cluster);
          leaseReads += cluster.leaseReads;
        }),
        { seed: 20_261_125, numRuns, includeErrorInReport: true },
      );
      expect(leaseReads / numRuns).toBeGreaterThan(1);
    },
    TIMEOUT_MS,
  );
});
