import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { amount, benchFlags, JSON_FILE } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { showProgress } from './harness/progress.js';
import { cpuSeconds, report, rounded, threadCpuSeconds } from './machine.js';

/**
 * `npm run bench:idle`: the CPU time of three replicas that nobody asks for anything. They are left alone for a while first:
 * what runs so seldom is compiled late.
 */
const flags = benchFlags('bench:idle', {
  seconds: amount(60, 'that are measured'),
  settleSeconds: amount(240, 'that they are left alone before'),
  json: JSON_FILE,
});
leaveNothingBehind();

interface Use {
  readonly seconds: number;
  readonly mainSeconds: number;
  /** How often the main thread went to sleep, and so was woken. */
  readonly wakes: number;
}

function useOf(pid: number): Use {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return {
    seconds: cpuSeconds(pid),
    mainSeconds: threadCpuSeconds(pid, `${pid}`)?.seconds ?? Number.NaN,
    wakes: Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)?.[1] ?? Number.NaN),
  };
}

async function idle(seconds: number, doing: string): Promise<void> {
  for (let left = Math.ceil(seconds); left > 0; left -= 1) {
    showProgress(`${doing}: ${left} s left`);
    await pause((1000 * seconds) / Math.ceil(seconds));
  }
  showProgress('');
}

await using cluster = await LocalCluster.start({ logLevel: 'warn' });
{
  await using db = await cluster.connect();
  await db.put('one', 'entry');
}
await idle(flags.settleSeconds, 'left alone');
const replicas = cluster.running.map(({ name, pid }) => ({ name, pid: pid ?? Number.NaN }));
const before = replicas.map(({ pid }) => useOf(pid));
const beganMs = performance.now();
await idle(flags.seconds, 'measured');
const seconds = (performance.now() - beganMs) / 1000;
const after = replicas.map(({ pid }) => useOf(pid));
const leader = await cluster.leader();
const rows = replicas.map(({ name }, i) => {
  const grown = (of: keyof Use): number =>
    ((after[i]?.[of] ?? 0) - (before[i]?.[of] ?? 0)) / seconds;
  return {
    replica: name,
    role: name === leader ? 'leader' : 'follower',
    '% of a processor': rounded(grown('seconds') * 100, 2),
    'of it in the main thread': rounded(grown('mainSeconds') * 100, 2),
    'woken per second': rounded(grown('wakes'), 1),
  };
});
report('bench:idle', rows, flags.json);
