import { asBalsaError, type BalsaError } from '../base/errors.js';
import type { KeyValue } from '../base/operation.js';
import type { Consistency } from '../rpc/protocol.js';
import type { Engine } from './engine.js';
import { MemberPool, type PooledMember } from './member-pool.js';
import type { CallLimits, Meta } from './pending.js';
import {
  type GetQuery,
  type Page,
  type PageQuery,
  PendingGet,
  PendingRead,
} from './pending-read.js';
import { PageRequest, type ReadRequest } from './read-request.js';

/** A member that is silent for so long is left, and the read asked elsewhere. */
const PATIENCE_MS = 1000;

type Reject = (error: BalsaError) => void;

/** Who is told, and until when. */
interface Asked<Answer> {
  readonly limits: CallLimits;
  readonly deliver: (answer: Answer, meta: Meta) => void;
  readonly reject: Reject;
}

/** A read that may be asked at several replicas, one after the other. */
interface Routed {
  readonly limits: CallLimits;
  readonly reject: Reject;
  readonly ask: (engine: Engine, limits: CallLimits, reject: Reject) => void;
}

/**
 * Chooses the replica for each read: that of the client's main link, or with `readFrom: 'spread'` the
 * members in turn. A read that fails at one member goes to the next, and when none is left to the main
 * link, which tries until the time is up.
 */
export class ReadRouter {
  readonly #home: Engine;
  readonly #pool: MemberPool | null;
  #closed = false;

  constructor(home: Engine) {
    this.#home = home;
    this.#pool = home.settings.readFrom === 'spread' ? new MemberPool(home) : null;
  }

  /** @throws BalsaError `OVERLOADED` */
  get(
    query: GetQuery,
    limits: CallLimits,
    deliver: (item: KeyValue | null, meta: Meta) => void,
    reject: Reject,
  ): void {
    this.#route(query.consistency, {
      limits,
      reject,
      ask: (engine, within, failed) =>
        engine.get(new PendingGet({ query, limits: within }, deliver, failed), within),
    });
  }

  /**
   * @param unwanted aborted when nobody waits for the answer any more
   * @throws BalsaError `OVERLOADED`
   */
  page(
    query: PageQuery,
    limits: CallLimits & { readonly unwanted: AbortSignal },
    deliver: (page: Page) => void,
    reject: Reject,
  ): void {
    const { unwanted } = limits;
    this.#route(query.consistency, {
      limits,
      reject,
      ask: (engine, within, failed) => {
        const call = new PendingRead<Omit<Page, 'meta'>>(
          within,
          (page, meta) => deliver({ meta, ...page }),
          failed,
        );
        engine.ask(new PageRequest(query, call), call, { unwanted, ...within });
      },
    });
  }

  /**
   * Any other request that several replicas may serve.
   * @throws BalsaError `OVERLOADED`
   */
  ask<Answer>(
    consistency: Consistency,
    toRequest: (call: PendingRead<Answer>) => ReadRequest,
    { limits, deliver, reject }: Asked<Answer>,
  ): void {
    this.#route(consistency, {
      limits,
      reject,
      ask: (engine, within, failed) => {
        const call = new PendingRead<Answer>(within, deliver, (error) =>
          failed(request.outcomeOf(error)),
        );
        const request = toRequest(call);
        try {
          engine.ask(request, call, within);
        } catch (cause) {
          throw request.outcomeOf(asBalsaError(cause));
        }
      },
    });
  }

  close(): void {
    this.#closed = true;
    this.#pool?.close();
  }

  #route(consistency: Consistency, read: Routed): void {
    const { spreadLinearizable } = this.#home.settings;
    const spreads = consistency !== 'linearizable' || spreadLinearizable;
    if (this.#pool === null || !spreads) read.ask(this.#home, read.limits, read.reject);
    else this.#askMembers(this.#pool, read, [], read.limits.startedMs);
  }

  #askMembers(pool: MemberPool, read: Routed, tried: PooledMember[], nowMs: number): void {
    const { limits, reject, ask } = read;
    const member = pool.next(tried, nowMs);
    if (member === null) {
      ask(this.#home, limits, reject);
      return;
    }
    const deadlineMs = Math.min(limits.deadlineMs, nowMs + PATIENCE_MS);
    ask(member.engine, { ...limits, deadlineMs }, (error) => {
      const failedMs = this.#home.env.clock.monotonicMs();
      // A member that was removed meanwhile is closed, and not the client.
      const mayGoOn = error.retryable || (error.code === 'CLIENT_CLOSED' && !this.#closed);
      if (!mayGoOn || failedMs >= limits.deadlineMs) {
        reject(error);
        return;
      }
      pool.failed(member, error);
      try {
        this.#askMembers(pool, read, [...tried, member], failedMs);
      } catch (cause) {
        reject(asBalsaError(cause));
      }
    });
  }
}
