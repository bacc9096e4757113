import { assert } from '../../base/assert.js';
import { countWhile } from '../../base/binary-search.js';
import { packToKeep, unpack } from '../../base/codec.js';
import type { JobSpec, TaskValue } from '../../base/job.js';
import {
  fromTaskValue,
  packItemChunk,
  toTaskValue,
  unpackItemChunk,
} from '../../base/job-codec.js';
import { corrupt } from '../corrupt.js';
import {
  fromNameKey,
  fromTaskKey,
  JOBS_FROM,
  JOBS_TO,
  jobKeys,
  TASKS_FROM,
  TASKS_TO,
  type TaskPlace,
  WORKERS_FROM,
  WORKERS_TO,
} from '../layout.js';
import { loadRecords } from '../load-records.js';
import { orCorrupt } from '../procedure-record.js';
import { type Procedures, splitReference } from '../procedures.js';
import type { StateStore } from '../state-store.js';
import { Job, type Task } from './job.js';
import {
  type AttemptRecord,
  decodeChunks,
  decodeJob,
  decodeSpec,
  decodeTask,
  decodeWorker,
  encodeChunks,
  encodeJob,
  encodeSpec,
  encodeTask,
  encodeWorker,
  type JobRecord,
  type WorkerRecord,
} from './job-records.js';
import { StagedRecords } from './staged-records.js';
import { type UploadBounds, Uploads, uploadedItems } from './uploads.js';

/** Part of what the log means, as `SessionBounds`. */
export interface JobBounds extends UploadBounds {
  readonly jobsMax: number;
  readonly jobOpenTasksMax: number;
  readonly jobPinMsMax: number;
}

const CHUNKS_KEPT = 8;

/** An attempt that is under way, and of what. */
export interface Attempt {
  readonly job: Job;
  readonly task: Task;
  readonly record: AttemptRecord;
}

/** Who has attempts under way. */
export interface WorkerState extends WorkerRecord {
  readonly worker: string;
  readonly fences: ReadonlySet<number>;
}

interface Worker extends WorkerRecord {
  readonly fences: Set<number>;
}

/**
 * All jobs as the log has them: a record for each, one for each task that was begun and is not done, and one for what each task
 * has given, which alone grows with the number of tasks, and is in the store alone.
 */
export class Jobs {
  readonly bounds: JobBounds;
  readonly uploads: Uploads;
  readonly records: StagedRecords;
  readonly #procedures: Procedures;
  readonly #jobs = new Map<string, Job>();
  readonly #workers = new Map<string, Worker>();
  readonly #attempts = new Map<number, Attempt>();
  readonly #changed = new Set<Job>();
  #changes = 0;
  /** Chunks of inputs that were read last: their items are asked for one by one. They are never changed. */
  readonly #chunks = new Map<string, readonly string[]>();

  private constructor(records: StagedRecords, uploads: Uploads, parts: JobsParts) {
    this.records = records;
    this.uploads = uploads;
    this.bounds = parts.bounds;
    this.#procedures = parts.procedures;
  }

  static async load(parts: JobsParts): Promise<Jobs> {
    const { store, bounds } = parts;
    const records = new StagedRecords(store);
    const jobs = new Jobs(records, await Uploads.load(store, records, bounds), parts);
    await loadRecords(store, { from: JOBS_FROM, to: JOBS_TO }, (storeKey, bytes) => {
      const id = fromNameKey(storeKey);
      const state = store.get(jobKeys.state(id));
      if (state === undefined) throw corrupt(`no state of job ${id}`);
      const chunks = store.get(jobKeys.chunks(id));
      jobs.#take(id, decodeSpec(bytes), decodeJob(state), chunks && decodeChunks(chunks));
    });
    await loadRecords(store, { from: WORKERS_FROM, to: WORKERS_TO }, (storeKey, bytes) => {
      jobs.#workers.set(fromNameKey(storeKey), { ...decodeWorker(bytes), fences: new Set() });
    });
    await loadRecords(store, { from: TASKS_FROM, to: TASKS_TO }, (storeKey, bytes) => {
      const { job: id, stage, ordinal } = fromTaskKey(storeKey);
      const job = jobs.#jobs.get(id);
      if (job === undefined) throw corrupt(`a task of job ${id}, which is not there`);
      const task = job.begin(stage, ordinal, decodeTask(bytes));
      for (const record of task.attempts) jobs.#note({ job, task, record });
    });
    return jobs;
  }

  // ---------------------------------------------------------------- looking

  /** Grows with each log entry that changes something of jobs. */
  get changes(): number {
    return this.#changes;
  }

  get size(): number {
    return this.#jobs.size;
  }

  /** In no order that means anything. */
  get all(): Iterable<Job> {
    return this.#jobs.values();
  }

