import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { bundleOf } from './bundle-of.js';
import { forSeconds } from './closed-loop.js';
import { amount, benchFlags, count, JSON_FILE } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { report, rounded } from './machine.js';
import { VIEW } from './procedure-code.js';

/**
 * `npm run bench:ap`: calls of an `ap` procedure (one add to a counter) at a replica that hears no other one, and at one of a
 * whole cluster, one at a time and many at once; in turn with what the disk alone takes to make as many bytes durable.
 */
const flags = benchFlags('bench:ap', {
  calls: count(500, 'calls one at a time, in each round'),
  outstanding: count(64, 'calls at a time, where there are many'),
  seconds: amount(4, 'of many at a time, in each round'),
  rounds: count(3, 'of each place, in turn'),
  json: JSON_FILE,
});
leaveNothingBehind();
const { calls } = flags;

/** Of a delta of this procedure, with its frame. */
const DELTA_BYTES = 140;

const CODE = `
import { ap, counter } from 'balsa/procedures';
${VIEW}
`;

interface Latencies {
  readonly p50: number;
  readonly p99: number;
}

function latenciesOf(samples: number[]): Latencies {
  samples.sort((a, b) => a - b);
  const at = (share: number): number => samples[Math.floor(samples.length * share)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

/** To append so many bytes and sync them, in milliseconds. */
function syncs(folder: string, count: number): number[] {
  const file = openSync(join(folder, 'sync'), 'a');
  const bytes = Buffer.alloc(DELTA_BYTES, 1);
  const samples = Array.from({ length: count }, () => {
    const startedMs = performance.now();
    writeSync(file, bytes);
    fdatasyncSync(file);
    return performance.now() - startedMs;
  });
  closeSync(file);
  return samples;
}

type Where = 'whole' | 'isolated';

const view = (db: Client, i: number) => db.call('view', i % 100, { consistency: 'ap-local' });

async function oneByOne(db: Client): Promise<number[]> {
  const samples: number[] = [];
  for (let i = 0; i < calls; i += 1) {
    const startedMs = performance.now();
    await view(db, i);
    samples.push(performance.now() - startedMs);
  }
  return samples;
}

/** Waits until calls are answered where they are to be measured. */
async function placed(db: Client, name: string, where: Where): Promise<void> {
  const side = where === 'isolated' ? 'isolated' : 'majority';
  for (const untilMs = performance.now() + 30_000; ; ) {
    const { meta } = await view(db, 0);
    if (meta.replica === name && meta.side === side) return;
    if (performance.now() < untilMs) continue;
    throw new Error(`answered by ${meta.replica} (${meta.side}), not by ${name} (${side})`);
  }
}

const folder = mkdtempSync(join(tmpdir(), 'balsa-bench-'));
await using cluster = await LocalCluster.start({ logLevel: 'warn', network: 'switched' });
await using leader = await cluster.connect({ timeoutMs: 60_000 });
await leader.procedures.deploy(await bundleOf(CODE));
const { appliedIndex } = await cluster.waitForLeader();
await cluster.waitForApplied(appliedIndex);
const leading = await cluster.leader();
const follower = cluster.replicas.find(({ name }) => name !== leading);
if (follower === undefined) throw new Error('no follower');
await using db = await cluster.connectTo(follower.name, { timeoutMs: 60_000 });

// The interpreter is compiled while it runs.
await forSeconds(10, 16, (i) => view(db, i));

const samples = { disk: [] as number[], whole: [] as number[], isolated: [] as number[] };
const rates = { whole: [] as number[], isolated: [] as number[] };
const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / list.length;
for (let round = 0; round < flags.rounds; round += 1) {
  for (const where of ['whole', 'isolated'] as const) {
    if (where === 'isolated') cluster.isolate(follower.name);
    await placed(db, follower.name, where);
    for (const one of syncs(folder, calls)) samples.disk.push(one);
    for (const one of await oneByOne(db)) samples[where].push(one);
    const { perSecond } = await forSeconds(flags.seconds, flags.outstanding, (i) => view(db, i));
    rates[where].push(perSecond);
    if (where === 'isolated') cluster.heal();
    console.log(JSON.stringify({ round, where, perSecond }));
  }
}
rmSync(folder, { recursive: true });
const disk = latenciesOf(samples.disk);
const row = (name: string, { p50, p99 }: Latencies, perSecond: number | null) => ({
  what: name,
  'p50, ms': rounded(p50, 2),
  'p99, ms': rounded(p99, 2),
  'p50 beyond the sync, ms': rounded(p50 - disk.p50, 2),
  [`per second, ${flags.outstanding} outstanding`]: perSecond === null ? '' : rounded(perSecond),
});
report(
  'bench:ap',
  [
    row('write and sync', disk, null),
    row('ap call, whole cluster', latenciesOf(samples.whole), mean(rates.whole)),
    row('ap call, isolated', latenciesOf(samples.isolated), mean(rates.isolated)),
  ],
  flags.json,
);
