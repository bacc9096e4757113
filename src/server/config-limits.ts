import { FRAME_BYTES_MAX, LIMITS, type Limits } from '../base/limits.js';
import type { AppliedBounds } from '../statemachine/machine-parts.js';

/** What may be set under `limits` in the configuration file, and how the limits must fit together. */

export type LimitName = keyof Limits;

export interface Bounds {
  readonly min: number;
  readonly max: number;
}

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

type FixedLimit = keyof AppliedBounds;

/** What a command comes to depends on these: they are the same for all replicas at all times, and cannot be set. */
const FIXED: { readonly [K in FixedLimit]: true } = {
  batchesPerSessionMax: true,
  sessionsMax: true,
  sessionIdleMsMax: true,
  txnReadKeysMax: true,
  txnReadBytesMax: true,
  entryReadKeysMax: true,
  entryTouchedBytesMax: true,
  entryComparedBytesMax: true,
  batchAnswerBytesMax: true,
  leasesMax: true,
  leaseKeysMax: true,
  namespacesMax: true,
  namespaceKeysFoundMax: true,
  bundlesMax: true,
  bundlesBytesMax: true,
  aliasesMax: true,
  aliasHistoryMax: true,
  callKeptMs: true,
  callsKeptMax: true,
  namedCallKeptMs: true,
  namedCallsMax: true,
  mergedKeysMax: true,
  clockSkewMsMax: true,
  jobsMax: true,
  jobOpenTasksMax: true,
  jobPinMsMax: true,
  uploadKeptMs: true,
  uploadsMax: true,
  uploadBytesMax: true,
};

export const FIXED_LIMITS = Object.keys(FIXED) as readonly FixedLimit[];

