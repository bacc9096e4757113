import { clip, padEnd, padStart, textWidth } from './text-width.js';

export interface Column {
  readonly title: string;
  /** Numbers stand to the right. */
  readonly align?: 'left' | 'right';
}

/** Widths for {@link tableLine}: of titles and these rows, not wider than `columns` in all. */
export function tableWidths(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  lineWidth: number | null,
): number[] {
  const widths = columns.map((column, i) =>
    rows.reduce((most, row) => Math.max(most, textWidth(row[i] ?? '')), column.title.length),
  );
  if (lineWidth === null) return widths;
  return shrink(widths, lineWidth - GAP.length * (widths.length - 1));
}

/** Takes from the widest until all fit; no column goes below 6. */
function shrink(widths: readonly number[], available: number): number[] {
  const result = [...widths];
  let over = result.reduce((sum, width) => sum + width, 0) - available;
  while (over > 0) {
    const widest = Math.max(...result);
    if (widest <= 6) return result;
    const i = result.indexOf(widest);
    const next = Math.max(6, ...result.filter((width) => width < widest));
    const cut = Math.min(over, Math.max(1, widest - next));
    result[i] = widest - cut;
    over -= cut;
  }
  return result;
}

const GAP = '  ';

export function tableLine(
  columns: readonly Column[],
  widths: readonly number[],
  cells: readonly string[],
): string {
  const padded = columns.map((column, i) => {
    const width = widths[i] ?? 0;
    const cell = clip(cells[i] ?? '', Math.max(1, width));
    return column.align === 'right' ? padStart(cell, width) : padEnd(cell, width);
  });
  return padded.join(GAP).trimEnd();
}

/** The whole table as lines, the title line first. */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  lineWidth: number | null,
): string[] {
  const widths = tableWidths(columns, rows, lineWidth);
  const titles = columns.map((column) => column.title);
  return [titles, ...rows].map((cells) => tableLine(columns, widths, cells));
}
