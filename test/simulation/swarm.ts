import { LIMITS, type Limits } from '../../src/base/limits.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { type ApOptions, drawAp, drawApLimits, hasAp } from './ap/ap-options.js';
import { type CallsOptions, drawCalls, drawEventWatcher, hasCalls } from './calls/calls-options.js';
import { FAULT_NAMES, type FaultName } from './faults/fault-kinds.js';
import {
  drawFollowUps,
  type FollowUpOptions,
  hasFollowUps,
} from './follow-ups/follow-up-options.js';
import { drawJobLimits, drawJobs, hasJobs, type JobOptions } from './jobs/job-options.js';
import type { Weather } from './network.js';
import { drawWatchers, type WatcherOptions } from './watcher-options.js';

/**
 * Everything that one run may differ in. Drawn from its seed alone: rare mixes come up because each
 * run leaves most things out ("swarm testing").
 */
export interface SimulationOptions {
  readonly seed: number;
  readonly replicas: number;
  readonly tickMs: number;
  readonly heartbeatTicks: number;
  readonly electionTicks: number;
  readonly diskStallTicks: number;
  /** 0: no leases. */
  readonly leaseMs: number;
  /** Clocks run at most so many percent too fast or too slow, so that leases hold. */
  readonly driftPercentMax: number;
  /** By place. */
  readonly priorities: readonly number[];
  /** Machines beyond the first members. */
  readonly spares: number;
  readonly limits: Limits;
  /** Messages are packed and unpacked. */
  readonly usesCodec: boolean;
  readonly weather: Weather;
  readonly disk: DiskSpeed;
  readonly clients: number;
  readonly keys: number;
  /** Longest pause of a client between two calls. */
  readonly thinkMs: number;
  /** When a fault begins, clients hurry for so long. Default 0. */
  readonly hurryMs?: number;
  readonly valueBytesMax: number;
  /** Of 100 calls. */
  readonly share: { readonly put: number; readonly delete: number; readonly any: number };
  readonly clientTimeoutMs: number;
  /** Reads at all levels; absent: there are none. */
  readonly levels?: LevelOptions;
  /** Default: none. */
  readonly watchers?: readonly WatcherOptions[];
  /** Default: that of production. */
  readonly sessionIdleMsMax?: number;
  /** Clients that take a lock in turn. Default: none. */
  readonly locks?: boolean;
  /** Clients that move money in transactions. Default: none. */
  readonly bank?: boolean;
  /** Clients that call stored procedures. Default: none. */
  readonly calls?: CallsOptions;
  /** Clients that call `ap` procedures. Default: none. */
  readonly ap?: ApOptions;
  /** Clients whose writes lead to calls, now or later. Default: none. */
  readonly followUps?: FollowUpOptions;
  /** Clients that submit jobs, and workers. Default: none. */
  readonly jobs?: JobOptions;
  readonly faults: readonly FaultName[];
  readonly faultsMax: number;
  /** For how long there are faults. */
  readonly disturbedMs: number;
}

/** Which replicas serve the reads of a client; a number: the one at this place alone. */
export type ReadsFrom = 'leader' | 'spread' | 'spread-all' | number;

export interface LevelOptions {
  /** Of 100 reads of clients that write. */
  readonly share: number;
  readonly readFrom: ReadsFrom;
  /** Clients that only read. */
  readonly readers: readonly ReadsFrom[];
}

export interface DiskSpeed {
  readonly usualMs: number;
  readonly spikeChance: number;
  readonly spikeMs: number;
}

const KiB = 1024;

/** Disturbed for so long, so that a whole run is about two minutes of simulated time. */
const DISTURBED_MS = 115_000;

/** Of the time of a lease, what is given up because clocks may differ. */
export const LEASE_DRIFT_MARGIN = 0.1;
/** (1 - 0.1) / (1 - d) <= 1 / (1 + d): a slow leader and a fast follower. */
const LEASE_DRIFT_PERCENT_MAX = 5;

