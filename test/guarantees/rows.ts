import type { Ending, Guarantee } from './types.js';

/**
 * What each operation promises at each level, and what becomes of it when the replicas are parted: the one
 * place where this is written down. `test/whole/guarantees.test.ts` demands it of real processes, and the
 * tables of docs/guarantees.md and of the README are made from what that test has seen.
 */

const SERVED: Ending = { served: true };
const NO_QUORUM: Ending = { served: false, code: 'NO_QUORUM', outcome: null };
const NOT_APPLIED: Ending = { served: false, code: 'NO_QUORUM', outcome: 'not-applied' };
const UNKNOWN: Ending = { served: false, code: 'NO_QUORUM', outcome: 'unknown' };

const READS = ['get', 'range', 'count'];
const LOCKS = ['lock', 'tryLock', 'campaign'];

const WRITE = {
  level: null,
  when: '',
  majority: SERVED,
  minority: NOT_APPLIED,
  pacelc: 'PC/EC',
  inReadme: false,
} as const;

const EXACTLY_ONCE = [
  '`test/client/exactly-once.test.ts` whatever happens to connections and leaders › with time limits, aborts and forgotten sessions each outcome is the truth',
  '`test/whole/crash.test.ts` a cluster of real processes under load › applies nothing twice that was replicated but not answered when a replica died',
];

const TXN = [
  '`test/client/txn.test.ts` a transaction › does all of its first branch at one revision when every condition holds',
  '`test/statemachine/transactions.test.ts` a transaction › takes one branch, and one revision for all that it writes',
  '`test/statemachine/transactions.test.ts` a transaction › that writes a key twice is refused and changes nothing',
];

const LEASE = [
  '`test/statemachine/leases.test.ts` the end of a lease › does not come before its deadline in log time, whatever a leader asks',
  '`test/statemachine/leases.test.ts` a lease › takes all its keys with it when it is revoked, at one revision',
];

const LOCK = [
  '`test/whole/guarantees.test.ts` a lock whose holder is cut off › is lost by the clock of its holder before another one has it, with a higher fencing token',
  '`test/client/locks.test.ts` a lock › is held by one at a time, in the order of asking, with rising fencing tokens',
  '`test/client/locks.test.ts` a lock › whose lease cannot be kept is lost, before anybody else has it',
];

const COMPACTED = [
  '`test/statemachine/compaction.test.ts` compaction › refuses reads before its revision at once, and serves those from it on',
];

const WRITES: readonly Guarantee[] = [
  {
    ...WRITE,
    id: 'put',
    operations: ['put', 'delete'],
    promise:
      'on a majority of the disks and applied when it is answered; applied once; linearizable',
    inReadme: true,
    shownBy: EXACTLY_ONCE,
  },
  {
    ...WRITE,
    id: 'txn',
    operations: ['txn', 'cas'],
    promise: 'all of it at one revision, or nothing; its conditions hold at that moment',
    inReadme: true,
    shownBy: TXN,
  },
  {
    ...WRITE,
    id: 'lease',
    operations: ['lease', 'keep-alive', 'revoke'],
    promise:
      'the keys of a lease go together, at one revision, and never before its time, whoever leads',
    inReadme: true,
    shownBy: LEASE,
  },
  {
    ...WRITE,
    id: 'lock',
    operations: LOCKS,
    promise: 'each holder has a higher fencing token than all before it',
    inReadme: true,
    shownBy: LOCK,
  },
  {
    ...WRITE,
    id: 'lock-limited',
    operations: LOCKS,
    when: 'with `timeoutMs`',
    promise: 'the same; it is `TIMEOUT` only when others were seen to have it',
    shownBy: [
      '`test/client/locks.test.ts` a lock with a time limit, when there is no majority › is NO_QUORUM, since nobody was seen: lock',
      '`test/client/locks.test.ts` a lock with a time limit, when there is no majority › is TIMEOUT when others were seen to hold it',
    ],
  },
  {
    ...WRITE,
    id: 'put-in-flight',
    operations: ['put'],
    when: 'it was on its way when the cable was cut',
    promise: 'applied once or not at all, and the client says that it does not know',
    minority: UNKNOWN,
    shownBy: EXACTLY_ONCE,
  },
];

