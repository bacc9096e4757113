import type { Command } from 'commander';
import { BalsaError } from '../base/errors.js';
import type { StoreInfo } from '../client/client.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT } from './exit-codes.js';
import { parseCount } from './flags.js';
import { printTable } from './print-table.js';
import { formatCount, Progress } from './progress.js';
import { bytesText } from './snapshot/bytes-text.js';
import type { StoreClient } from './store-client.js';

interface CompactFlags {
  readonly wait: boolean;
}

/** How often it looks how far the removal is. */
const POLL_MS = 200;

export function compactCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'compact',
    summary: 'Give up the history before a revision, and show what that frees',
    examples: [
      'balsa compact                     all history; what is present stays',
      'balsa compact 1000                reads below revision 1000 are refused from now on',
      'balsa compact --no-wait -o json   do not wait until it is removed',
    ],
  })
    .argument('[revision]', 'default: the present one', parseCount)
    .option('--no-wait', 'do not wait until what is given up has been removed');
  return onRun<CompactFlags>(command, runtime, async (context, [revision], flags) =>
    runCompact(context, revision === undefined ? undefined : Number(revision), flags),
  );
}

async function runCompact(
  context: Context,
  wanted: number | undefined,
  flags: CompactFlags,
): Promise<number> {
  const { signal } = context;
  await context.withClient(async (client) => {
    const before = await client.info({ signal });
    const asked = wanted ?? before.revision;
    const { compactedRevision: revision } = await client.compact(wanted, { signal });
    if (revision < asked) {
      const since = formatCount(revision);
      context.output.say(
        `what was written since revision ${since} is needed by a trigger or a job: it stays`,
      );
    }
    const after = flags.wait
      ? await removed(context, client, revision)
      : await client.info({ signal });
    await report(context, revision, before, after);
  });
  return EXIT.done;
}

/** Waits until nothing that was given up is kept any more. */
async function removed(
  context: Context,
  client: StoreClient,
  revision: number,
): Promise<StoreInfo> {
  const { io, signal } = context;
  const progress = new Progress(io, 'revisions', null);
  try {
    for (;;) {
      const info = await client.info({ signal });
      if (info.sweptRevision >= revision) return info;
      const left = formatCount(revision - info.sweptRevision);
      progress.draw(() => `removing history: ${left} revisions left`);
      await io.sleep(POLL_MS);
      if (signal.aborted) throw new BalsaError('CANCELLED', 'interrupted');
    }
  } finally {
    progress.clear();
  }
}

const COLUMNS = [
  { title: '' },
  { title: 'BEFORE', align: 'right' },
  { title: 'AFTER', align: 'right' },
] as const;

async function report(
  { output }: Context,
  revision: number,
  before: StoreInfo,
  after: StoreInfo,
): Promise<void> {
  const figures = { before: figuresOf(before), after: figuresOf(after) };
  const complete = after.sweptRevision >= revision;
  if (output.format === 'json') {
    return await output.json({ compactedRevision: revision, complete, ...figures });
  }
  const number = (value: number): string =>
    output.format === 'table' ? formatCount(value) : String(value);
  const size = (value: number): string =>
    output.format === 'table' ? bytesText(value) : String(value);
  await printTable(output, COLUMNS, [
    ['oldest revision', number(before.compactedRevision), number(after.compactedRevision)],
    ['revisions kept', number(kept(before)), number(kept(after))],
    ['keys and values', size(before.spaceBytes), size(after.spaceBytes)],
    ['state', size(before.stateBytes), size(after.stateBytes)],
    ['log', size(before.logBytes), size(after.logBytes)],
  ]);
  if (!complete) output.say('what was given up is being removed; balsa info shows how far it is');
  else
    output.say(
      'the state gives the disk its space back as its files are written anew, in the background; the log is cut by itself',
    );
}

function figuresOf(info: StoreInfo) {
  const { compactedRevision, spaceBytes, stateBytes, logBytes } = info;
  return { compactedRevision, revisionsKept: kept(info), spaceBytes, stateBytes, logBytes };
}

function kept({ revision, compactedRevision }: StoreInfo): number {
  return revision - compactedRevision + (compactedRevision > 0 ? 1 : 0);
}
