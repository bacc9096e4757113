import type { Clock } from '../../base/clock.js';
import { asBalsaError, BalsaError } from '../../base/errors.js';
import { INLINE_VALUE_BYTES_MAX, type TaskEnd, type WorkerDemand } from '../../base/job.js';
import { packJobStep } from '../../base/job-codec.js';
import type { Limits } from '../../base/limits.js';
import { cutMessage } from '../../base/task-message.js';
import { packRecord, recordOf } from '../../compute/call-record.js';
import { CALL_LIMITS, type CallLimits, type Execution } from '../../compute/execution.js';
import type { Attempt } from '../../statemachine/jobs/jobs.js';
import type { ResolvedProcedure } from '../../statemachine/procedures.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import { MachineSource } from '../calls/machine-source.js';
import type { Runner } from '../calls/runner.js';
import { cutRange } from './range-cutter.js';
import { type InputBound, inputText, readTaskInput } from './task-input.js';
import { checkReads } from './task-reads.js';

export interface SandboxTasksHost {
  readonly clock: Clock;
  /** Of this replica in this life. */
  readonly worker: string;
  readonly home: string;
  readonly threads: number;
  readonly machine: () => StateMachine;
  readonly runner: Runner;
  /** Log time, in milliseconds. */
  readonly nowMs: () => number;
  readonly limits: Pick<Limits, 'batchBytesMax' | 'txnReadKeysMax' | 'entryReadKeysMax'>;
  /** There is something to tell the leader. */
  readonly onEnds: () => void;
}

/** What one task of a job may use. */
export const TASK_LIMITS: CallLimits = {
  ...CALL_LIMITS,
  computeMsMax: 3_600_000,
  memoryBytesMax: 128 * 1024 * 1024,
  readsMax: 1_000_000,
  readBytesMax: 128 * 1024 * 1024,
  argsBytesMax: 32 * 1024 * 1024,
  resultBytesMax: INLINE_VALUE_BYTES_MAX,
};

/** As it would be found when it is one text, and all of it in memory. */
const INPUT_BOUND: InputBound = {
  ...{ bytesMax: TASK_LIMITS.argsBytesMax, limit: 'argsBytesMax', says: 'argsBytesMax of a task' },
};

/**
 * What is claimed keeps the threads busy for so many times as long as it takes until the log has what they did, and with it what
 * they are to do next.
 */
const AHEAD_FACTOR = 3;
const AHEAD_PER_THREAD_MAX = 256;
/** As long as nothing is known of either, in milliseconds. */
const FIRST_CONFIRM_MS = 10;
const FIRST_TASK_MS = 5;
/** Tasks that take longer are not claimed ahead of a free thread: another worker may have one. */
const LONG_MS = 2000;
/** Of ends that the log does not have yet. Beyond it nothing more is asked for. */
const ENDS_BYTES_MAX = 16 * 1024 * 1024;
/** Of what is told again at one time, the oldest of it first (one step may exceed it). */
const AGAIN_BYTES_MAX = 4 * 1024 * 1024;
/** What a thread could not be had for is given back so much later, in milliseconds. */
const RELEASE_MS = 500;
/** Of a task whose state is no longer kept before it ends. */
const ATTEMPTS_MAX = 3;
/** The leader is told of the newest checkpoint of a task this often, in milliseconds: each takes its place in the log of all replicas. */
const CHECKPOINT_MS = 1000;
/** Weight of the last task in what tasks are taken to take. */
const RECENT = 0.2;

/** How an attempt has ended, as the leader is told it. */
interface Ended {
  /** A checkpoint that the log may lack comes before it. */
  readonly steps: readonly Uint8Array[];
  readonly bytes: number;
  readonly sinceMs: number;
}

/** The newest one of a task. */
interface Checkpoint {
  /** `null`: the log has it. */
  json: string | null;
  /** When the leader was told of one last. */
  toldMs: number;
}

/** The worker that each replica has: it runs tasks in its sandbox, over the state as it is here. What it is to run it knows by the log. */
export class SandboxTasks {
  readonly #host: SandboxTasksHost;
  /** Fences of attempts that wait for a thread. */
  #waiting: number[] = [];
  /** All that were ever seen to be claimed and are under way in the log. */
  readonly #known = new Set<number>();
  /** By fence, of those that run. */
  readonly #controllers = new Map<number, AbortController>();
  /** By fence: what the leader is to put into the log. */
  readonly #ends = new Map<number, Ended>();
  /** By fence, of those that run. */
  readonly #checkpoints = new Map<number, Checkpoint>();
  /** Fences of which the leader was not told anything yet. */
  readonly #untold = new Set<number>();
  /** Of all {@link SandboxTasks.#ends}. */
  #endBytes = 0;
  /** Of one end, as a rule. */
  #usualBytes = 0;
  #running = 0;
  /** Of the one among them, or among those whose end the log does not have yet, that runs again since others were quicker. */
  #contended: number | null = null;
  /** How long a task takes, in milliseconds. */
  #usualMs = FIRST_TASK_MS;
  /** How long it takes until the log has an end, in milliseconds. */
  #confirmMs = FIRST_CONFIRM_MS;
  #isDraining = false;
  #isClosed = false;

