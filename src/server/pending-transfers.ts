import { unreachable } from '../base/assert.js';
import type { Clock, Timer } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import type { MemberId, RaftEvent, TransferAnswer } from '../raft/types.js';
import type { RequestDone } from './pending-changes.js';
import { notLeader } from './proposals.js';

/** Handed over, and waiting for a new leader. */
interface Waiting {
  readonly done: RequestDone;
  readonly patience: Timer;
}

/** Transfers of leadership that were asked for: done when another member leads. */
export class PendingTransfers {
  readonly #options: {
    readonly id: MemberId;
    readonly clock: Clock;
    /** How long a new leader may take. */
    readonly patienceMs: number;
    readonly nameOf: (member: MemberId) => string;
  };
  readonly #asked = new Map<number, RequestDone>();
  readonly #waiting = new Set<Waiting>();
  #nextId = 1;

  constructor(options: {
    readonly id: MemberId;
    readonly clock: Clock;
    readonly patienceMs: number;
    readonly nameOf: (member: MemberId) => string;
  }) {
    this.#options = options;
  }

  ask(target: MemberId | null, done: RequestDone): RaftEvent {
    const id = this.#nextId++;
    this.#asked.set(id, done);
    return { type: 'transfer', id, target };
  }

  answered(answer: TransferAnswer): void {
    const done = this.#asked.get(answer.id);
    this.#asked.delete(answer.id);
    if (done === undefined) return;
    if (!answer.ok) done(this.#refusal(answer));
    else if (answer.target === this.#options.id) done(null);
    else this.#waitForLeader(done);
  }

  /** The core knows a leader. */
  led(leader: MemberId): void {
    const error = leader === this.#options.id ? failed('this member has been elected again') : null;
    this.#settle(error);
  }

  abandon(error: BalsaError): void {
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const done of asked) done(error);
    this.#settle(error);
  }

  #waitForLeader(done: RequestDone): void {
    const { clock, patienceMs } = this.#options;
    const patience = clock.setTimer(patienceMs, () => {
      this.#waiting.delete(waiting);
      done(failed('leadership was given up, but no new leader has come forward yet'));
    });
    const waiting: Waiting = { done, patience };
    this.#waiting.add(waiting);
  }

  #settle(error: BalsaError | null): void {
    const settled = [...this.#waiting];
    this.#waiting.clear();
    for (const { done, patience } of settled) {
      patience.cancel();
      done(error);
    }
  }

  #refusal(answer: TransferAnswer & { ok: false }): BalsaError {
    const { reason, leader } = answer;
    switch (reason) {
      case 'not-leader':
        return notLeader(leader === null ? null : this.#options.nameOf(leader));
      case 'no-target':
        return failed('no other voter is alive and has the whole log', reason);
      case 'invalid-target':
        return new BalsaError('INVALID_ARGUMENT', 'the target is not a voter');
      case 'silent-target':
        return failed('nothing has been heard from the target for an election timeout', reason);
      case 'timeout':
        return failed('the target did not catch up in time', reason);
      case 'superseded':
        return failed('another transfer was asked for', reason);
      default:
        return unreachable(reason);
    }
  }
}

function failed(message: string, reason?: string): BalsaError {
  return new BalsaError('TRANSFER_FAILED', message, {
    details: reason === undefined ? {} : { reason },
  });
}
