import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take the longest: those that compute, the longest first, and those that mostly wait for real processes. */
const COMPUTES = ['simulation/seeds.', 'statemachine/model', 'crash/crash-points', 'raft/safety'];
const WAITS = 'test/whole/';

/** The long ones first, so that none is left over at the end; one that computes beside two that wait. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const computing = COMPUTES.flatMap((name) =>
      sorted.filter(({ moduleId }) => moduleId.includes(name)),
    );
    const waiting = sorted.filter(({ moduleId }) => moduleId.includes(WAITS));
    const long = new Set<TestSpecification>();
    while (computing.length + waiting.length > 0) {
      for (const file of [...computing.splice(0, 1), ...waiting.splice(0, 2)]) long.add(file);
    }
    return [...long, ...sorted.filter((file) => !long.has(file))];
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // One that was forgotten would leave all others out, and nobody would see it.
    allowOnly: false,
    // Whole-process tests wait for conditions; this bounds the wait, it is not a measure.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // For two cores: more processes that compute only fight each other, and many of these tests wait.
    maxWorkers: 3,
    // One process for many files: to start one for each, and to load the same modules in it, costs as much as the tests.
    isolate: false,
    sequence: { sequencer: LongFirst },
  },
});
