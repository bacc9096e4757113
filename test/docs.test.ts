import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { MUTATIONS } from './mutants/mutations.js';
import { hasTest, readTestFile, type TestFile } from './test-titles.js';

/** What `docs/raft-behaviours.md` names as proof is there. */

const ROOT = resolve(import.meta.dirname, '..');
const text = readFileSync(join(ROOT, 'docs/raft-behaviours.md'), 'utf8');

interface Row {
  readonly what: string;
  readonly shownBy: readonly string[];
}

const rows: readonly Row[] = text
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (?:---|behaviour|bug) /.test(line))
  .map((line) => {
    const [, what = '', shownBy = ''] = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    return { what, shownBy: shownBy.replaceAll('\\|', '|').split('<br>') };
  });
const proofs = rows.flatMap((row) => row.shownBy);

describe('the list of behaviours and bugs', () => {
  test('has a proof of each, in a form that is known', () => {
    expect(rows.length).toBeGreaterThan(150);
    expect(new Set(rows.map((row) => row.what)).size).toBe(rows.length);
    const unknown = proofs.filter(
      (proof) => !/^`test\/[\w/.-]+\.ts` \S|^mutation `[a-z0-9-]+`$/.test(proof),
    );
    expect(unknown).toEqual([]);
  });

  test('names tests that are there, under these titles', () => {
    const files = new Map<string, TestFile | null>();
    const missing: string[] = [];
    for (const proof of proofs) {
      const [, file, title] = /^`(test\/[^`]+)` (.+)$/.exec(proof) ?? [];
      if (file === undefined || title === undefined) continue;
      const path = join(ROOT, file);
      if (!files.has(file)) files.set(file, existsSync(path) ? readTestFile(path) : null);
      const found = files.get(file) ?? null;
      if (found === null || !hasTest(found, title)) missing.push(proof);
    }
    expect(missing).toEqual([]);
    expect(files.size).toBeGreaterThan(20);
  });

  test('names mutations that are there', () => {
    const names = new Set(MUTATIONS.map((mutation) => mutation.name));
    const named = proofs.flatMap((proof) => /^mutation `(.+)`$/.exec(proof)?.[1] ?? []);
    expect(named.filter((name) => !names.has(name))).toEqual([]);
    expect(named.length).toBeGreaterThan(30);
  });
});
