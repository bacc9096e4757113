import type { HybridTime } from '../../base/delta.js';

/**
 * Time that goes on from all that was seen, and stays close to the time of day (Kulkarni et al. 2014, "Logical Physical
 * Clocks"): what was made with knowledge of something has a later time than that.
 */
export class HybridClock {
  readonly #wallMs: () => number;
  #last: HybridTime = { timeMs: 0, count: 0 };

  constructor(wallMs: () => number) {
    this.#wallMs = wallMs;
  }

  /** Milliseconds since 1970; nothing that is made from now on is earlier, also when the time of day goes back. */
  get nowMs(): number {
    const timeMs = Math.floor(this.#wallMs());
    if (timeMs > this.#last.timeMs) this.#last = { timeMs, count: 0 };
    return this.#last.timeMs;
  }

  /** For what is made now. */
  next(): HybridTime {
    const timeMs = this.nowMs;
    this.#last = { timeMs, count: this.#last.count + 1 };
    return this.#last;
  }

  seen(time: HybridTime): void {
    if (compareTimes(time, this.#last) > 0) this.#last = { timeMs: time.timeMs, count: time.count };
  }
}

function compareTimes(a: HybridTime, b: HybridTime): number {
  return a.timeMs - b.timeMs || a.count - b.count;
}
