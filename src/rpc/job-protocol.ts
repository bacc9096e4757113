import { check } from '../base/codec.js';
import type { JobPhase, WorkerDemand } from '../base/job.js';
import { demandTuple, readDemand } from './job-frames.js';

/** Words of the requests that are about jobs. */

/** JSON in a request about jobs. */
export type JobQuery =
  /** {@link JobInfo}s, the latest first. */
  | { readonly about: 'list' }
  /** One {@link JobInfo}. */
  | { readonly about: 'status'; readonly job: string }
  /** {@link ResultsInfo}: of the last stages, one after the other, from the `from`-th on. */
  | { readonly about: 'results'; readonly job: string; readonly from: number }
  /** The bytes of a chunk. */
  | { readonly about: 'chunk'; readonly upload: string; readonly place: number }
  /** {@link InputInfo}: what an attempt takes. */
  | { readonly about: 'input'; readonly fence: number }
  /** {@link JobsStats}, of the leader. */
  | { readonly about: 'stats' };

/** What is answered to a {@link JobQuery}. */
export interface JobsAnswer {
  /** JSON. */
  readonly info: string;
  readonly bytes: Uint8Array;
}

/** How a stage is. */
export interface StageInfo {
  readonly name: string;
  readonly kind: string;
  /** Tasks that are known to exist; more may come unless `isFinal`. */
  readonly tasks: number;
  readonly isFinal: boolean;
  readonly done: number;
  readonly running: number;
  /** Begun, and waiting for another attempt. */
  readonly waiting: number;
  /** Attempts that did not end well. */
  readonly failures: number;
  /** In log time; 0: no task has begun. */
  readonly beganMs: number;
  readonly endedMs: number;
}

export interface JobInfo {
  readonly job: string;
  readonly name: string;
  readonly phase: JobPhase;
  readonly priority: number;
  readonly weight: number;
  /** In log time, milliseconds since 1970. */
  readonly submittedMs: number;
  /** 0: it has not ended. */
  readonly endedMs: number;
  /** As the replica has it. */
  readonly nowMs: number;
  /** Items of the input so far. */
  readonly items: number;
  /** What cuts the input is the first one, named `input`, if anything does. */
  readonly stages: readonly StageInfo[];
  readonly failure: {
    readonly code: string;
    readonly message: string;
    readonly stage: string;
    readonly ordinal: number;
  } | null;
}

/** A value, or where it is. `bytes`: so many of the bytes that come with the answer, one after the other. */
export type ValueInfo =
  | { readonly type: 'json'; readonly bytes: number }
  | { readonly type: 'bytes'; readonly bytes: number }
  | {
      readonly type: 'upload';
      readonly upload: string;
      readonly chunks: number;
      readonly isJson: boolean;
    };

export interface ResultsInfo {
  /** How many there are in all. */
  readonly count: number;
  /** It is the one result of a tree. */
  readonly isSingle: boolean;
  readonly values: readonly ValueInfo[];
}

export interface InputInfo {
  /** What the task takes is a list. */
  readonly isList: boolean;
  readonly values: readonly ValueInfo[];
}

export interface WorkerInfo {
  readonly worker: string;
  readonly home: string;
  readonly where: string;
  readonly threads: number;
  /** Attempts that it has; those beyond its threads wait there. */
  readonly running: number;
  readonly labels: readonly string[];
  /** From 0 to 1: how much of the last minute its threads were busy, as far as was looked. */
  readonly utilisation: number;
}

export interface JobsStats {
  /** Tasks that could be run now, and are not claimed; counted up to 10,000 for each job. */
  readonly queued: number;
  readonly running: number;
  readonly workers: readonly WorkerInfo[];
  /** Threads that would be busy if there were more workers: those that are, and one for each task that is queued. */
  readonly usefulThreads: number;
  /** As {@link JobsStats.usefulThreads}, in workers of the present mean size. */
  readonly usefulWorkers: number;
}

// ---------------------------------------------------------------------------------------------
// Workers of users

/**
 * What a worker says of itself, again and again: as long as it does so it keeps what it has. It is answered `work` when there is
 * something to do, or after a while.
 */
export interface WorkRequest {
  readonly demand: WorkerDemand;
  /** Fences of what it has. */
  readonly fences: readonly number[];
}

/** An attempt that a worker is to make. */
export interface AssignedTask {
  readonly fence: number;
  readonly job: string;
  readonly stage: string;
  readonly ordinal: number;
  /** From 1. */
  readonly attempt: number;
  /** Name of the task. */
  readonly run: string;
  /** JSON: what the job was submitted with. */
  readonly args: string;
  /** JSON; `null`: there is none. */
  readonly checkpoint: string | null;
  /** 0: none. */
  readonly timeoutMs: number;
  /** What it declared; 0: nothing. */
  readonly memoryBytes: number;
}

export interface WorkAnswer {
  /** Those that it did not say that it has. */
  readonly assigned: readonly AssignedTask[];
  /** Of those that it has, those that do not count any more. */
  readonly dropped: readonly number[];
}

export function workTuple({ demand, fences }: WorkRequest): unknown[] {
  return [demandTuple(demand), fences];
}

/** @throws BalsaError `FRAME_INVALID` */
export function readWork(value: unknown, fences: unknown): WorkRequest {
  return {
    demand: readDemand(value),
    fences: check.list(fences, 'work fences').map((fence) => check.count(fence, 'work fence')),
  };
}

export function assignedTuple(t: AssignedTask): unknown[] {
  return [
    ...[t.fence, t.job, t.stage, t.ordinal, t.attempt, t.run],
    ...[t.args, t.checkpoint, t.timeoutMs, t.memoryBytes],
  ];
}

/** @throws BalsaError `FRAME_INVALID` */
export function readAssigned(value: unknown): AssignedTask {
  const t = check.tuple(value, 'assigned task', 10);
  return {
    fence: check.count(t[0], 'task fence'),
    job: check.text(t[1], 'task job'),
    ...{ stage: check.text(t[2], 'task stage'), ordinal: check.count(t[3], 'task ordinal') },
    ...{ attempt: check.count(t[4], 'task attempt'), run: check.text(t[5], 'task run') },
    args: check.text(t[6], 'task args'),
    checkpoint: check.optional(t[7], (v) => check.text(v, 'task checkpoint')),
    timeoutMs: check.count(t[8], 'task timeoutMs'),
    memoryBytes: check.count(t[9], 'task memory'),
  };
}
