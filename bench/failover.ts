import type { Client } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { medianAndRange } from './harness/figures.js';
import { benchFlags, count, JSON_FILE } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { Progress } from './harness/progress.js';
import { report, rounded } from './machine.js';

/**
 * `npm run bench:failover`: how long do writes stand still when the leader is lost? Each round a fresh
 * leader is killed with SIGKILL (its connections break at once) or paused with SIGSTOP (they stay
 * open, as when a machine loses power or a cable is cut), under 32 outstanding puts. The figure is the
 * longest gap between two acknowledgements.
 */
const flags = benchFlags('bench:failover', {
  rounds: count(10, 'of each kind of loss'),
  json: JSON_FILE,
});
leaveNothingBehind();
const { rounds } = flags;

type Loss = 'SIGKILL' | 'SIGSTOP';

async function standstill(cluster: LocalCluster, db: Client, loss: Loss): Promise<number> {
  const leader = await cluster.leader();
  let acknowledged = 0;
  let lastMs = performance.now();
  let longestMs = 0;
  let running = true;
  const writer = async (id: number): Promise<void> => {
    while (running) {
      await db.put(`failover/${id}`, String(acknowledged), { timeoutMs: 30_000 });
      const nowMs = performance.now();
      longestMs = Math.max(longestMs, nowMs - lastMs);
      lastMs = nowMs;
      acknowledged += 1;
    }
  };
  const writers = Array.from({ length: 32 }, (_, i) => writer(i));
  const grown = (by: number): Promise<void> => {
    const from = acknowledged;
    return cluster.waitFor(`${by} more writes`, () => Promise.resolve(acknowledged >= from + by));
  };
  await grown(500);
  longestMs = 0;
  if (loss === 'SIGKILL') await cluster.kill(leader);
  else cluster.pause(leader);
  await grown(500);
  running = false;
  await Promise.all(writers);
  if (loss === 'SIGKILL') await cluster.start(leader);
  else cluster.resume(leader);
  const { appliedIndex } = await cluster.waitForLeader();
  await cluster.waitForApplied(appliedIndex);
  return longestMs;
}

await using cluster = await LocalCluster.start({ logLevel: 'warn' });
await using db = await cluster.connect();
const progress = new Progress({ total: 2 * rounds });
const rows: Record<string, string | number>[] = [];
for (const loss of ['SIGKILL', 'SIGSTOP'] as const) {
  const gaps: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    progress.at(rows.length * rounds + round, `${loss}, round ${round + 1} of ${rounds}`);
    gaps.push(await standstill(cluster, db, loss));
  }
  const found = medianAndRange('longest standstill ms', gaps);
  rows.push({
    'leader lost by': loss,
    rounds,
    ...found,
    each: gaps.map((ms) => rounded(ms)).join(' '),
  });
  progress.say(JSON.stringify(rows.at(-1)));
}
progress.end();
report('bench:failover', rows, flags.json);
