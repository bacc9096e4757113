import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import type { Client } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { forEach, forSeconds, scattered } from './closed-loop.js';
import { MiB, memoryUse, report, rounded } from './machine.js';

/**
 * `npm run bench:keys -- --keys 10000000`: keys are not held in memory. One replica process takes in many small
 * keys through the public client, in an order that jumps through the key space, and is then asked for
 * random ones. Shown on the way: what it has resident and on disk.
 */
const { values: flags } = parseArgs({
  options: {
    keys: { type: 'string', default: '1000000' },
    'value-bytes': { type: 'string', default: '16' },
    outstanding: { type: 'string', default: '2048' },
    'read-seconds': { type: 'string', default: '5' },
    /** Where the data goes; default: a temporary folder. */
    folder: { type: 'string' },
    json: { type: 'string' },
  },
});
const keys = Number(flags.keys);
const outstanding = Number(flags.outstanding);
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
  });
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
await note(db, pid, { step: 'empty', keys: 0, 'per second': 0 });

const perStep = Math.ceil(keys / STEPS);
const valueBytes = Number(flags['value-bytes']);
/** Values that no compression makes small are cut out of it. */
const noise = randomBytes(1 * MiB + valueBytes);
const valueFor = (i: number): Buffer => noise.subarray(i % MiB, (i % MiB) + valueBytes);
for (let done = 0; done < keys; done += perStep) {
  const count = Math.min(perStep, keys - done);
  const seconds = await forEach(count, outstanding, (i) =>
    db.put(scattered(done + i, keys), valueFor(i)),
  );
  await note(db, pid, { step: 'put', keys: done + count, 'per second': rounded(count / seconds) });
}

const random = (): string => scattered(Math.floor(Math.random() * keys), keys);
const seconds = Number(flags['read-seconds']);
for (let round = 0; round < 3; round += 1) {
  const { perSecond } = await forSeconds(seconds, 256, async () => {
    const { value: found } = await db.get(random());
    if (found?.byteLength !== valueBytes) throw new Error('a key that was put is not there');
  });
  await note(db, pid, { step: 'random gets', keys, 'per second': rounded(perSecond) });
}
const { count } = await db.count({ timeoutMs: 600_000 });
if (count !== keys) throw new Error(`${count} keys are there, ${keys} were put`);
await note(db, pid, { step: 'all counted', keys, 'per second': 0 });
report('bench:keys', rows, flags.json);
