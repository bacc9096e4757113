import { equalBytes, toMapKey } from '../../base/bytes.js';
import type { Clock } from '../../base/clock.js';
import { cellNameOf, type Delta } from '../../base/delta.js';
import { asBalsaError, BalsaError } from '../../base/errors.js';
import type { Limits } from '../../base/limits.js';
import type { StoredKey } from '../../compute/execution.js';
import { keyReused } from '../../statemachine/call-keys.js';
import type { ResolvedProcedure } from '../../statemachine/procedures.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import type { DeltaQueue } from '../../storage/delta-queue.js';
import {
  type CallAnswer,
  type CallDone,
  type CallRequest,
  logsOf,
  refusedCall,
  withLogs,
} from '../calls/call-types.js';
import { MachineSource } from '../calls/machine-source.js';
import { identityOf, type Runner } from '../calls/runner.js';
import { CLOCK_DRIFT_MAX, type FreshnessFacts } from '../freshness.js';
import type { HybridClock } from './hybrid-clock.js';
import type { PendingDeltas } from './pending-deltas.js';

export interface ApCallsOptions {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly runner: Runner;
  readonly machine: () => StateMachine;
  readonly queue: DeltaQueue;
  readonly pending: PendingDeltas;
  readonly hybrid: HybridClock;
  /** All through here was known to be committed when the replica started: it is applied without a leader. */
  readonly startIndex: number;
  /** A call has looked at a cell. */
  readonly onLooked: (key: string) => void;
  /** How many others have it on their disks. */
  readonly copies: (delta: DeltaName) => number;
}

/** What the caller wants to be there before he is answered. */
export interface Durability {
  /** Others that have it on their disks; 0: it is on the disk of this replica. */
  readonly peers: number;
}

type DeltaName = Pick<Delta, 'origin' | 'sequence'>;

interface Made {
  readonly result: string;
  readonly revision: number;
  readonly hash: string;
  readonly logs: readonly string[];
  readonly repeated: boolean;
  /** That waits to be merged, an own one or a copy; `null`: it is merged, or nothing was changed. */
  readonly delta: DeltaName | null;
  readonly facts: FreshnessFacts | undefined;
}

interface ApRequest extends CallRequest {
  readonly fingerprint: Uint8Array;
  /** From then on the replicas may have forgotten it; on the monotonic clock. */
  readonly untilMs: number;
}

/** A call that runs, or waits for the disk. */
interface UnderWay {
  readonly fingerprint: Uint8Array;
  readonly making: Promise<Made | BalsaError>;
}

/** Another call took what this one was about to take (rights of an escrow counter): it is run again. */
const ATTEMPTS_MAX = 8;

/** Waits for copies on other disks, or for the own state. */
interface Wait {
  readonly isThere: () => boolean;
  readonly done: () => void;
}

/** What a cell is read from: the state as it is here with the deltas that are held here. */
class ApSource extends MachineSource {
  readonly #options: Pick<ApCallsOptions, 'machine' | 'pending' | 'onLooked'>;

  constructor(options: Pick<ApCallsOptions, 'machine' | 'pending' | 'onLooked'>) {
    super(options.machine);
    this.#options = options;
  }

  /** What only reads knows cells as keys. */
  override get(key: Uint8Array): StoredKey | null {
    const found = super.get(key);
    const name = cellNameOf(key);
    if (name === null) return found;
    const value = this.cell(name);
    return value === null ? null : { key, value, modRevision: found?.modRevision ?? 0 };
  }

  override cell(key: string): Uint8Array | null {
    this.#options.onLooked(key);
    return this.#options.pending.cell(key);
  }
}

/**
 * Calls of `ap` procedures: each runs here, over what is here, and is answered when what it changed is on the disk of this
 * replica. Whether others can be reached does not matter.
 */
export class ApCalls {
  readonly #options: ApCallsOptions;
  /** By idempotency key. */
  readonly #underWay = new Map<string, UnderWay>();
  #waits: Wait[] = [];
  /** Of those that come. */
  #refusal: BalsaError | null = null;
  /** The state has all again that was removed from the queue since it was merged. */
  #isWhole = false;
  /** Of all. */
  #ending: BalsaError | null = null;
  readonly #onEnd = new Set<(error: BalsaError) => void>();

  constructor(options: ApCallsOptions) {
    this.#options = options;
  }

  /** What a procedure reads that only reads: the state with what is held here. */
  source(): MachineSource {
    return new ApSource(this.#options);
  }

  /**
   * Waits until the state is not older than what was removed from the queue, own deltas and copies: behind a restart it may be, until
   * all is applied that is known to be committed. `null`: it is not.
   * @returns why that will not be
   */
  whole(): Promise<BalsaError | null> | null {
    const isThere = (): boolean => {
      const { machine, queue, startIndex } = this.#options;
      const isMerged = machine().mergedThrough(queue.origin) >= queue.removedSequence;
      return machine().appliedIndex >= startIndex && isMerged;
    };
    this.#isWhole ||= isThere();
    if (this.#isWhole) return null;
    return this.#unlessEnded<BalsaError | null>((resolve) => {
      this.#waits.push({ isThere, done: () => resolve(null) });
    });
  }

