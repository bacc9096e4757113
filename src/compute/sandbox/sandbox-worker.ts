import { Worker } from 'node:worker_threads';
import { assert, unreachable } from '../../base/assert.js';
import type { Clock, Timer } from '../../base/clock.js';
import { BalsaError } from '../../base/errors.js';
import type { Mode } from '../../base/operation.js';
import { limitReached } from '../call-view.js';
import {
  type Bundle,
  type CallLimits,
  type Execution,
  failedExecution,
  type GroupBounds,
  type GroupCall,
  type GroupMember,
  type GroupNews,
  type ProcedureCall,
  type StoreSource,
} from '../execution.js';
import type { BarredCode } from './barred-code.js';
import type { Foresight } from './foresight.js';
import {
  type FromWorker,
  fromPlain,
  packAllFound,
  packCell,
  packFailure,
  packFound,
  packGiven,
  packGroup,
  packNews,
  packScan,
  type Question,
  type ToWorker,
  unpackKeys,
  unpackMembers,
} from './messages.js';
import { AnswerWriter, newSharedAnswer } from './shared-answer.js';
import { BACKGROUND } from './thread-priority.js';

/** Bundles whose code a worker keeps; one that was not asked for the longest makes room. */
const BUNDLES_MAX = 8;

/**
 * Behind the time limit of a call, for an interpreter that does not notice it: a function of its own may go on for as long as it
 * likes. The thread may have waited for a processor that long.
 */
const GRACE_MS = 2000;
/** As `GRACE_MS`, of what the thread has computed. What it does for others beside the code of the call takes less. */
const GRACE_CPU_MS = 200;

/** It is looked this often whether the call has used up its time. */
const LOOK_MS = 100;

/** For loading the code of a bundle, whose interpreter has not noticed that its time is over: of computing, where that can be said. */
const LOAD_MS_MAX = 10_000;
/** For what is the matter of no code, as to take in what was sent; and for a thread that no processor has time for. */
const STARVED_MS_MAX = 60_000;

const STARVED_RETRY_MS = 1000;
/** As it is named where it was reached. */
const LOAD_LIMIT = 'loadMsMax';

/** Of the thread around the interpreter. Its stack is that of the interpreter, too. */
const RESOURCES = { maxOldGenerationSizeMb: 128, stackSizeMb: 8 };

interface Running {
  readonly limits: CallLimits;
  readonly source: StoreSource;
  watchdog: Timer;
  /** What was under way when it was last looked, see `AnswerWriter.step`. */
  step: number;
  /** Since then that has had its time: it was seen to be begun, or given what it asked for. */
  sinceMs: number;
  /** What the thread had computed when it was first looked at since; `null`: it was not. */
  sinceCpuMs: number | null;
  /** It has ended in order. */
  ran(message: Extract<FromWorker, { type: 'ran' | 'ran-group' }>): void;
  /** The n-th of its calls, or its code, broke the thread, or it was closed. */
  broke(error: BalsaError, n: number): void;
}

/** How long what is under way may take, see `SandboxWorker.#bound`. */
interface Bound {
  readonly msMax: number;
  readonly late: () => BalsaError;
  /** Of what its thread computes. */
  readonly cpuMsMax: number;
  readonly computed: () => BalsaError;
}

export interface SandboxPlace {
  /** The compiled `worker.js`. */
  readonly file: URL;
  /** What it does has time. */
  readonly isBackground: boolean;
  /** Of what calls ask for, whichever thread runs them. */
  readonly foresight: Foresight;
  /** Told of code that breaks the thread; `null`: it is run again all the same. */
  readonly barred: BarredCode | null;
  /** As {@link threadCpuMs}. */
  readonly threadCpuMs: (thread: string) => number | null;
}

/** A group that broke the thread, with its n-th call. */
export interface BrokenGroup {
  readonly error: BalsaError;
  readonly n: number;
  /** No call was begun: the group as a whole may have been too much for the thread. */
  readonly isUnbegun: boolean;
}

