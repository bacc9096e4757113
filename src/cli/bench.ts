import { type Command, InvalidArgumentError, Option } from 'commander';
import { BalsaError } from '../base/errors.js';
import { type Calls, drive } from './bench/drive.js';
import { keyOf } from './bench/keys.js';
import {
  DISTRIBUTIONS,
  type Distribution,
  type Operation,
  RANGE_KEYS,
  type Scenario,
  STORE_OPERATIONS,
  titleOf,
} from './bench/scenario.js';
import { storeCalls } from './bench/store-calls.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT } from './exit-codes.js';
import { parseCount, parseTimeoutMs } from './flags.js';
import { printTable } from './print-table.js';
import { formatCount, Progress } from './progress.js';
import type { StoreClient } from './store-client.js';

interface BenchFlags {
  readonly operation: Operation;
  readonly valueBytes: number;
  readonly outstanding: number;
  readonly rate?: number;
  readonly keys: number;
  readonly distribution: Distribution;
  /** In milliseconds. */
  readonly duration: number;
  readonly warmUp: number;
  readonly prefix: string;
}

const KEYS_MAX = 1_000_000;
const OUTSTANDING_MAX = 10_000;
const FILL_OUTSTANDING = 256;
/** So many keys go in one deletion. */
const DELETE_KEYS = 1000;
const REDRAW_MS = 200;

export function benchCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'bench',
    summary: 'Measure puts and gets of this cluster, with keys that it makes and deletes again',
    examples: [
      'balsa bench                                    puts of 128 bytes, 64 outstanding',
      'balsa bench --operation get --outstanding 256',
      'balsa bench --consistency any --operation mixed-95 --distribution zipfian',
      'balsa bench --rate 2000                        calls begin when due: latency under a given load',
    ],
  })
    .addOption(
      new Option(
        '--operation <name>',
        `mixed: so many of 100 calls are gets; range: ${RANGE_KEYS} keys; txn: a put, if the key is there`,
      )
        .choices(STORE_OPERATIONS)
        .default('put'),
    )
    .option('--value-bytes <count>', 'length of each value', parseCount, 128)
    .option('--outstanding <count>', 'calls on their way at any time', upTo(OUTSTANDING_MAX), 64)
    .option('--rate <count>', 'instead: so many calls begin per second', parseCount)
    .option('--keys <count>', 'how many there are', upTo(KEYS_MAX), 10_000)
    .addOption(
      new Option('--distribution <name>', 'which keys: all alike, or some far more often')
        .choices(DISTRIBUTIONS)
        .default('uniform'),
    )
    .addOption(
      new Option('--duration <duration>', 'how long').argParser(parseSpanMs).default(10_000, '10s'),
    )
    .addOption(
      new Option('--warm-up <duration>', 'before that, not counted')
        .argParser(parseTimeoutMs)
        .default(2000, '2s'),
    )
    .option('--prefix <text>', 'what its keys begin with', 'balsa-bench/');
  return onRun<BenchFlags>(command, runtime, (context, _args, flags) => runBench(context, flags));
}

function upTo(max: number): (text: string) => number {
  return (text) => {
    const count = parseCount(text);
    if (count <= max) return count;
    throw new InvalidArgumentError(`It must be at most ${formatCount(max)}.`);
  };
}

async function runBench(context: Context, flags: BenchFlags): Promise<number> {
  const scenario: Scenario = {
    ...{ operation: flags.operation, valueBytes: flags.valueBytes, keys: flags.keys },
    ...{ outstanding: flags.outstanding, distribution: flags.distribution },
    ratePerSecond: flags.rate ?? null,
  };
  const calls = await context.withClient(async (client) => {
    await refuseKeysOfOthers(context, client, flags.prefix);
    try {
      await fill(context, client, flags);
      return await measure(context, client, scenario, flags);
    } finally {
      await removeKeys(client, flags);
    }
  });
  await report(context, scenario, calls);
  if (context.signal.aborted) throw new BalsaError('CANCELLED', 'interrupted');
  return EXIT.done;
}

/** What it writes over and deletes must be its own, whatever its reads may leave out. */
async function refuseKeysOfOthers(
  { signal }: Context,
  client: StoreClient,
  prefix: string,
): Promise<void> {
  const { count } = await client.count({ prefix, consistency: 'linearizable', signal });
  if (count === 0) return;
  throw new BalsaError(
    'INVALID_ARGUMENT',
    `${formatCount(count)} keys begin with ${prefix} already, and would be written over and deleted: give another --prefix`,
  );
}

