import { createHash } from 'node:crypto';
import { BalsaError } from '../../../src/base/errors.js';
import type { DeclaredProcedure, Mode } from '../../../src/base/operation.js';
import type { CallView } from '../../../src/compute/call-view.js';
import {
  type Execution,
  failedExecution,
  type ProcedureCall,
  type Source,
} from '../../../src/compute/execution.js';
import { runInView } from '../calls/run-in-view.js';

/** All keys of jobs begin so. */
export const JOB_KEYS = 'jobs/';
/** Keys whose values add up to the same sum at each revision. */
export const POOL = `${JOB_KEYS}pool/`;

/** How often a task has had its effect. */
export const effectKey = (job: string, ordinal: number): string =>
  `${JOB_KEYS}effect/${job}/${String(ordinal).padStart(4, '0')}`;
/** The tasks of a job that have had theirs, in that order: each has read what those before it wrote. */
export const logKey = (job: string): string => `${JOB_KEYS}log/${job}`;

interface TaskFacts {
  readonly job: string;
  readonly ordinal: number;
  readonly attempt: number;
  readonly lastCheckpoint: number | null;
}

type Run = (view: CallView, input: never, task: TaskFacts) => unknown;

const PROCEDURES: Readonly<Record<string, { readonly mode: Mode; readonly run: Run }>> = {
  /** Reads nothing. */
  'job-add': {
    mode: 'cp',
    run: (view, n: number, { job, ordinal }) => {
      view.add('add', effectKey(job, ordinal), 1);
      return n;
    },
  },
  /** Reads what all other tasks of the job write. */
  'job-append': {
    mode: 'cp',
    run: (view, n: number, { job, ordinal }) => {
      const before = JSON.parse(view.get(logKey(job)) ?? '[]') as number[];
      view.put(logKey(job), JSON.stringify([...before, ordinal]));
      view.add('add', effectKey(job, ordinal), 1);
      return n;
    },
  },
  'job-pool': {
    mode: 'read',
    run: (_view, items: readonly { readonly value: number }[]) =>
      items.reduce((sum, { value }) => sum + value, 0),
  },
  'job-sum': {
    mode: 'read',
    run: (_view, numbers: readonly number[]) => numbers.reduce((sum, n) => sum + n, 0),
  },
  /** The first attempt fails, with a checkpoint. */
  'job-resume': {
    mode: 'cp',
    run: (view, n: number, { job, ordinal, lastCheckpoint }) => {
      if (lastCheckpoint === null) {
        view.checkpoint(JSON.stringify(n));
        throw new Error('not yet');
      }
      if (lastCheckpoint !== n) throw new Error('the checkpoint is of another task');
      view.add('add', effectKey(job, ordinal), 1);
      return n;
    },
  },
  'job-generate': {
    mode: 'read',
    run: (_view, { args, cursor }: { args: number; cursor: number | null }) => {
      const from = cursor ?? 0;
      const to = Math.min(args, from + 3);
      const items = Array.from({ length: to - from }, (_, i) => from + i);
      return to < args ? { items, next: to } : { items };
    },
  },
};

const CODE = 'job procedures';

export const JOB_BUNDLE: {
  readonly hash: string;
  readonly code: string;
  readonly procedures: readonly DeclaredProcedure[];
} = {
  hash: createHash('sha256').update(CODE).digest('hex'),
  code: CODE,
  procedures: Object.entries(PROCEDURES).map(([name, { mode }]) => ({ name, mode, trigger: null })),
};

/** Runs a task as the sandbox would; `null`: it is of another bundle. */
export function runJobTask(call: ProcedureCall, mode: Mode, source: Source): Execution | null {
  if (call.bundle.code !== CODE) return null;
  const definition = PROCEDURES[call.name];
  if (definition === undefined || definition.mode !== mode || call.task === undefined) {
    return failedExecution(new BalsaError('PROCEDURE_FAILED', `no task ${call.name} of ${mode}`));
  }
  const task = JSON.parse(call.task) as TaskFacts;
  const run = definition.run as (view: CallView, input: unknown, task: TaskFacts) => unknown;
  return runInView(call, mode, source, (view, input) => run(view, input, task));
}