/** A thread that runs one call at a time. It ends with the call that breaks it. */
export class SandboxWorker {
  readonly #clock: Clock;
  readonly #worker: Worker;
  readonly #answers: AnswerWriter;
  /** By hash; the one that was asked for last is behind. */
  readonly #bundles = new Set<string>();
  readonly #onEnd: () => void;
  readonly #place: SandboxPlace;
  /** What it is called in `/proc`. */
  #thread = '';
  #running: Running | null = null;
  #isReady = false;
  #isEnded = false;

  /**
   * @param on `ready`: it can take its first call. `end`: it takes none any more
   */
  constructor(place: SandboxPlace, clock: Clock, on: { ready(): void; end(): void }) {
    const { file, isBackground } = place;
    const shared = newSharedAnswer();
    this.#clock = clock;
    this.#place = place;
    this.#answers = new AnswerWriter(shared);
    this.#onEnd = on.end;
    const argv = isBackground ? [BACKGROUND] : [];
    this.#worker = new Worker(file, {
      ...{ workerData: shared, resourceLimits: RESOURCES, env: {}, argv },
    });
    this.#worker.on('message', (message: FromWorker) => {
      if (message.type === 'ready') {
        this.#isReady = true;
        this.#thread = message.thread;
        on.ready();
      } else {
        this.#heard(message);
      }
    });
    this.#worker.on('error', (error) => this.#broken(error));
    this.#worker.on('exit', (code) => this.#broken(new Error(`its thread ended with ${code}`)));
  }

  get isFree(): boolean {
    return this.#isReady && !this.#isEnded && this.#running === null;
  }

  /** Only when it is free. */
  run(
    call: ProcedureCall,
    mode: Mode,
    source: StoreSource,
    signal?: AbortSignal,
  ): Promise<Execution> {
    if (signal?.aborted === true) return Promise.resolve(failedExecution(abortedError()));
    const { bundle, ...rest } = call;
    this.#bring(bundle);
    return new Promise((resolve) => {
      // Code that is under way can only be ended with its thread.
      const onAbort = (): void => this.#fail(abortedError());
      signal?.addEventListener('abort', onAbort, { once: true });
      const ended = (execution: Execution): void => {
        signal?.removeEventListener('abort', onAbort);
        resolve(execution);
      };
      this.#begin(call.limits, source, {
        ran: (message) => {
          if (message.type !== 'ran') return;
          const execution = fromPlain(message.execution);
          this.#place.foresight.learn(call, execution, message.cells);
          ended(execution);
        },
        broke: (error) => {
          this.#bar(call, error);
          ended(failedExecution(error));
        },
      });
      const ahead = this.#place.foresight.given(call, source);
      const given = ahead && packGiven(ahead);
      this.#say({ type: 'run', call: { hash: bundle.hash, ...rest }, mode, given });
    });
  }

  /** Only when it is free. All calls have the same limits. */
  runGroup(
    calls: readonly GroupCall[],
    source: StoreSource,
    bounds: GroupBounds,
    news: GroupNews,
  ): Promise<readonly GroupMember[] | BrokenGroup> {
    const [first] = calls;
    assert(first !== undefined, 'a group has calls');
    const { limits } = first.call;
    // No more bundles than the thread keeps: the rest is for the next group.
    const hashes = new Set<string>();
    const end = calls.findIndex(({ call }) => hashes.add(call.bundle.hash).size > BUNDLES_MAX);
    const own = end < 0 ? calls : calls.slice(0, end);
    for (const { call } of own) this.#bring(call.bundle);
    return new Promise((resolve) => {
      this.#begin(limits, source, {
        ran: (message) => {
          if (message.type === 'ran-group') resolve(unpackMembers(message.members));
        },
        broke: (error, n) => {
          // Whether it was the first one, or all of them, is not known.
          const isUnbegun = this.#answers.isUnbegun && error.details.limit !== LOAD_LIMIT;
          const broken = own[n];
          if (!isUnbegun && broken !== undefined) this.#bar(broken.call, error);
          resolve({ error, n, isUnbegun });
        },
      });
      const group = packGroup(own);
      this.#say({ type: 'run-group', group, limits, bounds, news: packNews(news) });
    });
  }

  /** What it runs ends with `error`. */
  async close(error: BalsaError): Promise<void> {
    this.#isEnded = true;
    this.#break(error);
    await this.#worker.terminate();
  }

  // -------------------------------------------------------------------------------------------

  #begin(limits: CallLimits, source: StoreSource, ends: Pick<Running, 'ran' | 'broke'>): void {
    this.#answers.reset();
    const { step } = this.#answers;
    const sinceMs = this.#clock.monotonicMs();
    const watchdog = this.#watch();
    this.#running = { limits, source, sinceMs, sinceCpuMs: null, step, watchdog, ...ends };
  }

  #bring(bundle: Bundle): void {
    const isThere = this.#bundles.delete(bundle.hash);
    this.#bundles.add(bundle.hash);
    if (isThere) return;
    const [oldest] = this.#bundles;
    if (this.#bundles.size > BUNDLES_MAX && oldest !== undefined) {
      this.#bundles.delete(oldest);
      this.#say({ type: 'drop', hash: oldest });
    }
    this.#say({ type: 'load', bundle });
  }

  #watch(): Timer {
    return this.#clock.setTimer(LOOK_MS, () => this.#look());
  }

  /** @param isDrained what its thread has said until now has been heard */
  #look(isDrained = false): void {
    const running = this.#running;
    if (running === null) return;
    const { step } = this.#answers;
    const nowMs = this.#clock.monotonicMs();
    const cpuMs = this.#place.threadCpuMs(this.#thread);
    if (step !== running.step) {
      running.step = step;
      running.sinceMs = nowMs;
      running.sinceCpuMs = null;
    }
    running.sinceCpuMs ??= cpuMs;
    const { computeMsMax } = running.limits;
    const bound = this.#bound(computeMsMax, cpuMs !== null);
    const computedMs = (cpuMs ?? 0) - (running.sinceCpuMs ?? 0);
    const isLate = nowMs - running.sinceMs >= bound.msMax;
    const hasComputed = computedMs >= bound.cpuMsMax;
    if (hasComputed || (isLate && isDrained)) {
      this.#fail(hasComputed ? bound.computed() : bound.late());
    } else if (isLate) this.#lookDrained(running);
    else running.watchdog = this.#watch();
  }

  /** What is under way may take so long, else it ends with these. @param isCpuKnown how long its thread has computed */
  #bound(computeMsMax: number, isCpuKnown: boolean): Bound {
    const starved = { msMax: STARVED_MS_MAX, late: starvedError };
    if (this.#answers.isTakingIn) {
      return { ...starved, cpuMsMax: Number.POSITIVE_INFINITY, computed: starvedError };
    }
    if (this.#answers.isLoading) {
      const wait = isCpuKnown ? starved : { msMax: LOAD_MS_MAX, late: unloadedError };
      return { ...wait, cpuMsMax: LOAD_MS_MAX, computed: unloadedError };
    }
    // Until then it has done work of its own as well.
    const computed = () => limitReached('computeMsMax', computeMsMax);
    const cpuMsMax = computeMsMax + GRACE_CPU_MS;
    return { msMax: computeMsMax + GRACE_MS, late: computed, cpuMsMax, computed };
  }

  /** Where the process stood still its timers come first, and behind them what was said meanwhile. */
  #lookDrained(running: Running): void {
    const look = (): void => {
      if (this.#running === running) this.#look(true);
    };
    // Two rounds of the event loop: one reads what has come, the next hands it over.
    this.#clock.defer(() => this.#clock.defer(look));
  }

  /** What was waited for until now was not the procedure. */
  #watchAgain(): void {
    const running = this.#running;
    if (running === null) return;
    running.watchdog.cancel();
    running.step = this.#answers.step;
    running.sinceMs = this.#clock.monotonicMs();
    running.sinceCpuMs = null;
    running.watchdog = this.#watch();
  }

  #heard(message: Exclude<FromWorker, { type: 'ready' }>): void {
    switch (message.type) {
      case 'ask':
        this.#answer(message.question);
        break;
      case 'go-on':
        this.#answers.goOn();
        break;
      case 'checkpoint':
        this.#running?.source.checkpoint?.(message.json);
        break;
      case 'ran':
      case 'ran-group':
        this.#end()?.ran(message);
        break;
      default:
        unreachable(message);
    }
  }

  #answer(question: Question): void {
    const running = this.#running;
    try {
      if (running === null) throw new BalsaError('SHUTTING_DOWN', 'the call is over');
      if (question.type === 'get') {
        this.#write(packFound(running.source.get(question.key)));
        return;
      }
      if (question.type === 'get-many') {
        const { source } = running;
        this.#write(packAllFound(unpackKeys(question.keys).map((key) => source.get(key))));
        return;
      }
      if (question.type === 'cell') {
        this.#write(packCell(running.source.cell(question.key)));
        return;
      }
      const answer = running.source.scan(question);
      if (!(answer instanceof Promise)) {
        this.#write(packScan(answer));
        return;
      }
      // It stands still meanwhile.
      running.watchdog.cancel();
      void answer.then(packScan, packFailure).then((bytes) => {
        if (this.#running === running) this.#write(bytes);
      });
    } catch (cause) {
      this.#write(packFailure(cause));
    }
  }

  #write(answer: Uint8Array): void {
    this.#answers.write(answer);
    this.#watchAgain();
  }

  /** The thread is of no more use. */
  #broken(error: Error): void {
    const limits = this.#running?.limits;
    const isMemory = 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY';
    this.#fail(
      isMemory && limits !== undefined
        ? limitReached('memoryBytesMax', limits.memoryBytesMax)
        : new BalsaError('PROCEDURE_FAILED', `the sandbox broke: ${error.message}`, {
            outcome: 'not-applied',
            cause: error,
          }),
    );
  }

  #fail(error: BalsaError): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#break(error);
    this.#worker.terminate().catch(() => {});
    this.#onEnd();
  }

  #bar(call: ProcedureCall, { code }: BalsaError): void {
    if (code === 'PROCEDURE_LIMIT') this.#place.barred?.bar(call, this.#answers.isLoading);
  }

  #break(error: BalsaError): void {
    this.#end()?.broke(error, this.#answers.call);
  }

  /** Nothing is under way any more. @returns what was */
  #end(): Running | null {
    const running = this.#running;
    this.#running = null;
    running?.watchdog.cancel();
    return running;
  }

  #say(message: ToWorker): void {
    this.#worker.postMessage(message);
  }
}

function abortedError(): BalsaError {
  return new BalsaError('CANCELLED', 'nobody waits for the call any more', {
    outcome: 'not-applied',
  });
}

function unloadedError(): BalsaError {
  const message = `the code of the procedure was not loaded within ${LOAD_LIMIT} (${LOAD_MS_MAX})`;
  return new BalsaError('PROCEDURE_LIMIT', message, {
    outcome: 'not-applied',
    details: { limit: LOAD_LIMIT, max: LOAD_MS_MAX },
  });
}

/** Nobody's fault but the machine's. */
function starvedError(): BalsaError {
  const message = `the call was not begun within ${STARVED_MS_MAX} ms: its thread had too little of a processor, or too much to take in`;
  return new BalsaError('OVERLOADED', message, {
    outcome: 'not-applied',
    details: { retryAfterMs: STARVED_RETRY_MS },
  });
}
