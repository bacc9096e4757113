import type { FaultInterval, Standstill } from '../run/fault-log.js';
import type { WorkloadVerdict } from '../run/judge.js';
import { type Availability, getOrMake } from '../run/observer.js';
import type { RunRecord } from '../run/run.js';

/** All that a report shows, as JSON beside the histories. */
export interface Summary {
  readonly command: string;
  readonly seed: number;
  readonly nodes: number;
  readonly leaseReads: boolean;
  readonly workloads: readonly string[];
  readonly nemeses: readonly string[];
  /** Those that were wanted and could not be had, with the reason. */
  readonly leftOut: readonly string[];
  readonly seconds: number;
  readonly verdicts: readonly WorkloadVerdict[];
  readonly problems: readonly string[];
  readonly counts: { readonly ok: number; readonly fail: number; readonly info: number };
  readonly events: number;
  readonly terms: number;
  readonly injected: Readonly<Record<string, number>>;
  readonly skipped: number;
  /** Nemeses that were wanted and have had no turn. */
  readonly withoutTurn: readonly string[];
  readonly faults: readonly FaultInterval[];
  /** From the begin of a fault, and from its end, to the first write after it that was served. */
  readonly outages: readonly Times[];
  readonly recoveries: readonly Times[];
  readonly perSecond: readonly SecondSummary[];
  readonly matrix: Matrix;
  readonly machine: Readonly<Record<string, unknown>>;
}

export interface Times {
  readonly fault: string;
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface SecondSummary {
  readonly ok: number;
  readonly fail: number;
  readonly info: number;
  /** `null`: nothing was served. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

/** By situation (a fault, and on which side of it), then by class of operation. */
export type Matrix = Readonly<Record<string, Readonly<Record<string, Availability>>>>;

export function summarize(
  record: RunRecord,
  verdicts: readonly WorkloadVerdict[],
  { command, leftOut }: Pick<Summary, 'command' | 'leftOut'>,
): Summary {
  const { options, observer, faults } = record;
  return {
    command,
    seed: options.seed,
    nodes: options.nodes,
    leaseReads: options.leaseReads,
    workloads: options.workloads.map(({ name }) => name),
    nemeses: options.nemeses.map(({ name }) => name),
    leftOut,
    seconds: record.tookMs / 1000,
    verdicts,
    problems: record.problems,
    counts: observer.counts,
    events: record.events,
    terms: record.terms,
    injected: Object.fromEntries([...record.injected].sort()),
    skipped: record.skipped,
    withoutTurn: record.withoutTurn,
    faults: faults.intervals,
    outages: timesOf(faults.outages),
    recoveries: timesOf(faults.recoveries),
    perSecond: observer.seconds.map(({ ok, fail, info, latenciesMs }) => {
      const sorted = [...latenciesMs].sort((a, b) => a - b);
      return { ok, fail, info, p50Ms: quantile(sorted, 0.5), p99Ms: quantile(sorted, 0.99) };
    }),
    matrix: Object.fromEntries(
      [...observer.matrix].map(([situation, classes]) => [situation, Object.fromEntries(classes)]),
    ),
    machine: { ...options.machine },
  };
}

/** How leaders read: what only one of the two ways can break is shown by those runs alone. */
export function readsText({ leaseReads }: Pick<Summary, 'leaseReads'>): string {
  return leaseReads ? 'leaders read under a lease' : 'leaders ask a majority for each read';
}

/** Nothing was wrong, and nothing was left undecided. */
export function isGood({ verdicts, problems }: Pick<Summary, 'verdicts' | 'problems'>): boolean {
  const all = verdicts.flatMap((one) => one.verdicts);
  return problems.length === 0 && all.length > 0 && all.every(({ valid }) => valid === true);
}

function timesOf(list: readonly Standstill[]): Times[] {
  const byFault = new Map<string, Standstill[]>();
  for (const one of list) getOrMake(byFault, one.fault, (): Standstill[] => []).push(one);
  return [...byFault].sort().map(([fault, all]) => {
    const sorted = all.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
    const at = (share: number): number => Math.round(quantile(sorted, share) ?? 0);
    return { fault, count: all.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
  });
}

function quantile(sorted: readonly number[], share: number): number | null {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null;
}
