import { check, packToKeep, unpack } from '../../base/codec.js';
import type { JobPhase, JobSpec } from '../../base/job.js';
import { fromJobSpec, toJobSpec } from '../../base/job-codec.js';
import { corrupt } from '../corrupt.js';
import { orCorrupt } from '../procedure-record.js';

/** Records of jobs as bytes. Each begins with its format; fields are appended, never reordered. */
const FORMAT = 1;

/** Why a job has failed. */
export interface JobFailure {
  readonly code: string;
  readonly message: string;
  readonly stage: number;
  readonly ordinal: number;
}

/** How far a stage is. */
export interface StageRecord {
  /** As `OrdinalSet.bounds`. */
  readonly done: readonly number[];
  /** How long attempts took that ended well, in log time: how many of less than 2^i milliseconds. */
  readonly durations: readonly number[];
  /** When its first task began and its last one ended, in log time; 0: none has. */
  readonly beganMs: number;
  readonly endedMs: number;
  /** Attempts that did not end well. */
  readonly failures: number;
}

/** How far a job is. */
export interface JobRecord {
  readonly phase: JobPhase;
  /** The log index at which it came into being. */
  readonly bornIndex: number;
  readonly submittedMs: number;
  /** 0: it has not ended. */
  readonly endedMs: number;
  /** Of its input, if that is a range of keys. */
  readonly revision: number;
  readonly items: number;
  readonly isSealed: boolean;
  /** Where the task that cuts the input goes on, JSON; `null`: at the beginning. */
  readonly cursor: string | null;
  readonly failure: JobFailure | null;
  /** By the numbers of stages, 0 among them. */
  readonly stages: readonly StageRecord[];
  /** Up to where its records are removed. */
  readonly removed: { readonly stage: number; readonly ordinal: number };
}

/** An attempt that is under way. */
export interface AttemptRecord {
  readonly fence: number;
  readonly worker: string;
  /** In log time. */
  readonly sinceMs: number;
}

/** A task that was begun and is not done. */
export interface TaskRecord {
  readonly attempts: readonly AttemptRecord[];
  /** Attempts so far. */
  readonly tries: number;
  readonly failures: number;
  readonly lost: number;
  readonly conflicts: number;
  /** Where workers were lost or broke at it. */
  readonly homes: readonly string[];
  /** No attempt before, in log time. */
  readonly notBeforeMs: number;
  readonly error: string;
  readonly hasCheckpoint: boolean;
}

export interface WorkerRecord {
  readonly home: string;
  readonly leaseMs: number;
  readonly deadlineMs: number;
}

export interface UploadRecord {
  readonly chunks: number;
  readonly bytes: number;
  /** It is removed then, in log time, if nothing refers to it. */
  readonly untilMs: number;
}

const PHASES: readonly JobPhase[] = ['running', 'succeeded', 'failed', 'cancelled', 'removing'];

export const encodeSpec = (spec: JobSpec): Buffer => packToKeep([FORMAT, fromJobSpec(spec)]);

export function decodeSpec(bytes: Uint8Array): JobSpec {
  return orCorrupt('a job', () => toJobSpec(fieldsOf(bytes, 2)[1]));
}

export function encodeJob(job: JobRecord): Buffer {
  const { failure, removed } = job;
  return packToKeep([
    ...[FORMAT, PHASES.indexOf(job.phase), job.bornIndex, job.submittedMs, job.endedMs],
    ...[job.revision, job.items, job.isSealed, job.cursor],
    failure && [failure.code, failure.message, failure.stage, failure.ordinal],
    job.stages.map((s) => [s.done, s.durations, s.beganMs, s.endedMs, s.failures]),
    [removed.stage, removed.ordinal],
  ]);
}

export function decodeJob(bytes: Uint8Array): JobRecord {
  return orCorrupt('the state of a job', () => {
    const t = fieldsOf(bytes, 12);
    const phase = PHASES[check.count(t[1], 'phase')];
    if (phase === undefined) throw corrupt('a job in an unknown phase');
    const [stage, ordinal] = numbers(t[11], 'removed');
    return {
      phase,
      bornIndex: check.count(t[2], 'bornIndex'),
      submittedMs: check.count(t[3], 'submittedMs'),
      endedMs: check.count(t[4], 'endedMs'),
      revision: check.count(t[5], 'revision'),
      items: check.count(t[6], 'items'),
      isSealed: check.flag(t[7], 'isSealed'),
      cursor: check.optional(t[8], (v) => check.text(v, 'cursor')),
      failure: check.optional(t[9], toFailure),
      stages: check.list(t[10], 'stages').map(toStage),
      removed: { stage: stage ?? 0, ordinal: ordinal ?? 0 },
    };
  });
}