const READ_LEVELS: readonly Guarantee[] = [
  {
    id: 'linearizable',
    operations: READS,
    level: 'linearizable',
    when: '',
    promise: 'sees every write that was acknowledged, anywhere, before the read began',
    majority: SERVED,
    minority: NO_QUORUM,
    pacelc: 'PC/EC',
    inReadme: true,
    shownBy: [
      '`test/raft/read-index.test.ts` ReadIndex at the leader (thesis §6.4) › answers of an earlier leadership do not count',
      '`test/server/waiting-reads.test.ts` waiting reads › a read is served when its index is applied, not before',
    ],
  },
  {
    id: 'session',
    operations: READS,
    level: 'session',
    when: 'this side has what the token stands for',
    promise: 'sees what the owner of the token has written, and never less than what it has read',
    majority: SERVED,
    minority: SERVED,
    pacelc: 'PA/EL',
    inReadme: true,
    shownBy: [
      '`test/server/read-levels.test.ts` a replica that is cut off › serves any, ap-local, at and a session that it has, at once',
      '`test/server/read-levels.test.ts` a session read › waits until what it needs is applied',
    ],
  },
  {
    id: 'session-ahead',
    operations: READS,
    level: 'session',
    when: 'the token is of the other side, made since the cut',
    promise: 'the same',
    majority: SERVED,
    minority: { served: false, code: 'SESSION_BEHIND', outcome: null },
    pacelc: 'PA/EL',
    inReadme: true,
    shownBy: [
      '`test/server/read-levels.test.ts` a replica that is cut off › refuses a session that it lacks when sessionWaitMsMax is over',
    ],
  },
  {
    id: 'bounded',
    operations: READS,
    level: 'bounded',
    when: 'the bound has not passed since the cut',
    promise:
      'sees every write that was acknowledged, anywhere, so many milliseconds ago or earlier',
    majority: SERVED,
    minority: SERVED,
    pacelc: 'PC/EL',
    inReadme: true,
    shownBy: [
      '`test/server/freshness.test.ts` how old the state of a replica may be › counts from when the index was asked for, not from when it was confirmed',
      '`test/server/read-levels.test.ts` a bounded read › is not served when the process stood still between asking and serving',
    ],
  },
  {
    id: 'bounded-late',
    operations: READS,
    level: 'bounded',
    when: 'the bound has passed since the cut',
    promise: 'the same',
    majority: SERVED,
    minority: { served: false, code: 'STALE_BOUND_EXCEEDED', outcome: null },
    pacelc: 'PC/EL',
    inReadme: true,
    shownBy: [
      '`test/server/read-levels.test.ts` a replica that is cut off › serves a bounded read until the bound is over, then refuses it',
      '`test/server/read-levels.test.ts` a bounded read › is not taken for fresh when a process that stood still is asked before anything else',
    ],
  },
  {
    id: 'at',
    operations: READS,
    level: 'at',
    when: 'the revision is one that this side has',
    promise: 'the store exactly as it was at that revision, whoever answers',
    majority: SERVED,
    minority: SERVED,
    pacelc: 'PA/EL',
    inReadme: true,
    shownBy: [
      '`test/statemachine/model.test.ts` any history › is answered, read and told as the model says, by a replica that never stops, one that crashes and one from a snapshot',
    ],
  },
  {
    id: 'at-ahead',
    operations: READS,
    level: 'at',
    when: 'the revision was made on the other side since the cut',
    promise: 'the same',
    majority: SERVED,
    minority: { served: false, code: 'FUTURE_REVISION', outcome: null },
    pacelc: 'PA/EL',
    inReadme: false,
    shownBy: [
      '`test/statemachine/state-machine.test.ts` revisions (as in etcd) › of the future are refused',
    ],
  },
  {
    id: 'at-compacted',
    operations: READS,
    level: 'at',
    when: 'the revision was compacted',
    promise: 'never something else instead',
    majority: { served: false, code: 'COMPACTED', outcome: null },
    minority: { served: false, code: 'COMPACTED', outcome: null },
    pacelc: 'PA/EL',
    inReadme: false,
    shownBy: COMPACTED,
  },
  {
    id: 'any',
    operations: READS,
    level: 'any',
    when: '',
    promise: 'some state that the whole store really had, perhaps an old one',
    majority: SERVED,
    minority: SERVED,
    pacelc: 'PA/EL',
    inReadme: true,
    shownBy: [
      '`test/server/read-levels.test.ts` a replica that is cut off › serves any, ap-local, at and a session that it has, at once',
      '`test/statemachine/model.test.ts` any history › is answered, read and told as the model says, by a replica that never stops, one that crashes and one from a snapshot',
    ],
  },
  {
    id: 'ap-local',
    operations: READS,
    level: 'ap-local',
    when: '',
    promise: 'as `any`',
    majority: SERVED,
    minority: SERVED,
    pacelc: 'PA/EL',
    inReadme: true,
    shownBy: [
      '`test/server/read-levels.test.ts` a replica that is cut off › serves any, ap-local, at and a session that it has, at once',
    ],
  },
];

const WATCHED = [
  '`test/server/watch/watch-properties.test.ts` watches › are told each event of their range once, in order, without gap, whatever happens',
  '`test/server/watch/watch-hub.test.ts` a watch from a revision of the past › reads history first and then goes on live, without gap or duplicate',
  '`test/whole/guarantees.test.ts` a watch that is on the side of the minority › is silent while it is cut off, and then told everything once',
];

