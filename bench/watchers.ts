import { LocalCluster } from '../src/cluster/local-cluster.js';
import { forEach, forSeconds, scattered } from './closed-loop.js';
import { medianAndRange, ratioInWords } from './harness/figures.js';
import { amount, benchFlags, count, JSON_FILE } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { Progress } from './harness/progress.js';
import { CpuMeter, report, rounded } from './machine.js';

/**
 * `npm run bench:watchers`: what ten thousand idle watchers cost those who write. Puts are measured without and with
 * them in turn (A B A B …): the ratio is that of each pair, its median and its range. The watchers share a few streams, all at the leader; each has a key, a
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
leaveNothingBehind();
const { watchers, streams } = flags;
const keys = 100_000;
const value = Buffer.alloc(128, 'v');

interface Round {
  readonly perSecond: number;
  /** Of the replicas. */
  readonly perCpuSecond: number;
}

/** A third each: one key, a prefix, a range; between the keys that are written and beside them. */
function watched(i: number) {
  const name = scattered(i * 7, keys);
  if (i % 3 === 0) return { key: `${name}/idle` };
  if (i % 3 === 1) return { prefix: `${name}/idle/` };
  return { from: `${name}/a`, to: `${name}/z` };
}

async function puts(seconds: number): Promise<Round> {
  const cpu = new CpuMeter(cluster);
  const { calls, perSecond } = await forSeconds(seconds, flags.outstanding, (i) =>
    db.put(scattered(i, keys), value),
  );
  return { perSecond, perCpuSecond: calls / cpu.read().replicas };
}

/** Puts while they watch. */
async function besideWatchers(): Promise<Round> {
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
const rounds = { without: [] as Round[], beside: [] as Round[] };
const progress = new Progress({ total: 2 * flags.rounds });
for (let round = 0; round < flags.rounds; round += 1) {
  const doing = `round ${round + 1} of ${flags.rounds}`;
  progress.at(2 * round, `${doing}: without watchers`);
  const without = await puts(flags.seconds);
  progress.at(2 * round + 1, `${doing}: beside watchers`);
  const beside = await besideWatchers();
  rounds.without.push(without);
  rounds.beside.push(beside);
  const rates = {
    ...{ without: rounded(without.perSecond), beside: rounded(beside.perSecond) },
    ratio: rounded(beside.perSecond / without.perSecond, 3),
  };
  progress.say(JSON.stringify({ round, ...rates }));
}
progress.end();

const of = (name: keyof typeof rounds, figure: keyof Round): number[] =>
  rounds[name].map((round) => round[figure]);
const rows = (['without', 'beside'] as const).map((name) => ({
  puts: name === 'without' ? 'without watchers' : `beside ${watchers} idle watchers`,
  ...medianAndRange('per second', of(name, 'perSecond')),
  ratio: ratioInWords(of(name, 'perSecond'), of('without', 'perSecond')),
  ...medianAndRange('per CPU second of the replicas', of(name, 'perCpuSecond')),
  'its ratio': ratioInWords(of(name, 'perCpuSecond'), of('without', 'perCpuSecond')),
}));
report('bench:watchers', rows, flags.json, { rounds });
