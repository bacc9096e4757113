import { type Command, Option } from 'commander';
import { BalsaError } from '../base/errors.js';
import type { RangeOptions, SortField } from '../client/client.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { runCount } from './count.js';
import { EXIT } from './exit-codes.js';
import { parseCount, parseIndex } from './flags.js';
import { addKeyFlags, type KeyFlags, namedRange } from './key-flags.js';
import { RangePrinter } from './range-printer.js';

/** What of a range a command shows, and in which order. */
export interface RangeFlags extends KeyFlags {
  readonly rev?: number;
  readonly limit?: number;
  readonly reverse?: boolean;
  readonly sortBy?: SortField;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly meta?: boolean;
  readonly minModRevision?: number;
  readonly maxModRevision?: number;
  readonly minCreateRevision?: number;
  readonly maxCreateRevision?: number;
}

const SORT_FIELDS: readonly SortField[] = ['key', 'modRevision', 'createRevision', 'version'];

export function rangeCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'range',
    summary: 'List keys and values in the order of their bytes',
    examples: [
      'balsa range user/                          all that starts with user/',
      'balsa range --from a --to b --limit 10     from a, up to but not b',
      'balsa range user/ --keys-only | wc -l',
      'balsa range -o json > all.jsonl            balsa import reads it again',
    ],
  }).argument('[prefix]', 'only keys that start with it; default: all');
  addKeyFlags(command);
  addRangeFlags(command)
    .option('--count-only', 'only how many there are')
    .option('--meta', 'with -o json: who answered, and the session token, in each line')
    .option('--min-mod-revision <n>', 'only keys put last at this revision or later', parseIndex)
    .option('--max-mod-revision <n>', 'only keys put last at this revision or before', parseIndex)
    .option('--min-create-revision <n>', 'only keys created at this one or later', parseIndex)
    .option('--max-create-revision <n>', 'only keys created at this one or before', parseIndex);
  return onRun<RangeFlags>(command, runtime, async (context, [prefix], flags) =>
    printRange(context, namedRange('range', prefix, flags), flags),
  );
}

export function addRangeFlags(command: Command): Command {
  return command
    .option('--rev <revision>', 'as it was at this revision', parseIndex)
    .option('--limit <n>', 'most keys to list', parseCount)
    .option('--reverse', 'from the last to the first')
    .addOption(new Option('--sort-by <field>', 'in this order; needs --limit').choices(SORT_FIELDS))
    .option('--keys-only', 'no values');
}

/**
 * What says how keys are listed, where none are.
 * @throws BalsaError `INVALID_ARGUMENT`
 */
export function refuseListFlags(command: string, flags: RangeFlags, why: string): void {
  for (const name of ['limit', 'reverse', 'sortBy', 'keysOnly'] as const) {
    if (flags[name] === undefined) continue;
    const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new BalsaError('INVALID_ARGUMENT', `${command}: --${flag} ${why}`);
  }
}

/** Prints the keys of a range, or how many there are. */
export async function printRange(
  context: Context,
  keys: Pick<RangeOptions, 'prefix' | 'from' | 'to'>,
  flags: RangeFlags,
): Promise<number> {
  const { signal } = context;
  const { rev, limit, reverse, sortBy, keysOnly = false, meta = false } = flags;
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = flags;
  const bounds = { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision };
  if (flags.countOnly === true) {
    refuseListFlags('range', flags, 'says nothing together with --count-only');
    return await runCount(context, { ...keys, ...bounds, revision: rev });
  }
  const options = { ...keys, ...bounds, revision: rev, limit, reverse, sortBy, signal };
  await context.withClient(async (client) => {
    const printer = new RangePrinter(context, { keysOnly, meta });
    const items = keysOnly ? client.range({ ...options, keysOnly: true }) : client.range(options);
    for await (const item of items) {
      await printer.print({ ...item, value: item.value ?? NOTHING });
    }
    await printer.end();
  });
  return EXIT.done;
}

const NOTHING = Buffer.alloc(0);
