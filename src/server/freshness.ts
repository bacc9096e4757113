import type { Clock } from '../base/clock.js';
import type { LogIndex } from '../raft/types.js';
import type { Side } from '../rpc/protocol.js';

/** A clock may run this much too slow: staleness is stated as if it did, and calls grow old. */
export const CLOCK_DRIFT_MAX = 0.1;

/** So many probes are sent in one election timeout. */
const PROBES_PER_TIMEOUT = 3;

/** For so many election timeouts a confirmed index tells how much there is, as long as a leader is heard. */
const CONFIRMED_TIMEOUTS = 10;

/** Confirmations that wait for apply; beyond, the newest takes the place of the one before it. */
const PENDING_MAX = 64;

/** What an answer says of the state that it was given from. */
export interface FreshnessFacts {
  /** `null`: not known. */
  readonly stalenessMs: number | null;
  readonly side: Side;
}

interface Confirmation {
  readonly askedMs: number;
  readonly index: LogIndex;
}

export interface FreshnessOptions {
  readonly clock: Clock;
  readonly tickMs: number;
  readonly electionTicks: number;
}

/**
 * How old the state of this replica may be, and whether it has a majority behind it. No clocks are
 * compared: when a read index is confirmed and applied, the state has all that anybody had seen
 * *before the index was asked for*. From that moment on it ages, on this replica's own clock.
 *
 * Never from when the answer came: it may have been under way for long. What is known stays true
 * whoever leads later, and when a snapshot takes the place of the state, since a state only grows.
 * After a restart nothing is known.
 */
export class Freshness {
  readonly #clock: Clock;
  readonly #electionTicks: number;
  readonly #electionMs: number;
  readonly #probeTicks: number;
  /** The state has all that was acknowledged before. */
  #freshMs = Number.NEGATIVE_INFINITY;
  /** The latest confirmed index was asked for then. */
  #confirmedMs = Number.NEGATIVE_INFINITY;
  /** The latest index that was confirmed; `null`: none since the start, or since there was no leader. */
  #confirmedIndex: LogIndex | null = null;
  /** Confirmed, not yet applied. */
  #pending: Confirmation[] = [];
  /**
   * Since the last confirmation or the start. Ticks, because a process that was stopped has asked nobody
   * meanwhile and cannot say that nobody answers.
   */
  #silentTicks = 0;
  #ticksToProbe = 1;
  #probing = false;
  /** When a tick has passed last. */
  #tickedMs: number;

  constructor({ clock, tickMs, electionTicks }: FreshnessOptions) {
    this.#clock = clock;
    this.#electionTicks = electionTicks;
    this.#electionMs = electionTicks * tickMs;
    this.#tickedMs = clock.monotonicMs();
    this.#probeTicks = Math.max(1, Math.floor(electionTicks / PROBES_PER_TIMEOUT));
  }

  /** A quorum has confirmed that `index` had all; `askedMs` is when it was asked, or before. */
  confirmed(askedMs: number, index: LogIndex, appliedIndex: LogIndex): void {
    this.#silentTicks = 0;
    this.#ticksToProbe = this.#probeTicks;
    this.#probing = false;
    this.#confirmedMs = Math.max(this.#confirmedMs, askedMs);
    this.#confirmedIndex = Math.max(this.#confirmedIndex ?? 0, index);
    if (index <= appliedIndex) {
      this.#freshMs = Math.max(this.#freshMs, askedMs);
      return;
    }
    if (this.#pending.length >= PENDING_MAX) this.#pending.pop();
    this.#pending.push({ askedMs, index });
  }

  /** The state that is read has come this far. */
  applied(appliedIndex: LogIndex): void {
    if (this.#pending.length === 0) return;
    const waiting = this.#pending.filter((c) => c.index > appliedIndex);
    if (waiting.length === this.#pending.length) return;
    for (const { askedMs, index } of this.#pending) {
      if (index <= appliedIndex) this.#freshMs = Math.max(this.#freshMs, askedMs);
    }
    this.#pending = waiting;
  }

  /**
   * What a quorum has said to be there: about as much as there is. `null`: it has said nothing, or there may be much more by now,
   * since there was no leader to be heard meanwhile, or this process stood still.
   */
  get confirmedIndex(): LogIndex | null {
    const nowMs = this.#clock.monotonicMs();
    const isOld = nowMs - this.#confirmedMs > CONFIRMED_TIMEOUTS * this.#electionMs;
    return isOld || this.#stoodStill(nowMs) ? null : this.#confirmedIndex;
  }

  /** No leader is known any more. */
  leaderLost(): void {
    this.#confirmedIndex = null;
  }

  /** The state is at most so old, whatever the clock does; `null`: not known. */
  stalenessMs(): number | null {
    return this.#stalenessAt(this.#clock.monotonicMs());
  }

  facts(): FreshnessFacts {
    const nowMs = this.#clock.monotonicMs();
    return { stalenessMs: this.#stalenessAt(nowMs), side: this.#sideAt(nowMs) };
  }

  /**
   * A tick has passed. Answers true when a read index is to be asked for only to learn how things are:
   * nobody else has asked for long, and no such question is under way.
   */
  tick(): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (this.#stoodStill(nowMs)) this.#confirmedIndex = null;
    this.#tickedMs = nowMs;
    this.#silentTicks += 1;
    this.#ticksToProbe -= 1;
    if (this.#ticksToProbe > 0 || this.#probing) return false;
    this.#ticksToProbe = this.#probeTicks;
    this.#probing = true;
    return true;
  }

  /** The question that {@link tick} wanted has come to nothing. */
  probeFailed(): void {
    this.#probing = false;
  }

  /** This process has: others have gone on meanwhile, and nothing was asked since that is confirmed. */
  #stoodStill(nowMs: number): boolean {
    return nowMs - this.#tickedMs > this.#electionMs && this.#confirmedMs <= this.#tickedMs;
  }

  #stalenessAt(nowMs: number): number | null {
    if (this.#freshMs === Number.NEGATIVE_INFINITY) return null;
    return Math.ceil((nowMs - this.#freshMs) / (1 - CLOCK_DRIFT_MAX));
  }

  #sideAt(nowMs: number): Side {
    if (nowMs - this.#confirmedMs <= this.#electionMs) return 'majority';
    return this.#silentTicks > this.#electionTicks ? 'isolated' : 'unknown';
  }
}
