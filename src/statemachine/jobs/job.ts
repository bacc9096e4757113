import type { JobPhase, JobSpec, StageSpec } from '../../base/job.js';
import type {
  AttemptRecord,
  JobFailure,
  JobRecord,
  StageRecord,
  TaskRecord,
} from './job-records.js';
import { inputsOf, type Span, type StageShape, shapesOf } from './job-shape.js';
import { OrdinalSet } from './ordinal-set.js';

/** A task that was begun and is not done. */
export interface Task {
  readonly stage: number;
  readonly ordinal: number;
  attempts: readonly AttemptRecord[];
  tries: number;
  failures: number;
  lost: number;
  conflicts: number;
  homes: readonly string[];
  notBeforeMs: number;
  error: string;
  hasCheckpoint: boolean;
}

interface Stage {
  readonly done: OrdinalSet;
  readonly durations: number[];
  beganMs: number;
  endedMs: number;
  failures: number;
}

export interface ClaimableOptions {
  /** Of each stage, tasks that were not begun. */
  readonly freshMax?: number;
  /** Others are left out. */
  readonly isWanted?: (stage: number) => boolean;
}

const ALL = (): boolean => true;

/** Tasks of one stage are told apart by their number; there are less than this. */
const STAGE_FACTOR = 2 ** 44;

/** Buckets of durations: the last one is of all that took longer than half a year. */
const BUCKETS = 34;

/**
 * The smallest `n` of which `2 ** n` milliseconds are more than it took. It is part of the state: what the language leaves to its
 * implementations, as how exact a logarithm is, has no say in it. Doubling is exact.
 */
export function durationBucket(tookMs: number): number {
  let bucket = 0;
  for (let ms = 1; bucket < BUCKETS - 1 && ms < tookMs + 1; ms *= 2) bucket += 1;
  return bucket;
}

/** Tasks that are not ready in a row, beyond those that may hold them up: those behind are not, either. */
const UNREADY_MAX = 64;

/** One job as the log has it: its spec, how far each stage is, and the tasks that were begun and are not done. */
export class Job {
  readonly id: string;
  readonly spec: JobSpec;
  readonly bornIndex: number;
  readonly submittedMs: number;
  readonly revision: number;
  phase: JobPhase;
  endedMs: number;
  failure: JobFailure | null;
  cursor: string | null;
  removed: { readonly stage: number; readonly ordinal: number };
  readonly stages: readonly Stage[];
  /** Where each chunk of the input begins. */
  readonly chunkFirsts: number[];
  readonly #tasks = new Map<number, Task>();
  /** Of {@link Job.#tasks}, those without an attempt. */
  readonly #idle = new Set<Task>();
  #items: number;
  #isSealed: boolean;
  #shapes: readonly StageShape[] | null = null;

  constructor(id: string, spec: JobSpec, record: JobRecord, chunkFirsts: readonly number[]) {
    this.id = id;
    this.spec = spec;
    const { bornIndex, submittedMs, revision, phase, endedMs, failure, cursor, removed } = record;
    this.bornIndex = bornIndex;
    this.submittedMs = submittedMs;
    this.revision = revision;
    this.phase = phase;
    this.endedMs = endedMs;
    this.failure = failure;
    this.cursor = cursor;
    this.removed = removed;
    this.#items = record.items;
    this.#isSealed = record.isSealed;
    this.stages = record.stages.map(toStage);
    this.chunkFirsts = [...chunkFirsts];
  }

  /** Items of the input so far. */
  get items(): number {
    return this.#items;
  }

  get isSealed(): boolean {
    return this.#isSealed;
  }

  /** Tasks that were begun and are not done. */
  get tasks(): Iterable<Task> {
    return this.#tasks.values();
  }

  get openTasks(): number {
    return this.#tasks.size;
  }

  get shapes(): readonly StageShape[] {
    if (this.#shapes === null) {
      const cuts = this.stages[0]?.done.size ?? 0;
      this.#shapes = shapesOf(this.spec, { items: this.#items, cuts, isSealed: this.#isSealed });
    }
    return this.#shapes;
  }

  /** `null`: of the one that cuts the input. */
  stageSpec(stage: number): StageSpec | null {
    return this.spec.stages[stage - 1] ?? null;
  }

  /** More of the input is known. */
  grow(items: number, isSealed: boolean): void {
    this.#items += items;
    this.#isSealed = isSealed;
    this.#shapes = null;
  }

  task(stage: number, ordinal: number): Task | null {
    return this.#tasks.get(stage * STAGE_FACTOR + ordinal) ?? null;
  }

  /** Begins one, or gives the one that was begun. */
  begin(stage: number, ordinal: number, record: TaskRecord = UNTRIED): Task {
    const known = this.task(stage, ordinal);
    if (known !== null) return known;
    const task: Task = { stage, ordinal, ...record };
    this.#tasks.set(stage * STAGE_FACTOR + ordinal, task);
    this.setAttempts(task, record.attempts);
    return task;
  }

  setAttempts(task: Task, attempts: readonly AttemptRecord[]): void {
    task.attempts = attempts;
    if (attempts.length === 0) this.#idle.add(task);
    else this.#idle.delete(task);
  }

