import { CHECKERS } from '../checkers/all-checkers.js';
import type { Checker, Verdict } from '../checkers/checker.js';
import { fileHistory, readFaults } from '../history/file-history.js';
import type { RunRecord } from './run.js';

export interface WorkloadVerdict {
  readonly workload: string;
  readonly history: string;
  readonly verdicts: readonly (Verdict & { readonly tookMs: number })[];
}

/** Has each history judged by the checkers of its workload. */
export async function judge(record: RunRecord): Promise<WorkloadVerdict[]> {
  const judged: WorkloadVerdict[] = [];
  const watch = fileHistory(record.watchPath);
  const faults = readFaults(record.faultsPath);
  for (const { workload, path } of record.histories) {
    const verdicts: (Verdict & { tookMs: number })[] = [];
    for (const name of workload.checkers) {
      const startedMs = performance.now();
      const checker = CHECKERS[name]?.({ faults });
      if (checker === undefined) throw new Error(`there is no checker ${name}`);
      const verdict = await ask(checker, () => fileHistory(path), watch);
      verdicts.push({ ...verdict, tookMs: performance.now() - startedMs });
    }
    judged.push({ workload: workload.name, history: path, verdicts });
  }
  return judged;
}

async function ask(
  checker: Checker,
  history: () => ReturnType<typeof fileHistory>,
  watch: ReturnType<typeof fileHistory>,
): Promise<Verdict> {
  try {
    return await checker.check(history(), watch);
  } catch (error) {
    // A history that cannot be read has not been judged.
    const text = `${checker.name} could not judge: ${String(error)}`;
    return { valid: 'unknown', checker: checker.name, operations: 0, text };
  }
}
