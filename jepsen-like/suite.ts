import type { RunSpec } from './run/conduct.js';

type Part = Pick<RunSpec, 'workload' | 'nemesis' | 'nodes'>;

const MINUTES = 0.4;

/** Every workload and every kind of nemesis, for as long as shows something: a few minutes in all. */
const PARTS: readonly Part[] = [
  { workload: 'register,append,bank', nemesis: 'kill,pause', nodes: 5 },
  { workload: 'set,queue,counter,write-skew', nemesis: 'partition,transfer', nodes: 5 },
  {
    workload: 'unique-ids,exactly-once,triggers,jobs',
    nemesis: 'reset-storm,deploys,worker',
    nodes: 3,
  },
  { workload: 'lock,lease,levels', nemesis: 'clock,pause-leader,links,transfer-unheard', nodes: 3 },
  { workload: 'watch,ap', nemesis: 'partition-halves,kill-follower,snapshot-storm', nodes: 5 },
  { workload: 'register,set', nemesis: 'disk,member,failpoint,strace', nodes: 5 },
  {
    workload: 'register,queue,jobs',
    nemesis: 'lost-tail,restart-storm,pause-majority,clients-cut-off',
    nodes: 5,
  },
  { workload: 'register,levels', nemesis: 'rolling-upgrade,rolling-restart', nodes: 3 },
  { workload: 'large-values,hostile,idle', nemesis: 'overload,kill-leader', nodes: 3 },
];

export function briefSuite({
  seed,
  pace,
  leaseReads,
}: Pick<RunSpec, 'seed' | 'pace' | 'leaseReads'>): RunSpec[] {
  return PARTS.map((part, i) => ({
    ...part,
    ...{ minutes: MINUTES, cycles: null, seed: seed + i, pace, leaseReads },
    network: 'proxies' as const,
  }));
}
