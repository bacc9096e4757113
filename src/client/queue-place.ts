import { prefixEnd } from '../base/bytes.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { KeyValue } from '../base/operation.js';
import { whenAborted } from './abort.js';
import type { Changes } from './changes.js';
import type { Engine } from './engine.js';
import { fetchAll } from './fetch-page.js';
import { checkDuration, invalid } from './invalid.js';
import type { Lease, LeaseKeeper } from './lease.js';
import type { CallOptions, KeyForm } from './options.js';
import { pause } from './pause.js';
import { cancelled, type Meta } from './pending.js';
import { backoffMs, retryAfterMs } from './retry.js';
import type { Bounds, Scope } from './scope.js';

/** What locks and elections share of their client. */
export interface Coordination {
  readonly leases: LeaseKeeper;
  readonly changes: Changes;
}

/** Options of whoever waits for its turn. */
export interface TurnOptions {
  /**
   * How long the cluster waits for a holder that is not heard of any more before the next one has its
   * turn, in milliseconds. Default 10,000.
   */
  readonly ttlMs?: number | undefined;
  /**
   * How long to wait for the turn, in milliseconds; 0: without limit. Default 0. While there is no place in the
   * queue yet, the time limit of the client holds as well.
   */
  readonly timeoutMs?: number | undefined;
  /** Ends the waiting: it fails with `CANCELLED`. */
  readonly signal?: AbortSignal | undefined;
}

const TTL_MS = 10_000;

/** How long an answer that is known waits at most until the place is given up; else that expires with its lease. */
const LEAVE_MS = 2000;

/** A place in the queue that is the first one. */
export interface Turn {
  /** In the store. */
  readonly key: Uint8Array;
  /** Revision that created the key: the turns of a queue have it in their order. */
  readonly fencingToken: number;
  readonly lease: Lease;
  /** Of the answer by which it was known. */
  readonly meta: Meta;
}

/** Who stands in a queue, and when that was so. */
interface Queued {
  readonly items: readonly KeyValue[];
  readonly revision: number;
  readonly meta: Meta;
}

/** The queue of a lock or an election: one key for each who waits, in the order of their creation. */
export class TurnQueue {
  /** For messages: `the lock jobs`. */
  readonly what: string;
  readonly #engine: Engine;
  readonly #scope: Scope<never, unknown, KeyForm>;
  readonly #coordination: Coordination;
  readonly #prefix: Uint8Array;

  constructor(
    scope: Scope<never, unknown, KeyForm>,
    coordination: Coordination,
    names: { readonly what: string; readonly folder: string; readonly name: string },
  ) {
    this.#engine = scope.engine;
    this.#scope = scope;
    this.#coordination = coordination;
    this.what = `the ${names.what} ${names.name}`;
    this.#prefix = scope.key(`${names.folder}/${escapeName(names.name)}/`);
  }

