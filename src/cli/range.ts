import { type Command, Option } from 'commander';
import { compareBytes } from '../base/bytes.js';
import { BalsaError } from '../base/errors.js';
import type { RangeOptions, SortField } from '../client/client.js';
import { Top } from '../client/top.js';
import { addBoundFlags, type BoundFlags, boundsOf } from './bounds.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { runCount } from './count.js';
import { EXIT } from './exit-codes.js';
import { parseCount, parseIndex } from './flags.js';
import { addKeyFlags, type KeyFlags, namedRange } from './key-flags.js';
import { RangePrinter } from './range-printer.js';
import type { StoreClient, StoreItem } from './store-client.js';

/** What of a range a command shows, and in which order. */
export interface RangeFlags extends KeyFlags, BoundFlags {
  readonly rev?: number;
  readonly limit?: number;
  readonly reverse?: boolean;
  readonly sortBy?: SortField | 'value';
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly meta?: boolean;
}

const SORT_FIELDS = ['key', 'modRevision', 'createRevision', 'version', 'value'] as const;

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
  addRangeFlags(command).option(
    '--meta',
    'with -o json: who answered, and the session token, in each line',
  );
  return onRun<RangeFlags>(command, runtime, async (context, [prefix], flags) =>
    printRange(context, 'range', namedRange('range', prefix, flags), flags),
  );
}

export function addRangeFlags(command: Command): Command {
  return addBoundFlags(command)
    .option('--rev <revision>', 'as it was at this revision', parseIndex)
    .option('--limit <n>', 'most keys to list', parseCount)
    .option('--reverse', 'from the last to the first')
    .addOption(new Option('--sort-by <field>', 'in this order; needs --limit').choices(SORT_FIELDS))
    .option('--keys-only', 'no values')
    .option('--count-only', 'only how many there are');
}

/**
 * What says how keys are listed, where none are.
 * @throws BalsaError `INVALID_ARGUMENT`
 */
export function refuseListFlags(
  command: string,
  flags: RangeFlags,
  { names, why }: { readonly names: readonly (keyof RangeFlags)[]; readonly why: string },
): void {
  for (const name of names) {
    if (flags[name] === undefined) continue;
    const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new BalsaError('INVALID_ARGUMENT', `${command}: --${flag} ${why}`);
  }
}

const LIST_FLAGS = ['limit', 'reverse', 'sortBy', 'keysOnly'] as const;
/** What says nothing of a single key. */
export const RANGE_FLAGS = [
  ...LIST_FLAGS,
  ...(['countOnly', 'minModRevision', 'maxModRevision'] as const),
  ...(['minCreateRevision', 'maxCreateRevision'] as const),
];

/** Prints the keys of a range, or how many there are. */
export async function printRange(
  context: Context,
  name: string,
  keys: Pick<RangeOptions, 'prefix' | 'from' | 'to'>,
  flags: RangeFlags,
): Promise<number> {
  const { signal } = context;
  const { rev, limit, reverse, sortBy, keysOnly = false, meta = false } = flags;
  const bounds = boundsOf(flags);
  if (flags.countOnly === true) {
    refuseListFlags(name, flags, {
      ...{ names: LIST_FLAGS, why: 'says nothing together with --count-only' },
    });
    return await runCount(context, { ...keys, ...bounds, revision: rev });
  }
  if (sortBy !== undefined && sortBy !== 'key' && limit === undefined) {
    const what = `${name}: --sort-by ${sortBy} needs --limit: so many keys are held in memory`;
    throw new BalsaError('INVALID_ARGUMENT', what);
  }
  const options = { ...keys, ...bounds, revision: rev, signal };
  await context.withClient(async (client) => {
    const printer = new RangePrinter(context, { keysOnly, meta });
    const items =
      sortBy === 'value'
        ? await byValue(client.range(options), { limit: limit ?? 0, reverse })
        : listed(client, { ...options, limit, reverse, sortBy }, keysOnly);
    for await (const item of items) {
      await printer.print({ ...item, value: item.value ?? NOTHING });
    }
    await printer.end();
  });
  return EXIT.done;
}

const NOTHING = Buffer.alloc(0);

function listed(client: StoreClient, options: RangeOptions, keysOnly: boolean) {
  return keysOnly ? client.range({ ...options, keysOnly: true }) : client.range(options);
}

/** The first `limit` of all in the order of their values, those with an equal one in the order of their keys. */
async function byValue(
  items: AsyncIterable<StoreItem>,
  { limit, reverse = false }: { readonly limit: number; readonly reverse: boolean | undefined },
): Promise<readonly StoreItem[]> {
  const sign = reverse ? -1 : 1;
  const top = new Top<StoreItem>(
    limit,
    (a, b) => sign * compareBytes(a.value, b.value) || compareBytes(a.key, b.key),
  );
  for await (const item of items) top.add(item);
  return top.sorted();
}
