import { BalsaError, type Client } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { bundleOf } from './bundle-of.js';
import { forEach, forSeconds } from './closed-loop.js';
import { amount, benchFlags, count, JSON_FILE, text } from './harness/flags.js';
import { CpuMeter, cpuSeconds, report, rounded } from './machine.js';
import { TRANSFER } from './procedure-code.js';

/**
 * `npm run bench:calls`: calls of stored procedures through the public client, three replicas, in turn (A B C A B C): a
 * transfer that reads two keys and writes two, between accounts all over; the same with 80 of 100 calls on one pair of accounts; the same
 * through optimistic transactions of the client, both ways (what a store without procedures would have them do); and a
 * procedure that reads two keys, at the leader and spread over the replicas, with the CPU time that each replica spent.
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
        const left = Number((await tx.get(from)) ?? 0);
        const right = Number((await tx.get(to)) ?? 0);
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
  readonly call: (i: number) => Promise<unknown>;
}

const cases: readonly Case[] = [
  { name: 'cp, all over', call: (i) => leader.call('transfer', { ...pair(i, false), amount: 1 }) },
  {
    name: 'cp, 80% on one pair',
    call: (i) => leader.call('transfer', { ...pair(i, true), amount: 1 }),
  },
  { name: 'client transactions, all over', call: (i) => optimistic(leader, pair(i, false)) },
  { name: 'client transactions, 80% on one pair', call: (i) => optimistic(leader, pair(i, true)) },
  {
    name: 'read, leader',
    call: (i) => leader.call('both', pair(i, false), { consistency: 'any' }),
  },
  {
    name: 'read, spread',
    call: (i) => spread.call('both', pair(i, false), { consistency: 'any' }),
  },
];

interface Sums {
  calls: number;
  seconds: number;
  replicas: number;
  client: number;
  /** CPU seconds of each replica. */
  each: number[];
}

const pids = cluster.running.flatMap(({ pid }) => pid ?? []);

async function measure({ call }: Case, seconds: number): Promise<Sums> {
  const cpu = new CpuMeter(cluster);
  const before = pids.map(cpuSeconds);
  const { calls, perSecond } = await forSeconds(seconds, outstanding, call);
  const each = pids.map((pid, i) => cpuSeconds(pid) - (before[i] ?? 0));
  return { calls, seconds: calls / perSecond, ...cpu.read(), each };
}

const chosen = cases.filter(({ name }) => name.includes(flags.only ?? ''));
const sums = new Map<Case, Sums>();
// Warm, as production is: the interpreter is compiled while it runs.
for (const one of chosen) await measure(one, flags.warm);
for (let round = 0; round < flags.rounds; round += 1) {
  for (const one of chosen) {
    const found = await measure(one, flags.seconds);
    const sum = sums.get(one) ?? {
      calls: 0,
      seconds: 0,
      replicas: 0,
      client: 0,
      each: pids.map(() => 0),
    };
    for (const field of ['calls', 'seconds', 'replicas', 'client'] as const)
      sum[field] += found[field];
    sum.each = sum.each.map((cpu, i) => cpu + (found.each[i] ?? 0));
    sums.set(one, sum);
    console.log(JSON.stringify({ round, name: one.name, perSecond: found.calls / found.seconds }));
  }
}
const perSecond = (sum: Sums): number => sum.calls / sum.seconds;
const [first] = [...sums.values()];
const rows = [...sums].map(([{ name }, sum]) => ({
  calls: name,
  outstanding,
  'per second': rounded(perSecond(sum)),
  'to the first': first ? rounded(perSecond(sum) / perSecond(first), 2) : 1,
  'per CPU second of the replicas': rounded(sum.calls / sum.replicas),
  'CPU of each replica, %': sum.each.map((cpu) => rounded((100 * cpu) / sum.seconds)).join(' '),
  'CPU of the client, %': rounded((100 * sum.client) / sum.seconds),
}));
report('bench:calls', rows, flags.json);
