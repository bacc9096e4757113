import { randomBytes } from 'node:crypto';
import type { Client } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { forEach, forSeconds, scattered } from './closed-loop.js';
import { amount, benchFlags, count, JSON_FILE, text } from './harness/flags.js';
import { atInterrupt, leaveNothingBehind } from './harness/interrupt.js';
import { MemoryBound } from './harness/memory-bound.js';
import { Progress, showProgress } from './harness/progress.js';
import { MiB, memoryUse, report, rounded } from './machine.js';

/**
 * `npm run bench:keys -- --keys 10000000`: keys are not held in memory. One replica process takes in many small
 * keys through the public client, in an order that jumps through the key space, and is then asked for
 * random ones. Shown on the way: what it has resident and on disk. With `--memory-max 512` it gets no more than that.
 */
const flags = benchFlags('bench:keys', {
  keys: count(1_000_000, 'that are put'),
  valueBytes: count(16, 'of each'),
  outstanding: count(2048, 'at a time'),
  readSeconds: amount(5, 'of random gets, at the end'),
  memoryMax: amount(
    0,
    'MiB that the replica may have, with the cache of its files (a control group: Linux, root); without: no bound',
  ),
  folder: text('where the data goes; without: a temporary folder'),
  json: JSON_FILE,
});
leaveNothingBehind();
const { keys, outstanding, valueBytes } = flags;
const STEPS = 10;

const rows: Record<string, string | number>[] = [];

async function note(db: Client, pid: number, row: Record<string, string | number>): Promise<void> {
  const { residentBytes, anonymousBytes, residentMaxBytes } = memoryUse(pid);
  const { diskBytes } = await db.info({ timeoutMs: 60_000 });
  rows.push({
    ...row,
    'resident MiB': rounded(residentBytes / MiB),
    'of it anonymous MiB': rounded(anonymousBytes / MiB),
    'most so far MiB': rounded(residentMaxBytes / MiB),
    'disk MiB': rounded(diskBytes / MiB),
    ...(bound === null ? {} : { 'held by its group MiB': rounded(bound.heldMiB) }),
  });
  showProgress('');
  console.log(JSON.stringify(rows.at(-1)));
}

await using cluster = await LocalCluster.start({
  replicas: 1,
  logLevel: 'warn',
  folder: flags.folder,
});
await using db = await cluster.connect({ timeoutMs: 60_000 });
const pid = cluster.replicas[0]?.pid;
if (pid == null) throw new Error('the replica does not run');
using bound = flags.memoryMax > 0 ? new MemoryBound(pid, flags.memoryMax * MiB) : null;
if (bound !== null) atInterrupt(() => bound[Symbol.dispose]());
await note(db, pid, { step: 'empty', keys: 0, 'per second': 0 });

const perStep = Math.ceil(keys / STEPS);
/** Values that no compression makes small are cut out of it. */
const noise = randomBytes(1 * MiB + valueBytes);
const valueFor = (i: number): Buffer => noise.subarray(i % MiB, (i % MiB) + valueBytes);
const putting = new Progress({ total: keys });
for (let done = 0; done < keys; done += perStep) {
  const some = Math.min(perStep, keys - done);
  const seconds = await forEach(some, outstanding, (i) => {
    putting.at(done + i, 'putting');
    return db.put(scattered(done + i, keys), valueFor(i));
  });
  await note(db, pid, { step: 'put', keys: done + some, 'per second': rounded(some / seconds) });
}

putting.end();

const random = (): string => scattered(Math.floor(Math.random() * keys), keys);
const seconds = flags.readSeconds;
const reading = new Progress({ total: 3 * seconds, unitMs: 1000 });
for (let round = 0; round < 3; round += 1) {
  reading.at(round * seconds, 'reading');
  const { perSecond } = await forSeconds(seconds, 256, async () => {
    const { value: found } = await db.get(random());
    if (found?.byteLength !== valueBytes) throw new Error('a key that was put is not there');
  });
  await note(db, pid, { step: 'random gets', keys, 'per second': rounded(perSecond) });
}
reading.end();
showProgress('counting');
const counted = await db.count({ timeoutMs: 600_000 });
if (counted.count !== keys) throw new Error(`${counted.count} keys are there, ${keys} were put`);
await note(db, pid, { step: 'all counted', keys, 'per second': 0 });
report('bench:keys', rows, flags.json);
