import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fullTable, proofTable, shortTable, withTable } from './render.js';
import type { ResultRow } from './results.js';

const ROOT = resolve(import.meta.dirname, '../..');

/** What the last run of the tests with real processes saw. */
export const RESULTS_PATH = join(ROOT, 'docs/guarantees.json');
export const README_PATH = join(ROOT, 'README.md');
export const DOCS_PATH = join(ROOT, 'docs/guarantees.md');

/** Shows every row. */
const LIVE_TEST =
  '`test/whole/guarantees.test.ts` five replicas parted 2 | 3, with the old leader in the minority › …: each side gives what the table says';

export function readResults(): ResultRow[] {
  return JSON.parse(readFileSync(RESULTS_PATH, 'utf8')) as ResultRow[];
}

/** The documents with the tables that belong to these results, by path. */
export function documentsWith(results: readonly ResultRow[]): Map<string, string> {
  const readme = readFileSync(README_PATH, 'utf8');
  const docs = readFileSync(DOCS_PATH, 'utf8');
  const proofs = proofTable(results, LIVE_TEST.replaceAll('|', '\\|'));
  return new Map([
    [README_PATH, withTable(readme, shortTable(results))],
    [DOCS_PATH, withTable(withTable(docs, fullTable(results)), proofs, 1)],
  ]);
}
