import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keyOf } from '../src/cli/bench/keys.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { killAll, START_MS_MAX, startAll } from './all-replicas.js';
import { forEach } from './closed-loop.js';
import { benchFlags, count, counts, JSON_FILE, oneOf } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { Progress } from './harness/progress.js';
import { folderBytes, MiB, memoryUse, report, rounded } from './machine.js';

/**
 * `npm run bench:restart -- --entries 1000000,5000000`: how soon all replicas serve again that were killed (SIGKILL) with so many
 * entries behind them, one put in each. `--log cut` (default): the log is cut behind what the store holds, as it is without settings.
 * `--log whole`: all of it is still there, and is read and checked.
 */
const flags = benchFlags('bench:restart', {
  entries: counts([1_000_000, 5_000_000], 'behind which replicas are killed'),
  members: count(3, 'of the cluster'),
  keys: count(1_000_000, 'that are written'),
  valueBytes: count(128, 'of each'),
  log: oneOf(['cut', 'whole'], 'cut', 'behind snapshots, or kept'),
  times: count(3, 'that they are killed'),
  json: JSON_FILE,
});
leaveNothingBehind();
const isWhole = flags.log === 'whole';
const { keys } = flags;
const steps = flags.entries.toSorted((a, b) => a - b);
const progress = new Progress({ total: steps.at(-1) ?? 0 });
const value = Buffer.alloc(flags.valueBytes, 'v');
const OUTSTANDING = 1024;
const GiB = 1024 * MiB;

/** Else hundreds of puts share an entry. */
const ONE_PUT_EACH = { entryOperationsMax: 1, operationsPerBatchMax: 1 };
const NEVER_CUT = { logEntriesMax: 1_000_000_000, logBytesMax: 256 * GiB };

const folder = mkdtempSync(join(tmpdir(), 'balsa-restart-'));
const config = join(folder, 'config.json');
writeFileSync(
  config,
  JSON.stringify({ limits: { ...ONE_PUT_EACH, ...(isWhole ? NEVER_CUT : {}) } }),
);

const rows: Record<string, string | number>[] = [];
try {
  await using cluster = await LocalCluster.start({
    ...{ replicas: flags.members, logLevel: 'warn', folder: join(folder, 'cluster') },
    extraArgs: ['--config', config],
  });
  let written = 0;
  for (const entries of steps) {
    const seconds = await fill(cluster, written, entries - written);
    const perSecond = (entries - written) / seconds;
    written = entries;
    for (let i = 0; i < flags.times; i += 1) {
      progress.at(entries, `behind ${entries} entries: restart ${i + 1} of ${flags.times}`);
      await restart(cluster, entries, perSecond);
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
progress.end();
report('bench:restart', rows, flags.json);

async function fill(cluster: LocalCluster, from: number, count: number): Promise<number> {
  await using db = await cluster.connect({ timeoutMs: START_MS_MAX });
  return await forEach(count, OUTSTANDING, (i) => {
    progress.at(from + i, `writing ${from + count} entries`);
    return db.put(keyOf((from + i) % keys), value);
  });
}

async function restart(cluster: LocalCluster, entries: number, perSecond: number): Promise<void> {
  const { lastIndex, appliedIndex, logStart } = await cluster.waitForLeader();
  if (lastIndex < entries) throw new Error(`${entries} puts came to ${lastIndex} entries only`);
  await killAll(cluster);
  const logs = cluster.replicas.map(({ dataFolder }) => folderBytes(join(dataFolder, 'wal')));
  const disks = cluster.replicas.map(({ dataFolder }) => folderBytes(dataFolder));
  const startedMs = performance.now();
  await using db = await startAll(cluster);
  await db.get(keyOf((entries - 1) % keys));
  const servedMs = performance.now() - startedMs;
  await cluster.waitForApplied(appliedIndex, { timeoutMs: START_MS_MAX });
  const allMs = performance.now() - startedMs;
  const resident = cluster.running.map(({ pid }) => memoryUse(pid ?? 0).residentMaxBytes);
  const row = {
    ...{ entries, log: flags.log, 'put per second': rounded(perSecond) },
    ...{ 'in the log': lastIndex - logStart, 'log MiB': rounded(Math.max(...logs) / MiB) },
    'disk MiB': rounded(Math.max(...disks) / MiB),
    ...{ 'served again after s': rounded(servedMs / 1000, 2) },
    ...{ 'all have applied it after s': rounded(allMs / 1000, 2) },
    'resident MiB at most': rounded(Math.max(...resident) / MiB),
  };
  rows.push(row);
  progress.say(JSON.stringify(row));
}
