import { unreachable } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import type { Limits } from '../base/limits.js';
import type { LogIndex, MemberId, RaftEvent, ReadAnswer } from '../raft/types.js';
import type { ReadLevel } from '../rpc/protocol.js';
import { Freshness, type FreshnessFacts } from './freshness.js';
import { SessionWaits } from './session-waits.js';
import { type ReadDone, WaitingReads } from './waiting-reads.js';

export interface ReadLevelsOptions {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly nameOf: (member: MemberId) => string;
  readonly tickMs: number;
  readonly electionTicks: number;
  /** What the state that can be read has applied; below 0 while there is none. */
  readonly readableIndex: () => LogIndex;
  /** It was let in, and has been given no state yet: that may take long, and others have one. */
  readonly isEmpty: () => boolean;
  /** There is something to {@link ReadLevels.take}. */
  readonly planTurn: () => void;
}

/** How a bounded read ends when nobody confirms it: why is in the message. */
const UNCONFIRMED = new Set(['NOT_LEADER', 'NO_QUORUM', 'REPLICA_BEHIND']);

/**
 * Lets each read wait for what its level promises (docs/guarantees.md). What is checked here holds at
 * the moment when `done(null)` is called, however long the process was stopped before.
 */
export class ReadLevels {
  readonly #options: ReadLevelsOptions;
  readonly #waiting: WaitingReads;
  readonly #sessions: SessionWaits;
  readonly #freshness: Freshness;

  constructor(options: ReadLevelsOptions) {
    this.#options = options;
    const { clock, limits, nameOf, readableIndex } = options;
    this.#freshness = new Freshness(options);
    this.#sessions = new SessionWaits({ clock, limits });
    this.#waiting = new WaitingReads({
      ...{ clock, limits, nameOf },
      onConfirmed: (askedMs, index) => this.#freshness.confirmed(askedMs, index, readableIndex()),
    });
  }

  /** How fresh the state is, for `meta`. */
  facts(): FreshnessFacts {
    return this.#freshness.facts();
  }

  /**
   * How many entries the state lacks of what a majority has confirmed; `null`: nobody has confirmed anything since a leader is
   * known, or of late, or there is no state to be read. What the log has here says nothing of that: it may lack as much.
   */
  get lag(): number | null {
    const index = this.#options.readableIndex();
    const confirmed = this.#freshness.confirmedIndex;
    return index < 0 || confirmed === null ? null : Math.max(0, confirmed - index);
  }

  /** No leader is known any more. */
  leaderLost(): void {
    this.#freshness.leaderLost();
  }

  /** Calls `done(null)` when the state may be read at this level. */
  read(level: ReadLevel, done: ReadDone): void {
    if (level.consistency === 'linearizable') {
      this.#ask(done);
    } else if (this.#options.isEmpty()) {
      done(this.#unreadable(level, noState()));
    } else if (this.#options.readableIndex() < 0) {
      this.#waiting.hold((error) => {
        if (error === null) this.read(level, done);
        else done(this.#unreadable(level, error));
      });
    } else {
      this.#readHere(level, done);
    }
  }

  #readHere({ consistency, bound }: ReadLevel, done: ReadDone): void {
    switch (consistency) {
      case 'any':
      case 'at':
      case 'ap-local':
        done(null);
        break;
      case 'session':
        if (this.#options.readableIndex() >= bound) done(null);
        else this.#sessions.add(bound, done);
        break;
      case 'bounded':
        if (this.#within(bound)) done(null);
        else this.#ask((error) => done(this.#boundKept(bound, error)));
        break;
      case 'linearizable':
        this.#ask(done);
        break;
      default:
        unreachable(consistency);
    }
  }

  /** All reads that arrived in this turn, as one question to the core. */
  take(): RaftEvent[] {
    return this.#waiting.take();
  }

  /** @param hasLeader also behind what else has happened in the same step: else what was confirmed says nothing of now */
  answered(answer: ReadAnswer, hasLeader: boolean): void {
    this.#waiting.answered(answer, this.#options.readableIndex());
    if (!hasLeader) this.#freshness.leaderLost();
  }

  /** The state that can be read has gone on. */
  applied(): void {
    const index = this.#options.readableIndex();
    this.#freshness.applied(index);
    this.#waiting.applied(index);
    this.#sessions.applied(index);
  }

  ticked(appliedIndex: LogIndex): void {
    this.#waiting.expire(appliedIndex);
    this.#sessions.expire(appliedIndex);
    if (!this.#freshness.tick()) return;
    const probed = (error: BalsaError | null): void => {
      if (error !== null) this.#freshness.probeFailed();
    };
    this.#waiting.add(probed, true);
    this.#options.planTurn();
  }

  /** The replica stops. */
  abandon(error: BalsaError): void {
    this.#waiting.abandon(error);
    this.#sessions.abandon(error);
  }

  #ask(done: ReadDone): void {
    this.#waiting.add(done);
    this.#options.planTurn();
  }

  #within(boundMs: number): boolean {
    const stalenessMs = this.#freshness.stalenessMs();
    return stalenessMs !== null && stalenessMs <= boundMs;
  }

  /** It was confirmed and applied, or not: what counts is how old the state is now. */
  #boundKept(boundMs: number, error: BalsaError | null): BalsaError | null {
    if (error !== null) return UNCONFIRMED.has(error.code) ? this.#tooOld(boundMs, error) : error;
    return this.#within(boundMs) ? null : this.#tooOld(boundMs);
  }

  #unreadable({ consistency, bound }: ReadLevel, error: BalsaError): BalsaError {
    if (error.code !== 'REPLICA_BEHIND') return error;
    if (consistency === 'session') {
      const details = { ...error.details, needed: bound };
      return new BalsaError('SESSION_BEHIND', error.message, { details, cause: error });
    }
    return consistency === 'bounded' ? this.#tooOld(bound, error) : error;
  }

  /** @returns BalsaError `STALE_BOUND_EXCEEDED` */
  #tooOld(boundMs: number, cause?: BalsaError): BalsaError {
    const stalenessMs = this.#freshness.stalenessMs();
    const age =
      stalenessMs === null
        ? 'no majority has confirmed the state of this replica since it started'
        : `the state of this replica may be ${stalenessMs} ms old`;
    const why = cause === undefined ? '' : `: ${cause.message}`;
    const message = `${age}, the read allows ${boundMs} ms${why}`;
    const details = { stalenessMs, boundMs };
    return new BalsaError('STALE_BOUND_EXCEEDED', message, { details, cause });
  }
}

function noState(): BalsaError {
  const message = 'this replica has just been let in, and has no state yet';
  return new BalsaError('REPLICA_BEHIND', message, { details: { retryAfterMs: 100 } });
}
