import { type Command, Option } from 'commander';
import { BalsaError } from '../base/errors.js';
import type { EntryContent, InspectedRecord, WalReport } from '../server/offline-wal.js';
import { newCommand, newGroup, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { parseCount } from './flags.js';
import { keyText } from './key-argument.js';
import { jsonBytes } from './printable.js';
import { formatCount } from './progress.js';
import { bytesText } from './snapshot/bytes-text.js';
import { type Column, tableLines } from './table.js';

/** Looks into the log of a replica, which may be stopped, damaged, or running; changes nothing. */
export function walCommand(runtime: Runtime): Command {
  return newGroup('wal', "Look into a replica's log on disk", [
    inspectCommand(runtime),
    verifyCommand(runtime),
  ]);
}

interface InspectFlags {
  readonly from?: number;
  readonly to?: number;
  readonly limit: number;
}

function inspectCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'inspect',
    summary: 'Print the records of the log: entries, votes, cuts',
    examples: [
      'balsa wal inspect balsa-data/n1',
      'balsa wal inspect balsa-data/n1 --from 1200 --to 1210    entries of these indexes alone',
      'balsa wal inspect balsa-data/n1 -o json --limit 1000000 | jq .type | sort | uniq -c',
    ],
  })
    .argument('<folder>', 'a data folder, or its folder wal')
    .addOption(new Option('--from <index>', 'first entry').argParser(parseCount))
    .addOption(new Option('--to <index>', 'last entry').argParser(parseCount))
    .option('--limit <n>', 'most records to print', parseCount, 1000);
  return onRun<InspectFlags>(command, runtime, runInspect);
}

function verifyCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'verify',
    summary: 'Read all of the log and name every damaged place; exit code 1 when there is one',
    examples: ['balsa wal verify balsa-data/n1', 'balsa wal verify balsa-data/n1 -o json'],
  }).argument('<folder>', 'a data folder, or its folder wal');
  return onRun(command, runtime, runVerify);
}

// ---------------------------------------------------------------------------------------------
// inspect

const COLUMNS: readonly Column[] = [
  { title: 'INDEX', align: 'right' },
  { title: 'TERM', align: 'right' },
  { title: 'RECORD' },
  { title: 'BYTES', align: 'right' },
  { title: 'FILE' },
  { title: 'OFFSET', align: 'right' },
  { title: 'CONTENT' },
];

type ShownRecord =
  | Exclude<InspectedRecord, { readonly kind: 'entry' }>
  | Omit<Extract<InspectedRecord, { readonly kind: 'entry' }>, 'payload'>;

interface Shown {
  readonly record: ShownRecord;
  readonly content: EntryContent | null;
}

async function runInspect(
  context: Context,
  [folder = '']: readonly (string | undefined)[],
  flags: InspectFlags,
): Promise<ExitCode> {
  const { inspectWalFolder, readEntryContent } = await import('../server/offline-wal.js');
  const { output } = context;
  const shown: Shown[] = [];
  let more = 0;
  const report = inspectWalFolder(folder, (record) => {
    if (!isAskedFor(record, flags)) return;
    if (shown.length === flags.limit) {
      more += 1;
    } else if (record.kind === 'entry') {
      // The payload is not kept: it would hold a whole file in memory.
      const { payload, ...rest } = record;
      shown.push({ record: rest, content: readEntryContent(record.type, payload) });
    } else {
      shown.push({ record, content: null });
    }
  });
  if (output.format === 'json') {
    for (const { record, content } of shown) await output.json(toJson(record, content));
  } else {
    await printTable(
      context,
      shown.map(({ record, content }) => toCells(record, content)),
    );
  }
  if (more > 0) output.say(`${formatCount(more)} more: --limit, or --from and --to`);
  output.say(output.styleTalk('dim', summary(report)));
  return sayDamages(context, report);
}

/** With a range of indexes only entries are of interest. */
function isAskedFor(record: InspectedRecord, { from, to }: InspectFlags): boolean {
  if (from === undefined && to === undefined) return true;
  if (record.kind !== 'entry') return false;
  return record.index >= (from ?? 0) && record.index <= (to ?? Number.POSITIVE_INFINITY);
}

async function printTable({ output }: Context, rows: readonly string[][]): Promise<void> {
  if (output.format === 'raw') {
    for (const row of rows) await output.line(row.join('\t'));
    return;
  }
  const [titles = '', ...lines] = tableLines(COLUMNS, rows, output.columns);
  await output.line(output.style('bold', titles));
  for (const line of lines) await output.line(line);
}