  get bounds(): Bounds {
    return { from: this.#prefix, to: prefixEnd(this.#prefix) };
  }

  get changes(): Changes {
    return this.#coordination.changes;
  }

  /**
   * Lines up and waits until all who came earlier are gone. Behind a failure nothing of it stays: the lease is
   * revoked, or expires.
   * @param options `waits`: else `null` is given unless it is the first at once
   * @throws BalsaError `TIMEOUT` (others were before it until the time was up), `CANCELLED`, `LOCK_LOST`, and those of
   *   any call
   */
  async take(
    value: Uint8Array,
    options: TurnOptions & { readonly waits: boolean },
  ): Promise<Turn | null> {
    const { ttlMs = TTL_MS, timeoutMs = 0 } = options;
    checkDuration('timeoutMs', timeoutMs);
    const ends = new Ends(this.#engine, this.what, { timeoutMs, signal: options.signal });
    const { timeoutMs: callMs } = this.#engine.settings;
    let lease: Lease | null = null;
    try {
      const granted = { ttlMs, id: 0, keepAlive: true, ...ends.callOptions(callMs) };
      lease = await this.#coordination.leases.grant(granted);
      ends.atLossOf(lease);
      const turn = await this.#lineUp(value, lease, ends, options.waits);
      if (turn === null) await leaveSoon(lease, options);
      return turn;
    } catch (error) {
      // Before it is left: that is a loss of the lease, too.
      const why = ends.signal.aborted ? ends.reasonOf(lease === null ? null : error) : error;
      if (lease !== null) leave(lease);
      throw why;
    } finally {
      ends.stop();
    }
  }

  async #lineUp(value: Uint8Array, lease: Lease, ends: Ends, waits: boolean): Promise<Turn | null> {
    const key = Buffer.concat([this.#prefix, Buffer.from(lease.id.toString(16).padStart(16, '0'))]);
    // No other time limit: while the cluster cannot be reached the place is kept, until the lease is lost.
    const place = () => this.#place(key, value, lease, ends.callOptions());
    const placed = waits ? await this.#whenTaken(ends, place) : await place();
    const fencingToken = placed.revision;
    let { items, revision, meta } = placed;
    for (;;) {
      if (!items.some((item) => item.createRevision === fencingToken)) throw lost(this.what);
      const predecessor = last(items.filter((item) => item.createRevision < fencingToken));
      if (predecessor === null) {
        if (!lease.held) throw lost(this.what, lease.signal.reason);
        return { key, fencingToken, lease, meta };
      }
      if (!waits) return null;
      const seenAt = revision;
      await ends.whileWaiting(
        () => this.changes.next(only(predecessor.key), seenAt, ends.signal),
        () => notFree(this.what, ends.timeoutMs),
      );
      const filter = { keysOnly: true, createRevisionMax: fencingToken };
      const read = this.read(ends.callOptions(), filter);
      ({ items, revision, meta } = await read.catch((error: unknown) => {
        throw this.#notTold(error, ends.timeoutMs);
      }));
    }
  }

  /** It has a place, and cannot be told whether it is the first one. */
  #notTold(cause: unknown, timeoutMs: number): BalsaError {
    const error = asBalsaError(cause).withOutcome('not-applied');
    return error.code === 'TIMEOUT' ? notFree(this.what, timeoutMs) : error;
  }

  /** Whoever waits for others waits for the cluster, too, while that has too much to do. */
  async #whenTaken<T>(ends: Ends, place: () => Promise<T>): Promise<T> {
    const { random } = this.#engine.env;
    for (let failures = 1; ; failures += 1) {
      try {
        return await place();
      } catch (error) {
        if (!isOverloaded(error)) throw error;
        const askedMs = retryAfterMs(error) * (1 + random.next() / 2);
        const delayMs = Math.max(backoffMs(failures, random), askedMs);
        await ends.whileWaiting(
          () => pause(this.#engine, delayMs, ends.signal),
          () => ends.notTaken(error),
        );
      }
    }
  }

  /** Puts the key, and says who was there then. */
  #place(key: Uint8Array, value: Uint8Array, lease: Lease, options: CallOptions): Promise<Queued> {
    return this.#scope.write(
      options,
      'txn',
      () => ({
        type: 'txn',
        compares: [],
        success: [
          { type: 'put', key, value, lease: lease.id },
          { type: 'read', ...this.bounds, keysOnly: true },
        ],
        failure: [],
      }),
      ({ revision, results: [, read] }, meta) => {
        if (read?.type !== 'read') throw new BalsaError('FRAME_INVALID', 'no result of a read');
        return { revision, items: read.items, meta };
      },
    );
  }

  /** Who is there now. */
  read(
    options: CallOptions,
    filter: { readonly keysOnly?: boolean; readonly createRevisionMax?: number } = {},
  ): Promise<Queued> {
    const query = {
      ...this.bounds,
      ...{ consistency: 'linearizable' as const, bound: 0 },
      ...{ reverse: false, keysMax: 1000, revision: null, filter },
    };
    return fetchAll(this.#engine, query, options);
  }
}

/**
 * All that ends the waiting. Who waits for others is told so when the time is up; who waits for the cluster is told by
 * the call that got no answer why there was none.
 */
class Ends {
  readonly timeoutMs: number;
  readonly #engine: Engine;
  readonly #startedMs: number;
  readonly #abort = new AbortController();
  readonly #what: string;
  readonly #undo: (() => void)[] = [];

  constructor(
    engine: Engine,
    what: string,
    limits: { readonly timeoutMs: number; readonly signal: AbortSignal | undefined },
  ) {
    this.#engine = engine;
    this.#what = what;
    this.timeoutMs = limits.timeoutMs;
    this.#startedMs = engine.env.clock.monotonicMs();
    const { signal } = limits;
    if (signal === undefined) return;
    if (!(signal instanceof AbortSignal)) throw invalid('signal must be an AbortSignal');
    if (signal.aborted) throw cancelled(signal.reason, 'not-applied');
    const end = (): void => this.#abort.abort(cancelled(signal.reason, 'not-applied'));
    this.#undo.push(whenAborted(signal, end));
  }

