import { asBalsaError, BalsaError } from '../base/errors.js';
import {
  CLAIMS_PER_ENTRY_MAX,
  INLINE_VALUE_BYTES_MAX,
  type TaskEnd,
  type TaskReportOperation,
  type TaskValue,
  UPLOAD_CHUNK_BYTES_MAX,
  type WorkerDemand,
} from '../base/job.js';
import { cutMessage } from '../base/task-message.js';
import type { AssignedTask, InputInfo, WorkAnswer } from '../rpc/job-protocol.js';
import type { ClientAnswer, ClientRequest } from '../rpc/protocol.js';
import { askJobs, readValues } from './job-request.js';
import { toJson } from './job-spec.js';
import { type JobsParts, uploadChunks } from './jobs.js';
import type { Meta } from './pending.js';
import type { PendingRead } from './pending-read.js';
import { ReadRequest } from './read-request.js';

/** How one attempt has ended where it was run. */
export type TaskOutcome =
  /** JSON, or bytes. */
  | { readonly type: 'result'; readonly value: unknown }
  | { readonly type: 'failed'; readonly code: string; readonly message: string }
  /** What ran it is gone. */
  | { readonly type: 'crashed'; readonly message: string };

/** What an attempt may tell while it runs. */
export interface TaskEvents {
  /**
   * @param json how far it is. Resolves when it is in the log, or it is known that the attempt does not count
   * @throws BalsaError `JOB_LIMIT`: it is too large, and nobody will be given it
   */
  checkpoint(json: string): Promise<void>;
}

export interface RunningTask {
  /** Never rejects. */
  readonly ended: Promise<TaskOutcome>;
  /** It does not count any more: what it comes to is nobody's concern. */
  stop(reason: string): void;
}

/** What runs tasks: processes, or the simulator. */
export interface TaskHost {
  run(task: AssignedTask, input: unknown, events: TaskEvents): RunningTask;
}

export interface WorkerLoopOptions {
  readonly parts: JobsParts;
  readonly host: TaskHost;
  readonly demand: WorkerDemand;
  /** Told once, of an error that no other attempt to ask could put right. */
  readonly onFailure: (error: BalsaError) => void;
  readonly onNotice?: ((notice: WorkerNotice) => void) | undefined;
}

export interface WorkerNotice {
  readonly type: 'begun' | 'done' | 'failed' | 'crashed' | 'fenced' | 'dropped';
  readonly task: AssignedTask;
  readonly message: string;
}

interface Answered {
  readonly answer: WorkAnswer;
  readonly meta: Meta;
}

interface Active {
  readonly task: AssignedTask;
  running: RunningTask | null;
  /** It has ended here, and the log is told. */
  isReporting: boolean;
  isDropped: boolean;
}

/** After a failure to ask, in milliseconds. */
const RETRY_MS = 200;
const FORMER_MAX = 1000;
/** A replica that is behind, and answers at once what is known here, is asked again after so long. */
const STALE_MS = 20;
/** And by a worker that leaves not for longer than this. */
const LEAVE_MS = 1000;
/** Longer than a replica lets it wait. */
const ASK_TIMEOUT_MS = 2500;

/**
 * A worker's dealings with the cluster: it asks for work again and again, which is also how it is known to live, has what it is
 * given run, and reports how that went until it is answered. What it has it keeps as long as the cluster takes it for alive; what
 * comes of it is decided by the fence.
 */
