import type { ErrorCode } from '../../base/errors.js';
import type { AssignedTask } from '../../rpc/job-protocol.js';

/** What a worker and the processes that run its tasks say to each other. */

export type ToTaskProcess =
  | RunTask
  /** The checkpoint of this number is in the log, or does not count; `error`: why it never will be. */
  | {
      readonly type: 'checkpointed';
      readonly n: number;
      readonly error: { readonly code: ErrorCode; readonly message: string } | null;
    };

export interface RunTask {
  readonly type: 'run';
  readonly task: Omit<AssignedTask, 'args' | 'checkpoint'>;
  readonly input: unknown;
  readonly args: unknown;
  readonly lastCheckpoint: unknown;
}

export type FromTaskProcess =
  /** The module is loaded, and has these tasks. */
  | { readonly type: 'ready'; readonly tasks: readonly string[] }
  /** It cannot be loaded. */
  | { readonly type: 'broken'; readonly message: string }
  | { readonly type: 'result'; readonly value: unknown }
  | { readonly type: 'failed'; readonly code: string; readonly message: string }
  | { readonly type: 'checkpoint'; readonly json: string; readonly n: number };

/** What a task of a worker is called with. */
export interface WorkerTaskContext<Input = unknown, Args = unknown> {
  /** An item, or what earlier tasks gave; of `combine` and `reduce`: a list. */
  readonly input: Input;
  /** What the job was submitted with. */
  readonly args: Args;
  /** Id of the job. */
  readonly job: string;
  readonly stage: string;
  /** Which task of the stage, from 0. */
  readonly task: number;
  /** From 1. */
  readonly attempt: number;
  /**
   * Greater than that of each attempt of this task that was begun before: whoever is told it can refuse those that come late. What
   * the task gives counts once; what it does outside of the store it may do again.
   */
  readonly fence: number;
  /** Aborted when the attempt does not count any more, or its time is over; some seconds later the process is killed. */
  readonly signal: AbortSignal;
  /** What an earlier attempt gave to {@link checkpoint}; `null`: nothing. */
  readonly lastCheckpoint: unknown;
  /**
   * How far it is: whoever tries it next, should this attempt be lost, is given this. JSON. It resolves when that is sure; it
   * need not be waited for. It rejects with `JOB_LIMIT` when it is too large (`checkpointBytesMax`): the one before stays.
   */
  checkpoint(value: unknown): Promise<void>;
}

/** What a module for workers exports, by the name of the task. What it returns is JSON, or bytes. */
export type WorkerTask = (context: WorkerTaskContext<never, never>) => unknown;
