import { packCall } from '../../base/call-codec.js';
import type { Clock } from '../../base/clock.js';
import type { BalsaError } from '../../base/errors.js';
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
import { failureOf } from '../group-runner.js';
import { BarredCode } from './barred-code.js';
import type { BrokenGroup, SandboxWorker } from './sandbox-worker.js';
import { threadCpuMs } from './thread-cpu.js';
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
  /** How long a thread has computed; default: as the system says. */
  readonly threadCpuMs?: (thread: string) => number | null;
}

/**
 * Runs procedures in threads of their own, as many at one time as there are threads, in the order of the calls. A group
 * never waits for a call that takes long, nor the other way round.
 */
export class WorkerPool implements Executor {
  /** `null`: what has time may break its thread again. */
  readonly #barred: BarredCode | null;
  readonly #calls: ThreadTeam;
  readonly #groups: ThreadTeam;
  /** The thread that ran the last group. */
  #lastRan: SandboxWorker | null = null;

  constructor(options: WorkerPoolOptions) {
    const { clock, workers, callsWaitingMax, workerFile, isBackground = false } = options;
    this.#barred = isBackground ? null : new BarredCode(clock);
    const team = (threadsMax: number): ThreadTeam =>
      new ThreadTeam({
        ...{ clock, threadsMax, jobsWaitingMax: callsWaitingMax, isBackground },
        ...{ barred: this.#barred, threadCpuMs: options.threadCpuMs ?? threadCpuMs },
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
        begin: async (worker) => {
          const refusal = this.#barred?.refusalOf(call) ?? null;
          const isRun = refusal === null;
          resolve(isRun ? await worker.run(call, mode, source, signal) : failedExecution(refusal));
        },
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
    const refusals = calls.map(({ call }) => this.#barred?.refusalOf(call) ?? null);
    const open = calls.filter((_, n) => refusals[n] === null);
    if (open.length === calls.length) return this.#runOpen(calls, source, bounds, news);
    // A thread that has not heard the news must not go by those that come later.
    if (open.length === 0) this.#lastRan = null;
    const ran = open.length === 0 ? [] : await this.#runOpen(open, source, bounds, news);
    const members: GroupMember[] = [];
    let next = 0;
    for (const error of refusals) {
      const member = error === null ? ran[next] : ({ ok: false, error, logs: [] } as const);
      if (member === undefined) break;
      if (error === null) next += 1;
      members.push(member);
    }
    return members;
  }

  /** Of calls that may be run. */
  async #runOpen(
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
    // Whether it was the first one is seen when that is alone.
    if (ran.isUnbegun && calls.length > 1)
      return this.#runOpen(calls.slice(0, 1), source, bounds, NO_NEWS);
    // What those before it came to went down with the thread.
    const { n, error } = ran;
    const before = n === 0 ? [] : await this.#runOpen(calls.slice(0, n), source, bounds, NO_NEWS);
    const broken = calls[n];
    if (broken === undefined || before.length < n) return before;
    return [...before, brokenMember(broken, error, before)];
  }

  async close(): Promise<void> {
    await this.#calls.close();
    await this.#groups.close();
  }
}

/** It may have seen whatever those before it have written. */
function brokenMember(
  { call, identity, supplement }: GroupCall,
  error: BalsaError,
  before: readonly GroupMember[],
): GroupMember {
  const failed = failedExecution(error);
  if (!isVerdict(failed)) return { ok: false, error, logs: [] };
  const dependsOn = before.filter(({ ok }) => ok).map((_, place) => place);
  const record = packCall(recordOf(identity, call.bundle.hash, failed, dependsOn, supplement));
  return { ok: true, logs: [], record, failure: failureOf(failed, supplement) };
}
