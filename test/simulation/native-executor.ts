import type { CallRecord } from '../../src/base/call.js';
import { BalsaError } from '../../src/base/errors.js';
import type { Mode } from '../../src/base/operation.js';
import type { Random } from '../../src/base/random.js';
import { packRecord, recordOf } from '../../src/compute/call-record.js';
import { limitReached } from '../../src/compute/call-view.js';
import {
  CALL_LIMITS,
  type Execution,
  type Executor,
  failedExecution,
  type GroupBounds,
  type GroupCall,
  type GroupMember,
  type GroupNews,
  type ProcedureCall,
  type Source,
  type StoreSource,
} from '../../src/compute/execution.js';
import { runGroup } from '../../src/compute/group-runner.js';
import { LaneCache } from '../../src/compute/lane-cache.js';
import { ReplaySource, runNative } from './calls/native-run.js';
import type { MachineTime } from './machine-time.js';
import { KIND, type Scheduler } from './scheduler.js';

/** How long calls take on the machines of a run. */
export interface ExecutorSpeed {
  readonly usualMs: number;
  /** Now and then so long: leaders change meanwhile, and others write. */
  readonly longMs: number;
}

export interface NativeExecutorOptions {
  readonly scheduler: Scheduler;
  readonly time: MachineTime;
  readonly place: number;
  readonly random: Random;
  readonly speed: ExecutorSpeed;
  /** A thread may break with the call that it runs. One that the leader makes by itself is then not made again. */
  readonly breaksCalls: boolean;
  /** A group has been run; when leadership was lost meanwhile it is in vain. */
  readonly onGroup: (calls: readonly GroupCall[], ran: number) => void;
}

const LONG_CHANCE = 0.05;
/** A thread cannot be had, or breaks. */
const TROUBLE_CHANCE = 0.01;

/**
 * Runs procedures in simulated time. What the sandbox would interpret are functions of ours here, under a name
 * that stands for the code; all else is as there: calls take time, see one revision, and fail alone.
 */
export class NativeExecutor implements Executor {
  readonly #options: NativeExecutorOptions;
  readonly #life: number;
  /** Of the thread that runs groups; `null`: it is to be started anew. */
  #cache: LaneCache | null = null;
  #isClosed = false;

  constructor(options: NativeExecutorOptions) {
    this.#options = options;
    this.#life = options.time.life;
  }

  async run(call: ProcedureCall, mode: Mode, source: StoreSource): Promise<Execution> {
    await this.#wait();
    const replay = new ReplaySource(source);
    const trouble = this.#trouble();
    const execution = trouble ?? (await this.#execute(call, mode, replay, replay));
    await this.#wait();
    return this.#isClosed ? failedExecution(closed()) : execution;
  }

  async runGroup(
    calls: readonly GroupCall[],
    source: StoreSource,
    bounds: GroupBounds,
    news: GroupNews,
  ): Promise<readonly GroupMember[]> {
    const broken = this.#brokenGroup(calls);
    if (broken !== null) {
      this.#cache = null;
      await this.#wait();
      return broken;
    }
    const cache = this.#cache ?? new LaneCache();
    // A thread that was just started knows nothing of the last group.
    if (this.#cache !== null) cache.heed(news);
    this.#cache = cache;
    const replay = new ReplaySource(source);
    const records: CallRecord[] = [];
    const members = await runGroup(calls, cache.over(replay), bounds, {
      monotonicMs: () => this.#options.time.localMs,
      run: async (call, seen) => {
        const execution = await this.#execute(call, 'cp', seen, replay);
        await this.#wait();
        return execution;
      },
      onRecord: (record) => void records.push(record),
    });
    cache.ran(records);
    this.#options.onGroup(calls, members.length);
    return this.#isClosed ? calls.map(() => ({ ok: false, error: closed(), logs: [] })) : members;
  }

  close(): Promise<void> {
    this.#isClosed = true;
    return Promise.resolve();
  }

  // -------------------------------------------------------------------------------------------

  /** @param seen what the call reads, over `replay` */
  async #execute(
    call: ProcedureCall,
    mode: Mode,
    seen: Source,
    replay: ReplaySource,
  ): Promise<Execution> {
    for (;;) {
      const execution = runNative(call, mode, seen);
      if (!replay.lacks) return execution;
      await replay.fetch();
    }
  }

  #wait(): Promise<void> {
    const { scheduler, time, place, random, speed } = this.#options;
    const isLong = random.next() < LONG_CHANCE;
    const delayMs = random.next() * (isLong ? speed.longMs : speed.usualMs);
    const what = { kind: KIND.compute, subject: place };
    return new Promise((resolve) => {
      scheduler.plan(delayMs, () => time.enter(this.#life, 'io', resolve), what);
    });
  }

  #trouble(): Execution | null {
    const { random, breaksCalls } = this.#options;
    if (random.next() >= TROUBLE_CHANCE) return null;
    const { computeMsMax } = CALL_LIMITS;
    return failedExecution(
      random.int(2) === 0 || !breaksCalls ? noThread() : limitReached('computeMsMax', computeMsMax),
    );
  }

  /** As a thread that breaks with its first call. */
  #brokenGroup(calls: readonly GroupCall[]): readonly GroupMember[] | null {
    const trouble = this.#trouble();
    const [first] = calls;
    if (trouble === null || trouble.ok || first === undefined) return null;
    if (trouble.error.code === 'OVERLOADED') {
      return calls.map(() => ({ ok: false, error: trouble.error, logs: [] }));
    }
    const record = recordOf(first.identity, first.call.bundle.hash, trouble, []);
    return [{ ok: true, logs: [], record: packRecord(record, Number.POSITIVE_INFINITY) }];
  }
}

function closed(): BalsaError {
  return new BalsaError('SHUTTING_DOWN', 'the replica is stopping', { outcome: 'not-applied' });
}

function noThread(): BalsaError {
  return new BalsaError('OVERLOADED', 'no thread for procedures can be started at present', {
    outcome: 'not-applied',
    details: { retryAfterMs: 100 },
  });
}
