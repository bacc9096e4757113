import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BalsaError } from '../../src/base/errors.js';
import type { Calls, Length, OnBegin } from '../../src/cli/bench/drive.js';
import { keyOf } from '../../src/cli/bench/keys.js';
import { latencySummary, ratesOverTime } from '../../src/cli/bench/latencies.js';
import type { Scenario } from '../../src/cli/bench/scenario.js';
import { type EtcdState, etcdState } from './etcd-state.js';
import { runProgram } from './program.js';
import type { Subject } from './subject.js';

export interface H2loadOptions extends Required<Pick<Subject, 'figures'>> {
  /** @returns `http://host:port` of the leader */
  host(): string;
  readonly durability: string;
  readonly serverPids: readonly number[];
}

/** More connections than that cost etcd more than they bring. */
const CONNECTIONS_MAX = 8;
/** It takes so much longer than it was told, at the most. */
const LATE_MS_MAX = 30_000;
/** It prints this when the warm-up is over. */
const BEGIN = 'Main benchmark duration is started';
/** With these ends a call whose connection was closed, as h2load does when its time is over. */
const CUT_CODES = ['Canceled', 'Unknown'];

/**
 * etcd at its best: one encoded request, sent again and again over a few connections of HTTP/2 by a program in C. So all calls
 * are about one key; keys and values all over would cost etcd more, never less.
 */
export function h2loadSubject(options: H2loadOptions): Omit<Subject, 'ended'> {
  const { durability, serverPids, figures } = options;
  return {
    ...{ name: 'etcd, h2load', durability, serverPids, figures },
    lacks({ operation, ratePerSecond }) {
      if (ratePerSecond !== null) return 'h2load tells no latencies from when calls were due';
      return operation === 'put' || operation === 'get' ? null : 'h2load sends one request only';
    },
    // Its keys are those that the other client of the same store has made.
    fill: async () => {},
    async measure(scenario, length, onBegin) {
      const host = options.host();
      const before = await etcdState(host);
      const calls = await runH2load(host, scenario, length, onBegin);
      const { connections, streams } = loadOf(scenario);
      return withoutFailures(calls, {
        ...{ method: methodOf(scenario), before, after: await etcdState(host) },
        cutMax: connections * streams,
      });
    },
  };
}

function methodOf({ operation }: Scenario): 'Put' | 'Range' {
  return operation === 'put' ? 'Put' : 'Range';
}

/** So many calls at a time, over few connections. */
export function loadOf({ outstanding }: Pick<Scenario, 'outstanding'>): {
  connections: number;
  streams: number;
} {
  const connections = Math.min(CONNECTIONS_MAX, outstanding);
  return { connections, streams: Math.max(1, Math.round(outstanding / connections)) };
}

export interface Answers {
  readonly method: string;
  /** Before the warm-up, and behind the last call. */
  readonly before: EtcdState;
  readonly after: EtcdState;
  /** So many calls were on their way when the time was over. */
  readonly cutMax: number;
}

/**
 * gRPC tells of failures behind a response of 200, which h2load takes for a success; etcd counts them. Those of the warm-up are among them,
 * so that none is missed. Which of the latencies are theirs nobody knows: then there are none.
 *
 * @throws BalsaError `INTERNAL` when etcd knows of fewer answers than h2load
 */
export function withoutFailures(calls: Calls, answers: Answers): Calls {
  const { method, before, after, cutMax } = answers;
  const count = (name: string): number =>
    (after.answered[name] ?? 0) - (before.answered[name] ?? 0);
  const failures = Object.keys(after.answered).flatMap((name) => {
    const [of, code = ''] = name.split(' ');
    if (of !== method || code === 'OK') return [];
    const failed = count(name) - (CUT_CODES.includes(code) ? cutMax : 0);
    return failed > 0 ? [[code, failed] as const] : [];
  });
  const failed = failures.reduce((sum, [, one]) => sum + one, 0);
  const good = count(`${method} OK`);
  // What etcd cannot even read it counts nowhere.
  if (calls.served === 0 || good + failed < calls.served) {
    throw new BalsaError(
      'INTERNAL',
      `h2load counted ${calls.served} answers to ${method}, but etcd gave ${good} good ones and ${failed} failures: ask etcd for one by hand`,
    );
  }
  if (failed === 0) return calls;
  const served = Math.max(0, calls.served - failed);
  return {
    ...latencySummary([]),
    served,
    perSecond: (calls.perSecond * served) / calls.served,
    errors: { ...calls.errors, ...Object.fromEntries(failures) },
  };
}

