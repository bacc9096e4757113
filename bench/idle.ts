import { readdirSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { amount, benchFlags, JSON_FILE, someOf } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { showProgress } from './harness/progress.js';
import { cpuSeconds, report, rounded, threadCpuSeconds, threadFile } from './machine.js';
import { etcd, startEtcd } from './peers/etcd.js';

/**
 * `npm run bench:idle`: the CPU time of three replicas that nobody asks for anything, and of three members of etcd at the same
 * time, where that is installed. They are left alone for a while first: what runs so seldom is compiled late.
 */
const PEERS = ['balsa', 'etcd'];

const flags = benchFlags('bench:idle', {
  seconds: amount(60, 'that are measured'),
  settleSeconds: amount(240, 'that they are left alone before'),
  peers: someOf(PEERS, PEERS, 'who is measured'),
  json: JSON_FILE,
});
leaveNothingBehind();

/** All its members run as long as it is there. */
interface IdleCluster extends AsyncDisposable {
  readonly subject: string;
  readonly members: readonly { readonly member: string; readonly pid: number }[];
  leader(): Promise<string>;
}

async function idleBalsa(): Promise<IdleCluster> {
  const cluster = await LocalCluster.start({ logLevel: 'warn' });
  {
    await using db = await cluster.connect();
    await db.put('one', 'entry');
  }
  return {
    subject: 'balsa',
    members: cluster.running.map(({ name, pid }) => ({ member: name, pid: pid ?? Number.NaN })),
    leader: () => cluster.leader(),
    [Symbol.asyncDispose]: () => cluster.close(),
  };
}

async function idleEtcd(): Promise<IdleCluster> {
  const cluster = await startEtcd(3);
  await cluster.client.put('one').value('entry').exec();
  return {
    subject: 'etcd',
    members: cluster.servers.pids.map((pid, i) => ({ member: `m${i}`, pid })),
    leader: async () => {
      await cluster.followLeader();
      return `m${cluster.leaderIndex}`;
    },
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}

interface Use {
  readonly seconds: number;
  readonly mainSeconds: number;
  /** How often each of its threads went to sleep, and so was woken. */
  readonly wakes: ReadonlyMap<string, number>;
}

function useOf(pid: number): Use {
  return {
    seconds: cpuSeconds(pid),
    mainSeconds: threadCpuSeconds(pid, `${pid}`)?.seconds ?? Number.NaN,
    wakes: wakesOf(pid),
  };
}

function wakesOf(pid: number): Map<string, number> {
  const wakes = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const status = threadFile(pid, thread, 'status');
    if (status === null) continue;
    const count = /^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)?.[1];
    wakes.set(thread, Number(count ?? Number.NaN));
  }
  return wakes;
}

/** Of threads that have lived through it. */
function wakesBetween(before: Use, after: Use): number {
  let wakes = 0;
  for (const [thread, count] of after.wakes) {
    wakes += count - (before.wakes.get(thread) ?? count);
  }
  return wakes;
}

async function idle(seconds: number, doing: string): Promise<void> {
  for (let left = Math.ceil(seconds); left > 0; left -= 1) {
    showProgress(`${doing}: ${left} s left`);
    await pause((1000 * seconds) / Math.ceil(seconds));
  }
  showProgress('');
}

async function measure(clusters: readonly IdleCluster[]): Promise<void> {
  await idle(flags.settleSeconds, 'left alone');
  const members = clusters.flatMap((cluster) =>
    cluster.members.map(({ member, pid }) => ({ cluster, member, pid, before: useOf(pid) })),
  );
  const beganMs = performance.now();
  await idle(flags.seconds, 'measured');
  const seconds = (performance.now() - beganMs) / 1000;
  const measured = members.map((one) => ({ ...one, after: useOf(one.pid) }));
  const leaders = new Map<IdleCluster, string>();
  for (const cluster of clusters) leaders.set(cluster, await cluster.leader());
  const rows = measured.map(({ cluster, member, before, after }) => {
    const grown = (of: 'seconds' | 'mainSeconds'): number => (after[of] - before[of]) / seconds;
    return {
      subject: cluster.subject,
      member,
      role: member === leaders.get(cluster) ? 'leader' : 'follower',
      '% of a processor': rounded(grown('seconds') * 100, 2),
      'of it in the main thread': rounded(grown('mainSeconds') * 100, 2),
      'woken per second': rounded(wakesBetween(before, after) / seconds, 1),
    };
  });
  report('bench:idle', rows, flags.json);
}

const missing = flags.peers.includes('etcd') ? etcd.missing() : null;
if (missing !== null) console.log(`not measured: etcd: ${missing}`);
const starts = [
  ...(flags.peers.includes('balsa') ? [idleBalsa] : []),
  ...(flags.peers.includes('etcd') && missing === null ? [idleEtcd] : []),
];
const clusters: IdleCluster[] = [];
try {
  for (const start of starts) clusters.push(await start());
  await measure(clusters);
} finally {
  await Promise.all(clusters.map((cluster) => cluster[Symbol.asyncDispose]()));
}
