import type { Output } from './output.js';
import { type Column, tableLines } from './table.js';

/** A table for people; in a pipe its cells with tabs between them, the titles first. */
export async function printTable(
  output: Output,
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): Promise<void> {
  const titles = columns.map((column) => column.title);
  if (output.format !== 'table') {
    for (const cells of [titles, ...rows]) await output.line(cells.join('\t'));
    return;
  }
  const [first = '', ...lines] = tableLines(columns, rows, null);
  await output.line(output.style('bold', first));
  for (const line of lines) await output.line(line);
}
