import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ERROR_CODES } from '../src/base/errors.js';
import { CONSISTENCY_LEVELS } from '../src/rpc/protocol.js';
import { DOCS_PATH, documentsWith, RESULTS_PATH } from './guarantees/documents.js';
import { readResults, toResults } from './guarantees/results.js';
import { GUARANTEES } from './guarantees/rows.js';
import { type Observation, PLACES } from './guarantees/types.js';
import { hasTest, readTestFile } from './test-titles.js';

/** The tables of guarantees cannot drift from what the tests demand, nor from what they last saw. */

const ROOT = resolve(import.meta.dirname, '..');

describe('the tables of guarantees', () => {
  test('are made from results that are what the tests demand', () => {
    const demanded = GUARANTEES.flatMap((row) =>
      row.operations.flatMap((operation) =>
        PLACES.map((place): Observation => {
          const seen = { row: row.id, operation, place, ending: row[place] };
          return { ...seen, meta: null, value: null, tookMs: 0 };
        }),
      ),
    );
    expect(readResults(RESULTS_PATH)).toEqual(toResults(demanded));
  });

  test('stand in the documents as npm run guarantees makes them', () => {
    for (const [path, text] of documentsWith(readResults(RESULTS_PATH))) {
      expect(readFileSync(path, 'utf8'), `${path}: run npm run guarantees`).toBe(text);
    }
  });

  test('have as many cells in each row as in their heads', () => {
    for (const [path, text] of documentsWith(readResults(RESULTS_PATH))) {
      const tables = text.match(/(?:^\|.*\n)+/gm) ?? [];
      expect(tables.length).toBeGreaterThan(1);
      const cells = (line: string): number => line.split(/(?<!\\)\|/).length;
      for (const table of tables) {
        const [head = '', ...lines] = table.trimEnd().split('\n');
        const torn = lines.filter((line) => cells(line) !== cells(head));
        expect(torn, path).toEqual([]);
      }
    }
  });

  test('have a row for every level, and each row once', () => {
    const ids = GUARANTEES.map((row) => row.id);
    expect(new Set(ids).size).toBe(ids.length);
    const levels = new Set(GUARANTEES.map((row) => row.level));
    expect(levels).toEqual(new Set([null, ...Object.keys(CONSISTENCY_LEVELS)]));
  });

  test('name tests that are there', () => {
    const text = readFileSync(DOCS_PATH, 'utf8').replaceAll('\\|', '|');
    const named = [...text.matchAll(/`(test\/[\w/.-]+\.ts)` ([^<`]+?)(?=<br>| \|\n)/g)];
    const missing = named.filter(([, file = '', title = '']) => {
      const path = join(ROOT, file);
      return !existsSync(path) || !hasTest(readTestFile(path), title);
    });
    expect(missing.map(([proof]) => proof)).toEqual([]);
    expect(named.length).toBeGreaterThan(2 * GUARANTEES.length);
    const shown = GUARANTEES.flatMap((row) => row.shownBy);
    expect(shown.filter((proof) => !text.includes(proof))).toEqual([]);
  });

  test('explain every error that they name', () => {
    const text = readFileSync(DOCS_PATH, 'utf8');
    const codes = new Set(
      GUARANTEES.flatMap((row) =>
        PLACES.flatMap((place) => (row[place].served ? [] : [row[place].code])),
      ),
    );
    expect(codes.size).toBeGreaterThan(3);
    for (const code of codes) {
      expect(ERROR_CODES).toHaveProperty(code);
      expect(text).toMatch(new RegExp(`^- \`${code}\`: `, 'm'));
    }
  });
});
