import { LocalCluster } from '../src/cluster/local-cluster.js';
import { forEach, forSeconds, scattered } from './closed-loop.js';
import { amount, benchFlags, count, JSON_FILE } from './harness/flags.js';
import { CpuMeter, report, rounded } from './machine.js';

/**
 * `npm run bench:watchers`: what ten thousand idle watchers cost those who write. Puts are measured without and with
 * them in turn (A B A B …), as a ratio. The watchers share a few streams, all at the leader; each has a key, a
 * prefix or a range of its own that nobody writes.
 */
const flags = benchFlags('bench:watchers', {
  watchers: count(10_000, 'that hear nothing'),
  streams: count(4, 'that they share'),
  outstanding: count(256, 'puts at a time'),
  seconds: amount(5, 'of each round'),
  rounds: count(4, 'without and with them, in turn'),
  replicas: count(3, 'of the cluster'),
  json: JSON_FILE,
});
const { watchers, streams } = flags;
const keys = 100_000;
const value = Buffer.alloc(128, 'v');

interface Sums {
  puts: number;
  seconds: number;
  replicas: number;
  client: number;
}

/** A third each: one key, a prefix, a range; between the keys that are written and beside them. */
function watched(i: number) {
  const name = scattered(i * 7, keys);
  if (i % 3 === 0) return { key: `${name}/idle` };
  if (i % 3 === 1) return { prefix: `${name}/idle/` };
  return { from: `${name}/a`, to: `${name}/z` };
}

async function puts(seconds: number): Promise<Sums> {
  const cpu = new CpuMeter(cluster);
  const { calls, perSecond } = await forSeconds(seconds, flags.outstanding, (i) =>
    db.put(scattered(i, keys), value),
  );
  return { puts: calls, seconds: calls / perSecond, ...cpu.read() };
}

/** Puts while they watch. */
async function besideWatchers(): Promise<Sums> {
  const clients = await Promise.all(
    Array.from({ length: streams }, () => cluster.connect({ timeoutMs: 60_000 })),
  );
  const watches = Array.from({ length: watchers }, (_, i) => {
    const client = clients[i % clients.length] ?? db;
    return client.watch(watched(i));
  });
  await Promise.all(watches.map((watch) => watch.ready));
  const found = await puts(flags.seconds);
  for (const client of clients) await client.close();
  return found;
}

await using cluster = await LocalCluster.start({
  replicas: flags.replicas,
  logLevel: 'warn',
});
await using db = await cluster.connect({ timeoutMs: 60_000 });
await forEach(keys, 1024, (i) => db.put(scattered(i, keys), value));
await puts(2);
const sums = {
  without: { puts: 0, seconds: 0, replicas: 0, client: 0 },
  beside: { puts: 0, seconds: 0, replicas: 0, client: 0 },
};
const add = (sum: Sums, found: Sums): void => {
  for (const field of ['puts', 'seconds', 'replicas', 'client'] as const)
    sum[field] += found[field];
};
for (let round = 0; round < flags.rounds; round += 1) {
  add(sums.without, await puts(flags.seconds));
  console.log(JSON.stringify({ round, without: sums.without }));
  add(sums.beside, await besideWatchers());
  console.log(JSON.stringify({ round, beside: sums.beside }));
}
const perSecond = (sum: Sums): number => sum.puts / sum.seconds;
const perCpu = (sum: Sums): number => sum.puts / sum.replicas;
const rows = Object.entries(sums).map(([name, sum]) => ({
  puts: name === 'without' ? 'without watchers' : `beside ${watchers} idle watchers`,
  'per second': rounded(perSecond(sum)),
  ratio: rounded(perSecond(sum) / perSecond(sums.without), 3),
  'per CPU second of the replicas': rounded(perCpu(sum)),
  'its ratio': rounded(perCpu(sum) / perCpu(sums.without), 3),
}));
report('bench:watchers', rows, flags.json);
