import type { BalsaError } from '../base/errors.js';
import { whenAborted } from './abort.js';
import type { Condition } from './op-types.js';
import type { CallOptions, KeyForm } from './options.js';
import type { Meta } from './pending.js';
import { type Coordination, lost, type Turn, type TurnOptions, TurnQueue } from './queue-place.js';
import type { Scope } from './scope.js';

/** Where the keys of locks are, below the prefix of the namespace. */
const LOCKS = '_lock';

const NO_OPTIONS = {};

/** Options of {@link Client.lock}. */
export interface LockOptions extends TurnOptions {}

/**
 * Something that one client at a time holds: a lock, or the leadership. `await using` gives it back at the end
 * of the block; when that cannot be told to the cluster, it is free when its lease has expired.
 */
export class Held implements AsyncDisposable {
  /**
   * Higher with every holder. Whatever stands outside of the store and is changed under the lock must
   * remember the highest token that it has seen, and refuse those below: then a holder that was
   * suspended and does not know that it lost the lock does no harm.
   */
  readonly fencingToken: number;
  /**
   * Aborted when it is not held any more: its lease was lost (see {@link Lease.signal}), or it was given
   * back. `signal.reason` is a `BalsaError` `LOCK_LOST`.
   */
  readonly signal: AbortSignal;
  /** Of the answer that said that it is held. */
  readonly meta: Meta;
  readonly #what: string;
  readonly #turn: Turn;

  /** @internal */
  constructor(what: string, turn: Turn) {
    this.#what = what;
    this.#turn = turn;
    this.fencingToken = turn.fencingToken;
    this.meta = turn.meta;
    const gone = new AbortController();
    this.signal = gone.signal;
    const { signal } = turn.lease;
    const end = (): void => gone.abort(lost(what, signal.reason));
    if (signal.aborted) end();
    else whenAborted(signal, end);
  }

  /** It is held now, by this process's own clock. */
  get held(): boolean {
    return this.#turn.lease.held;
  }

  /**
   * Holds in a transaction as long as this is held, by the store's own word: writes under this condition
   * are fenced.
   *
   * @example
   * ```ts
   * await using lock = await db.lock('ledger');
   * const { succeeded } = await db.txn().when(lock.condition).do(op.put('sum', '7')).commit();
   * ```
   */
  get condition(): Condition<never> {
    const { key, fencingToken } = this.#turn;
    return {
      place: { key, inStore: true },
      operator: '=',
      target: 'createRevision',
      value: fencingToken,
    };
  }

  /** @throws BalsaError `LOCK_LOST` when it is not held any more */
  check(): void {
    if (this.held) return;
    throw this.signal.aborted ? (this.signal.reason as BalsaError) : lost(this.#what, this.#late());
  }

  /**
   * Gives it back: the next one has its turn. It is no error when it was lost already.
   *
   * @throws BalsaError see {@link Client}; it is free then when its lease has expired
   */
  release(options: CallOptions = NO_OPTIONS): Promise<void> {
    return this.#turn.lease.revoke(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What was done under the lock is done; nobody keeps the lease alive any more, so it is free soon.
    await this.release().catch(() => {});
  }

  #late(): Error {
    return new Error('its lease was not kept alive in time');
  }
}

/** A lock that is held; made by {@link Client.lock}. */
export class Lock extends Held {
  readonly name: string;

  /** @internal */
  constructor(name: string, what: string, turn: Turn) {
    super(what, turn);
    this.name = name;
  }
}

/** @param options `waits`: else `null` is given when somebody has it */
export async function takeLock(
  scope: Scope<never, unknown, KeyForm>,
  coordination: Coordination,
  name: string,
  options: LockOptions & { readonly waits: boolean },
): Promise<Lock | null> {
  const queue = new TurnQueue(scope, coordination, { what: 'lock', folder: LOCKS, name });
  // For those who look at the key: who has it.
  const holder = Buffer.from(scope.engine.settings.clientName, 'utf8');
  const turn = await queue.take(holder, options);
  return turn === null ? null : new Lock(name, queue.what, turn);
}
