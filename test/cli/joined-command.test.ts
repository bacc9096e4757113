import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { WORKER_FILE } from '../compute/calls.js';

/** What `npm run build` makes of the command, see `esbuild.config.js`. */
const FOLDER = fileURLToPath(new URL('../../dist/cli/', import.meta.url));

function importedBy(file: string): string[] {
  const code = readFileSync(file, 'utf8');
  const imports = code.matchAll(/(?:^import|^export|^} from|\bimport\()[^;\n]*?"(\.[^"]+)"/gm);
  return [...imports].map(([, path = '']) => path);
}

describe('the compiled command', () => {
  const parts = readdirSync(FOLDER).filter((name) => /^part-.*\.js$/.test(name));
  const imported = ['main.js', ...parts].flatMap((name) => importedBy(`${FOLDER}${name}`));

  test('loads joined parts and packages, and no other file of its own', () => {
    expect(parts.length).toBeGreaterThan(1);
    expect(imported.filter((path) => !path.startsWith('./part-'))).toEqual([]);
  });

  test('has no part of an earlier build', () => {
    const names = imported.map((path) => path.slice(2));

    expect([...new Set(names)].sort()).toEqual(parts.sort());
  });
});

test('the compiled thread of procedures loads packages, and no other file of its own', () => {
  expect(importedBy(fileURLToPath(WORKER_FILE))).toEqual([]);
});
