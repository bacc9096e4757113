import type { KeyValue } from '../base/operation.js';
import { checkKey } from '../base/operation-check.js';
import type { SnapshotPart } from '../base/snapshot-codec.js';
import type { ReplicaStatus, StoreInfo } from '../rpc/protocol.js';
import { ClusterAdmin } from './cluster-admin.js';
import type { Codec } from './codec.js';
import { checkConsistency, type ReadTarget, toReadTarget } from './consistency.js';
import { Election } from './election.js';
import type { Engine } from './engine.js';
import { checkRevision } from './invalid.js';
import type { Lease } from './lease.js';
import { Leases } from './leases.js';
import { type Lock, type LockOptions, takeLock } from './lock.js';
import { type NamespaceRef, Namespaces, namespacePrefix } from './namespaces.js';
import type {
  CallOptions,
  KeyForm,
  KeysOnlyOptions,
  KeysOptions,
  RangeOptions,
  ReadOptions,
} from './options.js';
import type { Meta } from './pending.js';
import { type Page, type PageQuery, PendingRead } from './pending-read.js';
import { type Coordination, lost } from './queue-place.js';
import { countRange, readRange, toCountQuery, toPageQuery } from './range.js';
import { StatusRequest } from './read-request.js';
import type { Item, Key } from './results.js';
import { runTransaction, type TransactionOptions } from './run-transaction.js';
import { Scope } from './scope.js';
import { askStore, StoreRequest } from './store-request.js';
import { Settings } from './store-settings.js';
import { StoreWrites } from './store-writes.js';
import type { Transaction } from './transaction.js';
import { toGetOpResult } from './txn-encode.js';
import { beginWatch, type Watch } from './watch.js';
import type { WatchOptions } from './watch-options.js';

/** What a key holds. */
export interface GetResult<Out> {
  /** `undefined`: there is no such key. */
  readonly value: Out | undefined;
  /** Revision of the last put; 0 when there is no such key. */
  readonly modRevision: number;
  /** Revision of the put that created the key; 0 when there is no such key. */
  readonly createRevision: number;
  /** Puts since the key was created: 1 after the first; 0 when there is no such key. */
  readonly version: number;
  /** The lease that the key hangs on; 0: none. */
  readonly lease: number;
  readonly meta: Meta;
}

/** One key of a range. */
export interface RangeItem<Out, Keys extends KeyForm> extends Item<Out, Keys> {
  readonly meta: Meta;
}

export interface CountResult {
  readonly count: number;
  /** As of this revision. */
  readonly revision: number;
  readonly meta: Meta;
}

/** Options of {@link Client.lease}. */
export interface LeaseOptions extends CallOptions {
  /** How long it lives after it was last kept alive, in milliseconds. */
  readonly ttlMs: number;
  /** Keep it alive in the background. Default `true`. */
  readonly keepAlive?: boolean | undefined;
  /** Its id, a whole number from 1. Default: one that the cluster chooses. */
  readonly id?: number | undefined;
}

export interface CompactResult {
  /** Reads below this revision are refused now. */
  readonly compactedRevision: number;
  readonly meta: Meta;
}

/** What a client and its views of namespaces have in common. */
type Shared = Coordination;

const NO_OPTIONS = {};
const NO_PREFIX = new Uint8Array(0);

/**
 * A client of one cluster; made by {@link connect}. All calls share one stream to the leader: those of
 * one turn of the event loop leave together, so that many calls at once cost little more than one.
 *
 * Calls are tried again until they have their answer or their time is up. A write is applied once
 * however often it is tried. The writes of a client are applied in the order of the calls.
 *
 * Every failure is a `BalsaError`. Any call may fail with
 * `TIMEOUT` (no answer in time), `NO_QUORUM` (replicas answer, but no leader was found in time),
 * `UNREACHABLE` (no replica answered in time), `OVERLOADED` (too much waits to be sent, or the cluster
 * refused it until the time was up), `CANCELLED` (by `signal`), `CLIENT_CLOSED`, `INVALID_ARGUMENT`.
 * Errors of writes carry `outcome`: `not-applied`, or `unknown` when the write had been sent and may
 * have been applied, or may yet be.
 */
