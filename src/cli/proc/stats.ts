import type { Command } from 'commander';
import type { ProcedureStats } from '../../client/client.js';
import { newCommand, onRun, type Runtime } from '../command.js';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { printTable } from '../print-table.js';
import { formatCount } from '../progress.js';
import type { Column } from '../table.js';
import { isOf } from './log-lines.js';
import { tellFailures } from './log-tail.js';
import { DEFAULT_ALIAS, parseReference, referenceText, splitReference } from './reference.js';
import { Replicas } from './replicas.js';

interface StatsFlags {
  readonly perReplica?: boolean;
}

export function statsCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'stats',
    summary: 'Show how calls went: how many, how many failed, how long they took',
    details: `
Each replica counts the calls that it has run since it was started; the figures of all of them are put
together. Times are from when a call came until it was answered, also those of calls that failed.`,
    examples: [
      'balsa proc stats',
      'balsa proc stats transfer --per-replica',
      'balsa proc stats -o json',
    ],
  })
    .argument('[ref]', 'of this procedure only: transfer, transfer@staging')
    .option('--per-replica', 'the figures of each replica for itself');
  return onRun<StatsFlags>(command, runtime, (context, [reference], flags) =>
    runStats(context, reference, flags.perReplica === true),
  );
}

/** `replica` null: of all of them. */
interface Row extends ProcedureStats {
  readonly replica: string | null;
}

async function runStats(
  context: Context,
  reference: string | undefined,
  perReplica: boolean,
): Promise<ExitCode> {
  if (reference !== undefined) parseReference(reference);
  const { output, signal } = context;
  await using replicas = new Replicas(context);
  await replicas.open();
  const answers = await replicas.askAll((link) =>
    link.ask((client, limits) => client.procedures.stats(limits)),
  );
  signal.throwIfAborted();
  const rows: Row[] = [];
  for (const one of answers) {
    if ('error' in one) tellFailures(output, [one.link.failureText(one.error)]);
    else rows.push(...one.answer.map((stats) => ({ ...stats, replica: one.link.name })));
  }
  const wanted = rows
    .map((row) => ({ ...row, procedure: fullReference(row.procedure) }))
    .filter(({ procedure }) => reference === undefined || isOf(procedure, reference));
  await print(context, merge(wanted, perReplica), perReplica);
  return EXIT.done;
}

/** `transfer` and `transfer@prod` are the same one. */
function fullReference(text: string): string {
  const { name, alias = DEFAULT_ALIAS } = splitReference(text);
  return referenceText({ name, alias });
}

/** One row for each procedure (and replica), in their order. */
export function merge(rows: readonly Row[], perReplica: boolean): readonly Row[] {
  const merged = new Map<string, Row>();
  for (const row of rows) {
    const replica = perReplica ? row.replica : null;
    const id = `${row.procedure} ${replica ?? ''}`;
    const before = merged.get(id);
    merged.set(id, before === undefined ? { ...row, replica } : sum(before, row));
  }
  return [...merged].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
}

function sum(a: Row, b: Row): Row {
  const calls = a.calls + b.calls;
  const meanMs = calls === 0 ? 0 : (a.meanMs * a.calls + b.meanMs * b.calls) / calls;
  const maxMs = Math.max(a.maxMs, b.maxMs);
  return { ...a, calls, failures: a.failures + b.failures, meanMs, maxMs };
}

const COLUMNS: readonly Column[] = [
  { title: 'PROCEDURE' },
  { title: 'REPLICA' },
  { title: 'CALLS', align: 'right' },
  { title: 'FAILED', align: 'right' },
  { title: 'MEAN ms', align: 'right' },
  { title: 'MAX ms', align: 'right' },
];

async function print(
  { output }: Context,
  rows: readonly Row[],
  perReplica: boolean,
): Promise<void> {
  if (output.format === 'json') {
    for (const { replica, ...row } of rows) {
      await output.json(perReplica ? { replica, ...row } : row);
    }
    return;
  }
  if (rows.length === 0) {
    output.say('no calls');
    return;
  }
  const shown = (cells: readonly string[]): string[] =>
    cells.filter((_, i) => perReplica || COLUMNS[i]?.title !== 'REPLICA');
  const count = (value: number): string =>
    output.format === 'table' ? formatCount(value) : String(value);
  const cells = rows.map(({ procedure, replica, calls, failures, meanMs, maxMs }) =>
    shown([
      ...[procedure, replica ?? '', count(calls), count(failures)],
      ...[meanMs.toFixed(1), maxMs.toFixed(1)],
    ]),
  );
  const columns = COLUMNS.filter(({ title }) => perReplica || title !== 'REPLICA');
  await printTable(output, columns, cells);
}
