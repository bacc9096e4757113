import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lookAtMachine } from '../cluster/machine.js';
import { readFaults } from '../history/file-history.js';
import type { FaultRecord } from '../history/operation.js';
import { nemesesAt } from '../nemeses/nemeses.js';
import type { Nemesis } from '../nemeses/nemesis.js';
import { type Period, planCycles, planPeriods } from '../nemeses/schedule.js';
import { renderTimeline } from '../picture/timeline.js';
import { htmlReport, type Picture } from '../report/html.js';
import { type Summary, summarize } from '../report/summary.js';
import { chooseWorkloads } from '../workloads/workloads.js';
import { judge } from './judge.js';
import { ProgressLine } from './progress.js';
import { run } from './run.js';

/** A run as it is named on the command line. */
export interface RunSpec {
  readonly workload: string;
  readonly nemesis: string;
  readonly nodes: number;
  readonly network: 'proxies' | 'namespaces';
  /** Of the plan. A period with faults takes longer than planned: it ends when all is whole again. */
  readonly minutes: number;
  /** It ends after `minutes`, whatever of the plan is left. */
  readonly isTimed?: boolean;
  /** Instead of `minutes`: so many times one fault. */
  readonly cycles: number | null;
  /** With `cycles`: how long each fault lasts, in milliseconds. */
  readonly holdMs?: number;
  readonly seed: number;
  readonly pace: number;
  /** Leaders read under a lease; `null`: with odd seeds. */
  readonly leaseReads: boolean | null;
}

export function readsUnderLeases({ leaseReads, seed }: RunSpec): boolean {
  return leaseReads ?? seed % 2 === 1;
}

export interface Conducted {
  readonly summary: Summary;
  readonly folder: string;
  readonly interrupted: boolean;
}

/**
 * Runs, judges, and writes the report.
 * @param entry the command of another replica; default: that of this project
 */
export async function conduct(
  spec: RunSpec,
  options: { readonly out: string; readonly signal: AbortSignal; readonly entry?: string },
): Promise<Conducted> {
  const { nodes, seed, pace, network } = spec;
  const workloads = chooseWorkloads(spec.workload);
  const machine = lookAtMachine();
  const { nemeses, leftOut } = nemesesAt(spec.nemesis, { machine, network, nodes });
  const periods = planOf(spec, nemeses);
  const name = `${new Date().toISOString().replaceAll(/[:.]/g, '-')}-${seed}`;
  const folder = join(options.out, name);
  const totalMs = periods.reduce((sum, { lengthMs }) => sum + lengthMs, 0);
  const isTimed = spec.isTimed === true;
  const line = new ProgressLine(`seed ${seed}`, { totalMs, periods: periods.length, isTimed });
  const { signal, entry } = options;
  const untilMs = isTimed ? totalMs : Number.POSITIVE_INFINITY;
  const record = await run({
    ...{ workloads, nemeses, nodes, periods, untilMs, seed, pace, folder, machine, network },
    ...{ signal, entry, leaseReads: readsUnderLeases(spec) },
    onProgress: (progress) => line.show(progress),
  });
  line.end();
  // What was gathered until an interrupt is judged all the same.
  const summary = summarize(record, await judge(record), { command: commandOf(spec), leftOut });
  writeFileSync(join(folder, 'summary.json'), JSON.stringify(summary, null, 1));
  writeFileSync(
    join(folder, 'report.html'),
    htmlReport(summary, picturesOf(summary, readFaults(record.faultsPath))),
  );
  return { summary, folder, interrupted: record.interrupted };
}

/** Of each history that a checker refuses, the smallest part that shows it. */
function picturesOf({ verdicts }: Summary, faults: readonly FaultRecord[]): Picture[] {
  return verdicts.flatMap(({ workload, verdicts: all }) =>
    all.flatMap(({ checker, smallest = [] }) => {
      if (smallest.length === 0) return [];
      const title = `${workload} by ${checker}`;
      return [{ workload, checker, svg: renderTimeline({ operations: smallest, faults, title }) }];
    }),
  );
}

export function planOf(spec: RunSpec, nemeses: readonly Nemesis[]): Period[] {
  const { cycles, minutes, seed, holdMs } = spec;
  if (cycles !== null) {
    return planCycles({ seed, nemeses, cycles, ...(holdMs === undefined ? {} : { holdMs }) });
  }
  return planPeriods({ seed, nemeses, totalMs: minutes * 60_000 });
}

/** What runs it again. */
function commandOf({ workload, nemesis, nodes, network, ...spec }: RunSpec): string {
  const { minutes, cycles, holdMs, pace, seed, leaseReads } = spec;
  // Only the matrix has faults of another length.
  if (holdMs !== undefined) return `npm run jepsen -- --matrix --seed ${seed}`;
  const length = cycles === null ? `--minutes ${minutes}` : `--cycles ${cycles}`;
  const where = network === 'proxies' ? '' : ` --network ${network}`;
  const slow = pace === 1 ? '' : ` --pace ${pace}`;
  const forced = leaseReads === null ? '' : ` --lease-reads ${leaseReads ? 'yes' : 'no'}`;
  return `npm run jepsen -- --workload ${workload} --nemesis ${nemesis} --nodes ${nodes}${where} ${length}${slow}${forced} --seed ${seed}`;
}