function toCells(record: ShownRecord, content: EntryContent | null): string[] {
  const file = record.file.slice(record.file.lastIndexOf('/') + 1);
  const place = [file, String(record.offset)];
  switch (record.kind) {
    case 'entry': {
      const { index, term, type, payloadBytes } = record;
      return [
        String(index),
        String(term),
        type,
        String(payloadBytes),
        ...place,
        contentText(content),
      ];
    }
    case 'hard-state': {
      const { currentTerm, votedFor, commitIndex } = record.hardState;
      const vote = votedFor === null ? 'no vote' : `vote for ${votedFor}`;
      const text = `${vote}, committed through ${commitIndex}`;
      return ['', String(currentTerm), record.kind, '', ...place, text];
    }
    case 'cut':
      return [String(record.index), '', record.kind, '', ...place, 'entries behind it are no more'];
    default: {
      const { index, term } = record.position;
      return [String(index), String(term), record.kind, '', ...place, ''];
    }
  }
}

function contentText(content: EntryContent | null): string {
  if (content === null || content.type === 'noop') return '';
  if (content.type === 'unknown') return `cannot be read: ${content.problem}`;
  if (content.type === 'configuration') return content.text;
  const { first, operations } = content;
  const some = first.map(({ type, key }) => `${type} ${keyText(key)}`).join(', ');
  return operations > first.length ? `${some}, … ${formatCount(operations)} in all` : some;
}

function toJson(record: ShownRecord, content: EntryContent | null): unknown {
  const { file, offset, sequence, kind } = record;
  const place = { file, offset, sequence };
  switch (record.kind) {
    case 'entry': {
      const { index, term, type, payloadBytes: bytes } = record;
      return { kind, index, term, type, bytes, ...place, ...contentJson(content) };
    }
    case 'hard-state':
      return { kind, ...record.hardState, ...place };
    case 'cut':
      return { kind, index: record.index, ...place };
    default:
      return { kind, ...record.position, ...place };
  }
}

function contentJson(content: EntryContent | null): Record<string, unknown> {
  if (content === null || content.type === 'noop') return {};
  if (content.type === 'unknown') return { problem: content.problem };
  if (content.type === 'configuration') return { voters: content.voters };
  const { batches, operations, first, timeMs } = content;
  const shown = first.map(({ type, key }) => ({ type, ...jsonBytes('key', key) }));
  return { batches, operations, first: shown, timeMs };
}

// ---------------------------------------------------------------------------------------------
// verify

async function runVerify(
  context: Context,
  [folder = '']: readonly (string | undefined)[],
): Promise<ExitCode> {
  const { inspectWalFolder } = await import('../server/offline-wal.js');
  const { output } = context;
  const report = inspectWalFolder(folder);
  const { damages, tornTail, logStart, last, hardState } = report;
  if (output.format === 'json') {
    const facts = { logStart, last, hardState, segments: report.segments.length, tornTail };
    await output.json({ damaged: damages.length > 0, damages, ...facts });
  } else {
    for (const { file, offset, problem } of damages) {
      await output.line([file, offset, problem].join('\t'));
    }
  }
  output.say(summary(report));
  return sayDamages(context, report);
}

function summary({ segments, logStart, last }: WalReport): string {
  const bytes = segments.reduce((sum, segment) => sum + segment.usedBytes, 0);
  const files = segments.length === 1 ? '1 file' : `${formatCount(segments.length)} files`;
  const entries =
    last.index === logStart.index
      ? 'no entries'
      : `entries ${formatCount(logStart.index + 1)} to ${formatCount(last.index)}, term ${last.term}`;
  return `${entries}; ${bytesText(bytes)} in ${files}`;
}

/** What follows from the damage, and the exit code. */
function sayDamages({ output }: Context, { damages, tornTail }: WalReport): ExitCode {
  if (tornTail !== null) {
    const { file, offset, bytes } = tornTail;
    output.say(
      `a write that was interrupted, ${bytesText(bytes)} at offset ${offset} of ${file}: never` +
        ' acknowledged, and cut off at the next start',
    );
  }
  if (damages.length === 0) {
    output.say(output.styleTalk('green', 'no damage'));
    return EXIT.done;
  }
  const [first] = damages;
  const places = damages.length === 1 ? 'at one place' : `at ${formatCount(damages.length)} places`;
  throw new BalsaError(
    'WAL_CORRUPT',
    `the log is damaged ${places}, first at offset ${first?.offset} of ${first?.file}: ${first?.problem}`,
    { details: { damages } },
  );
}