async function runH2load(
  host: string,
  scenario: Scenario,
  { warmUpSeconds, seconds, signal }: Length,
  onBegin: OnBegin,
): Promise<Calls> {
  const folder = mkdtempSync(join(tmpdir(), 'balsa-bench-h2load-'));
  const body = join(folder, 'request');
  const log = join(folder, 'log');
  const warmUp = Math.ceil(warmUpSeconds);
  let hasBegun = false;
  try {
    writeFileSync(body, requestFrame(scenario));
    const { connections, streams } = loadOf(scenario);
    const { output } = await runProgram(
      'h2load',
      [
        ...['-c', String(connections), '-m', String(streams), '-t', '1'],
        ...['--duration', String(seconds), '--warm-up-time', String(warmUp)],
        ...['-H', 'content-type: application/grpc', '-H', 'te: trailers'],
        ...['-d', body, '--log-file', log, `${host}/etcdserverpb.KV/${methodOf(scenario)}`],
      ],
      {
        timeoutMs: (warmUp + seconds) * 1000 + LATE_MS_MAX,
        signal,
        onOutput(soFar, pid) {
          if (hasBegun || !soFar.includes(BEGIN)) return;
          hasBegun = true;
          onBegin(pid);
        },
      },
    );
    return parseH2load(output, readFileSync(log, 'utf8'), seconds);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * What h2load printed, and its log: a line for each request, with when it began, its status, and how long it took,
 * both in microseconds.
 *
 * @throws BalsaError `INTERNAL` for what is none
 */
export function parseH2load(output: string, log: string, seconds: number): Calls {
  const counts = /requests: .*?(\d+) succeeded, (\d+) failed, (\d+) errored/.exec(output);
  if (counts === null) {
    throw new BalsaError('INTERNAL', `h2load printed no counts: ${output.slice(-500)}`);
  }
  const [served = 0, failed = 0] = counts.slice(1).map(Number);
  const answered = log.split('\n').flatMap((line) => {
    const [begin, status, micros] = line.split('\t');
    const beganMs = Number(begin) / 1000;
    return status === '200' ? [{ beganMs, tookMs: Number(micros) / 1000 }] : [];
  });
  const fromMs = answered.reduce((least, { beganMs }) => Math.min(least, beganMs), Infinity);
  const endedMs = answered.map(({ beganMs, tookMs }) => beganMs + tookMs - fromMs);
  return {
    ...latencySummary(answered.map(({ tookMs }) => tookMs)),
    served,
    perSecond: served / seconds,
    perSecondOverTime: ratesOverTime(endedMs, seconds * 1000),
    errors: failed === 0 ? {} : { failed },
  };
}

/** A message of gRPC: not compressed, its length, and a PutRequest or a RangeRequest of etcd. */
export function requestFrame({ operation, valueBytes }: Scenario): Buffer {
  // Both have the key in their first field; the second is the value of a put.
  const message = Buffer.concat([
    field(1, Buffer.from(keyOf(0))),
    operation === 'put' ? field(2, Buffer.alloc(valueBytes, 'v')) : Buffer.alloc(0),
  ]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Bytes, as Protocol Buffers write them: number and wire type 2, length as a varint, content. */
function field(number: number, bytes: Buffer): Buffer {
  const length: number[] = [];
  let rest = bytes.length;
  for (; rest >= 0x80; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  length.push(rest);
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes]);
}
