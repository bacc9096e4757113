import type { Clock } from '../../base/clock.js';
import { BalsaError } from '../../base/errors.js';
import { CLAIMS_PER_ENTRY_MAX, type WorkerDemand } from '../../base/job.js';
import { checkWorker } from '../../base/job-check.js';
import type { Limits } from '../../base/limits.js';
import type { AssignedTask, WorkAnswer, WorkRequest } from '../../rpc/job-protocol.js';
import type { Attempt } from '../../statemachine/jobs/jobs.js';
import type { StateMachine } from '../../statemachine/state-machine.js';

export type WorkDone = (answer: WorkAnswer | BalsaError) => void;

interface Present {
  demand: WorkerDemand;
  heardMs: number;
  fences: ReadonlySet<number>;
  answeredMs: number;
  /** Waits for news; `null`: it has been answered, and asks again. */
  waiting: { readonly done: WorkDone; readonly sinceMs: number } | null;
}

/** Who was not heard of for so long is not here any more. It asks anew as soon as it is answered. */
const HEARD_MS = 2000;
/** It is answered at the latest so long after it has asked: it is heard of then, since it asks again. */
const ANSWER_MS = 500;
/** Who is alive asks again sooner than this, once it was answered. */
const ASKS_AGAIN_MS = 100;
/** Of one answer. */
const ASSIGNED_MAX = 256;
/** What jobs were submitted with, and checkpoints; one task may exceed it. What is left out is told when it asks again. */
const ASSIGNED_BYTES_MAX = 4 * 1024 * 1024;

/**
 * The workers of users that have asked this replica for work. Each asks and waits, and is told as soon as the log, as it is applied
 * here, says that it has something: the leader need not know where a worker is, and no answer of its is needed.
 */
export class WorkersAtHand {
  readonly #parts: { readonly clock: Clock; readonly limits: Limits };
  readonly #machine: () => StateMachine;
  readonly #present = new Map<string, Present>();

  constructor(
    parts: { readonly clock: Clock; readonly limits: Limits },
    machine: () => StateMachine,
  ) {
    this.#parts = parts;
    this.#machine = machine;
  }

  /**
   * Of those that ask just now, or were answered just now. One that has been answered and does not ask again may be gone: the leader
   * is not told of it.
   */
  demands(): WorkerDemand[] {
    const nowMs = this.#parts.clock.monotonicMs();
    return [...this.#present.values()].flatMap(({ demand, waiting, answeredMs }) =>
      waiting === null && nowMs - answeredMs >= ASKS_AGAIN_MS ? [] : [demand],
    );
  }

  /**
   * @returns whether what the leader knows of it has changed
   * @throws BalsaError `INVALID_ARGUMENT`
   */
  ask({ demand, fences }: WorkRequest, done: WorkDone): boolean {
    const { clock, limits } = this.#parts;
    checkWorker(demand, fences);
    const before = this.#present.get(demand.worker);
    if (before === undefined && this.#present.size >= limits.workersMax) {
      done(tooMany(limits.workersMax));
      return false;
    }
    // It has asked anew: nobody waits for that answer.
    before?.waiting?.done({ assigned: [], dropped: [] });
    const nowMs = clock.monotonicMs();
    const waiting = { done, sinceMs: nowMs };
    const answeredMs = Number.NEGATIVE_INFINITY;
    const present = { demand, heardMs: nowMs, fences: new Set(fences), answeredMs, waiting };
    this.#present.set(demand.worker, present);
    this.#tell(present);
    return before === undefined || JSON.stringify(before.demand) !== JSON.stringify(demand);
  }

  /** The state has changed. */
  applied(): void {
    for (const present of this.#present.values()) this.#tell(present);
  }

  tick(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    for (const [worker, present] of this.#present) {
      if (present.waiting !== null && nowMs - present.waiting.sinceMs >= ANSWER_MS) {
        this.#answer(present, { assigned: [], dropped: [] });
      }
      if (nowMs - present.heardMs > HEARD_MS) this.#present.delete(worker);
    }
  }

  close(error: BalsaError): void {
    for (const present of this.#present.values()) {
      present.waiting?.done(error);
      present.waiting = null;
    }
    this.#present.clear();
  }

  // -------------------------------------------------------------------------------------------

  /** If there is something to tell. */
  #tell(present: Present): void {
    if (present.waiting === null) return;
    const { jobs, appliedIndex } = this.#machine();
    const claimed = jobs.worker(present.demand.worker)?.fences ?? new Set<number>();
    const assigned: AssignedTask[] = [];
    let bytesLeft = Math.min(ASSIGNED_BYTES_MAX, this.#parts.limits.frameBytesMax / 4);
    for (const fence of claimed) {
      if (assigned.length >= ASSIGNED_MAX || bytesLeft <= 0) break;
      const attempt = present.fences.has(fence) ? null : jobs.attempt(fence);
      if (attempt === null) continue;
      const task = this.#assigned(attempt);
      bytesLeft -= task.args.length + (task.checkpoint?.length ?? 0);
      assigned.push(task);
    }
    const dropped = [...present.fences].filter((fence) => {
      // What is not applied here yet is not known here.
      return !claimed.has(fence) && Math.floor(fence / CLAIMS_PER_ENTRY_MAX) <= appliedIndex;
    });
    if (assigned.length + dropped.length > 0) this.#answer(present, { assigned, dropped });
  }

  #answer(present: Present, answer: WorkAnswer): void {
    const { waiting } = present;
    present.waiting = null;
    present.answeredMs = this.#parts.clock.monotonicMs();
    waiting?.done(answer);
  }

  #assigned({ job, task, record }: Attempt): AssignedTask {
    const { stage, ordinal, tries, hasCheckpoint } = task;
    const { name = '', run = '', timeoutMs = 0, memoryBytes = 0 } = job.stageSpec(stage) ?? {};
    const place = { job: job.id, stage, ordinal };
    return {
      fence: record.fence,
      ...{ job: job.id, stage: name, ordinal, attempt: tries, run },
      ...{ args: job.spec.args, timeoutMs, memoryBytes },
      checkpoint: hasCheckpoint ? this.#machine().jobs.checkpoint(place) : null,
    };
  }
}

function tooMany(max: number): BalsaError {
  return new BalsaError('OVERLOADED', `the replica serves ${max} workers already (workersMax)`, {
    details: { limit: 'workersMax', retryAfterMs: 1000 },
  });
}