export class Client<In = string | Uint8Array, Out = Buffer, Keys extends KeyForm = 'text'>
  extends StoreWrites<In, Out, Keys>
  implements AsyncDisposable
{
  /** The members of the cluster, and changes of them. */
  readonly cluster: ClusterAdmin;
  /** The leases of the cluster, whoever holds them. */
  readonly leases: Leases<Keys>;
  /** The namespaces that the cluster knows, with their quotas. */
  readonly namespaces: Namespaces;
  /** Settings of the whole store. */
  readonly settings: Settings;
  readonly #engine: Engine;
  readonly #scope: Scope<In, Out, Keys>;
  readonly #shared: Shared;

  /** @internal */
  constructor(scope: Scope<In, Out, Keys>, shared: Shared) {
    super(scope);
    this.#engine = scope.engine;
    this.#scope = scope;
    this.#shared = shared;
    const { engine, reads, codec, keys } = scope;
    const store = new Scope<In, Out, Keys>({ engine, reads, codec, keys, prefix: NO_PREFIX });
    this.cluster = new ClusterAdmin(engine);
    this.leases = new Leases(scope);
    this.namespaces = new Namespaces(store);
    this.settings = new Settings(store);
  }

  /**
   * Stands for all that this client has seen: the latest of the answers to its writes and reads. Whoever
   * gets it reads at least that, also in another process: `connect({ token })` with `session` reads, or
   * `get(key, { consistency: { session: token } })`.
   */
  get token(): string {
    return this.#engine.seen.token;
  }

  /**
   * Reads `key`.
   *
   * @throws BalsaError `KEY_EMPTY`, `KEY_TOO_LARGE`, `COMPACTED`, `FUTURE_REVISION`, `SESSION_BEHIND` and
   *   `STALE_BOUND_EXCEEDED` (no replica at hand kept the level in time), `CLUSTER_MISMATCH` (of the token),
   *   `VALUE_NOT_DECODABLE` (the bytes are not what the codec expects), and see {@link Client}
   * @example
   * ```ts
   * const { value, modRevision } = await db.get('greeting');
   * console.log(value?.toString()); // hello
   * const stale = await db.get('greeting', { consistency: 'any' }); // even without a majority
   * ```
   */
  get(key: Key, options: ReadOptions = NO_OPTIONS): Promise<GetResult<Out>> {
    return new Promise((resolve, reject) => {
      const limits = this.#engine.callLimits(options);
      const query = { key: this.#scope.key(key), ...this.#target(options) };
      checkKey(query.key, this.#engine.limits);
      const deliver = (item: KeyValue | null, meta: Meta): void =>
        resolve(this.#toGetResult(item, meta));
      this.#scope.reads.get(query, limits, deliver, reject);
    });
  }

  /**
   * Reads keys in order, page by page, all as of one revision: that of the first page, or `revision`.
   * While the caller works on a page the next one is fetched; `break` ends it.
   *
   * @throws BalsaError (from the iteration) `COMPACTED` (also when the revision is compacted meanwhile),
   *   `FUTURE_REVISION`, `VALUE_NOT_DECODABLE`, and see {@link Client}
   * @example
   * ```ts
   * for await (const { key, value } of db.range({ prefix: 'user/', limit: 10 })) {
   *   console.log(key, value.toString());
   * }
   * ```
   */
  range(options: KeysOnlyOptions): AsyncGenerator<RangeItem<undefined, Keys>, void, undefined>;
  range(options?: RangeOptions): AsyncGenerator<RangeItem<Out, Keys>, void, undefined>;
  async *range(
    options: RangeOptions | KeysOnlyOptions = {},
  ): AsyncGenerator<RangeItem<Out | undefined, Keys>, void, undefined> {
    const asked = toPageQuery(options, this.#target(options));
    const query = { ...asked, ...this.#scope.within(asked) };
    const fetchPage = (page: PageQuery, unwanted: AbortSignal): Promise<Page> =>
      this.#fetchPage(page, options, unwanted);
    for await (const { item, meta } of readRange(fetchPage, query, options)) {
      yield this.#toRangeItem(item, meta, 'keysOnly' in options && options.keysOnly);
    }
  }

  /**
   * How many keys there are, as of one revision. Only numbers travel.
   *
   * @throws BalsaError `COMPACTED`, `FUTURE_REVISION`, and see {@link Client}
   * @example
   * ```ts
   * const { count } = await db.count({ prefix: 'user/' });
   * ```
   */
  async count(options: KeysOptions = {}): Promise<CountResult> {
    const asked = toCountQuery(options, this.#target(options));
    const query = { ...asked, ...this.#scope.within(asked) };
    return countRange((page, unwanted) => this.#fetchPage(page, options, unwanted), query);
  }

  /**
   * Runs `work` as one transaction: all that it reads and writes through `tx` takes effect as if in one
   * moment, or not at all (strictly serializable). Its reads see the store as it was at the first of
   * them, with its own writes over it; nothing is locked meanwhile. If others have changed by then what it read,
   * keys or ranges, `work` is run again, after a short pause of random length. So `work` should do nothing
   * outside of the store that may not happen twice. What it throws is passed on, and nothing is written.
   *
   * A transaction that only reads never conflicts.
   *
   * @returns what `work` returns
   * @throws BalsaError `TXN_CONFLICT` (changed by others each time, also after `retries`),
   *   `TXN_TOO_LARGE` (more than 10,000 keys and ranges that were read or written), `BATCH_TOO_LARGE`,
   *   those of {@link Client.get}, {@link Client.range} and {@link Client.put}
   * @example
   * ```ts
   * await db.transaction(async (tx) => {
   *   const { value } = await tx.get('stock/apples');
   *   if (Number(value ?? 0) < 3) throw new Error('too few apples');
   *   tx.put('stock/apples', String(Number(value) - 3));
   *   tx.put('order/17', '3 apples');
   * });
   * ```
   */
  transaction<Result>(
    work: (tx: Transaction<In, Out, Keys>) => Promise<Result>,
    options: TransactionOptions = NO_OPTIONS,
  ): Promise<Result> {
    return runTransaction(this.#scope, work, options);
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
   * @throws BalsaError `TIMEOUT` (others held it for all of `timeoutMs`), `CANCELLED`, `LOCK_LOST` (the place in
   *   the queue was lost while waiting: this client was cut off for longer than `ttlMs`),
   *   `LEASES_TOO_MANY`, `UPGRADE_PENDING`, and see {@link Client}
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

  /**
   * A client of one namespace: all its keys begin with the prefix of the namespace, which is added on the way
   * in and taken off on the way out, everywhere. It shares connection, order and session with
   * this one; closing either closes both. What concerns the whole store or the cluster (`info`,
   * `settings`, `namespaces`, `compact`, `status`, `cluster`, `snapshot`) is the same in it.
   *
   * @param namespace its name (the prefix is the name and a slash), or `{ prefix }`. It works without
   *   {@link Namespaces.set}, then without a quota.
   * @param options a codec for the values of this namespace. Default: that of this client
   * @throws BalsaError `INVALID_ARGUMENT`
   * @example
   * ```ts
   * const users = db.namespace('users', { codec: json<User>() });
   * await users.put('ada', { name: 'Ada', age: 36 }); // the key in the store is users/ada
   * ```
   */
  namespace(namespace: NamespaceRef): Client<In, Out, Keys>;
  namespace<NewIn, NewOut>(
    namespace: NamespaceRef,
    options: { readonly codec: Codec<NewIn, NewOut> },
  ): Client<NewIn, NewOut, Keys>;
  namespace(
    namespace: NamespaceRef,
    options: { readonly codec?: Codec<never, unknown> } = NO_OPTIONS,
  ): unknown {
    const { engine, reads, keys, prefix } = this.#scope;
    const scope = new Scope<never, unknown, Keys>({
      codec: options.codec ?? this.#scope.codec,
      prefix: Buffer.concat([prefix, namespacePrefix(namespace)]),
      ...{ engine, reads, keys },
    });
    return new Client<never, unknown, Keys>(scope, this.#shared);
  }

  /**
   * Gives up the history before `revision`: reads at earlier revisions fail with `COMPACTED` from now on. The space
   * comes free in the background. What is present stays.
   *
   * @param revision default: the latest one
   * @throws BalsaError `COMPACTED` (it was done already, further), `FUTURE_REVISION`,
   *   `UPGRADE_PENDING`, and see {@link Client}
   */
  async compact(revision?: number, options: CallOptions = NO_OPTIONS): Promise<CompactResult> {
    const upTo = revision ?? (await this.info(options)).revision;
    return this.#scope.write(
      options,
      'done',
      () => {
        checkRevision(upTo);
        return { type: 'compact', revision: upTo };
      },
      (_result, meta) => ({ compactedRevision: upTo, meta }),
    );
  }

  /**
   * What the store as a whole is like: revisions, sizes, settings, namespaces, leases.
   *
   * @throws BalsaError see {@link Client}
   */
  async info(options: CallOptions = NO_OPTIONS): Promise<StoreInfo & { readonly meta: Meta }> {
    const { answer, meta } = await askStore<StoreInfo>(
      this.#engine,
      options,
      (call) => new StoreRequest(call),
    );
    return { ...answer, meta };
  }

  /**
   * Events of a key, a prefix or a range, from now on or from a revision of the past: each once, in order,
   * also across disconnects and changes of leader. See {@link Watch} for how it ends.
   *
   * @throws BalsaError `INVALID_ARGUMENT`, `KEY_EMPTY`, `KEY_TOO_LARGE`, `CLIENT_CLOSED`, `CANCELLED`
   * @example
   * ```ts
   * const watch = db.watch({ prefix: 'user/' });
   * await watch.ready; // from here on nothing is missed
   * for await (const event of watch) {
   *   if (event.type === 'put') console.log(event.revision, event.key, event.value.toString());
   *   else console.log(event.revision, event.key, 'is gone');
   * }
   * ```
   */
  watch(options: WatchOptions = {}): Watch<Out, Keys> {
    return beginWatch(this.#scope, options);
  }

  /**
   * What the replica says of itself that the client is connected to: the leader, when there is one.
   *
   * @throws BalsaError see {@link Client}
   * @example
   * ```ts
   * const { replica, role, revision } = await db.status();
   * ```
   */
  status(options: CallOptions = NO_OPTIONS): Promise<ReplicaStatus> {
    return new Promise((resolve, reject) => {
      const limits = this.#engine.callLimits(options);
      const call = new PendingRead<ReplicaStatus>(limits, resolve, reject);
      this.#engine.ask(new StatusRequest(call), call, limits);
    });
  }

  /**
   * A snapshot of the whole store, as the replica has it that the client is connected to, in the parts of a
   * backup file: a header, chunks, an end. The replica goes on meanwhile.
   *
   * @throws BalsaError (from the iteration) `UNREACHABLE`, `OVERLOADED` (it makes too many already),
   *   `CANCELLED`
   */
  snapshot(
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<SnapshotPart, void, undefined> {
    return this.#engine.backup(options.signal);
  }

  /**
   * Closes the client, with all its views of namespaces. Calls without an answer fail with `CLIENT_CLOSED`;
   * await them first. Leases and locks that it holds are no longer kept alive, and expire.
   */
  close(): Promise<void> {
    this.#scope.reads.close();
    this.#shared.leases.close();
    this.#engine.close();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // -------------------------------------------------------------------------------------------

  #target({ consistency, revision }: ReadOptions): ReadTarget {
    const { settings, seen } = this.#engine;
    if (consistency !== undefined) checkConsistency(consistency);
    return toReadTarget(consistency ?? settings.consistency, revision, seen);
  }

  #toGetResult(item: KeyValue | null, meta: Meta): GetResult<Out> {
    return { ...toGetOpResult(this.#scope, item), meta };
  }

  #toRangeItem(item: KeyValue, meta: Meta, keysOnly: boolean): RangeItem<Out | undefined, Keys> {
    if (!keysOnly) return { ...this.#scope.item(item), meta };
    const { modRevision, createRevision, version, lease } = item;
    const key = this.#scope.giveKey(item.key);
    return { key, value: undefined, modRevision, createRevision, version, lease, meta };
  }

  #fetchPage(query: PageQuery, options: KeysOptions, unwanted: AbortSignal): Promise<Page> {
    return new Promise((resolve, reject) => {
      const limits = { ...this.#engine.callLimits(options), unwanted };
      this.#scope.reads.page(query, limits, resolve, reject);
    });
  }
}
