import { execFile } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type * as bankModule from '../../examples/bank.js';
import type * as indexModule from '../../examples/secondary-index.js';
import type * as shopModule from '../../examples/shop.js';
import { findEntry } from '../../src/cluster/entry.js';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { references } from '../../src/compute/procedures.js';
import {
  balsa,
  balsaHere,
  expectDone,
  expectRefusal,
  type Run,
  Talker,
  temporaryFolder,
} from './support.js';

/** Procedures from the file of their author to the end of their days, by its commands. */

const ROOT = resolve(import.meta.dirname, '../..');
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const execute = promisify(execFile);

let cluster: LocalCluster;
const folder = temporaryFolder();
beforeAll(async () => {
  cluster = await LocalCluster.start();
});
afterAll(async () => {
  await cluster.close();
  folder[Symbol.dispose]();
});

function cli(args: readonly string[], stdin = '', runs = balsaHere): Promise<Run> {
  // The first call of each kind compiles the interpreter: that takes its time on a busy machine.
  return runs(['--endpoints', cluster.endpoints.join(), '--timeout', '30s', ...args], stdin);
}

async function done(args: readonly string[], stdin = ''): Promise<string> {
  return expectDone(args, await cli(args, stdin)).stdout;
}

async function json<T = Record<string, unknown>>(args: readonly string[]): Promise<T> {
  return JSON.parse(await done([...args, '-o', 'json'])) as T;
}

interface Deployed {
  readonly hash: string;
  readonly deployed: boolean;
  readonly procedures: readonly { readonly name: string; readonly kind: string }[];
}

const COUNTER = `import { procedure, read } from 'balsa/procedures';
import { STEP } from './step.js';
const KEY = 'counter';
export const count = procedure({
  handler: (ctx, { times }: { times: number }) => {
    if (times < 1) ctx.abort('at least once');
    const now = (ctx.get<number>(KEY) ?? 0) + STEP * times;
    ctx.put(KEY, now);
    ctx.log('counted to', now);
    return { now };
  },
});
export const look = read({ handler: (ctx) => ctx.get<number>(KEY) });
`;

