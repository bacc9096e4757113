import type { Timer } from '../base/clock.js';
import { BalsaError, type WriteOutcome } from '../base/errors.js';
import type { ClientAnswer, ClientRequest } from '../rpc/protocol.js';
import { CallQueue } from './call-queue.js';
import type { Context } from './context.js';
import { cancelled, clientClosed, type Meta, type PendingCall } from './pending.js';
import { PendingGet } from './pending-read.js';
import { type Departure, GetRequest, type ReadRequest } from './read-request.js';
import { backoffMs, leaderNamed, retryAfterMs } from './retry.js';

/** With this many get requests of one level without an answer, keys gather until one has come. */
const EAGER_MAX = 4;

/** Most requests without an answer, of one level. */
const OUTSTANDING_MAX = 64;

/** Most requests that wait to be sent (again), beside gets that were never sent. */
const WAITING_MAX = 10_000;

/** What a replica says that has not heard enough; another one may have. */
const LAGS = new Set(['SESSION_BEHIND', 'STALE_BOUND_EXCEEDED']);

/** Keys of one request, in bytes. */
const GET_BYTES_MAX = 1024 * 1024;

/**
 * The reads of one client. The gets of one turn of the event loop travel as one request for each level.
 * A read that fails in a way that may pass, or whose link is lost, is sent again until its time is up.
 */
