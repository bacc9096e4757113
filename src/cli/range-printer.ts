import type { Context } from './context.js';
import { itemJson, itemLine } from './items.js';
import { keyText } from './key-argument.js';
import { printable } from './printable.js';
import type { StoreItem } from './store-client.js';
import { type Column, tableLine, tableWidths } from './table.js';

/** Rows that decide on the widths of the columns; those behind are printed as they come. */
const ROWS_MEASURED = 200;

interface RangePrinterOptions {
  readonly keysOnly: boolean;
  /** With `-o json`: who answered, in each line. */
  readonly meta: boolean;
}

/** Prints keys as they come, in memory that does not grow with their number. */
export class RangePrinter {
  readonly #context: Context;
  readonly #options: RangePrinterOptions;
  readonly #columns: readonly Column[];
  /** Rows not yet printed, until the widths are known. */
  #waiting: string[][] = [];
  #widths: readonly number[] | null = null;

  constructor(context: Context, options: RangePrinterOptions) {
    this.#context = context;
    this.#options = options;
    const titles = options.keysOnly ? ['KEY', 'REVISION'] : ['KEY', 'REVISION', 'VALUE'];
    this.#columns = titles.map((title) => ({
      title,
      align: title === 'REVISION' ? 'right' : 'left',
    }));
  }

  async print({ meta, ...item }: StoreItem): Promise<void> {
    const { output } = this.#context;
    const { value, ...bare } = item;
    const shown = this.#options.keysOnly ? { ...bare, value: undefined } : item;
    if (output.format === 'json') {
      const object = itemJson(shown);
      return await output.json(this.#options.meta ? { ...object, meta } : object);
    }
    if (output.format === 'raw') return await output.write(itemLine(shown.key, shown.value));
    const cells = [keyText(item.key), String(item.modRevision)];
    const row = this.#options.keysOnly ? cells : [...cells, printable(value, 'one-line')];
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
}
