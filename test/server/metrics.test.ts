import { readdirSync, readFileSync } from 'node:fs';
import { Server as HttpServer } from 'node:http';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { freePorts } from '../../src/cluster/free-ports.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import type { Server } from '../../src/server/server.js';
import { Servers } from './servers.js';

/** What replicas tell over HTTP. */

let servers: Servers;
let places: ReadonlyMap<string, string>;

beforeEach(async () => {
  servers = await Servers.reserve(3);
  const ports = await freePorts(3);
  places = new Map(ports.map((port, i) => [`n${i + 1}`, `127.0.0.1:${port}`]));
});

afterEach(() => servers[Symbol.asyncDispose]());

const start = (name: string): Promise<Server> =>
  servers.start(name, { metricsListen: places.get(name) ?? '' });

const ask = (name: string, path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`http://${places.get(name)}${path}`, init);

async function metrics(name: string): Promise<Map<string, number>> {
  const response = await ask(name, '/metrics');
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  const lines = (await response.text()).split('\n').filter((line) => line !== '');
  const values = lines.filter((line) => !line.startsWith('#'));
  for (const line of values) {
    expect(line).toMatch(/^balsa_[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[\d.e+-]+$/);
  }
  return new Map(values.map((line) => [line.replace(/ \S+$/, ''), Number(/\S+$/.exec(line)?.[0])]));
}

describe('metrics', () => {
  test('say what a replica is and has, and at the leader how jobs and followers are', async () => {
    for (const name of places.keys()) await start(name);
    const leader = (await servers.leader()).name;
    const follower = [...places.keys()].find((name) => name !== leader) ?? '';
    await waitUntil('all to be ready', async () => {
      const answers = await Promise.all([...places.keys()].map((name) => ask(name, '/readyz')));
      return answers.every(({ status }) => status === 200) ? true : undefined;
    });
    const [leading, following] = [await metrics(leader), await metrics(follower)];
    expect(leading.get('balsa_role{role="leader"}')).toBe(1);
    expect(leading.get('balsa_role{role="follower"}')).toBe(0);
    expect(following.get('balsa_role{role="follower"}')).toBe(1);
    for (const all of [leading, following]) {
      expect(all.get('balsa_ready')).toBe(1);
      expect(all.get('balsa_term')).toBeGreaterThan(0);
      expect(all.get('balsa_commit_index')).toBeGreaterThan(0);
      expect(all.get('balsa_wal_syncs_total')).toBeGreaterThan(0);
      expect(all.get('balsa_resident_memory_bytes')).toBeGreaterThan(1e6);
      expect(all.get('balsa_state_scrubbed_bytes')).toBe(0);
      expect(all.get('balsa_state_whole_seconds')).toBeGreaterThan(0);
    }
    const won = 'balsa_core_events_total{event="role",detail="leader: election-won"}';
    expect(leading.get(won)).toBe(1);
    expect(following.get(won)).toBeUndefined();
    expect(leading.get(`balsa_follower_active{follower="${follower}"}`)).toBe(1);
    // Who does not lead does not know, and does not say 0.
    expect(leading.get('balsa_jobs_useful_workers')).toBe(0);
    expect(following.has('balsa_jobs_useful_workers')).toBe(false);
    expect([...following.keys()].some((key) => key.startsWith('balsa_follower_'))).toBe(false);
    // Asked again they are those of now, and not twice.
    expect((await metrics(leader)).size).toBe(leading.size);
  });

  test('are there, and the replica is not ready, while it has no cluster', async () => {
    await start('n1');
    expect((await ask('n1', '/healthz')).status).toBe(200);
    expect((await ask('n1', '/readyz')).status).toBe(503);
    const all = await metrics('n1');
    expect([all.get('balsa_ready'), all.get('balsa_has_leader')]).toEqual([0, 0]);
  });

  test('that documents name are there', async () => {
    await start('n1');
    const page = await (await ask('n1', '/metrics')).text();
    const known = new Set([...page.matchAll(/^# HELP (\S+)/gm)].map(([, name]) => name));
    const docs = resolve(import.meta.dirname, '../../docs');
    const named = readdirSync(docs)
      .filter((name) => name.endsWith('.md'))
      .flatMap((name) => readFileSync(join(docs, name), 'utf8').match(/\bbalsa_\w+/g) ?? []);
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter((name) => !known.has(name))).toEqual([]);
  });

  test('have a path of their own; whatever else is asked is refused, and what there is is said', async () => {
    const server = await start('n1');
    const missing = await ask('n1', '/metric');
    expect([missing.status, await missing.text()]).toEqual([
      404,
      'there are /metrics, /healthz, /readyz\n',
    ]);
    expect((await ask('n1', '/metrics', { method: 'POST' })).status).toBe(405);
    const head = await ask('n1', '/metrics', { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    await server.close();
    await expect(ask('n1', '/healthz')).rejects.toThrow();
  });

  test('that cannot be asked for, as where descriptors are short, end nothing', async () => {
    const server = await start('n1');
    const handles = Reflect.get(process, '_getActiveHandles') as () => unknown[];
    const port = Number(places.get('n1')?.split(':')[1]);
    const listening = handles.call(process).find((handle): handle is HttpServer => {
      const bound = handle instanceof HttpServer ? handle.address() : null;
      return typeof bound === 'object' && bound?.port === port;
    });
    expect(listening).toBeDefined();
    for (let i = 0; i < 2; i += 1) listening?.emit('error', new Error('accept EMFILE'));
    expect((await ask('n1', '/healthz')).status).toBe(200);
    expect(server.status().replica).toBe('n1');
  });

  test('where another process listens end the start, and nothing stays behind', async () => {
    await start('n1');
    const taken = { metricsListen: places.get('n1') ?? '' };
    await expect(servers.start('n2', taken)).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    // Its own port and folder are free again.
    await start('n2');
    await start('n3');
    await servers.leader();
  });
});
