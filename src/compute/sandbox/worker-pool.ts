import type { Clock, Timer } from '../../base/clock.js';
import { BalsaError } from '../../base/errors.js';
import type { Mode } from '../../base/operation.js';
import {
  type Execution,
  type Executor,
  failedExecution,
  type ProcedureCall,
  type StoreSource,
} from '../execution.js';
import { SandboxWorker } from './sandbox-worker.js';

export interface WorkerPoolOptions {
  readonly clock: Clock;
  /** Threads, each of which runs one call at a time. */
  readonly workers: number;
  /** Calls that wait for a thread. */
  readonly callsWaitingMax: number;
  /** The compiled `worker.js`; default: the one beside this file. */
  readonly workerFile?: URL;
}

interface WaitingCall {
  readonly call: ProcedureCall;
  readonly mode: Mode;
  readonly source: StoreSource;
  resolve(execution: Execution): void;
}

/** When a thread could not be started, another one is tried so long after. Calls that come meanwhile are refused. */
const RESTART_MS = 1000;

/** Runs procedures in threads of their own, as many at one time as there are threads, in the order of the calls. */
export class WorkerPool implements Executor {
  readonly #options: Required<WorkerPoolOptions>;
  readonly #workers = new Set<SandboxWorker>();
  #waiting: WaitingCall[] = [];
  readonly #restarts = new Set<Timer>();
  #isClosed = false;

  constructor(options: WorkerPoolOptions) {
    this.#options = { workerFile: new URL('./worker.js', import.meta.url), ...options };
    for (let i = 0; i < options.workers; i += 1) this.#start();
  }

  run(call: ProcedureCall, mode: Mode, source: StoreSource): Promise<Execution> {
    const { callsWaitingMax } = this.#options;
    if (this.#isClosed) return failedWith(closedError());
    if (this.#workers.size === 0) return failedWith(brokenError());
    if (this.#waiting.length >= callsWaitingMax) return failedWith(fullError(callsWaitingMax));
    return new Promise((resolve) => {
      this.#waiting.push({ call, mode, source, resolve });
      this.#serve();
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const timer of this.#restarts) timer.cancel();
    this.#failWaiting(closedError());
    await Promise.all([...this.#workers].map((worker) => worker.close(closedError())));
  }

  // -------------------------------------------------------------------------------------------

  #start(): void {
    const { workerFile, clock } = this.#options;
    let hasStarted = false;
    try {
      const worker: SandboxWorker = new SandboxWorker(workerFile, clock, {
        ready: () => {
          hasStarted = true;
          this.#serve();
        },
        end: () => {
          this.#workers.delete(worker);
          if (!hasStarted) this.#startLater();
          else if (!this.#isClosed) this.#start();
        },
      });
      this.#workers.add(worker);
    } catch {
      // No more threads can be had now.
      this.#startLater();
    }
  }

  #startLater(): void {
    if (this.#isClosed) return;
    if (this.#workers.size === 0) this.#failWaiting(brokenError());
    const timer = this.#options.clock.setTimer(RESTART_MS, () => {
      this.#restarts.delete(timer);
      this.#start();
    });
    this.#restarts.add(timer);
  }

  #serve(): void {
    for (const worker of this.#workers) {
      if (!worker.isFree) continue;
      const next = this.#waiting.shift();
      if (next === undefined) return;
      const { call, mode, source, resolve } = next;
      void worker.run(call, mode, source).then((execution) => {
        resolve(execution);
        this.#serve();
      });
    }
  }

  #failWaiting(error: BalsaError): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { resolve } of waiting) resolve(failedExecution(error));
  }
}

function failedWith(error: BalsaError): Promise<Execution> {
  return Promise.resolve(failedExecution(error));
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
  return new BalsaError('OVERLOADED', `${limit} calls wait already (callsWaitingMax)`, {
    outcome: 'not-applied',
    details: { retryAfterMs: 50 },
  });
}
