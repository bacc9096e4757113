import type { Client } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { forEach, forSeconds, scattered } from './closed-loop.js';
import { amount, benchFlags, count, JSON_FILE } from './harness/flags.js';
import { CpuMeter, report, rounded } from './machine.js';

/**
 * `npm run bench:reads`: single gets through the public client at each level, three replicas. Linearizable ones go
 * to the leader. `any` and `session` are spread over all replicas, and measured in turn with them (A B C A B C),
 * so that what else the machine does hits all alike. Gets per second of CPU time, that of the replicas alone and
 * with the client's, say what a level costs; gets per second of the clock depend on the cores at hand.
 */
const flags = benchFlags('bench:reads', {
  keys: count(100_000, 'that are there'),
  valueBytes: count(128, 'of each'),
  outstanding: count(256, 'at a time'),
  seconds: amount(4, 'of each round'),
  rounds: count(3, 'of each level, in turn'),
  json: JSON_FILE,
});
const { keys, outstanding } = flags;
const value = Buffer.alloc(flags.valueBytes, 'v');

interface Case {
  readonly level: 'linearizable' | 'any' | 'session';
  readonly from: 'leader' | 'spread';
  readonly db: Client;
}

interface Sums {
  gets: number;
  seconds: number;
  replicas: number;
  client: number;
}

async function measure({ level, db }: Case, seconds: number): Promise<Sums> {
  const cpu = new CpuMeter(cluster);
  const { calls, perSecond } = await forSeconds(seconds, outstanding, async (i) => {
    const found = await db.get(scattered(i, keys), { consistency: level });
    if (found.value === undefined) throw new Error('a key that was put is not there');
  });
  return { gets: calls, seconds: calls / perSecond, ...cpu.read() };
}

await using cluster = await LocalCluster.start({ logLevel: 'warn' });
await using leader = await cluster.connect({ timeoutMs: 30_000 });
await using spread = await cluster.connect({ timeoutMs: 30_000, readFrom: 'spread' });
await forEach(keys, 1024, (i) => leader.put(scattered(i, keys), value));
const { appliedIndex } = await cluster.waitForLeader();
await cluster.waitForApplied(appliedIndex);

const cases: readonly Case[] = [
  { level: 'linearizable', from: 'leader', db: leader },
  { level: 'any', from: 'leader', db: leader },
  { level: 'any', from: 'spread', db: spread },
  { level: 'session', from: 'spread', db: spread },
];
const sums = new Map<Case, Sums>();
for (const one of cases) await measure(one, 2); // warm: production is
for (let round = 0; round < flags.rounds; round += 1) {
  for (const one of cases) {
    const found = await measure(one, flags.seconds);
    const sum = sums.get(one) ?? { gets: 0, seconds: 0, replicas: 0, client: 0 };
    for (const field of ['gets', 'seconds', 'replicas', 'client'] as const) {
      sum[field] += found[field];
    }
    sums.set(one, sum);
    console.log(JSON.stringify({ round, level: one.level, from: one.from, ...found }));
  }
}
const perReplicaCpu = (sum: Sums): number => sum.gets / sum.replicas;
const perAllCpu = (sum: Sums): number => sum.gets / (sum.replicas + sum.client);
const [first] = [...sums.values()];
const rows = [...sums].map(([{ level, from }, sum]) => ({
  gets: `${level}, ${from}`,
  outstanding,
  'per second': rounded(sum.gets / sum.seconds),
  'per CPU second of the replicas': rounded(perReplicaCpu(sum)),
  'ratio to linearizable': first ? rounded(perReplicaCpu(sum) / perReplicaCpu(first), 2) : 1,
  'per CPU second with the client': rounded(perAllCpu(sum)),
  'its ratio': first ? rounded(perAllCpu(sum) / perAllCpu(first), 2) : 1,
}));
report('bench:reads', rows, flags.json);
