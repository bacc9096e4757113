import type { Timer } from '../base/clock.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { WriteOperation, WriteResult } from '../base/operation.js';
import { checkOperation } from '../base/operation-check.js';
import type { Engine } from './engine.js';
import type { CallOptions } from './options.js';
import { clientClosed, type Meta } from './pending.js';
import { PendingWrite } from './pending-write.js';

/**
 * Part of the time to live that a client does not count on: its clock may go slower than that of the
 * leader, and it must have let go before the cluster does.
 */
const MARGIN = 0.1;

/** A lease is kept alive this often in its time to live. */
const KEEP_ALIVES_PER_TTL = 3;

/** Leases due within this part of their time to live go along with the one that is due now. */
const TOGETHER = 1 / 12;

/** After a keep-alive that failed at once the next one comes after this part of the time to live. */
const RETRY = 1 / 20;

const TIMER_MS_MAX = 0x7fff_ffff;

/** How a lease stands, as its client can know it. */
interface Standing {
  readonly lease: Lease;
  readonly keepAlive: boolean;
  readonly lost: AbortController;
  /** The cluster will not let it expire before, in monotonic time of this process. */
  validUntilMs: number;
  nextKeepAliveMs: number;
  underWay: boolean;
}

/** How {@link Lease} speaks to its keeper. */
interface Keeper {
  nowMs(): number;
  keepAlive(standing: Standing, options: CallOptions): Promise<void>;
  revoke(standing: Standing, options: CallOptions): Promise<void>;
}

const NO_OPTIONS = {};

/**
 * A lease that this client holds; made by {@link Client.lease}. Keys put with it are deleted, all at one
 * revision, when it is revoked or no longer kept alive.
 *
 * `await using` revokes it at the end of the block.
 */
export class Lease implements AsyncDisposable {
  /** Its id in the cluster. */
  readonly id: number;
  /** How long it lives after it was last kept alive, in milliseconds. */
  readonly ttlMs: number;
  /** Of the answer that granted it. */
  readonly meta: Meta;
  /**
   * Aborted when the lease is lost, that is when it cannot be counted on any more: it has expired, was
   * revoked by anybody, or could not be kept alive for 9/10 of its time to live. `signal.reason` is a
   * `BalsaError` with the code `LEASE_NOT_FOUND` or `CLIENT_CLOSED`.
   *
   * Time is counted on this process's own clock, from when the last keep-alive that succeeded was
   * *sent*: the lease is lost here before the cluster lets it expire. While a process stands still
   * (suspended, or in a long garbage collection) it cannot be told; `held` looks at the clock, and what
   * must never be done by two at a time needs a fencing token (see {@link Client.lock}).
   */
  readonly signal: AbortSignal;
  readonly #standing: Standing;
  readonly #keeper: Keeper;
  #lost: Promise<BalsaError> | null = null;

  /** @internal */
  constructor(
    facts: {
      readonly id: number;
      readonly ttlMs: number;
      readonly keepAlive: boolean;
      readonly askedMs: number;
      readonly meta: Meta;
    },
    keeper: Keeper,
    begin: (standing: Standing) => void,
  ) {
    this.id = facts.id;
    this.ttlMs = facts.ttlMs;
    this.meta = facts.meta;
    this.#keeper = keeper;
    const lost = new AbortController();
    this.signal = lost.signal;
    this.#standing = {
      lease: this,
      lost,
      keepAlive: facts.keepAlive,
      validUntilMs: validUntil(facts.askedMs, facts.ttlMs),
      nextKeepAliveMs: nextKeepAlive(facts.askedMs, facts.ttlMs),
      underWay: false,
    };
    begin(this.#standing);
  }

  /** It can be counted on now. */
  get held(): boolean {
    return !this.signal.aborted && this.remainingMs() > 0;
  }

