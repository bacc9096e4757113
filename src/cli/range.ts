import type { Command } from 'commander';
import { BalsaError } from '../base/errors.js';
import type { RangeOptions } from '../client/client.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { parseCount } from './flags.js';
import { jsonBytes, printable } from './printable.js';
import type { StoreItem } from './store-client.js';
import { type Column, tableLine, tableWidths } from './table.js';

interface RangeFlags {
  readonly from?: string;
  readonly to?: string;
  readonly limit?: number;
  readonly reverse?: boolean;
  readonly keysOnly?: boolean;
}

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
  })
    .argument('[prefix]', 'only keys that start with it; default: all')
    .option('--from <key>', 'first key')
    .option('--to <key>', 'first key behind the last')
    .option('--limit <n>', 'most keys to list', parseCount)
    .option('--reverse', 'from the last to the first')
    .option('--keys-only', 'no values');
  return onRun<RangeFlags>(command, runtime, runRange);
}

async function runRange(
  context: Context,
  [prefix]: readonly (string | undefined)[],
  flags: RangeFlags,
): Promise<ExitCode> {
  const options = rangeOptions(prefix, flags);
  await context.withClient(async (client) => {
    const printer = new RangePrinter(context, flags.keysOnly === true);
    for await (const item of client.range({ ...options, signal: context.signal })) {
      await printer.print(item);
    }
    await printer.end();
  });
  return EXIT.done;
}

function rangeOptions(prefix: string | undefined, flags: RangeFlags): RangeOptions {
  const { from, to, limit, reverse } = flags;
  if (prefix !== undefined && (from !== undefined || to !== undefined)) {
    throw new BalsaError('INVALID_ARGUMENT', 'range: give a PREFIX, or --from and --to, not both');
  }
  return { prefix, from, to, limit, reverse };
}

/** Rows that decide on the widths of the columns; those behind are printed as they come. */
const ROWS_MEASURED = 200;

class RangePrinter {
  readonly #context: Context;
  readonly #columns: readonly Column[];
  readonly #keysOnly: boolean;
  /** Rows not yet printed, until the widths are known. */
  #waiting: string[][] = [];
  #widths: readonly number[] | null = null;

  constructor(context: Context, keysOnly: boolean) {
    this.#context = context;
    this.#keysOnly = keysOnly;
    const titles = keysOnly ? ['KEY', 'REVISION'] : ['KEY', 'REVISION', 'VALUE'];
    this.#columns = titles.map((title) => ({
      title,
      align: title === 'REVISION' ? 'right' : 'left',
    }));
  }

  async print(item: StoreItem): Promise<void> {
    const { output } = this.#context;
    if (output.format === 'json') return await output.json(this.#object(item));
    if (output.format === 'raw') return await output.write(this.#raw(item));
    const row = this.#row(item);
    if (this.#widths !== null) return await this.#printRow(row, this.#widths);
    this.#waiting.push(row);
    if (this.#waiting.length >= ROWS_MEASURED) await this.end();
  }

  /** Prints what still waits. */
  async end(): Promise<void> {
    const { output } = this.#context;
    if (output.format !== 'table' || this.#widths !== null) return;
    if (this.#waiting.length === 0) return output.say('no keys');
    const widths = tableWidths(this.#columns, this.#waiting, output.columns);
    this.#widths = widths;
    const titles = this.#columns.map((column) => column.title);
    await output.line(output.style('bold', tableLine(this.#columns, widths, titles)));
    for (const row of this.#waiting) await this.#printRow(row, widths);
    this.#waiting = [];
  }

  async #printRow(row: readonly string[], widths: readonly number[]): Promise<void> {
    await this.#context.output.line(tableLine(this.#columns, widths, row));
  }

  #row({ key, value, modRevision }: StoreItem): string[] {
    const cells = [printable(key, 'one-line'), String(modRevision)];
    return this.#keysOnly ? cells : [...cells, printable(value, 'one-line')];
  }

  #raw({ key, value }: StoreItem): Uint8Array {
    return this.#keysOnly
      ? Buffer.concat([key, NEWLINE])
      : Buffer.concat([key, TAB, value, NEWLINE]);
  }

  #object({ key, value, createRevision, modRevision, version }: StoreItem): unknown {
    const values = this.#keysOnly ? {} : jsonBytes('value', value);
    return { ...jsonBytes('key', key), ...values, createRevision, modRevision, version };
  }
}

const TAB = Buffer.from('\t');
const NEWLINE = Buffer.from('\n');
