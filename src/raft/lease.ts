import type { Leadership } from './leadership.js';
import { quorumReached } from './quorum.js';
import type { RaftState } from './state.js';
import type { Heartbeat } from './types.js';

/**
 * Leases for reads (thesis §6.4.1, made strict). A voter that grants one promises to vote for nobody
 * for `leaseMs` from when the heartbeat came. Nobody else can then lead before that has passed on the
 * clocks of a quorum; so a leader that counts from before it *sent* the heartbeat, and takes off the
 * margin by which clocks may run apart, may answer reads until then without asking anybody.
 *
 * Never from when the answer came: it may have been under way for as long as the lease lasts.
 *
 * The leader's monotonic clock stands still while its machine is suspended, and voters count on. So the time of day has a say, too: as
 * far as it has been set by then, it shows how long that was. Where it has jumped ahead, a lease is lost, and nothing else.
 */

/** A moment by both clocks. */
interface Moment {
  readonly nowMs: number;
  readonly wallMs: number;
}

/** The voter's half: for how long it votes for nobody, itself included. */
export class VotePromise {
  #untilMs = Number.NEGATIVE_INFINITY;
  #waitMs: number;

  /** What an earlier start may have promised is kept by a wait, since it is not on disk. */
  constructor(waitMs: number) {
    this.#waitMs = waitMs;
  }

  /** A step begins. The first one of all begins the wait. */
  begin(nowMs: number): void {
    if (this.#waitMs === 0) return;
    this.make(nowMs + this.#waitMs);
    this.#waitMs = 0;
  }

  make(untilMs: number): void {
    this.#untilMs = Math.max(this.#untilMs, untilMs);
  }

  holdsAt(nowMs: number): boolean {
    return nowMs < this.#untilMs;
  }
}

/** The leader's half: when the rounds of heartbeats that asked for a lease began to be sent. */
export class LeaseRounds {
  /** Of round `#firstRound` and those behind it. A round that asked for none holds its place by `null`. */
  #sentAt: (Moment | null)[] = [];
  #firstRound = 1;

  sent(round: number, { nowMs, wallMs }: Moment): void {
    if (this.#sentAt.length === 0) this.#firstRound = round;
    while (this.#firstRound + this.#sentAt.length < round) this.#sentAt.push(null);
    this.#sentAt.push({ nowMs, wallMs });
  }

  /** `null` when it asked for none, or is forgotten. */
  sentAt(round: number): Moment | null {
    return this.#sentAt[round - this.#firstRound] ?? null;
  }

  /** Forgets the rounds that were sent before `beforeMs`. */
  forget(beforeMs: number): void {
    let count = 0;
    for (const sentAt of this.#sentAt) {
      if (sentAt !== null && sentAt.nowMs >= beforeMs) break;
      count += 1;
    }
    if (count === 0) return;
    this.#sentAt = this.#sentAt.slice(count);
    this.#firstRound += count;
  }
}

/** Heartbeats are about to be sent. How long a lease they ask for, in milliseconds; 0: none. */
export function beginLeaseRound(state: RaftState, leadership: Leadership): number {
  const { leaseMs } = state.options;
  if (leaseMs === 0 || leadership.timeoutNowSent) return 0;
  const { leaseRounds, reads } = leadership;
  leaseRounds.forget(state.nowMs - leaseMs);
  // A round of its own each time: an answer must tell which of several heartbeats it is for.
  leaseRounds.sent(reads.nextRound(), state);
  return leaseMs;
}

/**
 * May the leader answer reads without asking? Looked up anew each time: which members make a quorum
 * may have changed since they granted.
 */
export function hasLease(state: RaftState, leadership: Leadership): boolean {
  const { leaseMs, leaseDriftMargin } = state.options;
  // After TimeoutNow another may be elected at any time, in spite of all promises.
  if (leaseMs === 0 || leadership.timeoutNowSent) return false;
  const round = quorumReached(state.configuration, (member) =>
    member === state.id ? leadership.reads.round : (leadership.progressOf(member)?.leaseRound ?? 0),
  );
  const sentAt = leadership.leaseRounds.sentAt(round);
  if (sentAt === null) return false;
  const lastsMs = leaseMs * (1 - leaseDriftMargin);
  return state.nowMs < sentAt.nowMs + lastsMs && state.wallMs < sentAt.wallMs + lastsMs;
}

/** The leader of the current term asks for a lease. Says whether it is granted, and keeps to it. */
export function grantLease(state: RaftState, { leaseMs }: Heartbeat): boolean {
  // After a restart it would wait for no longer than its own `leaseMs`.
  if (leaseMs === 0 || leaseMs > state.options.leaseMs) return false;
  state.votePromise.make(state.nowMs + leaseMs);
  return true;
}
