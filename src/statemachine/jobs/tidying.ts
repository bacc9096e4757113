import { jobKeys } from '../layout.js';
import type { Job } from './job.js';
import { inputChunkKey, type Jobs } from './jobs.js';

/** Removes what jobs have left, some at a time, when it has been kept for long enough: by the log, as all that is removed. */
export class Tidying {
  readonly #jobs: Jobs;

  constructor(jobs: Jobs) {
    this.#jobs = jobs;
  }

  /** @param records so many at most, of those that there can be many of */
  tidy(records: number, nowMs: number): void {
    let left = Math.max(1, records);
    while (left > 0) {
      const upload = this.#jobs.uploads.overdue(nowMs);
      if (upload !== null) {
        left -= Math.max(1, this.#jobs.uploads.remove(upload, left));
        continue;
      }
      const job = firstOverdue(this.#jobs, nowMs);
      if (job === null) return;
      if (job.phase !== 'removing') {
        job.phase = 'removing';
        this.#jobs.change(job);
      }
      left = this.#remove(job, left);
    }
  }

  /** @returns how many more may be removed */
  #remove(job: Job, records: number): number {
    let left = this.#removeTasks(job, records);
    const { stages } = job;
    while (left > 0 && job.removed.stage < stages.length) {
      const { stage, ordinal } = job.removed;
      const end = stages[stage]?.done.bounds.at(-1) ?? 0;
      if (ordinal >= end) {
        job.removed = { stage: stage + 1, ordinal: 0 };
        continue;
      }
      left -= this.#removeValue(job, stage, ordinal);
      job.removed = { stage, ordinal: ordinal + 1 };
    }
    this.#jobs.change(job);
    if (left <= 0 || job.removed.stage < stages.length) return left;
    return this.#removeInput(job, left);
  }

  #removeTasks(job: Job, records: number): number {
    let left = records;
    // Which ones first is to be the same everywhere.
    const open = [...job.tasks].sort((a, b) => a.stage - b.stage || a.ordinal - b.ordinal);
    for (const task of open.slice(0, left)) {
      this.#jobs.drop(job, task);
      left -= 1;
    }
    return left;
  }

  /** @returns how many records that were */
  #removeValue(job: Job, stage: number, ordinal: number): number {
    const place = { job: job.id, stage, ordinal };
    const value = this.#jobs.value(place);
    if (value === null) return 1;
    this.#jobs.records.set(jobKeys.value(place), null);
    if (value.type !== 'upload') return 1;
    this.#jobs.uploads.removeChunks(value.upload, { from: 0, to: value.chunks });
    return value.chunks + 1;
  }

  #removeInput(job: Job, records: number): number {
    let left = records;
    while (left > 0) {
      const first = job.chunkFirsts.pop();
      if (first === undefined) break;
      const place = job.chunkFirsts.length;
      this.#jobs.records.set(inputChunkKey(job, { place, first }), null);
      left -= 1;
    }
    if (job.chunkFirsts.length > 0) this.#jobs.changeChunks(job);
    else this.#jobs.forget(job);
    return left;
  }
}

/** One that is to be removed at `nowMs`; the one that was born first. */
export function firstOverdue(jobs: Jobs, nowMs: number): Job | null {
  let first: Job | null = null;
  for (const job of jobs.all) {
    const isOverdue = job.phase !== 'running' && job.endedMs + job.spec.retentionMs <= nowMs;
    if (job.phase !== 'removing' && !isOverdue) continue;
    const isBefore =
      first === null ||
      job.bornIndex < first.bornIndex ||
      (job.bornIndex === first.bornIndex && job.id < first.id);
    if (isBefore) first = job;
  }
  return first;
}