export class WorkerLoop {
  readonly #options: WorkerLoopOptions;
  readonly #active = new Map<number, Active>();
  /** Those that it had last: a replica that is behind may give it one again. */
  readonly #former = new Set<number>();
  #isStopped = false;
  /** It takes nothing more. */
  #isDraining = false;
  /** Since when, on the monotonic clock. */
  #drainedMs = 0;
  /** It has said that it takes nothing more, and was given nothing then. */
  #hasLeft = false;
  /** It waits for the answer to what it has asked no longer. */
  #askAnew: () => void = () => {};
  #drained: () => void = () => {};
  /** It was stopped, or is drained. */
  readonly #over = new Promise<void>((resolve) => {
    this.#drained = resolve;
  });

  constructor(options: WorkerLoopOptions) {
    this.#options = options;
  }

  /** Attempts that it has. */
  get active(): number {
    return this.#active.size;
  }

  start(): void {
    void this.#ask();
  }

  /**
   * It takes nothing more, and resolves when all that it has is reported, however often that is asked for. What the log has just
   * given it, and it has not begun, it gives back.
   */
  drain(): Promise<void> {
    if (!this.#isDraining) this.#drainedMs = this.#options.parts.engine.env.clock.monotonicMs();
    this.#isDraining = true;
    this.#askAnew();
    return this.#over;
  }

  /** At once: what it has is run by others when its lease is over. */
  stop(): void {
    this.#isStopped = true;
    for (const { running } of this.#active.values()) running?.stop('the worker stops');
    this.#active.clear();
    this.#drained();
  }

  // -------------------------------------------------------------------------------------------

  async #ask(): Promise<void> {
    while (!this.#isStopped) {
      const isLeaving = this.#isDraining;
      try {
        const asked = await this.#work(isLeaving);
        if (this.#isStopped) return;
        if (asked === null) continue;
        const isNews = this.#answered(asked);
        const isStale = !isNews && !isEmpty(asked.answer);
        if (isLeaving && !isNews && (!isStale || this.#isLate())) this.#leave();
        if (isStale) await this.#sleep(STALE_MS);
      } catch (cause) {
        if (this.#isStopped) return;
        const error = asBalsaError(cause);
        if (error.code === 'CLIENT_CLOSED' || error.code === 'INVALID_ARGUMENT') {
          this.stop();
          this.#options.onFailure(error);
          return;
        }
        // Nobody can be asked. What it was given all the same others run when its lease is over.
        if (isLeaving) this.#leave();
        await this.#sleep(RETRY_MS);
      }
    }
  }

  /** @returns whether it was told something that it did not know */
  #answered({ answer, meta }: Answered): boolean {
    let isNews = false;
    for (const fence of answer.dropped) {
      if (this.#drop(fence)) isNews = true;
    }
    for (const task of answer.assigned) {
      if (this.#active.has(task.fence) || this.#former.has(task.fence)) continue;
      void (this.#isDraining ? this.#giveBack(task) : this.#take(task, meta));
      isNews = true;
    }
    return isNews;
  }

  #isLate(): boolean {
    const { clock } = this.#options.parts.engine.env;
    return clock.monotonicMs() - this.#drainedMs >= LEAVE_MS;
  }

  /** @returns `null`: it is to be drained, and says so first. What the log has given it by then it is told again */
  #work(isLeaving: boolean): Promise<Answered | null> {
    const { parts, demand } = this.#options;
    const slots = isLeaving ? 0 : demand.slots;
    const request = { demand: { ...demand, slots }, fences: [...this.#active.keys()] };
    return new Promise((resolve, reject) => {
      if (!isLeaving) this.#askAnew = () => resolve(null);
      const limits = parts.engine.callLimits({ timeoutMs: ASK_TIMEOUT_MS });
      parts.reads.ask<WorkAnswer>('any', (call) => new AskForWork(request, call), {
        limits,
        deliver: (answer: WorkAnswer, meta: Meta) => resolve({ answer, meta }),
        reject,
      });
    });
  }

  /** @returns whether it had it */
  #drop(fence: number): boolean {
    const active = this.#active.get(fence);
    // What is being reported is no more under way as soon as the log has it: the answer tells.
    if (active === undefined || active.isReporting) return false;
    active.isDropped = true;
    active.running?.stop('the attempt does not count any more');
    this.#notice('dropped', active.task);
    this.#forget(fence);
    return true;
  }

  async #giveBack(task: AssignedTask): Promise<void> {
    const active: Active = { task, running: null, isReporting: true, isDropped: false };
    this.#active.set(task.fence, active);
    await this.#report(active, { type: 'released' });
    this.#forget(task.fence);
  }

  async #take(task: AssignedTask, meta: Meta): Promise<void> {
    const active: Active = { task, running: null, isReporting: false, isDropped: false };
    this.#active.set(task.fence, active);
    this.#notice('begun', task);
    const end = await this.#run(active, meta);
    if (active.isDropped || this.#isStopped) return;
    active.isReporting = true;
    await this.#report(active, end);
    this.#forget(task.fence);
  }

  /** It has it no more. */
  #forget(fence: number): void {
    this.#active.delete(fence);
    this.#former.add(fence);
    const [oldest] = this.#former;
    if (this.#former.size > FORMER_MAX && oldest !== undefined) this.#former.delete(oldest);
    this.#endIfDrained();
  }

  /** Never rejects. */
  async #run(active: Active, meta: Meta): Promise<TaskEnd> {
    const { host } = this.#options;
    const { task } = active;
    try {
      const input = await this.#input(task, meta);
      if (active.isDropped || this.#isStopped) return { type: 'released' };
      const running = host.run(task, input, {
        checkpoint: (json) => this.#checkpoint(active, json),
      });
      active.running = running;
      const outcome = await running.ended;
      if (outcome.type !== 'result') {
        this.#notice(outcome.type, task, outcome.message);
        return cut(outcome);
      }
      const value = await this.#value(outcome.value, active);
      this.#notice('done', task);
      return { type: 'result', value, call: null };
    } catch (cause) {
      const { code, message, retryable } = asBalsaError(cause);
      // What could not be asked says nothing of the task.
      if (retryable) {
        await this.#sleep(RETRY_MS);
        return { type: 'released' };
      }
      this.#notice('failed', task, message);
      return cut({ type: 'failed', code, message });
    }
  }

  async #input(task: AssignedTask, meta: Meta): Promise<unknown> {
    const { parts } = this.#options;
    const index = Math.floor(task.fence / CLAIMS_PER_ENTRY_MAX);
    const level = { consistency: 'session', bound: Math.max(index, meta.appliedIndex) } as const;
    const query = { about: 'input', fence: task.fence } as const;
    const { info, bytes } = await askJobs(parts, query, {}, level);
    const { isList, values } = JSON.parse(info) as InputInfo;
    const read = await readValues(parts, values, bytes, {});
    return isList ? read : read[0];
  }

  /** What is too large to go with the report is brought before it. */
  async #value(value: unknown, active: Active): Promise<TaskValue> {
    const isBytes = value instanceof Uint8Array;
    const json = isBytes ? '' : toJson('the result of the task', value ?? null);
    const size = isBytes ? value.byteLength : json.length;
    if (size <= INLINE_VALUE_BYTES_MAX) {
      return isBytes ? { type: 'bytes', bytes: value } : { type: 'json', json };
    }
    const whole = isBytes ? value : Buffer.from(json);
    const { engine, store } = this.#options.parts;
    const upload = Buffer.from(engine.env.newSessionId()).toString('hex');
    const chunks = Array.from(
      { length: Math.ceil(whole.byteLength / UPLOAD_CHUNK_BYTES_MAX) },
      (_, i) => whole.subarray(i * UPLOAD_CHUNK_BYTES_MAX, (i + 1) * UPLOAD_CHUNK_BYTES_MAX),
    );
    if (!active.isDropped) await uploadChunks(store, upload, chunks, {});
    return {
      type: 'upload',
      ...{ upload, chunks: chunks.length, bytes: whole.byteLength },
      isJson: !isBytes,
    };
  }

  async #report(active: Active, report: TaskEnd): Promise<void> {
    while (!(await this.#send(active, report)) && !this.#isStopped) {
      await this.#sleep(RETRY_MS);
    }
  }

  /** @throws BalsaError */
  async #checkpoint(active: Active, json: string): Promise<void> {
    const error = await this.#tell(active, { type: 'checkpoint', json });
    if (error !== null && !error.retryable && error.code !== 'TASK_FENCED') throw error;
  }

  /** @returns whether there is no more to be said of it */
  async #send(active: Active, report: TaskReportOperation['report']): Promise<boolean> {
    const error = await this.#tell(active, report);
    // An upload that was removed meanwhile: the lease tells the others, and they run it again.
    return error === null || !error.retryable || error.code === 'UPLOAD_INCOMPLETE';
  }

  /** @returns why it is not in the log; `null`: it is */
  async #tell(
    { task, isDropped }: Active,
    report: TaskReportOperation['report'],
  ): Promise<BalsaError | null> {
    const { fence } = task;
    try {
      await this.#options.parts.store.write(
        {},
        'done',
        () => ({ type: 'task-report', fence, report }),
        () => null,
      );
      return null;
    } catch (cause) {
      if (!(cause instanceof BalsaError)) throw cause;
      if (cause.code === 'TASK_FENCED' && !isDropped) this.#notice('fenced', task, cause.message);
      return cause;
    }
  }

  #notice(type: WorkerNotice['type'], task: AssignedTask, message = ''): void {
    this.#options.onNotice?.({ type, task, message });
  }

  #leave(): void {
    this.#hasLeft = true;
    this.#endIfDrained();
  }

  #endIfDrained(): void {
    if (!this.#hasLeft || this.#active.size > 0 || this.#isStopped) return;
    this.#isStopped = true;
    this.#drained();
  }

  #sleep(ms: number): Promise<void> {
    const { clock } = this.#options.parts.engine.env;
    return new Promise((resolve) => clock.setTimer(ms, resolve));
  }
}

