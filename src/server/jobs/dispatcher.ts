import { costOf } from '../../base/call.js';
import { unpackCall } from '../../base/call-codec.js';
import type { Clock } from '../../base/clock.js';
import { asBalsaError } from '../../base/errors.js';
import type { JobStep, WorkerDemand } from '../../base/job.js';
import { unpackJobStep } from '../../base/job-codec.js';
import type { Limits } from '../../base/limits.js';
import type { Job } from '../../statemachine/jobs/job.js';
import type { WorkerState } from '../../statemachine/jobs/jobs.js';
import { firstOverdue } from '../../statemachine/jobs/tidying.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import { assign, type FreeWorker } from './assignment.js';

export interface DispatcherHost {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly machine: () => StateMachine;
  /** It leads, log time is known, and all members know of jobs. */
  readonly canPropose: () => boolean;
  /** Log time, in milliseconds. */
  readonly nowMs: () => number;
  /** `isPatient`: it may wait a little for the next writes of clients, and go to the disk with them. */
  readonly propose: (
    steps: readonly JobStep[],
    isPatient: boolean,
    done: (applied: boolean) => void,
  ) => void;
  /** Operations of clients so far. */
  readonly operations: () => number;
  /** How much of the time, lately, the event loop had something to do: from 0 to 1. */
  readonly loopUse: () => number;
  /** How much of the time, lately, the processors of this machine had something to do: from 0 to 1. */
  readonly machineUse: () => number;
  readonly processors: number;
}

interface Heard {
  readonly demand: WorkerDemand;
  /** On the monotonic clock. */
  readonly heardMs: number;
}

interface PendingStep {
  readonly step: JobStep & { readonly fence: number };
  readonly bytes: number;
  /** Keys that the entry looks at for it. */
  readonly keys: number;
}

/** Who was not heard of for so long gets nothing, and its lease runs out. */
const HEARD_MS = 1500;
/**
 * A lease is extended, as a rule, when its worker was heard of just now, so that it is over hardly later than its time after the last
 * that was heard. When a third of it is left, having been heard of at all is enough: a leader that is busy hears late.
 */
const FRESH_MS = 250;
/** Attempts that begin or end with one entry. */
const CLAIMS_MAX = 1024;
const ENDS_MAX = 1024;
/** What waits to get into the log beyond this is sent again by those who have it. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024;
/** Second attempts are looked for this often. */
const SPECULATE_MS = 500;
/** What is removed of jobs that have ended: so much at a time, and so long a pause. */
const TIDY_RECORDS = 500;
const TIDY_MS = 100;
/**
 * Writes of clients come first: when they leave less than this of the leader's time, jobs get a small part of it: one claim or end
 * for so many operations of clients, and the next entry waits so many times as long as the last one took. A task takes two of
 * them, and costs all replicas together as much as some fifteen small puts. While the leader has time to spare, jobs get what they
 * can use.
 */
const BUSY_SHARE = 0.7;
/**
 * The same when hardly a processor of the machine is free, and writes would take a good part of them: so many per second and processor.
 * With fewer it is the tasks that take the machine, as they may.
 */
const CROWDED_SHARE = 0.75;
const CROWDED_OPERATIONS = 1500;
const RATE_MS = 250;
/** Then for so long: jobs that are held back leave some of the machine free, which says nothing. */
const CROWDED_MS = 3000;
const OPERATIONS_PER_STEP = 64;
const STEPS_MIN = 2;
const REST = 2;
const REST_MS_MAX = 200;
/** When what was proposed was not applied. */
const RETRY_MS = 100;

/**
 * The leader's part in jobs. It decides who gets what, and puts that into the log together with how attempts have ended, one entry
 * at a time. All that it knows beside the log is what workers have said lately: the next leader hears it, too. What comes of a step
 * is decided when it is applied: a leader that has been replaced without knowing it can do nothing.
 */
export class Dispatcher {
  readonly #host: DispatcherHost;
  readonly #heard = new Map<string, Heard>();
  /** By fence and kind: what is to get into the log. */
  readonly #waiting = new Map<string, PendingStep>();
  #waitingBytes = 0;
  /** Operations of clients when it was last looked. */
  #operations = 0;
  /** Per second, in the last whole window. */
  #rate = 0;
  #crowdedMs = Number.NEGATIVE_INFINITY;
  #window = { startedMs: Number.NEGATIVE_INFINITY, operations: 0 };
  /** Clients have written since the last look, and the leader has hardly time for more. */
  #isBusy = false;
  #isUnderWay = false;
  #isPlanned = false;
  #isDraining = false;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #speculatedMs = Number.NEGATIVE_INFINITY;
  #tidiedMs = Number.NEGATIVE_INFINITY;

  constructor(host: DispatcherHost) {
    this.#host = host;
  }

  /** Workers that were heard of lately. */
  get workers(): WorkerDemand[] {
    return this.#heardWithin(HEARD_MS);
  }

  #heardWithin(ms: number): WorkerDemand[] {
    const nowMs = this.#host.clock.monotonicMs();
    return [...this.#heard.values()]
      .filter(({ heardMs }) => nowMs - heardMs < ms)
      .map(({ demand }) => demand);
  }

