import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import type { BalsaError } from '../../src/base/errors.js';
import type { Mode } from '../../src/base/operation.js';
import { bundleProcedures } from '../../src/compute/bundle.js';
import { CALL_LIMITS, type Execution } from '../../src/compute/execution.js';
import { Vm } from '../../src/compute/sandbox/vm.js';
import { effectsOf, failureOf, parsed } from './calls.js';
import { MemorySource } from './memory-source.js';

const ROOT = resolve(import.meta.dirname, '../..');

/** Far beyond what it takes. */
const TIMEOUT_MS = 60_000;

const BANK = `
import { procedure, read } from 'balsa/procedures';
import * as z from 'zod';
import { accountKey } from './keys.js';

export const transfer = procedure({
  args: z.object({ from: z.string(), to: z.string(), amount: z.number().int().positive() }),
  handler: (ctx, { from, to, amount }) => {
    const left = (ctx.get<number>(accountKey(from)) ?? 0) - amount;
    if (left < 0) ctx.abort(\`\${from} has not enough\`);
    ctx.put(accountKey(from), left);
    ctx.put(accountKey(to), (ctx.get<number>(accountKey(to)) ?? 0) + amount);
    return { left };
  },
});

export const total = read({
  handler: async (ctx) => {
    const accounts = await ctx.scan({ prefix: accountKey('') });
    return accounts.reduce((sum, { value }) => sum + Number(value), 0);
  },
});

export const NOT_A_PROCEDURE = 7;
`;
const KEYS = "export const accountKey = (name: string): string => 'account/' + name;\n";

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A project of a user, with the packages of this one. */
function project(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'balsa-bundle-'));
  folders.push(folder);
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

const bundle = (text: string, more: Record<string, string> = {}) =>
  bundleProcedures(join(project({ 'procedures.ts': text, ...more }), 'procedures.ts'));

const refusalOf = (text: string): Promise<string> =>
  bundle(text).then(
    () => 'it was bundled',
    (error: Error & { code?: string }) => `${error.code} ${error.message}`,
  );

describe('a bundle', () => {
  let made: Awaited<ReturnType<typeof bundle>> | null = null;
  let vm: Vm;

  // One that had to be interrupted is used no more.
  beforeEach(async () => {
    if (made !== null && !vm.isSpent) return;
    made ??= await bundle(BANK, { 'keys.ts': KEYS });
    vm = await Vm.make(made, CALL_LIMITS, systemClock);
  }, TIMEOUT_MS);

  function call(
    name: string,
    args: unknown,
    mode: Mode,
    values: Record<string, number>,
  ): Execution {
    const facts = { name, args: JSON.stringify(args), nowMs: 0, seed: 1, origin: '' };
    const limits = { ...CALL_LIMITS, computeMsMax: 30_000 };
    const code = { hash: '', code: '' };
    return vm.run({ bundle: code, ...facts, limits }, mode, new MemorySource(values));
  }

  const ACCOUNTS = { 'account/a': 10, 'account/b': 5, other: 1 };

  test('has what a module exports, with what it imports', async () => {
    const { procedures, hash } = await bundle(BANK, { 'keys.ts': KEYS });

    expect(procedures).toEqual([
      { name: 'total', mode: 'read', trigger: null },
      { name: 'transfer', mode: 'cp', trigger: null },
    ]);
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
  });

  test('runs in the sandbox, with a validator of a library', () => {
    const execution = call('transfer', { from: 'a', to: 'b', amount: 3 }, 'cp', ACCOUNTS);

    expect(parsed(execution)).toEqual({ left: 7 });
    expect(effectsOf(execution)).toMatchObject({
      writes: [
        { key: 'account/a', value: '7' },
        { key: 'account/b', value: '8' },
      ],
    });
    expect(parsed(call('total', null, 'read', ACCOUNTS))).toBe(15);
  });

  test('may have ap procedures, with cells', async () => {
    const made = await bundle(`import { ap, counter, set } from 'balsa/procedures';
      const views = (page: string) => counter('views/' + page);
      export const view = ap({
        handler: (ctx, page: string) => {
          ctx.cell(views(page)).add();
          ctx.cell(set<string>('pages')).add(page);
          return ctx.cell(views(page)).value();
        },
      });`);
    expect(made.procedures).toEqual([{ name: 'view', mode: 'ap', trigger: null }]);

    const facts = { name: 'view', args: '"home"', nowMs: 0, seed: 1, origin: '' };
    const limits = { ...CALL_LIMITS, computeMsMax: 30_000 };
    const its = await Vm.make(made, CALL_LIMITS, systemClock);
    const execution = its.run({ bundle: made, ...facts, limits }, 'ap', new MemorySource());
    expect(parsed(execution)).toBe(1);
    expect(effectsOf(execution)).toMatchObject({
      cells: [{ key: 'views/home' }, { key: 'pages' }],
    });
  });

  test('refuses arguments that its schema does not allow', () => {
    const args = { from: 'a', to: 'b', amount: -1 };

    expect(failureOf(call('transfer', args, 'cp', ACCOUNTS))).toMatch(
      /^INVALID_ARGUMENT arguments: amount: .*>0/,
    );
  });

  test('aborts', () => {
    const args = { from: 'a', to: 'b', amount: 11 };

    expect(failureOf(call('transfer', args, 'cp', ACCOUNTS))).toBe(
      'PROCEDURE_ABORTED a has not enough',
    );
  });

  test('is the same one wherever the sources lie, and another one when they change', async () => {
    const first = project({ 'procedures.ts': BANK, 'keys.ts': KEYS });
    const second = project({});
    cpSync(join(first, 'procedures.ts'), join(second, 'procedures.ts'));
    cpSync(join(first, 'keys.ts'), join(second, 'keys.ts'));
    const hashes = [];
    for (const folder of [first, second]) {
      hashes.push((await bundleProcedures(join(folder, 'procedures.ts'))).hash);
    }
    const changed = await bundle(BANK.replace('left < 0', 'left <= 0'), { 'keys.ts': KEYS });

    expect(hashes[1]).toBe(hashes[0]);
    expect(changed.hash).not.toBe(hashes[0]);
  });
});

