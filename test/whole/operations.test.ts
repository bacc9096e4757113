import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect } from '../../src/client/client.js';
import type { Client } from '../../src/client/kv-client.js';
import { findEntry } from '../../src/cluster/entry.js';
import { freePorts } from '../../src/cluster/free-ports.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { VERSION } from '../../src/server/version.js';
import { balsa, balsaHere, expectDone, type Run, temporaryFolder } from './support.js';

/** Runs every line of docs/operations.md that begins with `balsa`, in order, against real replicas. */
const ROOT = resolve(import.meta.dirname, '../..');
const DOC = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8');
const LINES = [...DOC.matchAll(/^ {4}(balsa .*)$/gm)].map((match) => match[1] as string);

const folder = temporaryFolder();
const replicas = new Map<string, ChildProcess>();
let ports: number[] = [];
let at = 0;

beforeAll(async () => {
  ports = await freePorts(9);
});
afterAll(() => {
  for (const child of replicas.values()) child.kill('SIGKILL');
  folder[Symbol.dispose]();
});

function addressOf(n: number): string {
  return `127.0.0.1:${ports[n - 1]}`;
}

/** The words behind `balsa`, with places of this machine. */
function wordsOf(line: string): string[] {
  return line
    .replace(/10\.0\.0\.(\d):7001/g, (_, n: string) => addressOf(Number(n)))
    .replaceAll('/var/lib/balsa', folder.path)
    .replace('/etc/balsa/', `${join(ROOT, 'deploy')}/`)
    .replace(/\S+\.snap/g, (name) => join(folder.path, name))
    .replaceAll("'", '')
    .split(' ')
    .slice(1);
}

/** The next line of the document, which must be this one. */
function nextLine(start: string): string {
  const line = LINES[at] ?? '(the end)';
  at += 1;
  expect(line.slice(0, start.length + 6)).toBe(`balsa ${start}`);
  return line;
}

async function runNext(start: string, endpoints: readonly number[] = [1, 2, 3]): Promise<Run> {
  const words = wordsOf(nextLine(start));
  // What runs something, and one more, in processes of their own.
  const runs = /^(?:lock|status)/.test(start) ? balsa : balsaHere;
  // In front: what stands behind -- is not ours.
  return await runs(['--endpoints', endpoints.map(addressOf).join(), ...words]);
}

async function runDone(start: string, endpoints?: readonly number[]): Promise<Run> {
  return expectDone(start, await runNext(start, endpoints));
}