  /** Resolves when the lease is lost, with the reason; see {@link Lease.signal}. */
  get lost(): Promise<BalsaError> {
    const { signal } = this;
    this.#lost ??= new Promise((resolve) => {
      const tell = (): void => resolve(asBalsaError(signal.reason));
      if (signal.aborted) tell();
      else signal.addEventListener('abort', tell, { once: true });
    });
    return this.#lost;
  }

  /** How long it can surely be counted on if it is not kept alive again, in milliseconds; 0: lost. */
  remainingMs(): number {
    if (this.signal.aborted) return 0;
    return Math.max(0, this.#standing.validUntilMs - this.#keeper.nowMs());
  }

  /**
   * Keeps it alive for another `ttlMs`. Only needed with `keepAlive: false`.
   *
   * @throws BalsaError `LEASE_NOT_FOUND` (it has expired or was revoked), and see {@link Client}
   */
  keepAlive(options: CallOptions = NO_OPTIONS): Promise<void> {
    return this.#keeper.keepAlive(this.#standing, options);
  }

  /**
   * Ends the lease and deletes its keys. It is no error when it has ended already.
   *
   * @throws BalsaError see {@link Client}
   */
  revoke(options: CallOptions = NO_OPTIONS): Promise<void> {
    return this.#keeper.revoke(this.#standing, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.revoke();
  }
}

function validUntil(sentMs: number, ttlMs: number): number {
  return sentMs + ttlMs * (1 - MARGIN);
}

function nextKeepAlive(sentMs: number, ttlMs: number): number {
  return sentMs + ttlMs / KEEP_ALIVES_PER_TTL;
}

/**
 * Keeps the leases of one client alive: one timer for all, and those that are due at about the same time
 * travel in one batch.
 */
