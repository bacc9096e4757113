import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Client } from '../../src/client/kv-client.js';
import { findEntry } from '../../src/cluster/entry.js';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { balsa, balsaHere, expectDone, type Run, temporaryFolder } from './support.js';

/** Every command of the store against real replicas, and those as processes that processes are different for. */

let cluster: LocalCluster;
let db: Client;
const folder = temporaryFolder();
beforeAll(async () => {
  cluster = await LocalCluster.start();
  db = await cluster.connect({ timeoutMs: 20_000 });
});
afterAll(async () => {
  await db.close();
  await cluster.close();
  folder[Symbol.dispose]();
});

function cli(args: readonly string[], stdin = '', runs = balsaHere): Promise<Run> {
  return runs(['--endpoints', cluster.endpoints.join(), ...args], stdin);
}

async function done(args: readonly string[], stdin = ''): Promise<string> {
  return expectDone(args, await cli(args, stdin)).stdout;
}

async function json(args: readonly string[]): Promise<Record<string, unknown>> {
  return JSON.parse(await done([...args, '-o', 'json'])) as Record<string, unknown>;
}

/** A command that goes on until it is ended. */
class Running {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  readonly #closed: Promise<unknown[]>;

  constructor(args: readonly string[]) {
    const words = ['--endpoints', cluster.endpoints.join(), ...args];
    this.child = spawn(process.execPath, [findEntry(), ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
    });
    this.#closed = once(this.child, 'close');
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.stdout += chunk.toString();
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
  }

  async says(text: string): Promise<void> {
    await waitUntil(`${text} of ${this.child.spawnargs.join(' ')}`, async () =>
      this.stdout.includes(text) || this.stderr.includes(text) ? true : undefined,
    );
  }

  async interrupt(): Promise<unknown> {
    this.child.kill('SIGINT');
    return await this.ended();
  }

  async ended(): Promise<unknown> {
    const [code] = await this.#closed;
    return code;
  }
}

