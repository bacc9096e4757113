import { randomBytes } from 'node:crypto';
import { keyOf } from '../src/cli/bench/keys.js';
import type { Client } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { forEach, scattered } from './closed-loop.js';
import { benchFlags, count, JSON_FILE, oneOf } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { Progress } from './harness/progress.js';
import { CpuMeter, MiB, report, rounded } from './machine.js';

/**
 * `npm run bench:scan`: a million keys through `db.range`, all as of one revision, each item looked at. They
 * were written in an order that has nothing to do with that of the keys, so that their values lie scattered.
 */
const flags = benchFlags('bench:scan', {
  keys: count(1_000_000, 'that are there'),
  valueBytes: count(128, 'of each'),
  replicas: count(3, 'of the cluster'),
  rounds: count(3, 'of the plain scan; the other ways are read once'),
  order: oneOf(
    ['scattered', 'sorted'],
    'scattered',
    'in which they were written: sorted is that in which they are read',
  ),
  json: JSON_FILE,
});
leaveNothingBehind();
const { keys, valueBytes } = flags;
const isSorted = flags.order === 'sorted';
const timeoutMs = 60_000;
/** How long a scan takes, of the time that the puts took: for the time that is left. */
const SCAN_SHARE = 0.15;
const SCANS = flags.rounds + 3;
const progress = new Progress({ total: keys * (1 + SCANS * SCAN_SHARE) });
let scans = 0;
const noise = randomBytes(1 * MiB + valueBytes);
const rows: Record<string, string | number>[] = [];

async function load(db: Client): Promise<void> {
  const keyOf = (i: number): string => (isSorted ? scattered(i, keys, 1) : scattered(i, keys));
  const valueFor = (i: number): Buffer => noise.subarray(i % MiB, (i % MiB) + valueBytes);
  await measured('load (puts)', () =>
    forEach(keys, 2048, (i) => {
      progress.at(i, 'loading');
      return db.put(keyOf(i), valueFor(i));
    }),
  );
}

async function measured(what: string, work: () => Promise<unknown>): Promise<void> {
  const cpu = new CpuMeter(cluster);
  const startedMs = performance.now();
  await work();
  const seconds = (performance.now() - startedMs) / 1000;
  const { replicas, client } = cpu.read();
  rows.push({
    what,
    keys,
    seconds: rounded(seconds, 2),
    'keys per second': rounded(keys / seconds),
    'replicas: CPU µs per key': rounded((replicas / keys) * 1e6, 1),
    'client: CPU µs per key': rounded((client / keys) * 1e6, 1),
  });
  progress.say(JSON.stringify(rows.at(-1)));
}

/** The next of all scans. */
async function measuredScan(what: string, work: () => Promise<unknown>): Promise<void> {
  progress.at(keys * (1 + scans * SCAN_SHARE), what);
  await measured(what, work);
  scans += 1;
}

async function scan(db: Client): Promise<void> {
  let count = 0;
  let bytes = 0;
  for await (const { value } of db.range({ timeoutMs })) {
    count += 1;
    bytes += value.byteLength;
  }
  if (count !== keys || bytes !== keys * valueBytes) throw new Error(`${count} keys of ${keys}`);
}

async function scanKeys(db: Client): Promise<void> {
  let count = 0;
  for await (const _ of db.range({ keysOnly: true, timeoutMs })) count += 1;
  if (count !== keys) throw new Error(`${count} keys of ${keys}`);
}

/** Eight parts of the same range, side by side. */
async function scanParts(db: Client): Promise<void> {
  const parts = 8;
  const edge = (part: number): string => keyOf(Math.ceil((part * keys) / parts));
  const counts = await Promise.all(
    Array.from({ length: parts }, async (_, part) => {
      let count = 0;
      for await (const _item of db.range({ from: edge(part), to: edge(part + 1), timeoutMs }))
        count += 1;
      return count;
    }),
  );
  const count = counts.reduce((sum, one) => sum + one, 0);
  if (count !== keys) throw new Error(`${count} keys of ${keys}`);
}

await using cluster = await LocalCluster.start({
  replicas: flags.replicas,
  logLevel: 'warn',
});
await using db = await cluster.connect({ timeoutMs });
await load(db);
// Reading right behind the writes would measure how LevelDB tidies up after them.
await new Promise((resolve) => setTimeout(resolve, 3000));
for (let round = 0; round < flags.rounds; round += 1) {
  await measuredScan('range', () => scan(db));
}
await measuredScan('range, 8 parts at once', () => scanParts(db));
await measuredScan('range, keysOnly', () => scanKeys(db));
await measuredScan('count', () => db.count({ timeoutMs }));
progress.end();
report('bench:scan', rows, flags.json);
