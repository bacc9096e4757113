import { assert } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import type { Limits } from '../base/limits.js';
import type { WriteBatch } from '../base/operation.js';
import type { LogPosition, MemberId, ProposalAnswer, RaftEvent, Term } from '../raft/types.js';
import { packCommand } from '../statemachine/command.js';
import type { BatchAnswer } from '../statemachine/types.js';

/** Told once, with what became of a batch. */
export type WriteDone = (answer: BatchAnswer) => void;

/** Without the batch: its bytes are in the log entry, and it may be a view of a whole frame. */
interface Waiting {
  readonly bytes: number;
  readonly done: WriteDone;
}

interface Queued extends Waiting {
  readonly batch: WriteBatch;
  readonly operations: number;
}

export interface ProposalsOptions {
  readonly id: MemberId;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly nameOf: (member: MemberId) => string;
  /** The newest version of commands that all members can read. */
  readonly commandVersion: () => number;
  /** In which this member proposes. */
  readonly term: () => Term;
}

/** Bytes of a batch beside its operations, roughly; for accounting only. */
const BATCH_OVERHEAD_BYTES = 64;

/**
 * The way of a write through a leader: batches that arrive in one turn are gathered into one log
 * entry, wait for the log to take it, and are answered when that entry is applied.
 *
 * A write is answered as failed with outcome `not-applied` only while it was never in the log.
 * Afterwards a lost leadership makes it *unknown*: the entry may be committed yet.
 */
export class Proposals {
  readonly #options: ProposalsOptions;
  readonly #limits: Limits;
  #queue: Queued[] = [];
  /** Handed to the core, not answered by it (only within one turn). */
  readonly #proposed = new Map<number, Waiting[]>();
  /** In the log, by index. */
  readonly #appended = new Map<number, { readonly term: number; readonly items: Waiting[] }>();
  #bytes = 0;
  #nextId = 1;

  constructor(options: ProposalsOptions) {
    this.#options = options;
    this.#limits = options.limits;
  }

  /** Bytes of batches taken in and not answered. */
  get pendingBytes(): number {
    return this.#bytes;
  }

  /** Takes a batch in, or answers it `OVERLOADED` at once. */
  add(batch: WriteBatch, operations: number, done: WriteDone): void {
    const bytes = batch.operations.byteLength + BATCH_OVERHEAD_BYTES;
    if (this.#bytes + bytes > this.#limits.pendingRequestBytesMax && this.#bytes > 0) {
      done({ ok: false, error: overloaded('pendingRequestBytesMax') });
      return;
    }
    this.#bytes += bytes;
    this.#queue.push({ batch, operations, bytes, done });
  }

  /**
   * All that waits, as proposals: one entry, or several when `entryBytesMax` or `entryOperationsMax`
   * would be exceeded.
   */
  take(): RaftEvent[] {
    if (this.#queue.length === 0) return [];
    const events: RaftEvent[] = [];
    let items: Queued[] = [];
    let bytes = 0;
    let operations = 0;
    const { entryBytesMax, entryOperationsMax } = this.#limits;
    for (const item of this.#queue) {
      bytes += item.bytes;
      operations += item.operations;
      if (items.length > 0 && (bytes > entryBytesMax || operations > entryOperationsMax)) {
        events.push(this.#propose(items));
        items = [];
        bytes = item.bytes;
        operations = item.operations;
      }
      items.push(item);
    }
    events.push(this.#propose(items));
    this.#queue = [];
    return events;
  }

  #propose(items: readonly Queued[]): RaftEvent {
    const id = this.#nextId++;
    this.#proposed.set(
      id,
      items.map(({ bytes, done }) => ({ bytes, done })),
    );
    const { clock, commandVersion, term } = this.#options;
    const timeMs = Math.floor(clock.wallMs());
    const batches = items.map((item) => item.batch);
    const payload = packCommand({ timeMs, batches, proposerTerm: term() }, commandVersion());
    return { type: 'propose', id, payload };
  }

  /** The core's word on a proposal. */
  answered(answer: ProposalAnswer): void {
    const items = this.#proposed.get(answer.id);
    assert(items !== undefined, 'the core answers each proposal once');
    this.#proposed.delete(answer.id);
    if (answer.accepted) {
      const { index, term } = answer.position;
      assert(!this.#appended.has(index), 'one proposal per log index');
      this.#appended.set(index, { term, items });
      return;
    }
    const error =
      answer.reason === 'overloaded'
        ? overloaded('uncommittedBytesMax')
        : notLeader(this.#nextLeader(answer.leader), 'not-applied');
    this.#settle(items, () => ({ ok: false, error }));
  }

  /** Whom to ask instead. A leader that hands its leadership over does not name itself. */
  #nextLeader(leader: MemberId | null): string | null {
    const { id, nameOf } = this.#options;
    return leader === null || leader === id ? null : nameOf(leader);
  }

  /** The entry at this place was applied, with one answer per batch. */
  applied(position: LogPosition, answers: readonly BatchAnswer[]): void {
    const appended = this.#appended.get(position.index);
    if (appended === undefined) return;
    this.#appended.delete(position.index);
    if (appended.term !== position.term) {
      // Another leader's entry took the place, so ours never commits.
      const error = notLeader(null, 'not-applied');
      this.#settle(appended.items, () => ({ ok: false, error }));
      return;
    }
    assert(answers.length === appended.items.length, 'one answer per batch of the entry');
    this.#settle(appended.items, (i) => answers[i] as BatchAnswer);
  }

  /** No longer the leader: what is in the log may yet be committed by the next one. */
  leadershipLost(leader: MemberId | null): void {
    const unknown = notLeader(this.#nextLeader(leader), 'unknown');
    const appended = [...this.#appended.values()];
    this.#appended.clear();
    for (const { items } of appended) this.#settle(items, () => ({ ok: false, error: unknown }));
  }

  /** The replica stops: nothing more is answered as done. */
  abandon(error: BalsaError): void {
    const queued = this.#queue;
    this.#queue = [];
    this.#settle(queued, () => ({ ok: false, error: error.withOutcome('not-applied') }));
    const inLog = [...this.#proposed.values(), ...[...this.#appended.values()].map((a) => a.items)];
    this.#proposed.clear();
    this.#appended.clear();
    for (const items of inLog) {
      this.#settle(items, () => ({ ok: false, error: error.withOutcome('unknown') }));
    }
  }

  #settle(items: readonly Waiting[], answerOf: (i: number) => BatchAnswer): void {
    items.forEach((item, i) => {
      this.#bytes -= item.bytes;
      item.done(answerOf(i));
    });
  }
}

/** @returns BalsaError `NOT_LEADER`, naming the leader in `details.leader` when it is known */
export function notLeader(leader: string | null, outcome?: 'not-applied' | 'unknown'): BalsaError {
  const message = leader === null ? 'no leader is known here' : `the leader is ${leader}`;
  return new BalsaError('NOT_LEADER', message, { outcome, details: { leader } });
}

/** @returns BalsaError `OVERLOADED` naming the bound that was reached */
export function overloaded(limit: keyof Limits): BalsaError {
  return new BalsaError('OVERLOADED', `the replica has reached its bound ${limit}`, {
    outcome: 'not-applied',
    details: { limit, retryAfterMs: 50 },
  });
}
