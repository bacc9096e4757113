import { BalsaError } from '../base/errors.js';
import { LIMITS, type Limits } from '../base/limits.js';
import type { SnapshotPart } from '../base/snapshot-codec.js';
import type { AnswerMeta, ClientAnswer, ClientRequest, ReplicaHello } from '../rpc/protocol.js';
import type { WatchAnswer } from '../rpc/watch-protocol.js';
import { fromWireError } from '../rpc/wire-error.js';
import { readBackup } from './backup.js';
import { Connection } from './connection.js';
import type { Context } from './context.js';
import { Deadlines } from './deadlines.js';
import type { Environment } from './environment.js';
import { checkDuration, invalid } from './invalid.js';
import type { CallOptions, Settings } from './options.js';
import {
  type CallLimits,
  cancelled,
  clientClosed,
  type Meta,
  type PendingCall,
} from './pending.js';
import type { PendingGet } from './pending-read.js';
import type { PendingWrite } from './pending-write.js';
import type { ReadRequest } from './read-request.js';
import { Reads } from './reads.js';
import { parseToken, Seen } from './session-token.js';
import type { RevisionEvents, Subscription } from './subscription.js';
import { Watches } from './watches.js';
import { Writes } from './writes.js';

/**
 * What the public client stands on: calls go in, and what was asked in one turn of the event loop
 * leaves together. All time, chance and network come through {@link Environment}.
 */
export class Engine implements Context {
  readonly env: Environment;
  readonly settings: Settings;
  readonly connection: Connection;
  readonly seen: Seen;
  readonly #writes: Writes;
  readonly #reads: Reads;
  readonly #watches: Watches;
  readonly #deadlines: Deadlines;
  #limits: Limits = LIMITS;
  #nextId = 1;
  /** Answers are being looked at: what is to be done behind them. */
  #behind: (() => void)[] = [];
  #sendPlanned = false;
  /** When this turn of the event loop began to ask: reading the clock for every call costs too much. */
  #turnMs = 0;
  #closed = false;
  readonly #onClosed = new Set<() => void>();
  #onUp: () => void = () => {};
  #onRefused: (error: BalsaError) => void = () => {};

  /** `seen`: shared with the other links of the client. */
  constructor(env: Environment, settings: Settings, seen = new Seen()) {
    this.env = env;
    this.settings = settings;
    this.seen = seen;
    if (settings.token !== null) seen.note(parseToken(settings.token).index);
    this.#writes = new Writes(this);
    this.#reads = new Reads(this);
    this.#watches = new Watches(this);
    this.#deadlines = new Deadlines(env.clock, (nowMs) =>
      Math.min(this.#writes.expire(nowMs), this.#reads.expire(nowMs), this.#watches.expire(nowMs)),
    );
    this.connection = new Connection(env, settings, {
      onUp: () => this.#up(),
      onReady: () => this.planSend(),
      onAnswers: (answers) => this.#answered(answers),
      onDown: () => this.#down(),
      onRefused: (reason) => this.#onRefused(reason),
      isWaiting: () => this.#isWaiting,
      isListening: () => this.#isWaiting || this.#watches.size > 0,
    });
  }

