import { compareBytes } from '../base/bytes.js';
import { BalsaError } from '../base/errors.js';
import type { KeyValue, TxnOperation } from '../base/operation.js';
import { checkKey, checkOperation, checkReadBounds } from '../base/operation-check.js';
import { beforeWriting, notApplied } from './before-writing.js';
import type { ReadTarget } from './consistency.js';
import { fetchPage } from './fetch-page.js';
import { invalid } from './invalid.js';
import type { GetOpResult } from './op-types.js';
import type { CallOptions, KeyForm, RangeOptions } from './options.js';
import type { Meta } from './pending.js';
import { type Page, type PageQuery, PendingGet } from './pending-read.js';
import { readRange, toLimit } from './range.js';
import type { Item, Key } from './results.js';
import type { Scope } from './scope.js';
import { merge, Overlay, stagedItem } from './transaction-overlay.js';
import { ReadSet } from './transaction-reads.js';
import { putOperation, toGetOpResult } from './txn-encode.js';
import type { KeyRange, PutOpOptions } from './write-options.js';

/** Which keys {@link Transaction.range} gives: all when neither prefix nor from nor to is there. */
export type TransactionRange = Pick<RangeOptions, 'prefix' | 'from' | 'to' | 'limit' | 'reverse'>;

const NO_OPTIONS = {};
const PAGE_KEYS = 1000;
const LATEST: ReadTarget = { consistency: 'linearizable', bound: 0, revision: null };

/** What was read, and at which revision. */
interface ReadAt<Result> {
  readonly revision: number;
  readonly meta: Meta;
  readonly result: Result;
}

/**
 * What happens between the first read and the commit of {@link Client.transaction}. All reads see the
 * store as it was at the first one, with what the transaction itself has written over it; writes are
 * kept until the commit.
 */
export class Transaction<In, Out, Keys extends KeyForm> {
  readonly #scope: Scope<In, Out, Keys>;
  readonly #calls: CallOptions;
  readonly #reads = new ReadSet();
  readonly #writes = new Overlay();
  /** Where all reads are made: at the revision of the first one. */
  #snapshot: (ReadTarget & { readonly revision: number }) | null = null;
  /** The first read, while it is under way: others wait to know the revision. */
  #first: Promise<unknown> | null = null;
  #over = false;
  #compacted = false;

  /** @internal */
  constructor(scope: Scope<In, Out, Keys>, calls: CallOptions) {
    this.#scope = scope;
    this.#calls = calls;
  }

  /**
   * Reads `key`. What this transaction has put has no revisions yet: they are 0.
   *
   * @throws BalsaError those of {@link Client.get}, with outcome `not-applied`: nothing of the transaction was written
   */
  get(key: Key): Promise<GetOpResult<Out>> {
    return beforeWriting(this.#get(key));
  }

  async #get(key: Key): Promise<GetOpResult<Out>> {
    this.#check();
    const scope = this.#scope;
    const bytes = scope.key(key);
    checkKey(bytes, scope.engine.limits);
    const own = this.#writes.get(bytes);
    if (own !== undefined) return toGetOpResult(scope, stagedItem(own));
    const item = await this.#atSnapshot((target) => this.#fetch(bytes, target));
    this.#reads.key(bytes, item);
    return toGetOpResult(scope, item);
  }

  /**
   * Reads keys in order, page by page. Writes made while it is read are not seen by it.
   *
   * @throws BalsaError (from the iteration) those of {@link Client.range}, with outcome `not-applied`
   */
  async *range(options: TransactionRange = {}): AsyncGenerator<Item<Out, Keys>, void, undefined> {
    const limit = toLimit({ limit: options.limit });
    let given = 0;
    if (limit === 0) return;
    for await (const item of this.#items(options, false)) {
      yield this.#decoded(item);
      given += 1;
      if (given === limit) return;
    }
  }

  /**
   * Sets `key` when the transaction is committed.
   *
   * @throws BalsaError `KEY_EMPTY`, `KEY_TOO_LARGE`, `VALUE_TOO_LARGE`, `INVALID_ARGUMENT`
   */
  put(key: Key, value: In, options: Omit<PutOpOptions, 'returnPrevious'> = NO_OPTIONS): void {
    this.#check();
    const scope = this.#scope;
    const { lease, ignoreLease } = options;
    const write = putOperation(scope.key(key), scope.encode(value), { lease, ignoreLease });
    checkOperation(write, scope.engine.limits);
    this.#writes.set(write);
  }

