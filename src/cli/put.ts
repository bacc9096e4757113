import type { Command } from 'commander';
import { BalsaError } from '../base/errors.js';
import type { Condition, Item, Meta } from '../client/client.js';
import { op } from '../client/op.js';
import type { PutOpOptions } from '../client/write-options.js';
import { newCommand, onRun, type Runtime } from './command.js';
import {
  addConditionFlags,
  type ConditionFlags,
  conditionsOf,
  reportCondition,
} from './conditions.js';
import type { Context } from './context.js';
import { EXIT } from './exit-codes.js';
import { parseCount } from './flags.js';
import { INPUT_BYTES_MAX, readInput } from './input.js';
import { itemJson } from './items.js';
import { keyText, parseKey, parseValue } from './key-argument.js';
import { KEY_HELP } from './key-flags.js';
import { jsonBytes, printable } from './printable.js';

interface PutFlags extends ConditionFlags {
  readonly file?: string;
  readonly lease?: number;
  readonly prev?: boolean;
  readonly ignoreValue?: boolean;
  readonly ignoreLease?: boolean;
}

export function putCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'put',
    summary: 'Store a value under a key',
    examples: [
      'balsa put greeting hello',
      'echo -n hello | balsa put greeting -       or --file PATH',
      'balsa put counter 8 --if-version 7         exit code 4 when it has another one',
      'balsa put worker/7 here --lease 12         goes when lease 12 ends',
    ],
  })
    .argument('<key>', KEY_HELP)
    .argument('[value]', 'the value; - reads it from stdin')
    .option('--file <path>', 'read the value from a file, - for stdin')
    .option('--lease <id>', 'the key goes when this lease ends', parseCount)
    .option('--prev', 'print what the key held before')
    .option('--ignore-value', 'keep the value that is there; exit code 3 when there is none')
    .option('--ignore-lease', 'keep the lease that the key hangs on');
  return onRun<PutFlags>(addConditionFlags(command), runtime, runPut);
}

async function runPut(
  context: Context,
  [given = '', text]: readonly (string | undefined)[],
  flags: PutFlags,
): Promise<number> {
  const key = parseKey(given);
  const { lease, ignoreLease = false, prev: returnPrevious = false } = flags;
  const value = flags.ignoreValue === true ? null : await readValue(context, text, flags.file);
  if (value === null && (text ?? flags.file) !== undefined) {
    throw new BalsaError('INVALID_ARGUMENT', 'put: --ignore-value takes no VALUE');
  }
  if (lease !== undefined && ignoreLease) {
    throw new BalsaError('INVALID_ARGUMENT', 'put: give --lease or --ignore-lease, not both');
  }
  const options = { lease, ignoreLease, returnPrevious };
  const conditions = conditionsOf(key, flags);
  if (conditions.length > 0) return await putIf(context, key, value, { conditions, options });
  const { signal } = context;
  const { previous, ...answer } = await context.withClient((client) =>
    value === null
      ? client.touch(key, { ...options, signal })
      : client.put(key, value, { ...options, signal }),
  );
  return await report(context, key, answer, previous);
}

async function putIf(
  context: Context,
  key: string | Uint8Array,
  value: Uint8Array | null,
  given: { readonly conditions: readonly Condition[]; readonly options: PutOpOptions },
): Promise<number> {
  const { conditions, options } = given;
  const step = value === null ? op.touch(key, options) : op.put(key, value, options);
  const { signal } = context;
  const answer = await context.withClient((client) =>
    client
      .txn()
      .when(...conditions)
      .do(step)
      .otherwise(op.get(key))
      .commit({ signal }),
  );
  const { revision, meta } = answer;
  if (!answer.succeeded) {
    return await reportCondition(context, key, { current: answer.results[0], revision, meta });
  }
  const { previous } = answer.results[0];
  return await report(context, key, { succeeded: true, revision, meta }, previous);
}

/** @param previous `undefined`: nobody asked */
async function report(
  { output }: Context,
  key: string | Uint8Array,
  answer: { readonly succeeded?: true; readonly revision: number; readonly meta: Meta },
  previous: Item<Buffer, 'bytes'> | null | undefined,
): Promise<number> {
  if (output.format === 'json') {
    const before = previous === undefined || previous === null ? previous : itemJson(previous);
    await output.json({ ...jsonBytes('key', Buffer.from(key)), ...answer, previous: before });
  } else if (previous !== undefined) {
    // The value alone, as `get` prints it.
    if (previous !== null && output.format === 'raw') await output.write(previous.value);
    else if (previous !== null) await output.line(printable(previous.value, 'lines'));
    else output.say(`there was no ${keyText(key)}`);
  } else if (output.format === 'raw') {
    await output.line(String(answer.revision));
  } else {
    await output.line(`${output.style('green', 'stored')} at revision ${answer.revision}`);
  }
  return EXIT.done;
}

async function readValue(
  context: Context,
  text: string | undefined,
  file: string | undefined,
): Promise<Uint8Array> {
  if (text !== undefined && file !== undefined) {
    throw new BalsaError('INVALID_ARGUMENT', 'put: give a VALUE or --file, not both');
  }
  if (text === undefined && file === undefined) {
    throw new BalsaError('INVALID_ARGUMENT', 'put: give a VALUE, or - for stdin, or --file PATH');
  }
  const source = file ?? (text === '-' ? text : undefined);
  if (source === undefined) return Buffer.from(parseValue(text ?? ''));
  const { bytes, name } = await readInput(context, source);
  if (bytes !== null) return bytes;
  throw new BalsaError('VALUE_TOO_LARGE', `${name} has more than ${INPUT_BYTES_MAX} bytes`);
}