export function drawOptions(seed: number, disturbedMs = DISTURBED_MS): SimulationOptions {
  // Not the stream of the run itself.
  const random = seededRandom(seed * 2 + 0x5eed);
  const watching = seededRandom(seed * 2 + 0x3a7c4);
  const heartbeatTicks = pick(random, [1, 2, 3, 3]);
  const tickMs = pick(random, [80, 100, 120, 150, 200]);
  const electionTicks = Math.max(3, heartbeatTicks * pick(random, [3, 4, 6]) + random.int(3));
  const leaseMs =
    random.int(3) === 0 ? Math.floor(electionTicks * tickMs * pick(random, [0.5, 1])) : 0;
  const replicas = pick(random, [1, 3, 3, 3, 3, 3, 5, 5]);
  return {
    seed,
    replicas,
    tickMs,
    heartbeatTicks,
    electionTicks,
    diskStallTicks: electionTicks * pick(random, [2, 4, 20]),
    leaseMs,
    driftPercentMax: leaseMs === 0 ? 10 : LEASE_DRIFT_PERCENT_MAX,
    priorities: drawPriorities(random),
    spares: pick(random, [0, 1, 2]),
    limits: {
      ...withRateOfSnapshots(seed, drawLimits(random)),
      // Not drawn: seeds that found something stay what they are.
      readWaitMsMax: seed % 3 === 0 ? 300 : LIMITS.readWaitMsMax,
      transferLagEntriesMax: pick(seededRandom(seed * 2 + 0x7a99), [0, 1, 4, 32]),
      ...drawWatchLimits(watching),
      ...(hasAp(seed) ? drawApLimits(seed) : {}),
      ...(hasJobs(seed) ? drawJobLimits(seed) : {}),
    },
    usesCodec: random.int(3) === 0,
    weather: drawWeather(random),
    disk: drawDisk(random),
    clients: pick(random, [1, 2, 2, 3]),
    keys: pick(random, [1, 3, 8, 20]),
    // Two of three steps are those of other clients, where there are some.
    thinkMs: pick(random, [1500, 3000, 4000, 6000, 8000]) * (seed % 8 === 0 ? 1 : 2),
    hurryMs: pick(random, [0, 0, 800, 2500]),
    valueBytesMax: pick(random, [16, 64, 64, 200, 1000]),
    share: drawShare(random),
    clientTimeoutMs: pick(random, [800, 2000, 4000]),
    faults: drawFaults(random),
    faultsMax: pick(random, [10, 30, 60, 90]),
    disturbedMs,
    levels: drawLevels(seed, replicas),
    watchers: [
      ...drawWatchers(watching, disturbedMs),
      ...(hasCalls(seed) ? [drawEventWatcher(seed, disturbedMs)] : []),
    ],
    // So short that a client's session is forgotten while it cannot be heard.
    ...(seed % 8 === 5 ? { sessionIdleMsMax: 1000 } : {}),
    locks: seed % 4 === 0,
    bank: seed % 4 === 2,
    ...(hasCalls(seed) ? { calls: drawCalls(seed) } : {}),
    ...(hasAp(seed) ? { ap: drawAp(seed) } : {}),
    ...(hasFollowUps(seed) ? { followUps: drawFollowUps(seed) } : {}),
    ...(hasJobs(seed) ? { jobs: drawJobs(seed) } : {}),
  };
}

/** From a stream of its own: all else stays as it was before there were levels. */
function drawLevels(seed: number, replicas: number): LevelOptions {
  const random = seededRandom(seed * 2 + 0x1e7e15);
  const from = (): ReadsFrom => pick(random, ['spread', 'spread-all', random.int(replicas)]);
  return {
    share: pick(random, [0, 30, 60]),
    readFrom: pick(random, ['leader', 'leader', 'spread', 'spread-all']),
    readers: Array.from({ length: random.int(3) }, from),
  };
}

/** Some are so slow that leaders change meanwhile, though no stream is taken for silent between two chunks. */
function withRateOfSnapshots(seed: number, limits: Limits): Limits {
  if (seed % 4 !== 1) return limits;
  const { snapshotChunkBytes, snapshotIdleMsMax } = limits;
  const least = (6000 * snapshotChunkBytes) / snapshotIdleMsMax;
  return { ...limits, snapshotBytesPerSecondMax: Math.max(least, 32 * KiB) };
}

