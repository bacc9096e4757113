import { compareBytes } from '../base/bytes.js';
import { BalsaError } from '../base/errors.js';
import type { KeyValue, TxnOperation } from '../base/operation.js';
import { checkKey, checkOperation } from '../base/operation-check.js';
import { fetchPage } from './fetch-page.js';
import type { GetOpResult } from './op-types.js';
import { type CallOptions, invalid, type KeyForm, type RangeOptions } from './options.js';
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
  /** The revision of all reads: that of the first one. */
  #snapshot: number | null = null;
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
   * @throws BalsaError those of {@link Client.get}
   */
  async get(key: Key): Promise<GetOpResult<Out>> {
    this.#check();
    const scope = this.#scope;
    const bytes = scope.key(key);
    checkKey(bytes, scope.engine.limits);
    const own = this.#writes.get(bytes);
    if (own !== undefined) return toGetOpResult(scope, stagedItem(own));
    const item = await this.#atSnapshot(async (revision) => {
      const found = await this.#fetch(bytes, revision);
      return { revision: found.meta.revision, result: found.item };
    });
    this.#reads.key(bytes, item);
    return toGetOpResult(scope, item);
  }

  /**
   * Reads keys in order, page by page. Writes made while it is read are not seen by it.
   *
   * @throws BalsaError (from the iteration) those of {@link Client.range}
   */
  async *range(options: TransactionRange = {}): AsyncGenerator<Item<Out, Keys>, void, undefined> {
    const limit = toLimit({ limit: options.limit });
    let given = 0;
    if (limit === 0) return;
    for await (const item of this.#items(options, false)) {
      yield this.#scope.item(item);
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
      this.#snapshot === null ? [] : this.#reads.compares(this.#snapshot, keyBytesMax);
    return { type: 'txn', compares, success: this.#writes.steps(), failure: [] };
  }

  #check(): void {
    if (this.#over) throw invalid('the transaction is over: await all that it does');
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
    if (bounds.to !== null && compareBytes(bounds.from, bounds.to) >= 0) return;
    const staged = this.#writes.within(bounds, reverse);
    const read = this.#reads.range(bounds, reverse);
    const query: PageQuery = {
      ...bounds,
      ...{ reverse, keysMax: PAGE_KEYS, revision: null, filter: { keysOnly } },
      ...{ consistency: 'linearizable', bound: 0 },
    };
    const stored = readRange((q, unwanted) => this.#page(q, unwanted), query, {});
    const onSeen = (item: KeyValue): void => read.seen(item);
    const merged = merge(stored, staged, { reverse, onSeen, onEnd: () => read.ended() });
    for await (const item of merged) {
      yield item;
      this.#check();
    }
  }

  async #page(query: PageQuery, unwanted: AbortSignal): Promise<Page> {
    return this.#atSnapshot(async (revision) => {
      const level = { consistency: revision === null ? 'linearizable' : 'any', revision } as const;
      const page = await fetchPage(
        this.#scope.engine,
        { ...query, ...level },
        this.#calls,
        unwanted,
      );
      return { revision: page.revision, result: page };
    });
  }

  #fetch(
    key: Uint8Array,
    revision: number | null,
  ): Promise<{ readonly item: KeyValue | null; readonly meta: Meta }> {
    return new Promise((resolve, reject) => {
      const { engine } = this.#scope;
      const limits = engine.callLimits(this.#calls);
      // A state at a given revision is the same at every replica that has it.
      const consistency = revision === null ? 'linearizable' : 'any';
      const query = { key, consistency, bound: 0, revision } as const;
      const deliver = (item: KeyValue | null, meta: Meta): void => resolve({ item, meta });
      engine.get(new PendingGet({ query, limits }, deliver, reject), limits);
    });
  }

  /** Reads at the revision of the first read; `read` is given `null` when it is that one. */
  async #atSnapshot<Result>(
    read: (
      revision: number | null,
    ) => Promise<{ readonly revision: number; readonly result: Result }>,
  ): Promise<Result> {
    // Whoever fails as the first one leaves the place to the next.
    while (this.#snapshot === null && this.#first !== null) await this.#first.catch(() => {});
    try {
      const reading = read(this.#snapshot);
      if (this.#snapshot === null) this.#first = reading;
      const { revision, result } = await reading;
      this.#snapshot ??= revision;
      return result;
    } catch (error) {
      if (error instanceof BalsaError && error.code === 'COMPACTED') this.#compacted = true;
      throw error;
    } finally {
      this.#first = null;
    }
  }
}
