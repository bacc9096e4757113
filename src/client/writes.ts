import type { Timer } from '../base/clock.js';
import { BalsaError, type WriteOutcome } from '../base/errors.js';
import type { ClientAnswer, ClientRequest } from '../rpc/protocol.js';
import { Batch } from './batch.js';
import { type BatchBounds, CallQueue } from './call-queue.js';
import type { Context } from './context.js';
import { cancelled, clientClosed, type Meta } from './pending.js';
import type { PendingWrite } from './pending-write.js';
import { backoffMs, leaderNamed, retryAfterMs } from './retry.js';
import { type Load, WriteWindow } from './write-window.js';

/** Writes go into one batch up to this size; more would make all of them wait for the last one. */
const BATCH_TARGET_BYTES = 2 * 1024 * 1024;

/** Most batches without an answer. */
const OUTSTANDING_MAX = 32;

/**
 * With this many batches without an answer a further one waits until it is full: under load the
 * batches grow instead of becoming more.
 */
const EAGER_MAX = 4;

/** Answers of batches behind one that was refused are waited for this long. */
const ORDER_RETRY_MS = 25;

/**
 * The writes of one client: gathered into batches, numbered in one session, sent in order, and sent
 * again until each has its answer.
 *
 * A batch is *outstanding* from its first attempt to its answer. Its sequence stays the same however
 * often it is sent, so the replicas apply it once: as it was when it was first let in, should writes have
 * been left out since. When one fails, those behind it fail,
 * too (the replicas take the batches of a session in their order only): sending halts, and begins
 * again with the first outstanding one.
 *
 * What was surely never applied is taken apart and goes back to the queue, its sequence is used again.
 */
export class Writes {
  readonly #context: Context;
  readonly #queue = new CallQueue<PendingWrite>();
  readonly #window = new WriteWindow();
  /** By sequence, without holes. */
  #outstanding: Batch[] = [];
  /** Attempts on the present link, by request id. */
  readonly #attempts = new Map<number, Batch>();
  #nextSequence = 1;
  /** Fixed with the first batch of the session. */
  #bornIndex: number | null = null;
  /** All that is outstanding is to be sent again. */
  #resend = false;
  /** Nothing is sent until it fires. */
  #halt: Timer | null = null;
  /** The halt may end as soon as all attempts are answered. */
  #haltsForOrder = false;
  #failures = 0;
  #lastRefusal: BalsaError | null = null;
  #refusedMs = Number.NEGATIVE_INFINITY;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Attempts without an answer. */
  get waiting(): number {
    return this.#attempts.size;
  }

  /** @throws BalsaError `OVERLOADED` */
  add(write: PendingWrite): void {
    if (write.isUrgent) this.#queue.pushFirst(write);
    else this.#line(write);
    this.#context.planSend();
  }

