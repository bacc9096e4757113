import type { Clock, Timer } from '../../base/clock.js';
import { BalsaError } from '../../base/errors.js';
import type { BarredCode } from './barred-code.js';
import { Foresight } from './foresight.js';
import { SandboxWorker } from './sandbox-worker.js';

export interface ThreadTeamOptions {
  readonly clock: Clock;
  /** Threads at a time. Each is started when there is something to do for it. */
  readonly threadsMax: number;
  readonly jobsWaitingMax: number;
  /** The compiled `worker.js`. */
  readonly workerFile: URL;
  /** What it does has time: others of this machine come first. */
  readonly isBackground: boolean;
  /** See `SandboxPlace`. */
  readonly barred: BarredCode | null;
  readonly threadCpuMs: (thread: string) => number | null;
}

/** What waits for a thread. */
export interface Job {
  /** Resolves when the thread is free again. */
  begin(worker: SandboxWorker): Promise<void>;
  fail(error: BalsaError): void;
}

/** When a thread could not be started, another one is tried so long after. Jobs that come meanwhile are refused. */
const RESTART_MS = 1000;

/** Threads that do jobs in their order, each one at a time. */
export class ThreadTeam {
  readonly #options: ThreadTeamOptions;
  readonly #workers = new Set<SandboxWorker>();
  readonly #foresight = new Foresight();
  #waiting: Job[] = [];
  /** Threads that have not said yet that they are there. */
  #starting = 0;
  /** No thread is started before it fires. */
  #pause: Timer | null = null;
  #isClosed = false;

  constructor(options: ThreadTeamOptions) {
    this.#options = options;
  }

  add(job: Job): void {
    const { jobsWaitingMax } = this.#options;
    if (this.#isClosed) job.fail(closedError());
    else if (this.#workers.size === 0 && this.#pause !== null) job.fail(brokenError());
    else if (this.#waiting.length >= jobsWaitingMax) job.fail(fullError(jobsWaitingMax));
    else {
      this.#waiting.push(job);
      this.#serve();
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#pause?.cancel();
    this.#failWaiting(closedError());
    await Promise.all([...this.#workers].map((worker) => worker.close(closedError())));
  }

  // -------------------------------------------------------------------------------------------

  #serve(): void {
    for (const worker of this.#workers) {
      if (!worker.isFree) continue;
      const job = this.#waiting.shift();
      if (job === undefined) return;
      void job.begin(worker).then(() => this.#serve());
    }
    const { threadsMax } = this.#options;
    while (this.#waiting.length > this.#starting && this.#workers.size < threadsMax) {
      if (this.#pause !== null || this.#isClosed) return;
      this.#start();
    }
  }

  #start(): void {
    const { workerFile, clock, isBackground, barred, threadCpuMs } = this.#options;
    let hasStarted = false;
    const started = (): void => {
      if (!hasStarted) this.#starting -= 1;
      hasStarted = true;
    };
    try {
      const place = {
        ...{ file: workerFile, isBackground, barred, threadCpuMs },
        foresight: this.#foresight,
      };
      const worker: SandboxWorker = new SandboxWorker(place, clock, {
        ready: () => {
          started();
          this.#serve();
        },
        end: () => {
          this.#workers.delete(worker);
          if (!hasStarted) this.#startLater();
          started();
          this.#serve();
        },
      });
      this.#workers.add(worker);
      this.#starting += 1;
    } catch {
      // No more threads can be had now.
      this.#startLater();
    }
  }

  #startLater(): void {
    if (this.#isClosed || this.#pause !== null) return;
    if (this.#workers.size === 0) this.#failWaiting(brokenError());
    this.#pause = this.#options.clock.setTimer(RESTART_MS, () => {
      this.#pause = null;
      this.#serve();
    });
  }

  #failWaiting(error: BalsaError): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const job of waiting) job.fail(error);
  }
}

function closedError(): BalsaError {
  return new BalsaError('SHUTTING_DOWN', 'the replica is stopping', { outcome: 'not-applied' });
}

function brokenError(): BalsaError {
  return new BalsaError('OVERLOADED', 'no thread for procedures can be started at present', {
    outcome: 'not-applied',
    details: { retryAfterMs: RESTART_MS },
  });
}

function fullError(limit: number): BalsaError {
  return new BalsaError('OVERLOADED', `${limit} calls wait already (procedureCallsWaitingMax)`, {
    outcome: 'not-applied',
    details: { retryAfterMs: 50 },
  });
}
