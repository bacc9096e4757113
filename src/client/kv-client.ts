import { asBalsaError, BalsaError } from '../base/errors.js';
import type { KeyValue, Mode } from '../base/operation.js';
import { checkKey, checkReadBounds } from '../base/operation-check.js';
import type { SnapshotPart } from '../base/snapshot-codec.js';
import type { ReplicaStatus, StoreInfo } from '../rpc/protocol.js';
import { beforeWriting } from './before-writing.js';
import { Changes } from './changes.js';
import { ClusterAdmin } from './cluster-admin.js';
import type { Codec } from './codec.js';
import { checkConsistency, type ReadTarget, toReadTarget } from './consistency.js';
import { Engine } from './engine.js';
import type { Environment } from './environment.js';
import { checkRevision, invalid } from './invalid.js';
import { LeaseKeeper } from './lease.js';
import { Leases } from './leases.js';
import { type NamespaceRef, Namespaces, namespacePrefix } from './namespaces.js';
import {
  type CallOptions,
  type ConnectOptions,
  type KeyForm,
  type KeysOnlyOptions,
  type KeysOptions,
  type RangeOptions,
  type ReadOptions,
  toSettings,
} from './options.js';
import type { Meta } from './pending.js';
import { type Page, type PageQuery, PendingRead } from './pending-read.js';
import {
  Caller,
  type CallResult,
  type IfOptional,
  type OptionsOf,
  type ProcedureCallOptions,
  type ProcedureReference,
  Procedures,
} from './procedures.js';
import { countRange, readRange, toCountQuery, toPageQuery } from './range.js';
import { StatusRequest } from './read-request.js';
import { ReadRouter } from './read-router.js';
import type { Item, Key } from './results.js';
import { type Bounds, Scope } from './scope.js';
import { type JobsShared, StoreJobs } from './store-jobs.js';
import { askStore, StoreRequest } from './store-request.js';
import { Settings } from './store-settings.js';
import { ABSENT } from './txn-encode.js';
import { Watch } from './watch.js';
import { toWatchQuery, type WatchOptions } from './watch-options.js';

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

export interface CompactResult {
  /** Reads below this revision are refused now. */
  readonly compactedRevision: number;
  readonly meta: Meta;
}

export interface CountResult {
  readonly count: number;
  /** As of this revision. */
  readonly revision: number;
  readonly meta: Meta;
}

const NO_OPTIONS = {};

