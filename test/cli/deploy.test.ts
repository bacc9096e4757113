import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { changesOf } from '../../src/cli/deploy/changes.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { temporaryFolder } from '../whole/support.js';
import type { RunOptions } from './fakes.js';
import { MachineStore } from './machine-store.js';

const ROOT = resolve(import.meta.dirname, '../..');
const PEOPLE: RunOptions = { isTerminal: true, env: { NO_COLOR: '1' } };

let store: MachineStore;
beforeEach(async () => {
  store = await MachineStore.open();
});

const folders: { readonly path: string; [Symbol.dispose](): void }[] = [];
afterAll(() => {
  for (const folder of folders) folder[Symbol.dispose]();
});

/** A project of a user. @returns the path of its first file */
function project(files: Record<string, string>): string {
  const folder = temporaryFolder();
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder.path, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  return join(folder.path, Object.keys(files)[0] ?? '');
}

const BANK = `import { procedure, read } from 'balsa/procedures';
export const open = procedure({
  handler: (ctx, { name }: { name: string }) => ctx.put(name, 0),
});
export const balance = read({ handler: (ctx, { name }: { name: string }) => ctx.get(name) });
`;

function deploy(file: string, args: readonly string[] = [], options: RunOptions = {}) {
  return store.alongside(store.begin(['deploy', file, ...args], options));
}

const deployed = async () =>
  (await store.h.until(store.db.procedures.list())).map(
    ({ name, alias, versions }) => `${name}@${alias} ${versions.length}`,
  );

