import type { KeyValue } from '../base/operation.js';
import { Held } from './lock.js';
import type { CallOptions, KeyForm } from './options.js';
import type { Meta } from './pending.js';
import { type Coordination, lost, type Turn, type TurnOptions, TurnQueue } from './queue-place.js';
import type { Scope } from './scope.js';

/** Where the keys of elections are, below the prefix of the namespace. */
const ELECTIONS = '_election';

const NO_OPTIONS = {};

/** Options of {@link Election.campaign}. */
export interface CampaignOptions extends TurnOptions {}

/** Who leads. */
export interface Leader<Out = Buffer> {
  /** What it said in its campaign, or proclaimed since. */
  readonly value: Out;
  /** Higher with every leader. */
  readonly fencingToken: number;
  /** Revision at which the value was put. */
  readonly modRevision: number;
  /** The lease that its leadership hangs on. */
  readonly lease: number;
  readonly meta: Meta;
}

/** The leadership of who was elected; made by {@link Election.campaign}. */
export class Leadership<In = string | Uint8Array> extends Held {
  readonly #scope: Scope<In, unknown, KeyForm>;
  readonly #what: string;
  readonly #turn: Turn;

  /** @internal */
  constructor(scope: Scope<In, unknown, KeyForm>, what: string, turn: Turn) {
    super(what, turn);
    this.#scope = scope;
    this.#what = what;
    this.#turn = turn;
  }

  /**
   * Tells the others another value, without an election.
   *
   * @throws BalsaError `LOCK_LOST` (somebody else leads by now), and those of {@link Client.put}
   */
  async proclaim(value: In, options: CallOptions = NO_OPTIONS): Promise<void> {
    const scope = this.#scope;
    const { key, fencingToken, lease } = this.#turn;
    const succeeded = await scope.write(
      options,
      'txn',
      () => ({
        type: 'txn',
        compares: [{ from: key, operator: '=', target: 'createRevision', value: fencingToken }],
        success: [{ type: 'put', key, value: scope.encode(value), lease: lease.id }],
        failure: [],
      }),
      (result) => result.succeeded,
    );
    if (!succeeded) throw lost(this.#what);
  }

  /** Gives it up: the next candidate leads. The same as `release()`. */
  resign(options: CallOptions = NO_OPTIONS): Promise<void> {
    return this.release(options);
  }
}

/** An election among the clients of a cluster; made by {@link Client.election}. */
export class Election<In = string | Uint8Array, Out = Buffer> {
  readonly name: string;
  readonly #scope: Scope<In, Out, KeyForm>;
  readonly #queue: TurnQueue;

  /** @internal */
  constructor(scope: Scope<In, Out, KeyForm>, coordination: Coordination, name: string) {
    this.name = name;
    this.#scope = scope;
    this.#queue = new TurnQueue(scope, coordination, {
      what: 'leadership',
      folder: ELECTIONS,
      name,
    });
  }

  /**
   * Becomes a candidate and waits to lead: those who came earlier lead first.
   *
   * @param value what the others shall know of this leader, an address for example
   * @throws BalsaError `TIMEOUT` (others were seen to lead, and still did when `timeoutMs` had passed; or the cluster
   *   was too slow), `NO_QUORUM` (no majority could be asked who leads), and those of {@link Client.lock}
   */
  async campaign(value: In, options: CampaignOptions = NO_OPTIONS): Promise<Leadership<In>> {
    const turn = await this.#queue.take(this.#scope.encode(value), { ...options, waits: true });
    if (turn === null) throw lost(this.#queue.what);
    return new Leadership(this.#scope, this.#queue.what, turn);
  }

  /**
   * Who leads now; `null`: nobody.
   *
   * @throws BalsaError `VALUE_NOT_DECODABLE`, and see {@link Client}
   */
  async leader(options: CallOptions = NO_OPTIONS): Promise<Leader<Out> | null> {
    const { items, meta } = await this.#queue.read(options);
    return this.#toLeader(first(items), meta);
  }

  /**
   * Tells who leads, now and whenever it changes: another leader, another value, or nobody (`null`). A
   * leader that is gone before it was seen is not told. `break`, or aborting `signal`, ends it.
   *
   * @throws BalsaError (from the iteration) `VALUE_NOT_DECODABLE`, `CLIENT_CLOSED`, and see {@link Client}
   * @example
   * ```ts
   * for await (const leader of db.election('billing').observe()) {
   *   console.log(leader === null ? 'nobody leads' : leader.value.toString());
   * }
   * ```
   */
  async *observe(
    options: { readonly signal?: AbortSignal | undefined } = NO_OPTIONS,
  ): AsyncGenerator<Leader<Out> | null, void, undefined> {
    const queue = this.#queue;
    const signal = options.signal ?? new AbortController().signal;
    let told: string | null = null;
    while (!signal.aborted) {
      // No time limit: what cannot be told now is told when the cluster is there again.
      const found = await queue.read({ signal, timeoutMs: 0 }).catch((error: unknown) => {
        if (signal.aborted) return null;
        throw error;
      });
      if (found === null) return;
      const { items, revision, meta } = found;
      const item = first(items);
      const state = item === null ? '' : `${item.createRevision} ${item.modRevision}`;
      if (state !== told) {
        told = state;
        yield this.#toLeader(item, meta);
      }
      await queue.changes.next(queue.bounds, revision, signal);
    }
  }

  #toLeader(item: KeyValue | null, meta: Meta): Leader<Out> | null {
    if (item === null) return null;
    const { createRevision: fencingToken, modRevision, lease } = item;
    return { value: this.#scope.decode(item), fencingToken, modRevision, lease, meta };
  }
}

function first(items: readonly KeyValue[]): KeyValue | null {
  let found: KeyValue | null = null;
  for (const item of items) {
    if (found === null || item.createRevision < found.createRevision) found = item;
  }
  return found;
}