  /** When nothing of what was read from {@link source} can be lost any more. @returns why that will not be */
  async settled(): Promise<BalsaError | null> {
    const { queue } = this.#options;
    return await this.#unlessEnded<BalsaError | null>((resolve) => {
      queue.whenDurable(queue.position, () => resolve(null));
    });
  }

  /** Never rejects. */
  async call(
    request: CallRequest,
    resolved: ResolvedProcedure,
    durability: Durability,
    done: CallDone,
  ): Promise<void> {
    let answer: CallAnswer;
    try {
      answer = await this.#answer(request, resolved, durability);
    } catch (cause) {
      // The store cannot be read; the call may have been made before, which only that would have told.
      answer = refusedCall(asBalsaError(cause).withOutcome('unknown'));
    }
    done(answer);
  }

  /** Others have more on their disks, or the state has gone on. */
  goOn(): void {
    const ready = this.#waits.filter(({ isThere }) => isThere());
    if (ready.length === 0) return;
    this.#waits = this.#waits.filter((wait) => !ready.includes(wait));
    for (const { done } of ready) done();
  }

  /** Some run, or wait for the disk. */
  get isBusy(): boolean {
    return this.#underWay.size > 0;
  }

  /** Calls that were not begun are answered with `error`. */
  refuse(error: BalsaError): void {
    this.#refusal = error;
  }

  close(error: BalsaError): void {
    this.#refusal = error;
    this.#ending = error;
    for (const end of [...this.#onEnd]) end(error);
  }

  // -------------------------------------------------------------------------------------------

  async #answer(
    request: CallRequest,
    resolved: ResolvedProcedure,
    { peers }: Durability,
  ): Promise<CallAnswer> {
    const wait = this.whole();
    const lacking = wait && (await wait);
    if (lacking !== null) return refusedCall(lacking.withOutcome('not-applied'));
    const { fingerprint } = identityOf(request);
    const untilMs = this.#untilMs(request);
    const made = await this.#once({ fingerprint, untilMs, ...request }, resolved);
    if (made instanceof BalsaError) return refusedCall(made, logsOf(made));
    if (this.#ending !== null) return refusedCall(this.#ending.withOutcome('unknown'));
    const { delta, ...answer } = made;
    const uncopied = delta === null ? null : await this.#copied(delta, peers);
    if (uncopied !== null) return refusedCall(uncopied, made.logs);
    return { ok: true, ...answer, pending: delta !== null && !this.#isMerged(delta) };
  }

  /** Two attempts of the same call at one time are one. */
  async #once(request: ApRequest, resolved: ResolvedProcedure): Promise<Made | BalsaError> {
    const mapKey = toMapKey(request.key);
    const same = this.#underWay.get(mapKey);
    if (same !== undefined) {
      if (!isSame(request, same.fingerprint)) return keyReused();
      const made = await same.making;
      return made instanceof BalsaError ? made : { ...made, repeated: true };
    }
    const making = this.#make(request, resolved);
    this.#underWay.set(mapKey, { fingerprint: request.fingerprint, making });
    try {
      return await making;
    } finally {
      this.#underWay.delete(mapKey);
    }
  }

  async #make(request: ApRequest, resolved: ResolvedProcedure): Promise<Made | BalsaError> {
    const known = this.#known(request);
    if (known !== null) {
      return known instanceof BalsaError ? known : await this.#durable(known);
    }
    if (this.#refusal !== null) return this.#refusal.withOutcome('not-applied');
    const { pending, limits } = this.#options;
    if (pending.ownBytes >= limits.apQueueBytesMax) return queueFull(limits.apQueueBytesMax);
    for (let attempt = 1; ; attempt += 1) {
      const made = await this.#run(request, resolved);
      if (made !== null) return made instanceof BalsaError ? made : await this.#durable(made);
      if (attempt === ATTEMPTS_MAX) return contended();
    }
  }

  /**
   * Infinity: it was not tried before. Whoever makes a call no later than `callKeptMs` after it was made elsewhere has not said yet
   * that all that it made as late is merged, however the clocks differ; so the log has not forgotten the other one.
   */
  #untilMs({ ageMs = null, isNamed }: CallRequest): number {
    if (ageMs === null) return Number.POSITIVE_INFINITY;
    const { clock, machine } = this.#options;
    const keptMs = machine().callKeptMs(isNamed) * (1 - CLOCK_DRIFT_MAX);
    return clock.monotonicMs() + keptMs - ageMs;
  }

  /** What came of the call when it was made before, here or elsewhere; `null`: it never was. */
  #known(request: ApRequest): Made | BalsaError | null {
    const { pending, machine, clock } = this.#options;
    const { key } = request;
    const waiting = pending.call(key);
    if (waiting !== null) {
      const { delta } = waiting;
      if (!isSame(request, delta.fingerprint)) return keyReused();
      const { revision } = machine();
      return { ...again(request), result: delta.result, revision, delta };
    }
    // The name may have stood for a procedure of mode `cp` when the call was made before.
    const applied = machine().mergedCall(key) ?? machine().appliedCall(key);
    if (applied === null) return clock.monotonicMs() < request.untilMs ? null : expired();
    if (!isSame(request, applied.fingerprint)) return keyReused();
    const { result, revision } = applied;
    return { ...again(request), result, revision, delta: null };
  }

  /** `null`: others have changed what it is about; it has to run again. */
  async #run(request: ApRequest, resolved: ResolvedProcedure): Promise<Made | BalsaError | null> {
    const { runner, pending, hybrid, queue } = this.#options;
    const source = this.source();
    const facts = request.facts?.();
    const execution = await runner.run(resolved, request.args, source, {
      nowMs: hybrid.nowMs,
      origin: queue.origin,
    });
    if (this.#ending !== null) return this.#ending.withOutcome('not-applied');
    // Meanwhile others may have told that they have made it: what was run here has seen that, too.
    const known = this.#known(request);
    if (known !== null) return known;
    if (!execution.ok) return withLogs(execution.error, execution.logs);
    const { result, logs, effects } = execution;
    const { revision } = source;
    const made = { result, revision, hash: resolved.hash, logs, repeated: false, facts };
    // It has read what others changed, and what may be lost yet.
    if (effects.cells.length === 0) return { delta: null, ...made };
    const time = hybrid.next();
    if (!pending.allows(effects.cells, time)) return null;
    const { key, isNamed, procedure, fingerprint } = request;
    try {
      const facts = { key, isNamed, fingerprint, procedure, hash: resolved.hash };
      const { delta } = pending.make({ writes: effects.cells, result, ...facts, ...time });
      return { delta, ...made };
    } catch (cause) {
      // The disk has failed: the replica is about to stop.
      return asBalsaError(cause).withOutcome('not-applied');
    }
  }

  /** When all that it has seen and made is on the disk. */
  #durable(made: Made): Promise<Made | BalsaError> {
    const { queue } = this.#options;
    return this.#unlessEnded((resolve) => {
      queue.whenDurable(queue.position, () => resolve(made));
    });
  }

  /** `null`: as many others as are wanted have it. */
  async #copied(delta: DeltaName, peers: number): Promise<BalsaError | null> {
    const { copies, clock, limits } = this.#options;
    const isThere = (): boolean => peers === 0 || copies(delta) >= peers || this.#isMerged(delta);
    if (isThere()) return null;
    return await this.#unlessEnded<BalsaError | null>((resolve) => {
      const timer = clock.setTimer(limits.readWaitMsMax, () => {
        this.#waits = this.#waits.filter((one) => one !== wait);
        resolve(lacksCopies(copies(delta), peers));
      });
      const wait: Wait = {
        isThere,
        done: () => {
          timer.cancel();
          resolve(null);
        },
      };
      this.#waits.push(wait);
    });
  }

  #isMerged({ origin, sequence }: DeltaName): boolean {
    return this.#options.machine().mergedThrough(origin) >= sequence;
  }

  #unlessEnded<T>(wait: (resolve: (value: T) => void) => void): Promise<T | BalsaError> {
    if (this.#ending !== null) return Promise.resolve(this.#ending.withOutcome('unknown'));
    return new Promise((resolve) => {
      const end = (error: BalsaError): void => resolve(error.withOutcome('unknown'));
      this.#onEnd.add(end);
      wait((value) => {
        this.#onEnd.delete(end);
        resolve(value);
      });
    });
  }
}