describe('what cannot be bundled is refused', () => {
  test.each([
    ['export const = 1;', /^FILE_INVALID \S+\/procedures\.ts:1:14: /],
    [`import { readFileSync } from 'node:fs'; export default readFileSync;`, /nothing of Node\.js/],
    [`import x from './nowhere.js'; export default x;`, /^FILE_INVALID .*nowhere/],
    ['export const x = 1;', /exports no procedure/],
    ['throw new Error("at once");', /^FILE_INVALID .*at once/],
    ['for (;;) {}', /^FILE_INVALID .*takes longer than 3000 ms to load/],
    [
      `export const p = { mode: 'ap', trigger: 'a/', handler() {} };`,
      /p is declared as ap, and a trigger is cp/,
    ],
    [
      `export const p = { mode: 'xp', handler() {} };`,
      /p is declared as xp; known are cp, read, ap/,
    ],
  ])('%s', { timeout: TIMEOUT_MS }, async (text, message) => {
    expect(await refusalOf(text)).toMatch(message);
  });

  test.each([
    ['at once', "const nl = `a\nb`;\n  throw new RangeError('no');\nexport default nl;", '3:13'],
    ['in a function', "const f = () => {\n  JSON.parse('{');\n};\nf();\nexport {};", '2:8'],
    [
      'behind a module of the older kind',
      "import old from './old.cjs';\nif (old.n > 0) throw new Error(`a\nb`);\nexport {};",
      '2:26',
    ],
  ])('code that throws %s, with the place in the source', async (_what, text, place) => {
    const folder = project({ 'procedures.ts': text, 'old.cjs': 'exports.n = 1;' });
    const file = join(folder, 'procedures.ts');

    const error: BalsaError = await bundleProcedures(file).catch((cause) => cause);

    expect(error.code).toBe('FILE_INVALID');
    expect(error.message.split(': ')[0]).toBe(`${file}:${place}`);
  });

  test('a file that is not there', async () => {
    await expect(bundleProcedures('/nowhere/procedures.ts')).rejects.toMatchObject({
      code: 'FILE_INVALID',
    });
  });

  test('too much code', async () => {
    const text = `import { procedure } from 'balsa/procedures'; export const p = procedure({ handler: () => '${'x'.repeat(1024 * 1024)}' });`;

    await expect(bundle(text)).rejects.toMatchObject({
      code: 'PROCEDURE_LIMIT',
      details: { limit: 'bundleBytesMax' },
    });
  });
});

describe('whoever waits for a change is told the files that', () => {
  async function filesOf(files: Record<string, string>): Promise<readonly string[]> {
    const folder = project(files);
    const told = new Set<string>();
    const onFile = (path: string): void => void told.add(path);
    await bundleProcedures(join(folder, 'procedures.ts'), { onFile }).catch(() => {});
    const below = [...told].filter((path) => path.startsWith(folder));
    // Packages may lie in any folder above.
    const elsewhere = [...told].filter((path) => !below.includes(path));
    expect(elsewhere.filter((path) => !path.includes('node_modules'))).toEqual([]);
    return below.map((path) => relative(folder, path)).sort();
  }

  test('a bundle is made of, its packages left out', async () => {
    expect(await filesOf({ 'procedures.ts': BANK, 'keys.ts': KEYS })).toEqual([
      'keys.ts',
      'procedures.ts',
    ]);
  });

  test('are in the way of one, also in what it imports', async () => {
    const text = "import { accountKey } from './keys.js'; export default accountKey;";
    expect(await filesOf({ 'procedures.ts': text, 'keys.ts': 'export const = 1;' })).toEqual([
      'keys.ts',
      'procedures.ts',
    ]);
  });

  test('may come to be where they are missing', async () => {
    const text = `
      import a from './lib/a.js'; import b from '@scope/b/c'; import d from 'd';
      export default [a, b, d];`;
    expect(await filesOf({ 'procedures.ts': text })).toEqual([
      'lib',
      'node_modules/@scope/b',
      'node_modules/d',
      'procedures.ts',
    ]);
  });
});

test(
  'of zod a bundle has what is used, when it is imported as the documentation says',
  async () => {
    const bytesOf = async (statement: string): Promise<number> => {
      const text = `${statement}\nimport { read } from 'balsa/procedures';\nexport const p = read({ args: z.object({ a: z.string() }), handler: (_ctx, { a }) => a });`;
      return (await bundle(text)).code.length;
    };
    expect(await bytesOf("import * as z from 'zod';")).toBeLessThan(160 * 1024);
    expect(await bytesOf("import * as z from 'zod/mini';")).toBeLessThan(32 * 1024);
  },
  TIMEOUT_MS,
);