  /**
   * Removes `key` when the transaction is committed.
   *
   * @throws BalsaError `KEY_EMPTY`, `KEY_TOO_LARGE`
   */
  delete(key: Key): void {
    this.#check();
    const write = { type: 'delete', key: this.#scope.key(key) } as const;
    checkOperation(write, this.#scope.engine.limits);
    this.#writes.set(write);
  }

  /**
   * Removes all keys of a range, as they are now for this transaction.
   *
   * @returns how many
   * @throws BalsaError those of {@link Transaction.range}
   */
  async deleteRange(range: KeyRange): Promise<number> {
    // Whoever names nothing has not meant all that there is.
    this.#scope.range(range);
    let deleted = 0;
    for await (const { key } of this.#items(range, true)) {
      this.#writes.set({ type: 'delete', key });
      deleted += 1;
    }
    return deleted;
  }

  // -------------------------------------------------------------------------------------------

  /** @internal A revision that was read at is no longer kept: begin again with a later one. */
  get compacted(): boolean {
    return this.#compacted;
  }

  /** @internal Nothing may be asked of it any more. `null`: there is nothing to write, so nothing to commit. */
  end(): TxnOperation | null {
    this.#over = true;
    if (this.#writes.size === 0) return null;
    const { keyBytesMax } = this.#scope.engine.limits;
    const compares =
      this.#snapshot === null ? [] : this.#reads.compares(this.#snapshot.revision, keyBytesMax);
    return { type: 'txn', compares, success: this.#writes.steps(), failure: [] };
  }

  #check(): void {
    if (this.#over) throw invalid('the transaction is over: await all that it does');
  }

  #decoded(item: KeyValue): Item<Out, Keys> {
    try {
      return this.#scope.item(item);
    } catch (error) {
      throw notApplied(error);
    }
  }

  /** The items of the store's range with own writes over them. */
  async *#items(
    range: TransactionRange,
    keysOnly: boolean,
  ): AsyncGenerator<KeyValue, void, undefined> {
    this.#check();
    const { prefix, reverse = false } = range;
    const from = prefix === undefined && range.to === undefined ? (range.from ?? '') : range.from;
    const bounds = this.#scope.range({ ...range, from });
    checkReadBounds(bounds, this.#scope.engine.limits);
    if (bounds.to !== null && compareBytes(bounds.from, bounds.to) >= 0) return;
    const staged = this.#writes.within(bounds, reverse);
    const read = this.#reads.range(bounds, reverse);
    const query: PageQuery = {
      ...bounds,
      ...LATEST,
      ...{ reverse, keysMax: PAGE_KEYS, filter: { keysOnly } },
    };
    const fetch = (q: PageQuery, unwanted: AbortSignal): Promise<Page> =>
      beforeWriting(this.#page(q, unwanted));
    const stored = readRange(fetch, query, {});
    const onSeen = (item: KeyValue): void => read.seen(item);
    const merged = merge(stored, staged, { reverse, onSeen, onEnd: () => read.ended() });
    for await (const item of merged) {
      yield item;
      this.#check();
    }
  }

  #page(query: PageQuery, unwanted: AbortSignal): Promise<Page> {
    const { engine } = this.#scope;
    return this.#atSnapshot(async (target) => {
      const page = await fetchPage(engine, { ...query, ...target }, this.#calls, unwanted);
      return { revision: page.revision, meta: page.meta, result: page };
    });
  }

  #fetch(key: Uint8Array, target: ReadTarget): Promise<ReadAt<KeyValue | null>> {
    return new Promise((resolve, reject) => {
      const { engine } = this.#scope;
      const limits = engine.callLimits(this.#calls);
      const deliver = (result: KeyValue | null, meta: Meta): void =>
        resolve({ revision: meta.revision, meta, result });
      engine.get(new PendingGet({ query: { key, ...target }, limits }, deliver, reject), limits);
    });
  }

  /** Reads at the revision of the first read. */
  async #atSnapshot<Result>(
    read: (target: ReadTarget) => Promise<ReadAt<Result>>,
  ): Promise<Result> {
    // Whoever fails as the first one leaves the place to the next.
    while (this.#snapshot === null && this.#first !== null) await this.#first.catch(() => {});
    try {
      const reading = read(this.#snapshot ?? LATEST);
      if (this.#snapshot === null) this.#first = reading;
      const { revision, meta, result } = await reading;
      // A state at a given revision is the same at every replica that has come so far.
      this.#snapshot ??= { consistency: 'session', bound: meta.appliedIndex, revision };
      return result;
    } catch (error) {
      if (error instanceof BalsaError && error.code === 'COMPACTED') this.#compacted = true;
      throw error;
    } finally {
      this.#first = null;
    }
  }
}
