import { median } from '../src/cli/bench/latencies.js';
import { BalsaError, type Client } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { bundleOf } from './bundle-of.js';
import { forEach, forSeconds } from './closed-loop.js';
import { medianAndRange, ratioInWords } from './harness/figures.js';
import { amount, benchFlags, count, JSON_FILE, text } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { Progress } from './harness/progress.js';
import { CpuMeter, cpuSeconds, report, rounded } from './machine.js';
import { TRANSFER } from './procedure-code.js';

/**
 * `npm run bench:calls`: calls of stored procedures through the public client, three replicas, in turn (A B C A B C): a
 * transfer that reads two keys and writes two, between accounts all over; the same with 80 of 100 calls on one pair of accounts; the same
 * through optimistic transactions of the client, both ways (what a store without procedures would have them do); and a
 * procedure that reads two keys, at the leader and spread over the replicas, with the CPU time that each replica spent. What is
 * compared stands side by side: a ratio is that of two rounds of the same turn, the median and the range of them.
 */
const flags = benchFlags('bench:calls', {
  accounts: count(10_000, 'that calls move money between'),
  outstanding: count(256, 'at a time'),
  seconds: amount(4, 'of each round'),
  rounds: count(3, 'of each kind of call, in turn'),
  warm: amount(8, 'seconds of each kind before, not counted'),
  only: text('kinds of calls whose name has this in it'),
  json: JSON_FILE,
});
leaveNothingBehind();
const { accounts, outstanding } = flags;

const CODE = `
import { procedure, read } from 'balsa/procedures';
${TRANSFER}
export const both = read({
  handler: (ctx, { from, to }: { from: string; to: string }) =>
    (ctx.get<number>(from) ?? 0) + (ctx.get<number>(to) ?? 0),
});
`;

const account = (i: number): string => `account/${String(i % accounts).padStart(8, '0')}`;

/** Two different accounts; `hot`: 80 of 100 times the same two. */
function pair(i: number, isHot: boolean): { readonly from: string; readonly to: string } {
  if (isHot && (i * 37) % 100 < 80) return { from: account(0), to: account(1) };
  const n = (i * 7919) % accounts;
  return { from: account(n), to: account(n + 1 + ((i * 104_729) % (accounts - 1))) };
}

/** What a client does that has no procedures: reads, and writes if nothing has changed; again until it is so. */
async function optimistic(db: Client, { from, to }: ReturnType<typeof pair>): Promise<void> {
  for (;;) {
    try {
      await db.transaction(async (tx) => {
        const left = Number((await tx.get(from)).value ?? 0);
        const right = Number((await tx.get(to)).value ?? 0);
        tx.put(from, String(left - 1));
        tx.put(to, String(right + 1));
      });
      return;
    } catch (error) {
      if (!(error instanceof BalsaError) || error.code !== 'TXN_CONFLICT') throw error;
    }
  }
}

await using cluster = await LocalCluster.start({ logLevel: 'warn' });
await using leader = await cluster.connect({ timeoutMs: 60_000 });
await using spread = await cluster.connect({ timeoutMs: 60_000, readFrom: 'spread' });
await leader.procedures.deploy(await bundleOf(CODE));
await forEach(accounts, 1024, (i) => leader.put(account(i), '1000'));
const { appliedIndex } = await cluster.waitForLeader();
await cluster.waitForApplied(appliedIndex);

interface Case {
  readonly name: string;
  /** What it is compared with. */
  readonly against?: string;
  readonly call: (i: number) => Promise<unknown>;
}

const transfer = (i: number, isHot: boolean): Promise<unknown> =>
  leader.call('transfer', { ...pair(i, isHot), amount: 1 });
const ANY = { consistency: 'any' } as const;

const cases: readonly Case[] = [
  { name: 'cp, all over', call: (i) => transfer(i, false) },
  {
    ...{ name: 'client transactions, all over', against: 'cp, all over' },
    call: (i) => optimistic(leader, pair(i, false)),
  },
  { name: 'cp, 80% on one pair', call: (i) => transfer(i, true) },
  {
    ...{ name: 'client transactions, 80% on one pair', against: 'cp, 80% on one pair' },
    call: (i) => optimistic(leader, pair(i, true)),
  },
  { name: 'read, leader', call: (i) => leader.call('both', pair(i, false), ANY) },
  {
    ...{ name: 'read, spread', against: 'read, leader' },
    call: (i) => spread.call('both', pair(i, false), ANY),
  },
];

interface Round {
  readonly perSecond: number;
  readonly perCpuSecond: number;
  /** Of each replica. */
  readonly cpuPercents: readonly number[];
  readonly clientCpuPercent: number;
}

const pids = cluster.running.flatMap(({ pid }) => pid ?? []);

async function measure({ call }: Case, seconds: number): Promise<Round> {
  const cpu = new CpuMeter(cluster);
  const before = pids.map(cpuSeconds);
  const { calls, perSecond } = await forSeconds(seconds, outstanding, call);
  const tookSeconds = calls / perSecond;
  const { replicas, client } = cpu.read();
  return {
    ...{ perSecond, perCpuSecond: calls / replicas },
    cpuPercents: pids.map((pid, i) => (100 * (cpuSeconds(pid) - (before[i] ?? 0))) / tookSeconds),
    clientCpuPercent: (100 * client) / tookSeconds,
  };
}

const chosen = cases.filter(({ name }) => name.includes(flags.only ?? ''));
const rounds = new Map(chosen.map(({ name }): [string, Round[]] => [name, []]));
const roundSeconds = chosen.length * flags.seconds;
const warmSeconds = chosen.length * flags.warm;
const progress = new Progress({
  ...{ total: warmSeconds + flags.rounds * roundSeconds, unitMs: 1000 },
});
// Warm, as production is: the interpreter is compiled while it runs.
for (const [i, one] of chosen.entries()) {
  progress.at(i * flags.warm, `warming: ${one.name}`);
  await measure(one, flags.warm);
}
for (let round = 0; round < flags.rounds; round += 1) {
  for (const [i, one] of chosen.entries()) {
    const done = warmSeconds + round * roundSeconds + i * flags.seconds;
    progress.at(done, `round ${round + 1} of ${flags.rounds}: ${one.name}`);
    const found = await measure(one, flags.seconds);
    rounds.get(one.name)?.push(found);
    const perSecond = rounded(found.perSecond);
    progress.say(JSON.stringify({ round, calls: one.name, perSecond }));
  }
}
progress.end();

const of = (name: string, figure: (round: Round) => number): number[] =>
  (rounds.get(name) ?? []).map(figure);
const rate = (name: string): number[] => of(name, ({ perSecond }) => perSecond);
const rows = chosen.map(({ name, against }) => ({
  ...{ calls: name, outstanding, ...medianAndRange('per second', rate(name)) },
  ratio:
    against === undefined || !rounds.has(against)
      ? ''
      : `${ratioInWords(rate(name), rate(against))} of ${against}`,
  ...medianAndRange(
    'per CPU second of the replicas',
    of(name, ({ perCpuSecond }) => perCpuSecond),
  ),
  'CPU of each replica, %': pids
    .map((_, i) => rounded(median(of(name, ({ cpuPercents }) => cpuPercents[i] ?? Number.NaN))))
    .join(' '),
  'CPU of the client, %': rounded(median(of(name, ({ clientCpuPercent }) => clientCpuPercent))),
}));
report('bench:calls', rows, flags.json, { rounds: Object.fromEntries(rounds) });
