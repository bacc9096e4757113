import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client, JobDefinition } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { spawnWorker } from '../src/cluster/spawn-worker.js';
import { rounded } from './machine.js';

/** Jobs whose workers are lost: what that costs, and how soon somebody else goes on. */

const TASKS = `
import { setTimeout as delay } from 'node:timers/promises';
export async function wait({ input }) { await delay(input); return input; }
export async function begun({ attempt }) {
  const nowMs = Date.now();
  if (attempt === 1) await delay(1e9);
  return nowMs;
}
`;

const TASK_MS = 100;
const SLOTS = 4;
const WORKERS = 2;
/** A worker, and the leader, are killed this often. */
const KILL_MS = 4000;

const patient = (task: string): JobDefinition => ({
  name: task,
  stages: { work: { task, speculate: false, poisonAfter: 1000, lostRetries: 1000 } },
});

/** `balsa worker` processes of one cluster. */
class Workers implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'bench-workers-'));
  readonly #endpoints: readonly string[];
  readonly #running = new Set<ChildProcess>();

  constructor({ endpoints }: LocalCluster) {
    this.#endpoints = endpoints;
    writeFileSync(join(this.#folder, 'tasks.mjs'), TASKS);
  }

  /** Resolves when it waits for tasks. */
  async start(): Promise<ChildProcess> {
    const child = spawnWorker({
      ...{ tasks: join(this.#folder, 'tasks.mjs'), slots: SLOTS, endpoints: this.#endpoints },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#running.add(child);
    child.once('exit', () => this.#running.delete(child));
    for await (const said of child.stderr ?? []) {
      if (String(said).includes('waits for tasks')) break;
    }
    child.stderr?.resume();
    return child;
  }

  /** The one that has been there for longest. */
  async killOldest(): Promise<void> {
    const [oldest] = this.#running;
    if (oldest === undefined) return;
    const ended = once(oldest, 'exit');
    oldest.kill('SIGKILL');
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#running.size > 0) await this.killOldest();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A job alone, and the same while every four seconds a worker and the leader are killed, and come back. */
export async function disturbed(tasks: number): Promise<Record<string, number>> {
  await using cluster = await LocalCluster.start();
  await using db = await cluster.connect({ timeoutMs: 60_000 });
  await using workers = new Workers(cluster);
  for (let i = 0; i < WORKERS; i += 1) await workers.start();
  await run(db, WORKERS * SLOTS);
  const alone = await run(db, tasks);
  const stopping = new AbortController();
  const harm = nemesis(cluster, workers, stopping.signal);
  const beside = await run(db, tasks);
  stopping.abort();
  const kills = await harm;
  return {
    'workers: s for the job, alone': rounded(alone / 1000, 1),
    'workers: s for the job, workers and leaders killed': rounded(beside / 1000, 1),
    'workers: killed, and leaders': kills,
    'workers: ratio': rounded(beside / alone, 2),
  };
}

/** @returns how often */
async function nemesis(
  cluster: LocalCluster,
  workers: Workers,
  signal: AbortSignal,
): Promise<number> {
  let kills = 0;
  for (;;) {
    await delay(KILL_MS, null, { signal }).catch(() => {});
    if (signal.aborted) return kills;
    kills += 1;
    const leader = await cluster.leader();
    await Promise.all([workers.killOldest(), cluster.kill(leader)]);
    await Promise.all([workers.start(), cluster.start(leader)]);
  }
}

async function run(db: Client, tasks: number): Promise<number> {
  const list = Array.from({ length: tasks }, () => TASK_MS);
  const startedMs = performance.now();
  const handle = await db.submit(patient('wait'), null, { input: { list } });
  const results = await handle.result<number[]>();
  if (results.length !== tasks) throw new Error(`${results.length} results of ${tasks} tasks`);
  return performance.now() - startedMs;
}

/** How long after its worker was killed a task is begun by another one. */
export async function lost(rounds: number): Promise<Record<string, number>> {
  await using cluster = await LocalCluster.start();
  await using db = await cluster.connect({ timeoutMs: 60_000 });
  await using workers = new Workers(cluster);
  await workers.start();
  const times: number[] = [];
  for (let i = 0; i < rounds; i += 1) {
    const handle = await db.submit(patient('begun'), null, { input: { list: [i] } });
    while ((await handle.status()).stages[0]?.running !== 1) await delay(50);
    await workers.start();
    const killedMs = Date.now();
    await workers.killOldest();
    const [begunMs = 0] = await handle.result<number[]>();
    times.push(begunMs - killedMs);
  }
  return {
    'ms until a lost task is begun again, longest': Math.max(...times),
    'ms until a lost task is begun again, shortest': Math.min(...times),
  };
}
