import { BalsaError } from '../base/errors.js';
import type { Limits } from '../base/limits.js';
import type { LogIndex, MemberId, RaftEvent, ReadAnswer } from '../raft/types.js';
import { notLeader, overloaded } from './proposals.js';

/** Called with `null` when the state may be read, else with the reason why not. */
export type ReadDone = (error: BalsaError | null) => void;

/**
 * Linearizable reads on their way: those of one turn ask the core together, then wait until the
 * state machine has applied the index that the core answered (thesis §6.4).
 */
export class WaitingReads {
  readonly #limits: Limits;
  readonly #nameOf: (member: MemberId) => string;
  #queue: ReadDone[] = [];
  readonly #asked = new Map<number, ReadDone[]>();
  /** Confirmed and waiting for apply; read indexes hardly ever come out of order. */
  #confirmed: { readonly index: LogIndex; readonly reads: readonly ReadDone[] }[] = [];
  #count = 0;
  #nextId = 1;

  constructor(options: { limits: Limits; nameOf: (member: MemberId) => string }) {
    this.#limits = options.limits;
    this.#nameOf = options.nameOf;
  }

  add(done: ReadDone): void {
    if (this.#count >= this.#limits.pendingReadsMax) {
      done(overloaded('pendingReadsMax'));
      return;
    }
    this.#count += 1;
    this.#queue.push(done);
  }

  /** A read that needs no index, but a state: there is none just now; see {@link applied}. */
  hold(done: ReadDone): void {
    if (this.#count >= this.#limits.pendingReadsMax) {
      done(overloaded('pendingReadsMax'));
      return;
    }
    this.#count += 1;
    this.#confirmed.push({ index: 0, reads: [done] });
  }

  /** All reads that arrived in this turn, as one question to the core. */
  take(): RaftEvent[] {
    if (this.#queue.length === 0) return [];
    const id = this.#nextId++;
    this.#asked.set(id, this.#queue);
    this.#queue = [];
    return [{ type: 'read', id }];
  }

  answered(answer: ReadAnswer, appliedIndex: LogIndex): void {
    const reads = this.#asked.get(answer.id) ?? [];
    this.#asked.delete(answer.id);
    if (!answer.ok) {
      const leader = answer.leader === null ? null : this.#nameOf(answer.leader);
      const error =
        answer.reason === 'overloaded' ? overloaded('pendingReadsMax') : notLeader(leader);
      this.#settle(reads, error);
    } else if (answer.index <= appliedIndex) {
      this.#settle(reads, null);
    } else {
      this.#confirmed.push({ index: answer.index, reads });
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

  /** The replica stops. */
  abandon(error: BalsaError): void {
    const all = [this.#queue, ...this.#asked.values(), ...this.#confirmed.map((c) => c.reads)];
    this.#queue = [];
    this.#asked.clear();
    this.#confirmed = [];
    for (const reads of all) this.#settle(reads, error);
  }

  #settle(reads: readonly ReadDone[], error: BalsaError | null): void {
    this.#count -= reads.length;
    for (const done of reads) done(error);
  }
}

/**
 * For a read that found its state replaced by a snapshot while it was under way.
 * @returns BalsaError `OVERLOADED`: the same read is answered from the new state
 */
export function staleMachine(): BalsaError {
  return new BalsaError('OVERLOADED', 'a snapshot was installed while the read was under way', {
    details: { retryAfterMs: 10 },
  });
}