  get #isWaiting(): boolean {
    return this.#writes.waiting + this.#reads.waiting + this.#watches.waiting > 0;
  }

  get limits(): Limits {
    return this.#limits;
  }

  /**
   * Resolves when a replica has answered.
   * @throws BalsaError `UNREACHABLE`, `CLUSTER_MISMATCH`, `PROTOCOL_VERSION`, `CLIENT_CLOSED`
   */
  connect(): Promise<void> {
    return new Promise((resolve, reject) => {
      const { connectTimeoutMs } = this.settings;
      const timer =
        connectTimeoutMs === 0
          ? null
          : this.env.clock.setTimer(connectTimeoutMs, () => end(this.#unreachable()));
      const end = (error: BalsaError | null): void => {
        timer?.cancel();
        forget();
        this.#onUp = () => {};
        this.#onRefused = () => {};
        if (error === null) resolve();
        else reject(error);
      };
      const forget = this.whenClosed(() => end(clientClosed()));
      this.#onUp = () => end(null);
      this.#onRefused = (error) => {
        // Trying again does not help.
        if (error.code === 'CLUSTER_MISMATCH' || error.code === 'PROTOCOL_VERSION') end(error);
      };
      this.connection.start();
    });
  }

  /** @throws BalsaError `INVALID_ARGUMENT`, `CLIENT_CLOSED`, `CANCELLED` */
  callLimits(options: CallOptions): CallLimits {
    if (this.#closed) throw clientClosed('not-applied');
    const { timeoutMs = this.settings.timeoutMs, signal } = options;
    if (options.timeoutMs !== undefined) checkDuration('timeoutMs', timeoutMs);
    if (signal !== undefined) checkSignal(signal);
    const startedMs = this.#startMs(options);
    const deadlineMs = timeoutMs === 0 ? Number.POSITIVE_INFINITY : startedMs + timeoutMs;
    return { startedMs, deadlineMs, signal };
  }

  /** @throws BalsaError `OVERLOADED` */
  write(call: PendingWrite, limits: CallLimits): void {
    this.#writes.add(call);
    this.#deadlines.watch(limits.deadlineMs);
    if (limits.signal !== undefined) {
      call.abortedBy(limits.signal, (cause) => this.#writes.abort(call, cause));
    }
  }

  /** @throws BalsaError `OVERLOADED` */
  get(call: PendingGet, limits: CallLimits): void {
    this.#reads.get(call);
    this.#watchRead(call, limits);
  }

  /**
   * @param unwanted aborted when nobody waits for the answer any more
   * @throws BalsaError `OVERLOADED`, `CLIENT_CLOSED`: its limits may be of an earlier moment
   */
  ask(
    request: ReadRequest,
    call: PendingCall,
    limits: CallLimits & { readonly unwanted?: AbortSignal },
  ): void {
    if (this.#closed) throw clientClosed();
    this.#reads.ask(request);
    this.#watchRead(call, limits);
    const { unwanted } = limits;
    if (unwanted !== undefined) {
      call.abortedBy(unwanted, (cause) => this.#reads.abort(call, cause));
    }
  }

  watch(subscription: Subscription): void {
    this.#watches.add(subscription);
    this.#deadlines.watch(subscription.limits.deadlineMs);
  }

  /** It has ended. */
  unwatch(subscription: Subscription): void {
    this.#watches.remove(subscription);
  }

  /** The caller has taken some of what it was told. */
  watchTaken(subscription: Subscription, { appliedIndex }: RevisionEvents): void {
    if (appliedIndex !== null) this.seen.note(appliedIndex);
    this.#watches.taken(subscription);
  }

  /** From the replica that the client is connected to. */
  backup(signal: AbortSignal | undefined): AsyncGenerator<SnapshotPart, void, undefined> {
    if (this.#closed) throw clientClosed();
    const { link } = this.connection;
    if (link === null) throw new BalsaError('UNREACHABLE', this.connection.describe());
    return readBackup(this.env, {
      address: link.address,
      clientName: this.settings.clientName,
      clusterId: link.hello?.clusterId ?? null,
      signal,
      whenClosed: (callback) => this.whenClosed(callback),
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#deadlines.stop();
    this.#writes.close();
    this.#reads.close();
    this.#watches.close();
    this.connection.close();
    for (const callback of this.#onClosed) callback();
  }

  /** Calls back when it is closed, behind this call if it is already; returns what ends that. */
  whenClosed(callback: () => void): () => void {
    if (this.#closed) queueMicrotask(callback);
    this.#onClosed.add(callback);
    return () => void this.#onClosed.delete(callback);
  }

  // -------------------------------------------------------------------------------------------
  // Context

  planSend(): void {
    if (this.#sendPlanned || this.#closed) return;
    this.#sendPlanned = true;
    this.#turnMs = this.env.clock.monotonicMs();
    this.env.clock.defer(() => this.#send());
  }

  afterAnswers(action: () => void): void {
    this.#behind.push(action);
  }

  nextRequestId(): number {
    const id = this.#nextId;
    this.#nextId += 1;
    return id;
  }

  timedOut(call: Parameters<Context['timedOut']>[0]): BalsaError {
    const { startedMs, deadlineMs, needsLeader, lastRefusal, outcome } = call;
    const { code, why } = this.connection.blame({ startedMs, needsLeader, lastRefusal });
    const limitMs = Math.round(deadlineMs - startedMs);
    const refused =
      lastRefusal === null ? '' : `; last answer: ${lastRefusal.code}, ${lastRefusal.message}`;
    const fate =
      outcome === 'unknown' ? '; the write had been sent and may be applied all the same' : '';
    const telling = lastRefusal !== null && SAYS_MORE.has(lastRefusal.code) ? lastRefusal : null;
    return new BalsaError(
      telling?.code ?? code,
      `no answer within ${limitMs} ms: ${why}${refused}${fate}`,
      {
        outcome,
        details: { ...telling?.details, timeoutMs: limitMs },
        cause: lastRefusal ?? undefined,
      },
    );
  }

  // -------------------------------------------------------------------------------------------

  #send(): void {
    this.#sendPlanned = false;
    const { link } = this.connection;
    if (this.#closed || link === null) return;
    const requests: ClientRequest[] = [];
    const areFirst = !this.#isWaiting;
    this.#writes.take(requests);
    this.#reads.take(requests);
    this.#watches.take(requests);
    if (requests.length === 0) return;
    link.send(requests);
    this.connection.expectAnswer(areFirst);
  }

  #up(): void {
    const hello = this.connection.link?.hello;
    if (hello !== null && hello !== undefined) {
      this.#limits = limitsOf(hello);
      this.seen.noteApplied(hello.appliedIndex);
      if (hello.clusterId !== '') this.seen.clusterId = hello.clusterId;
    }
    this.#onUp();
    this.planSend();
  }

  #down(): void {
    this.#writes.linkLost();
    this.#reads.linkLost();
    this.#watches.linkLost();
  }

  /** @throws BalsaError `FRAME_INVALID` */
  #answered(answers: readonly ClientAnswer[]): void {
    const replica = this.connection.link?.replica ?? '';
    try {
      for (const answer of answers) this.#take(answer, replica);
    } finally {
      const behind = this.#behind;
      this.#behind = [];
      for (const action of behind) action();
    }
  }

  #take(answer: ClientAnswer, replica: string): void {
    if (answer.type === 'error') {
      const error = fromWireError(answer.error);
      const { id } = answer;
      if (this.#writes.refused(id, error) || this.#watches.refused(id, error)) return;
      this.#reads.refused(id, error);
    } else if (answer.type === 'write') {
      this.#writes.answered(answer.id, answer, this.#metaOf(answer.meta, replica));
    } else if (isOfWatch(answer)) {
      this.#watches.answered(answer, (meta) => this.#metaOf(meta, replica));
    } else {
      const at = 'meta' in answer ? answer.meta : NOWHERE;
      this.#reads.answered(answer.id, answer, this.#metaOf(at, replica));
    }
  }

  /** Reads state the level themselves. */
  #metaOf(answer: AnswerMeta, replica: string): Meta {
    const { seen } = this;
    const { term, revision, appliedIndex, stalenessMs, side } = answer;
    seen.note(appliedIndex);
    const token = seen.tokenAt(appliedIndex);
    // Field by field: this is done for every answer, and spreading costs ten times as much.
    return {
      level: 'linearizable',
      replica,
      token,
      term,
      revision,
      appliedIndex,
      stalenessMs,
      side,
    };
  }

  #watchRead(call: PendingCall, limits: CallLimits): void {
    this.#deadlines.watch(limits.deadlineMs);
    if (limits.signal !== undefined) {
      call.abortedBy(limits.signal, (cause) => this.#reads.abort(call, cause));
    }
  }

  #unreachable(): BalsaError {
    const { connectTimeoutMs } = this.settings;
    return new BalsaError(
      'UNREACHABLE',
      `no endpoint answered within ${connectTimeoutMs} ms: ${this.connection.describe()}`,
      { cause: this.connection.refusal },
    );
  }

  /** The time that a call names itself begins with it, however long this turn has taken until then. */
  #startMs({ timeoutMs }: CallOptions): number {
    const mayBeOfTurn = this.#sendPlanned && timeoutMs === undefined;
    return mayBeOfTurn ? this.#turnMs : this.env.clock.monotonicMs();
  }
}

/** Refusals that tell a caller more than that his time is up. */
const SAYS_MORE: ReadonlySet<string> = new Set([
  ...['NO_QUORUM', 'REPLICA_BEHIND', 'OVERLOADED', 'FUTURE_REVISION'],
  ...['SESSION_BEHIND', 'STALE_BOUND_EXCEEDED', 'AP_QUEUE_FULL'],
]);

/** Of answers that say themselves where they are from. */
const NOWHERE = {
  ...{ term: 0, revision: 0, appliedIndex: 0 },
  ...{ stalenessMs: null, side: 'unknown' as const },
};

function isOfWatch(answer: ClientAnswer): answer is WatchAnswer {
  return answer.type.startsWith('watch-');
}

function checkSignal(signal: AbortSignal): void {
  if (!(signal instanceof AbortSignal)) throw invalid('signal must be an AbortSignal');
  if (signal.aborted) throw cancelled(signal.reason, 'not-applied');
}

/** None is below 1, whatever the replica says. */
function limitsOf(hello: ReplicaHello): Limits {
  return {
    ...LIMITS,
    keyBytesMax: Math.max(1, hello.keyBytesMax),
    valueBytesMax: Math.max(1, hello.valueBytesMax),
    operationsPerBatchMax: Math.max(1, hello.operationsPerBatchMax),
    batchBytesMax: Math.max(64, hello.batchBytesMax),
    frameBytesMax: Math.max(64, hello.frameBytesMax),
    batchesPerSessionMax: Math.max(1, hello.batchesPerSessionMax),
  };
}