/** Of one that was made before. */
function again({ facts }: ApRequest): Pick<Made, 'hash' | 'logs' | 'repeated' | 'facts'> {
  return { hash: '', logs: [], repeated: true, facts: facts?.() };
}

function isSame(request: ApRequest, fingerprint: Uint8Array): boolean {
  return equalBytes(request.fingerprint, fingerprint);
}

function expired(): BalsaError {
  return new BalsaError(
    'CALL_EXPIRED',
    'calls as old as this one may be forgotten: it was not applied by this attempt, but may have been before',
    { outcome: 'unknown' },
  );
}

function queueFull(limit: number): BalsaError {
  return new BalsaError(
    'AP_QUEUE_FULL',
    `${limit} bytes of changes wait here to be merged (apQueueBytesMax)`,
    { outcome: 'not-applied', details: { limit, retryAfterMs: 1000 } },
  );
}

function contended(): BalsaError {
  return new BalsaError(
    'TXN_CONFLICT',
    `in ${ATTEMPTS_MAX} attempts others took what the call was about to take`,
    { outcome: 'not-applied' },
  );
}

function lacksCopies(copies: number, peers: number): BalsaError {
  return new BalsaError(
    'TIMEOUT',
    `the call is on the disk here and will be merged, but ${copies} other replicas have a copy, not ${peers}`,
    { outcome: 'unknown', details: { copies, peers } },
  );
}