describe('procedures by the command line', () => {
  const file = join(folder.path, 'counter.ts');
  const step = join(folder.path, 'step.ts');
  const kindsOf = ({ procedures }: Deployed): string[] =>
    procedures.map(({ name, kind }) => `${name} ${kind}`);
  let first: Deployed;
  let second: Deployed;

  test('are deployed, and called', async () => {
    writeFileSync(file, COUNTER);
    writeFileSync(step, 'export const STEP = 1;\n');
    const planned = await json<Deployed>(['deploy', file, '--dry-run']);
    expect({ ...planned, kinds: kindsOf(planned) }).toMatchObject({
      deployed: false,
      kinds: ['count new', 'look new'],
    });
    expect((await cli(['proc', 'call', 'look'])).code).toBe(3);

    first = await json<Deployed>(['deploy', file]);

    expect(first).toMatchObject({ deployed: true, hash: planned.hash });
    const called = await cli(['proc', 'call', 'count', '{ "times": 2 }']);
    expect(called).toEqual({ code: 0, stdout: '{"now":2}\n', stderr: 'counted to 2\n' });
    expect(await done(['proc', 'call', 'look', '--consistency', 'linearizable'])).toBe('2\n');
    expect(await done(['proc', 'list'])).toMatch(/\ncount\tprod\tcp\t[0-9a-f]{64}\t\S+Z\t1\t-\n/);
  });

  test('count once under a key, run at any replica, and read at any', async () => {
    const call = ['proc', 'call', 'count', '-', '--key', 'once'];
    const args = '{ "times": 1 }';
    const runs = await Promise.all([cli(call, args, balsa), cli(call, args, balsa)]);
    expect(runs.map(({ stdout }) => stdout)).toEqual(['{"now":3}\n', '{"now":3}\n']);
    expect(await json(['proc', 'call', 'count', '{"times":1}', '--key', 'once'])).toMatchObject({
      ...{ repeated: true, result: { now: 3 }, hash: '' },
    });
    expectRefusal(await cli(['proc', 'call', 'count', '{"times":2}', '--key', 'once']), {
      ...{ exit: 1, code: 'CALL_KEY_REUSED' },
    });
    expect(await done(['proc', 'call', 'count', '{"times":1}', '--route', 'any'])).toBe(
      '{"now":4}\n',
    );
    const { meta } = await json(['proc', 'call', 'look']);
    const { token } = meta as { token: string };
    for (const endpoint of cluster.endpoints) {
      const args = ['proc', 'call', 'look', '--token', token, '--consistency', 'session'];
      const read = await balsaHere([...args, '--endpoints', endpoint, '--timeout', '30s']);
      expect(read).toMatchObject({ code: 0, stdout: '4\n' });
    }
  });

  test('fail with the exit codes that are there', async () => {
    const aborted = await cli(['proc', 'call', 'count', '{ "times": 0 }']);
    expectRefusal(aborted, { exit: 4, code: 'PROCEDURE_ABORTED: at least once' });
    expect((await cli(['proc', 'call', 'count'])).stderr).toMatch(
      /^error PROCEDURE_FAILED: the procedure threw TypeError: .*\n {4}at handler \(procedures\.js/,
    );
    const level = await cli(['proc', 'call', 'count', '{"times":1}', '--consistency', 'any']);
    expectRefusal(level, { exit: 2, code: 'INVALID_ARGUMENT' });
    expectRefusal(await cli(['proc', 'call', 'count', '{"times":1']), {
      exit: 2,
      code: 'line 1, column 11: a comma or } is expected, found the end',
    });
    expectRefusal(await cli(['proc', 'call', 'cuont']), { exit: 3, code: 'PROCEDURE_NOT_FOUND' });
  });

  test('are changed: what was deployed stays when the new file is wrong', async () => {
    writeFileSync(step, "export const STEP: number = 'ten';\n");
    const wrong = await cli(['deploy', file]);
    expectRefusal(wrong, { exit: 1, code: `${step}:1:14: Type 'string' is not assignable` });
    writeFileSync(step, 'export const STEP = ten ten;\n');
    expectRefusal(await cli(['deploy', file]), { exit: 1, code: `${step}:1:25: Expected ";"` });
    expect(await done(['proc', 'call', 'look'])).toBe('4\n');

    writeFileSync(step, 'export const STEP = 10;\n');
    second = await json<Deployed>(['deploy', file]);

    expect(kindsOf(second)).toEqual(['count changed', 'look changed']);
    expect(await done(['proc', 'call', 'count', '{"times":1}'])).toBe('{"now":14}\n');
    const again = await json<Deployed>(['deploy', file]);
    expect({ ...again, kinds: kindsOf(again) }).toMatchObject({
      ...{ deployed: false, hash: second.hash, kinds: ['count unchanged', 'look unchanged'] },
    });
    expect(await json(['proc', 'show', 'count'])).toMatchObject({
      versions: [
        { hash: second.hash, current: true },
        { hash: first.hash, current: false },
      ],
    });
  });

  test('are rolled back, and called by the hash of their code', async () => {
    expect(await json(['proc', 'rollback', 'count'])).toMatchObject({
      ...{ from: second.hash, to: first.hash, changed: true },
    });
    expect(await done(['proc', 'call', 'count', '{"times":1}'])).toBe('{"now":15}\n');
    // The code is still there, under its own name.
    const byHash = `count@${second.hash.slice(0, 12)}`;
    expect(await done(['proc', 'call', byHash, '{"times":1}'])).toBe('{"now":25}\n');
    expect(await done(['proc', 'rollback', 'count', '--to', second.hash.slice(0, 8)])).toBe(
      `${second.hash}\n`,
    );
    expectRefusal(await cli(['proc', 'rollback', 'count', '--to', '0000']), {
      ...{ exit: 3, code: 'has never stood for 0000' },
    });
  });

  test('have an alias for each who wants one', async () => {
    await done(['deploy', file, '--alias', 'staging']);
    expect(await done(['proc', 'call', 'count@staging', '{"times":1}'])).toBe('{"now":35}\n');
    await done(['proc', 'remove', 'count@staging']);
    expect((await cli(['proc', 'call', 'count@staging', '{"times":1}'])).code).toBe(3);
    expect(await done(['proc', 'call', 'look@staging'])).toBe('35\n');
  });

  test('leave lines and figures at the replicas, which are put together', async () => {
    const lines = (await done(['proc', 'logs', 'count@prod', '-o', 'json'])).trimEnd().split('\n');
    const logs = lines.map((line) => JSON.parse(line) as { timeMs: number; line: string });
    expect(logs.map(({ line }) => line)).toEqual(
      expect.arrayContaining(['counted to 2', 'counted to 14', 'PROCEDURE_ABORTED: at least once']),
    );
    expect(logs).toEqual([...logs].sort((a, b) => a.timeMs - b.timeMs));

    const entry = ['--endpoints', cluster.endpoints[0] ?? '', 'proc', 'logs', 'count', '-f'];
    await using following = new Talker(process.execPath, [findEntry(), ...entry, '--limit', '1']);
    await following.says(/\n/);
    await done(['proc', 'call', 'count', '{"times":1}']);
    await following.says(/\tcount\tlog\tcounted to 45\n/);
    following.child.kill('SIGINT');
    expect(await following.ends()).toBe(130);
    expect(following.stdout.trimEnd().split('\n')).toHaveLength(2);

    const stats = (await done(['proc', 'stats', '-o', 'json'])).trimEnd().split('\n');
    const figures = stats.map((each) => JSON.parse(each) as { procedure: string; calls: number });
    const { calls } = figures.find(({ procedure }) => procedure === 'count@prod') ?? { calls: 0 };
    expect(calls).toBeGreaterThanOrEqual(7);
    expect(await done(['proc', 'stats', 'look', '--per-replica'])).toMatch(/\nlook@prod\tn[123]\t/);
  });

  test('have their lines, too, where a replica is down', async () => {
    const leader = await cluster.leader();
    const follower = cluster.replicas.find(({ name }) => name !== leader)?.name ?? '';
    await cluster.kill(follower);

    const { code, stdout, stderr } = await cli(['proc', 'logs', '--limit', '1']);

    expect({ code, lines: stdout.split('\n').length }).toEqual({ code: 0, lines: 2 });
    expect(stderr).toContain(`${follower}: UNREACHABLE`);
    await cluster.start(follower);
  });

  test('are removed', async () => {
    await done(['proc', 'remove', 'count']);
    expectRefusal(await cli(['proc', 'call', 'count', '{"times":1}']), {
      ...{ exit: 3, code: 'PROCEDURE_NOT_FOUND' },
    });
    expectRefusal(await cli(['proc', 'remove', 'count']), {
      ...{ exit: 3, code: 'PROCEDURE_NOT_FOUND' },
    });
    const stays = await json<Deployed>(['deploy', file]);
    expect(kindsOf(stays)).toEqual(['count new', 'look unchanged']);
  });
});

/** Runs lines of the README as they stand there. */
async function runShown(lines: RegExp): Promise<string[]> {
  const outputs: string[] = [];
  for (const [, line] of README.matchAll(lines)) {
    const command = `"${process.execPath}" "${findEntry()}" --timeout 30s ${line}`;
    const env = { ...process.env, BALSA_ENDPOINTS: cluster.endpoints.join() };
    outputs.push((await execute('sh', ['-c', command], { env })).stdout);
  }
  return outputs;
}

describe('the examples', () => {
  test('a bank keeps what it has, however many move it', async () => {
    await done(['deploy', 'examples/bank.ts']);
    expect(await runShown(/^ {4}npx balsa (proc call (?:open|balance) .*)$/gm)).toEqual([
      '{"account":"ada","balance":100}\n',
      '{"account":"bob","balance":100}\n',
      '100\n',
    ]);
    await using db = await cluster.connect({ timeoutMs: 30_000 });
    const bank = references<typeof bankModule>();
    await db.call(bank.open, { account: 'cleo', amount: 100 });
    await expect(db.call(bank.open, { account: 'ada' })).rejects.toMatchObject({
      code: 'PROCEDURE_ABORTED',
    });

    const names = ['ada', 'bob', 'cleo'];
    const transfers = Array.from({ length: 60 }, (_, i) => {
      const [from = '', to = ''] = [names[i % 3], names[(i + 1 + (i % 2)) % 3]];
      return db.call(bank.transfer, { from, to, amount: 7 * (i % 9) }).then(
        () => 'done',
        (error: { code: string }) => error.code,
      );
    });

    expect(new Set(await Promise.all(transfers))).toEqual(new Set(['done', 'PROCEDURE_ABORTED']));
    expect((await db.call(bank.total)).result).toBe(300);
    const { result: left } = await db.call(
      bank.balance,
      { account: 'ada' },
      { consistency: 'session' },
    );
    expect(left).toBeGreaterThanOrEqual(0);
    expect((await db.call(bank.balance, { account: 'nobody' })).result).toBe(null);
    for (const [args, message] of [
      [{ from: 'ada', to: 'nobody', amount: 1 }, 'there is no account of nobody'],
      [{ from: 'ada', to: 'bob', amount: 1.5 }, '1.5 is no amount'],
      [{ from: 'ada', to: 'ada', amount: 1 }, 'from one account to the same one'],
      [{ from: 'ada', to: 'bob', amount: 1000 }, 'which is less than 1000'],
    ] as const) {
      await expect(db.call(bank.transfer, args)).rejects.toThrow(message);
    }
    const events = await db.count({ prefix: '_events/transferred/' });
    expect(events.count).toBeGreaterThan(0);
  });

  test('a shop sells on at whichever replica is asked, and no more than it has', async () => {
    await done(['deploy', 'examples/shop.ts']);
    expect(await done(['proc', 'list'])).toMatch(/\nbuy\tprod\tap\t/);
    await using db = await cluster.connect({ timeoutMs: 30_000 });
    const shop = references<typeof shopModule>();
    const local = { consistency: 'ap-local' } as const;
    // By a client that stays: others ask elsewhere when a cold replica says nothing for a second, and are told that it is known.
    await using stays = await cluster.connectTo(await cluster.leader(), { timeoutMs: 30_000 });
    const first = await stays.call(shop.restock, { item: 'tea', by: 12 }, local);
    expect(first).toMatchObject({ result: null, repeated: false, meta: { level: 'ap-local' } });
    await expect(db.call(shop.restock, { item: 'tea', by: 0 }, local)).rejects.toMatchObject({
      ...{ code: 'PROCEDURE_ABORTED', outcome: 'not-applied' },
    });
    await waitUntil('the stock to be merged', async () =>
      (await db.call(shop.stock, 'tea')).result === 12 ? true : undefined,
    );

    const sold: boolean[] = [];
    for (const { name } of cluster.replicas) {
      await using one = await cluster.connectTo(name, { timeoutMs: 30_000 });
      const calls = Array.from({ length: 8 }, () => one.call(shop.buy, 'tea', local));
      sold.push(...(await Promise.all(calls)).map(({ result }) => result));
      await one.call(shop.view, `page of ${name}`, local);
    }
    const count = sold.filter(Boolean).length;
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThanOrEqual(12);
    await waitUntil('all to be merged', async () =>
      (await db.call(shop.bought)).result.length === count ? true : undefined,
    );
    expect((await db.call(shop.stock, 'tea')).result).toBe(12 - count);
    await waitUntil('all pages', async () =>
      (await db.call(shop.pages)).result.length === 3 ? true : undefined,
    );
    expect(await runShown(/^ {4}npx balsa (proc call view .*)$/gm)).toEqual(['1\n']);
    const again = await json(['proc', 'call', 'view', '"home"', '--consistency', 'ap-local']);
    expect(again).toMatchObject({ pending: expect.any(Boolean), meta: { level: 'ap-local' } });
    const statuses = (await done(['status', '-o', 'json'])).trimEnd().split('\n');
    expect(statuses.map((line) => JSON.parse(line) as unknown)).toMatchObject(
      Array(3).fill({ ap: { origin: expect.stringMatching(/^[0-9a-f]{16}$/), refusal: null } }),
    );
  });

  test('users are found by city and by e-mail address, as they are now', async () => {
    await done(['deploy', 'examples/secondary-index.ts']);
    await using db = await cluster.connect({ timeoutMs: 30_000 });
    const users = references<typeof indexModule>();
    const user = (id: string, city: string) => ({
      ...{ id, name: `User ${id}`, city, email: `User${id}@example.org` },
    });
    const inCity = async (city: string, more: { limit?: number; after?: string } = {}) =>
      (await db.call(users.usersByCity, { city, ...more })).result.map(({ id }) => id);

    await Promise.all(
      ['1', '2', '3', '11', 'a/b', 'ö ~'].map((id) => db.call(users.saveUser, user(id, 'London'))),
    );
    await db.call(users.saveUser, user('4', 'London/Ontario'));

    expect(await inCity('London')).toEqual(['ö ~', '1', '11', '2', '3', 'a/b']);
    expect(await inCity('London', { limit: 2 })).toEqual(['ö ~', '1']);
    expect(await inCity('London', { limit: 2, after: '1' })).toEqual(['11', '2']);
    expect(await inCity('London', { after: 'ö ~' })).toEqual(['1', '11', '2', '3', 'a/b']);
    expect(await inCity('London/Ontario')).toEqual(['4']);
    expect(await inCity('Lon')).toEqual([]);

    await expect(
      db.call(users.saveUser, { ...user('5', 'Paris'), email: 'USER1@example.org' }),
    ).rejects.toThrow('that of user 1');
    expect((await db.call(users.saveUser, user('1', 'Paris'))).result).toEqual({ isNew: false });
    expect(await inCity('London', { limit: 2 })).toEqual(['ö ~', '11']);
    expect(await inCity('Paris')).toEqual(['1']);
    const byEmail = await db.call(users.userByEmail, { email: 'user1@EXAMPLE.org' });
    expect(byEmail.result).toMatchObject({ id: '1', city: 'Paris' });

    expect((await db.call(users.removeUser, { id: '1' })).result).toEqual({ removed: true });
    expect((await db.call(users.removeUser, { id: '1' })).result).toEqual({ removed: false });
    expect(await inCity('Paris')).toEqual([]);
    const gone = await db.call(users.userByEmail, { email: 'user1@example.org' });
    expect(gone.result).toBe(null);
  });
});

describe('a project of a user', () => {
  // Inside the package, so that `balsa` and `balsa/procedures` mean this one, as it is published.
  const project = mkdtempSync(join(ROOT, '.readme-'));
  afterAll(() => rmSync(project, { recursive: true }));

  test('has its calls checked, and calls', async () => {
    const client = `import { connect } from 'balsa';
import { references } from 'balsa/procedures';
const counter = references<typeof import('./counter.js')>({ alias: 'project' });
await using db = await connect({ endpoints: (process.env.ENDPOINTS ?? '').split(','), timeoutMs: 30_000 });
const { result } = await db.call(counter.count, { times: 3 });
const now: number = result.now;
const { result: seen } = await db.call(counter.look, null, { consistency: 'session' });
console.log(now === seen);
// @ts-expect-error: a number
if (now < 0) await db.call(counter.count, { times: '3' });
`;
    writeFileSync(join(project, 'client.ts'), client);
    writeFileSync(join(project, 'counter.ts'), COUNTER.replace("'counter'", "'of the project'"));
    writeFileSync(join(project, 'step.ts'), 'export const STEP = 1;\n');
    const settings = { extends: '../tsconfig.json', compilerOptions: { paths: {} } };
    const files = { include: ['*.ts'] };
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ ...settings, ...files }));

    await done(['deploy', join(project, 'counter.ts'), '--alias', 'project']);
    await execute('node_modules/.bin/tsc', ['-p', project], { cwd: ROOT });
    const { stdout } = await execute('node_modules/.bin/tsx', [join(project, 'client.ts')], {
      cwd: ROOT,
      env: { ...process.env, ENDPOINTS: cluster.endpoints.join() },
    });

    expect(stdout).toBe('true\n');
  });

  test('without TypeScript anywhere is deployed, and that is said', async () => {
    using elsewhere = temporaryFolder();
    // This package without what only its developers have.
    const installed = join(elsewhere.path, 'balsa');
    cpSync(join(ROOT, 'dist'), join(installed, 'dist'), { recursive: true });
    cpSync(join(ROOT, 'package.json'), join(installed, 'package.json'));
    const modules = join(ROOT, 'node_modules');
    mkdirSync(join(installed, 'node_modules'));
    for (const name of readdirSync(modules)) {
      if (name === 'typescript' || name.startsWith('.')) continue;
      symlinkSync(join(modules, name), join(installed, 'node_modules', name));
    }
    writeFileSync(join(elsewhere.path, 'counter.ts'), COUNTER.replace('times < 1', "times < '1'"));
    writeFileSync(join(elsewhere.path, 'step.ts'), 'export const STEP = 1;\n');

    const { stderr } = await execute(
      process.execPath,
      [
        ...[join(installed, 'dist/cli/main.js'), '--endpoints', cluster.endpoints.join()],
        ...['deploy', 'counter.ts', '--dry-run'],
      ],
      { cwd: elsewhere.path },
    );

    expect(stderr).toMatch(
      /^types are not checked: there is no TypeScript here \(npm install -D typescript\)\nnothing was written/,
    );
  });
});
