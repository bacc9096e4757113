import { mkdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { Deployer, type Outcome } from '../../src/cli/dev/deployer.js';
import { exampleCall } from '../../src/cli/dev/example.js';
import { Sources } from '../../src/cli/dev/sources.js';
import { bundleProcedures } from '../../src/compute/bundle.js';
import { temporaryFolder } from '../whole/support.js';
import { MachineStore } from './machine-store.js';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => {
  folder[Symbol.dispose]();
});

/** Files are as old as an editor's are when somebody has saved them some time ago. */
function save(name: string, text: string, ageMs = 60_000): string {
  const path = join(folder.path, name);
  writeFileSync(path, text);
  age(path, ageMs);
  return path;
}

function age(path: string, ms: number): void {
  const then = new Date(Date.now() - ms);
  utimesSync(path, then, then);
}

describe('the files that something is made of', () => {
  async function afterwards(change: (file: string) => void): Promise<boolean> {
    const sources = new Sources();
    const file = save('a.ts', 'one');
    sources.begin(Date.now());
    sources.add(file);
    change(file);
    return await sources.haveChanged();
  }

  test('have not changed when nothing was done to them', async () => {
    expect(await afterwards(() => {})).toBe(false);
  });

  test.each<[string, (file: string) => void]>([
    ['written', (file) => writeFileSync(file, 'two!')],
    ['written with as many bytes', () => void save('a.ts', 'two', 50_000)],
    ['removed', (file) => rmSync(file)],
    [
      'exchanged for another of the same size and age',
      (file) => {
        const other = `${file}~`;
        writeFileSync(other, 'two');
        renameSync(other, file);
        age(file, 60_000);
      },
    ],
  ])('have changed when one was %s', async (_what, change) => {
    expect(await afterwards(change)).toBe(true);
  });

  test('have changed when one came that was missing, and when a folder did', async () => {
    const sources = new Sources();
    const missing = join(folder.path, 'b.ts');
    sources.begin(Date.now());
    sources.add(missing);
    sources.add(join(folder.path, 'lib'));
    expect(await sources.haveChanged()).toBe(false);

    mkdirSync(join(folder.path, 'lib'));

    expect(await sources.haveChanged()).toBe(true);
  });

  test('have changed when one was written since they were read, and told only then', async () => {
    const sources = new Sources();
    sources.begin(Date.now());
    sources.add(save('a.ts', 'two', 0));
    expect(await sources.haveChanged()).toBe(true);

    sources.begin(Date.now() + 1000);
    sources.add(join(folder.path, 'a.ts'));
    expect(await sources.haveChanged()).toBe(false);
  });
});

const bank = (text: string): string => `
import { read } from 'balsa/procedures';
import { key } from './key.js';
export const balance = read({ handler: (ctx) => ${text} ?? key });
`;