/** Items of a range that are given in one turn of the event loop. */
const ITEMS_PER_TURN = 64;
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
  extends StoreJobs<In, Out, Keys>
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
  /** The procedures that are deployed. */
  readonly procedures: Procedures;
  readonly #engine: Engine;
  readonly #scope: Scope<In, Out, Keys>;
  readonly #reads: ReadRouter;
  readonly #shared: JobsShared;
  readonly #caller: Caller;

  /** @internal */
  constructor(scope: Scope<In, Out, Keys>, shared: JobsShared) {
    super(scope, shared);
    this.#engine = scope.engine;
    this.#scope = scope;
    this.#reads = shared.reads;
    this.#shared = shared;
    const { engine, codec, keys } = scope;
    const store = new Scope<In, Out, Keys>({ engine, codec, keys, prefix: NO_PREFIX });
    this.cluster = new ClusterAdmin(engine);
    this.leases = new Leases(scope);
    this.namespaces = new Namespaces(store);
    this.settings = new Settings(store);
    this.procedures = new Procedures(store);
    this.#caller = new Caller(engine, shared.reads);
  }

  /**
   * Stands for all that this client has seen: the latest of the answers to its writes and reads, and of what its
   * watches have given. Whoever
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
      this.#reads.get(query, limits, deliver, reject);
    });
  }

  /**
   * Reads keys in order, page by page, all as of one revision: that of the first page, or `revision`.
   * While the caller works on a page the next one is fetched; `break` ends it.
   *
   * @throws BalsaError (from the iteration) `KEY_TOO_LARGE`, `COMPACTED` (also when the revision is compacted
   *   meanwhile), `FUTURE_REVISION`, `VALUE_NOT_DECODABLE`, and see {@link Client}
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
    const query = this.#within(toPageQuery(options, this.#target(options)));
    const fetchPage = (page: PageQuery, unwanted: AbortSignal): Promise<Page> =>
      this.#fetchPage(page, options, unwanted);
    const isBare = 'keysOnly' in options && options.keysOnly;
    for await (const { items, meta } of readRange(fetchPage, query, options)) {
      for (let i = 0; i < items.length; i += 1) {
        // Whoever takes them without waiting for anything would keep the request of the next page from going out.
        if (i % ITEMS_PER_TURN === 1) await this.#turn();
        yield this.#toRangeItem(items[i] as KeyValue, meta, isBare);
      }
    }
  }

  /**
   * How many keys there are, as of one revision. Only numbers travel.
   *
   * @throws BalsaError `KEY_TOO_LARGE`, `COMPACTED`, `FUTURE_REVISION`, and see {@link Client}
   * @example
   * ```ts
   * const { count } = await db.count({ prefix: 'user/' });
   * ```
   */
  async count(options: KeysOptions = {}): Promise<CountResult> {
    const query = this.#within(toCountQuery(options, this.#target(options)));
    return countRange((page, unwanted) => this.#fetchPage(page, options, unwanted), query);
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
    const engine = this.#engine;
    const limits = engine.callLimits(options);
    const query = this.#within(toWatchQuery(options, engine.limits));
    return new Watch<Out, Keys>(options, {
      query,
      limits,
      scope: this.#scope,
      host: {
        begin: (subscription) => engine.watch(subscription),
        ended: (subscription) => engine.unwatch(subscription),
        taken: (subscription, revision) => engine.watchTaken(subscription, revision),
      },
    });
  }

  /**
   * Calls a stored procedure: its code runs at the cluster, over one state, and its writes come into being together or not
   * at all. A call is tried again until it is answered or its time is up, and counts once.
   *
   * Keys in a procedure are those of the whole store, also when it is called by the client of a namespace.
   *
   * @param procedure a reference with types (see `references` of `balsa/procedures`), or a name: `transfer`,
   *   `transfer@staging`, `transfer@<hash>`
   * @param args what its handler gets; JSON
   * @throws BalsaError `PROCEDURE_NOT_FOUND`, `PROCEDURE_ABORTED`, `PROCEDURE_FAILED`, `PROCEDURE_LIMIT`,
   *   `PROCEDURE_READ_ONLY`, `CALL_EXPIRED`, `CALL_KEY_REUSED`, `CALL_KEYS_FULL`, `MERGED_KEYS_FULL`, `COMPACTED` (it reads for longer than
   *   its revision is kept), what its puts are refused with (`NO_SPACE`, `QUOTA_EXCEEDED`), `UPGRADE_PENDING`, and see {@link Client}
   * @example
   * ```ts
   * const bank = references<typeof import('./bank.js')>(); // of balsa/procedures
   * const { result } = await db.call(bank.transfer, { from: 'ada', to: 'bob', amount: 5 });
   * const { result: now } = await db.call('balance', { of: 'ada' }, { consistency: 'any' });
   * ```
   */
  call<Result = unknown>(
    procedure: string,
    args?: unknown,
    options?: ProcedureCallOptions,
  ): Promise<CallResult<Result>>;
  call<Args, Result, Declared extends Mode>(
    procedure: ProcedureReference<Args, Result, Declared> & IfOptional<Args>,
    args?: NoInfer<Args> | null,
    options?: OptionsOf<Declared>,
  ): Promise<CallResult<Result>>;
  call<Args, Result, Declared extends Mode>(
    procedure: ProcedureReference<Args, Result, Declared>,
    // The reference alone says what they are: else too few would be taken for all that is needed.
    args: NoInfer<Args>,
    options?: OptionsOf<Declared>,
  ): Promise<CallResult<Result>>;
  call(
    procedure: string | ProcedureReference<unknown, unknown>,
    args?: unknown,
    options: ProcedureCallOptions = NO_OPTIONS,
  ): Promise<unknown> {
    return this.#caller.call(procedure, args, options);
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
    const { engine, keys, prefix } = this.#scope;
    const scope = new Scope<never, unknown, Keys>({
      codec: options.codec ?? this.#scope.codec,
      prefix: Buffer.concat([prefix, namespacePrefix(namespace)]),
      ...{ engine, keys },
    });
    return new Client<never, unknown, Keys>(scope, this.#shared);
  }

  /**
   * Gives up the history before `revision`: reads at earlier revisions fail with `COMPACTED` from now on. The space
   * comes free in the background. What is present stays, and so does what a trigger or a job still needs:
   * `compactedRevision` of the answer may be lower than was asked for.
   *
   * @param revision default: the latest one; that nothing was written since the last time is no error then
   * @throws BalsaError `COMPACTED` (it was done already, up to there or further), `COMPACTION_HELD` (somebody needs all that is
   *   left), `FUTURE_REVISION`, `UPGRADE_PENDING`, and see {@link Client}
   */
  async compact(revision?: number, options: CallOptions = NO_OPTIONS): Promise<CompactResult> {
    let upTo = revision ?? null;
    if (upTo === null) {
      const info = await beforeWriting(this.info(options));
      const { revision: latest, compactedRevision, meta } = info;
      if (latest <= compactedRevision) return { compactedRevision, meta };
      upTo = latest;
    }
    const last = upTo;
    return this.#scope.write(
      options,
      'done',
      () => {
        checkRevision(last);
        return { type: 'compact', revision: last };
      },
      (result, meta) => ({ compactedRevision: result.compactedRevision ?? last, meta }),
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
    this.#shared.leases.close();
    this.#reads.close();
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
    if (item === null) return { ...ABSENT, meta };
    const { modRevision, createRevision, version, lease } = item;
    // Written out: a literal with a spread takes ten times as long, and each get makes one.
    return { value: this.#scope.decode(item), modRevision, createRevision, version, lease, meta };
  }

  /** @throws BalsaError `KEY_TOO_LARGE` */
  #within<Query extends Bounds>(query: Query): Query {
    const bounds = this.#scope.within(query);
    checkReadBounds(bounds, this.#engine.limits);
    return { ...query, ...bounds };
  }

  #toRangeItem(item: KeyValue, meta: Meta, keysOnly: boolean): RangeItem<Out | undefined, Keys> {
    const { modRevision, createRevision, version, lease } = item;
    const key = this.#scope.giveKey(item.key);
    const value = keysOnly ? undefined : this.#scope.decode(item);
    // Written out: a literal with a spread takes ten times as long, and each item makes one.
    return { key, value, modRevision, createRevision, version, lease, meta };
  }

  /** Lets the event loop do what waits. */
  #turn(): Promise<void> {
    return new Promise((resolve) => this.#engine.env.clock.defer(resolve));
  }

  #fetchPage(query: PageQuery, options: KeysOptions, unwanted: AbortSignal): Promise<Page> {
    return new Promise((resolve, reject) => {
      const limits = { unwanted, ...this.#engine.callLimits(options) };
      this.#reads.page(query, limits, resolve, reject);
    });
  }
}

/**
 * Connects over the network, clock and chance that are given: what {@link connect} does with those of
 * this machine, and the simulator with its own.
 *
 * @throws BalsaError see {@link connect}
 */
export async function openClient<In, Out, Keys extends KeyForm>(
  options: ConnectOptions<In, Out, Keys> & { readonly codec: Codec<In, Out> },
  environment: Environment,
): Promise<Client<In, Out, Keys>> {
  const { codec, keys = 'text' } = options;
  if (keys !== 'text' && keys !== 'bytes') throw invalid("keys must be 'text' or 'bytes'");
  const engine = new Engine(environment, toSettings(options));
  try {
    await engine.connect();
  } catch (error) {
    engine.close();
    throw ofToken(asBalsaError(error), options.token);
  }
  const shared = {
    leases: new LeaseKeeper(engine),
    changes: new Changes(engine),
    reads: new ReadRouter(engine),
  };
  const scope = new Scope<In, Out, Keys>({ engine, codec, keys, prefix: NO_PREFIX });
  return new Client<In, Out, Keys>(scope, shared);
}

/** Whoever gave a token and no cluster is told which of them it is about. */
function ofToken(error: BalsaError, token: string | undefined): BalsaError {
  if (token === undefined || error.code !== 'CLUSTER_MISMATCH') return error;
  return new BalsaError(
    error.code,
    `the session token ${token} is of another cluster: ${error.message}`,
    {
      cause: error,
    },
  );
}
