import { BalsaError } from '../../src/base/errors.js';
import type { Calls, Length, OnBegin } from '../../src/cli/bench/drive.js';
import type { Scenario } from '../../src/cli/bench/scenario.js';
import { freePorts } from '../../src/cluster/free-ports.js';
import { loadOf } from './h2load.js';
import { missingPrograms } from './installed.js';
import { runProgram } from './program.js';
import { askRedis } from './redis-commands.js';
import { ServerGroup } from './server-process.js';
import type { PeerKind, Subject } from './subject.js';
import { endingWith } from './while-alive.js';

/** So many requests tell how fast it is. */
const REQUESTS_MIN = 1000;
const ANSWER_MS_MAX = 1000;
const FILL_OUTSTANDING = 256;
/** A run may take so many times as long as the runs before it promised, and so much more. */
const SLOWER_MAX = 10;
const LATE_MS_MAX = 60_000;

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
    await servers.until('Redis to answer', () =>
      askRedis(port, [['PING']], ANSWER_MS_MAX).catch(() => undefined),
    );
    return {
      subjects: [endingWith(servers.ended, redisSubject(port, servers.pids))],
      [Symbol.asyncDispose]: () => servers[Symbol.asyncDispose](),
    };
  },
};

function redisSubject(port: number, serverPids: readonly number[]): Omit<Subject, 'ended'> {
  return {
    name: 'redis, one node',
    durability: 'appendonly yes, appendfsync always; one node, no copy',
    serverPids,
    lacks({ operation, ratePerSecond, distribution }) {
      if (ratePerSecond !== null) return 'redis-benchmark has no open loop';
      if (distribution !== 'uniform') return 'redis-benchmark has uniform keys only';
      return operation === 'put' || operation === 'get' ? null : 'one kind of request only';
    },
    fill: (keys, valueBytes) => fillRedis(port, keys, valueBytes),
    async measure(scenario, length, onBegin) {
      const perSecond = await warmUp(port, scenario, length);
      const before = await statsOf(port);
      const requests = Math.max(REQUESTS_MIN, Math.round(perSecond * length.seconds));
      const calls = await runRedis(port, scenario, { requests, length, onBegin });
      return checkAnswers(calls, before, await statsOf(port));
    },
  };
}

/** Its own program would choose keys at random, and leave some out. */
async function fillRedis(port: number, keys: number, valueBytes: number): Promise<void> {
  const value = Buffer.alloc(valueBytes, 'v');
  for (let from = 0; from < keys; from += FILL_OUTSTANDING) {
    const length = Math.min(FILL_OUTSTANDING, keys - from);
    await askRedis(
      port,
      Array.from({ length }, (_, i) => ['SET', redisKey(from + i), value]),
    );
  }
}

/** As redis-benchmark writes the keys that it chooses. */
export function redisKey(i: number): string {
  return `key:${String(i).padStart(12, '0')}`;
}

/**
 * Its program counts requests, not time: it is run again and again until the time is over.
 * @returns requests per second, by the longest of these runs
 */
async function warmUp(port: number, scenario: Scenario, length: Length): Promise<number> {
  const endMs = performance.now() + length.warmUpSeconds * 1000;
  let requests = REQUESTS_MIN + scenario.outstanding;
  let best = await runRedis(port, scenario, { requests, length });
  for (;;) {
    const leftSeconds = (endMs - performance.now()) / 1000;
    if (leftSeconds <= 0) return best.perSecond;
    requests = Math.max(scenario.outstanding, Math.ceil(best.perSecond * leftSeconds));
    const calls = await runRedis(port, scenario, { requests, length });
    if (calls.served > best.served) best = calls;
  }
}

interface RedisRun {
  readonly requests: number;
  readonly length: Length;
  readonly onBegin?: OnBegin;
}

async function runRedis(
  port: number,
  { operation, valueBytes, outstanding, keys }: Scenario,
  { requests, length, onBegin }: RedisRun,
): Promise<Calls> {
  const { connections, streams } = loadOf({ outstanding });
  const { output, errors } = await runProgram(
    'redis-benchmark',
    [
      ...['-h', '127.0.0.1', '-p', String(port), '-t', operation === 'put' ? 'set' : 'get'],
      ...['-n', String(requests), '-d', String(valueBytes)],
      // Of one connection each request is sent when all before it were answered, without -P.
      ...['-c', String(connections), '-P', String(streams)],
      ...['-r', String(keys), '--csv'],
    ],
    {
      // It asks for ever where nobody answers.
      timeoutMs: LATE_MS_MAX + SLOWER_MAX * 1000 * Math.max(length.seconds, length.warmUpSeconds),
      signal: length.signal,
      ...(onBegin === undefined ? {} : { onStart: onBegin }),
    },
  );
  const complaint = errors.split('\n').find((line) => line !== '' && !line.startsWith('WARNING'));
  if (complaint === undefined) return parseRedis(output, requests);
  throw new BalsaError('INTERNAL', `redis-benchmark complained: ${complaint}`);
}

export interface RedisStats {
  /** Gets of keys that were not there. */
  readonly misses: number;
  /** Answers that were errors. */
  readonly refused: number;
}

async function statsOf(port: number): Promise<RedisStats> {
  const [info = ''] = await askRedis(port, [['INFO', 'stats']]);
  return parseRedisStats(info);
}

/** @throws BalsaError `INTERNAL` when something is not there: it would be taken for none */
export function parseRedisStats(info: string): RedisStats {
  const figure = (name: string): number => {
    const found = new RegExp(`^${name}:(\\d+)\\r?$`, 'm').exec(info)?.[1];
    if (found !== undefined) return Number(found);
    throw new BalsaError('INTERNAL', `INFO of Redis has no ${name}: take Redis 6.2 or later`);
  };
  return { misses: figure('keyspace_misses'), refused: figure('total_error_replies') };
}

/**
 * Its program takes every answer for a success.
 * @throws BalsaError `INTERNAL` when some were none
 */
export function checkAnswers(calls: Calls, before: RedisStats, after: RedisStats): Calls {
  const misses = after.misses - before.misses;
  const refused = after.refused - before.refused;
  if (misses === 0 && refused === 0) return calls;
  throw new BalsaError(
    'INTERNAL',
    `of ${calls.served} answers of Redis, ${misses} had no value and ${refused} were errors: ask it by hand (redis-cli)`,
  );
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