/** Every other limit can be set within these bounds. */
export const LIMIT_BOUNDS: { readonly [K in Exclude<LimitName, FixedLimit>]: Bounds } = {
  keyBytesMax: { min: 16, max: 1 * MiB },
  valueBytesMax: { min: 16, max: 32 * MiB },
  operationsPerBatchMax: { min: 1, max: 100_000 },
  batchBytesMax: { min: 4 * KiB, max: 64 * MiB },
  frameBytesMax: { min: 128 * KiB, max: FRAME_BYTES_MAX },
  txnOperationsMax: { min: 1, max: 1_000_000 },
  leaseTtlMsMin: { min: 1, max: 3_600_000 },
  leaseTtlMsMax: { min: 1000, max: 3650 * 86_400_000 },
  cellBytesMax: { min: 1 * KiB, max: 4 * MiB },
  procedureThreadsMax: { min: 1, max: 64 },
  procedureCallsWaitingMax: { min: 1, max: 1_000_000 },
  apQueueBytesMax: { min: 16 * KiB, max: 64 * GiB },
  apCopiesBytesMax: { min: 16 * KiB, max: 256 * GiB },
  jobSpecBytesMax: { min: 1 * KiB, max: 4 * MiB },
  jobStagesMax: { min: 1, max: 200 },
  checkpointBytesMax: { min: 1 * KiB, max: 4 * MiB },
  workerLeaseMs: { min: 500, max: 3_600_000 },
  taskThreadsMax: { min: 0, max: 256 },
  workersMax: { min: 1, max: 1_000_000 },
  watchBacklogBytesMax: { min: 1 * KiB, max: 1 * GiB },
  watchesPerStreamMax: { min: 1, max: 1_000_000 },
  watchesMax: { min: 1, max: 10_000_000 },
  watchProgressMs: { min: 100, max: 3_600_000 },
  sessionWaitMsMax: { min: 0, max: 60_000 },
  sweepRecordsMax: { min: 1, max: 100_000 },
  rangePageKeysMax: { min: 1, max: 1_000_000 },
  rangePageBytesMax: { min: 1 * KiB, max: 64 * MiB },
  uncommittedBytesMax: { min: 64 * KiB, max: 4 * GiB },
  pendingRequestBytesMax: { min: 128 * KiB, max: 16 * GiB },
  partialFrameBytesMax: { min: 128 * KiB, max: 16 * GiB },
  pendingOperationsMax: { min: 1, max: 10_000_000 },
  pendingAnswerBytesMax: { min: 128 * KiB, max: 16 * GiB },
  pendingReadsMax: { min: 1, max: 10_000_000 },
  readWaitMsMax: { min: 50, max: 600_000 },
  entryBytesMax: { min: 8 * KiB, max: 128 * MiB },
  entryOperationsMax: { min: 1, max: 1_000_000 },
  appendBytesMax: { min: 1 * KiB, max: 128 * MiB },
  inflightAppendsMax: { min: 1, max: 10_000 },
  inflightBytesMax: { min: 8 * KiB, max: 1 * GiB },
  logCacheBytesMax: { min: 0, max: 16 * GiB },
  peerQueueBytesMax: { min: 128 * KiB, max: 4 * GiB },
  overlayBytesMax: { min: 64 * KiB, max: 4 * GiB },
  walSegmentBytes: { min: 64 * KiB, max: 1 * GiB },
  clientStreamsMax: { min: 1, max: 1_000_000 },
  logBytesMax: { min: 64 * KiB, max: 1024 * GiB },
  logEntriesMax: { min: 16, max: 1_000_000_000 },
  logTrailingEntries: { min: 0, max: 1_000_000_000 },
  logPinnedBytesMax: { min: 64 * KiB, max: 1024 * GiB },
  snapshotChunkBytes: { min: 1 * KiB, max: 16 * MiB },
  snapshotWindowBytes: { min: 1 * KiB, max: 1 * GiB },
  snapshotBytesPerSecondMax: { min: 32 * KiB, max: 64 * GiB },
  snapshotsAtOnceMax: { min: 1, max: 64 },
  snapshotIdleMsMax: { min: 100, max: 600_000 },
  snapshotRetryMsMax: { min: 0, max: 3_600_000 },
  scrubBytesPerSecondMax: { min: 0, max: 64 * GiB },
  scrubIntervalMs: { min: 100, max: 365 * 86_400_000 },
  readyLagEntriesMax: { min: 0, max: 1_000_000_000 },
  transferLagEntriesMax: { min: 0, max: 1_000_000_000 },
  stateHashEntries: { min: 1, max: 1_000_000 },
};

/**
 * Senders of snapshots take turns: members and backups have `snapshotsAtOnceMax` each. Between two of its
 * chunks a receiver may wait for three quarters of the time after which it takes the sender for gone.
 */
function snapshotRateLeast(l: Limits): number {
  const chunkBytes = l.snapshotChunkBytes + l.keyBytesMax + l.valueBytesMax;
  const turnBytes = 2 * l.snapshotsAtOnceMax * chunkBytes;
  return Math.ceil((turnBytes * 1000) / (l.snapshotIdleMsMax * 0.75));
}

/** Room for what surrounds keys and values: tuple headers, ids, names of members. */
const OPERATION_SLACK = 1 * KiB;
const FRAME_SLACK = 64 * KiB;

interface FitRule {
  /** The limit that must be large enough. */
  readonly limit: LimitName;
  /** What it must hold, in words for the error. */
  readonly holds: string;
  readonly atLeast: (limits: Limits) => number;
}

const LARGEST_ENTRY = 'the largest of entryBytesMax, batchBytesMax + 1 KiB';

/** Batches are gathered up to `entryBytesMax`; a single one may be larger. */
function largestEntry(limits: Limits): number {
  return Math.max(limits.entryBytesMax, limits.batchBytesMax + OPERATION_SLACK);
}