async function fill(context: Context, client: StoreClient, flags: BenchFlags): Promise<void> {
  const { io, signal } = context;
  const value = Buffer.alloc(flags.valueBytes, 'v');
  const progress = new Progress(io, 'keys', flags.keys);
  let next = 0;
  let done = 0;
  const errors: unknown[] = [];
  const loop = async (): Promise<void> => {
    while (next < flags.keys && errors.length === 0 && !signal.aborted) {
      const key = flags.prefix + keyOf(next);
      next += 1;
      await client.put(key, value, { signal });
      done += 1;
      progress.update({ done, count: done });
    }
  };
  const kept = (error: unknown): void => void errors.push(error);
  await Promise.all(Array.from({ length: FILL_OUTSTANDING }, () => loop().catch(kept)));
  progress.clear();
  // Not before all of them have ended: what is put after the keys were deleted would stay.
  if (errors.length > 0) throw errors[0];
}

async function measure(
  { io, signal }: Context,
  client: StoreClient,
  scenario: Scenario,
  { prefix, duration, warmUp }: BenchFlags,
): Promise<Calls> {
  const progress = new Progress(io, 'calls', duration + warmUp);
  const startMs = io.nowMs();
  let count = 0;
  const timer = setInterval(
    () => progress.update({ done: io.nowMs() - startMs, count }),
    REDRAW_MS,
  );
  const counted = async (call: Promise<unknown>): Promise<void> => {
    await call;
    count += 1;
  };
  const others = storeCalls(client, prefix, signal);
  try {
    return await drive(
      {
        put: (key, value) => counted(client.put(prefix + key, value, { signal })),
        get: (key) => counted(client.get(prefix + key, { signal })),
        others: {
          range: { call: (key, value) => counted(others.range.call(key, value)) },
          txn: { call: (key, value) => counted(others.txn.call(key, value)) },
        },
      },
      scenario,
      { warmUpSeconds: warmUp / 1000, seconds: duration / 1000, signal },
    );
  } finally {
    clearInterval(timer);
    progress.clear();
  }
}

/** Also behind an interruption: not with its signal. */
async function removeKeys(client: StoreClient, { prefix, keys }: BenchFlags): Promise<void> {
  for (let from = 0; from < keys; from += DELETE_KEYS) {
    await client.deleteRange({
      from: prefix + keyOf(from),
      to: prefix + keyOf(from + DELETE_KEYS),
    });
  }
}

const COLUMNS = [
  ...[{ title: 'CALLS/S' }, { title: 'P50 MS' }, { title: 'P99 MS' }, { title: 'P99.9 MS' }],
  ...[{ title: 'MAX MS' }, { title: 'FAILED' }],
].map((column) => ({ ...column, align: 'right' as const }));

async function report({ output }: Context, scenario: Scenario, calls: Calls): Promise<void> {
  const { served, perSecond, p50Ms, p99Ms, p999Ms, maxMs, errors } = calls;
  const failed = Object.values(errors).reduce((sum, count) => sum + count, 0);
  for (const [code, count] of Object.entries(errors)) {
    output.say(`failed with ${code}: ${formatCount(count)}`);
  }
  if (served === 0) output.say('nothing was measured: no call was served');
  if (output.format === 'json') {
    const measured = served === 0 ? { perSecond: 0 } : { perSecond, p50Ms, p99Ms, p999Ms, maxMs };
    return output.json({ ...scenario, served, ...measured, errors });
  }
  if (served === 0) return;
  if (output.format === 'table') output.say(titleOf(scenario));
  const latencies = [p50Ms, p99Ms, p999Ms, maxMs].map((ms) => ms.toFixed(2));
  await printTable(output, COLUMNS, [
    [String(Math.round(perSecond)), ...latencies, String(failed)],
  ]);
}

/** Longer than nothing: of no calls at all there is nothing to tell. */
function parseSpanMs(text: string): number {
  const ms = parseTimeoutMs(text);
  if (ms > 0) return ms;
  throw new InvalidArgumentError('It must be longer than 0.');
}