  constructor(host: SandboxTasksHost) {
    this.#host = host;
  }

  /** Tasks that run now. */
  get running(): number {
    return this.#running;
  }

  demand(): WorkerDemand {
    const { worker, home, threads } = this.#host;
    const wanted = Math.ceil((AHEAD_FACTOR * this.#confirmMs) / this.#usualMs);
    const ahead = Math.min(AHEAD_PER_THREAD_MAX, wanted);
    const perThread = this.#usualMs > LONG_MS ? 1 : 1 + ahead;
    const slots =
      this.#isDraining || this.#isClosed ? 0 : Math.min(threads * perThread, this.#slotsMax());
    return {
      worker,
      ...{ home, where: 'sandbox', slots, threads },
      ...{ tasks: [], labels: [], memoryBytes: 0 },
    };
  }

  /** With more, what they give would wait here, and on the way to the leader, without bound. */
  #slotsMax(): number {
    const room = ENDS_BYTES_MAX - this.#endBytes;
    const { size } = this.#ends;
    if (room <= 0) return size;
    return size + Math.max(this.#host.threads, Math.floor(room / this.#usualBytes));
  }

  /** Steps that the leader was not told of yet. */
  untold(): Uint8Array[] {
    return this.#untold.size === 0 ? [] : this.#steps([...this.#untold], Number.POSITIVE_INFINITY);
  }

  /** Steps of which it is not known yet that the log has them: what was told may be lost. The first ones of them. */
  unconfirmed(): Uint8Array[] {
    return this.#steps([...this.#ends.keys(), ...this.#checkpoints.keys()], AGAIN_BYTES_MAX);
  }

  #steps(fences: readonly number[], bytesMax: number): Uint8Array[] {
    const told: Uint8Array[] = [];
    const nowMs = this.#host.clock.monotonicMs();
    let bytesLeft = bytesMax;
    for (const fence of fences) {
      const steps = this.#ends.get(fence)?.steps ?? this.#dueCheckpoint(fence, nowMs);
      const bytes = bytesOf(steps);
      if (told.length > 0 && bytes > bytesLeft) break;
      this.#untold.delete(fence);
      bytesLeft -= bytes;
      told.push(...steps);
      const checkpoint = this.#checkpoints.get(fence);
      if (checkpoint !== undefined && steps.length > 0) checkpoint.toldMs = nowMs;
    }
    return told;
  }

  #dueCheckpoint(fence: number, nowMs: number): readonly Uint8Array[] {
    const { jobs } = this.#host.machine();
    const checkpoint = this.#checkpoints.get(fence);
    const attempt = jobs.attempt(fence);
    if (checkpoint === undefined || checkpoint.json === null || attempt === null) return [];
    const { json, toldMs } = checkpoint;
    const { stage, ordinal } = attempt.task;
    const isThere = jobs.checkpoint({ job: attempt.job.id, stage, ordinal }) === json;
    if (isThere) checkpoint.json = null;
    if (isThere || nowMs - toldMs < CHECKPOINT_MS) return [];
    return [packJobStep({ type: 'checkpoint', fence, json })];
  }