/** So that whatever is legal alone is also legal in what carries it: no request can be stuck. */
const FIT_RULES: readonly FitRule[] = [
  {
    limit: 'batchBytesMax',
    holds: 'keyBytesMax + valueBytesMax + 1 KiB',
    atLeast: (l) => l.keyBytesMax + l.valueBytesMax + OPERATION_SLACK,
  },
  {
    limit: 'frameBytesMax',
    holds: `${LARGEST_ENTRY} and appendBytesMax + 64 KiB`,
    atLeast: (l) => Math.max(largestEntry(l), l.appendBytesMax) + FRAME_SLACK,
  },
  {
    limit: 'frameBytesMax',
    holds: 'rangePageBytesMax + keyBytesMax + valueBytesMax + 64 KiB',
    atLeast: (l) => l.rangePageBytesMax + l.keyBytesMax + l.valueBytesMax + FRAME_SLACK,
  },
  {
    // An event with the value before it, behind answers that wait in the same frame.
    limit: 'frameBytesMax',
    holds: '4/3 of 2 * (keyBytesMax + valueBytesMax) + 64 KiB',
    atLeast: (l) => Math.ceil((8 / 3) * (l.keyBytesMax + l.valueBytesMax)) + FRAME_SLACK,
  },
  { limit: 'uncommittedBytesMax', holds: LARGEST_ENTRY, atLeast: largestEntry },
  { limit: 'overlayBytesMax', holds: LARGEST_ENTRY, atLeast: largestEntry },
  {
    limit: 'inflightBytesMax',
    holds: `${LARGEST_ENTRY} and appendBytesMax`,
    atLeast: (l) => Math.max(largestEntry(l), l.appendBytesMax),
  },
  {
    limit: 'frameBytesMax',
    holds: 'snapshotChunkBytes + keyBytesMax + valueBytesMax + 64 KiB',
    atLeast: (l) => l.snapshotChunkBytes + l.keyBytesMax + l.valueBytesMax + FRAME_SLACK,
  },
  {
    limit: 'snapshotWindowBytes',
    holds: 'snapshotChunkBytes',
    atLeast: (l) => l.snapshotChunkBytes,
  },
  {
    // Else streams are ended as silent, again and again, and hardly a chunk arrives.
    limit: 'snapshotBytesPerSecondMax',
    holds:
      '2 * snapshotsAtOnceMax * (snapshotChunkBytes + keyBytesMax + valueBytesMax) in 3/4 of snapshotIdleMsMax',
    atLeast: snapshotRateLeast,
  },
  { limit: 'logEntriesMax', holds: 'logTrailingEntries', atLeast: (l) => l.logTrailingEntries },
  { limit: 'pendingRequestBytesMax', holds: 'frameBytesMax', atLeast: (l) => l.frameBytesMax },
  { limit: 'partialFrameBytesMax', holds: 'frameBytesMax', atLeast: (l) => l.frameBytesMax },
  { limit: 'pendingAnswerBytesMax', holds: 'frameBytesMax', atLeast: (l) => l.frameBytesMax },
  {
    // A watch whose client does not read must lag before its stream is ended.
    limit: 'pendingAnswerBytesMax',
    holds: '2 x watchBacklogBytesMax + frameBytesMax / 4',
    atLeast: (l) => 2 * l.watchBacklogBytesMax + l.frameBytesMax / 4,
  },
  { limit: 'peerQueueBytesMax', holds: 'frameBytesMax', atLeast: (l) => l.frameBytesMax },
];

export interface LimitProblem {
  readonly limit: LimitName;
  readonly problem: string;
}

/** What does not fit; empty for the defaults. */
export function limitProblems(limits: Limits): LimitProblem[] {
  return FIT_RULES.flatMap(({ limit, holds, atLeast }) => {
    const least = atLeast(limits);
    if (limits[limit] >= least) return [];
    return [{ limit, problem: `must be at least ${holds} = ${least}, found ${limits[limit]}` }];
  });
}

export const LIMIT_NAMES = Object.keys(LIMITS) as readonly LimitName[];

/** Can it be set? */
export function isBoundedLimit(name: LimitName): name is keyof typeof LIMIT_BOUNDS {
  return Object.hasOwn(LIMIT_BOUNDS, name);
}

export function isLimitName(name: string): name is LimitName {
  return Object.hasOwn(LIMITS, name);
}
