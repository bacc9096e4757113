import { packCall } from '../../base/call-codec.js';
import type { Clock } from '../../base/clock.js';
import type { Mode } from '../../base/operation.js';
import { isVerdict, recordOf } from '../call-record.js';
import {
  type Execution,
  type Executor,
  failedExecution,
  type GroupBounds,
  type GroupCall,
  type GroupMember,
  type GroupNews,
  NO_NEWS,
  type ProcedureCall,
  type StoreSource,
} from '../execution.js';
import type { BrokenGroup, SandboxWorker } from './sandbox-worker.js';
import { ThreadTeam } from './thread-team.js';

export interface WorkerPoolOptions {
  readonly clock: Clock;
  /** Threads, each of which runs one call at a time. With more than one, one of them is for groups alone. */
  readonly workers: number;
  /** Calls that wait for a thread. */
  readonly callsWaitingMax: number;
  /** For work that has time: others of this machine come first. Default `false`. */
  readonly isBackground?: boolean;
  /** The compiled `worker.js`; default: the one beside this file. */
  readonly workerFile?: URL;
}

/**
 * Runs procedures in threads of their own, as many at one time as there are threads, in the order of the calls. A group
 * never waits for a call that takes long, nor the other way round.
 */
export class WorkerPool implements Executor {
  readonly #calls: ThreadTeam;
  readonly #groups: ThreadTeam;
  /** The thread that ran the last group. */
  #lastRan: SandboxWorker | null = null;

  constructor(options: WorkerPoolOptions) {
    const { clock, workers, callsWaitingMax, workerFile, isBackground = false } = options;
    const team = (threadsMax: number): ThreadTeam =>
      new ThreadTeam({
        ...{ clock, threadsMax, jobsWaitingMax: callsWaitingMax, isBackground },
        workerFile: workerFile ?? new URL('./worker.js', import.meta.url),
      });
    this.#groups = team(1);
    this.#calls = workers > 1 ? team(workers - 1) : this.#groups;
  }

  run(
    call: ProcedureCall,
    mode: Mode,
    source: StoreSource,
    signal?: AbortSignal,
  ): Promise<Execution> {
    return new Promise((resolve) => {
      this.#calls.add({
        begin: async (worker) => resolve(await worker.run(call, mode, source, signal)),
        fail: (error) => resolve(failedExecution(error)),
      });
    });
  }

  async runGroup(
    calls: readonly GroupCall[],
    source: StoreSource,
    bounds: GroupBounds,
    news: GroupNews,
  ): Promise<readonly GroupMember[]> {
    const ran = await new Promise<readonly GroupMember[] | BrokenGroup>((resolve) => {
      this.#groups.add({
        begin: async (worker) => {
          // Another thread knows nothing of what the last group was.
          const heard = worker === this.#lastRan ? news : NO_NEWS;
          this.#lastRan = worker;
          resolve(await worker.runGroup(calls, source, bounds, heard));
        },
        fail: (error) => resolve(calls.map(() => ({ ok: false, error, logs: [] }))),
      });
    });
    if (!('n' in ran)) return ran;
    // What those before it came to went down with the thread; it itself is the first one of the next group.
    if (ran.n > 0) return this.runGroup(calls.slice(0, ran.n), source, bounds, NO_NEWS);
    // Whether it was the first one is seen when that is alone.
    const isSlow = ran.error.details.limit === 'computeMsMax';
    if (ran.isUnbegun && !isSlow && calls.length > 1)
      return this.runGroup(calls.slice(0, 1), source, bounds, NO_NEWS);
    return calls.slice(0, 1).map(({ call, identity, supplement }) => {
      const failed = failedExecution(ran.error);
      if (!isVerdict(failed)) return { ok: false, error: ran.error, logs: [] };
      const record = packCall(recordOf(identity, call.bundle.hash, failed, [], supplement));
      return { ok: true, logs: [], record };
    });
  }

  async close(): Promise<void> {
    await this.#calls.close();
    await this.#groups.close();
  }
}
