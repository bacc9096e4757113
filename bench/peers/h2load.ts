import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { BalsaError } from '../../src/base/errors.js';
import type { Calls, Length, OnBegin } from '../../src/cli/bench/drive.js';
import { keyOf } from '../../src/cli/bench/keys.js';
import { latencySummary } from '../../src/cli/bench/latencies.js';
import type { Scenario } from '../../src/cli/bench/scenario.js';
import type { Subject } from './subject.js';

export interface H2loadOptions {
  /** `http://host:port` of the leader. */
  readonly host: string;
  readonly durability: string;
  readonly serverPids: readonly number[];
  /** Of the store: shows that what was acknowledged was also done. */
  revision(): Promise<number>;
}

/** More connections than that cost etcd more than they bring. */
const CONNECTIONS_MAX = 8;

/**
 * etcd at its best: one encoded request, sent again and again over a few connections of HTTP/2 by a program in C. So all calls
 * are about one key; keys and values all over would cost etcd more, never less.
 */
export function h2loadSubject(options: H2loadOptions): Subject {
  const { host, durability, serverPids } = options;
  return {
    ...{ name: 'etcd, h2load', durability, serverPids },
    lacks({ operation, ratePerSecond }) {
      if (ratePerSecond !== null) return 'h2load tells no latencies from when calls were due';
      return operation === 'put' || operation === 'get' ? null : 'h2load sends one request only';
    },
    // Its keys are those that the other client of the same store has made.
    fill: async () => {},
    async measure(scenario, length, onBegin) {
      const before = await options.revision();
      const calls = await runH2load(host, scenario, length, onBegin);
      const done = (await options.revision()) - before;
      // gRPC tells of failures behind a response of 200, which h2load takes for a success.
      if (scenario.operation === 'put' && done < calls.served) {
        throw new BalsaError(
          'INTERNAL',
          `h2load counted ${calls.served} puts, but etcd made ${done} revisions`,
        );
      }
      return calls;
    },
  };
}

async function runH2load(
  host: string,
  scenario: Scenario,
  { warmUpSeconds, seconds }: Length,
  onBegin: OnBegin,
): Promise<Calls> {
  const folder = mkdtempSync(join(tmpdir(), 'balsa-bench-h2load-'));
  const body = join(folder, 'request');
  const log = join(folder, 'log');
  let begin: NodeJS.Timeout | undefined;
  try {
    writeFileSync(body, requestFrame(scenario));
    const method = scenario.operation === 'put' ? 'Put' : 'Range';
    const connections = Math.min(CONNECTIONS_MAX, scenario.outstanding);
    const streams = Math.max(1, Math.round(scenario.outstanding / connections));
    const child = spawn(
      'h2load',
      [
        ...['-c', String(connections), '-m', String(streams), '-t', '1'],
        ...['--duration', String(seconds), '--warm-up-time', String(Math.ceil(warmUpSeconds))],
        ...['-H', 'content-type: application/grpc', '-H', 'te: trailers'],
        ...['-d', body, '--log-file', log, `${host}/etcdserverpb.KV/${method}`],
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const { pid } = child;
    if (pid !== undefined) begin = setTimeout(() => onBegin(pid), warmUpSeconds * 1000);
    const output = await text(child.stdout);
    return parseH2load(output, readFileSync(log, 'utf8'), seconds);
  } finally {
    // It may have ended before its time, and there is no process to look at.
    clearTimeout(begin);
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
  const latenciesMs = log.split('\n').flatMap((line) => {
    const [, status, micros] = line.split('\t');
    return status === '200' ? [Number(micros) / 1000] : [];
  });
  return {
    ...latencySummary(latenciesMs),
    served,
    perSecond: served / seconds,
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