function isEmpty({ assigned, dropped }: WorkAnswer): boolean {
  return assigned.length + dropped.length === 0;
}

/** The worker itself is told all of it. */
function cut(end: Exclude<TaskOutcome, { readonly type: 'result' }>): TaskEnd {
  const message = cutMessage(end.message);
  return end.type === 'crashed'
    ? { ...end, message }
    : { ...end, code: cutMessage(end.code), message };
}

class AskForWork extends ReadRequest {
  readonly consistency = 'any';
  readonly calls: readonly [PendingRead<WorkAnswer>];
  readonly #request: { readonly demand: WorkerDemand; readonly fences: readonly number[] };

  constructor(
    request: { readonly demand: WorkerDemand; readonly fences: readonly number[] },
    call: PendingRead<WorkAnswer>,
  ) {
    super();
    this.calls = [call];
    this.#request = request;
  }

  encode(id: number): ClientRequest {
    return { type: 'work', id, ...this.#request };
  }

  answer(answer: ClientAnswer, meta: Meta): null {
    if (answer.type !== 'work') {
      throw new BalsaError('FRAME_INVALID', `an answer of type ${answer.type} to a worker`);
    }
    this.calls[0].succeed({ assigned: answer.assigned, dropped: answer.dropped }, meta);
    return null;
  }
}