describe('deploy', () => {
  test('shows what is new, brings it, and does nothing the next time', async () => {
    const file = project({ 'bank.ts': BANK });

    const first = await deploy(file, [], PEOPLE);

    expect(first.exit).toBe(0);
    expect(first.stdout).toMatch(
      /^PROCEDURE {2}MODE {2}CHANGE {2}CODE\nbalance {4}read {2}new {5}[0-9a-f]{12}\nopen {7}cp {4}new {5}[0-9a-f]{12}\n$/,
    );
    expect(first.stderr).toMatch(
      /^deployed \S+bank\.ts as prod, [0-9a-f]{12} \(\d\S* (bytes|KiB)\)\n$/,
    );
    expect(await deployed()).toEqual(['balance@prod 1', 'open@prod 1']);

    const { appliedIndex } = store.real.machine;
    const second = await deploy(file, [], PEOPLE);

    expect(second).toMatchObject({
      exit: 0,
      stderr: expect.stringMatching(/^nothing has changed: /),
    });
    expect(second.stdout).toMatch(/\nopen {7}cp {4}unchanged {2}[0-9a-f]{12}\n$/);
    expect(store.real.machine.appliedIndex, 'nothing was written').toBe(appliedIndex);
  });

  test('prints what it has changed when that is done: whoever reads no further ends the command', async () => {
    const deployedThen = new Set<number>();
    const onStdout = (): void => void deployedThen.add(store.real.machine.procedures().length);
    const { exit } = await deploy(project({ 'bank.ts': BANK }), [], { ...PEOPLE, onStdout });
    expect([exit, [...deployedThen]]).toEqual([0, [2]]);
  });

  test('shows what changes, from which code to which, and what stays', async () => {
    const file = project({ 'bank.ts': BANK });
    await deploy(file);
    const other = project({
      'bank.ts': BANK.replace('name, 0', 'name, 1').replace('balance = read', 'look = read'),
    });

    const { stdout } = await deploy(other, [], PEOPLE);

    const rows = stdout.trimEnd().split('\n').slice(1);
    expect(rows).toEqual([
      expect.stringMatching(/^look {7}read {2}new {13}[0-9a-f]{12}$/),
      expect.stringMatching(/^open {7}cp {4}bundle changed {2}[0-9a-f]{12} → [0-9a-f]{12}$/),
      expect.stringMatching(/^balance {4}read {2}stays {11}[0-9a-f]{12}$/),
    ]);
    expect(await deployed()).toEqual(['balance@prod 1', 'look@prod 1', 'open@prod 2']);
  });

  test('--dry-run says so, and writes nothing', async () => {
    const { stdout, stderr, exit } = await deploy(project({ 'bank.ts': BANK }), ['--dry-run']);

    expect(exit).toBe(0);
    expect(stdout).toMatch(/\nopen\tcp\tnew\t-\t[0-9a-f]{64}\t-\n$/);
    expect(stderr).toContain('nothing was written');
    expect(await deployed()).toEqual([]);
  });

  test('--alias leaves other aliases alone', async () => {
    const file = project({ 'bank.ts': BANK });
    await deploy(file);
    const { stdout } = await deploy(file, ['--alias', 'staging', '-o', 'json']);

    expect(JSON.parse(stdout)).toEqual({
      ...{ file, alias: 'staging', dryRun: false, deployed: true },
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
      bytes: expect.any(Number),
      procedures: [
        {
          name: 'balance',
          mode: 'read',
          trigger: null,
          kind: 'new',
          from: null,
          to: expect.any(String),
        },
        {
          name: 'open',
          mode: 'cp',
          trigger: null,
          kind: 'new',
          from: null,
          to: expect.any(String),
        },
      ],
    });
    expect(await deployed()).toEqual([
      ...['balance@prod 1', 'balance@staging 1', 'open@prod 1', 'open@staging 1'],
    ]);
    const wrong = await store.run(['deploy', file, '--alias', '1st']);
    expect(wrong).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining('It must be of letters'),
    });
  });

  test('says what calls a procedure, when it is what is written', async () => {
    const text =
      "import { trigger } from 'balsa/procedures';\nexport const onOrder = trigger({ prefix: 'orders/', handler: (ctx, events) => ctx.add('orders', events.length) });\n";
    const { stdout } = await deploy(project({ 'orders.ts': text }), [], PEOPLE);
    expect(stdout).toMatch(/\nonOrder {4}cp, on orders\/ {2}new {5}\w{12}\n$/);
  });

  test('shows what a procedure was before, and warns of what is hard to undo', async () => {
    const declared = (open: string, told: string) =>
      project({
        'bank.ts': `import { ap, procedure, trigger } from 'balsa/procedures';\nexport const open = ${open}({ handler: () => 1 });\nexport const told = ${told};\n`,
      });
    const handler = 'handler: () => null })';
    await deploy(declared('procedure', `trigger({ prefix: 'tg/', ${handler}`));
    const after = declared('ap', `procedure({ ${handler}`);

    const { stdout, stderr } = await deploy(after, ['--dry-run'], PEOPLE);
    expect(stdout).toMatch(/\nopen {7}cp → ap {12}bundle changed {2}\w{12} → \w{12}\n/);
    expect(stdout).toMatch(/\ntold {7}cp, on tg\/ → none {2}bundle changed/);
    expect(stderr).toMatch(/^warning: open becomes ap: that cannot be undone/m);
    expect(stderr).toMatch(
      /^warning: told is not called with writes to tg\/ any more, but by callers alone/m,
    );

    const json = await deploy(after, ['-o', 'json']);
    expect(JSON.parse(json.stdout).procedures).toMatchObject([
      { name: 'open', mode: 'ap', modeBefore: 'cp' },
      { name: 'told', trigger: null, triggerBefore: 'tg/' },
    ]);
    expect(json.stderr).toContain('warning: open becomes ap');
    // What it is by now is nothing to be warned of.
    const again = declared('ap', `procedure({ handler: () => 2 })`);
    expect((await deploy(again)).stderr).not.toContain('warning');
  });

  test('takes JavaScript as it is', async () => {
    const text =
      "import { read } from 'balsa/procedures'; export const one = read({ handler: () => 1 });";
    expect(await deploy(project({ 'one.js': text }))).toMatchObject({ exit: 0 });
    expect(await deployed()).toEqual(['one@prod 1']);
  });
});

