import type { Compare, KeyValue, PutOperation, TxnStep } from '../base/operation.js';
import { notApplied } from './before-writing.js';
import { checkRevision, invalid } from './invalid.js';
import { op } from './op.js';
import type { KeyForm } from './options.js';
import type {
  CasResult,
  DeleteRangeResult,
  DeleteResult,
  Item,
  Key,
  NoOptions,
  Previous,
  PutResult,
} from './results.js';
import { runTransaction, type TransactionOptions } from './run-transaction.js';
import type { Scope } from './scope.js';
import type { Transaction } from './transaction.js';
import { Txn } from './txn.js';
import { putOperation } from './txn-encode.js';
import type {
  CasOptions,
  DeleteOptions,
  DeleteRangeOptions,
  Expected,
  PutOptions,
} from './write-options.js';

const NO_OPTIONS = {};

/** The writes of {@link Client}. */
export class StoreWrites<In, Out, Keys extends KeyForm> {
  readonly #scope: Scope<In, Out, Keys>;

  /** @internal */
  constructor(scope: Scope<In, Out, Keys>) {
    this.#scope = scope;
  }

  /**
   * Sets `key` to `value`. Resolves when a majority of the replicas has it on disk and it is applied.
   * With `returnPrevious` the result has `previous`: what the key held before, or `null`.
   *
   * @throws BalsaError `KEY_EMPTY`, `KEY_TOO_LARGE`, `KEY_RESERVED` (a cell, which `ap` procedures write), `VALUE_TOO_LARGE`,
   *   `LEASE_NOT_FOUND`, `LEASE_FULL`, `QUOTA_EXCEEDED` (of the namespace), `NO_SPACE`, `UPGRADE_PENDING` (with a lease or
   *   `returnPrevious`), `SESSION_EXPIRED` (outcome `unknown`: the cluster had forgotten this client
   *   before it could answer), and see {@link Client}
   * @example
   * ```ts
   * const { revision } = await db.put('greeting', 'hello', { timeoutMs: 2000 });
   * const { previous } = await db.put('greeting', 'hi', { returnPrevious: true });
   * console.log(previous?.value.toString()); // hello
   * ```
   */
  put<const Options extends PutOptions = NoOptions>(
    key: Key,
    value: In,
    options?: Options,
  ): Promise<PutResult & Previous<Options, Item<Out, Keys> | null>> {
    const scope = this.#scope;
    return this.#put(options, (given) => putOperation(scope.key(key), scope.encode(value), given));
  }

  /**
   * A put that keeps the value of `key` (as `ignore_value` of etcd does): it gets a new revision, one more
   * version, and hangs on the lease given, or on none.
   *
   * @throws BalsaError `KEY_NOT_FOUND` (nothing is there to keep), `OVERLOADED` (the touches of this moment keep more
   *   than 64 MiB), and those of {@link Client.put}
   * @example
   * ```ts
   * await db.touch('worker/7', { lease }); // now it goes when the lease goes
   * ```
   */
  touch<const Options extends PutOptions = NoOptions>(
    key: Key,
    options?: Options,
  ): Promise<PutResult & Previous<Options, Item<Out, Keys> | null>> {
    return this.#put(options, (given) => putOperation(this.#scope.key(key), null, given));
  }

  /**
   * Removes `key`. It is no error when there is no such key: `deleted` is false then. With
   * `returnPrevious` the result has `previous`: what was removed, or `null`.
   *
   * @throws BalsaError `KEY_EMPTY`, `KEY_TOO_LARGE`, `SESSION_EXPIRED`, and see {@link Client}
   * @example
   * ```ts
   * const { deleted } = await db.delete('greeting');
   * ```
   */
  delete<const Options extends DeleteOptions = NoOptions>(
    key: Key,
    options?: Options,
  ): Promise<DeleteResult & Previous<Options, Item<Out, Keys> | null>> {
    const scope = this.#scope;
    const given: DeleteOptions = options ?? NO_OPTIONS;
    const { returnPrevious = false } = given;
    return scope.write(
      given,
      'delete',
      () => ({ type: 'delete', key: scope.key(key), returnPrevious }),
      (result, meta) => {
        const done = { deleted: result.deleted > 0, revision: result.revision, meta };
        if (!returnPrevious) return done as typeof done & Previous<Options, never>;
        const previous = scope.itemOrNull(result.previous?.[0]);
        return { previous, ...done } as typeof done & Previous<Options, Item<Out, Keys> | null>;
      },
    );
  }

  /**
   * Removes all keys of a range, in one moment and at one revision. With `returnPrevious` the result has
   * `previous`: all that was removed.
   *
   * @throws BalsaError `RANGE_TOO_LARGE` (more than 10,000 keys: delete in parts), `KEY_TOO_LARGE`,
   *   `INVALID_ARGUMENT` (no range; `from: ''` is all keys), `UPGRADE_PENDING`, `SESSION_EXPIRED`, and
   *   see {@link Client}
   * @example
   * ```ts
   * const { deleted } = await db.deleteRange({ prefix: 'user/ada/' });
   * ```
   */
  deleteRange<const Options extends DeleteRangeOptions>(
    options: Options,
  ): Promise<DeleteRangeResult & Previous<Options, readonly Item<Out, Keys>[]>> {
    const scope = this.#scope;
    const { returnPrevious = false }: DeleteOptions = options;
    return scope.write(
      options,
      'delete',
      () => ({ type: 'delete-range', ...scope.range(options), returnPrevious }),
      (result, meta) => {
        const done = { deleted: result.deleted, revision: result.revision, meta };
        if (!returnPrevious) return done as typeof done & Previous<Options, never>;
        const previous = (result.previous ?? []).map((item) => scope.item(item));
        return { previous, ...done } as typeof done & Previous<Options, readonly Item<Out, Keys>[]>;
      },
    );
  }

