import { Election } from './election.js';
import type { Lease } from './lease.js';
import { type Lock, type LockOptions, takeLock } from './lock.js';
import type { CallOptions, KeyForm } from './options.js';
import { type Coordination, lost } from './queue-place.js';
import type { Scope } from './scope.js';
import { StoreWrites } from './store-writes.js';

/** Options of {@link Client.lease}. */
export interface LeaseOptions extends CallOptions {
  /** How long it lives after it was last kept alive, in whole milliseconds. */
  readonly ttlMs: number;
  /** Keep it alive in the background. Default `true`. */
  readonly keepAlive?: boolean | undefined;
  /** Its id, a whole number from 1. Default: one that the cluster chooses. */
  readonly id?: number | undefined;
}

const NO_OPTIONS = {};

/** What {@link Client} has for those who work together: leases, locks, elections. */
export class StoreCoordination<In, Out, Keys extends KeyForm> extends StoreWrites<In, Out, Keys> {
  readonly #scope: Scope<In, Out, Keys>;
  readonly #shared: Coordination;

  /** @internal */
  constructor(scope: Scope<In, Out, Keys>, shared: Coordination) {
    super(scope);
    this.#scope = scope;
    this.#shared = shared;
  }

  /**
   * Takes a lease: keys put with it are deleted when it ends. It is kept alive in the background, all
   * leases of this client together, until it is revoked, lost, or the client is closed.
   *
   * @throws BalsaError `INVALID_ARGUMENT` (`ttlMs` is from 1 s to 90 days), `LEASE_EXISTS`,
   *   `LEASES_TOO_MANY`, `UPGRADE_PENDING`, and see {@link Client}
   * @example
   * ```ts
   * await using lease = await db.lease({ ttlMs: 10_000 });
   * await db.put('worker/7', 'here', { lease }); // gone at most 10 s after this process is
   * ```
   */
  lease(options: LeaseOptions): Promise<Lease> {
    const { id = 0, keepAlive = true } = options;
    return this.#shared.leases.grant({ ...options, id, keepAlive });
  }

  /**
   * Waits until nobody else holds the lock `name`, and holds it. Who waits longest has it next. It hangs on a
   * lease, so that it comes free when its holder is gone; a holder that is only cut off or
   * suspended may learn late that it lost it: see {@link Held.fencingToken} and
   * {@link Held.condition}.
   *
   * @throws BalsaError `TIMEOUT` (others were seen to hold it, and had not given it back when `timeoutMs` had passed; or
   *   the cluster was too slow), `NO_QUORUM` (no majority could be asked whether it is free), `OVERLOADED` (the cluster
   *   did not take it into the queue), `CANCELLED`, `LOCK_LOST` (the place in the queue was lost while waiting: this
   *   client was cut off for longer than `ttlMs`), `LEASES_TOO_MANY`, `UPGRADE_PENDING`, and see {@link Client}.
   *   It is not held then. With outcome `unknown` its place may be in the queue until `ttlMs` has passed.
   * @example
   * ```ts
   * await using lock = await db.lock('nightly-report', { timeoutMs: 60_000 });
   * await writeReport({ signal: lock.signal, fence: lock.fencingToken });
   * ```
   */
  async lock(name: string, options: LockOptions = NO_OPTIONS): Promise<Lock> {
    const lock = await takeLock(this.#scope, this.#shared, name, { ...options, waits: true });
    if (lock !== null) return lock;
    throw lost(`the lock ${name}`);
  }

  /**
   * Takes the lock `name` if nobody holds it or waits for it; else gives `null`.
   *
   * @param options `timeoutMs`: how long to wait for the answer
   * @throws BalsaError those of {@link Client.lock}
   */
  tryLock(name: string, options: LockOptions = NO_OPTIONS): Promise<Lock | null> {
    return takeLock(this.#scope, this.#shared, name, { ...options, waits: false });
  }

  /**
   * An election: many candidates, one leader at a time.
   *
   * @throws BalsaError `INVALID_ARGUMENT` (the name is empty)
   * @example
   * ```ts
   * const leadership = await db.election('billing').campaign('10.0.0.7:8080');
   * await runBilling({ signal: leadership.signal });
   * await leadership.resign();
   * ```
   */
  election(name: string): Election<In, Out> {
    return new Election(this.#scope, this.#shared, name);
  }
}
