import { STYLE, safe } from './plot.js';

/** A page that needs no network and no other file. */
export function htmlDocument(title: string, body: string, style = ''): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${safe(title)}</title><style>${STYLE}${style}</style></head><body>
${body}
</body></html>
`;
}

/** The columns are those of the first row. */
export function table(rows: readonly Readonly<Record<string, string | number>>[]): string {
  const columns = Object.keys(rows[0] ?? {});
  const head = columns.map((column) => `<th>${safe(column)}</th>`).join('');
  const body = rows.map(
    (row) =>
      `<tr>${columns.map((column) => `<td>${safe(String(row[column]))}</td>`).join('')}</tr>`,
  );
  return `<table><tr>${head}</tr>${body.join('')}</table>`;
}
