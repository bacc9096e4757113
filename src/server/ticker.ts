import type { Clock, Timer } from '../base/clock.js';

/** More ticks than this are never made up for after a pause. */
const CATCH_UP_TICKS_MAX = 2;

/** See {@link Ticker.woken}. */
const SPARE_TICKS = 2;

/** A timer that fires on time must not find its tick short by a rounding error. */
const ROUNDING = 1e-6;

/**
 * Turns the machine's clock into ticks of the consensus module. After a pause (SIGSTOP, a long
 * garbage collection) timers are late and messages wait in the sockets: the network is drained before
 * the ticks are counted, and only a few of them are, so that a follower does not start an election
 * although its leader was there all the time.
 */
export class Ticker {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #onTick: () => void;
  #timer: Timer | null = null;
  #lastMs = 0;
  /** The timer waits for so many ticks behind the first one that is due. */
  #spareTicks = 0;
  /** Since the process was woken last. */
  #isHeard = false;
  /** Since the timer was set. */
  #wasWoken = false;

  constructor(clock: Clock, tickMs: number, onTick: () => void) {
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.#onTick = onTick;
  }

  start(): void {
    this.#lastMs = this.#clock.monotonicMs();
    this.#plan();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** A leader, who is heard in each tick, has sent something. */
  leaderHeard(): void {
    this.#isHeard = true;
  }

  /**
   * The process does something. Where it is a leader that wakes it over and over, the timer fires in every third tick only, so that
   * an idle process is woken less often; ticks may then be late by two.
   * @returns how many ticks were due before: they count, and `onTick` is not called for them
   */
  woken(): number {
    const wasHeard = this.#isHeard;
    this.#isHeard = false;
    const due = this.#ticksDue();
    // After a pause it is for the timer to wait until the network is drained.
    if (this.#timer === null || due > CATCH_UP_TICKS_MAX) return 0;
    if (wasHeard) this.#wasWoken = true;
    this.#lastMs += due * this.#tickMs;
    return due;
  }

  /** Nobody wakes it from now on: each tick is on time. */
  alone(): void {
    this.#isHeard = false;
    this.#wasWoken = false;
    if (this.#timer === null || this.#spareTicks === 0) return;
    this.#spareTicks = 0;
    this.#timer.cancel();
    this.#plan();
  }

  #plan(): void {
    const dueMs = this.#lastMs + (1 + this.#spareTicks) * this.#tickMs;
    // Timers take whole milliseconds: one that is cut off would fire before anything is due, and again behind that.
    const delayMs = Math.ceil(Math.max(0, dueMs - this.#clock.monotonicMs()) - ROUNDING);
    this.#timer = this.#clock.setTimer(delayMs, () => this.#fire());
  }

  #fire(): void {
    const late = this.#ticksDue() > CATCH_UP_TICKS_MAX;
    // Two rounds of the event loop: one reads the sockets, the next hands over what was in them.
    if (late) this.#clock.defer(() => this.#clock.defer(() => this.#fired()));
    else this.#fired();
  }

  #fired(): void {
    if (this.#timer === null) return;
    const due = this.#ticksDue();
    const isPaused = due > CATCH_UP_TICKS_MAX + this.#spareTicks;
    // Where ticks are due that no leader has woken it for, there may be none any more.
    this.#spareTicks = this.#wasWoken && due <= 1 ? SPARE_TICKS : 0;
    this.#wasWoken = false;
    this.#count(isPaused ? CATCH_UP_TICKS_MAX : due);
    if (isPaused) this.#lastMs = this.#clock.monotonicMs();
    if (this.#timer === null) return;
    // There is another one, where it was told meanwhile that it is alone.
    this.#timer.cancel();
    this.#plan();
  }

  #count(ticks: number): void {
    this.#lastMs += ticks * this.#tickMs;
    // A tick may stop it.
    for (let i = 0; i < ticks && this.#timer !== null; i += 1) this.#onTick();
  }

  #ticksDue(): number {
    return Math.floor((this.#clock.monotonicMs() - this.#lastMs) / this.#tickMs + ROUNDING);
  }
}
