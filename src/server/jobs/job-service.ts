import type { BalsaError } from '../../base/errors.js';
import type { WorkerDemand } from '../../base/job.js';
import type { Random } from '../../base/random.js';
import type { Executor } from '../../compute/execution.js';
import type { MemberId } from '../../raft/types.js';
import type { JobFrame } from '../../rpc/job-frames.js';
import type { JobQuery, JobsAnswer, JobsStats, WorkRequest } from '../../rpc/job-protocol.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import { Runner } from '../calls/runner.js';
import { Dispatcher, type DispatcherHost } from './dispatcher.js';
import { answerJobQuery } from './job-answers.js';
import { SandboxTasks } from './sandbox-tasks.js';
import { Statistics } from './statistics.js';
import { type WorkDone, WorkersAtHand } from './workers-at-hand.js';

export interface JobHost extends DispatcherHost {
  readonly id: MemberId;
  readonly name: string;
  readonly random: Random;
  /** Runs the code of tasks; `null`: this replica runs none. */
  readonly executor: Executor | null;
  /** `null`: not known. */
  readonly leader: () => MemberId | null;
  readonly send: (to: MemberId, frame: JobFrame) => void;
}

/** How often the leader is told what workers at hand could run, when nothing changes, in milliseconds. */
const TELL_MS = 300;
/** What the log does not have yet is said again. */
const RESEND_MS = 300;
/** Of one frame with ends of tasks (one of them may exceed it), so that others need not wait long behind it. */
const ENDS_FRAME_BYTES = 4 * 1024 * 1024;
/** A replica that is about to stop tells the next leader, if there is one so soon. */
const REACH_MS = 1500;
/** What it was just being given has come by then. */
const SETTLE_MS = 300;
const NONCE_MAX = 2 ** 31;

/** Jobs at one replica: its own worker, those of users that are connected to it, and the leader's part when it leads. */
export class JobService {
  readonly #host: JobHost;
  readonly #dispatcher: Dispatcher;
  readonly #sandbox: SandboxTasks | null;
  readonly #workers: WorkersAtHand;
  readonly #statistics: Statistics;
  /** The state of which the workers here were told last. */
  #seen: { machine: StateMachine; changes: number } | null = null;
  #toldMs = Number.NEGATIVE_INFINITY;
  #sentMs = Number.NEGATIVE_INFINITY;
  #isPlanned = false;
  /** The demand has changed. */
  #hasNews = false;
  #drained: { readonly error: BalsaError; readonly sinceMs: number } | null = null;
  #isClosed = false;

  constructor(host: JobHost) {
    this.#host = host;
    const { clock, limits, machine, executor, random, name } = host;
    const times = { nowMs: () => Math.floor(clock.wallMs()), logMs: host.nowMs };
    this.#dispatcher = new Dispatcher(host);
    this.#workers = new WorkersAtHand({ clock, limits }, machine);
    this.#statistics = new Statistics(clock, machine);
    const { cellBytesMax, taskThreadsMax } = limits;
    const runner = new Runner({ executor, random, machine, ...times, cellBytesMax });
    this.#sandbox =
      executor === null || taskThreadsMax === 0
        ? null
        : new SandboxTasks({
            ...{ clock, limits, machine, runner, home: name, threads: taskThreadsMax },
            nowMs: times.nowMs,
            worker: `${name}.${random.int(NONCE_MAX).toString(36)}`,
            onEnds: () => this.#plan(),
          });
  }