function toFailure(value: unknown): JobFailure {
  const t = check.tuple(value, 'failure', 4);
  return {
    code: check.text(t[0], 'code'),
    message: check.text(t[1], 'message'),
    ...{ stage: check.count(t[2], 'stage'), ordinal: check.count(t[3], 'ordinal') },
  };
}

function toStage(value: unknown): StageRecord {
  const t = check.tuple(value, 'stage', 5);
  return {
    done: numbers(t[0], 'done'),
    durations: numbers(t[1], 'durations'),
    ...{ beganMs: check.count(t[2], 'beganMs'), endedMs: check.count(t[3], 'endedMs') },
    failures: check.count(t[4], 'failures'),
  };
}

/** Where each chunk of the input begins. */
export const encodeChunks = (firsts: readonly number[]): Buffer => packToKeep([FORMAT, firsts]);

export function decodeChunks(bytes: Uint8Array): number[] {
  return orCorrupt('chunks of a job', () => numbers(fieldsOf(bytes, 2)[1], 'chunks'));
}

export function encodeTask(task: TaskRecord): Buffer {
  return packToKeep([
    ...[FORMAT, task.attempts.flatMap(({ fence, worker, sinceMs }) => [fence, worker, sinceMs])],
    ...[task.tries, task.failures, task.lost, task.conflicts, task.homes],
    ...[task.notBeforeMs, task.error, task.hasCheckpoint],
  ]);
}

export function decodeTask(bytes: Uint8Array): TaskRecord {
  return orCorrupt('a task', () => {
    const t = fieldsOf(bytes, 10);
    const flat = check.list(t[1], 'attempts');
    return {
      attempts: Array.from({ length: flat.length / 3 }, (_, i) => ({
        fence: check.count(flat[3 * i], 'fence'),
        worker: check.text(flat[3 * i + 1], 'worker'),
        sinceMs: check.count(flat[3 * i + 2], 'sinceMs'),
      })),
      ...{ tries: check.count(t[2], 'tries'), failures: check.count(t[3], 'failures') },
      ...{ lost: check.count(t[4], 'lost'), conflicts: check.count(t[5], 'conflicts') },
      homes: check.list(t[6], 'homes').map((home) => check.text(home, 'home')),
      ...{ notBeforeMs: check.count(t[7], 'notBeforeMs'), error: check.text(t[8], 'error') },
      hasCheckpoint: check.flag(t[9], 'hasCheckpoint'),
    };
  });
}

export function encodeWorker({ home, leaseMs, deadlineMs }: WorkerRecord): Buffer {
  return packToKeep([FORMAT, home, leaseMs, deadlineMs]);
}

export function decodeWorker(bytes: Uint8Array): WorkerRecord {
  return orCorrupt('a worker', () => {
    const t = fieldsOf(bytes, 4);
    return {
      home: check.text(t[1], 'home'),
      leaseMs: check.count(t[2], 'leaseMs'),
      deadlineMs: check.count(t[3], 'deadlineMs'),
    };
  });
}

export function encodeUpload({ chunks, bytes, untilMs }: UploadRecord): Buffer {
  return packToKeep([FORMAT, chunks, bytes, untilMs]);
}

export function decodeUpload(bytes: Uint8Array): UploadRecord {
  return orCorrupt('an upload', () => {
    const t = fieldsOf(bytes, 4);
    return {
      chunks: check.count(t[1], 'chunks'),
      bytes: check.count(t[2], 'bytes'),
      untilMs: check.count(t[3], 'untilMs'),
    };
  });
}

function fieldsOf(bytes: Uint8Array, fields: number): readonly unknown[] {
  const tuple = check.tuple(unpack(bytes), 'record', fields);
  if (tuple[0] !== FORMAT) throw corrupt(`a record of a job of format ${String(tuple[0])}`);
  return tuple;
}

function numbers(value: unknown, what: string): number[] {
  return check.list(value, what).map((one) => check.count(one, what));
}
