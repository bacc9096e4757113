import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Client } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';

/**
 * `npm run bench`: three replicas and one client on this machine, fsync on, through the public client
 * with single puts and gets. Closed loop: each outstanding call is followed by the next.
 */
const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    'warm-up-seconds': { type: 'string', default: '8' },
    'value-bytes': { type: 'string', default: '128' },
    outstanding: { type: 'string', default: '1,64,256,1024' },
    keys: { type: 'string', default: '100000' },
  },
});
const seconds = Number(flags.seconds);
const value = Buffer.alloc(Number(flags['value-bytes']), 'v');
const keyCount = Number(flags.keys);

interface Row {
  readonly operation: string;
  readonly outstanding: number;
  readonly 'per second': number;
  readonly 'p50 ms': number;
  readonly 'p99 ms': number;
  readonly 'max ms': number;
  readonly errors: number;
}

let next = 0;
/** Spread over the key space, the same in every run. */
const nextKey = (): string => `key-${String((next++ * 7919) % keyCount).padStart(10, '0')}`;

async function measure(
  operation: string,
  load: { readonly outstanding: number; readonly seconds: number },
  call: () => Promise<unknown>,
): Promise<Row> {
  const { outstanding, seconds } = load;
  const latencies: number[] = [];
  let errors = 0;
  const started = performance.now();
  const warmUntil = started + Math.min(1000, seconds * 200);
  const endAt = warmUntil + seconds * 1000;
  const loop = async (): Promise<void> => {
    for (;;) {
      const before = performance.now();
      if (before >= endAt) return;
      try {
        await call();
      } catch {
        errors += 1;
      }
      if (before >= warmUntil) latencies.push(performance.now() - before);
    }
  };
  await Promise.all(Array.from({ length: outstanding }, loop));
  const took = (performance.now() - warmUntil) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (q: number): number =>
    latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))] ?? 0;
  const round = (ms: number): number => Math.round(ms * 1000) / 1000;
  return {
    operation,
    outstanding,
    'per second': Math.round(latencies.length / took),
    'p50 ms': round(at(0.5)),
    'p99 ms': round(at(0.99)),
    'max ms': round(at(1)),
    errors,
  };
}

/** What the disk gives at best: appends of 4 KiB, each followed by fdatasync. */
function syncsPerSecond(folder: string): number {
  const path = join(folder, 'sync-probe');
  const fd = openSync(path, 'w');
  const block = Buffer.alloc(4096, 1);
  const started = performance.now();
  let count = 0;
  while (performance.now() - started < 500) {
    writeSync(fd, block);
    fdatasyncSync(fd);
    count += 1;
  }
  closeSync(fd);
  rmSync(path);
  return Math.round((count * 1000) / (performance.now() - started));
}

async function run(db: Client): Promise<Row[]> {
  // One call at a time is too few to make the compiler optimise anything; production is warm.
  const warmUp = Number(flags['warm-up-seconds']) / 2;
  await measure('warm-up', { outstanding: 64, seconds: warmUp }, () => db.put(nextKey(), value));
  await measure('warm-up', { outstanding: 64, seconds: warmUp }, () => db.get(nextKey()));
  const rows: Row[] = [];
  const levels = flags.outstanding.split(',').map(Number);
  for (const outstanding of levels) {
    rows.push(await measure('put', { outstanding, seconds }, () => db.put(nextKey(), value)));
  }
  for (const outstanding of levels) {
    rows.push(await measure('get', { outstanding, seconds }, () => db.get(nextKey())));
  }
  return rows;
}

await using cluster = await LocalCluster.start({ logLevel: 'warn' });
console.log(`fdatasync of 4 KiB appends: ${syncsPerSecond(cluster.folder)} per second`);
await using db = await cluster.connect();
console.table(await run(db));
for (const { replica, wal } of await cluster.statuses()) {
  console.log(`${replica}: ${wal.syncs} syncs, longest ${wal.maxSyncMs.toFixed(1)} ms`);
}