  /** Those that run. */
  get running(): Job[] {
    return [...this.#jobs.values()].filter(({ phase }) => phase === 'running');
  }

  get(id: string): Job | null {
    return this.#jobs.get(id) ?? null;
  }

  /** `null`: it is not under way (any more). */
  attempt(fence: number): Attempt | null {
    return this.#attempts.get(fence) ?? null;
  }

  get attemptCount(): number {
    return this.#attempts.size;
  }

  worker(worker: string): WorkerState | null {
    const state = this.#workers.get(worker);
    return state === undefined ? null : { worker, ...state };
  }

  get workers(): WorkerState[] {
    return [...this.#workers].map(([worker, state]) => ({ worker, ...state }));
  }

  /** What is older is not compacted, in log time `nowMs`; `null`: no job reads anything older than the latest. */
  pinnedRevision(nowMs: number): number | null {
    let pinned: number | null = null;
    for (const { spec, revision, submittedMs } of this.running) {
      if (spec.input.type !== 'range') continue;
      if (nowMs - submittedMs > this.bounds.jobPinMsMax) continue;
      pinned = Math.min(pinned ?? revision, revision);
    }
    return pinned;
  }

  /**
   * Items of the input, JSON. Between log entries only.
   * @throws BalsaError `INVALID_ARGUMENT`: what was uploaded is not what the job says of it
   */
  itemsAt(job: Job, from: number, to: number): readonly string[] {
    const items: string[] = [];
    let at = from;
    while (at < to) {
      const { first, chunk } = this.#chunkAt(job, at);
      const part = chunk.slice(at - first, to - first);
      if (part.length === 0) throw corrupt(`no item ${at} of the input of job ${job.id}`);
      for (const item of part) items.push(item);
      at += part.length;
    }
    return items;
  }

  #chunkAt(job: Job, item: number): { readonly first: number; readonly chunk: readonly string[] } {
    const firsts = job.chunkFirsts;
    const place = countWhile(firsts, (first) => first <= item) - 1;
    const first = firsts[place] ?? 0;
    const name = `${job.bornIndex} ${job.id} ${first}`;
    const kept = this.#chunks.get(name);
    if (kept !== undefined) return { first, chunk: kept };
    const bytes = this.records.get(inputChunkKey(job, { place, first }));
    if (bytes === undefined) throw corrupt(`no chunk ${first} of the input of job ${job.id}`);
    const { input } = job.spec;
    const chunk =
      input.type === 'upload'
        ? uploadedItems(bytes, { upload: input.upload, place, count: input.counts[place] ?? 0 })
        : orCorrupt('a chunk of a job', () => unpackItemChunk(bytes));
    this.#chunks.set(name, chunk);
    const [oldest] = this.#chunks.keys();
    if (this.#chunks.size > CHUNKS_KEPT && oldest !== undefined) this.#chunks.delete(oldest);
    return { first, chunk };
  }

  /** What a task has given; `null`: it is not done. Between log entries only. */
  value(place: TaskPlace): TaskValue | null {
    const bytes = this.records.get(jobKeys.value(place));
    return bytes === undefined ? null : orCorrupt('a result', () => toTaskValue(unpack(bytes)));
  }

  /** Of what was uploaded. */
  uploadChunk(upload: string, place: number): Uint8Array | null {
    return this.records.get(jobKeys.uploadChunk(upload, place)) ?? null;
  }

  /** JSON. */
  checkpoint(place: TaskPlace): string | null {
    const bytes = this.records.get(jobKeys.checkpoint(place));
    return bytes === undefined ? null : Buffer.from(bytes).toString('utf8');
  }

  // ---------------------------------------------------------------- changing, by the executor

  add(id: string, spec: JobSpec, record: JobRecord): Job {
    const job = this.#take(id, spec, record, []);
    this.records.set(jobKeys.spec(id), encodeSpec(spec));
    this.#changed.add(job);
    return job;
  }

  #take(id: string, spec: JobSpec, record: JobRecord, chunks: readonly number[] = []): Job {
    const job = new Job(id, spec, record, chunks);
    this.#jobs.set(id, job);
    for (const hash of hashesOf(spec)) this.#procedures.retain(hash);
    return job;
  }

  /** Nothing is left of it. */
  forget(job: Job): void {
    this.#jobs.delete(job.id);
    this.#changed.delete(job);
    for (const hash of hashesOf(job.spec)) this.#procedures.release(hash);
    for (const key of [jobKeys.spec, jobKeys.state, jobKeys.chunks]) {
      this.records.set(key(job.id), null);
    }
  }

  change(job: Job): void {
    this.#changed.add(job);
  }

  addItems(job: Job, items: readonly string[], isSealed: boolean): void {
    if (items.length > 0) {
      this.records.set(jobKeys.inputChunk(job.id, job.items), packItemChunk(items));
      job.chunkFirsts.push(job.items);
      this.changeChunks(job);
    }
    job.grow(items.length, isSealed);
    this.#changed.add(job);
  }

  changeChunks(job: Job): void {
    this.records.set(jobKeys.chunks(job.id), encodeChunks(job.chunkFirsts));
  }

  /** Items that were uploaded before. */
  addUploaded(job: Job, counts: readonly number[]): void {
    let items = 0;
    for (const count of counts) {
      job.chunkFirsts.push(items);
      items += count;
    }
    this.changeChunks(job);
    job.grow(items, true);
    this.#changed.add(job);
  }

  beginAttempt(job: Job, task: Task, record: AttemptRecord): void {
    job.setAttempts(task, [...task.attempts, record]);
    this.#note({ job, task, record });
    this.changeTask(job, task);
  }

  endAttempt({ job, task, record }: Attempt): void {
    const { fence, worker } = record;
    job.setAttempts(
      task,
      task.attempts.filter((one) => one.fence !== fence),
    );
    this.#attempts.delete(fence);
    const state = this.#workers.get(worker);
    state?.fences.delete(fence);
    if (state?.fences.size === 0) {
      this.#workers.delete(worker);
      this.records.set(jobKeys.worker(worker), null);
    }
    this.changeTask(job, task);
  }

  endAttempts(job: Job, task: Task): void {
    for (const record of task.attempts) this.endAttempt({ job, task, record });
  }

  /** Its value is there, and all about it that was only needed until then goes. */
  finish(
    job: Job,
    task: Task,
    value: TaskValue | null,
    times: { readonly sinceMs: number; readonly nowMs: number },
  ): void {
    this.endAttempts(job, task);
    job.finish(task, times);
    const place = { job: job.id, stage: task.stage, ordinal: task.ordinal };
    this.#forgetTask(place, task);
    if (value !== null) this.records.set(jobKeys.value(place), packToKeep(fromTaskValue(value)));
    this.#changed.add(job);
  }

  /** It was begun, and will not be done. */
  drop(job: Job, task: Task): void {
    this.endAttempts(job, task);
    job.close(task);
    this.#forgetTask({ job: job.id, stage: task.stage, ordinal: task.ordinal }, task);
  }

  #forgetTask(place: TaskPlace, { hasCheckpoint }: Task): void {
    this.records.set(jobKeys.task(place), null);
    if (hasCheckpoint) this.records.set(jobKeys.checkpoint(place), null);
  }

