import { afterEach, beforeEach, expect, test } from 'vitest';
import { LIMITS, type Limits } from '../../src/base/limits.js';
import { connect } from '../../src/client/client.js';
import { freePorts } from '../../src/cluster/free-ports.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import type { Server } from '../../src/server/server.js';
import { Servers } from './servers.js';

/** Whether a replica is ready is a matter of its state, and not of what it has of the log. */

/** So many entries a replica may lack. */
const LAG_MAX = 400;
const WRITES = LAG_MAX + 40;
const WRITERS = 8;
const PATIENT = { timeoutMs: 100_000, connectTimeoutMs: 100_000 };
const FOUNDERS = ['n1', 'n2', 'n3'];

let servers: Servers;
let places: ReadonlyMap<string, string>;
/** Each write is an entry of its own, the log is short, and at first no snapshots are sent. */
let limits: { -readonly [K in keyof Limits]: number };

beforeEach(async () => {
  servers = await Servers.reserve(4);
  const ports = await freePorts(4);
  places = new Map(ports.map((port, i) => [`n${i + 1}`, `127.0.0.1:${port}`]));
  limits = {
    ...{ ...LIMITS, operationsPerBatchMax: 1, entryOperationsMax: 1 },
    ...{ logEntriesMax: 100, logTrailingEntries: 10, snapshotsAtOnceMax: 0 },
    readyLagEntriesMax: LAG_MAX,
  };
});

afterEach(() => servers[Symbol.asyncDispose]());

function start(name: string): Promise<Server> {
  const join = !FOUNDERS.includes(name);
  const known = Object.entries(servers.members).filter(([member]) =>
    join ? member === name : FOUNDERS.includes(member),
  );
  const members = Object.fromEntries(known);
  return servers.start(name, { metricsListen: places.get(name) ?? '', limits, members, join });
}

/** The status of `/readyz`, and the gauges of readiness and of the leader. */
async function readiness(name: string): Promise<readonly [number, number, number]> {
  const ready = await fetch(`http://${places.get(name)}/readyz`);
  const text = await (await fetch(`http://${places.get(name)}/metrics`)).text();
  const gauge = (key: string): number => Number(new RegExp(`^${key} (\\S+)$`, 'm').exec(text)?.[1]);
  return [ready.status, gauge('balsa_ready'), gauge('balsa_has_leader')];
}

/** Several clients, since each has few batches under way. */
async function write(endpoints: readonly string[]): Promise<void> {
  const writers = Array.from({ length: WRITERS }, async () => {
    await using db = await connect({ endpoints, ...PATIENT });
    const keys = Array.from({ length: WRITES / WRITERS }, (_, i) => `k${i}`);
    await Promise.all(keys.map((key) => db.put(key, key)));
  });
  await Promise.all(writers);
}

/** Until that replica says that it has a majority behind it. */
async function hasMajority(server: Server): Promise<void> {
  await using db = await connect({ endpoints: [server.address], followLeader: false, ...PATIENT });
  await waitUntil('it to be confirmed by a majority', async () => {
    const { meta } = await db.get('k', { consistency: 'any' });
    return meta.side === 'majority' ? true : undefined;
  });
}

test('a replica is not ready while it lacks the state: one that was away for long, and one that was just let in', async () => {
  const running = await Promise.all(FOUNDERS.map(start));
  const leader = await servers.leader();
  const away = running.find((server) => server !== leader) as Server;
  for (const name of FOUNDERS) {
    await waitUntil(`${name} to be ready`, async () =>
      (await readiness(name))[0] === 200 ? true : undefined,
    );
  }
  await away.close();
  const voters = running.filter((server) => server !== away);
  const endpoints = voters.map(({ address }) => address);
  await write(endpoints);
  await waitUntil('the logs to be cut', async () => {
    const { lastIndex } = away.status();
    return voters.every((server) => server.status().logStart > lastIndex) ? true : undefined;
  });

  const late = [await start(away.name), await start('n4')] as const;
  await using db = await connect({ endpoints, ...PATIENT });
  await db.cluster.add({ name: 'n4', address: servers.members.n4 ?? '' });
  await hasMajority(late[0]);
  await waitUntil('both to need a snapshot', async () => {
    const { followers } =
      voters.find((server) => server.status().role === 'leader')?.status() ?? {};
    const waiting = followers?.filter(({ state }) => state === 'snapshot') ?? [];
    return waiting.length === 2 && late.every((server) => server.status().leader !== null)
      ? true
      : undefined;
  });
  for (const { name } of late) {
    await waitUntil(`${name} to know who leads`, async () => {
      const [status, ready, hasLeader] = await readiness(name);
      expect([status, ready]).toEqual([503, 0]);
      return hasLeader === 1 ? true : undefined;
    });
  }

  limits.snapshotsAtOnceMax = 2;
  // Who leads next begins to send them.
  await db.cluster.transfer();
  for (const server of late) {
    await waitUntil(`${server.name} to be ready`, async () => {
      const [status, ready] = await readiness(server.name);
      const { appliedIndex, commitIndex, lastIndex } = server.status();
      if (status === 200) expect(appliedIndex).toBeGreaterThan(WRITES);
      expect(Math.min(commitIndex, lastIndex)).toBeGreaterThanOrEqual(appliedIndex);
      return status === 200 && ready === 1 ? true : undefined;
    });
  }
});
