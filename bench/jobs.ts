import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client, JobDefinition } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { bundleOf } from './bundle-of.js';
import { forSeconds } from './closed-loop.js';
import { amount, benchFlags, count, JSON_FILE, someOf } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { disturbed, lost } from './jobs-disturbed.js';
import { MiB, memoryUse, report, rounded } from './machine.js';

/**
 * `npm run bench:jobs`: what a task costs that does nothing, how much faster tasks that compute get with more threads, and what a
 * job of a million tasks takes from puts beside it, and in memory; how much longer a job takes while workers and leaders are killed,
 * and how soon a task of a lost worker is begun again.
 */
const PARTS = ['overhead', 'speed-up', 'puts', 'disturbed', 'lost'] as const;

const flags = benchFlags('bench:jobs', {
  tasks: count(20_000, 'empty ones'),
  many: count(1_000_000, 'tasks of the job beside which puts are measured'),
  outstanding: count(64, 'puts at a time'),
  seconds: amount(8, 'of puts'),
  only: someOf(PARTS, PARTS, 'what is measured'),
  json: JSON_FILE,
});
leaveNothingBehind();
const parts = flags.only;
/** About twenty seconds of two workers with four slots. */
const DISTURBED_TASKS = 1600;
const LOST_ROUNDS = 3;

const CODE = `
import { read } from 'balsa/procedures';
export const empty = read({ handler: () => null });
export const spin = read({
  handler: (_ctx, rounds: number) => {
    let x = 0;
    for (let i = 0; i < rounds; i += 1) x = (x * 31 + i) % 1000003;
    return x;
  },
});
`;

async function started(
  options: { replicas: number; threads: number },
  use: (db: Client, cluster: LocalCluster) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-jobs-'));
  try {
    const config = join(folder, 'limits.json');
    writeFileSync(config, JSON.stringify({ limits: { taskThreadsMax: options.threads } }));
    await using cluster = await LocalCluster.start({
      replicas: options.replicas,
      extraArgs: ['--config', config],
    });
    await using db = await cluster.connect({ timeoutMs: 60_000 });
    await db.procedures.deploy(await bundleOf(CODE));
    await use(db, cluster);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const stageOf = (run: string): JobDefinition => ({
  name: run,
  stages: { work: { run, speculate: false } },
});

/** How long it took from the first claim to the last end, in milliseconds of log time. */
async function took(db: Client, run: string, list: readonly unknown[]): Promise<number> {
  const handle = await db.submit(stageOf(run), null, { input: { list } });
  const { phase, stages } = await handle.wait({ intervalMs: 100 });
  const [stage] = stages;
  if (phase !== 'succeeded' || stage === undefined) throw new Error(`the job is ${phase}`);
  return stage.endedMs - stage.beganMs;
}

async function overhead(): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  const list = Array.from({ length: flags.tasks }, () => null);
  for (const [name, options] of [
    ['1 replica, 8 threads', { replicas: 1, threads: 8 }],
    ['1 replica, 2 threads', { replicas: 1, threads: 2 }],
    ['3 replicas, 3 threads each', { replicas: 3, threads: 3 }],
  ] as const) {
    await started(options, async (db, cluster) => {
      await took(db, 'empty', list.slice(0, 500));
      found[`ms per empty task, ${name}`] = rounded(
        (await took(db, 'empty', list)) / list.length,
        3,
      );
      found[`MiB of memory of a replica at most, ${name}`] = largestMiB(cluster);
    });
  }
  return found;
}

function largestMiB({ running }: LocalCluster): number {
  const sizes = running.map(({ pid }) => memoryUse(pid ?? 0).residentMaxBytes / MiB);
  return rounded(Math.max(...sizes));
}

async function speedUp(): Promise<Record<string, number>> {
  const cores = availableParallelism();
  const times: number[] = [];
  let rounds = 0;
  for (const threads of [1, cores]) {
    await started({ replicas: 1, threads }, async (db) => {
      // About 100 ms for one task, on this machine as it is now.
      if (rounds === 0) {
        await took(db, 'spin', [1000]);
        const ms = await took(db, 'spin', [2_000_000]);
        rounds = Math.round((2_000_000 * 100) / Math.max(1, ms));
      }
      const list = Array.from({ length: 60 }, () => rounds);
      await took(db, 'spin', list.slice(0, 2 * threads));
      times.push(await took(db, 'spin', list));
    });
  }
  const [alone = 0, all = 1] = times;
  return {
    cores,
    'ms for 60 tasks, 1 thread': alone,
    [`ms for 60 tasks, ${cores} threads`]: all,
    'speed-up per core': rounded(alone / all / cores, 2),
  };
}

async function puts(): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  await started({ replicas: 3, threads: 1 }, async (db, cluster) => {
    const value = Buffer.alloc(128, 'x');
    let next = 0;
    const { seconds } = flags;
    const put = (): Promise<unknown> => db.put(`key/${next++ % 100_000}`, value);
    const perSecond = async (): Promise<number> =>
      (await forSeconds(seconds, flags.outstanding, put)).perSecond;
    // Threads are started with the first tasks.
    await took(
      db,
      'empty',
      Array.from({ length: 500 }, () => null),
    );
    await perSecond();
    const alone = await perSecond();
    const list = Array.from({ length: flags.many }, (_, i) => i);
    const handle = await db.submit(stageOf('empty'), null, { input: { list } });
    // What it took to bring the list is not what the job takes.
    await perSecond();
    const before = await handle.status();
    const beside = await perSecond();
    const after = await handle.status();
    await handle.cancel();
    const again = await perSecond();
    found['puts per second, alone'] = rounded((alone + again) / 2);
    found['puts per second, beside the job'] = rounded(beside);
    found.ratio = rounded((2 * beside) / (alone + again), 2);
    found['tasks done meanwhile'] = (after.stages[0]?.done ?? 0) - (before.stages[0]?.done ?? 0);
    const { replica } = await cluster.waitForLeader();
    const { pid = null } = cluster.running.find(({ name }) => name === replica) ?? {};
    found['MiB of memory of the leader, at most'] = rounded(
      memoryUse(pid ?? 0).residentMaxBytes / MiB,
    );
  });
  return found;
}

const results: Record<string, number> = {};
if (parts.includes('overhead')) Object.assign(results, await overhead());
if (parts.includes('speed-up')) Object.assign(results, await speedUp());
if (parts.includes('puts')) Object.assign(results, await puts());
if (parts.includes('disturbed')) Object.assign(results, await disturbed(DISTURBED_TASKS));
if (parts.includes('lost')) Object.assign(results, await lost(LOST_ROUNDS));
report(
  'jobs',
  Object.entries(results).map(([what, value]) => ({ what, value })),
  flags.json,
);