  /**
   * Compare and set: writes `key` if it is as expected, in one moment. That it is not is no error but
   * the answer, with what the key holds instead: the next attempt can start from there.
   *
   * @throws BalsaError those of {@link Client.put} (`UPGRADE_PENDING` also without a lease). When the key is not as
   *   expected and what it holds instead cannot be given, with outcome `not-applied`: `OVERLOADED` (the writes of this
   *   moment give too much; try again), `VALUE_NOT_DECODABLE`
   * @example
   * ```ts
   * let { value, modRevision } = await db.get('counter');
   * for (;;) {
   *   const next = String(Number(value ?? 0) + 1);
   *   const result = await db.cas('counter', { expected: { modRevision }, value: next });
   *   if (result.succeeded) break;
   *   value = result.current?.value;
   *   modRevision = result.current?.modRevision ?? 0;
   * }
   * ```
   */
  cas(key: Key, options: CasOptions<In>): Promise<CasResult<Out, Keys>> {
    const scope = this.#scope;
    return scope.write(
      options,
      'txn',
      () => {
        const place = { from: scope.key(key) };
        return {
          type: 'txn',
          compares: [this.#comparison(place, options.expected)],
          success: [this.#casStep(place.from, options)],
          failure: [{ type: 'read', ...place }],
        };
      },
      ({ succeeded, revision, results: [only] }, meta): CasResult<Out, Keys> => {
        if (succeeded) return { succeeded, revision, meta };
        const found = only?.type === 'read' ? only.items[0] : undefined;
        return { succeeded, revision, current: this.#found(found), meta };
      },
    );
  }

  /**
   * Puts a transaction together: conditions, what is done when they all hold, what otherwise. The types
   * of the results follow from the steps.
   *
   * @example
   * ```ts
   * import { compare, op } from 'balsa';
   *
   * const result = await db
   *   .txn()
   *   .when(compare.value('state').equals('idle'), compare.absent('owner'))
   *   .do(op.put('owner', 'me'), op.range({ prefix: 'task/', limit: 10 }))
   *   .otherwise(op.get('owner'))
   *   .commit();
   * if (result.succeeded) console.log(result.results[1].items);
   * else console.log(result.results[0].value);
   * ```
   */
  txn(): Txn<In, Out, Keys> {
    return new Txn<In, Out, Keys>(this.#scope, op.txn());
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
   * @returns what `work` returns, so without `meta`; {@link Client.token} stands for what was read and written
   * @throws BalsaError `TXN_CONFLICT` (changed by others each time, also after `retries`; or history that it read was
   *   compacted each time), `TXN_TOO_LARGE` (more than 10,000 keys and ranges that were read or written),
   *   `RANGE_TOO_LARGE` (a range that it read has more than 10,000 keys), `BATCH_TOO_LARGE` (too many bytes), `OVERLOADED`
   *   (also: the writes of this moment look at too much; try again), those of {@link Client.put} with outcome
   *   `not-applied` or, of the commit, `unknown` (it is not run again then), and of its reads `SESSION_BEHIND`
   *   and `VALUE_NOT_DECODABLE`, with outcome `not-applied`. What `work` throws is thrown as it is.
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

  // -------------------------------------------------------------------------------------------

  /** `previous` is there exactly when the options ask for it, as the type says. */
  #put<Options extends PutOptions>(
    options: Options | undefined,
    operation: (options: PutOptions) => PutOperation,
  ): Promise<PutResult & Previous<Options, Item<Out, Keys> | null>> {
    const scope = this.#scope;
    const given: PutOptions = options ?? NO_OPTIONS;
    return scope.write(
      given,
      'put',
      () => operation(given),
      ({ revision, previous }, meta) => {
        const done =
          given.returnPrevious === true
            ? { revision, meta, previous: scope.itemOrNull(previous) }
            : { revision, meta };
        return done as PutResult & Previous<Options, Item<Out, Keys> | null>;
      },
    );
  }

  /** What a key holds instead: nothing was written. */
  #found(item: KeyValue | undefined): Item<Out, Keys> | null {
    try {
      return this.#scope.itemOrNull(item);
    } catch (error) {
      throw notApplied(error);
    }
  }

  #comparison(place: { from: Uint8Array }, expected: Expected<In>): Compare {
    const is = { operator: '=', from: place.from } as const;
    if (expected === 'absent') return { target: 'modRevision', value: 0, ...is };
    if (typeof expected === 'object' && expected !== null) {
      if ('value' in expected) {
        return { target: 'value', value: this.#scope.encode(expected.value), ...is };
      }
      const target = 'version' in expected ? 'version' : 'modRevision';
      const value = 'version' in expected ? expected.version : expected.modRevision;
      checkRevision(value);
      return { target, value, ...is };
    }
    throw invalid("expected must be 'absent', or { modRevision }, { version } or { value }");
  }

  #casStep(key: Uint8Array, options: CasOptions<In>): TxnStep {
    if (options.delete === true) return { type: 'delete', key };
    const { lease } = options;
    return putOperation(key, this.#scope.encode(options.value), { lease });
  }
}
