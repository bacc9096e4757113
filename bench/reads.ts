import type { Client, ConsistencyOption } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { forEach, forSeconds, scattered } from './closed-loop.js';
import { medianAndRange, ratioInWords } from './harness/figures.js';
import { amount, benchFlags, count, JSON_FILE } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { Progress } from './harness/progress.js';
import { CpuMeter, report, rounded } from './machine.js';

/**
 * `npm run bench:reads`: single gets through the public client at each level, three replicas. Linearizable ones go
 * to the leader. The others are spread over all replicas (`any` also at the leader), and measured in turn with them (A B C A B C),
 * so that what else the machine does hits all alike: a ratio is that of two rounds of the same turn, the median and the range of them.
 * Gets per second of CPU time, that of the replicas alone and with the client's, say what a level costs; gets per second of the
 * clock depend on the cores at hand.
 */
const flags = benchFlags('bench:reads', {
  keys: count(100_000, 'that are there'),
  valueBytes: count(128, 'of each'),
  outstanding: count(256, 'at a time'),
  seconds: amount(4, 'of each round'),
  rounds: count(3, 'of each level, in turn'),
  boundedMs: count(1000, 'that a bounded read may be old'),
  json: JSON_FILE,
});
leaveNothingBehind();
const { keys, outstanding } = flags;
const value = Buffer.alloc(flags.valueBytes, 'v');
const WARM_UP_SECONDS = 2;

interface Case {
  readonly name: string;
  readonly level: ConsistencyOption;
  readonly db: Client;
}

interface Round {
  readonly perSecond: number;
  /** Of the replicas. */
  readonly perCpuSecond: number;
  readonly perCpuSecondWithClient: number;
}

async function measure({ level, db }: Case, seconds: number): Promise<Round> {
  const cpu = new CpuMeter(cluster);
  const { calls, perSecond } = await forSeconds(seconds, outstanding, async (i) => {
    const { value: found } = await db.get(scattered(i, keys), { consistency: level });
    if (found?.byteLength !== flags.valueBytes) throw new Error('a key that was put is not there');
  });
  const { replicas, client } = cpu.read();
  return {
    perSecond,
    ...{ perCpuSecond: calls / replicas, perCpuSecondWithClient: calls / (replicas + client) },
  };
}

await using cluster = await LocalCluster.start({ logLevel: 'warn' });
await using leader = await cluster.connect({ timeoutMs: 30_000 });
await using spread = await cluster.connect({ timeoutMs: 30_000, readFrom: 'spread' });
await forEach(keys, 1024, (i) => leader.put(scattered(i, keys), value));
const { appliedIndex } = await cluster.waitForLeader();
await cluster.waitForApplied(appliedIndex);
const { revision } = await leader.info();

const cases: readonly Case[] = [
  { name: 'linearizable, leader', level: 'linearizable', db: leader },
  { name: 'any, leader', level: 'any', db: leader },
  { name: 'any, spread', level: 'any', db: spread },
  { name: 'session, spread', level: 'session', db: spread },
  {
    name: `bounded (${flags.boundedMs} ms), spread`,
    ...{ level: { bounded: flags.boundedMs }, db: spread },
  },
  { name: 'at a revision, spread', level: { at: revision }, db: spread },
];
const rounds = cases.map((): Round[] => []);
const roundSeconds = cases.length * flags.seconds;
const warmSeconds = cases.length * WARM_UP_SECONDS;
const progress = new Progress({
  ...{ total: warmSeconds + flags.rounds * roundSeconds, unitMs: 1000 },
});
// Warm, as production is.
for (const [i, one] of cases.entries()) {
  progress.at(i * WARM_UP_SECONDS, `warming: ${one.name}`);
  await measure(one, WARM_UP_SECONDS);
}
for (let round = 0; round < flags.rounds; round += 1) {
  for (const [i, one] of cases.entries()) {
    const done = warmSeconds + round * roundSeconds + i * flags.seconds;
    progress.at(done, `round ${round + 1} of ${flags.rounds}: ${one.name}`);
    const found = await measure(one, flags.seconds);
    rounds[i]?.push(found);
    progress.say(JSON.stringify({ round, gets: one.name, ...inNumbers(found) }));
  }
}
progress.end();

function inNumbers({ perSecond, perCpuSecond, perCpuSecondWithClient }: Round) {
  return {
    ...{ perSecond: rounded(perSecond), perCpuSecond: rounded(perCpuSecond) },
    perCpuSecondWithClient: rounded(perCpuSecondWithClient),
  };
}

const of = (i: number, figure: keyof Round): number[] =>
  (rounds[i] ?? []).map((round) => round[figure]);
const rows = cases.map(({ name }, i) => ({
  ...{ gets: name, outstanding, ...medianAndRange('per second', of(i, 'perSecond')) },
  ...medianAndRange('per CPU second of the replicas', of(i, 'perCpuSecond')),
  'ratio to linearizable': ratioInWords(of(i, 'perCpuSecond'), of(0, 'perCpuSecond')),
  ...medianAndRange('per CPU second with the client', of(i, 'perCpuSecondWithClient')),
  'its ratio': ratioInWords(of(i, 'perCpuSecondWithClient'), of(0, 'perCpuSecondWithClient')),
}));
report('bench:reads', rows, flags.json, {
  rounds: Object.fromEntries(cases.map(({ name }, i) => [name, rounds[i]])),
});
