import type { Clock } from '../base/clock.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { Limits } from '../base/limits.js';
import type { LogIndex, MemberId, RaftEvent, ReadAnswer } from '../raft/types.js';
import type { StateMachine } from '../statemachine/state-machine.js';
import { notLeader, overloaded } from './proposals.js';

/** Called with `null` when the state may be read, else with the reason why not. */
export type ReadDone = (error: BalsaError | null) => void;

/** Reads of one turn. */
interface Asked {
  readonly sinceMs: number;
  readonly reads: readonly ReadDone[];
}

interface Confirmed extends Asked {
  readonly index: LogIndex;
}

export interface WaitingReadsOptions {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly nameOf: (member: MemberId) => string;
  /** The core has confirmed an index that was asked for behind `askedMs`. */
  readonly onConfirmed?: (askedMs: number, index: LogIndex) => void;
}

/**
 * Linearizable reads on their way: those of one turn ask the core together, then wait until the
 * state machine has applied the index that the core answered (thesis §6.4).
 *
 * None waits longer than `readWaitMsMax`: the replica may lack a part of the log, be held up by its disk,
 * or lead a majority that answers heartbeats and cannot store anything.
 */
export class WaitingReads {
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #nameOf: (member: MemberId) => string;
  readonly #onConfirmed: (askedMs: number, index: LogIndex) => void;
  #queue: ReadDone[] = [];
  /** One of the queue is more than a probe. */
  #hurried = false;
  /** By id: the oldest come first. */
  readonly #asked = new Map<number, Asked>();
  /** Confirmed and waiting for apply; read indexes hardly ever come out of order. */
  #confirmed: Confirmed[] = [];
  /** But for the patient ones. */
  #count = 0;
  readonly #patient = new Set<ReadDone>();
  #nextId = 1;

  constructor(options: WaitingReadsOptions) {
    this.#clock = options.clock;
    this.#limits = options.limits;
    this.#nameOf = options.nameOf;
    this.#onConfirmed = options.onConfirmed ?? (() => {});
  }

  /**
   * @param patient of the replica itself: it is no hurry, and nothing is to be sent for it that would not be sent anyway. There is one at
   *   a time, which is asked however many wait: else nobody would hear that the others are there.
   */
  add(done: ReadDone, patient = false): void {
    if (!patient && this.#count >= this.#limits.pendingReadsMax) {
      done(overloaded('pendingReadsMax'));
      return;
    }
    if (patient) this.#patient.add(done);
    else {
      this.#count += 1;
      this.#hurried = true;
    }
    this.#queue.push(done);
  }

  /** A read that needs no index, but a state: there is none just now; see {@link applied}. */
  hold(done: ReadDone): void {
    if (this.#count >= this.#limits.pendingReadsMax) {
      done(overloaded('pendingReadsMax'));
      return;
    }
    this.#count += 1;
    this.#confirmed.push({ index: 0, sinceMs: this.#clock.monotonicMs(), reads: [done] });
  }

  /** All reads that arrived in this turn, as one question to the core. */
  take(): RaftEvent[] {
    if (this.#queue.length === 0) return [];
    const id = this.#nextId++;
    this.#asked.set(id, { sinceMs: this.#clock.monotonicMs(), reads: this.#queue });
    this.#queue = [];
    const hurried = this.#hurried;
    this.#hurried = false;
    return [hurried ? { type: 'read', id } : { type: 'read', id, patient: true }];
  }

  answered(answer: ReadAnswer, appliedIndex: LogIndex): void {
    const asked = this.#asked.get(answer.id);
    // They have waited too long, and were told so.
    if (asked === undefined) return;
    this.#asked.delete(answer.id);
    const { sinceMs, reads } = asked;
    if (answer.ok) this.#onConfirmed(sinceMs, answer.index);
    if (!answer.ok) {
      const leader = answer.leader === null ? null : this.#nameOf(answer.leader);
      const error =
        answer.reason === 'overloaded' ? overloaded('pendingReadsMax') : notLeader(leader);
      this.#settle(reads, error);
    } else if (answer.index <= appliedIndex) {
      this.#settle(reads, null);
    } else {
      this.#confirmed.push({ index: answer.index, sinceMs, reads });
    }
  }

  /** The state machine has come this far. */
  applied(appliedIndex: LogIndex): void {
    if (this.#confirmed.length === 0) return;
    const ripe = this.#confirmed.filter((c) => c.index <= appliedIndex);
    if (ripe.length === 0) return;
    this.#confirmed = this.#confirmed.filter((c) => c.index > appliedIndex);
    for (const { reads } of ripe) this.#settle(reads, null);
  }

  /** Fails the reads that have waited for too long. To be called now and then. */
  expire(appliedIndex: LogIndex): void {
    if (this.#asked.size === 0 && this.#confirmed.length === 0) return;
    const bornMs = this.#clock.monotonicMs() - this.#limits.readWaitMsMax;
    for (const [id, { sinceMs, reads }] of this.#asked) {
      if (sinceMs > bornMs) break;
      this.#asked.delete(id);
      this.#settle(reads, this.#unconfirmed());
    }
    const late = this.#confirmed.filter((c) => c.sinceMs <= bornMs);
    if (late.length === 0) return;
    this.#confirmed = this.#confirmed.filter((c) => c.sinceMs > bornMs);
    for (const { index, reads } of late) this.#settle(reads, this.#behind(index, appliedIndex));
  }

  #unconfirmed(): BalsaError {
    const { readWaitMsMax } = this.#limits;
    const message = `no majority has confirmed within ${readWaitMsMax} ms what a read must see`;
    return new BalsaError('NO_QUORUM', message, { details: { limit: 'readWaitMsMax' } });
  }

  #behind(index: LogIndex, appliedIndex: LogIndex): BalsaError {
    const { readWaitMsMax } = this.#limits;
    const message =
      index > appliedIndex
        ? `the read must see entry ${index}, and this replica has applied ${appliedIndex} after ${readWaitMsMax} ms`
        : `a snapshot is being installed here, and was not done after ${readWaitMsMax} ms`;
    const details = { limit: 'readWaitMsMax', index, appliedIndex, retryAfterMs: 50 };
    return new BalsaError('REPLICA_BEHIND', message, { details });
  }

  /** The replica stops. */
  abandon(error: BalsaError): void {
    const asked = [...this.#asked.values(), ...this.#confirmed].map((a) => a.reads);
    const all = [this.#queue, ...asked];
    this.#queue = [];
    this.#asked.clear();
    this.#confirmed = [];
    for (const reads of all) this.#settle(reads, error);
  }

  #settle(reads: readonly ReadDone[], error: BalsaError | null): void {
    for (const done of reads) {
      if (this.#patient.size === 0 || !this.#patient.delete(done)) this.#count -= 1;
    }
    for (const done of reads) done(error);
  }
}

/** Why a read failed that had begun on `machine`. If a snapshot has taken its place meanwhile, that is why, whatever `cause` is. */
export function readError(
  cause: unknown,
  machine: StateMachine,
  replica: { readonly machine: StateMachine },
): BalsaError {
  return machine === replica.machine ? asBalsaError(cause) : staleMachine();
}

/**
 * For a read that found its state replaced by a snapshot while it was under way.
 * @returns BalsaError `OVERLOADED`: the same read is answered from the new state
 */
function staleMachine(): BalsaError {
  return new BalsaError('OVERLOADED', 'a snapshot was installed while the read was under way', {
    details: { retryAfterMs: 10 },
  });
}
