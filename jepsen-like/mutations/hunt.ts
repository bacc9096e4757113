import { join, resolve } from 'node:path';
import { compileTools } from '../../test/compile-tools.js';
import { MUTATIONS } from '../../test/mutants/mutations.js';
import { Workshop } from '../../test/mutants/workshop.js';
import { UsageError } from '../options.js';
import type { Summary } from '../report/summary.js';
import { conduct } from '../run/conduct.js';
import { PREY, type Prey } from './prey.js';

/** Short ones, so that it is known soon. */
const RUN_SECONDS = 20;
const RUNS_MAX = 5;

export interface HuntOptions {
  readonly out: string;
  readonly signal: AbortSignal;
}

/**
 * Builds replicas with a historical bug each, and lets runs loose on them until one finds fault with it.
 * @param only names, separated by commas; empty: all
 * @returns the exit code
 */
export async function huntMutations(only: string, options: HuntOptions): Promise<number> {
  const names = only === '' ? PREY.map(({ mutation }) => mutation) : only.split(',');
  const unknown = names.find((name) => PREY.every(({ mutation }) => mutation !== name));
  if (unknown !== undefined) throw new UsageError(`no mutation to hunt is called ${unknown}`);
  const chosen = PREY.filter(({ mutation }) => names.includes(mutation));
  const workshop = new Workshop(resolve('.'));
  let survived = 0;
  try {
    for (const prey of chosen) {
      if (options.signal.aborted) return 130;
      if (!(await hunt(workshop, prey, options))) survived += 1;
    }
    if (options.signal.aborted) return 130;
  } finally {
    workshop.dispose();
  }
  console.log(`${chosen.length - survived} caught, ${survived} survived`);
  return survived === 0 && chosen.length > 0 ? 0 : 1;
}

async function hunt(workshop: Workshop, prey: Prey, options: HuntOptions): Promise<boolean> {
  const { mutation: name, workload, nemesis, nodes, leaseReads = false } = prey;
  const mutation = MUTATIONS.find((one) => one.name === name);
  if (mutation === undefined) throw new Error(`no mutation is called ${name}`);
  return workshop.with(mutation.edits, async () => {
    const compiled = join(workshop.folder, '.tools');
    await compileTools(workshop.folder, compiled);
    const entry = join(compiled, 'src/cli/main.js');
    const startedMs = performance.now();
    for (let seed = 1; seed <= RUNS_MAX && !options.signal.aborted; seed += 1) {
      const spec = { workload, nemesis, nodes, seed, leaseReads, minutes: RUN_SECONDS / 60 };
      const common = { cycles: null, pace: 1, network: 'proxies' } as const;
      const { summary, interrupted } = await conduct({ ...spec, ...common }, { ...options, entry });
      if (interrupted) return false;
      if (!isCaught(summary, prey)) continue;
      const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
      console.log(
        `caught   ${name.padEnd(44)} after ${seconds} s, run ${seed}: ${reason(summary, prey)}`,
      );
      return true;
    }
    console.log(`SURVIVED ${name.padEnd(44)} ${RUNS_MAX} runs of ${RUN_SECONDS} s`);
    return false;
  });
}

/** Something is wrong of what it breaks: what could not be decided catches nothing, nor does a cluster that does not come back. */
export function isCaught(
  { verdicts, problems }: Pick<Summary, 'verdicts' | 'problems'>,
  { checkers, problem }: Pick<Prey, 'checkers' | 'problem'>,
): boolean {
  const all = verdicts.flatMap((one) => one.verdicts);
  const isFound = all.some(({ valid, checker }) => valid === false && checkers.includes(checker));
  return isFound || (problem !== undefined && problems.some((text) => text.includes(problem)));
}

/** What was wrong, in one line. */
function reason({ verdicts, problems }: Summary, { checkers }: Prey): string {
  const bad = verdicts
    .flatMap((one) => one.verdicts)
    .filter(({ valid, checker }) => valid === false && checkers.includes(checker));
  const [first] = bad;
  const text = first === undefined ? (problems[0] ?? '') : `${first.checker}: ${first.text}`;
  return text.split('\n')[0]?.slice(0, 200) ?? '';
}
