/**
 * Everything has a limit. These are the defaults of those of a replica; `balsa status -o json` prints
 * those in force, and each is answered with its own error when it is reached. (Those of one call: `CALL_LIMITS`.)
 */
const KiB = 1024;
const MiB = 1024 * KiB;

/**
 * Longest frame of a replica, to whoever it is, and of one member to another, in bytes: the highest that `LIMITS.frameBytesMax` can be.
 * That limit is for what clients send. What a replica has taken in has to reach the other members, and what it answers its
 * client, whatever limits they were started with: limits may have been changed since, or be changed replica by replica.
 */
export const FRAME_BYTES_MAX = 256 * MiB;

export const LIMITS = {
  /** Longest key, in bytes (`KEY_TOO_LARGE`). */
  keyBytesMax: 64 * KiB,
  /** Longest value, in bytes (`VALUE_TOO_LARGE`). */
  valueBytesMax: 16 * MiB,
  /** Most operations in one batch of a client (`BATCH_TOO_LARGE`). */
  operationsPerBatchMax: 2048,
  /** Most bytes of one batch of a client; one operation of any legal size fits (`BATCH_TOO_LARGE`). */
  batchBytesMax: 18 * MiB,
  /** Longest frame that a client may send, in bytes (`FRAME_INVALID`). What replicas send has 256 MiB at most. */
  frameBytesMax: 48 * MiB,
  /** Batches that one session may have unanswered (`OVERLOADED`). */
  batchesPerSessionMax: 64,
  /** Sessions that are remembered; the one idle longest goes first (`SESSION_EXPIRED`). */
  sessionsMax: 50_000,
  /** Idle time after which a session is forgotten, in log time (`SESSION_EXPIRED`). */
  sessionIdleMsMax: 3_600_000,
  /** Most comparisons and operations in one transaction, nested ones too (`TXN_TOO_LARGE`). */
  txnOperationsMax: 10_000,
  /** Most keys that the reads of one transaction give, or a deleted range has (`RANGE_TOO_LARGE`). */
  txnReadKeysMax: 10_000,
  /** Most bytes that the reads of one transaction give, or one value (`RANGE_TOO_LARGE`). */
  txnReadBytesMax: 1 * MiB,
  /** Keys that the ranges of one log entry look at, all together (`OVERLOADED`). */
  entryReadKeysMax: 200_000,
  /** Bytes of values that the touches of one log entry keep, all together (`OVERLOADED`, one transaction alone: `TXN_TOO_LARGE`). */
  entryTouchedBytesMax: 64 * MiB,
  /** Bytes of values that the comparisons of one log entry read, all together (`OVERLOADED`, one transaction alone: `TXN_TOO_LARGE`). */
  entryComparedBytesMax: 256 * MiB,
  /** Bytes of keys and values in the answer of one batch; a single one may exceed it (`OVERLOADED`). */
  batchAnswerBytesMax: 8 * MiB,
  /** Shortest time to live of a lease, in milliseconds (`INVALID_ARGUMENT`). */
  leaseTtlMsMin: 1000,
  /** Longest time to live of a lease, in milliseconds (`INVALID_ARGUMENT`). */
  leaseTtlMsMax: 90 * 24 * 3_600_000,
  /** Leases at a time (`LEASES_TOO_MANY`). */
  leasesMax: 100_000,
  /** Keys that hang on one lease (`LEASE_FULL`): they are deleted together. */
  leaseKeysMax: 10_000,
  /** Namespaces (`NAMESPACES_TOO_MANY`). */
  namespacesMax: 1000,
  /** Keys that a new namespace may find under its prefix (`RANGE_TOO_LARGE`): they are counted at once. */
  namespaceKeysFoundMax: 100_000,
  /** Bundles of procedures that are kept (`PROCEDURES_TOO_MANY`). */
  bundlesMax: 1000,
  /** Bytes of code of all bundles together (`PROCEDURES_TOO_MANY`). */
  bundlesBytesMax: 64 * MiB,
  /** Aliases of procedures (`PROCEDURES_TOO_MANY`). */
  aliasesMax: 10_000,
  /** What an alias stood for before, to go back to: so many. */
  aliasHistoryMax: 16,
  /** Bytes of a mergeable cell, beyond which a call can add nothing more to it (`CELL_FULL`). */
  cellBytesMax: 256 * KiB,
  /** Threads in which a replica runs procedures: one for the leader's lane, the others for all else. */
  procedureThreadsMax: 3,
  /** Calls that wait for a thread of a replica (`OVERLOADED`). */
  procedureCallsWaitingMax: 10_000,
  /** How long the outcome of a call is kept, in log time, for whoever asks again: its key was made by a client (`CALL_EXPIRED`). */
  callKeptMs: 120_000,
  /** Outcomes of such calls that are kept; the oldest goes first (`CALL_EXPIRED`). */
  callsKeptMax: 1_000_000,
  /** How long the outcome of a call is kept whose key was given by the caller, in log time. */
  namedCallKeptMs: 24 * 3_600_000,
  /** Outcomes of calls with given keys that are kept (`CALL_KEYS_FULL`). */
  namedCallsMax: 1_000_000,
  /**
   * Calls of `ap` procedures that are remembered behind their merge, and of `cp` ones whose name has ever been `ap`, until no member can
   * have made the same one (`MERGED_KEYS_FULL`).
   */
  mergedKeysMax: 4_000_000,
  /** The clocks of two replicas differ by less, in milliseconds. */
  clockSkewMsMax: 300_000,
  /** What ap calls made at a replica may wait there to be merged, in bytes (`AP_QUEUE_FULL`). */
  apQueueBytesMax: 64 * 1024 * 1024,
  /** Copies of what ap calls made at other replicas, in bytes: beyond it, it takes no more of them. */
  apCopiesBytesMax: 256 * 1024 * 1024,
  /** Jobs that are remembered (`JOBS_TOO_MANY`). */
  jobsMax: 1000,
  /** Bytes of what is said of a job when it is submitted, its items apart (`JOB_LIMIT`). */
  jobSpecBytesMax: 1 * MiB,
  /** Stages of one job (`JOB_LIMIT`). */
  jobStagesMax: 32,
  /** Tasks of one job that were begun and are not done: no more are claimed meanwhile. */
  jobOpenTasksMax: 10_000,
  /** For so long a job over a range of keys keeps its revision from being compacted, in log time; later its tasks may fail (`COMPACTED`). */
  jobPinMsMax: 24 * 3_600_000,
  /** How long an upload to which nothing refers is kept behind its last chunk, in log time (`UPLOAD_INCOMPLETE`). */
  uploadKeptMs: 3_600_000,
  /** Such uploads at a time (`OVERLOADED`). */
  uploadsMax: 10_000,
  /** Bytes of one upload: the result of a task, or a list of inputs (`JOB_LIMIT`). */
  uploadBytesMax: 1024 * MiB,
  /** Bytes of one checkpoint of a task, JSON (`JOB_LIMIT`). */
  checkpointBytesMax: 256 * KiB,
  /** A worker of tasks that was not heard of for so long, in log time, is taken for lost. */
  workerLeaseMs: 5000,
  /** Tasks that one replica runs in its sandbox at a time; 0: none. */
  taskThreadsMax: 2,
  /** Workers of users that one replica serves (`OVERLOADED`). */
  workersMax: 10_000,
  /** Bytes of events that a watch may have waiting for its client; beyond, it reads them again later (`WATCH_LAGGING`). */
  watchBacklogBytesMax: 1 * MiB,
  /** Watches of one client stream (`OVERLOADED`). */
  watchesPerStreamMax: 10_000,
  /** Watches that one replica serves (`OVERLOADED`). */
  watchesMax: 100_000,
  /** How long a watch may say nothing before its client is told how far it is, in milliseconds. */
  watchProgressMs: 5000,
  /** How long a `session` read waits for its token, in milliseconds (`SESSION_BEHIND`). */
  sessionWaitMsMax: 200,
  /** Log records that one slice of a compaction looks at. */
  sweepRecordsMax: 512,
  /** Most keys in one page of a range. */
  rangePageKeysMax: 10_000,
  /** Most bytes in one page of a range (one key and its value may exceed it). */
  rangePageBytesMax: 1 * MiB,
  /** Bytes of entries a leader holds that are not committed (`OVERLOADED`). */
  uncommittedBytesMax: 64 * MiB,
  /** Bytes of requests that a replica has taken in and not answered (`OVERLOADED`). */
  pendingRequestBytesMax: 128 * MiB,
  /**
   * Bytes of large requests that have come in part, of all clients (`OVERLOADED`). As much for the other members, and no less
   * than the 256 MiB that one frame of theirs may have.
   */
  partialFrameBytesMax: 256 * MiB,
  /** Operations of requests that a replica has taken in and not answered (`OVERLOADED`): with more a write would wait for seconds. */
  pendingOperationsMax: 16_384,
  /** Bytes of answers that a client has not read; beyond, its stream is ended (`OVERLOADED`). */
  pendingAnswerBytesMax: 64 * MiB,
  /** Reads waiting for their turn at one replica (`OVERLOADED`). */
  pendingReadsMax: 100_000,
  /**
   * How long a read waits until its index is known (`NO_QUORUM`) and applied (`REPLICA_BEHIND`). Below
   * the time limit of a client's call, so that it hears why.
   */
  readWaitMsMax: 3000,
  /** Most bytes of commands in one log entry (a single batch may exceed it). */
  entryBytesMax: 4 * MiB,
  /** Most operations in one log entry (a single batch may exceed it): it is applied in one go. */
  entryOperationsMax: 512,
  /** Most bytes of entries in one AppendEntries (one entry may exceed it). */
  appendBytesMax: 4 * MiB,
  /** AppendEntries under way to one follower. */
  inflightAppendsMax: 128,
  /** Bytes of AppendEntries under way to one follower. */
  inflightBytesMax: 32 * MiB,
  /** Bytes of log entries kept in memory beyond those in use. */
  logCacheBytesMax: 16 * MiB,
  /** Bytes waiting to be sent to one peer; beyond, messages are dropped (Raft repeats them). */
  peerQueueBytesMax: 64 * MiB,
  /** Bytes of applied state that LevelDB has not yet taken; beyond, apply waits. */
  overlayBytesMax: 64 * MiB,
  /** Length of one file of the write-ahead log, in bytes; if it is below 4 MiB also of the files of `ap` deltas. */
  walSegmentBytes: 16 * MiB,
  /** Client streams that one replica serves (`OVERLOADED`). */
  clientStreamsMax: 20_000,

  // Snapshots and compaction
  /** Bytes of the log beyond which it is cut. */
  logBytesMax: 256 * MiB,
  /** Entries of the log beyond which it is cut. */
  logEntriesMax: 200_000,
  /** Entries kept when it is cut, and at most half of `logBytesMax`: for followers that lag a little. */
  logTrailingEntries: 10_000,
  /** Bytes of the log kept for a follower that needs them; beyond, it is sent a snapshot instead. */
  logPinnedBytesMax: 1024 * MiB,
  /** Bytes of one chunk of a snapshot (one key and its value may exceed it). */
  snapshotChunkBytes: 256 * KiB,
  /** Bytes of a snapshot that are sent and not acknowledged. */
  snapshotWindowBytes: 4 * MiB,
  /** Bytes of snapshots that one replica sends in a second. */
  snapshotBytesPerSecondMax: 64 * MiB,
  /** Snapshots that one replica sends at once, and backups (`OVERLOADED`). */
  snapshotsAtOnceMax: 2,
  /** A stream of a snapshot that is silent for this long is ended; another sender waits for one that broke no longer. */
  snapshotIdleMsMax: 10_000,
  /** How long a snapshot is kept for a follower that cannot be reached, to go on where it broke off. */
  snapshotRetryMsMax: 60_000,
  /** Bytes of its state on the disk that a replica reads in a second while it runs, to see that they are whole; 0: none. */
  scrubBytesPerSecondMax: 1 * MiB,
  /** From one time that it begins to read all of it to the next, at least. */
  scrubIntervalMs: 3_600_000,
  /** A replica whose state lacks more entries of what a majority has confirmed than this is not ready (`/readyz`). */
  readyLagEntriesMax: 10_000,
  /** A member that has yet to apply more committed entries than this is waited for before leadership is handed to it. */
  transferLagEntriesMax: 32,
  /** Entries between two comparisons of the state with that of other replicas. */
  stateHashEntries: 1024,
} as const;

export type Limits = { readonly [K in keyof typeof LIMITS]: number };