  #line(write: PendingWrite): void {
    const { queueBytesMax } = this.#context.settings;
    if (this.#queue.length > 0 && this.#queue.bytes + write.bytes > queueBytesMax) {
      throw new BalsaError(
        'OVERLOADED',
        `${this.#queue.length} writes of ${this.#queue.bytes} bytes wait to be sent; ` +
          `the limit is ${queueBytesMax} bytes (queueBytesMax)`,
        { outcome: 'not-applied', details: { limit: 'queueBytesMax', retryAfterMs: 50 } },
      );
    }
    this.#refuseHopeless(write);
    this.#queue.push(write);
  }

  abort(write: PendingWrite, cause: unknown): void {
    this.#fail(write, (outcome) => cancelled(cause, outcome));
  }

  /** Adds what is to be sent now. */
  take(requests: ClientRequest[]): void {
    if (this.#halt !== null || !this.#context.connection.ready) return;
    if (this.#resend) {
      this.#resend = false;
      for (const batch of this.#outstanding) requests.push(this.#attempt(batch));
    }
    while (this.#mayBegin()) requests.push(this.#attempt(this.#begin()));
  }

  /** The link was lost, and with it the answers to all attempts. */
  linkLost(): void {
    this.#window.linkLost();
    this.#attempts.clear();
    this.#resend = true;
    this.#lastRefusal = null;
    this.#endHalt();
  }

  answered(id: number, answer: ClientAnswer & { type: 'write' }, meta: Meta): void {
    const batch = this.#attempts.get(id);
    if (batch === undefined) return;
    this.#attempts.delete(id);
    if (!batch.done) {
      this.#window.answered(batch.load, batch.sentMs, this.#nowMs, this.#queue.length);
      batch.succeed(answer.results, meta);
      this.#outstanding.splice(this.#outstanding.indexOf(batch), 1);
      this.#failures = 0;
      this.#lastRefusal = null;
    }
    this.#progress();
  }

  /** @returns whether the answer was for a write */
  refused(id: number, error: BalsaError): boolean {
    const batch = this.#attempts.get(id);
    if (batch === undefined) return false;
    this.#attempts.delete(id);
    if (isNotApplied(error)) batch.closeAttempt(id);
    // An earlier attempt failed: what counts is the last one, which has no answer yet.
    if (!batch.done && batch.isLast(id)) this.#lastAttemptFailed(batch, error);
    this.#dissolveNeverApplied();
    this.#progress();
    return true;
  }

  /** Fails the writes whose time is up. @returns the earliest deadline of the rest */
  expire(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const write of this.#all()) {
      if (write.deadlineMs > nowMs) nextMs = Math.min(nextMs, write.deadlineMs);
      else this.#fail(write, (outcome) => this.#timedOut(write, outcome));
    }
    return nextMs;
  }

  close(): void {
    for (const write of this.#all()) this.#fail(write, clientClosed);
    this.#outstanding = [];
    this.#attempts.clear();
    this.#endHalt();
  }

  // -------------------------------------------------------------------------------------------
  // Batches

  get #bounds(): BatchBounds {
    const { operationsPerBatchMax, batchBytesMax } = this.#context.limits;
    // Room for the header of the list. A single write may be larger than the target.
    const bytesMax = Math.min(batchBytesMax - 5, BATCH_TARGET_BYTES);
    return { operationsMax: operationsPerBatchMax, bytesMax };
  }

  #mayBegin(): boolean {
    if (this.#queue.length === 0) return false;
    const count = this.#outstanding.length;
    const { batchesPerSessionMax } = this.#context.limits;
    if (count >= Math.min(batchesPerSessionMax, OUTSTANDING_MAX)) return false;
    const next = Math.min(this.#queue.length, this.#bounds.operationsMax);
    if (!this.#window.hasRoom(this.#underWay.operations, next)) return false;
    return count < EAGER_MAX || this.#queue.fills(this.#bounds);
  }

  #begin(): Batch {
    const batch = new Batch(this.#nextSequence, this.#queue.take(this.#bounds), this.#nowMs);
    this.#nextSequence += 1;
    this.#outstanding.push(batch);
    return batch;
  }

  /** Writes without an answer. */
  get #underWay(): Load {
    let operations = 0;
    let bytes = 0;
    for (const { load } of this.#outstanding) {
      operations += load.operations;
      bytes += load.bytes;
    }
    return { operations, bytes };
  }

  get #nowMs(): number {
    return this.#context.env.clock.monotonicMs();
  }

  /** What cannot be answered in its time is not even begun: it would only keep others from theirs. @throws BalsaError `OVERLOADED` */
  #refuseHopeless({ deadlineMs }: PendingWrite): void {
    const underWay = this.#underWay;
    const ahead = {
      operations: this.#queue.length + underWay.operations,
      bytes: this.#queue.callBytes + underWay.bytes,
    };
    const nowMs = this.#nowMs;
    const waitMs = this.#window.hopeless(ahead, deadlineMs - nowMs, nowMs);
    if (waitMs === null) return;
    throw new BalsaError(
      'OVERLOADED',
      `${ahead.operations} writes of this client are under way or wait: about ${waitMs} ms at the pace of late, too long for this one`,
      { outcome: 'not-applied', details: { waitMs, retryAfterMs: Math.ceil(waitMs / 2) } },
    );
  }

  #attempt(batch: Batch): ClientRequest {
    const id = this.#context.nextRequestId();
    batch.attempt(id);
    this.#attempts.set(id, batch);
    this.#bornIndex ??= this.#context.connection.link?.hello?.appliedIndex ?? 0;
    return {
      type: 'write',
      id,
      bornIndex: this.#bornIndex,
      sequence: batch.sequence,
      acknowledged: (this.#outstanding[0]?.sequence ?? this.#nextSequence) - 1,
      operations: batch.operations,
    };
  }

  /** From the last one on, as far as none was ever applied. */
  #dissolveNeverApplied(): void {
    let keep = this.#outstanding.length;
    while (keep > 0 && this.#outstanding[keep - 1]?.neverApplied) keep -= 1;
    const dissolved = this.#outstanding.splice(keep);
    if (dissolved.length === 0) return;
    this.#nextSequence = dissolved[0]?.sequence ?? this.#nextSequence;
    this.#queue.pushFront(dissolved.flatMap((batch) => batch.dissolve()));
  }

  /** An attempt was answered: perhaps there is something to send. */
  #progress(): void {
    if (this.#haltsForOrder && this.#attempts.size === 0) this.#endHalt();
    if (this.#queue.length > 0 || this.#resend) this.#context.planSend();
  }

  // -------------------------------------------------------------------------------------------
  // Failures

  #lastAttemptFailed(batch: Batch, error: BalsaError): void {
    const { connection, settings } = this.#context;
    const first = batch === this.#outstanding[0];
    if (first && isOfSession(error)) {
      this.#beginSession(error);
      return;
    }
    if (error.code === 'UPGRADE_PENDING' && batch.withdrawExtended(error)) {
      this.#haltForOrder();
      return;
    }
    const stays = error.code === 'NOT_LEADER' && !settings.followLeader;
    const final = !error.retryable || stays;
    if (final) {
      // Not even a batch without operations is taken: this session leads nowhere.
      if (batch.refused) {
        this.#beginSession(error);
        return;
      }
      batch.refuse(error);
    }
    if (error.code === 'NOT_LEADER') {
      this.#context.afterAnswers(() => connection.notLeader(leaderNamed(error)));
    } else if (error.code === 'SHUTTING_DOWN') {
      this.#context.afterAnswers(() => connection.leave(error));
    }
    if (final || isOfSession(error)) this.#haltForOrder();
    else this.#haltAfter(error);
  }

  /** Only the order is disturbed: it goes on as soon as what is under way was answered. */
  #haltForOrder(): void {
    this.#resend = true;
    if (this.#halt !== null) return;
    this.#haltsForOrder = true;
    this.#haltFor(ORDER_RETRY_MS);
  }

  #haltAfter(error: BalsaError): void {
    this.#resend = true;
    this.#lastRefusal = error;
    this.#refusedMs = this.#nowMs;
    if (this.#halt !== null && !this.#haltsForOrder) return;
    this.#endHalt();
    this.#failures += 1;
    const { random } = this.#context.env;
    const askedMs = retryAfterMs(error) * (1 + random.next() / 2);
    this.#haltFor(Math.max(backoffMs(this.#failures, random), askedMs));
  }

  #haltFor(delayMs: number): void {
    this.#halt = this.#context.env.clock.setTimer(Math.ceil(delayMs), () => {
      this.#endHalt();
      this.#context.planSend();
    });
  }

  #endHalt(): void {
    this.#halt?.cancel();
    this.#halt = null;
    this.#haltsForOrder = false;
  }

  /**
   * The session is no longer known (or what is known of it is not ours: all batches before the first
   * outstanding one were answered, so there can be no gap). The first outstanding batch was refused
   * by its last attempt. Those behind it were sent after it, on the same stream, so their last
   * attempts come later in the log, where the session is not known either. Hence what was sent once
   * was never applied and may be sent in a new session; what was sent more often may have been
   * applied by an earlier attempt, while the session was known: of that nothing more can be learnt.
   */
  #beginSession(error: BalsaError): void {
    const never: PendingWrite[] = [];
    const surely = isOfSession(error) && isNotApplied(error);
    for (const batch of this.#outstanding) {
      if (batch.earlierOpen || !surely) {
        for (const write of batch.writes) write.fail(forgotten(error));
      }
      for (const write of batch.dissolve()) never.push(write);
    }
    this.#outstanding = [];
    this.#attempts.clear();
    this.#queue.pushFront(never);
    this.#nextSequence = 1;
    this.#bornIndex = null;
    this.#resend = false;
    this.#failures += 1;
    this.#context.afterAnswers(() => this.#context.connection.renewSession());
  }

  // -------------------------------------------------------------------------------------------
  // Ends without an answer

  *#all(): Generator<PendingWrite> {
    yield* this.#queue;
    for (const batch of this.#outstanding) {
      for (const write of batch.writes) if (!write.settled) yield write;
    }
  }

  /** A write that was never sent is taken out; of one that was sent the outcome is not known. */
  #fail(write: PendingWrite, errorOf: (outcome: WriteOutcome) => BalsaError): void {
    if (write.settled) return;
    write.fail(errorOf(write.sent ? 'unknown' : 'not-applied'));
    if (!write.sent) this.#queue.dropped(write);
  }

  #timedOut(write: PendingWrite, outcome: WriteOutcome): BalsaError {
    const { startedMs, deadlineMs } = write;
    // What others were told before this one was begun says nothing of it, unless it was held back by that.
    const isHeldBack = this.#halt !== null && !this.#haltsForOrder && !write.sent;
    const lastRefusal = this.#refusedMs >= startedMs || isHeldBack ? this.#lastRefusal : null;
    return this.#context.timedOut({
      startedMs,
      deadlineMs,
      outcome,
      lastRefusal,
      needsLeader: true,
    });
  }
}

function forgotten(cause: BalsaError): BalsaError {
  return new BalsaError(
    'SESSION_EXPIRED',
    'the cluster has forgotten this client, and with it what became of the write: it was sent more ' +
      'than once and may have been applied',
    { outcome: 'unknown', cause },
  );
}

function isOfSession(error: BalsaError): boolean {
  return error.code === 'SESSION_EXPIRED' || error.code === 'SESSION_GAP';
}

function isNotApplied(error: BalsaError): boolean {
  return error.outcome === 'not-applied';
}
