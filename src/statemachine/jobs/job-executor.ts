import type { CallRecord } from '../../base/call.js';
import { BalsaError } from '../../base/errors.js';
import type {
  JobControlOperation,
  JobOperation,
  JobSpec,
  JobSubmitOperation,
  StageSpec,
  TaskEnd,
  TaskReportOperation,
} from '../../base/job.js';
import { fenceOf } from '../../base/job.js';
import type { CallExecutor } from '../call-executor.js';
import type { Procedures } from '../procedures.js';
import { Refusal } from '../refusal.js';
import type { ParsedJobStep } from '../types.js';
import { type Job, newStages, type Task } from './job.js';
import type { JobFailure } from './job-records.js';
import type { Attempt, Jobs } from './jobs.js';
import { Tidying } from './tidying.js';

export interface JobExecutorParts {
  readonly jobs: Jobs;
  readonly calls: CallExecutor;
  readonly procedures: Procedures;
}

/** A log entry, as far as jobs see of it. */
interface Moment {
  readonly index: number;
  readonly timeMs: number;
}

/** Attempts of one task at one time. */
const ATTEMPTS_MAX = 2;
/** A task that has failed is tried again so much later, and twice as much each time, in milliseconds. */
const BACKOFF_MS = 100;
const BACKOFF_MS_MAX = 30_000;
/** So often what a task has read may be changed by others without a pause before it is run again; then it waits, up to a second. */
const CONFLICTS_AT_ONCE = 8;
const CONFLICT_MS_MAX = 1000;

/**
 * What becomes of jobs, a function of the log alone. An attempt is known by its fence, and counts as long as it is under way: of
 * several attempts of one task the first that ends well counts, and with it come into being, in the same log entry, its result
 * and what it writes. All others find their fence to be that of no attempt, and change nothing.
 */
export class JobExecutor {
  readonly #parts: JobExecutorParts;
  readonly #tidying: Tidying;
  #now: Moment & { readonly version: number } = { index: 0, timeMs: 0, version: 0 };
  /** Attempts that began with the entry in hand. */
  #claims = 0;

  constructor(parts: JobExecutorParts) {
    this.#parts = parts;
    this.#tidying = new Tidying(parts.jobs);
  }

  beginEntry(now: Moment & { readonly version: number }): void {
    this.#now = now;
    this.#claims = 0;
  }

  // ---------------------------------------------------------------- what clients ask

  /**
   * @param revision that of the keys when the operation comes
   * @throws Refusal
   */
  write(operation: JobOperation, revision: number): void {
    switch (operation.type) {
      case 'job-submit':
        this.#submit(operation, revision);
        break;
      case 'job-control':
        this.#control(operation);
        break;
      case 'job-upload': {
        this.#parts.jobs.uploads.add(operation, this.#now);
        break;
      }
      default:
        this.#report(operation);
    }
  }

