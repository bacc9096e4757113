import type { Clock } from '../base/clock.js';

/** What was not used for a moment may be used at once, but not what was not used for long. */
const BURST_MS = 50;

/** Bytes per second, shared by all who send. */
export class ByteRate {
  readonly #clock: Clock;
  readonly #bytesPerMs: number;
  /** All that was reserved so far is through at this time. */
  #freeMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock;
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  /** Takes room for `bytes`; they may be sent after as many milliseconds as are returned. */
  reserve(bytes: number): number {
    const nowMs = this.#clock.monotonicMs();
    const startMs = Math.max(this.#freeMs, nowMs - BURST_MS);
    this.#freeMs = startMs + bytes / this.#bytesPerMs;
    return Math.max(0, startMs - nowMs);
  }
}
