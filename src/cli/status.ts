import type { Command } from 'commander';
import { formatDuration } from '../base/duration.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { ReplicaStatus } from '../rpc/protocol.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { formatCount } from './progress.js';
import { type Column, tableLines } from './table.js';

export function statusCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'status',
    summary: 'Show every member of the cluster; exit code 5 when there is no leader',
    examples: [
      'balsa status',
      'balsa status -o json                       one object per member, with its limits',
      'balsa status --endpoints 127.0.0.1:7001    one endpoint is enough to find the others',
      'until balsa status >/dev/null 2>&1; do sleep 1; done    wait for a leader',
    ],
  });
  return onRun(command, runtime, runStatus);
}

/** What one address answered. */
type Answer =
  | { readonly address: string; readonly status: ReplicaStatus }
  | { readonly address: string; readonly status: null; readonly error: BalsaError };

/** A member and what it says of itself; `status` null: it does not answer. */
interface MemberRow {
  readonly name: string;
  readonly address: string;
  readonly status: ReplicaStatus | null;
  readonly error: BalsaError | null;
  /** Entries that the cluster has committed, as far as is known, and this member has not applied. */
  readonly lag: number | null;
}

async function runStatus(context: Context): Promise<ExitCode> {
  const answers = await askCluster(context);
  const rows = toRows(answers);
  if (rows.length === 0) throw nobodyAnswers(answers);
  await printRows(context, rows);
  const leader = currentLeader(rows);
  if (leader !== null) return EXIT.done;
  const { output } = context;
  output.say(`${output.styleTalk('red', 'no leader')}: writes and linearizable reads wait for one`);
  return EXIT.unavailable;
}

/** Asks the endpoints, then the members they name that were not asked yet. */
async function askCluster(context: Context): Promise<Answer[]> {
  const endpoints = context.options.endpoints;
  const first = await Promise.all(endpoints.map((address) => ask(context, address)));
  const asked = new Set(endpoints);
  const others = first
    .flatMap((answer) => answer.status?.members ?? [])
    .map((member) => member.address)
    .filter((address) => !asked.has(address));
  const second = await Promise.all([...new Set(others)].map((address) => ask(context, address)));
  return [...first, ...second];
}

/** A replica that takes longer to answer than this is told as unreachable: nobody waits for status. */
const CONNECT_MS_MAX = 2000;

/** Each replica is asked through a connection of its own, so that none speaks for another. */
async function ask(context: Context, address: string): Promise<Answer> {
  try {
    const status = await context.withClient((client) => client.status({ signal: context.signal }), {
      endpoints: [address],
      followLeader: false,
      connectTimeoutMs: Math.min(context.options.timeout || CONNECT_MS_MAX, CONNECT_MS_MAX),
    });
    return { address, status };
  } catch (error) {
    context.signal.throwIfAborted();
    return { address, status: null, error: asBalsaError(error) };
  }
}

/** One row per member, in the order of the names. Members are those that the latest answer names. */
function toRows(answers: readonly Answer[]): MemberRow[] {
  const statuses = new Map<string, ReplicaStatus>();
  for (const { status } of answers) if (status !== null) statuses.set(status.replica, status);
  const known = [...statuses.values()];
  const committed = known.reduce((most, status) => Math.max(most, status.commitIndex), 0);
  const members = new Map(
    known.flatMap((status) => status.members).map((member) => [member.name, member.address]),
  );
  for (const { address, status } of answers) {
    if (status !== null && !members.has(status.replica)) members.set(status.replica, address);
  }
  return [...members]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, address]) => {
      const status = statuses.get(name) ?? null;
      const failed = answers.find((answer) => answer.address === address && answer.status === null);
      return {
        name,
        address,
        status,
        error: failed?.status === null ? failed.error : null,
        lag: status === null ? null : Math.max(0, committed - status.appliedIndex),
      };
    });
}

/** The leader of the highest term; an older one may not yet know that it was replaced. */
function currentLeader(rows: readonly MemberRow[]): MemberRow | null {
  let best: MemberRow | null = null;
  for (const row of rows) {
    if (row.status?.role !== 'leader') continue;
    if (best?.status == null || row.status.term > best.status.term) best = row;
  }
  return best;
}

function nobodyAnswers(answers: readonly Answer[]): BalsaError {
  const reasons = answers.map((answer) =>
    answer.status === null ? `${answer.address}: ${reasonOf(answer)}` : answer.address,
  );
  return new BalsaError('UNREACHABLE', `no endpoint answers: ${reasons.join('; ')}`);
}

/** The client names the address in its message; here it is known already. */
function reasonOf({ address, error }: { address: string; error: BalsaError }): string {
  const at = error.message.lastIndexOf(`${address}: `);
  return at === -1 ? error.message : error.message.slice(at + address.length + 2).trim();
}

// ---------------------------------------------------------------------------------------------
// Printing

const COLUMNS: readonly Column[] = [
  { title: 'REPLICA' },
  { title: 'ADDRESS' },
  { title: 'ROLE' },
  { title: 'TERM', align: 'right' },
  { title: 'LEADER' },
  { title: 'COMMIT', align: 'right' },
  { title: 'APPLIED', align: 'right' },
  { title: 'LAG', align: 'right' },
  { title: 'REVISION', align: 'right' },
  { title: 'WAL MiB', align: 'right' },
  { title: 'FSYNC ms', align: 'right' },
  { title: 'UPTIME', align: 'right' },
];

async function printRows(context: Context, rows: readonly MemberRow[]): Promise<void> {
  const { output } = context;
  if (output.format === 'json') {
    for (const row of rows) await output.json(toJson(row));
    return;
  }
  if (output.format === 'raw') {
    const lines = [
      COLUMNS.map((column) => column.title),
      ...rows.map((row) => toCells(row, false)),
    ];
    for (const cells of lines) await output.line(cells.join('\t'));
    return;
  }
  const [titles = '', ...lines] = tableLines(
    COLUMNS,
    rows.map((row) => toCells(row, true)),
    // Half an address is of no use: rather let the terminal wrap.
    null,
  );
  await output.line(output.style('bold', titles));
  for (const [i, line] of lines.entries()) {
    const status = rows[i]?.status ?? null;
    const style = status === null ? 'red' : status.role === 'leader' ? 'green' : null;
    await output.line(style === null ? line : output.style(style, line));
  }
  for (const row of rows) {
    if (row.error === null) continue;
    const reason = reasonOf({ address: row.address, error: row.error });
    output.say(`${row.name}: ${row.error.code}, ${reason}`);
  }
}

function toCells({ name, address, status, lag }: MemberRow, isForPeople: boolean): string[] {
  if (status === null) {
    return [name, address, 'unreachable', ...COLUMNS.slice(3).map(() => '-')];
  }
  const number = (value: number) => (isForPeople ? formatCount(value) : String(value));
  return [
    name,
    address,
    status.role,
    String(status.term),
    status.leader ?? '-',
    number(status.commitIndex),
    number(status.appliedIndex),
    number(lag ?? 0),
    number(status.revision),
    (status.wal.bytes / 1024 / 1024).toFixed(1),
    status.wal.lastSyncMs.toFixed(1),
    isForPeople ? formatDuration(status.uptimeMs) : String(Math.round(status.uptimeMs)),
  ];
}

function toJson({ name, address, status, error, lag }: MemberRow): unknown {
  if (status !== null) return { address, reachable: true, lag, ...status };
  const failure = error === null ? null : { code: error.code, message: error.message };
  return { replica: name, address, reachable: false, error: failure };
}