  #submit({ job: id, spec }: JobSubmitOperation, revision: number): void {
    const { jobs } = this.#parts;
    if (jobs.get(id) !== null) {
      throw new Refusal('JOB_EXISTS', `there is a job ${id} already`, { job: id });
    }
    const { jobsMax } = jobs.bounds;
    if (jobs.size >= jobsMax) {
      throw new Refusal('JOBS_TOO_MANY', `the limit of jobs is ${jobsMax} (jobsMax): remove some`, {
        limit: jobsMax,
      });
    }
    const resolved = this.#resolved(spec);
    const { input } = spec;
    if (input.type === 'upload') jobs.uploads.adopt(input.upload, input.counts.length);
    const { index, timeMs } = this.#now;
    const job = jobs.add(id, resolved, {
      ...{ phase: 'running', bornIndex: index, submittedMs: timeMs, endedMs: 0, revision },
      ...{ items: 0, isSealed: false, cursor: null, failure: null, stages: newStages(spec) },
      removed: { stage: 0, ordinal: 0 },
    });
    if (input.type === 'list') jobs.addItems(job, input.items, true);
    else if (input.type === 'upload') jobs.addUploaded(job, input.counts);
    this.#endIfComplete(job);
  }

  /** All tasks of a job run the code that names stand for when it begins. */
  #resolved(spec: JobSpec): JobSpec {
    const stages = spec.stages.map((stage): StageSpec => {
      return stage.where === 'sandbox' ? { ...stage, run: this.#pinned(stage.run) } : stage;
    });
    const { input } = spec;
    // Items of a list are a chunk of the input: they need not be there twice.
    if (input.type === 'list') return { ...spec, stages, input: { type: 'list', items: [] } };
    if (input.type !== 'generator') return { ...spec, stages };
    return { ...spec, stages, input: { type: 'generator', run: this.#pinned(input.run) } };
  }

  #pinned(reference: string): string {
    const found = this.#parts.procedures.resolve(reference);
    if (found === null) {
      throw new Refusal('PROCEDURE_NOT_FOUND', `there is no procedure ${reference}`, {
        procedure: reference,
      });
    }
    if (found.mode !== 'ap') return `${found.name}@${found.hash}`;
    throw new Refusal('INVALID_ARGUMENT', `${reference} is an ap procedure: no task runs it`);
  }

  #control({ job: id, action }: JobControlOperation): void {
    const { jobs } = this.#parts;
    const job = jobs.get(id);
    if (job === null) throw new Refusal('JOB_NOT_FOUND', `there is no job ${id}`, { job: id });
    if (action === 'cancel') {
      if (job.phase === 'running') this.#end(job, 'cancelled', null);
      else if (job.phase !== 'cancelled') throw wrongPhase(job, action);
    } else if (action === 'remove') {
      if (job.phase === 'running') throw wrongPhase(job, action);
      job.phase = 'removing';
      jobs.change(job);
    } else {
      if (job.phase !== 'failed') throw wrongPhase(job, action);
      this.#retry(job);
    }
  }

  /** What is done stays; what has failed begins anew. */
  #retry(job: Job): void {
    const { jobs } = this.#parts;
    job.phase = 'running';
    job.failure = null;
    job.endedMs = 0;
    jobs.change(job);
    for (const task of job.tasks) {
      task.failures = 0;
      task.lost = 0;
      task.homes = [];
      task.notBeforeMs = 0;
      jobs.changeTask(job, task);
    }
  }

  /** @throws Refusal `TASK_FENCED` */
  #report({ fence, report }: TaskReportOperation): void {
    const { jobs } = this.#parts;
    const attempt = jobs.attempt(fence);
    if (attempt === null) {
      throw new Refusal(
        'TASK_FENCED',
        'the attempt does not count any more: its job has ended, its worker was taken for lost, or another one was quicker',
        { fence },
      );
    }
    if (report.type === 'checkpoint') jobs.setCheckpoint(attempt.job, attempt.task, report.json);
    else this.#endAttempt(attempt, report, null);
  }

  // ---------------------------------------------------------------- what the leader asks

  apply({ step, call }: ParsedJobStep): void {
    const { jobs } = this.#parts;
    switch (step.type) {
      case 'claims':
        this.#claim(step);
        break;
      case 'end': {
        const attempt = jobs.attempt(step.fence);
        if (attempt !== null) this.#endAttempt(attempt, step.end, call);
        break;
      }
      case 'checkpoint': {
        const attempt = jobs.attempt(step.fence);
        if (attempt !== null) jobs.setCheckpoint(attempt.job, attempt.task, step.json);
        break;
      }
      case 'extend':
        for (const worker of step.workers) this.#extend(worker);
        break;
      case 'lost':
        this.#lost(step.worker, step.isGone);
        break;
      default:
        this.#tidying.tidy(step.records, this.#now.timeMs);
    }
  }

  #claim({ worker, home, leaseMs, tasks }: ParsedJobStep['step'] & { type: 'claims' }): void {
    const { jobs } = this.#parts;
    for (const { job: id, stage, ordinal, speculative } of tasks) {
      const job = jobs.get(id);
      if (job === null || !this.#isClaimable(job, { stage, ordinal, speculative, worker }))
        continue;
      const { index, timeMs } = this.#now;
      jobs.setWorker(worker, { home, leaseMs, deadlineMs: timeMs + leaseMs });
      const task = job.begin(stage, ordinal);
      task.tries += 1;
      const state = job.stages[stage];
      if (state !== undefined && state.beganMs === 0) {
        state.beganMs = timeMs;
        jobs.change(job);
      }
      const fence = fenceOf(index, this.#claims);
      this.#claims += 1;
      jobs.beginAttempt(job, task, { fence, worker, sinceMs: timeMs });
    }
  }

  /** Whoever proposed it may be out of date. */
  #isClaimable(
    job: Job,
    claim: { stage: number; ordinal: number; speculative: boolean; worker: string },
  ): boolean {
    const { stage, ordinal, speculative, worker } = claim;
    if (job.phase !== 'running' || job.isDone(stage, ordinal)) return false;
    const task = job.task(stage, ordinal);
    if (task === null) {
      if (speculative || job.openTasks >= this.#parts.jobs.bounds.jobOpenTasksMax) return false;
      return job.isReady(stage, ordinal);
    }
    const { attempts, notBeforeMs } = task;
    if (!speculative) return attempts.length === 0 && notBeforeMs <= this.#now.timeMs;
    const isElsewhere = attempts.every((one) => one.worker !== worker);
    return attempts.length > 0 && attempts.length < ATTEMPTS_MAX && isElsewhere;
  }

  #extend(worker: string): void {
    const { jobs } = this.#parts;
    const state = jobs.worker(worker);
    if (state === null) return;
    const { home, leaseMs } = state;
    jobs.setWorker(worker, { home, leaseMs, deadlineMs: this.#now.timeMs + leaseMs });
  }

  #lost(worker: string, isGone: boolean): void {
    const { jobs } = this.#parts;
    const state = jobs.worker(worker);
    // What counts is log time, here: it may have been heard of since.
    if (state === null || (!isGone && state.deadlineMs > this.#now.timeMs)) return;
    for (const fence of [...state.fences].sort((a, b) => a - b)) {
      const attempt = jobs.attempt(fence);
      if (attempt !== null) this.#workerLost(attempt, state.home, 'its worker was lost');
    }
  }

  // ---------------------------------------------------------------- ends of attempts

  #endAttempt(attempt: Attempt, end: TaskEnd, call: CallRecord | BalsaError | null): void {
    switch (end.type) {
      case 'result':
      case 'cut':
        this.#ended(attempt, end, call);
        break;
      case 'failed':
        this.#failed(attempt, end);
        break;
      case 'crashed': {
        const { home = '' } = this.#parts.jobs.worker(attempt.record.worker) ?? {};
        this.#workerLost(attempt, home, end.message);
        break;
      }
      default:
        // It was not run: nothing speaks against it.
        this.#parts.jobs.endAttempt(attempt);
    }
  }

  #ended(
    attempt: Attempt,
    end: TaskEnd & { type: 'result' | 'cut' },
    call: CallRecord | BalsaError | null,
  ): void {
    const { jobs, calls } = this.#parts;
    const { job, task, record } = attempt;
    const isCut = end.type === 'cut';
    if (isCut !== (task.stage === 0)) {
      this.#failed(attempt, { code: 'INTERNAL', message: 'the result is not of such a task' });
      return;
    }
    try {
      if (call instanceof BalsaError) throw call;
      // One that writes is not one of those whose results are uploaded: both would have to be taken back.
      if (call !== null) calls.commit(call);
      else if (end.type === 'result' && end.value.type === 'upload') {
        jobs.uploads.adopt(end.value.upload, end.value.chunks);
      }
    } catch (error) {
      if (!(error instanceof BalsaError)) throw error;
      if (error.code === 'TXN_CONFLICT') this.#conflict(attempt);
      else this.#failed(attempt, error);
      return;
    }
    const times = { sinceMs: record.sinceMs, nowMs: this.#now.timeMs };
    jobs.finish(job, task, end.type === 'result' ? end.value : null, times);
    if (end.type === 'cut') {
      job.cursor = end.next;
      jobs.addItems(job, end.items, end.next === null);
    }
    this.#endIfComplete(job);
  }

  /** What it has read was changed by others: it is run again, which is no failure of its code. */
  #conflict(attempt: Attempt): void {
    const { jobs } = this.#parts;
    const { job, task } = attempt;
    task.conflicts += 1;
    const rounds = task.conflicts - CONFLICTS_AT_ONCE;
    const waitMs = Math.min(CONFLICT_MS_MAX, 10 * 2 ** Math.min(rounds, 10));
    if (rounds > 0) task.notBeforeMs = this.#now.timeMs + waitMs;
    jobs.endAttempt(attempt);
    jobs.changeTask(job, task);
  }

  #failed(
    attempt: Attempt,
    { code, message }: { readonly code: string; readonly message: string },
  ): void {
    const { jobs } = this.#parts;
    const { job, task } = attempt;
    jobs.endAttempt(attempt);
    task.failures += 1;
    task.error = `${code}: ${message}`;
    task.notBeforeMs = this.#now.timeMs + backoffMs(task.failures);
    this.#noteFailure(job, task);
    const { retries } = budgetOf(job, task);
    if (task.failures > retries) this.#giveUp(job, task, { code, message });
    else jobs.changeTask(job, task);
  }

  #workerLost(attempt: Attempt, home: string, message: string): void {
    const { jobs } = this.#parts;
    const { job, task } = attempt;
    jobs.endAttempt(attempt);
    task.lost += 1;
    if (!task.homes.includes(home)) task.homes = [...task.homes, home];
    task.error = message;
    this.#noteFailure(job, task);
    const { lostRetries, poisonAfter } = budgetOf(job, task);
    if (task.homes.length >= poisonAfter) {
      const where = task.homes.join(', ');
      const said = `workers at ${task.homes.length} places were lost or broke at it (${where}): ${message}`;
      this.#giveUp(job, task, { code: 'TASK_POISONED', message: said });
    } else if (task.lost > lostRetries) {
      const said = `its workers were lost or broke ${task.lost} times: ${message}`;
      this.#giveUp(job, task, { code: 'WORKER_LOST', message: said });
    } else jobs.changeTask(job, task);
  }

  #noteFailure(job: Job, { stage }: Task): void {
    const state = job.stages[stage];
    if (state !== undefined) state.failures += 1;
    this.#parts.jobs.change(job);
  }

  /** Another attempt of it may be under way: then that one decides. */
  #giveUp(job: Job, task: Task, { code, message }: { code: string; message: string }): void {
    this.#parts.jobs.changeTask(job, task);
    if (task.attempts.length > 0) return;
    this.#end(job, 'failed', { code, message, stage: task.stage, ordinal: task.ordinal });
  }

  #endIfComplete(job: Job): void {
    if (job.isComplete) this.#end(job, 'succeeded', null);
  }

  /** Nothing that is under way counts any more. */
  #end(job: Job, phase: 'succeeded' | 'failed' | 'cancelled', failure: JobFailure | null): void {
    const { jobs } = this.#parts;
    job.phase = phase;
    job.failure = failure;
    job.endedMs = this.#now.timeMs;
    for (const task of [...job.tasks]) jobs.endAttempts(job, task);
    jobs.change(job);
  }
}

/** Of a task that cuts the input: as of one whose author has said nothing. */
const CUT_BUDGET = { retries: 3, lostRetries: 20, poisonAfter: 3 };

function budgetOf(
  job: Job,
  { stage }: Task,
): Pick<StageSpec, 'retries' | 'lostRetries' | 'poisonAfter'> {
  return job.stageSpec(stage) ?? CUT_BUDGET;
}

function backoffMs(round: number): number {
  return Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** (round - 1));
}

function wrongPhase(job: Job, action: string): Refusal {
  return new Refusal('JOB_STATE', `job ${job.id} is ${job.phase}: it cannot be told to ${action}`, {
    phase: job.phase,
  });
}