/** Runs a line that starts a replica, and waits until it is ready. */
async function startNext(name: string): Promise<string> {
  const words = wordsOf(nextLine(`start --name ${name} `));
  const child = spawn(process.execPath, [findEntry(), ...words, '--log-level', 'silent'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  replicas.set(name, child);
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  await waitUntil(`${name} to be ready`, async () => {
    if (child.exitCode !== null) throw new Error(`${name} has ended: ${said}`);
    // One that joins says what is next, one that has joined that it is a member.
    return /next: |is ready at .*(?: members |let it in again)/.test(said) ? true : undefined;
  });
  return said;
}

async function stop(name: string, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  replicas.get(name)?.kill(signal);
  await ended(name);
}

async function ended(name: string): Promise<number | null> {
  const child = replicas.get(name);
  if (child === undefined) throw new Error(`${name} runs`);
  return await waitUntil(`${name} to end`, async () =>
    child.exitCode === null && child.signalCode === null ? undefined : child.exitCode,
  );
}

/** What is no line of the document is asked for without a process of its own. */
async function ask<T>(n: number, call: (db: Client) => Promise<T>): Promise<T> {
  await using db = await connect({ endpoints: [addressOf(n)], timeoutMs: 30_000 });
  return await call(db);
}

async function put(key: string, value: string, n = 1): Promise<void> {
  await ask(n, (db) => db.put(key, value));
}

async function get(key: string, n: number): Promise<string> {
  return await ask(n, async (db) => (await db.get(key)).value?.toString() ?? '');
}

/** A linearizable read waits for one. */
async function leaderAt(n: number): Promise<void> {
  await get('any', n);
}

async function callOf(procedure: string, args: object): Promise<void> {
  await ask(1, (db) => db.call(procedure, args, { consistency: 'ap-local' }));
  await waitUntil('it to be merged', async () => {
    const { ap } = await ask(1, (db) => db.status());
    return ap?.pending === 0 ? true : undefined;
  });
}

async function members(): Promise<string> {
  const { members: found } = (await ask(1, (db) => db.cluster.members())).members;
  return found
    .map(({ name, role }) => (role === 'voter' ? name : `(${name})`))
    .sort()
    .join(' ');
}

/** Flips a bit in the middle of what the log holds. */
function damageLog(name: string): void {
  const wal = join(folder.path, name, 'wal');
  const file = join(wal, readdirSync(wal).sort()[0] ?? '');
  const bytes = readFileSync(file);
  const position = bytes.indexOf('first value');
  expect(position).toBeGreaterThan(0);
  bytes[position] = 0x21;
  writeFileSync(file, bytes);
}

test('every line of docs/operations.md does what the document says', async () => {
  // The first two are of a cluster that is there already.
  const statusAndMembers = LINES.slice(0, 2);
  at = 2;
  await startNext('n1');
  await leaderAt(1);
  await put('a', 'first value');
  at = 0;
  expect(statusAndMembers).toHaveLength(2);
  expect((await runDone('status', [1])).stdout).toContain('leader');
  expect((await runDone('cluster members', [1])).stdout).toContain('leads');
  at = 3;

  // Grow
  expect(await startNext('n2')).toContain('next: balsa cluster add n2');
  expect((await runDone('cluster add n2')).stderr).toContain('n2 has a vote');
  await startNext('n3');
  await runDone('cluster add n3');
  await startNext('n4');
  await runDone('cluster add n4');
  expect(await members()).toBe('(n4) n1 n2 n3');
  const behind = at;
  await waitUntil('n4 to have caught up, and its vote', async () => {
    at = behind;
    const { code, stderr } = await runNext('cluster promote n4');
    if (code !== 5) expect([code, stderr]).toEqual([0, expect.any(String)]);
    return code === 0 ? true : undefined;
  });
  expect(await members()).toBe('n1 n2 n3 n4');

  // Shrink
  await runDone('cluster demote n4');
  await runDone('cluster remove n4');
  expect(await ended('n4')).toBe(1);

  // Hand the leadership over
  expect((await runDone('cluster transfer n2')).stdout).toBe('n2\n');
  expect((await runDone('cluster transfer')).stdout).toMatch(/^n[13]\n$/);

  // History and space
  await runDone('settings set historyMs');
  expect((await runDone('settings get')).stdout).toContain('historyMs\t3600000\n');
  expect((await runDone('compact')).stdout).toMatch(/^revisions kept\t\d+\t1$/m);
  await runDone('settings set spaceQuotaBytes');
  expect((await runDone('info')).stdout).toContain(`spaceQuotaBytes\t${8 * 1024 ** 3}\n`);

  // Namespaces
  await runDone('namespace set shop');
  await runDone('--namespace shop put');
  expect((await runDone('--namespace shop range')).stdout).toBe('item/1\tapple\n');
  expect((await runDone('namespace list')).stdout).toContain('shop\tshop/\t1\t');
  await runDone('namespace remove');

  // Leases
  expect((await runDone('lease grant')).stdout).toBe('77\n');
  await runDone('put worker/7');
  expect((await runDone('lease show')).stdout).toContain('worker/7\n');
  expect((await runDone('lease list')).stdout).toContain('\n77\t60000\t');
  await runDone('lease revoke');
  expect(await get('worker/7', 1)).toBe('');
  expect((await runDone('lock nightly')).stdout).toBe('done\n');

  // Replace
  await stop('n3', 'SIGKILL');
  await startNext('n5');
  expect((await runDone('cluster replace n3 n5')).stderr).toContain('replaced n3 by n5');
  expect(await members()).toBe('n1 n2 n5');

  // Move
  await stop('n5');
  expect(await startNext('n5')).not.toContain('next: ');
  await runDone('cluster add n5');
  const { members: moved } = (await ask(1, (db) => db.cluster.members())).members;
  expect(moved.find(({ name }) => name === 'n5')).toMatchObject({
    ...{ address: addressOf(8), role: 'voter' },
  });
  // It is reached there: alone with n1 it is a majority.
  await stop('n2');
  await put('moved', 'yes');

  // Repair
  damageLog('n2');
  const verified = await runNext('wal verify');
  expect(verified).toMatchObject({ code: 1 });
  expect(verified.stdout).toContain(join(folder.path, 'n2', 'wal'));
  // It reads on behind the damage.
  expect((await runNext('wal inspect')).stdout).toContain('configuration');
  await startNext('n2');
  await waitUntil('n2 to be a voter again', async () =>
    (await members()) === 'n1 n2 n5' && (await get('a', 2)) === 'first value' ? true : undefined,
  );
  expect(readdirSync(join(folder.path, 'n2')).join()).toContain('damaged-');

  // Rights of escrow counters
  const shop = ['--endpoints', addressOf(1), 'deploy', join(ROOT, 'examples/shop.ts')];
  expect((await balsaHere(shop)).code).toBe(0);
  await callOf('restock', { item: 'tea', by: 7 });
  expect(JSON.parse((await runDone('get _cells/stock/tea')).stdout)).toMatchObject({ value: '7' });
  await runDone('del _cells/stock/tea');
  await runDone('proc call restock');
  await waitUntil('what was added', async () =>
    (await get('_cells/stock/tea', 1)).includes('"value":"7"') ? true : undefined,
  );

  // Upgrade
  await runDone('snapshot save before');
  await runDone('cluster transfer');
  const rows = (await runDone('status')).stdout
    .trim()
    .split('\n')
    .map((row) => JSON.parse(row));
  expect(rows.map(({ version, lag }) => [version, lag])).toEqual(
    rows.map(() => [VERSION, expect.any(Number)]),
  );

  // Back up and restore
  await runDone('snapshot save');
  expect((await runDone('snapshot inspect')).stderr).toContain('every checksum is right');
  await runDone('snapshot restore');
  await startNext('n9');
  await leaderAt(9);
  expect(await get('a', 9)).toBe('first value');
  const inOne = { consistency: 'ap-local' } as const;
  // What is left is that of disks of the old cluster.
  expect((await ask(9, (db) => db.call('stock', 'tea', inOne))).result).toBe(7);
  expect((await ask(9, (db) => db.call('buy', 'tea', inOne))).result).toBe(false);

  // When the majority is lost for good
  await put('b', 'second value');
  await stop('n1');
  await stop('n2', 'SIGKILL');
  await stop('n5', 'SIGKILL');
  const plan = await runNext('recover');
  expect(plan).toMatchObject({ code: 2 });
  expect(plan.stderr).toContain('What may be lost');
  await runDone('recover');
  await startNext('n1');
  await leaderAt(1);
  expect(await get('b', 1)).toBe('second value');
  await runDone('snapshot save', [1]);
  await startNext('n6');
  await runDone('cluster add n6', [1]);

  // In scripts
  const { stdout } = await runDone('cluster members', [1]);
  const { index } = JSON.parse(stdout) as { index: number };
  const line = nextLine('cluster remove n6').replace('INDEX', String(index));
  const stale = line.replace(String(index), String(index - 1));
  const endpoints = ['--endpoints', addressOf(1)];
  expect((await balsaHere([...wordsOf(stale), ...endpoints])).code).toBe(4);
  expect((await balsaHere([...wordsOf(line), ...endpoints])).code).toBe(0);
  expect(await members()).toBe('n1');

  // The configuration
  expect((await runDone('start --config', [1])).stdout).toMatch(
    /^dataFolder\t\/var\/lib\/balsa\/n1\t.*\/deploy\/balsa\.json$/m,
  );
  expect(at).toBe(LINES.length);
  // So many processes, one after the other, on a machine that may have other work.
}, 600_000);