export class LeaseKeeper implements Keeper {
  readonly #engine: Engine;
  readonly #leases = new Set<Standing>();
  #timer: Timer | null = null;
  #dueMs = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  nowMs(): number {
    return this.#engine.env.clock.monotonicMs();
  }

  /** @throws BalsaError those of {@link Client.lease} */
  async grant(
    options: CallOptions & {
      readonly ttlMs: number;
      readonly id: number;
      readonly keepAlive: boolean;
    },
  ): Promise<Lease> {
    const { id, ttlMs, keepAlive } = options;
    const askedMs = this.nowMs();
    const { result, meta } = await this.#ask({ type: 'lease-grant', lease: id, ttlMs }, options);
    if (result.type !== 'lease') throw mismatch(result);
    const facts = { id: result.lease, ttlMs: result.ttlMs, keepAlive, askedMs, meta };
    return new Lease(facts, this, (standing) => this.#begin(standing));
  }

  async keepAlive(standing: Standing, options: CallOptions): Promise<void> {
    const { lease } = standing;
    lease.signal.throwIfAborted();
    const askedMs = this.nowMs();
    try {
      const operation = { type: 'lease-keep-alive', lease: lease.id } as const;
      // However much this client has to write: the lease would not live to see the end of it.
      const { result } = await this.#ask(operation, options, true);
      if (result.type !== 'lease') throw mismatch(result);
    } catch (error) {
      if (isGone(error)) this.#lose(standing, error);
      throw error;
    }
    standing.validUntilMs = Math.max(standing.validUntilMs, validUntil(askedMs, lease.ttlMs));
    standing.nextKeepAliveMs = nextKeepAlive(askedMs, lease.ttlMs);
    this.#plan(standing);
  }

  async revoke(standing: Standing, options: CallOptions): Promise<void> {
    const { lease } = standing;
    // Whatever becomes of the call, nobody counts on the lease any more, and it is not kept alive.
    this.#lose(standing, new BalsaError('LEASE_NOT_FOUND', `lease ${lease.id} was revoked`));
    try {
      await this.#ask({ type: 'lease-revoke', lease: lease.id }, options);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }

  /** The client is closed: nothing is kept alive any more. */
  close(): void {
    this.#closed = true;
    for (const standing of [...this.#leases]) this.#lose(standing, clientClosed());
    this.#timer?.cancel();
    this.#timer = null;
  }

  // -------------------------------------------------------------------------------------------

  #begin(standing: Standing): void {
    if (this.#closed) {
      standing.lost.abort(clientClosed());
      return;
    }
    this.#leases.add(standing);
    this.#plan(standing);
  }

  #lose(standing: Standing, reason: unknown): void {
    this.#leases.delete(standing);
    if (!standing.lost.signal.aborted) standing.lost.abort(reason);
  }

  /** Something happens to this lease at a known time. */
  #plan(standing: Standing): void {
    if (this.#leases.has(standing)) this.#arm(dueMs(standing));
  }

  #arm(due: number): void {
    if (this.#timer !== null && this.#dueMs <= due) return;
    this.#timer?.cancel();
    this.#dueMs = due;
    const delayMs = Math.min(Math.max(0, Math.ceil(due - this.nowMs())), TIMER_MS_MAX);
    this.#timer = this.#engine.env.clock.setTimer(delayMs, () => this.#fire());
  }

  #fire(): void {
    this.#timer = null;
    this.#dueMs = Number.POSITIVE_INFINITY;
    const nowMs = this.nowMs();
    for (const standing of [...this.#leases]) {
      if (standing.validUntilMs <= nowMs) this.#lose(standing, notKept(standing));
      else if (isDue(standing, nowMs)) this.#send(standing);
    }
    let next = Number.POSITIVE_INFINITY;
    for (const standing of this.#leases) next = Math.min(next, dueMs(standing));
    if (next < Number.POSITIVE_INFINITY) this.#arm(next);
  }

  #send(standing: Standing): void {
    standing.underWay = true;
    const { ttlMs } = standing.lease;
    const nowMs = this.nowMs();
    const timeoutMs = Math.max(1, standing.validUntilMs - nowMs);
    this.keepAlive(standing, { timeoutMs })
      .catch(() => {
        // What it means is decided by the clock: until the lease is lost it is tried again.
        standing.nextKeepAliveMs = this.nowMs() + ttlMs * RETRY;
      })
      .finally(() => {
        standing.underWay = false;
        this.#plan(standing);
      });
  }

  #ask(
    operation: WriteOperation,
    options: CallOptions,
    isUrgent = false,
  ): Promise<{ readonly result: WriteResult; readonly meta: Meta }> {
    return new Promise((resolve, reject) => {
      const engine = this.#engine;
      const limits = engine.callLimits(options);
      checkOperation(operation, engine.limits);
      const deliver = (result: WriteResult, meta: Meta): void => resolve({ result, meta });
      engine.write(new PendingWrite({ operation, limits, isUrgent }, deliver, reject), limits);
    });
  }
}

function dueMs(standing: Standing): number {
  const { keepAlive, underWay, validUntilMs, nextKeepAliveMs } = standing;
  return keepAlive && !underWay ? Math.min(validUntilMs, nextKeepAliveMs) : validUntilMs;
}

function isDue(standing: Standing, nowMs: number): boolean {
  const { keepAlive, underWay, nextKeepAliveMs, lease } = standing;
  return keepAlive && !underWay && nextKeepAliveMs <= nowMs + lease.ttlMs * TOGETHER;
}

function isGone(error: unknown): boolean {
  return error instanceof BalsaError && error.code === 'LEASE_NOT_FOUND';
}

function notKept({ lease }: Standing): BalsaError {
  return new BalsaError(
    'LEASE_NOT_FOUND',
    `lease ${lease.id} could not be kept alive within its ${lease.ttlMs} ms; the cluster lets it expire`,
  );
}

function mismatch(result: WriteResult): BalsaError {
  return new BalsaError('FRAME_INVALID', `a result of type ${result.type} for a lease`);
}
