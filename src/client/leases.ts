import { BalsaError } from '../base/errors.js';
import type { LeaseInfo } from '../rpc/protocol.js';
import type { CallOptions, KeyForm } from './options.js';
import type { Meta } from './pending.js';
import type { ChangeResult, KeyOf } from './results.js';
import { leaseId, type Scope } from './scope.js';
import { askStore, LeasesRequest } from './store-request.js';

/** A lease as the cluster has it. Times are in log time, in milliseconds. */
export interface LeaseStatus {
  readonly id: number;
  readonly ttlMs: number;
  /** What is left of it if it is not kept alive. */
  readonly remainingMs: number;
  /** How many keys hang on it, those of other namespaces too. */
  readonly keyCount: number;
}

/** {@link LeaseStatus} with its keys. */
export interface LeaseDetails<Keys extends KeyForm = 'text'> extends LeaseStatus {
  /** In the namespace of the client that asks. */
  readonly keys: readonly KeyOf<Keys>[];
  readonly meta: Meta;
}

const NO_OPTIONS = {};

/** The leases of the cluster, whoever holds them: `db.leases`. To hold one, see {@link Client.lease}. */
export class Leases<Keys extends KeyForm = 'text'> {
  readonly #scope: Scope<never, unknown, Keys>;

  /** @internal */
  constructor(scope: Scope<never, unknown, Keys>) {
    this.#scope = scope;
  }

  /**
   * All leases, without their keys. A list has no `meta`; {@link Client.token} stands for what was seen.
   *
   * @throws BalsaError see {@link Client}
   * @example
   * ```ts
   * for (const { id, remainingMs } of await db.leases.list()) console.log(id, remainingMs);
   * ```
   */
  async list(options: CallOptions = NO_OPTIONS): Promise<readonly LeaseStatus[]> {
    return (await this.#ask(null, options)).answer.map(toStatus);
  }

  /**
   * One lease with its keys; `null`: there is none of this id.
   *
   * @throws BalsaError see {@link Client}
   */
  async get(id: number, options: CallOptions = NO_OPTIONS): Promise<LeaseDetails<Keys> | null> {
    const wanted = leaseId(id);
    const found = await this.#ask(wanted, options).catch((error: unknown) => {
      if (error instanceof BalsaError && error.code === 'LEASE_NOT_FOUND') return null;
      throw error;
    });
    const info = found?.answer.find(({ lease }) => lease === wanted);
    if (found === null || info === undefined) return null;
    const scope = this.#scope;
    const own = info.keys.filter((key) => scope.holds(key));
    return { ...toStatus(info), keys: own.map((key) => scope.giveKey(key)), meta: found.meta };
  }

  /**
   * Keeps a lease alive for another of its times to live, whoever holds it.
   *
   * @throws BalsaError `LEASE_NOT_FOUND`, `UPGRADE_PENDING`, and see {@link Client}
   */
  keepAlive(
    id: number,
    options: CallOptions = NO_OPTIONS,
  ): Promise<{ readonly id: number; readonly ttlMs: number; readonly meta: Meta }> {
    return this.#scope.write(
      options,
      'lease',
      () => ({ type: 'lease-keep-alive', lease: leaseId(id) }),
      ({ lease, ttlMs }, meta) => ({ id: lease, ttlMs, meta }),
    );
  }

  /**
   * Ends a lease, whoever holds it, and deletes its keys, all at one revision.
   *
   * @throws BalsaError `LEASE_NOT_FOUND`, `UPGRADE_PENDING`, and see {@link Client}
   */
  revoke(id: number, options: CallOptions = NO_OPTIONS): Promise<ChangeResult> {
    return this.#scope.write(
      options,
      'done',
      () => ({ type: 'lease-revoke', lease: leaseId(id) }),
      ({ revision }, meta) => ({ revision, meta }),
    );
  }

  #ask(lease: number | null, options: CallOptions) {
    const { engine } = this.#scope;
    return askStore<readonly LeaseInfo[]>(
      engine,
      options,
      (call) => new LeasesRequest(lease, call),
    );
  }
}

function toStatus({ lease, ttlMs, remainingMs, keyCount }: LeaseInfo): LeaseStatus {
  return { id: lease, ttlMs, remainingMs, keyCount };
}