  /** It is not open any more. */
  close(task: Task): void {
    this.#idle.delete(task);
    this.#tasks.delete(task.stage * STAGE_FACTOR + task.ordinal);
  }

  /** Its result is there. */
  finish(
    task: Task,
    { sinceMs, nowMs }: { readonly sinceMs: number; readonly nowMs: number },
  ): void {
    this.close(task);
    const stage = this.stages[task.stage] as Stage;
    stage.done.add(task.ordinal);
    stage.endedMs = nowMs;
    const bucket = durationBucket(nowMs - sinceMs);
    while (stage.durations.length <= bucket) stage.durations.push(0);
    stage.durations[bucket] = (stage.durations[bucket] as number) + 1;
    if (task.stage === 0) this.#shapes = null;
  }

  isDone(stage: number, ordinal: number): boolean {
    return this.stages[stage]?.done.has(ordinal) ?? false;
  }

  inputsOf(stage: number, ordinal: number): readonly Span[] {
    return inputsOf(this.spec, this.shapes, { stage, ordinal });
  }

  /** There is such a task, and all that it takes is there. */
  isReady(stage: number, ordinal: number): boolean {
    const shape = this.shapes[stage];
    if (shape === undefined || ordinal >= shape.tasks) return false;
    if (stage === 0) return ordinal === this.stages[0]?.done.size;
    return this.inputsOf(stage, ordinal).every(
      ({ stage: from, ...span }) =>
        from === 0 || (this.stages[from]?.done.hasAll(span.from, span.to) ?? false),
    );
  }

  /** All tasks of all stages are done. */
  get isComplete(): boolean {
    return this.shapes.every(
      ({ isFinal, tasks }, stage) => isFinal && this.stages[stage]?.done.size === tasks,
    );
  }

  /**
   * Tasks that may be claimed now, those that were begun before first; of each stage at most `max`, and of those that were not
   * begun at most `freshMax`. What a stage has takes no room from the others: perhaps there is nobody who can run it.
   */
  claimable(
    nowMs: number,
    max: number,
    { freshMax = Number.POSITIVE_INFINITY, isWanted = ALL }: ClaimableOptions = {},
  ): { readonly stage: number; readonly ordinal: number }[] {
    const found: { readonly stage: number; readonly ordinal: number }[] = [];
    const left = this.stages.map((_, stage) => (isWanted(stage) ? max : 0));
    for (const task of this.#idle) {
      const room = left[task.stage] ?? 0;
      if (room <= 0 || task.notBeforeMs > nowMs) continue;
      found.push(task);
      left[task.stage] = room - 1;
    }
    // Later stages first: what is done of them need not be kept for long.
    for (let stage = this.stages.length - 1; stage >= 0; stage -= 1) {
      this.#addFresh(stage, Math.min(left[stage] as number, freshMax), found);
    }
    return found;
  }

  #addFresh(
    stage: number,
    max: number,
    found: { readonly stage: number; readonly ordinal: number }[],
  ): void {
    const { done } = this.stages[stage] as Stage;
    const { tasks } = this.shapes[stage] as StageShape;
    const foundMax = found.length + max;
    let unready = 0;
    for (let n = done.firstAbsent(0); n < tasks; n = done.firstAbsent(n + 1)) {
      if (found.length >= foundMax) return;
      if (this.task(stage, n) !== null) continue;
      if (this.isReady(stage, n)) found.push({ stage, ordinal: n });
      else if (++unready > UNREADY_MAX + this.openTasks) return;
    }
  }

  /** So long took nearly all attempts of a stage that ended well, in milliseconds, rounded up; `null`: too few have. */
  usualMs(stage: number, quantile: number, ended: number): number | null {
    const durations = this.stages[stage]?.durations ?? [];
    const total = durations.reduce((sum, n) => sum + n, 0);
    if (total < ended) return null;
    let sum = 0;
    for (const [bucket, n] of durations.entries()) {
      sum += n;
      if (sum >= quantile * total) return 2 ** bucket;
    }
    return null;
  }

  toRecord(): JobRecord {
    const { phase, bornIndex, submittedMs, endedMs, revision, cursor, failure, removed } = this;
    return {
      phase,
      ...{ bornIndex, submittedMs, endedMs, revision, cursor, failure, removed },
      ...{ items: this.#items, isSealed: this.#isSealed },
      stages: this.stages.map(({ done, ...stage }) => ({ done: done.bounds, ...stage })),
    };
  }
}

function toStage({ done, durations, ...rest }: StageRecord): Stage {
  return { ...rest, done: new OrdinalSet(done), durations: [...durations] };
}

const UNTRIED: TaskRecord = {
  ...{ attempts: [], tries: 0, failures: 0, lost: 0, conflicts: 0, homes: [] },
  ...{ notBeforeMs: 0, error: '', hasCheckpoint: false },
};

/** Of a job that begins. */
export function newStages(spec: JobSpec): StageRecord[] {
  const none = { done: [], durations: [], beganMs: 0, endedMs: 0, failures: 0 };
  return [none, ...spec.stages.map(() => none)];
}