  hear(demands: readonly WorkerDemand[]): void {
    const heardMs = this.#host.clock.monotonicMs();
    for (const demand of demands) {
      this.#heard.delete(demand.worker);
      this.#heard.set(demand.worker, { demand, heardMs });
    }
    this.plan();
  }

  /** Ends and checkpoints, as `packJobStep` makes them. Those that nobody can have made are dropped. */
  take(steps: readonly Uint8Array[]): void {
    for (const bytes of steps) {
      if (this.#waitingBytes + bytes.byteLength > WAITING_BYTES_MAX) break;
      const read = readStep(bytes);
      if (read === null) continue;
      const { step } = read;
      const name = `${step.type} ${step.fence}`;
      const before = this.#waiting.get(name);
      this.#waitingBytes += bytes.byteLength - (before?.bytes ?? 0);
      this.#waiting.set(name, { bytes: bytes.byteLength, ...read });
    }
    this.plan();
  }

  /** Looks behind this turn of the event loop, so that what comes together goes together. */
  plan(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    this.#host.clock.defer(() => {
      this.#isPlanned = false;
      this.look();
    });
  }

  tick(): void {
    const nowMs = this.#host.clock.monotonicMs();
    for (const [worker, { heardMs }] of this.#heard) {
      if (nowMs - heardMs > 2 * HEARD_MS) this.#heard.delete(worker);
    }
    this.look();
  }

  /** This replica is about to stop: the next leader gives tasks. How those that were given have ended gets into the log. */
  drain(): void {
    this.#isDraining = true;
  }

  /** It leads no longer. */
  forget(): void {
    this.#waiting.clear();
    this.#waitingBytes = 0;
  }

  look(): void {
    const { clock, canPropose, propose } = this.#host;
    if (this.#isUnderWay || !canPropose() || clock.monotonicMs() < this.#notBeforeMs) return;
    const steps = this.#steps();
    if (steps.length === 0) return;
    this.#isUnderWay = true;
    const begunMs = clock.monotonicMs();
    propose(steps, this.#isBusy, (applied) => {
      this.#isUnderWay = false;
      const nowMs = clock.monotonicMs();
      const restMs = this.#isBusy ? Math.min(REST_MS_MAX, REST * (nowMs - begunMs)) : 0;
      const waitMs = applied ? restMs : RETRY_MS;
      this.#notBeforeMs = nowMs + waitMs;
      if (waitMs === 0) this.plan();
      else clock.setTimer(waitMs, () => this.plan());
    });
  }

  // -------------------------------------------------------------------------------------------

  #steps(): JobStep[] {
    const { machine, nowMs } = this.#host;
    const { jobs } = machine();
    if (jobs.size === 0 && jobs.uploads.size === 0) {
      this.forget();
      return [];
    }
    const now = nowMs();
    const room = this.#room();
    const ends = this.#takeWaiting(Math.min(ENDS_MAX, room));
    const ending = new Set(ends.flatMap((step) => (step.type === 'end' ? [step.fence] : [])));
    const present = this.workers;
    const fresh = this.#heardWithin(FRESH_MS);
    const { steps, lost } = leases(jobs.workers, { present, fresh, now });
    if (this.#isDraining) return [...ends, ...steps];
    const claims = this.#claims({
      workers: present.filter(({ worker, slots }) => slots > 0 && !lost.has(worker)),
      ...{ ending, now, max: Math.min(CLAIMS_MAX, room - ends.length) },
    });
    return [...ends, ...steps, ...claims, ...this.#tidying(now)];
  }

  /** Claims and ends that one entry may have. */
  #room(): number {
    const before = this.#operations;
    this.#operations = this.#host.operations();
    const since = this.#operations - before;
    const isCrowded = this.#isCrowded();
    this.#isBusy = since > 0 && (isCrowded || this.#host.loopUse() >= BUSY_SHARE);
    if (!this.#isBusy) return Number.POSITIVE_INFINITY;
    return Math.max(STEPS_MIN, Math.floor(since / OPERATIONS_PER_STEP));
  }

  #isCrowded(): boolean {
    const { clock, processors, machineUse } = this.#host;
    const nowMs = clock.monotonicMs();
    const { startedMs, operations } = this.#window;
    if (nowMs - startedMs >= RATE_MS) {
      this.#rate = (1000 * (this.#operations - operations)) / (nowMs - startedMs);
      this.#window = { startedMs: nowMs, operations: this.#operations };
    }
    if (this.#rate < CROWDED_OPERATIONS * processors) return false;
    if (machineUse() >= CROWDED_SHARE) this.#crowdedMs = nowMs;
    return nowMs - this.#crowdedMs < CROWDED_MS;
  }

  #takeWaiting(max: number): (JobStep & { readonly fence: number })[] {
    const { limits, machine } = this.#host;
    const taken: (JobStep & { readonly fence: number })[] = [];
    let bytesLeft = limits.entryBytesMax / 2;
    // The other half is for what others have added to those ranges meanwhile.
    let keysLeft = limits.entryReadKeysMax / 2;
    for (const [name, { step, bytes, keys }] of this.#waiting) {
      const isFull = taken.length >= max || bytes > bytesLeft || keys > keysLeft;
      if (taken.length > 0 && isFull) break;
      this.#waiting.delete(name);
      this.#waitingBytes -= bytes;
      // One that does not count any more.
      if (machine().jobs.attempt(step.fence) === null) continue;
      bytesLeft -= bytes;
      keysLeft -= keys;
      taken.push(step);
    }
    return taken;
  }

  #claims(options: {
    readonly workers: readonly WorkerDemand[];
    readonly ending: ReadonlySet<number>;
    readonly now: number;
    readonly max: number;
  }): JobStep[] {
    const { ending, now, max } = options;
    const { machine, limits, clock } = this.#host;
    const { jobs } = machine();
    const { running } = jobs;
    if (running.length === 0) return [];
    const workers = options.workers.map((demand) => this.#freeWorker(demand, ending));
    const speculates = clock.monotonicMs() - this.#speculatedMs >= SPECULATE_MS;
    if (speculates) this.#speculatedMs = clock.monotonicMs();
    assign({
      jobs: running,
      ...{ workers, nowMs: now, max, speculates },
      openTasksMax: jobs.bounds.jobOpenTasksMax,
      running: new Map(running.map((job) => [job.id, attemptsOf(job)])),
    });
    return workers
      .filter(({ claims }) => claims.length > 0)
      .map(({ demand: { worker, home }, claims }): JobStep => {
        return { type: 'claims', worker, home, leaseMs: limits.workerLeaseMs, tasks: claims };
      });
  }

  #freeWorker(demand: WorkerDemand, ending: ReadonlySet<number>): FreeWorker {
    const { jobs } = this.#host.machine();
    let load = 0;
    let memoryBytes = 0;
    for (const fence of jobs.worker(demand.worker)?.fences ?? []) {
      if (ending.has(fence)) continue;
      load += 1;
      if (demand.memoryBytes === 0) continue;
      const attempt = jobs.attempt(fence);
      memoryBytes += attempt?.job.stageSpec(attempt.task.stage)?.memoryBytes ?? 0;
    }
    return { demand, load, memoryBytes, claims: [] };
  }

  #tidying(now: number): JobStep[] {
    const { clock, machine } = this.#host;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#tidiedMs < TIDY_MS) return [];
    const { jobs } = machine();
    if (firstOverdue(jobs, now) === null && jobs.uploads.overdue(now) === null) return [];
    this.#tidiedMs = nowMs;
    return [{ type: 'tidy', records: TIDY_RECORDS }];
  }
}

