import type { Clock } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import type { Limits } from '../base/limits.js';
import type { LogIndex } from '../raft/types.js';
import { overloaded } from './proposals.js';
import type { ReadDone } from './waiting-reads.js';

interface SessionWait {
  /** Index of its token. */
  readonly needed: LogIndex;
  readonly sinceMs: number;
  readonly done: ReadDone;
}

/**
 * Reads with a session token that this replica has not come to yet. It lags a little as a rule, so they
 * wait, but for `sessionWaitMsMax` only: the client knows other replicas.
 */
export class SessionWaits {
  readonly #clock: Clock;
  readonly #limits: Limits;
  /** The oldest first. */
  #waits: SessionWait[] = [];
  #lowest = Number.POSITIVE_INFINITY;

  constructor({ clock, limits }: { readonly clock: Clock; readonly limits: Limits }) {
    this.#clock = clock;
    this.#limits = limits;
  }

  add(needed: LogIndex, done: ReadDone): void {
    if (this.#waits.length >= this.#limits.pendingReadsMax) {
      done(overloaded('pendingReadsMax'));
      return;
    }
    this.#waits.push({ needed, sinceMs: this.#clock.monotonicMs(), done });
    this.#lowest = Math.min(this.#lowest, needed);
  }

  /** The state that is read has come this far. */
  applied(appliedIndex: LogIndex): void {
    if (appliedIndex < this.#lowest) return;
    const ripe = this.#waits.filter((wait) => wait.needed <= appliedIndex);
    this.#keep((wait) => wait.needed > appliedIndex);
    for (const { done } of ripe) done(null);
  }

  /** Fails those that have waited for too long. To be called now and then. */
  expire(appliedIndex: LogIndex): void {
    const bornMs = this.#clock.monotonicMs() - this.#limits.sessionWaitMsMax;
    if ((this.#waits[0]?.sinceMs ?? Number.POSITIVE_INFINITY) > bornMs) return;
    const late = this.#waits.filter((wait) => wait.sinceMs <= bornMs);
    this.#keep((wait) => wait.sinceMs > bornMs);
    for (const { needed, done } of late) done(behind(needed, appliedIndex));
  }

  /** The replica stops. */
  abandon(error: BalsaError): void {
    const waits = this.#waits;
    this.#keep(() => false);
    for (const { done } of waits) done(error);
  }

  #keep(stays: (wait: SessionWait) => boolean): void {
    this.#waits = this.#waits.filter(stays);
    this.#lowest = this.#waits.reduce(
      (lowest, { needed }) => Math.min(lowest, needed),
      Number.POSITIVE_INFINITY,
    );
  }
}

/** @returns BalsaError `SESSION_BEHIND` */
function behind(needed: LogIndex, applied: LogIndex): BalsaError {
  const message =
    `the session token stands for entry ${needed}, and this replica has applied ${applied}; ` +
    'another one may have more';
  return new BalsaError('SESSION_BEHIND', message, { details: { applied, needed } });
}
