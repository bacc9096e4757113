import type { Clock, Timer } from '../base/clock.js';

/** Calls that run out of time are noticed this late at most, unless there are very many of them. */
const GRAIN_MS = 5;

/** Between two walks there is so many times as much time as the last one took: where calls pile up, those that go on come first. */
const REST = 9;

/** Timers cannot be set further ahead. */
const TIMER_MS_MAX = 0x7fff_ffff;

/**
 * Notices that calls run out of time, with one timer for all of them. It keeps no list: `sweep` walks
 * the calls that are pending, which in good times happens once per time limit and finds nothing.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #sweep: (nowMs: number) => number;
  #timer: Timer | null = null;
  #dueMs = Number.POSITIVE_INFINITY;

  /** `sweep` ends the calls that are due and returns the earliest deadline of the rest. */
  constructor(clock: Clock, sweep: (nowMs: number) => number) {
    this.#clock = clock;
    this.#sweep = sweep;
  }

  /** There is a call with this deadline. */
  watch(deadlineMs: number): void {
    if (deadlineMs < this.#dueMs) this.#arm(deadlineMs);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
    // Nothing is earlier: no timer is ever set again.
    this.#dueMs = Number.NEGATIVE_INFINITY;
  }

  #arm(dueMs: number): void {
    this.#timer?.cancel();
    this.#dueMs = dueMs;
    const delayMs = Math.ceil(Math.max(0, dueMs - this.#clock.monotonicMs()));
    this.#timer = this.#clock.setTimer(Math.min(delayMs, TIMER_MS_MAX), () => this.#fire());
  }

  #fire(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#timer = null;
    this.#dueMs = Number.POSITIVE_INFINITY;
    const nextMs = this.#sweep(nowMs);
    const endMs = this.#clock.monotonicMs();
    const restMs = Math.max(GRAIN_MS, REST * (endMs - nowMs));
    if (nextMs < this.#dueMs) this.#arm(Math.max(nextMs, endMs + restMs));
  }
}