describe('the commands of the store', () => {
  test('put, get, del and cas, with their exit codes', async () => {
    await done(['put', 'kv/a', 'one']);
    expect(await done(['put', 'kv/a', 'two', '--prev'])).toBe('one');
    expect((await cli(['put', 'kv/a', 'x', '--if-version', '1'])).code).toBe(4);
    expect((await cli(['put', 'kv/a', 'x', '--if-absent'])).code).toBe(4);
    await done(['put', 'kv/a', 'three', '--if-value', 'two']);
    const { modRevision, meta } = await json(['get', 'kv/a']);
    const { token } = meta as { token: string };
    expect(await done(['get', 'kv/a', '--rev', String(Number(modRevision) - 1)])).toBe('two');
    for (const level of ['linearizable', `session:${token}`, 'bounded:30s', 'any', 'ap-local']) {
      const read = await cli(['get', 'kv/a', '--consistency', level]);
      expect({ level, code: read.code }).toEqual({ level, code: 0 });
    }
    // What the token stands for is seen at each replica.
    for (const endpoint of cluster.endpoints) {
      const session = ['--token', token, '--consistency', 'session', '--endpoints', endpoint];
      const read = await balsaHere(['get', 'kv/a', ...session]);
      expect(read).toMatchObject({ code: 0, stdout: 'three' });
    }
    await done(['del', 'kv/a', '--if-mod-revision', String(modRevision)]);
    expect((await cli(['get', 'kv/a'], '', balsa)).code).toBe(3);
    expect((await cli(['del', 'kv/a'])).code).toBe(3);
  });

  test('range in a pipe, count, and del of a prefix', async () => {
    for (const n of [3, 1, 2]) await db.put(`r/${n}`, `v${n}`);
    expect(await done(['range', 'r/'])).toBe('r/1\tv1\nr/2\tv2\nr/3\tv3\n');
    const sorted = ['range', 'r/', '--sort-by', 'createRevision', '--limit', '2', '--keys-only'];
    expect(await done(sorted)).toBe('r/3\nr/1\n');
    const entry = `"${process.execPath}" "${findEntry()}" --endpoints ${cluster.endpoints.join()}`;
    const piped = spawn('sh', ['-c', `${entry} range r/ | head -n 1`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let first = '';
    piped.stdout.on('data', (chunk: Buffer) => {
      first += chunk.toString();
    });
    await once(piped, 'close');
    expect(first).toBe('r/1\tv1\n');
    expect(await done(['count', 'r/'])).toBe('3\n');
    expect(await json(['del', '--prefix', 'r/'])).toMatchObject({ deleted: 3 });
  });

  test('txn from stdin and from a file: 0 when its conditions hold, 4 when not', async () => {
    const path = join(folder.path, 'txn');
    writeFileSync(path, 'absent("t/lock")\n\nput t/lock mine\nput t/n 1\n\nget t/lock\n');
    expect(await done(['txn', path])).toBe('SUCCESS\nOK\nOK\n');
    const again = await cli(['txn'], readFileSync(path, 'utf8'), balsa);
    expect(again).toMatchObject({ code: 4, stdout: 'FAILURE\nt/lock\tmine\n' });
    const { modRevision } = await json(['get', 't/lock']);
    expect(await json(['get', 't/n'])).toMatchObject({ modRevision });
    expect((await cli(['txn'], 'nonsense')).code).toBe(2);
  });

  test('watch prints events with what was there before, filters, and ends with 130', async () => {
    const put = await db.put('w/a', 'one');
    const watch = new Running(['watch', '--prefix', 'w/', '--rev', String(put.revision), '--prev']);
    const deletes = new Running(['watch', 'w/a', '--only', 'deletes', '-o', 'json', '--prev']);
    await deletes.says('watching from');
    await db.put('w/a', 'two');
    await db.delete('w/a');
    await watch.says('delete\tw/a\ttwo\n');
    await deletes.says('\n');
    await deletes.says('"delete"');
    expect(watch.stdout).toBe('put\tw/a\tone\t\nput\tw/a\ttwo\tone\ndelete\tw/a\ttwo\n');
    expect(JSON.parse(deletes.stdout)).toMatchObject({
      type: 'delete',
      previous: { value: 'two' },
    });
    expect(await watch.interrupt()).toBe(130);
    expect(watch.stderr).toContain('interrupted\n');
    expect(await deletes.interrupt()).toBe(130);
  });

  test('watch runs a command for each event, also across the loss of the leader', async () => {
    const script = 'echo "$BALSA_EVENT_TYPE $BALSA_KEY $BALSA_VALUE at $BALSA_REVISION: $(cat)"';
    const watch = new Running(['watch', '--prefix', 'wc/', '--', 'sh', '-c', script]);
    await watch.says('watching from');
    const first = await db.put('wc/a', 'one');
    await watch.says(`put wc/a one at ${first.revision}: one\n`);
    const leader = await cluster.leader();
    await cluster.kill(leader);
    const second = await db.put('wc/a', 'two');
    await watch.says(`put wc/a two at ${second.revision}: two\n`);
    await cluster.start(leader);
    await db.delete('wc/a');
    await watch.says('delete wc/a  at ');
    expect(watch.stdout.trimEnd().split('\n')).toHaveLength(3);
    expect(await watch.interrupt()).toBe(130);
  });

  test('leases take their keys with them', async () => {
    const id = (await done(['lease', 'grant', '60s'])).trim();
    await done(['put', 'l/k', 'v', '--lease', id]);
    expect(await json(['lease', 'show', id])).toMatchObject({ keyCount: 1, keys: ['l/k'] });
    expect(await done(['lease', 'list'])).toContain(`\n${id}\t60000\t`);
    const keeping = new Running(['lease', 'keep-alive', id]);
    await keeping.says(`${id}\t1m\n`);
    expect(await keeping.interrupt()).toBe(130);
    await done(['lease', 'revoke', id]);
    expect((await cli(['get', 'l/k'])).code).toBe(3);
    expect((await cli(['lease', 'revoke', id])).code).toBe(3);
    const short = (await done(['lease', 'grant', '1s'])).trim();
    await cli(['put', 'l/s', 'v', '--lease', short]);
    await waitUntil('the lease to end', async () =>
      (await db.get('l/s')).value === undefined ? true : undefined,
    );
    expect((await cli(['get', 'l/s'])).code).toBe(3);
  });

  test('lock runs a command, and its exit code is that of the command', async () => {
    const work = ['--', 'sh', '-c', 'echo "token $BALSA_FENCING_TOKEN"; exit 9'];
    const first = await cli(['lock', 'jobs', ...work], '', balsa);
    expect(first).toMatchObject({ code: 9, stdout: expect.stringMatching(/^token \d+\n$/) });
    expect((await cli(['lock', 'jobs', '--', 'no-such-command-anywhere'], '', balsa)).code).toBe(
      127,
    );

    const holder = new Running(['lock', 'jobs', '--', 'sleep', '300']);
    await holder.says('holding the lock jobs');
    expect((await cli(['lock', 'jobs', '--try', ...work])).code).toBe(4);
    const next = new Running(['lock', 'jobs', ...work]);
    expect(await holder.interrupt()).toBe(130);
    expect(await next.ended()).toBe(9);
    const tokens = [first.stdout, next.stdout].map((text) => Number(text.slice(6)));
    expect(tokens[1]).toBeGreaterThan(tokens[0] ?? Number.NaN);
  });

  test('a command whose lock is lost is ended', async () => {
    const holder = new Running(['lock', 'lost', '--', 'sh', '-c', 'echo runs; exec sleep 300']);
    await holder.says('runs\n');
    const leases = (await done(['lease', 'list', '-o', 'json'])).trimEnd().split('\n');
    for (const lease of leases) {
      const { id, ttlMs } = JSON.parse(lease) as { id: number; ttlMs: number };
      if (ttlMs === 10_000) await cli(['lease', 'revoke', String(id)]);
    }
    expect(await holder.ended()).toBe(1);
    expect(holder.stderr).toContain('error LOCK_LOST');
  });

  test('elect hands the office over to the next one', async () => {
    const first = new Running(['elect', 'office', 'one']);
    await first.says('holding the leadership office');
    const listening = new Running(['elect', 'office', '--listen']);
    await listening.says('one\n');
    const second = new Running(['elect', 'office', 'two']);
    expect(await first.interrupt()).toBe(130);
    await second.says('holding the leadership office');
    await listening.says('two\n');
    expect(await second.interrupt()).toBe(130);
    // What came on its other stream is complete now.
    expect(Number(second.stdout)).toBeGreaterThan(Number(first.stdout));
    expect(await listening.interrupt()).toBe(130);
  });

  test('compact, settings, namespace, info and status', async () => {
    const puts = Array.from({ length: 20 }, (_, n) => `put c/k ${n}${'x'.repeat(1000)}\n`);
    await done(['shell'], puts.join(''));
    const { before, after, compactedRevision, complete } = await json(['compact']);
    expect(complete).toBe(true);
    expect(after).toMatchObject({ compactedRevision, revisionsKept: 1 });
    expect((after as { logBytes: number }).logBytes).toBeGreaterThan(20_000);
    expect((after as { stateBytes: number }).stateBytes).toBeGreaterThan(0);
    expect((after as { spaceBytes: number }).spaceBytes).toBeLessThan(
      (before as { spaceBytes: number }).spaceBytes - 15_000,
    );
    expect((await cli(['get', 'c/k', '--rev', '1'])).code).toBe(1);

    await done(['settings', 'set', 'historyRevisions=1000', 'spaceQuotaBytes=1KiB']);
    expect(await done(['settings', 'get'])).toContain('spaceQuotaBytes\t1024\n');
    // The put that goes beyond it is the last one.
    await cli(['put', 'c/last', 'x'.repeat(2000)]);
    const refused = await cli(['put', 'c/more', 'x']);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('NO_SPACE') });
    const { stdout: status } = await cli(['status', '-o', 'json']);
    expect(status).toContain('"spaceAlarm":true');
    await done(['settings', 'set', 'spaceQuotaBytes=0']);

    await done(['namespace', 'set', 'shop', '--quota', '1KiB']);
    await done(['--namespace', 'shop', 'put', 'item', 'apple']);
    expect(await done(['get', 'shop/item'])).toBe('apple');
    expect((await cli(['--namespace', 'shop', 'put', 'big', 'x'.repeat(2000)])).code).toBe(1);
    expect(await done(['namespace', 'list'])).toContain('shop\tshop/\t1\t14\t1024\n');
    await done(['namespace', 'remove', 'shop']);
    expect(await json(['info'])).toMatchObject({ compactedRevision, spaceAlarm: false });
  });

  test('a shell takes its lines from stdin', async () => {
    const lines = ['put s/a "1 2"', 'get s/a', '.output json', 'get s/none', 'get s/a', '.nodes'];
    const run = await cli(['shell'], `${lines.join('\n')}\n`);
    expect(run.code).toBe(0);
    const [revision, read, json, ...nodes] = run.stdout.trimEnd().split('\n');
    expect(revision).toMatch(/^\d+$/);
    expect(read).toBe('1 2');
    expect(json).toMatch(/^\{"key":"s\/a","value":"1 2"/);
    expect(nodes).toHaveLength(3);
    expect(nodes.join('\n')).toContain('"role":"leader"');
    expect(run.stderr).toContain('not found: s/none\n');
    expect((await cli(['shell', '--command', 'get s/none'])).code).toBe(3);
    expect((await cli(['shell', '--command', 'get s/a'])).stdout).toBe('1 2');
  });
});