  /**
   * Why it has ended.
   * @param error of the call that put the place into the queue, or waited there; `null`: no place was asked for
   */
  reasonOf(error: unknown): unknown {
    const { reason } = this.signal;
    const isUnknown = error instanceof BalsaError && error.outcome === 'unknown';
    // The place may be there until its lease has expired.
    if (!isUnknown || !(reason instanceof BalsaError) || reason.code !== 'CANCELLED') return reason;
    return cancelled(reason.cause, 'unknown');
  }

  /**
   * For a call that begins now: it ends with the waiting.
   * @param limitMs it takes no longer than that either; 0: no such limit
   */
  callOptions(limitMs = 0): CallOptions {
    const { signal } = this;
    if (this.timeoutMs === 0) return { signal, timeoutMs: limitMs };
    // 0 would be no limit at all.
    const leftMs = Math.max(1, this.#leftMs());
    return { signal, timeoutMs: limitMs === 0 ? leftMs : Math.min(leftMs, limitMs) };
  }

  /**
   * Waits for what is no call.
   * @param tooLong what is wrong when the time is up
   * @throws BalsaError why it ended
   */
  async whileWaiting(wait: () => Promise<void>, tooLong: () => BalsaError): Promise<void> {
    const timer =
      this.timeoutMs === 0
        ? null
        : this.#engine.env.clock.setTimer(Math.max(0, this.#leftMs()), () => {
            this.#abort.abort(tooLong());
          });
    try {
      await wait();
    } finally {
      timer?.cancel();
    }
    if (this.signal.aborted) throw this.signal.reason;
  }

  /** The time is up, and the cluster has not let it in. */
  notTaken(lastRefusal: BalsaError): BalsaError {
    const { timeoutMs } = this;
    const startedMs = this.#startedMs;
    return this.#engine.timedOut({
      ...{ startedMs, deadlineMs: startedMs + timeoutMs, needsLeader: true, lastRefusal },
      outcome: 'not-applied',
    });
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  atLossOf(lease: Lease): void {
    const end = (): void => this.#abort.abort(lost(this.#what, lease.signal.reason));
    if (lease.signal.aborted) end();
    else this.#undo.push(whenAborted(lease.signal, end));
  }

  stop(): void {
    for (const undo of this.#undo) undo();
  }

  #leftMs(): number {
    return this.#startedMs + this.timeoutMs - this.#engine.env.clock.monotonicMs();
  }
}

/** @returns BalsaError `LOCK_LOST`, or `CLIENT_CLOSED` when that is why */
export function lost(what: string, cause?: unknown): BalsaError {
  if (cause instanceof BalsaError && cause.code === 'CLIENT_CLOSED') return cause;
  const why = cause === undefined ? 'its key was deleted' : asBalsaError(cause).message;
  return new BalsaError('LOCK_LOST', `${what} is not held any more: ${why}`, {
    outcome: 'not-applied',
    cause,
  });
}

/** Others were seen before it. */
function notFree(what: string, timeoutMs: number): BalsaError {
  return new BalsaError('TIMEOUT', `${what} was not free within ${timeoutMs} ms`, {
    outcome: 'not-applied',
    details: { timeoutMs },
  });
}

/** Should it fail: nobody keeps the lease alive any more, so it expires. */
function leave(lease: Lease): void {
  lease.revoke().catch(() => {});
}

/**
 * It is known that others have it, whatever becomes of the own place. Whoever closes the client then leaves none
 * behind, though: one that is dead looks to others like a holder.
 */
async function leaveSoon(lease: Lease, { timeoutMs = 0, signal }: TurnOptions): Promise<void> {
  const limitMs = timeoutMs === 0 ? LEAVE_MS : Math.min(timeoutMs, LEAVE_MS);
  await lease.revoke({ timeoutMs: limitMs, signal }).catch(() => {});
}

/** It was surely not put, and may be another time. */
function isOverloaded(error: unknown): error is BalsaError {
  if (!(error instanceof BalsaError)) return false;
  return error.code === 'OVERLOADED' && error.outcome === 'not-applied';
}

function last(items: readonly KeyValue[]): KeyValue | null {
  let found: KeyValue | null = null;
  for (const item of items) {
    if (found === null || item.createRevision > found.createRevision) found = item;
  }
  return found;
}

function only(key: Uint8Array): Bounds {
  return { from: key, to: Buffer.concat([key, Buffer.of(0)]) };
}

/** So that no name is the beginning of another one. */
function escapeName(name: unknown): string {
  if (typeof name !== 'string' || name === '') throw invalid('a name has at least one character');
  try {
    return encodeURIComponent(name);
  } catch {
    throw invalid(`the name ${JSON.stringify(name)} is not well-formed Unicode`);
  }
}