function drawLimits(random: Random): Limits {
  const small = random.int(2) === 0;
  return {
    ...LIMITS,
    walSegmentBytes: pick(random, [16 * KiB, 32 * KiB, 128 * KiB]),
    logCacheBytesMax: pick(random, [0, 1 * KiB, 8 * KiB, LIMITS.logCacheBytesMax]),
    appendBytesMax: small ? pick(random, [256, 2 * KiB]) : LIMITS.appendBytesMax,
    inflightAppendsMax: pick(random, [1, 2, 8, LIMITS.inflightAppendsMax]),
    inflightBytesMax: small ? pick(random, [1 * KiB, 16 * KiB]) : LIMITS.inflightBytesMax,
    uncommittedBytesMax: small ? pick(random, [1 * KiB, 16 * KiB]) : LIMITS.uncommittedBytesMax,
    pendingReadsMax: small ? pick(random, [1, 4]) : LIMITS.pendingReadsMax,
    overlayBytesMax: small ? pick(random, [1 * KiB, 8 * KiB]) : LIMITS.overlayBytesMax,
    logEntriesMax: pick(random, [16, 40, 150, LIMITS.logEntriesMax]),
    logTrailingEntries: pick(random, [0, 5, 15]),
    logBytesMax: pick(random, [4 * KiB, 64 * KiB, LIMITS.logBytesMax]),
    logPinnedBytesMax: pick(random, [2 * KiB, 64 * KiB, LIMITS.logPinnedBytesMax]),
    ...pick(random, [
      { snapshotChunkBytes: 4 * KiB, snapshotWindowBytes: 8 * KiB },
      { snapshotChunkBytes: 8 * KiB, snapshotWindowBytes: 64 * KiB },
      { snapshotChunkBytes: 32 * KiB, snapshotWindowBytes: 32 * KiB },
      {},
    ]),
    snapshotBytesPerSecondMax: pick(random, [2048 * KiB, LIMITS.snapshotBytesPerSecondMax]),
    snapshotsAtOnceMax: pick(random, [1, 2]),
    snapshotIdleMsMax: pick(random, [400, 3000, LIMITS.snapshotIdleMsMax]),
    snapshotRetryMsMax: pick(random, [0, 2000, LIMITS.snapshotRetryMsMax]),
    stateHashEntries: pick(random, [4, 32, LIMITS.stateHashEntries]),
    entryOperationsMax: pick(random, [1, 4, LIMITS.entryOperationsMax]),
    batchesPerSessionMax: pick(random, [2, 8, LIMITS.batchesPerSessionMax]),
    operationsPerBatchMax: pick(random, [1, 3, LIMITS.operationsPerBatchMax]),
  };
}

function drawWatchLimits(random: Random): Partial<Limits> {
  return {
    watchBacklogBytesMax: pick(random, [200, 1 * KiB, 8 * KiB, LIMITS.watchBacklogBytesMax]),
    watchProgressMs: pick(random, [200, 1000, LIMITS.watchProgressMs]),
  };
}

/** Mostly all are equal. */
function drawPriorities(random: Random): readonly number[] {
  if (random.int(3) > 0) return [];
  return Array.from({ length: 7 }, () => pick(random, [50, 100, 100, 200]));
}

function drawWeather(random: Random): Weather {
  return {
    loss: pick(random, [0, 0, 0.02, 0.1]) * random.next(),
    duplication: pick(random, [0, 0.02, 0.15]) * random.next(),
    streamBreak: pick(random, [0, 0.002, 0.02]) * random.next(),
    latencyMs: pick(random, [1, 5, 20, 60]),
  };
}

function drawDisk(random: Random): DiskSpeed {
  return {
    usualMs: pick(random, [0.2, 2, 8]),
    spikeChance: pick(random, [0, 0.01, 0.05]),
    spikeMs: pick(random, [20, 80, 300]),
  };
}

function drawShare(random: Random): SimulationOptions['share'] {
  return {
    put: pick(random, [20, 40, 60]),
    delete: pick(random, [0, 5, 15]),
    any: pick(random, [0, 10]),
  };
}

/** Each with an even chance, and at least three. */
function drawFaults(random: Random): FaultName[] {
  const chosen = FAULT_NAMES.filter(() => random.int(2) === 0);
  while (chosen.length < 3) chosen.push(pick(random, FAULT_NAMES));
  return [...new Set(chosen)];
}

function pick<T>(random: Random, from: readonly T[]): T {
  return from[random.int(from.length)] as T;
}
