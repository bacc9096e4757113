import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bundleProcedures, type ProcedureBundle } from '../../src/compute/bundle.js';

/** Far beyond what it takes. */
const TIMEOUT_MS = 60_000;

const READ = "{ mode: 'read', args: null, handler: () => 1 }";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'balsa-exports-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function bundle(files: Record<string, string>, entry = 'main.ts'): Promise<ProcedureBundle> {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return await bundleProcedures(join(folder, entry));
}

const namesOf = ({ procedures }: ProcedureBundle): string[] =>
  procedures.map(({ name }) => name).sort();

describe('a bundle has what a module exports', { timeout: TIMEOUT_MS }, () => {
  test.each([
    ['by its own name', `export const one = ${READ};`, ['one']],
    ['by another name', `const one = ${READ}; export { one as two, one as three };`, 'three two'],
    ['by a name that is no identifier', `const one = ${READ}; export { one as 'a-b' };`, 'a-b'],
    [
      'by a name with what is around names',
      `const a = ${READ}; export { a as '{"a,b}"' };`,
      '{"a,b}"',
    ],
    ['by a name that objects have', `const a = ${READ}; export { a as __proto__ };`, '__proto__'],
    ['as the default', `export default ${READ};`, 'default'],
    [
      'of another module',
      "export * from './other.js'; export { b as c } from './other.js';",
      'a b c',
    ],
  ])('%s', async (_what, main, names) => {
    const other = `export const a = ${READ}; export const b = ${READ};`;

    const made = await bundle({ 'main.ts': main, 'other.ts': other });

    expect(namesOf(made)).toEqual([names].flat().join(' ').split(' '));
  });

  test('of a module of the older kind, which says so only when it runs', async () => {
    const older = `exports['o' + 'ne'] = ${READ};`;

    expect(namesOf(await bundle({ 'main.cjs': older }, 'main.cjs'))).toEqual(['one']);
    const main = `export * from './main.cjs'; export const two = ${READ};`;
    expect(namesOf(await bundle({ 'main.ts': main, 'main.cjs': older }))).toEqual(['one', 'two']);
  });

  test('without an accessor for each, which would be made anew for each call', async () => {
    const { code } = await bundle({ 'main.ts': `export const one = ${READ};` });

    expect(code).toMatch(/;return\{one:one\};$/);
    expect(code).not.toContain('defineProperty');
  });

  test('unless it waits for something while it is loaded', async () => {
    const main = `const value = await 1; export const one = ${READ}; console.log(value);`;

    await expect(bundle({ 'main.ts': main })).rejects.toMatchObject({
      code: 'FILE_INVALID',
      message: expect.stringContaining('main.ts:1:15: Top-level await is not'),
    });
  });
});
