import { asBalsaError, type BalsaError } from '../base/errors.js';
import type { KeyValue } from '../base/operation.js';
import type { WatchEvent as WireEvent } from '../rpc/protocol.js';
import { whenAborted } from './abort.js';
import { endedBy } from './ended-by.js';
import { invalid } from './invalid.js';
import type { KeyForm } from './options.js';
import { type CallLimits, cancelled, type Meta } from './pending.js';
import type { Scope } from './scope.js';
import { type RevisionEvents, Subscription } from './subscription.js';
import type { WatchOptions, WatchQuery } from './watch-options.js';

/** What a key held before an event. */
export interface PreviousValue<Out> {
  readonly value: Out;
  readonly modRevision: number;
  readonly createRevision: number;
  readonly version: number;
  /** The lease that it hung on; 0: none. */
  readonly lease: number;
}

interface EventOf<Out, Keys extends KeyForm> {
  readonly key: Keys extends 'text' ? string : Buffer;
  /** The revision that wrote it. Events of one transaction share it. */
  readonly revision: number;
  /** With `withPrevious`: what the key held before; `undefined`: nothing, or it is no longer kept. */
  readonly previous: PreviousValue<Out> | undefined;
}

/** One write of one key. */
export type WatchEvent<Out, Keys extends KeyForm> =
  | (EventOf<Out, Keys> & {
      readonly type: 'put';
      readonly value: Out;
      /** Equal to `revision` when this put has created the key. */
      readonly createRevision: number;
      /** Puts since the key was created: 1 for the one that did. */
      readonly version: number;
      /** The lease that it hangs on; 0: none. */
      readonly lease: number;
    })
  | (EventOf<Out, Keys> & { readonly type: 'delete'; readonly value: undefined });

/** All events of one revision. */
export interface WatchBatch<Out, Keys extends KeyForm> {
  /** Everything through this revision has been given. */
  readonly revision: number;
  /** Empty: progress. */
  readonly events: readonly WatchEvent<Out, Keys>[];
}

/** What a watch needs of its client. */
export interface WatchHost {
  /** @throws BalsaError `OVERLOADED`, `CLIENT_CLOSED` */
  readonly begin: (subscription: Subscription) => void;
  readonly ended: (subscription: Subscription) => void;
  /** The caller has it now. */
  readonly taken: (subscription: Subscription, revision: RevisionEvents) => void;
}

/**
 * Events of a key, a prefix or a range; made by {@link Client.watch}. Iterate it once: it gives each event once,
 * in order, across disconnects and changes of leader. Leaving the loop ends the watch.
 *
 * From the iteration come `COMPACTED` (the history that it would have to go on with is no longer kept:
 * `details.compactedRevision` is the oldest one; read the range, then watch behind the revision of that read),
 * `CANCELLED` (by `signal`), `CLIENT_CLOSED`, `VALUE_NOT_DECODABLE`; and, if the watch cannot be established
 * within `timeoutMs`, `TIMEOUT`, `NO_QUORUM` or `UNREACHABLE`.
 */
export class Watch<Out = Buffer, Keys extends KeyForm = 'text'>
  implements AsyncIterable<WatchEvent<Out, Keys>>, AsyncDisposable
{
  /** A replica has it: from now on nothing is missed. Rejects when that does not come about. */
  readonly ready: Promise<Meta>;
  readonly #options: WatchOptions;
  readonly #scope: Scope<never, Out, Keys>;
  readonly #host: WatchHost;
  readonly #subscription: Subscription;
  #revision: number | null = null;
  #isIterated = false;

  /** @internal */
  constructor(
    options: WatchOptions,
    parts: {
      readonly query: WatchQuery;
      readonly limits: CallLimits;
      readonly scope: Scope<never, Out, Keys>;
      readonly host: WatchHost;
    },
  ) {
    const { limits, query, host } = parts;
    this.#options = options;
    this.#scope = parts.scope;
    this.#host = host;
    let isReady: (meta: Meta) => void = () => {};
    let isOver: (error: BalsaError) => void = () => {};
    this.ready = new Promise((resolve, reject) => {
      isReady = resolve;
      isOver = reject;
    });
    // Whoever iterates is told there; nobody needs to wait for `ready`.
    this.ready.catch(() => {});
    let forgetSignal = (): void => {};
    this.#subscription = new Subscription({
      query,
      limits,
      onReady: isReady,
      onLagging: (notice) => this.#tellUser(() => options.onLagging?.(notice)),
      onEnd: (error) => {
        forgetSignal();
        host.ended(this.#subscription);
        isOver(error ?? cancelled('the watch was closed'));
      },
    });
    const { signal } = limits;
    if (signal !== undefined) {
      forgetSignal = whenAborted(signal, () => this.#subscription.end(cancelled(signal.reason)));
    }
    host.begin(this.#subscription);
  }

  /** Everything through this revision has been given to the iteration; `null`: nothing yet. */
  get revision(): number | null {
    return this.#revision;
  }

  /**
   * The events by revision: all those of one transaction together.
   * @example
   * ```ts
   * for await (const { revision, events } of db.watch({ prefix: 'user/' }).batches()) {
   *   await save(revision, events); // to go on later: fromRevision: revision + 1
   * }
   * ```
   */
  batches(): AsyncGenerator<WatchBatch<Out, Keys>, void, undefined> {
    return endedBy(this.#batches(), () => this.#subscription.end(null));
  }

  async *#batches(): AsyncGenerator<WatchBatch<Out, Keys>, void, undefined> {
    if (this.#isIterated) throw invalid('a watch can be iterated once only; make another one');
    this.#isIterated = true;
    const subscription = this.#subscription;
    try {
      for (;;) {
        const next = await subscription.take();
        if (next === null) return;
        this.#host.taken(subscription, next);
        const batch = this.#toBatch(next);
        this.#revision = Math.max(next.revision, this.#revision ?? 0);
        if (next.events.length > 0) yield batch;
        else {
          this.#options.onProgress?.(next.revision);
          if (this.#options.progress === true) yield batch;
        }
      }
    } finally {
      subscription.end(null);
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<WatchEvent<Out, Keys>, void, undefined> {
    return endedBy(this.#events(), () => this.#subscription.end(null));
  }

  async *#events(): AsyncGenerator<WatchEvent<Out, Keys>, void, undefined> {
    for await (const { events } of this.#batches()) yield* events;
  }

  /** Ends the watch, and the iteration with it. */
  close(): Promise<void> {
    this.#subscription.end(null);
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // -------------------------------------------------------------------------------------------

  /** What a callback of the caller throws ends his watch, and nothing else. */
  #tellUser(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#subscription.fail(asBalsaError(error));
    }
  }

  #toBatch({ revision, events }: RevisionEvents): WatchBatch<Out, Keys> {
    return { revision, events: events.map((event) => this.#toEvent(event)) };
  }

  #toEvent({ type, item, previous }: WireEvent): WatchEvent<Out, Keys> {
    const { modRevision: revision, createRevision, version, lease } = item;
    const common = {
      key: this.#scope.giveKey(item.key),
      revision,
      previous: previous === null ? undefined : this.#toPrevious(previous),
    };
    if (type === 'delete') return { type, ...common, value: undefined };
    const value = this.#scope.decode(item);
    return { type, ...common, value, createRevision, version, lease };
  }

  #toPrevious(item: KeyValue): PreviousValue<Out> {
    const { modRevision, createRevision, version, lease } = item;
    const value = this.#scope.decode(item);
    return { value, modRevision, createRevision, version, lease };
  }
}
