import type { Command } from 'commander';
import { BalsaError } from '../base/errors.js';
import type { Item, Meta } from '../client/client.js';
import { op } from '../client/op.js';
import { newCommand, onRun, type Runtime } from './command.js';
import {
  addConditionFlags,
  type ConditionFlags,
  conditionsOf,
  refuseConditions,
  reportCondition,
} from './conditions.js';
import type { Context } from './context.js';
import { deleteInParts } from './delete-in-parts.js';
import { EXIT } from './exit-codes.js';
import { itemJson, itemLine } from './items.js';
import { keyText } from './key-argument.js';
import { addKeyFlags, KEY_HELP, type KeyFlags, neededKeys, type RangeOfKeys } from './key-flags.js';
import { jsonBytes, printable } from './printable.js';

interface DelFlags extends KeyFlags, ConditionFlags {
  readonly prev?: boolean;
  readonly inParts?: boolean;
}

export function delCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'del',
    summary: 'Delete a key or all keys of a range; exit code 3 when nothing was there',
    examples: [
      'balsa del greeting',
      'balsa del --prefix user/ada/               all of them, in one moment; --in-parts: of any number',
      'balsa del lock --if-value mine             exit code 4 when it holds something else',
      'balsa del greeting || echo "it was not there, or it failed: $?"',
    ],
  }).argument('[key]', KEY_HELP);
  addKeyFlags(command)
    .option('--prev', 'print what was deleted')
    .option(
      '--in-parts',
      'of a range: up to 10,000 keys at a time, each time in one moment, for ranges of any size',
    );
  return onRun<DelFlags>(addConditionFlags(command), runtime, runDel);
}

async function runDel(
  context: Context,
  [given]: readonly (string | undefined)[],
  flags: DelFlags,
): Promise<number> {
  const { key, range } = neededKeys('del', given, flags);
  if (range !== undefined) return await deleteRange(context, range, flags);
  if (flags.inParts === true) throw invalid('del: --in-parts is for --prefix, --from and --to');
  if (conditionsOf(key, flags).length > 0) return await deleteIf(context, key, flags);
  const { deleted, previous, ...answer } = await context.withClient((client) =>
    client.delete(key, { returnPrevious: flags.prev === true, signal: context.signal }),
  );
  const removed = previous === undefined || previous === null ? [] : [previous];
  return await report(context, { key, deleted, ...answer }, removed, flags);
}

async function deleteIf(
  context: Context,
  key: string | Uint8Array,
  flags: DelFlags,
): Promise<number> {
  const { signal } = context;
  const answer = await context.withClient((client) =>
    client
      .txn()
      .when(...conditionsOf(key, flags))
      .do(op.delete(key, { returnPrevious: true }))
      .otherwise(op.get(key))
      .commit({ signal }),
  );
  const { revision, meta } = answer;
  if (!answer.succeeded) {
    return await reportCondition(context, key, { current: answer.results[0], revision, meta });
  }
  const { deleted, previous } = answer.results[0];
  const removed = previous === null ? [] : [previous];
  return await report(context, { key, deleted, revision, meta }, removed, flags);
}

async function deleteRange(context: Context, range: RangeOfKeys, flags: DelFlags): Promise<number> {
  refuseConditions('del', flags);
  const { signal } = context;
  if (flags.inParts === true) {
    if (flags.prev === true) throw invalid('del: --prev does not go with --in-parts');
    return await report(context, await deleteInParts(context, range), [], flags);
  }
  const { deleted, previous, ...answer } = await context.withClient((client) =>
    client.deleteRange({ ...range, returnPrevious: flags.prev === true, signal }),
  );
  return await report(context, { deleted, ...answer }, previous ?? [], flags);
}

function invalid(message: string): BalsaError {
  return new BalsaError('INVALID_ARGUMENT', message);
}

interface Deletion {
  readonly key?: string | Uint8Array;
  /** Of a range: how many. */
  readonly deleted: boolean | number;
  readonly revision: number;
  readonly meta: Meta;
}

async function report(
  { output }: Context,
  done: Deletion,
  removed: readonly Item<Buffer, 'bytes'>[],
  { prev = false }: DelFlags,
): Promise<number> {
  const { key, ...facts } = done;
  const { deleted, revision } = facts;
  const count = Number(deleted);
  if (output.format === 'json') {
    const name = key === undefined ? {} : jsonBytes('key', Buffer.from(key));
    const previous = prev ? { previous: removed.map(itemJson) } : {};
    await output.json({ ...name, ...facts, ...previous });
  } else if (prev) {
    for (const { key: name, value } of removed) {
      if (output.format === 'raw') await output.write(itemLine(name, value));
      else await output.line(`${keyText(name)}  ${printable(value, 'one-line')}`);
    }
  } else if (count > 0 && output.format === 'raw') {
    await output.line(String(revision));
  } else if (count > 0) {
    const what = typeof deleted === 'number' ? `deleted ${deleted}` : 'deleted';
    await output.line(`${output.style('green', what)} at revision ${revision}`);
  }
  if (count > 0) return EXIT.done;
  output.say(key === undefined ? 'not found: no such keys' : `not found: ${keyText(key)}`);
  return EXIT.notFound;
}
