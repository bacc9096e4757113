import type { Command } from 'commander';
import { formatDuration } from '../base/duration.js';
import { BalsaError } from '../base/errors.js';
import type { ApFigures } from '../rpc/call-protocol.js';
import type { ReplicaStatus } from '../rpc/protocol.js';
import { type Answer, askReplica, reasonOf } from './ask-replica.js';
import { configurationText, plansText } from './cluster/show.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { formatCount } from './progress.js';
import { bytesText } from './snapshot/bytes-text.js';
import { bestView, type MemberRow, roleText, toRows } from './status-rows.js';
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

async function runStatus(context: Context): Promise<ExitCode> {
  const answers = await askCluster(context);
  const rows = toRows(answers);
  if (rows.length === 0) throw nobodyAnswers(answers);
  await printRows(context, rows);
  refuseSeveralClusters(answers);
  const { output } = context;
  const view = bestView(answers);
  if (output.format === 'table' && view !== null) {
    for (const note of [...notes(view), ...unmergedNotes(rows)]) output.say(note);
  }
  if (view?.role === 'leader') return EXIT.done;
  output.say(`${output.styleTalk('red', 'no leader')}: writes and linearizable reads wait for one`);
  return EXIT.unavailable;
}

/** Asks the endpoints, then the members they name that were not asked yet. */
async function askCluster(context: Context): Promise<Answer[]> {
  const endpoints = context.options.endpoints;
  const first = await Promise.all(endpoints.map((address) => askReplica(context, address)));
  const asked = new Set(endpoints);
  const others = first
    .flatMap((answer) => answer.status?.members ?? [])
    .map((member) => member.address)
    .filter((address) => !asked.has(address));
  const second = await Promise.all(
    [...new Set(others)].map((address) => askReplica(context, address)),
  );
  return [...first, ...second];
}

/** Two clusters of one name look like one with two leaders: after `recover`, when old members come back. */
function refuseSeveralClusters(answers: readonly Answer[]): void {
  const names = new Map<string, string[]>();
  for (const { status } of answers) {
    if (status === null || status.clusterId === '') continue;
    const known = names.get(status.clusterId);
    if (known === undefined) names.set(status.clusterId, [status.replica]);
    else if (!known.includes(status.replica)) known.push(status.replica);
  }
  if (names.size < 2) return;
  const clusters = [...names].map(([id, members]) => `${members.join(', ')} (${id})`);
  throw new BalsaError(
    'CLUSTER_MISMATCH',
    `these are members of different clusters: ${clusters.join('; ')}`,
  );
}

function nobodyAnswers(answers: readonly Answer[]): BalsaError {
  const reasons = answers.map((answer) =>
    answer.status === null ? `${answer.address}: ${reasonOf(answer)}` : answer.address,
  );
  return new BalsaError('UNREACHABLE', `no endpoint answers: ${reasons.join('; ')}`);
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
  { title: 'OLDEST', align: 'right' },
  { title: 'LOG FROM', align: 'right' },
  { title: 'WAL MiB', align: 'right' },
  { title: 'FSYNC ms', align: 'right' },
  { title: 'WATCHES', align: 'right' },
  { title: 'UNMERGED', align: 'right' },
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

function toCells(row: MemberRow, isForPeople: boolean): string[] {
  const { name, address, status, lag } = row;
  if (status === null) {
    return [name, address, roleText(row), ...COLUMNS.slice(3).map(() => '-')];
  }
  const number = (value: number) => (isForPeople ? formatCount(value) : String(value));
  return [
    name,
    address,
    roleText(row),
    String(status.term),
    status.leader ?? '-',
    number(status.commitIndex),
    number(status.appliedIndex),
    number(lag ?? 0),
    number(status.revision),
    number(status.store.compactedRevision),
    number(status.logStart + 1),
    (status.wal.bytes / 1024 / 1024).toFixed(1),
    status.wal.lastSyncMs.toFixed(1),
    number(status.watches),
    status.ap ? number(status.ap.pending) : '-',
    isForPeople ? formatDuration(status.uptimeMs) : String(Math.round(status.uptimeMs)),
  ];
}

/** Entries that a follower may lack before it is worth a word. */
const BEHIND_ENTRIES = 1000;

/** What an operator should know: changes that are on their way, and who is behind. */
function notes(view: ReplicaStatus): string[] {
  const { membership, followers, commitIndex } = view;
  const change = membership.joint || !membership.committed ? [configurationText(membership)] : [];
  const learners = membership.members
    .filter(({ role, promote }) => role === 'learner' && promote)
    .map((member) => `${member.name} ${plansText(member)}`);
  const behind = followers.flatMap(({ name, active, state, matchIndex }) => {
    if (!active) return [`${name} does not answer the leader`];
    if (state === 'snapshot')
      return [`${name} gets a snapshot: the log no longer has what it lacks`];
    const lacks = commitIndex - matchIndex;
    return lacks < BEHIND_ENTRIES ? [] : [`${name} is ${formatCount(lacks)} entries behind`];
  });
  return [...spaceAlarm(view), ...change, ...learners, ...behind];
}

function spaceAlarm({ store }: ReplicaStatus): string[] {
  if (!store.spaceAlarm) return [];
  const used = `${bytesText(store.spaceBytes)} of ${bytesText(store.spaceQuotaBytes)}`;
  return [`space alarm: ${used}; puts are refused until keys are deleted and history is compacted`];
}

/** What is on the disk of one replica, or of a few, and in no log yet. */
function unmergedNotes(rows: readonly MemberRow[]): string[] {
  return rows.flatMap(({ name, status }) => {
    const { ap } = status ?? {};
    if (!ap) return [];
    const { ownBytes, copiesBytes, refusal } = ap;
    const isAway = status?.leader === null;
    const waits =
      isAway && ownBytes + copiesBytes > 0
        ? [`${name} keeps what ap calls changed until it hears a leader: ${keptText(ap)}`]
        : [];
    return refusal === null ? waits : [...waits, `${name} cannot merge ap calls: ${refusal}`];
  });
}

function keptText({ ownBytes, copiesBytes }: ApFigures): string {
  return `${bytesText(ownBytes)} of its own, ${bytesText(copiesBytes)} of others`;
}

function toJson({ name, address, status, error, lag, member }: MemberRow): unknown {
  const standing = { reachable: status !== null, member: member?.role ?? null };
  if (status !== null) return { address, ...standing, lag, ...status };
  const failure = error === null ? null : { code: error.code, message: error.message };
  return { replica: name, address, ...standing, error: failure };
}