describe('deploy refuses, and nothing is written:', () => {
  async function refusal(file: string, args: readonly string[] = []) {
    const { exit, stdout, stderr } = await deploy(file, args);
    expect(stdout).toBe('');
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(await deployed()).toEqual([]);
    return { exit, stderr };
  }

  test('types that are wrong, with their place', async () => {
    const file = project({
      'bank.ts': `import { amount } from './amount.js';\n${BANK}export const n: number = amount;\n`,
      'amount.ts': "export const amount = 'much';\nexport const more: string[] = [{ a: 1 }];\n",
    });

    const { exit, stderr } = await refusal(file);

    expect(exit).toBe(1);
    const folder = dirname(file);
    expect(stderr.split('\n').sort()).toEqual([
      '',
      `${folder}/bank.ts:7:14: Type 'string' is not assignable to type 'number'. (TS2322)`,
      `error FILE_INVALID: ${folder}/amount.ts:2:32: Type '{ a: number; }' is not assignable to type 'string'. (TS2322)`,
      'try: --no-typecheck takes it as it is',
    ]);
    expect(await deploy(file, ['--no-typecheck'])).toMatchObject({ exit: 0 });
  });

  test('what the sandbox does not have, though the project has it elsewhere', async () => {
    const file = project({
      'bank.ts': BANK.replace('ctx.get(name)', 'console.log(process.pid)'),
      'tsconfig.json': JSON.stringify({
        compilerOptions: { strict: true, lib: ['dom', 'es2023'], types: ['node'] },
      }),
    });
    symlinkSync(join(ROOT, 'node_modules'), join(dirname(file), 'node_modules'));

    const { stderr } = await refusal(file);

    expect(stderr).toMatch(
      /bank\.ts:5:\d+: Cannot find name 'console'; procedures have nothing of Node\.js or of browsers; ctx\.log writes a line/,
    );
    expect(stderr).toMatch(/Cannot find name 'process'; procedures have nothing of Node\.js/);
  });

  test('what does not compile, and where', async () => {
    const { exit, stderr } = await refusal(
      project({ 'bank.ts': 'export const a = 1;\nexport = ;' }),
    );
    expect(exit).toBe(1);
    expect(stderr).toMatch(/^error FILE_INVALID: \S+bank\.ts:2:10: Unexpected ";"\n/);
  });

  test('what there is no room for, with what can be done', async () => {
    const full = new BalsaError('PROCEDURES_TOO_MANY', 'full', { outcome: 'not-applied' });
    const { fate } = store.h.cluster;
    store.h.cluster.fate = (request, stream) =>
      request.type === 'write' ? full : fate(request, stream);
    const { exit, stderr } = await refusal(project({ 'bank.ts': BANK }));
    expect({ exit, stderr }).toEqual({
      exit: 1,
      stderr: expect.stringMatching(
        /^error PROCEDURES_TOO_MANY: full\ntry: balsa proc remove .*Room for code\n$/,
      ),
    });
  });

  test('code that throws when it is loaded, and where', async () => {
    const { stderr } = await refusal(project({ 'bank.ts': "\n  throw new Error('no');\n" }));
    expect(stderr).toMatch(/^error FILE_INVALID: \S+bank\.ts:2:13: the module throws no\n/);
  });

  test('a module without procedures', async () => {
    const { exit, stderr } = await refusal(project({ 'bank.ts': 'export const a = 1;\n' }));
    expect({ exit, stderr }).toEqual({
      exit: 1,
      stderr: expect.stringContaining('bank.ts exports no procedure'),
    });
  });

  test('a file that is not there, and a folder', async () => {
    const missing = await refusal('nowhere/bank.ts');
    expect(missing).toEqual({
      exit: 2,
      stderr: expect.stringMatching(
        /^error FILE_UNREADABLE: nowhere\/bank\.ts: ENOENT: no such file/,
      ),
    });
    expect(await refusal(ROOT)).toEqual({ exit: 2, stderr: expect.stringContaining('is no file') });
  });

  test.each([
    ['{\n  "compilerOptions": { strict },\n', /tsconfig\.json:2:24: Expected string in JSON/],
    ['{ "compilerOptions": {\n "strickt": true } }', /tsconfig\.json:2:2: .*strickt.* \(TS\d+\)/],
  ])('settings that are wrong, and where: %j', async (settings, message) => {
    const { stderr } = await refusal(project({ 'bank.ts': BANK, 'tsconfig.json': settings }));
    expect(stderr).toMatch(message);
  });
});

