import type { Command } from 'commander';
import { BalsaError } from '../base/errors.js';
import type { GetOpResult, Item, Meta } from '../client/client.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT } from './exit-codes.js';
import { INPUT_BYTES_MAX, readInput } from './input.js';
import { itemJson, itemLine } from './items.js';
import { keyText } from './key-argument.js';
import { jsonBytes, printable, utf8OrNull } from './printable.js';
import { parseTxn, type Step, TXN_HELP, type TxnText } from './txn-text.js';

export function txnCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'txn',
    summary: 'All or nothing, at one revision; exit code 4 when a condition does not hold',
    details: TXN_HELP,
    examples: [
      'balsa txn move.txt',
      "printf 'absent(lock)\\n\\nput lock mine\\n' | balsa txn && echo it is mine",
      'balsa txn -o json move.txt',
    ],
  }).argument('[file]', 'the transaction, see below; default: stdin', '-');
  return onRun(command, runtime, async (context, [file = '-']) => {
    const { output, io, signal } = context;
    if (file === '-' && io.stdin.isTTY === true) {
      output.say('conditions, empty line, what then, empty line, what otherwise; Ctrl-D sends it');
    }
    const txn = await readTxn(context, file);
    const answer = await context.withClient((client) =>
      client
        .txn()
        .when(...txn.conditions)
        .do(...txn.success.map((step) => step.op))
        .otherwise(...txn.failure.map((step) => step.op))
        .commit({ signal }),
    );
    const steps = answer.succeeded ? txn.success : txn.failure;
    // One result for each step, of the kind that the step has.
    await print(context, { ...answer, results: answer.results as readonly Result[] }, steps);
    return answer.succeeded ? EXIT.done : EXIT.conditionFailed;
  });
}

async function readTxn(context: Context, file: string): Promise<TxnText> {
  const { name, bytes } = await readInput(context, file);
  if (bytes === null) {
    throw new BalsaError('BATCH_TOO_LARGE', `${name} has more than ${INPUT_BYTES_MAX} bytes`);
  }
  const text = utf8OrNull(bytes);
  if (text !== null) return parseTxn(text);
  throw new BalsaError('INVALID_ARGUMENT', `txn: ${name} is no text in UTF-8`);
}

type StoredItem = Item<Buffer | undefined, 'bytes'>;

type Result =
  | { readonly revision: number; readonly previous?: StoredItem | null }
  | {
      readonly revision: number;
      readonly deleted: boolean | number;
      readonly previous?: StoredItem | null | readonly StoredItem[];
    }
  | { readonly items: readonly StoredItem[]; readonly count: number; readonly more?: true }
  | GetOpResult<Buffer>;

async function print(
  { output }: Context,
  answer: {
    readonly succeeded: boolean;
    readonly revision: number;
    readonly results: readonly Result[];
    readonly meta: Meta;
  },
  steps: readonly Step[],
): Promise<void> {
  const { succeeded, revision, results, meta } = answer;
  if (output.format === 'json') {
    return await output.json({
      succeeded,
      revision,
      results: results.map((result, i) => resultJson(result, steps[i])),
      meta,
    });
  }
  const isTable = output.format === 'table';
  const word = succeeded ? output.style('green', 'SUCCESS') : output.style('yellow', 'FAILURE');
  await output.line(isTable ? `${word} at revision ${revision}` : word);
  for (const [i, result] of results.entries()) {
    if (isTable) await output.line(output.style('dim', steps[i]?.text ?? ''));
    for (const { key, value } of itemsOf(result, steps[i])) {
      if (!isTable) await output.write(itemLine(key, value));
      else {
        const cells = value === undefined ? [] : [printable(value, 'one-line')];
        await output.line(`  ${[keyText(key), ...cells].join('  ')}`);
      }
    }
    const line = lineOf(result);
    if (line !== null) await output.line(isTable ? `  ${line}` : line);
  }
}

/** What a result says beside its keys. */
function lineOf(result: Result): string | null {
  if ('deleted' in result) return String(Number(result.deleted));
  if ('items' in result) return result.items.length === 0 ? String(result.count) : null;
  return 'modRevision' in result ? null : 'OK';
}

function itemsOf(
  result: Result,
  step: Step | undefined,
): readonly { readonly key: Buffer; readonly value: Buffer | undefined }[] {
  if ('items' in result) return result.items;
  if ('modRevision' in result) {
    const key = step?.op.type === 'get' ? step.op.key : '';
    return result.value === undefined ? [] : [{ key: Buffer.from(key), value: result.value }];
  }
  const { previous = null } = result;
  if (previous === null) return [];
  return 'key' in previous ? [previous] : previous;
}

function resultJson(result: Result, step: Step | undefined): unknown {
  if ('items' in result) {
    const { items, count, more } = result;
    return { items: items.map(itemJson), count, ...(more === true ? { more } : {}) };
  }
  if ('modRevision' in result) {
    const { value, ...facts } = result;
    const key = jsonBytes('key', Buffer.from(step?.op.type === 'get' ? step.op.key : ''));
    return value === undefined
      ? { ...key, value: null }
      : { ...key, ...jsonBytes('value', value), ...facts };
  }
  const { previous } = result;
  if (previous === undefined || previous === null) return result;
  const before = 'key' in previous ? itemJson(previous) : previous.map(itemJson);
  return { ...result, previous: before };
}
