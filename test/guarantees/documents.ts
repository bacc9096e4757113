import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fullTable, proofTable, shortTable, withTable } from './render.js';
import { type Result, toRows } from './results.js';

const ROOT = resolve(import.meta.dirname, '../..');

/** What the last run of the tests with real processes saw. */
export const RESULTS_PATH = join(ROOT, 'docs/guarantees.json');
export const README_PATH = join(ROOT, 'README.md');
export const DOCS_PATH = join(ROOT, 'docs/guarantees.md');

/** Shows every row. */
const LIVE_TEST =
  '`test/whole/guarantees.test.ts` five replicas parted 2 | 3, with the old leader in the minority › …: each side gives what the table says';

/** The documents with the tables that belong to these results, by path. */
export function documentsWith(results: readonly Result[]): Map<string, string> {
  const rows = toRows(results);
  const readme = readFileSync(README_PATH, 'utf8');
  const docs = readFileSync(DOCS_PATH, 'utf8');
  const proofs = proofTable(rows, LIVE_TEST);
  return new Map([
    [README_PATH, withTable(readme, shortTable(rows))],
    [DOCS_PATH, withTable(withTable(docs, fullTable(rows)), proofs, 1)],
  ]);
}
