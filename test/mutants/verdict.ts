import type { Baseline } from './baseline.js';
import type { Mutation } from './mutation.js';
import type { Workshop } from './workshop.js';

/** Whether a mutation was caught, and by what. */
export interface Verdict {
  readonly mutation: Mutation;
  readonly caught: boolean;
  /** The first rule test that failed; `null`: none did, or none was asked. */
  readonly rule: string | null;
  /** What the simulator found, and at which seed; `null`: nothing. */
  readonly simulator: string | null;
  /** Schedules that the simulator ran until then. */
  readonly schedules: number;
}

const RULES_TIMEOUT_MS = 5 * 60_000;
const SIMULATOR_TIMEOUT_MS = 15 * 60_000;

/**
 * Puts the mutation in, and asks the rule tests and then the simulator.
 * @throws when the seed that catches it is violated without it, too
 */
export function examine(
  workshop: Workshop,
  mutation: Mutation,
  baseline: Baseline,
): Promise<Verdict> {
  return workshop.with(mutation.edits, async () => {
    const rule = await askRules(workshop, mutation.rules);
    const found = await askSimulator(workshop, mutation);
    if (found !== null) await baseline.check(found.seed);
    return {
      mutation,
      caught: rule !== null || found !== null,
      rule,
      simulator: found?.violation ?? null,
      schedules: found?.schedules ?? mutation.seedsMax,
    };
  });
}

/**
 * Runs all files that are to catch one of them, without any mutation.
 * @throws when one fails: it would fail with a mutation, too, and that would say nothing
 */
export async function checkRules(
  workshop: Workshop,
  mutations: readonly Mutation[],
): Promise<void> {
  const files = [...new Set(mutations.flatMap(({ rules }) => rules))];
  if (files.length === 0) return;
  const { code, output, timedOut } = await workshop.test(files, RULES_TIMEOUT_MS);
  if (timedOut) throw new Error(tooLong('rule tests', RULES_TIMEOUT_MS));
  if (code !== 0) throw new Error(`rule tests fail without a mutation:\n${output}`);
}

async function askRules(workshop: Workshop, files: readonly string[]): Promise<string | null> {
  if (files.length === 0) return null;
  const { code, output, timedOut } = await workshop.test(files, RULES_TIMEOUT_MS);
  if (code === 0) return null;
  if (timedOut) throw new Error(tooLong('rule tests', RULES_TIMEOUT_MS));
  const failed = failedTest(output);
  // A mutation that does not even load would pass for caught: that is a broken mutation.
  if (failed === null) throw new Error(`the rule tests fail, but no test does:\n${output}`);
  return `rule test \`${failed}\``;
}

/** The first that failed; of a file that cannot be loaded no test does. */
function failedTest(output: string): string | null {
  return /^\s*(?:×|FAIL)\s+(test\/\S+ > [^\n]*?)(?:\s+\d+ms)?\s*$/m.exec(output)?.[1] ?? null;
}

async function askSimulator(
  workshop: Workshop,
  { seedsMax, seeds = { from: 1, step: 1 } }: Mutation,
): Promise<{
  readonly violation: string;
  readonly schedules: number;
  readonly seed: number;
} | null> {
  if (seedsMax === 0) return null;
  const { code, output, timedOut } = await workshop.runCompiled(
    'test/mutants/hunt.js',
    [seedsMax, seeds.from, seeds.step].map(String),
    SIMULATOR_TIMEOUT_MS,
  );
  if (code === 0) return null;
  if (timedOut) throw new Error(tooLong('the simulator', SIMULATOR_TIMEOUT_MS));
  const found = /^found at seed (\d+), run (\d+): (.*)$/m.exec(output);
  if (found === null) throw new Error(`the simulator failed without naming a seed:\n${output}`);
  const [, seed, schedules, violation] = found;
  return {
    violation: `simulator: ${violation}`,
    schedules: Number(schedules),
    seed: Number(seed),
  };
}

function tooLong(who: string, ms: number): string {
  return `${who} did not end within ${ms / 60_000} min`;
}
