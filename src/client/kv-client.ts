import { asBalsaError, BalsaError } from '../base/errors.js';
import type { KeyValue } from '../base/operation.js';
import { checkKey, checkOperation } from '../base/operation-check.js';
import type { SnapshotPart } from '../base/snapshot-codec.js';
import type { ReplicaStatus } from '../rpc/protocol.js';
import { ClusterAdmin } from './cluster-admin.js';
import { type Codec, decodeKeyText, decodeValue, encodeValue } from './codec.js';
import { checkConsistency, type ReadTarget, toReadTarget } from './consistency.js';
import { Engine } from './engine.js';
import type { Environment } from './environment.js';
import {
  type CallOptions,
  type ConnectOptions,
  invalid,
  type KeyForm,
  type KeysOnlyOptions,
  type KeysOptions,
  type RangeOptions,
  type ReadOptions,
  toSettings,
} from './options.js';
import {
  type DeleteResult,
  type Meta,
  PendingDelete,
  PendingPut,
  type PutResult,
} from './pending.js';
import { type Page, type PageQuery, PendingRead } from './pending-read.js';
import { countRange, readRange, toCountQuery, toPageQuery } from './range.js';
import { StatusRequest } from './read-request.js';
import { ReadRouter } from './read-router.js';
import { Watch } from './watch.js';
import { toWatchQuery, type WatchOptions } from './watch-options.js';

/** A key as text (its UTF-8 bytes count) or as bytes. */
export type Key = string | Uint8Array;

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
  readonly meta: Meta;
}

/** One key of a range. */
export interface RangeItem<Out, Keys extends KeyForm> {
  readonly key: Keys extends 'text' ? string : Buffer;
  readonly value: Out;
  readonly modRevision: number;
  readonly createRevision: number;
  readonly version: number;
  readonly meta: Meta;
}

export interface CountResult {
  readonly count: number;
  /** As of this revision. */
  readonly revision: number;
  readonly meta: Meta;
}

const NO_OPTIONS = {};

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
  implements AsyncDisposable
{
  /** The members of the cluster, and changes of them. */
  readonly cluster: ClusterAdmin;
  readonly #engine: Engine;
  readonly #reads: ReadRouter;
  readonly #codec: Codec<In, Out>;
  readonly #keys: KeyForm;

  /** @internal */
  constructor(engine: Engine, options: { readonly codec: Codec<In, Out>; readonly keys: KeyForm }) {
    this.cluster = new ClusterAdmin(engine);
    this.#engine = engine;
    this.#reads = new ReadRouter(engine);
    this.#codec = options.codec;
    this.#keys = options.keys;
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
   * Sets `key` to `value`. Resolves when a majority of the replicas has it on disk and it is applied.
   *
   * @throws BalsaError `KEY_EMPTY`, `KEY_TOO_LARGE`, `VALUE_TOO_LARGE`, `SESSION_EXPIRED` (outcome
   *   `unknown`: the cluster had forgotten this client before it could answer), and see {@link Client}
   * @example
   * ```ts
   * const { revision } = await db.put('greeting', 'hello', { timeoutMs: 2000 });
   * ```
   */
  put(key: Key, value: In, options: CallOptions = NO_OPTIONS): Promise<PutResult> {
    // What is thrown in here rejects the promise.
    return new Promise((resolve, reject) => {
      const limits = this.#engine.callLimits(options);
      const encoded = encodeValue(this.#codec, value);
      const call = new PendingPut({ key: keyBytes(key), value: encoded, limits }, resolve, reject);
      checkOperation(call, this.#engine.limits);
      this.#engine.write(call, limits);
    });
  }

  /**
   * Removes `key`. It is no error when there is no such key: `deleted` is false then.
   *
   * @throws BalsaError `KEY_EMPTY`, `KEY_TOO_LARGE`, `SESSION_EXPIRED`, and see {@link Client}
   * @example
   * ```ts
   * const { deleted } = await db.delete('greeting');
   * ```
   */
  delete(key: Key, options: CallOptions = NO_OPTIONS): Promise<DeleteResult> {
    return new Promise((resolve, reject) => {
      const limits = this.#engine.callLimits(options);
      const call = new PendingDelete({ key: keyBytes(key), limits }, resolve, reject);
      checkOperation(call, this.#engine.limits);
      this.#engine.write(call, limits);
    });
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
      const query = { key: keyBytes(key), ...this.#target(options) };
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
    const query = toPageQuery(options, this.#target(options));
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
    const query = toCountQuery(options, this.#target(options));
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
    return new Watch<Out, Keys>(options, {
      query: toWatchQuery(options, engine.limits),
      limits,
      codec: this.#codec,
      keys: this.#keys,
      host: {
        begin: (subscription) => engine.watch(subscription),
        ended: (subscription) => engine.unwatch(subscription),
        taken: (subscription) => engine.watchTaken(subscription),
      },
    });
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
   * Closes the client. Calls without an answer fail with `CLIENT_CLOSED`; await them first.
   */
  close(): Promise<void> {
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
    if (item === null) {
      return { value: undefined, modRevision: 0, createRevision: 0, version: 0, meta };
    }
    const { key, modRevision, createRevision, version } = item;
    const value = decodeValue(this.#codec, key, item.value);
    return { value, modRevision, createRevision, version, meta };
  }

  #toRangeItem(item: KeyValue, meta: Meta, keysOnly: boolean): RangeItem<Out | undefined, Keys> {
    const { modRevision, createRevision, version } = item;
    const key = this.#keys === 'text' ? decodeKeyText(item.key) : Buffer.from(item.key);
    const value = keysOnly ? undefined : decodeValue(this.#codec, item.key, item.value);
    // Keys is the type of #keys; the compiler cannot see that.
    const typedKey = key as RangeItem<Out, Keys>['key'];
    return { key: typedKey, value, modRevision, createRevision, version, meta };
  }

  #fetchPage(query: PageQuery, options: KeysOptions, unwanted: AbortSignal): Promise<Page> {
    return new Promise((resolve, reject) => {
      const limits = { ...this.#engine.callLimits(options), unwanted };
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
  return new Client<In, Out, Keys>(engine, { codec, keys });
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

function keyBytes(key: Key): Uint8Array {
  if (typeof key === 'string') return Buffer.from(key, 'utf8');
  if (key instanceof Uint8Array) return key;
  throw invalid(
    `a key must be a string or a Uint8Array, found ${key === null ? 'null' : typeof key}`,
  );
}
