import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { BalsaError } from '../../src/base/errors.js';
import type { Calls, Length, OnBegin } from '../../src/cli/bench/drive.js';
import type { Scenario } from '../../src/cli/bench/scenario.js';
import { freePorts } from '../../src/cluster/free-ports.js';
import { missingPrograms } from './installed.js';
import { ServerGroup } from './server-process.js';
import type { PeerKind, Subject } from './subject.js';

/** So many requests tell how fast it is. */
const REQUESTS_MIN = 1000;
const CONNECT_TIMEOUT_MS = 1000;

/**
 * One Redis that syncs every write, asked by its own program in C: a bound for stores of one node, without copies
 * and without linearizable reads of a cluster.
 */
export const redis: PeerKind = {
  name: 'redis',
  missing: () =>
    missingPrograms({ 'redis-server': 'redis-server', 'redis-benchmark': 'redis-tools' }),
  async start() {
    const [port = 0] = await freePorts(1);
    const servers = new ServerGroup('redis');
    servers.start('redis-server', [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', servers.folder],
      ...['--appendonly', 'yes', '--appendfsync', 'always', '--save', ''],
    ]);
    await servers.until('Redis to answer', () => answers(port));
    return {
      subjects: [redisSubject(port, servers.pids)],
      [Symbol.asyncDispose]: () => servers[Symbol.asyncDispose](),
    };
  },
};

/** Its own program asks for ever where nobody answers. @returns `true`, or `undefined` where nobody does */
function answers(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: CONNECT_TIMEOUT_MS });
    const end = (answer: true | undefined): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', () => end(true));
    socket.once('error', () => end(undefined));
    socket.once('timeout', () => end(undefined));
  });
}

function redisSubject(port: number, serverPids: readonly number[]): Subject {
  return {
    name: 'redis, one node',
    durability: 'appendonly yes, appendfsync always; one node, no copy',
    serverPids,
    lacks({ operation, ratePerSecond, distribution }) {
      if (ratePerSecond !== null) return 'redis-benchmark has no open loop';
      if (distribution !== 'uniform') return 'redis-benchmark has uniform keys only';
      return operation === 'put' || operation === 'get' ? null : 'one kind of request only';
    },
    async fill(keys, valueBytes) {
      const args = ['-t', 'set', '-n', String(2 * keys), '-c', '50', '-d', String(valueBytes)];
      await redisBenchmark(port, [...args, '-r', String(keys)]);
    },
    async measure(scenario, length, onBegin) {
      // It counts requests, not time: a short run tells how many fill the time.
      const guess = await runRedis(port, scenario, REQUESTS_MIN + scenario.outstanding, () => {});
      return runRedis(port, scenario, requestsFor(guess, length), onBegin);
    },
  };
}

function requestsFor({ perSecond }: Calls, { seconds }: Length): number {
  return Math.max(REQUESTS_MIN, Math.round(perSecond * seconds));
}

async function runRedis(
  port: number,
  { operation, valueBytes, outstanding, keys }: Scenario,
  requests: number,
  onBegin: OnBegin,
): Promise<Calls> {
  const args = [
    ...['-t', operation === 'put' ? 'set' : 'get', '-n', String(requests)],
    ...['-c', String(outstanding), '-d', String(valueBytes), '-r', String(keys), '--csv'],
  ];
  return parseRedis(await redisBenchmark(port, args, onBegin), requests);
}

/** @throws BalsaError `INTERNAL` for what is not the table of redis-benchmark */
export function parseRedis(output: string, requests: number): Calls {
  // "test","rps","avg_latency_ms","min_…","p50_…","p95_…","p99_…","max_latency_ms"
  const row = output.split('\n').find((line) => /^"(SET|GET)"/.test(line));
  const [, perSecond, , , p50Ms, , p99Ms, maxMs] = (row ?? '')
    .replaceAll('"', '')
    .split(',')
    .map(Number);
  if (
    perSecond === undefined ||
    p50Ms === undefined ||
    p99Ms === undefined ||
    maxMs === undefined
  ) {
    throw new BalsaError('INTERNAL', `redis-benchmark printed no row: ${output.slice(-500)}`);
  }
  return { served: requests, perSecond, p50Ms, p99Ms, p999Ms: Number.NaN, maxMs, errors: {} };
}

async function redisBenchmark(
  port: number,
  args: readonly string[],
  onBegin: OnBegin = () => {},
): Promise<string> {
  const child = spawn('redis-benchmark', ['-h', '127.0.0.1', '-p', String(port), ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  if (child.pid !== undefined) onBegin(child.pid);
  return text(child.stdout);
}