export class Reads {
  readonly #context: Context;
  /** Gets that were never sent. */
  readonly #queues = {
    linearizable: new CallQueue<PendingGet>(),
    any: new CallQueue<PendingGet>(),
  };
  /** Requests to send (again), as soon as there is a link for them. */
  #waiting: ReadRequest[] = [];
  /** Memory that they take, roughly. */
  #waitingBytes = 0;
  /** Sent over the present link, by request id. */
  readonly #asked = new Map<number, ReadRequest>();
  /** Memory that they take, roughly; without those of gets, which are few. */
  #askedBytes = 0;
  #retryTimer: Timer | null = null;
  /** Of what is sent now. Few look at it. */
  readonly #departure: Departure;

  constructor(context: Context) {
    this.#context = context;
    this.#departure = {
      get nowMs() {
        return context.env.clock.monotonicMs();
      },
      get greetedMs() {
        return context.connection.link?.greetedMs ?? Number.NEGATIVE_INFINITY;
      },
    };
  }

  /** Requests without an answer. */
  get waiting(): number {
    return this.#asked.size;
  }

  /** @throws BalsaError `OVERLOADED` */
  get(call: PendingGet): void {
    const queue = this.#queues[queueOf(call)];
    const { queueBytesMax } = this.#context.settings;
    if (queue.length > 0 && queue.bytes + call.bytes > queueBytesMax) {
      throw overloaded(queue.length, `${queueBytesMax} bytes (queueBytesMax)`);
    }
    queue.push(call);
    this.#context.planSend();
  }

  /** @throws BalsaError `OVERLOADED` */
  ask(request: ReadRequest): void {
    // While there is no link nothing is taken: those that gave up must not stand in the way.
    if (this.#lackOfRoom(request) !== null) this.#forgetSettled();
    const limit = this.#lackOfRoom(request);
    if (limit !== null) throw overloaded(this.#waiting.length + this.#asked.size, limit);
    this.#askAgain(request);
  }

  /** The limit that it would exceed. */
  #lackOfRoom({ bytes }: ReadRequest): string | null {
    const { queueBytesMax } = this.#context.settings;
    if (this.#waiting.length >= WAITING_MAX) return `${WAITING_MAX} requests`;
    const before = this.#waitingBytes + this.#askedBytes;
    const isFull = before > 0 && before + bytes > queueBytesMax;
    return isFull ? `${queueBytesMax} bytes (queueBytesMax)` : null;
  }

  abort(call: PendingCall, cause: unknown): void {
    this.#fail(call, cancelled(cause));
    this.#planGets();
  }

  /** Adds what is to be sent now. */
  take(requests: ClientRequest[]): void {
    const { connection } = this.#context;
    if (connection.link === null) return;
    this.#takeWaiting(requests);
    // What nobody waits for any more must not keep others waiting.
    if (this.#hasGets) this.#forgetAsked();
    this.#takeGets('any', requests);
    if (connection.ready) this.#takeGets('linearizable', requests);
  }

  /** The link was lost: all that was asked over it is asked again. */
  linkLost(): void {
    const asked = [...this.#asked.values()].filter((request) => !request.once);
    for (const request of this.#asked.values()) {
      request.lost();
      if (request.once) request.fail(answerLost('unknown'));
    }
    this.#clearAsked();
    this.#setWaiting([...asked, ...this.#waiting]);
    for (const request of this.#waiting) request.notBeforeMs = Number.NEGATIVE_INFINITY;
    if (this.#context.settings.pinned) this.#failAll(() => answerLost());
  }

  answered(id: number, answer: ClientAnswer, meta: Meta): void {
    const request = this.#asked.get(id);
    if (request === undefined) return;
    const rest = request.answer(answer, { ...meta, level: request.consistency ?? 'any' });
    this.#endAsked(id, request);
    if (rest !== null) this.#askAgain(rest);
    else this.#planGets();
  }

  refused(id: number, error: BalsaError): void {
    const request = this.#asked.get(id);
    if (request === undefined) return;
    this.#endAsked(id, request);
    this.#heed(error);
    const parts = error.code === 'SESSION_BEHIND' ? request.parts() : [];
    if (parts.length > 0) {
      for (const part of parts) this.#askAgain(part);
      return;
    }
    if (request.isFinal(error) || this.#context.settings.pinned) {
      request.fail(error);
      this.#context.planSend();
      return;
    }
    const { env } = this.#context;
    request.failures += 1;
    request.lastRefusal = error;
    const askedMs = retryAfterMs(error) * (1 + env.random.next() / 2);
    const delayMs = Math.max(backoffMs(request.failures, env.random), askedMs);
    request.notBeforeMs = env.clock.monotonicMs() + delayMs;
    this.#askAgain(request);
  }

  /** What a refusal says of the replica. */
  #heed(error: BalsaError): void {
    const { connection } = this.#context;
    if (error.code === 'NOT_LEADER') {
      this.#context.afterAnswers(() => connection.notLeader(leaderNamed(error)));
    } else if (error.code === 'SHUTTING_DOWN') {
      this.#context.afterAnswers(() => connection.leave(error));
    } else if (LAGS.has(error.code)) {
      this.#context.afterAnswers(() => connection.lags());
    }
  }

  /** Fails the reads whose time is up. @returns the earliest deadline of the rest */
  expire(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    const look = (call: PendingCall, request: ReadRequest | null, needsLeader: boolean): void => {
      if (call.settled) return;
      if (call.deadlineMs > nowMs) {
        nextMs = Math.min(nextMs, call.deadlineMs);
        return;
      }
      const lastRefusal = request?.lastRefusal ?? null;
      const { startedMs, deadlineMs } = call;
      const outcome = request === null ? undefined : this.#outcomeOf(request);
      const facts = { startedMs, deadlineMs, lastRefusal, needsLeader, outcome };
      this.#fail(call, this.#context.timedOut(facts));
    };
    for (const call of this.#queues.linearizable) look(call, null, true);
    for (const call of this.#queues.any) look(call, null, false);
    for (const request of this.#requests()) {
      for (const call of request.calls) look(call, request, request.needsLeader);
    }
    this.#forgetSettled();
    return nextMs;
  }

  /** Of one whose time is up; `undefined`: the request itself knows. */
  #outcomeOf(request: ReadRequest): WriteOutcome | undefined {
    if (request.once && request.sent) return 'unknown';
    // Its last attempt was refused before it changed anything; others may not have been, which it knows as well.
    const isRefused = request.lastRefusal?.code === 'AP_QUEUE_FULL';
    return isRefused && this.#waiting.includes(request) ? 'not-applied' : undefined;
  }

  close(): void {
    this.#failAll(clientClosed);
    this.#retryTimer?.cancel();
  }

  // -------------------------------------------------------------------------------------------

  #failAll(error: () => BalsaError): void {
    const requests = [...this.#requests()];
    this.#setWaiting([]);
    this.#clearAsked();
    for (const queue of Object.values(this.#queues)) {
      for (const call of queue) this.#fail(call, error());
    }
    for (const request of requests) request.fail(error());
  }

  #askAgain(request: ReadRequest): void {
    this.#waiting.push(request);
    this.#waitingBytes += request.bytes;
    this.#context.planSend();
  }

  #setWaiting(waiting: ReadRequest[]): void {
    this.#waiting = waiting;
    this.#waitingBytes = waiting.reduce((bytes, request) => bytes + request.bytes, 0);
  }

  #takeWaiting(requests: ClientRequest[]): void {
    if (this.#waiting.length === 0) return;
    const { connection, env } = this.#context;
    const nowMs = env.clock.monotonicMs();
    const later: ReadRequest[] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    for (const request of this.#waiting) {
      if (!request.live) continue;
      if (request.needsLeader && !connection.ready) {
        later.push(request);
      } else if (this.#earliestMs(request) > nowMs) {
        later.push(request);
        nextMs = Math.min(nextMs, this.#earliestMs(request));
      } else {
        requests.push(this.#encode(request));
      }
    }
    this.#setWaiting(later);
    this.#retryAt(nextMs, nowMs);
  }

  /** When it may be sent. */
  #earliestMs({ notBeforeMs, waitsForBetter }: ReadRequest): number {
    return waitsForBetter
      ? Math.max(notBeforeMs, this.#context.connection.keptFromMs)
      : notBeforeMs;
  }

  #retryAt(nextMs: number, nowMs: number): void {
    this.#retryTimer?.cancel();
    this.#retryTimer = null;
    if (nextMs === Number.POSITIVE_INFINITY) return;
    const { clock } = this.#context.env;
    this.#retryTimer = clock.setTimer(Math.ceil(nextMs - nowMs), () => this.#context.planSend());
  }

  #takeGets(level: 'linearizable' | 'any', requests: ClientRequest[]): void {
    const queue = this.#queues[level];
    if (queue.length === 0) return;
    const { operationsPerBatchMax, frameBytesMax } = this.#context.limits;
    const bounds = {
      operationsMax: operationsPerBatchMax,
      bytesMax: Math.min(GET_BYTES_MAX, frameBytesMax / 4),
    };
    let asked = this.#askedAt(level);
    while (queue.length > 0 && asked < OUTSTANDING_MAX) {
      if (asked >= EAGER_MAX && !queue.fills(bounds, sameLevel)) return;
      const [first, ...others] = queue.take(bounds, sameLevel);
      if (first === undefined) return;
      requests.push(this.#encode(new GetRequest([first, ...others])));
      asked += 1;
    }
  }

  #askedAt(level: 'linearizable' | 'any'): number {
    let count = 0;
    for (const request of this.#asked.values()) {
      if (request.needsLeader === (level === 'linearizable') && request instanceof GetRequest) {
        count += 1;
      }
    }
    return count;
  }

  #encode(request: ReadRequest): ClientRequest {
    const id = this.#context.nextRequestId();
    this.#asked.set(id, request);
    this.#askedBytes += askedBytesOf(request);
    request.sent = true;
    return request.encode(id, this.#departure);
  }

  *#requests(): Generator<ReadRequest> {
    yield* this.#waiting;
    yield* this.#asked.values();
  }

  #fail(call: PendingCall, error: BalsaError): void {
    if (call.settled) return;
    call.fail(error);
    if (call instanceof PendingGet && !call.sent) this.#queues[queueOf(call)].dropped(call);
  }

  #forgetSettled(): void {
    this.#setWaiting(this.#waiting.filter((request) => request.live));
    this.#forgetAsked();
    this.#planGets();
  }

  #forgetAsked(): void {
    for (const [id, request] of this.#asked) if (!request.live) this.#endAsked(id, request);
  }

  #endAsked(id: number, request: ReadRequest): void {
    this.#asked.delete(id);
    this.#askedBytes -= askedBytesOf(request);
  }

  #clearAsked(): void {
    this.#asked.clear();
    this.#askedBytes = 0;
  }

  get #hasGets(): boolean {
    return this.#queues.linearizable.length + this.#queues.any.length > 0;
  }

  /** A place has come free: gets that waited for one may go. */
  #planGets(): void {
    if (this.#hasGets) this.#context.planSend();
  }
}

function askedBytesOf(request: ReadRequest): number {
  return request instanceof GetRequest ? 0 : request.bytes;
}

/** Only linearizable reads need the leader. */
const queueOf = ({ query }: PendingGet): 'linearizable' | 'any' =>
  query.consistency === 'linearizable' ? 'linearizable' : 'any';

const sameLevel = ({ query: first }: PendingGet, { query: next }: PendingGet): boolean =>
  first.revision === next.revision &&
  first.consistency === next.consistency &&
  (first.bound === next.bound || first.consistency === 'session');

function overloaded(calls: number, limit: string): BalsaError {
  return new BalsaError('OVERLOADED', `${calls} reads wait to be sent; the limit is ${limit}`, {
    details: { retryAfterMs: 50 },
  });
}

/** @param outcome of what may have changed something: a read has none */
function answerLost(outcome?: WriteOutcome): BalsaError {
  return new BalsaError('UNREACHABLE', 'the connection was lost before the answer came', {
    outcome,
  });
}
