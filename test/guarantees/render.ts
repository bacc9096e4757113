import type { ResultRow } from './results.js';
import type { Ending } from './types.js';

/** The tables in the documents, as text between two marks. */

const BEGIN = '<!-- made by npm run guarantees from what five parted replicas did; do not edit -->';
const END = '<!-- end of what is made -->';

/** For the README: what an application asks for, and what it gets on either side. */
export function shortTable(results: readonly ResultRow[]): string {
  const rows = results.filter((row) => row.inReadme).map((row) => [nameOf(row), ...cells(row)]);
  const head = ['', 'promise', 'on the side of the majority', 'cut off from it', 'PACELC'];
  return table(head, rows);
}

/** For docs/guarantees.md: all rows. */
export function fullTable(results: readonly ResultRow[]): string {
  const rows = results.map((row) => [
    operationsOf(row),
    row.level === null ? '' : `\`${row.level}\``,
    row.when,
    ...cells(row),
  ]);
  const head = ['operation', 'level', 'when', 'promise', 'in the majority', 'in the minority'];
  return table([...head, 'PACELC'], rows);
}

/** For docs/guarantees.md: what shows each row. */
export function proofTable(results: readonly ResultRow[], always: string): string {
  const rows = results.map((row) => [
    row.when === '' ? nameOf(row) : `${nameOf(row, '')}: ${row.when}`,
    [`${always.replace('…', `'${row.id}'`)}`, ...row.shownBy].join('<br>'),
  ]);
  return table(['what', 'shown by'], rows);
}

/** `text` with another table in the `index`th place that is marked for one. */
export function withTable(text: string, content: string, index = 0): string {
  const parts = text.split(BEGIN);
  const part = parts[index + 1];
  if (part === undefined || !part.includes(END)) {
    throw new Error(`there is no place ${index} for a table, between "${BEGIN}" and "${END}"`);
  }
  parts[index + 1] = `\n\n${content}\n\n${part.slice(part.indexOf(END))}`;
  return parts.join(BEGIN);
}

function cells(row: ResultRow): string[] {
  return [row.promise, endingText(row, 'majority'), endingText(row, 'minority'), row.pacelc];
}

function nameOf(row: ResultRow, when = row.when): string {
  const name = row.level === null ? operationsOf(row) : `${operationsOf(row)}, \`${row.level}\``;
  return when === '' ? name : `${name}: ${when}`;
}

function operationsOf({ operations }: ResultRow): string {
  return operations.map((operation) => `\`${operation}\``).join(' ');
}

function endingText(row: ResultRow, place: 'majority' | 'minority'): string {
  const ending = row[place];
  if (ending === null) throw new Error(`the runs do not agree on ${row.id} in the ${place}`);
  return textOf(ending);
}

function textOf(ending: Ending): string {
  if (ending.served) return 'served';
  if (ending.outcome === null) return `\`${ending.code}\``;
  return `\`${ending.code}\`, outcome \`${ending.outcome}\``;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows];
  // A bar would end the cell.
  const cell = (text: string): string => (text === '' ? ' ' : ` ${text.replaceAll('|', '\\|')} `);
  return lines.map((row) => `|${row.map(cell).join('|')}|`).join('\n');
}