  /** The state has changed. */
  applied(): void {
    const { jobs } = this.#host.machine();
    const fences = jobs.worker(this.#host.worker)?.fences ?? NONE;
    for (const fence of this.#known) {
      if (!fences.has(fence)) this.#forget(fence);
    }
    let isNew = false;
    for (const fence of fences) {
      if (this.#known.has(fence)) continue;
      this.#known.add(fence);
      this.#waiting.push(fence);
      isNew = true;
    }
    if (isNew) this.#waiting.sort((a, b) => a - b);
    if (this.#isDraining) this.#giveBack();
    else this.#begin();
  }

  /**
   * Nothing more is begun, and what has not ended is given back, though it runs: when this process is gone it would be taken for
   * lost, and a long task that was lost at each place as its replica was started anew, for one that breaks them.
   */
  drain(): void {
    this.#isDraining = true;
    this.#giveBack();
  }

  /** In the log, as it is known here, nothing is under way here. */
  get isHandedOn(): boolean {
    return this.#known.size === 0;
  }

  /** Nothing more is begun. */
  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
  }

  // -------------------------------------------------------------------------------------------

  #giveBack(): void {
    this.#waiting = [];
    for (const fence of this.#known) {
      if (this.#ends.has(fence)) continue;
      this.#ended(fence, { type: 'released' });
      this.#controllers.get(fence)?.abort(NOBODY_WAITS);
    }
  }

  #forget(fence: number): void {
    if (this.#contended === fence) this.#contended = null;
    const end = this.#ends.get(fence);
    if (end !== undefined) {
      const tookMs = this.#host.clock.monotonicMs() - end.sinceMs;
      this.#confirmMs += RECENT * (tookMs - this.#confirmMs);
      this.#endBytes -= end.bytes;
    }
    // Its code need not go on: nothing that it gives counts.
    this.#controllers.get(fence)?.abort(NOBODY_WAITS);
    this.#known.delete(fence);
    this.#untold.delete(fence);
    this.#ends.delete(fence);
    this.#checkpoints.delete(fence);
    // What has ended does not wait.
    if (end === undefined) this.#waiting = this.#waiting.filter((one) => one !== fence);
  }

  #begin(): void {
    while (!this.#isClosed && this.#running < this.#host.threads) {
      const attempt = this.#next();
      if (attempt === null) return;
      const { fence } = attempt.record;
      this.#running += 1;
      void this.#run(attempt).then((end) => {
        this.#running -= 1;
        this.#ended(fence, end);
        this.#begin();
      });
    }
  }

  /**
   * Tasks that write what others of them read have their turn one after the other, each when the log has the one before: together
   * all but one would run in vain, again and again.
   */
  #next(): Attempt | null {
    const { jobs } = this.#host.machine();
    for (const [place, fence] of this.#waiting.entries()) {
      const attempt = jobs.attempt(fence);
      const isContended = (attempt?.task.conflicts ?? 0) > 0;
      if (isContended && this.#contended !== null) continue;
      this.#waiting.splice(place, 1);
      if (attempt === null) return this.#next();
      if (isContended) this.#contended = fence;
      return attempt;
    }
    return null;
  }

  #ended(fence: number, end: TaskEnd): void {
    const tell = (): void => {
      // Nobody waits for it any more, or it was given back.
      if (this.#isClosed || !this.#known.has(fence) || this.#ends.has(fence)) return;
      const steps = this.#lastSteps(fence, end);
      const bytes = bytesOf(steps);
      this.#checkpoints.delete(fence);
      this.#endBytes += bytes;
      this.#usualBytes += RECENT * (bytes - this.#usualBytes);
      this.#ends.set(fence, { steps, bytes, sinceMs: this.#host.clock.monotonicMs() });
      this.#untold.add(fence);
      this.#host.onEnds();
    };
    if (end.type === 'released' && !this.#isDraining) this.#host.clock.setTimer(RELEASE_MS, tell);
    else tell();
  }

  /** Whoever tries a task again goes on from its checkpoint, which was made just now, as a rule. */
  #lastSteps(fence: number, end: TaskEnd): readonly Uint8Array[] {
    const last = packJobStep({ type: 'end', fence, end });
    const json = this.#checkpoints.get(fence)?.json ?? null;
    if (json === null || end.type === 'result' || end.type === 'cut') return [last];
    return [packJobStep({ type: 'checkpoint', fence, json }), last];
  }

  /** Never rejects. */
  async #run(attempt: Attempt): Promise<TaskEnd> {
    const { clock } = this.#host;
    const begunMs = clock.monotonicMs();
    try {
      return await this.#execute(attempt);
    } catch (cause) {
      return failureOf(asBalsaError(cause));
    } finally {
      const tookMs = Math.max(0.05, clock.monotonicMs() - begunMs);
      this.#usualMs += RECENT * (tookMs - this.#usualMs);
    }
  }

  async #execute(attempt: Attempt): Promise<TaskEnd> {
    const { machine } = this.#host;
    const { job, task } = attempt;
    if (task.stage > 0) {
      const taken = await readTaskInput(machine, attempt, INPUT_BOUND);
      const text = inputText(machine(), taken, INPUT_BOUND);
      const { run = '', timeoutMs = 0 } = job.stageSpec(task.stage) ?? {};
      return this.#call(attempt, { run, text, timeoutMs });
    }
    const { input, args } = job.spec;
    const { cursor, revision } = job;
    if (input.type === 'range') return cutRange(machine, input, { cursor, revision });
    if (input.type !== 'generator') return { type: 'failed', code: 'INTERNAL', message: 'no cut' };
    const text = `{"args":${args},"cursor":${cursor ?? 'null'}}`;
    const end = await this.#call(attempt, { run: input.run, text, timeoutMs: 0 });
    return end.type === 'result' && end.value.type === 'json'
      ? cutOf(end.value.json, end.call)
      : end;
  }

  async #call(
    attempt: Attempt,
    { run, text, timeoutMs }: { run: string; text: string; timeoutMs: number },
  ): Promise<TaskEnd> {
    const { machine, runner, nowMs } = this.#host;
    const resolved = machine().resolveProcedure(run);
    if (resolved === null) return { type: 'released' };
    const limits = timeoutMs === 0 ? TASK_LIMITS : { ...TASK_LIMITS, computeMsMax: timeoutMs };
    const own = { nowMs: Math.floor(nowMs()), origin: '', limits, task: this.#factsOf(attempt) };
    for (let tries = 1; ; tries += 1) {
      // It was given up, or back, while its input was read.
      const { fence } = attempt.record;
      if (!this.#known.has(fence) || this.#ends.has(fence)) return { type: 'released' };
      const source = new TaskSource(machine, (json) => this.#checkpoint(attempt, json));
      const controller = new AbortController();
      this.#controllers.set(fence, controller);
      const execution = await runner.run(resolved, text, source, own, controller.signal);
      this.#controllers.delete(fence);
      const isOvertaken = !execution.ok && execution.error.code === 'COMPACTED';
      if (!isOvertaken || tries === ATTEMPTS_MAX) {
        return this.#endOf(attempt, { run, resolved, execution });
      }
    }
  }

  /** JSON of what `ctx.task` says. */
  #factsOf({ job, task }: Attempt): string {
    const { stage, ordinal, tries, hasCheckpoint } = task;
    const place = { job: job.id, stage, ordinal };
    const checkpoint = hasCheckpoint ? this.#host.machine().jobs.checkpoint(place) : null;
    const name = job.stageSpec(stage)?.name ?? 'input';
    const facts = JSON.stringify({ job: job.id, stage: name, ordinal, attempt: tries });
    return `${facts.slice(0, -1)},"args":${job.spec.args},"lastCheckpoint":${checkpoint ?? 'null'}}`;
  }

  #checkpoint({ record: { fence } }: Attempt, json: string): void {
    if (!this.#known.has(fence)) return;
    const toldMs = this.#checkpoints.get(fence)?.toldMs ?? Number.NEGATIVE_INFINITY;
    this.#checkpoints.set(fence, { json, toldMs });
    // It goes with what is said again.
    if (this.#host.clock.monotonicMs() - toldMs < CHECKPOINT_MS) return;
    this.#untold.add(fence);
    this.#host.onEnds();
  }

  #endOf(
    { record }: Attempt,
    ran: { run: string; resolved: ResolvedProcedure; execution: Execution },
  ): TaskEnd {
    const { run, resolved, execution } = ran;
    if (!execution.ok) return failureOf(execution.error);
    const value = { type: 'json', json: execution.result } as const;
    const { ranges, writes, updates, events } = execution.effects;
    const touched = [writes, updates, events].some((list) => list.length > 0);
    // One that has only read has seen one state, whatever it is by now.
    if (resolved.mode !== 'cp' || !touched) return { type: 'result', value, call: null };
    const { limits } = this.#host;
    checkReads(ranges, limits);
    const key = Buffer.alloc(8);
    key.writeDoubleBE(record.fence);
    const identity = { key, isNamed: false, bornIndex: 0, procedure: run, fingerprint: key };
    const call = { ...recordOf(identity, resolved.hash, execution, []), end: NO_RESULT };
    return { type: 'result', value, call: packRecord(call, limits.batchBytesMax) };
  }
}

const NONE: ReadonlySet<number> = new Set();

function bytesOf(steps: readonly Uint8Array[]): number {
  return steps.reduce((sum, step) => sum + step.byteLength, 0);
}

/** Made once: each would be made with a trace of the stack. */
const NOBODY_WAITS = new BalsaError('CANCELLED', 'the attempt does not count any more');

/** The result goes beside the record, and not in it, too. */
const NO_RESULT = { ok: true, result: 'null' } as const;

class TaskSource extends MachineSource {
  readonly checkpoint: (json: string) => void;

  constructor(machine: () => StateMachine, checkpoint: (json: string) => void) {
    super(machine);
    this.checkpoint = checkpoint;
  }
}

/** Not for what its code did. */
const NOT_RUN: ReadonlySet<string> = new Set(['SHUTTING_DOWN', 'OVERLOADED']);

function failureOf({ code, message }: BalsaError): TaskEnd {
  if (NOT_RUN.has(code)) return { type: 'released' };
  return { type: 'failed', code, message: cutMessage(message) };
}

/** What a generator has given: `{ items: [...], next }`. */
function cutOf(json: string, call: Uint8Array | null): TaskEnd {
  const { items, next = null } = (JSON.parse(json) ?? {}) as { items?: unknown; next?: unknown };
  if (!Array.isArray(items)) {
    const message = 'a generator gives { items: [...], next }; without next it was the last time';
    return { type: 'failed', code: 'INVALID_ARGUMENT', message };
  }
  return {
    type: 'cut',
    items: items.map((item) => JSON.stringify(item)),
    next: next === null ? null : JSON.stringify(next),
    call,
  };
}
