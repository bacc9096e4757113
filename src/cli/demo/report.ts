import type { ReplicaStatus } from '../../rpc/protocol.js';
import { type Column, tableLine, tableLines, tableWidths } from '../table.js';
import type { Finding } from './verdict.js';

/** What the demo found, and what `-o json` prints. Times in milliseconds. */
export interface DemoReport {
  readonly verdict: 'passed' | 'failed';
  readonly seed: number;
  readonly keys: number;
  readonly rounds: number;
  readonly acknowledged: number;
  /** Writes whose outcome the client could not tell; they may be there or not. */
  readonly unknown: number;
  readonly notApplied: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly different: number;
  readonly statesEqual: boolean;
  readonly killed: string;
  readonly newLeader: string;
  /** From the kill to the first write that the new leader acknowledged. */
  readonly failoverMs: number;
  /** Longest time without any acknowledgement after the kill. */
  readonly standstillMs: number;
  /** From the restart of the killed replica until it had all that the leader had. */
  readonly catchUpMs: number;
  readonly putsPerSecond: number;
  /** Acknowledged writes read back and compared, from all replicas together. */
  readonly versionsRead: number;
  readonly replicas: readonly ReplicaLine[];
  readonly findings: readonly Finding[];
}

export type ReplicaLine = Pick<
  ReplicaStatus,
  'replica' | 'role' | 'term' | 'commitIndex' | 'appliedIndex' | 'revision' | 'stateHash'
> & { readonly address: string };

const FINDINGS_SHOWN_MAX = 10;

const REPLICA_COLUMNS: readonly Column[] = [
  { title: 'replica' },
  { title: 'address' },
  { title: 'role' },
  { title: 'term', align: 'right' },
  { title: 'commitIndex', align: 'right' },
  { title: 'appliedIndex', align: 'right' },
  { title: 'revision', align: 'right' },
  { title: 'stateHash' },
];

/** What is wrong in the same way on several replicas counts once. */
export function countFindings(findings: readonly Finding[], type: Finding['type']): number {
  return new Set(
    findings.filter((found) => found.type === type).map((found) => `${found.key}\n${found.detail}`),
  ).size;
}

/** Every replica is at the same index and has the same state. */
export function statesEqual(replicas: readonly ReplicaLine[]): boolean {
  const first = replicas[0];
  return (
    first !== undefined &&
    replicas.every((r) => r.appliedIndex === first.appliedIndex && r.stateHash === first.stateHash)
  );
}

export function formatReport(report: DemoReport): string {
  const count = (n: number): string => n.toLocaleString('en-US');
  const figures = [
    ['writes acknowledged', count(report.acknowledged)],
    ['of unknown outcome', count(report.unknown)],
    ['lost', count(report.lost)],
    ['duplicated', count(report.duplicated)],
    ['different', count(report.different)],
    ['failover', `${Math.round(report.failoverMs)} ms`],
    ['longest standstill', `${Math.round(report.standstillMs)} ms`],
    ['catch-up after restart', `${Math.round(report.catchUpMs)} ms`],
    ['puts per second', count(Math.round(report.putsPerSecond))],
    ['versions read back', count(report.versionsRead)],
  ];
  const shown = report.findings.slice(0, FINDINGS_SHOWN_MAX);
  return [
    formatPairs(figures),
    '',
    formatReplicas(report.replicas),
    '',
    ...shown.map((f) => `${f.type}: ${f.key}: ${f.detail}${f.replica ? ` (${f.replica})` : ''}`),
    ...(report.findings.length > shown.length
      ? [`… and ${report.findings.length - shown.length} more`]
      : []),
    formatVerdict(report),
  ].join('\n');
}

export function formatReplicas(replicas: readonly ReplicaLine[]): string {
  const rows = replicas.map((r) => [
    r.replica,
    r.address,
    r.role,
    ...[r.term, r.commitIndex, r.appliedIndex, r.revision].map(String),
    r.stateHash.slice(0, 16),
  ]);
  return indent(tableLines(REPLICA_COLUMNS, rows, null));
}

function formatVerdict(report: DemoReport): string {
  if (report.verdict === 'passed') {
    return `PASSED: ${report.killed} was killed under load; nothing was lost, nothing applied twice, all replicas hold the same.`;
  }
  const states = report.statesEqual ? '' : ', the states differ';
  return `FAILED: ${report.lost} lost, ${report.duplicated} duplicated, ${report.different} different${states}.`;
}

/** Rows without titles, in columns. */
export function formatPairs(rows: readonly (readonly string[])[]): string {
  const columns = (rows[0] ?? []).map((): Column => ({ title: '' }));
  const widths = tableWidths(columns, rows, null);
  return indent(rows.map((row) => tableLine(columns, widths, row)));
}

function indent(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`.trimEnd()).join('\n');
}
