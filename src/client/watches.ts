import type { Timer } from '../base/clock.js';
import { asBalsaError, type BalsaError } from '../base/errors.js';
import type { AnswerMeta, ClientRequest } from '../rpc/protocol.js';
import type { WatchAnswer } from '../rpc/watch-protocol.js';
import type { Context } from './context.js';
import { clientClosed, type Meta } from './pending.js';
import { backoffMs, leaderNamed, retryAfterMs } from './retry.js';
import type { Subscription } from './subscription.js';

/**
 * The watches of one client. One whose link is lost, or that its replica gives up, is asked for again, from
 * where it stands, for as long as it takes; only before it was ever established it has a time limit.
 */
export class Watches {
  readonly #context: Context;
  readonly #all = new Set<Subscription>();
  /** Those that a replica serves or was asked for, by request id. */
  readonly #asked = new Map<number, Subscription>();
  /** Requests that are no longer wanted, and not yet cancelled. */
  #cancels: number[] = [];
  #retryTimer: Timer | null = null;

  constructor(context: Context) {
    this.#context = context;
  }

  get size(): number {
    return this.#all.size;
  }

  /** Requests without an answer. */
  get waiting(): number {
    let count = 0;
    for (const { phase } of this.#asked.values()) if (phase === 'asked') count += 1;
    return count;
  }

  add(subscription: Subscription): void {
    this.#all.add(subscription);
    this.#context.planSend();
  }

  /** It has ended. */
  remove(subscription: Subscription): void {
    if (!this.#all.delete(subscription)) return;
    this.#cancel(subscription);
  }

  /** Something of what waits has been taken. */
  taken(subscription: Subscription): void {
    if (subscription.resumeIfTaken()) this.#context.planSend();
  }

  /** Adds what is to be sent now. */
  take(requests: ClientRequest[]): void {
    if (this.#context.connection.link === null) return;
    for (const watch of this.#cancels) {
      requests.push({ type: 'watch-cancel', id: this.#context.nextRequestId(), watch });
    }
    this.#cancels = [];
    const { connection, env } = this.#context;
    const nowMs = env.clock.monotonicMs();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const subscription of this.#all) {
      if (subscription.phase !== 'waiting') continue;
      if (subscription.query.needsLeader && !connection.ready) continue;
      if (subscription.notBeforeMs > nowMs) {
        nextMs = Math.min(nextMs, subscription.notBeforeMs);
        continue;
      }
      const id = this.#context.nextRequestId();
      requests.push(subscription.encode(id));
      this.#asked.set(id, subscription);
    }
    this.#retryAt(nextMs, nowMs);
  }

  linkLost(): void {
    this.#asked.clear();
    this.#cancels = [];
    for (const subscription of this.#all) subscription.linkLost();
  }

  /** @throws BalsaError `FRAME_INVALID` when it is not what comes next */
  answered(answer: WatchAnswer, metaOf: (meta: AnswerMeta) => Meta): void {
    if (answer.type === 'watch-progress') {
      this.#progressed(answer);
      return;
    }
    // Of one that was cancelled more may be on its way.
    const subscription = this.#asked.get(answer.id);
    if (subscription === undefined) return;
    switch (answer.type) {
      case 'watch-created': {
        const { consistency: level } = subscription.query;
        subscription.established(answer.revision, { ...metaOf(answer.meta), level });
        break;
      }
      case 'watch-events':
        subscription.told(answer);
        if (subscription.pauseIfFull()) this.#cancel(subscription);
        break;
      default:
        subscription.lagging(answer.revision);
    }
  }

  /** @returns was it one of these? */
  refused(id: number, error: BalsaError): boolean {
    const subscription = this.#asked.get(id);
    if (subscription === undefined) return false;
    this.#asked.delete(id);
    this.#heed(error);
    if (!error.retryable) {
      subscription.fail(error);
      return true;
    }
    const { env } = this.#context;
    const askedMs = retryAfterMs(error) * (1 + env.random.next() / 2);
    const delayMs = Math.max(backoffMs(subscription.failures + 1, env.random), askedMs);
    subscription.retryAt(env.clock.monotonicMs() + delayMs, error);
    this.#context.planSend();
    return true;
  }

  /** What a refusal says of the replica. */
  #heed(error: BalsaError): void {
    const { connection } = this.#context;
    if (error.code === 'NOT_LEADER') {
      // One that was not taken for the leader: each such word puts off the search for the one that is.
      if (!connection.ready) return;
      this.#context.afterAnswers(() => connection.notLeader(leaderNamed(error)));
    } else if (error.code === 'SHUTTING_DOWN') {
      this.#context.afterAnswers(() => connection.leave(error));
    }
  }

  /** Fails those that could not be established in time. @returns the earliest deadline of the rest */
  expire(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const subscription of [...this.#all]) {
      if (subscription.wasEstablished) continue;
      const { startedMs, deadlineMs } = subscription.limits;
      if (deadlineMs > nowMs) {
        nextMs = Math.min(nextMs, deadlineMs);
        continue;
      }
      const { lastRefusal, query } = subscription;
      const needsLeader = query.needsLeader || query.consistency === 'linearizable';
      const facts = { startedMs, deadlineMs, lastRefusal, needsLeader };
      subscription.fail(this.#context.timedOut(facts));
    }
    return nextMs;
  }

  close(): void {
    for (const subscription of [...this.#all]) subscription.end(asBalsaError(clientClosed()));
    this.#retryTimer?.cancel();
  }

  // -------------------------------------------------------------------------------------------

  #progressed(answer: WatchAnswer & { readonly type: 'watch-progress' }): void {
    for (const id of [answer.id, ...answer.alsoFor]) this.#asked.get(id)?.progressed(answer);
  }

  #cancel({ requestId }: Subscription): void {
    if (!this.#asked.delete(requestId)) return;
    this.#cancels.push(requestId);
    this.#context.planSend();
  }

  #retryAt(nextMs: number, nowMs: number): void {
    this.#retryTimer?.cancel();
    this.#retryTimer = null;
    if (nextMs === Number.POSITIVE_INFINITY) return;
    const { clock } = this.#context.env;
    this.#retryTimer = clock.setTimer(Math.ceil(nextMs - nowMs), () => this.#context.planSend());
  }
}
