/**
 * Jobs: work that is split into tasks, spread over workers, and gathered. What of them is in the log; how it travels:
 * `job-codec`.
 */

/**
 * - `map`: a task for each input
 * - `combine`: a task for each `fanIn` inputs
 * - `reduce`: as `combine`, and again over what that gives, until there is one result
 */
export const STAGE_KINDS = ['map', 'combine', 'reduce'] as const;
export type StageKind = (typeof STAGE_KINDS)[number];

/** Where tasks run: in the sandbox of a replica, or in processes that users bring. */
export const TASK_PLACES = ['sandbox', 'worker'] as const;
export type TaskPlaces = (typeof TASK_PLACES)[number];

export interface StageSpec {
  readonly name: string;
  readonly kind: StageKind;
  /** Earlier stages, whose results are its inputs, one after the other; 0: the input of the job. Stages count from 1. */
  readonly after: readonly number[];
  /** Inputs of one task; of a `map`: 1. */
  readonly fanIn: number;
  readonly where: TaskPlaces;
  /** A procedure, `count@prod`; once the job is in the log `count@<hash>`. Of workers: the name of the task. */
  readonly run: string;
  /** A worker must have all of them. */
  readonly labels: readonly string[];
  /** What one task needs of the memory that a worker declares. */
  readonly memoryBytes: number;
  /** How often its code may fail and be run again. */
  readonly retries: number;
  /** How often its worker may be lost. */
  readonly lostRetries: number;
  /** A task at which so many distinct workers were lost or broke is run no more. */
  readonly poisonAfter: number;
  /** An attempt that takes longer is ended, and has failed; 0: none is. */
  readonly timeoutMs: number;
  /** Whether a second attempt may be made beside one that takes much longer than others. */
  readonly speculates: boolean;
}

export const LABEL_LENGTH_MAX = 100;

/** A name of a host has 253 characters at most. */
export const HOME_LENGTH_MAX = 255;

/** One worker, and all that it can have at one time: attempts that it has count, too. */
export interface WorkerDemand {
  readonly worker: string;
  /** The machine or member. */
  readonly home: string;
  readonly where: TaskPlaces;
  readonly slots: number;
  /** How many of these it runs at one time; the others wait there. */
  readonly threads: number;
  /** Names of what it can run; of a sandbox: anything. */
  readonly tasks: readonly string[];
  readonly labels: readonly string[];
  /** For all tasks together; 0: it does not say. */
  readonly memoryBytes: number;
}

/** Tasks that one worker of users may run at a time. */
export const SLOTS_MAX = 1000;

/** What a stage may ask for, and a worker may have. */
export function isLabel(label: string): boolean {
  return label !== '' && label.length <= LABEL_LENGTH_MAX;
}

/** What the values of a range are to its tasks: JSON, as procedures have them, or UTF-8 text. */
export const RANGE_VALUES = ['json', 'text'] as const;
export type RangeValues = (typeof RANGE_VALUES)[number];

export type InputSpec =
  /** JSON of each item, in the log entry itself. */
  | { readonly type: 'list'; readonly items: readonly string[] }
  /** Chunks that were brought before, each a list of items; so many in each. */
  | { readonly type: 'upload'; readonly upload: string; readonly counts: readonly number[] }
  /** Keys as of the revision at which the job came into being, cut in pieces. */
  | {
      readonly type: 'range';
      readonly from: Uint8Array;
      /** `null`: to the end. */
      readonly to: Uint8Array | null;
      readonly bytesPerTask: number;
      readonly keysPerTask: number;
      readonly values: RangeValues;
    }
  /** A procedure that gives items, and where to go on. */
  | { readonly type: 'generator'; readonly run: string };

export interface JobSpec {
  /** For those who look at it. */
  readonly name: string;
  /** JSON, for all tasks. */
  readonly args: string;
  readonly input: InputSpec;
  readonly stages: readonly StageSpec[];
  /** Tasks of a job with a higher one are run first. */
  readonly priority: number;
  /** Its share among jobs of one priority. */
  readonly weight: number;
  /** How long it is kept when it has ended, in log time. */
  readonly retentionMs: number;
}