/** Of workers that have something: who was heard of keeps it. */
function leases(
  workers: readonly WorkerState[],
  heard: {
    readonly present: readonly WorkerDemand[];
    /** Those that were heard of just now. */
    readonly fresh: readonly WorkerDemand[];
    readonly now: number;
  },
): { readonly steps: JobStep[]; readonly lost: ReadonlySet<string> } {
  const steps: JobStep[] = [];
  const lost = new Set<string>();
  const extended: string[] = [];
  const { present, now } = heard;
  const isPresent = new Set(present.map(({ worker }) => worker));
  const isFresh = new Set(heard.fresh.map(({ worker }) => worker));
  const homes = new Map(present.map(({ worker, home, where }) => [`${where} ${home}`, worker]));
  for (const { worker, home, leaseMs, deadlineMs } of workers) {
    // A member has one sandbox: another one of its died with the process.
    const successor = homes.get(`sandbox ${home}`);
    const isReplaced =
      worker.startsWith(`${home}.`) && successor !== undefined && successor !== worker;
    if (isReplaced || deadlineMs <= now) {
      lost.add(worker);
      steps.push({ type: 'lost', worker, isGone: isReplaced });
      continue;
    }
    const left = (deadlineMs - now) / leaseMs;
    if (left < 2 / 3 && (left < 1 / 3 ? isPresent : isFresh).has(worker)) extended.push(worker);
  }
  if (extended.length > 0) steps.push({ type: 'extend', workers: extended });
  return { steps, lost };
}

function attemptsOf(job: Job): number {
  let attempts = 0;
  for (const task of job.tasks) attempts += task.attempts.length;
  return attempts;
}

/** `null`: nobody has made such a thing. */
function readStep(bytes: Uint8Array): Omit<PendingStep, 'bytes'> | null {
  try {
    // A view of a whole frame would keep that.
    const step = unpackJobStep(Uint8Array.from(bytes));
    if (step.type !== 'end' && step.type !== 'checkpoint') return null;
    const end = step.type === 'end' ? step.end : null;
    const call = end?.type === 'result' || end?.type === 'cut' ? end.call : null;
    return { step, keys: call === null ? 0 : costOf(unpackCall(call).ranges) };
  } catch (error) {
    if (asBalsaError(error).code === 'FRAME_INVALID') return null;
    throw error;
  }
}
