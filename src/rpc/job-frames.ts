import { check } from '../base/codec.js';
import { TASK_PLACES, type WorkerDemand } from '../base/job.js';

/** What members say to each other of jobs. All of it may be lost: it is said again. */
export type JobFrame = TaskDemand | TaskEnds;

/** To the leader: what workers at hand could run. */
export interface TaskDemand {
  readonly type: 'task-demand';
  readonly workers: readonly WorkerDemand[];
}

/** To the leader: how attempts at this member have ended, and checkpoints of those that have not. */
export interface TaskEnds {
  readonly type: 'task-ends';
  /** Each as `packJobStep` makes it. */
  readonly steps: readonly Uint8Array[];
}

/** The types of their frames in a stream between members. */
export const TASK_DEMAND = 7;
export const TASK_ENDS = 8;

export function jobFrameTuple(frame: JobFrame): unknown[] {
  if (frame.type === 'task-ends') return [TASK_ENDS, frame.steps];
  return [TASK_DEMAND, frame.workers.map(demandTuple)];
}

export function isJobFrame(type: unknown): boolean {
  return type === TASK_DEMAND || type === TASK_ENDS;
}

/** @throws BalsaError `FRAME_INVALID` */
export function readJobFrame(t: readonly unknown[]): JobFrame {
  if (t[0] === TASK_ENDS) {
    const steps = check.list(t[1], 'task ends').map((value) => check.bytes(value, 'task end'));
    return { type: 'task-ends', steps };
  }
  return { type: 'task-demand', workers: check.list(t[1], 'task demand').map(readDemand) };
}

export function demandTuple(w: WorkerDemand): unknown[] {
  return [
    ...[w.worker, w.home, TASK_PLACES.indexOf(w.where), w.slots, w.threads],
    ...[w.tasks, w.labels, w.memoryBytes],
  ];
}

/** @throws BalsaError `FRAME_INVALID` */
export function readDemand(value: unknown): WorkerDemand {
  const t = check.tuple(value, 'worker', 8);
  const texts = (list: unknown, what: string): string[] =>
    check.list(list, what).map((one) => check.text(one, what));
  return {
    worker: check.text(t[0], 'worker'),
    home: check.text(t[1], 'worker home'),
    where: TASK_PLACES[check.count(t[2], 'worker where')] ?? 'worker',
    ...{ slots: check.count(t[3], 'worker slots'), threads: check.count(t[4], 'worker threads') },
    ...{ tasks: texts(t[5], 'worker tasks'), labels: texts(t[6], 'worker labels') },
    memoryBytes: check.count(t[7], 'worker memory'),
  };
}