  tick(): void {
    if (this.#isClosed) return;
    const { clock, canPropose } = this.#host;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#toldMs >= TELL_MS || nowMs - this.#sentMs >= RESEND_MS) this.#tell();
    // Behind it: ticks may be so rare that at each of them all are answered, and ask again.
    this.#workers.tick();
    if (canPropose()) {
      this.#dispatcher.tick();
      this.#statistics.sample(this.#dispatcher.workers);
    }
  }

  /** Something was applied. */
  applied(): void {
    if (this.#isClosed) return;
    const machine = this.#host.machine();
    const { changes } = machine.jobs;
    if (this.#seen?.machine === machine && this.#seen.changes === changes) return;
    this.#seen = { machine, changes };
    this.#sandbox?.applied();
    this.#workers.applied();
    if (this.#host.canPropose()) this.#dispatcher.plan();
  }

  /** From another member. */
  receive(_from: MemberId, frame: JobFrame): void {
    // Whoever takes it for the leader hears sooner or later who is.
    if (this.#isClosed || !this.#host.canPropose()) return;
    if (frame.type === 'task-demand') this.#dispatcher.hear(frame.workers);
    else this.#dispatcher.take(frame.steps);
  }

  /** A worker of a user asks for work, and waits. @throws BalsaError `INVALID_ARGUMENT` */
  work(request: WorkRequest, done: WorkDone): void {
    if (this.#drained !== null) {
      done(this.#drained.error);
      return;
    }
    if (!this.#workers.ask(request, done)) return;
    this.#hasNews = true;
    this.#plan();
  }

  /** @throws BalsaError as `answerJobQuery` */
  async answer(query: JobQuery): Promise<JobsAnswer> {
    const { machine, nowMs, limits } = this.#host;
    if (query.about !== 'stats') return answerJobQuery(machine, query, { nowMs: nowMs(), limits });
    const stats = this.#statistics.stats(this.#dispatcher.workers, nowMs());
    return { info: JSON.stringify(stats), bytes: new Uint8Array(0) };
  }

  /** Of the leader; `null`: it is none, and does not know. */
  get stats(): JobsStats | null {
    const { canPropose, nowMs } = this.#host;
    return canPropose() ? this.#statistics.stats(this.#dispatcher.workers, nowMs()) : null;
  }

  /** It leads no longer. */
  leadershipLost(): void {
    this.#dispatcher.forget();
  }

  /**
   * Nothing is begun here any more, and workers of users are answered with `error`: they ask others. What runs or waits here is given
   * back, and the leader is told so, and of what has ended, until the log has it.
   */
  drain(error: BalsaError): void {
    if (this.#drained !== null || this.#isClosed) return;
    this.#drained = { error, sinceMs: this.#host.clock.monotonicMs() };
    this.#sandbox?.drain();
    this.#dispatcher.drain();
    this.#workers.close(error);
    this.#hasNews = true;
    this.#plan();
  }

  /** After {@link drain}: the log says of no task that it is here. Or it will not come to that now, as nobody leads. */
  get isHandedOn(): boolean {
    if (this.#sandbox === null || this.#isClosed) return true;
    if (this.#drained === null) return false;
    const { clock, leader, machine } = this.#host;
    const passedMs = clock.monotonicMs() - this.#drained.sinceMs;
    if (!this.#sandbox.isHandedOn) return leader() === null && passedMs >= REACH_MS;
    return passedMs >= SETTLE_MS || machine().jobs.running.length === 0;
  }

  close(error: BalsaError): void {
    this.#isClosed = true;
    this.#sandbox?.close();
    this.#workers.close(error);
  }

  // -------------------------------------------------------------------------------------------

  /** Behind this turn of the event loop: what ends together is told together. */
  #plan(): void {
    if (this.#isPlanned || this.#isClosed) return;
    this.#isPlanned = true;
    this.#host.clock.defer(() => {
      this.#isPlanned = false;
      if (!this.#isClosed) this.#tell();
    });
  }

  #tell(): void {
    const { clock, id, leader, canPropose, send, limits } = this.#host;
    const frameBytes = Math.min(ENDS_FRAME_BYTES, limits.frameBytesMax / 2);
    const nowMs = clock.monotonicMs();
    const isAll = nowMs - this.#sentMs >= RESEND_MS;
    const again = (isAll ? this.#sandbox?.unconfirmed() : null) ?? [];
    const steps = [...again, ...(this.#sandbox?.untold() ?? [])];
    if (isAll) this.#sentMs = nowMs;
    const isDue = this.#hasNews || nowMs - this.#toldMs >= TELL_MS;
    const workers = isDue ? this.#demands() : [];
    if (isDue) this.#toldMs = nowMs;
    this.#hasNews = false;
    const to = leader();
    if (canPropose()) {
      if (steps.length > 0) this.#dispatcher.take(steps);
      if (workers.length > 0) this.#dispatcher.hear(workers);
    } else if (to !== null && to !== id) {
      if (workers.length > 0) send(to, { type: 'task-demand', workers });
      for (const some of framesOf(steps, frameBytes)) send(to, { type: 'task-ends', steps: some });
    }
  }

  #demands(): WorkerDemand[] {
    // As long as there are no jobs nobody need know of the sandboxes, which are everywhere.
    const isIdle = this.#sandbox === null || this.#host.machine().jobs.size === 0;
    const own = isIdle ? [] : [this.#sandbox.demand()];
    return [...own, ...this.#workers.demands()];
  }
}

function framesOf(steps: readonly Uint8Array[], frameBytes: number): Uint8Array[][] {
  const frames: Uint8Array[][] = [];
  let bytesLeft = 0;
  for (const step of steps) {
    const frame = frames.at(-1);
    if (frame === undefined || step.byteLength > bytesLeft) {
      frames.push([step]);
      bytesLeft = frameBytes;
    } else frame.push(step);
    bytesLeft -= step.byteLength;
  }
  return frames;
}