describe('what is deployed', () => {
  let store: MachineStore;
  let file: string;
  let deployer: Deployer;
  const unchecked: string[] = [];
  beforeEach(async () => {
    store = await MachineStore.open();
    save('key.ts', "export const key = 'k';\n");
    file = save('bank.ts', bank('ctx.get(key)'));
    deployer = new Deployer({
      ...{ file, alias: 'prod', types: true, signal: new AbortController().signal },
      nowMs: () => store.h.clock.monotonicMs(),
      sleep: (ms) => store.sleep(ms),
      onUnchecked: (why) => unchecked.push(why),
    });
  });

  async function deploy(): Promise<Outcome> {
    const client = await store.h.until(
      store.connect({
        ...{ endpoints: store.h.cluster.endpoints, timeoutMs: 1000, connectTimeoutMs: 1000 },
        ...{ consistency: 'linearizable', followLeader: true, clientName: 'dev', token: undefined },
      }),
    );
    const outcome = await store.alongside(deployer.deploy(client, deployer.make()));
    await client.close();
    return outcome;
  }
  const isDue = (): Promise<boolean> => store.h.until(deployer.isDue());
  const failure = (outcome: Outcome): string =>
    outcome.type === 'failed' ? `${outcome.error.code}: ${outcome.error.message}` : outcome.type;

  test('is looked after when the file is saved, or one that it imports', async () => {
    expect(await deploy()).toMatchObject({ type: 'deployed', changes: [{ kind: 'new' }] });
    expect(await isDue()).toBe(false);

    save('key.ts', "export const key = 'l';\n", 30_000);
    expect(await isDue()).toBe(true);
    expect(await deploy()).toMatchObject({ type: 'deployed', changes: [{ kind: 'changed' }] });

    save('bank.ts', `${bank('ctx.get(key)')}// Only a remark.\n`, 30_000);
    expect(await isDue()).toBe(true);
    expect(await deploy()).toMatchObject({ type: 'unchanged' });
    expect(await isDue()).toBe(false);
    expect(unchecked).toEqual([]);
  });

  test('stays when the file is wrong, until it is right again', async () => {
    await deploy();

    save('key.ts', 'export const key = ;\n', 30_000);
    expect(await isDue()).toBe(true);
    expect(failure(await deploy())).toMatch(/^FILE_INVALID: \S+key\.ts:1:20: Unexpected ";"$/);
    expect(await isDue()).toBe(false);

    rmSync(join(folder.path, 'key.ts'));
    expect(await isDue()).toBe(true);
    expect(failure(await deploy())).toMatch(/bank\.ts:3:\d+: Could not resolve "\.\/key\.js"$/);

    save('key.ts', "export const key: number = 'k';\n", 30_000);
    expect(await isDue()).toBe(true);
    expect(failure(await deploy())).toMatch(/key\.ts:1:14: .* \(TS2322\)$/);

    rmSync(file);
    expect(await isDue()).toBe(true);
    expect(failure(await deploy())).toMatch(/^FILE_UNREADABLE: \S+bank\.ts: ENOENT/);

    save('bank.ts', bank('ctx.get(key)'), 20_000);
    save('key.ts', "export const key = 'k';\n", 20_000);
    expect(await isDue()).toBe(true);
    expect(await deploy()).toMatchObject({ type: 'unchanged' });
  });

  test('is looked after when types are saved that are only imported as such, or settings', async () => {
    save('types.ts', 'export type Key = string;\n');
    save('tsconfig.json', '{ "compilerOptions": { "strict": true } }');
    save('key.ts', "import type { Key } from './types.js';\nexport const key: Key = 'k';\n");
    expect(await deploy()).toMatchObject({ type: 'deployed' });
    expect(await isDue()).toBe(false);

    save('types.ts', 'export type Key = number;\n', 30_000);
    expect(await isDue()).toBe(true);
    expect(failure(await deploy())).toContain('TS2322');

    save('types.ts', 'export type Key = string;\n', 20_000);
    expect(await deploy()).toMatchObject({ type: 'unchanged' });
    save('tsconfig.json', '{ "compilerOptions": { "strict": "yes" } }', 30_000);
    expect(await isDue()).toBe(true);
    expect(failure(await deploy())).toMatch(/tsconfig\.json/);
  });

  test('waits until nothing is saved any more', async () => {
    await deploy();
    save('key.ts', "export const key = 'l';\n", 30_000);
    const looking = deployer.isDue();
    let isOver = false;
    void looking.then(() => {
      isOver = true;
    });

    for (let i = 0; i < 5; i += 1) {
      // It has looked, and waits; then there is another one.
      await store.alongside(new Promise((next) => setTimeout(next, 60)));
      save('bank.ts', bank(`ctx.get('${i}')`), 29_000 - i);
      expect(isOver).toBe(false);
    }

    expect(await store.alongside(looking)).toBe(true);
  });

  test('is tried again when the cluster was in the way', async () => {
    const { cluster } = store.h;
    const { fate } = cluster;
    cluster.fate = () => new BalsaError('NO_QUORUM', 'not now');
    expect(failure(await deploy())).toMatch(/^NO_QUORUM: /);
    expect(await isDue()).toBe(false);
    cluster.fate = fate;

    await store.sleepFor(2000);

    expect(await isDue()).toBe(true);
    expect(await deploy()).toMatchObject({ type: 'deployed' });
    await store.sleepFor(5000);
    expect(await isDue()).toBe(false);
  });
});

describe('the example of a call', () => {
  const HEAD =
    "import { procedure, read, trigger } from 'balsa/procedures'; import * as z from './z.js';\n";
  const Z =
    "export const schema: any = { '~standard': { version: 1, vendor: 'x', validate: (value: unknown) => ({ value }) } };\n";

  test.each([
    [
      'export const p = procedure({ handler: (ctx, { from, to, by = 1 }: any) => {} });',
      `p '{ "from": …, "to": …, "by": … }'`,
    ],
    [
      'export const p = procedure({ handler: async (ctx, { from: a }: any) => {} });',
      `p '{ "from": … }'`,
    ],
    [
      'export const p = procedure({ args: z.schema, handler: (ctx, { id }: any) => {} });',
      `p '{ "id": … }'`,
    ],
    ['export const p = procedure({ handler: (ctx, args: any) => {} });', `p '{ … }'`],
    ['export const p = procedure({ handler(ctx, { id }: any) {} });', `p '{ … }'`],
    [
      "export const t = trigger({ prefix: 'a/', handler: (ctx, events) => {} });\nexport const p = procedure({ handler: (ctx, x: any) => {} });",
      `p '{ … }'`,
    ],
    ["export const t = trigger({ prefix: 'a/', handler: (ctx, events) => {} });", null],
    [
      'export const p = procedure({ handler: (ctx, { id }: any) => {} });\nexport const all = read({ handler: async (ctx) => 1 });',
      'all',
    ],
    [
      'export const b = procedure({ handler: (ctx, x: any) => {} });\nexport const c = procedure({ handler: (ctx, { id }: any) => {} });',
      `c '{ "id": … }'`,
    ],
  ])('of %s', async (text, expected) => {
    save('z.ts', Z);
    const bundle = await bundleProcedures(save('p.ts', HEAD + text));
    expect(exampleCall(bundle)).toBe(expected);
  });
});