describe('the settings of a project', () => {
  test('hold for its procedures, but for what they say of what is written', async () => {
    const settings = {
      compilerOptions: {
        ...{ module: 'nodenext', target: 'es2022', paths: { '@/*': ['./lib/*'] } },
        ...{ rootDir: 'lib', outDir: 'dist', composite: true, emitDeclarationOnly: true },
        ...{ isolatedDeclarations: true, verbatimModuleSyntax: true, noUnusedLocals: true },
        strict: false,
      },
      include: ['lib'],
    };
    const file = project({
      'bank.ts': `import { key } from '@/key.js';\nconst unused = 1;\n${BANK}export const f = (a) => [a, key];\n`,
      'lib/key.ts': "export const key = 'k';\n",
      'tsconfig.json': JSON.stringify(settings),
    });

    expect(await deploy(file)).toMatchObject({ exit: 0 });
  });

  test('of modules that are imported for their types alone nothing is asked', async () => {
    const file = project({
      'bank.ts': `import type { App } from './app.js';\n${BANK}export type B = App;\n`,
      'app.ts': "import { readFileSync } from 'node:fs';\nexport type App = typeof readFileSync;\n",
    });
    expect(await deploy(file)).toMatchObject({ exit: 0 });
  });
});

describe('types are not checked, and that is said,', () => {
  const withCompiler = (version: string, script = '') =>
    project({
      'bank.ts': BANK.replace('name, 0', 'nothing, 0'),
      'node_modules/typescript/package.json': JSON.stringify({ version, bin: { tsc: 'tsc.cjs' } }),
      'node_modules/typescript/tsc.cjs': script,
    });

  test('when the compiler is too old', async () => {
    expect(await deploy(withCompiler('4.9.5'))).toMatchObject({
      exit: 0,
      stderr: expect.stringContaining(
        'types are not checked: TypeScript 4.9.5 is too old (5.0 will do)',
      ),
    });
  });

  test('when the compiler does not run', async () => {
    const script = "process.stderr.write('it is not for this machine\\n'); process.exit(1);";
    expect(await deploy(withCompiler('7.1.0', script))).toMatchObject({
      exit: 0,
      stderr: expect.stringContaining(
        'types are not checked: TypeScript 7.1.0 cannot be run: it is not for this machine\n',
      ),
    });
  });
});

test('Ctrl-C while the types are checked ends it with 130', async () => {
  const file = project({
    'bank.ts': BANK,
    'node_modules/typescript/package.json': JSON.stringify({ version: '9', bin: { tsc: 't.cjs' } }),
    'node_modules/typescript/t.cjs':
      "require('node:fs').writeFileSync(__dirname + '/runs', ''); setInterval(() => {}, 1000);",
  });
  const interruption = new AbortController();
  const running = deploy(file, [], { interrupted: interruption.signal });
  await waitUntil('the compiler to run', async () =>
    existsSync(join(dirname(file), 'node_modules/typescript/runs')) ? true : undefined,
  );
  interruption.abort();

  expect(await running).toMatchObject({ exit: 130, stderr: 'interrupted\n' });
  expect(await deployed()).toEqual([]);
});

describe('what a deployment changes', () => {
  const info = (name: string, hash: string, mode = 'cp', alias = 'prod') => ({
    ...{ name, alias, mode },
    versions: [{ hash, sinceMs: 0 }],
  });
  const code = (...names: string[]) => ({
    ...{ hash: 'new', code: '' },
    procedures: names.map((name) => ({ name, mode: 'cp' as const, trigger: null })),
  });

  test('is said of each procedure, whatever stands for the code of others', () => {
    const before = [
      info('a', 'old'),
      info('b', 'new'),
      info('c', 'old', 'read'),
      info('e', 'old'),
      info('d', 'new', 'cp', 'staging'),
    ];
    expect(changesOf(code('d', 'c', 'b', 'a'), 'prod', before)).toEqual([
      { name: 'a', mode: 'cp', trigger: null, kind: 'changed', from: 'old', to: 'new' },
      { name: 'b', mode: 'cp', trigger: null, kind: 'unchanged', from: 'new', to: 'new' },
      {
        name: 'c',
        mode: 'cp',
        trigger: null,
        kind: 'changed',
        from: 'old',
        to: 'new',
        modeBefore: 'read',
      },
      { name: 'd', mode: 'cp', trigger: null, kind: 'new', from: null, to: 'new' },
      { name: 'e', mode: 'cp', trigger: null, kind: 'stays', from: 'old', to: 'old' },
    ]);
  });
});