export type JobPhase = 'running' | 'succeeded' | 'failed' | 'cancelled' | 'removing';

/** What a task gives. */
export type TaskValue =
  | { readonly type: 'json'; readonly json: string }
  | { readonly type: 'bytes'; readonly bytes: Uint8Array }
  /** Chunks that were brought before. */
  | {
      readonly type: 'upload';
      readonly upload: string;
      readonly chunks: number;
      readonly bytes: number;
      readonly isJson: boolean;
    };

/** How one attempt ends. */
export type TaskEnd =
  | {
      readonly type: 'result';
      readonly value: TaskValue;
      /** What it has read and would write, as `packCall` makes it; `null`: nothing. */
      readonly call: Uint8Array | null;
    }
  /** Of a task that cuts the input: JSON of each item; `next`: where to go on, JSON; `null`: that was all. */
  | {
      readonly type: 'cut';
      readonly items: readonly string[];
      readonly next: string | null;
      readonly call: Uint8Array | null;
    }
  /** Its code has failed. */
  | { readonly type: 'failed'; readonly code: string; readonly message: string }
  /** The process or thread that ran it is gone. */
  | { readonly type: 'crashed'; readonly message: string }
  /** It was not run: its worker goes. */
  | { readonly type: 'released' };

/** What the leader puts into the log. What comes of it is decided when it is applied. */
export type JobStep =
  | {
      readonly type: 'claims';
      readonly worker: string;
      /** The machine or member of the worker, of which there may be several one after the other. */
      readonly home: string;
      readonly leaseMs: number;
      readonly tasks: readonly TaskClaim[];
    }
  | { readonly type: 'end'; readonly fence: number; readonly end: TaskEnd }
  | { readonly type: 'checkpoint'; readonly fence: number; readonly json: string }
  /** Heard of: their leases begin anew. */
  | { readonly type: 'extend'; readonly workers: readonly string[] }
  /** `isGone`: it is known to be; else it is if its lease is over in log time. */
  | { readonly type: 'lost'; readonly worker: string; readonly isGone: boolean }
  /** Removes what has been kept for long enough: at most so many records. */
  | { readonly type: 'tidy'; readonly records: number };

export interface TaskClaim {
  readonly job: string;
  readonly stage: number;
  readonly ordinal: number;
  /** Beside an attempt that is under way. */
  readonly speculative: boolean;
}

// What clients ask: operations of their batches.

export interface JobSubmitOperation {
  readonly type: 'job-submit';
  readonly job: string;
  readonly spec: JobSpec;
}

export const JOB_ACTIONS = ['cancel', 'retry', 'remove'] as const;
export type JobAction = (typeof JOB_ACTIONS)[number];

export interface JobControlOperation {
  readonly type: 'job-control';
  readonly job: string;
  readonly action: JobAction;
}

/** One chunk of what is too large for one operation. Nothing can be seen of it before something refers to all of it. */
export interface JobUploadOperation {
  readonly type: 'job-upload';
  readonly upload: string;
  /** From 0, without gaps. */
  readonly place: number;
  readonly bytes: Uint8Array;
}

/** What a worker of a user says of one attempt. */
export interface TaskReportOperation {
  readonly type: 'task-report';
  readonly fence: number;
  readonly report: TaskEnd | { readonly type: 'checkpoint'; readonly json: string };
}

export type JobOperation =
  | JobSubmitOperation
  | JobControlOperation
  | JobUploadOperation
  | TaskReportOperation;

/** Attempts that begin with one log entry. */
export const CLAIMS_PER_ENTRY_MAX = 4096;

/** Names one attempt for ever; the later it was claimed the greater. */
export function fenceOf(index: number, place: number): number {
  return index * CLAIMS_PER_ENTRY_MAX + place;
}

/** Bytes of one chunk of an upload. */
export const UPLOAD_CHUNK_BYTES_MAX = 1024 * 1024;
/** A value up to here goes with the end of its task; a larger one is uploaded before. */
export const INLINE_VALUE_BYTES_MAX = 1024 * 1024;
