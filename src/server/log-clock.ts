import type { Clock } from '../base/clock.js';

/**
 * Log time as the leader has it: the time that it stamps on commands, and by which leases and sessions
 * expire. It goes on from the highest time in the log, by the *monotonic* clock of this machine and only
 * while this member leads. So it never goes back, jumps with no wall clock, and between any two commands it
 * has never advanced further than the true time between their proposals (drift of the clocks aside), whoever led.
 *
 * What a follower has heard or counted itself is not taken into account: of two members the one that
 * knows less could lead first, and the one that knows more would then jump over the difference.
 */
export class LogClock {
  readonly #clock: Clock;
  #leads = false;
  #baseMs = 0;
  /** Monotonic time at which it was {@link #baseMs}. */
  #baseAtMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * This member leads from now on, and has applied commands up to `logTimeMs`. (It may not have applied
   * all that its log holds. Then what it stamps is lower than that, and counts as no higher.)
   */
  lead(logTimeMs: number): void {
    this.#leads = true;
    this.#set(logTimeMs);
  }

  /** It leads no longer: time stands still. */
  follow(): void {
    this.#set(this.nowMs ?? 0);
    this.#leads = false;
  }

  /** A command was applied, and log time is at `logTimeMs`. */
  applied(logTimeMs: number): void {
    if (logTimeMs > this.#present) this.#set(logTimeMs);
  }

  /**
   * All that was in the log when this member became the leader has been applied. If no command was among
   * it, log time begins, at what this machine takes for the time of day.
   */
  settled(): void {
    if (this.#leads && this.#baseMs === 0) this.#set(Math.max(1, Math.floor(this.#clock.wallMs())));
  }

  /** Whole milliseconds; `null`: a leader that cannot know yet whether log time has begun. */
  get nowMs(): number | null {
    if (this.#leads && this.#baseMs === 0) return null;
    return Math.floor(this.#present);
  }

  get #present(): number {
    if (!this.#leads || this.#baseMs === 0) return this.#baseMs;
    return this.#baseMs + this.#clock.monotonicMs() - this.#baseAtMs;
  }

  #set(timeMs: number): void {
    this.#baseMs = timeMs;
    this.#baseAtMs = this.#clock.monotonicMs();
  }
}
