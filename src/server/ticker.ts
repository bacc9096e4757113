import type { Clock, Timer } from '../base/clock.js';

/** More ticks than this are never made up for after a pause. */
const CATCH_UP_TICKS_MAX = 2;

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

  #plan(): void {
    const dueMs = this.#lastMs + this.#tickMs;
    // Timers take whole milliseconds: one that is cut off would fire before anything is due, and again behind that.
    const delayMs = Math.ceil(Math.max(0, dueMs - this.#clock.monotonicMs()) - ROUNDING);
    this.#timer = this.#clock.setTimer(delayMs, () => this.#fire());
  }

  #fire(): void {
    const late = this.#ticksDue() > CATCH_UP_TICKS_MAX;
    // Two rounds of the event loop: one reads the sockets, the next hands over what was in them.
    if (late) this.#clock.defer(() => this.#clock.defer(() => this.#count()));
    else this.#count();
  }

  #count(): void {
    if (this.#timer === null) return;
    const due = this.#ticksDue();
    const ticks = Math.min(due, CATCH_UP_TICKS_MAX);
    this.#lastMs = due > ticks ? this.#clock.monotonicMs() : this.#lastMs + ticks * this.#tickMs;
    // A tick may stop it.
    for (let i = 0; i < ticks && this.#timer !== null; i += 1) this.#onTick();
    if (this.#timer !== null) this.#plan();
  }

  #ticksDue(): number {
    return Math.floor((this.#clock.monotonicMs() - this.#lastMs) / this.#tickMs + ROUNDING);
  }
}
