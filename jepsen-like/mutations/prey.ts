/** A mutation of `test/mutants` that a run against real processes must catch, and what is to catch it. */
export interface Prey {
  readonly mutation: string;
  readonly workload: string;
  readonly nemesis: string;
  readonly nodes: number;
  /** Those that may find it: what others find wrong is something else. */
  readonly checkers: readonly string[];
  /** Leaders read under a lease. */
  readonly leaseReads?: true;
  /** What is said of the replicas then; default: a checker of what clients saw must find it. */
  readonly problem?: string;
}

export const PREY: readonly Prey[] = [
  {
    mutation: 'fsync-skipped',
    workload: 'register,set',
    checkers: ['register', 'strict', 'set'],
    nemesis: 'lost-tail',
    nodes: 3,
    // A replica sees that entries are gone which it has acknowledged, and does not start over that.
    problem: 'by itself',
  },
  {
    mutation: 'acknowledged-before-durable',
    workload: 'register,set',
    checkers: ['register', 'strict', 'set'],
    nemesis: 'lost-tail',
    nodes: 3,
  },
  {
    mutation: 'leader-counts-itself-early',
    workload: 'register,set',
    checkers: ['register', 'strict', 'set'],
    nemesis: 'lost-tail',
    nodes: 3,
  },
  {
    mutation: 'retry-applied-twice',
    workload: 'counter,register',
    checkers: ['counter', 'register', 'strict'],
    nemesis: 'reset-storm',
    nodes: 3,
  },
  {
    mutation: 'read-without-quorum',
    workload: 'register,levels',
    checkers: ['register', 'strict', 'read-levels'],
    nemesis: 'links-answers-late',
    nodes: 3,
  },
  {
    mutation: 'follower-reads-without-asking',
    workload: 'levels',
    checkers: ['read-levels', 'strict'],
    nemesis: 'links-delayed',
    nodes: 3,
  },
  {
    mutation: 'session-does-not-wait',
    workload: 'levels',
    checkers: ['read-levels', 'strict'],
    nemesis: 'links-delayed,pause',
    nodes: 3,
  },
  {
    mutation: 'fresh-since-the-answer-came',
    workload: 'levels',
    checkers: ['read-levels', 'strict'],
    nemesis: 'links-delayed,pause',
    nodes: 3,
  },
  {
    mutation: 'call-outcome-not-remembered',
    workload: 'exactly-once',
    checkers: ['exactly-once'],
    nemesis: 'kill-leader,reset-storm',
    nodes: 3,
  },
  {
    mutation: 'call-absent-keys-not-looked-at',
    workload: 'write-skew',
    checkers: ['write-skew'],
    nemesis: 'transfer',
    nodes: 3,
  },
  {
    mutation: 'rights-not-looked-at',
    workload: 'ap',
    checkers: ['ap'],
    nemesis: 'partition-halves',
    nodes: 3,
  },
  {
    mutation: 'ap-call-answered-before-its-disk',
    workload: 'ap',
    checkers: ['ap'],
    nemesis: 'lost-tail',
    nodes: 3,
  },
  {
    mutation: 'cell-seen-without-what-waits',
    workload: 'ap',
    checkers: ['ap'],
    nemesis: 'partition-halves',
    nodes: 3,
  },
  {
    mutation: 'log-time-from-the-wall-clock',
    workload: 'lease',
    checkers: ['lease'],
    nemesis: 'clock-jump',
    nodes: 3,
  },
  {
    mutation: 'nondeterministic-apply',
    workload: 'register',
    checkers: ['register', 'strict'],
    nemesis: 'transfer',
    nodes: 3,
    problem: 'the replicas hold different states',
  },
  {
    mutation: 'quorum-of-half',
    workload: 'register,set',
    checkers: ['register', 'strict', 'set'],
    nemesis: 'partition-halves,partition-leader',
    nodes: 3,
  },
  {
    mutation: 'lease-from-receive-time',
    workload: 'register,levels',
    checkers: ['register', 'strict', 'read-levels'],
    nemesis: 'pause-leader,links-answers-late',
    nodes: 3,
    leaseReads: true,
  },
];