const WATCHES: readonly Guarantee[] = [
  {
    id: 'watch',
    operations: ['watch'],
    level: 'linearizable',
    when: 'it is begun',
    promise: 'from here on every event, once, in order',
    majority: SERVED,
    minority: NO_QUORUM,
    pacelc: 'PC/EC',
    inReadme: true,
    shownBy: WATCHED,
  },
  {
    id: 'watch-any',
    operations: ['watch'],
    level: 'any',
    when: 'it is begun',
    promise: 'the same, from wherever the replica at hand is',
    majority: SERVED,
    minority: SERVED,
    pacelc: 'PA/EL',
    inReadme: false,
    shownBy: WATCHED,
  },
];

const CALLED_ONCE = [
  '`test/whole/procedures.test.ts` procedures on real replicas › count once while one leader after the other is killed',
  '`test/whole/guarantees.test.ts` five replicas parted 2 | 3, with the old leader in the minority › a call that was on its way when the cable was cut counts once, asked again under its key',
];

const MERGED_ONCE = [
  '`test/whole/ap.test.ts` ap procedures on real replicas › are served on both sides of a partition while a replica is killed, and each call counts once',
  '`test/server/ap/ap.test.ts` a call under the same key › counts once on both sides of a partition',
];

const COPIED = [
  '`test/whole/ap.test.ts` ap procedures on real replicas › of a replica whose disk was wiped count once by the copies of others, and it begins another queue',
  '`test/server/ap/ap.test.ts` what was acknowledged › with peers is on so many other disks, or is not called so',
];

/** Of what only reads; the levels are those of a `get`. */
const READ_CALL = { operations: ['call'], majority: SERVED, inReadme: false } as const;

const AP_CALL = {
  operations: ['call'],
  level: 'ap-local',
  majority: SERVED,
  minority: SERVED,
  pacelc: 'PA/EL',
  inReadme: false,
} as const;

const CALLS: readonly Guarantee[] = [
  {
    ...{ ...WRITE, id: 'call-cp', operations: ['call'], when: 'a procedure of mode `cp`' },
    promise: 'strictly serializable; counts once',
    inReadme: true,
    shownBy: CALLED_ONCE,
  },
  {
    ...{ ...WRITE, id: 'call-in-flight', operations: ['call'] },
    when: 'of mode `cp`; it was on its way when the cable was cut',
    promise: 'counts once or not at all; asked again under its key, it counts once, and says so',
    minority: UNKNOWN,
    shownBy: CALLED_ONCE,
  },
  {
    ...{ ...READ_CALL, id: 'call-read', level: 'linearizable', when: 'a procedure of mode `read`' },
    promise: 'as a `get` of that level; all of it at one revision',
    minority: NO_QUORUM,
    pacelc: 'PC/EC',
    shownBy: [
      '`test/whole/procedures-cli.test.ts` procedures by the command line › count once under a key, run at any replica, and read at any',
    ],
  },
  {
    ...{ ...READ_CALL, id: 'call-read-any', level: 'any', when: 'a procedure of mode `read`' },
    promise: 'the same',
    minority: SERVED,
    pacelc: 'PA/EL',
    shownBy: [
      '`test/whole/procedures.test.ts` procedures on real replicas › count once while one leader after the other is killed',
    ],
  },
  {
    ...{ ...AP_CALL, id: 'call-ap', when: 'a procedure of mode `ap`' },
    promise: 'on the disk of the replica that answers; merged once, when that hears a leader',
    inReadme: true,
    shownBy: MERGED_ONCE,
  },
  {
    ...{ ...AP_CALL, id: 'call-ap-copied', when: 'of mode `ap`, with `durability: { peers: 1 }`' },
    promise: 'on the disk of another replica, too, or merged',
    shownBy: COPIED,
  },
  {
    ...{ ...AP_CALL, id: 'call-ap-copied-far', shownBy: COPIED },
    when: 'of mode `ap`, with `durability: { peers: 2 }`: more others than the minority has',
    promise: 'the same; when it is refused it counts all the same',
    minority: { served: false, code: 'TIMEOUT', outcome: 'unknown' },
  },
];

const JOBS_ONCE = [
  '`test/whole/jobs.test.ts` jobs in the sandbox of real replicas › give what their stages make of their input, and what they write counts once',
  '`test/whole/jobs.test.ts` jobs in the sandbox of real replicas › go on when the leader is killed in the middle',
  '`test/whole/job-workers.test.ts` workers in processes of their own › come to the right result while workers and the leader are killed',
];

const JOBS: readonly Guarantee[] = [
  {
    ...{ ...WRITE, id: 'job-submit', operations: ['submit'], shownBy: JOBS_ONCE },
    promise:
      'submitted once; each task counts once, whoever runs it and however often; its input is of one revision',
    inReadme: true,
  },
  {
    id: 'job-status',
    operations: ['job status'],
    ...{
      level: 'linearizable',
      when: '',
      promise: 'how far it is, with all that was acknowledged',
    },
    ...{ majority: SERVED, minority: NO_QUORUM, pacelc: 'PC/EC', inReadme: false },
    shownBy: JOBS_ONCE,
  },
];

export const GUARANTEES: readonly Guarantee[] = [
  ...[...WRITES, ...READ_LEVELS, ...WATCHES, ...CALLS, ...JOBS],
];
