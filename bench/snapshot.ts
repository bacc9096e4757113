import type { Client } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { benchFlags, count, JSON_FILE } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { Progress } from './harness/progress.js';
import { MiB, memoryUse, report } from './machine.js';
import { inNumbers, SteadyLoad } from './steady-load.js';

/**
 * `npm run bench:snapshot`: a follower is away while much is written; the log is cut meanwhile, so that it
 * catches up by a snapshot when it is back, while a load goes on. Shown before, during and after: the
 * latency of the load, the memory of the leader and how long its event loop was held up.
 */
const flags = benchFlags('bench:snapshot', {
  mib: count(1024, 'MiB that are written while the follower is away'),
  valueBytes: count(16_384, 'of each'),
  outstanding: count(16, 'of the load beside it, at a time'),
  json: JSON_FILE,
});
leaveNothingBehind();
const { mib, valueBytes } = flags;
/** Longer than the window of the delay of the event loop, so that phases do not mix. */
const PHASE_MS = 15_000;

async function fill(db: Client): Promise<void> {
  const count = Math.ceil((mib * MiB) / valueBytes);
  const progress = new Progress({ total: count });
  let next = 0;
  const writer = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++) {
      // Not all alike: LevelDB compresses.
      const value = Buffer.alloc(valueBytes);
      for (let at = 0; at < valueBytes; at += 4)
        value.writeInt32LE((Math.random() * 2 ** 31) | 0, at);
      progress.at(i, `writing ${mib} MiB`);
      await db.put(`fill/${i}`, value, { timeoutMs: 60_000 });
    }
  };
  await Promise.all(Array.from({ length: 32 }, writer));
  progress.end();
}

/** Memory that is not just a view of files on the disk (LevelDB maps its tables), in MiB. */
function ownMemoryMiB(pid: number): number {
  return memoryUse(pid).anonymousBytes / MiB;
}

/** The largest figures of the leader until `until` is done. */
async function watch(cluster: LocalCluster, until: Promise<unknown>) {
  let memoryMiB = 0;
  let delayMs = 0;
  let done = false;
  void until.finally(() => {
    done = true;
  });
  while (!done) {
    const name = await cluster.leader();
    const { process } = await cluster.status(name);
    memoryMiB = Math.max(memoryMiB, ownMemoryMiB(cluster.replica(name).pid ?? 0));
    delayMs = Math.max(delayMs, process.eventLoopDelayMs);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  await until;
  return { 'leader memory MiB': Math.round(memoryMiB), 'leader loop held up ms': delayMs };
}

await using cluster = await LocalCluster.start({ logLevel: 'warn' });
await using db = await cluster.connect();
const leader = await cluster.leader();
const away = cluster.replicas.map(({ name }) => name).find((name) => name !== leader) ?? '';
await cluster.kill(away);
const filledMs = performance.now();
await fill(db);
console.log(`${mib} MiB written in ${((performance.now() - filledMs) / 1000).toFixed(1)} s`);
const { logStart } = await cluster
  .waitFor('the log to be cut', async () => {
    const status = await cluster.status(await cluster.leader());
    return status.logStart > 0;
  })
  .then(async () => cluster.status(await cluster.leader()));
console.log(`the leader's log begins behind entry ${logStart}`);

const load = new SteadyLoad(db, { outstanding: flags.outstanding, valueBytes: 128 });
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
await pause(3000);
const rows: Record<string, string | number>[] = [];
const progress = new Progress({ total: 3, unitMs: PHASE_MS });
async function phase(name: string, until: () => Promise<unknown>): Promise<void> {
  progress.at(rows.length, name);
  load.window();
  const startMs = performance.now();
  const seen = await watch(cluster, until());
  const seconds = Math.round((performance.now() - startMs) / 100) / 10;
  rows.push({ phase: name, seconds, ...inNumbers(load.window()), ...seen });
}
await phase('before', () => pause(PHASE_MS));
await phase('follower catches up', async () => {
  const { appliedIndex } = await cluster.status(await cluster.leader());
  await cluster.start(away);
  await cluster.waitFor(
    'the follower to catch up',
    async () => {
      const status = await cluster.status(away);
      return status.appliedIndex >= appliedIndex;
    },
    { timeoutMs: 600_000 },
  );
});
await phase('after', () => pause(PHASE_MS));
await load.stop();
const status = await cluster.status(away);
progress.end();
report('bench:snapshot', rows, flags.json, {
  ...{ mib, valueBytes, leaderLogStart: logStart, followerLogStart: status.logStart },
});
console.log(`the follower's log begins behind entry ${status.logStart}`);