  changeTask(job: Job, task: Task): void {
    const { stage, ordinal } = task;
    this.records.set(jobKeys.task({ job: job.id, stage, ordinal }), encodeTask(task));
  }

  setCheckpoint(job: Job, task: Task, json: string): void {
    const { stage, ordinal } = task;
    task.hasCheckpoint = true;
    this.records.set(jobKeys.checkpoint({ job: job.id, stage, ordinal }), Buffer.from(json));
    this.changeTask(job, task);
  }

  /** Its lease begins anew; one that is not known is new. */
  setWorker(worker: string, record: WorkerRecord): void {
    const known = this.#workers.get(worker);
    this.#workers.set(worker, { ...record, fences: known?.fences ?? new Set() });
    this.records.set(jobKeys.worker(worker), encodeWorker(record));
  }

  #note(attempt: Attempt): void {
    const { fence, worker } = attempt.record;
    const state = this.#workers.get(worker);
    if (state === undefined) throw corrupt(`an attempt of worker ${worker}, which is not there`);
    assert(!this.#attempts.has(fence), 'each attempt has a fence of its own');
    state.fences.add(fence);
    this.#attempts.set(fence, attempt);
  }

  /** Adds all that is staged to `writes`; the caller gives them to the store before anything else. */
  flushInto(writes: Parameters<StagedRecords['flushInto']>[0]): void {
    if (this.#changed.size > 0 || this.records.hasStaged) this.#changes += 1;
    for (const job of this.#changed) {
      this.records.set(jobKeys.state(job.id), encodeJob(job.toRecord()));
    }
    this.#changed.clear();
    this.records.flushInto(writes);
  }
}

interface JobsParts {
  readonly store: StateStore;
  readonly bounds: JobBounds;
  readonly procedures: Procedures;
}

/** Of the code that its tasks run. */
function hashesOf({ input, stages }: JobSpec): string[] {
  const runs = stages.flatMap(({ where, run }) => (where === 'sandbox' ? [run] : []));
  if (input.type === 'generator') runs.push(input.run);
  return runs.map((run) => splitReference(run)[1]);
}

/** The chunk of the input at `place`, which begins with item `first`: an upload is taken as it was brought. */
export function inputChunkKey(
  { id, spec: { input } }: Job,
  { place, first }: { readonly place: number; readonly first: number },
): Buffer {
  return input.type === 'upload'
    ? jobKeys.uploadChunk(input.upload, place)
    : jobKeys.inputChunk(id, first);
}
