import type { Clock, Timer } from '../../../src/base/clock.js';

interface Planned {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
  cancelled: boolean;
}

/** Time that passes only when a test says so. */
export class VirtualClock implements Clock {
  #nowMs = 1000;
  #order = 0;
  #timers: Planned[] = [];
  #deferred: (() => void)[] = [];

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    this.#order += 1;
    const dueMs = this.#nowMs + Math.max(0, delayMs);
    const planned: Planned = { dueMs, order: this.#order, callback, cancelled: false };
    this.#timers.push(planned);
    return {
      cancel: () => {
        planned.cancelled = true;
      },
    };
  }

  defer(callback: () => void): void {
    this.#deferred.push(callback);
  }

  /** Timers that wait. */
  get timers(): number {
    return this.#timers.filter((timer) => !timer.cancelled).length;
  }

  /** Lets `ms` pass: all that is due happens in order, and every promise gets its turn in between. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    for (;;) {
      await this.settle();
      const next = this.#next(endMs);
      if (next === null) break;
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      this.#timers.splice(this.#timers.indexOf(next), 1);
      next.callback();
    }
    this.#nowMs = endMs;
  }

  /** Lets `ms` pass as they do while code runs: nothing else happens meanwhile. */
  work(ms: number): void {
    this.#nowMs += ms;
  }

  /** All that happens without time passing. */
  async settle(): Promise<void> {
    await turn();
    while (this.#deferred.length > 0) {
      const deferred = this.#deferred;
      this.#deferred = [];
      for (const callback of deferred) callback();
      await turn();
    }
  }

  #next(endMs: number): Planned | null {
    this.#timers = this.#timers.filter((timer) => !timer.cancelled);
    let best: Planned | null = null;
    for (const timer of this.#timers) {
      if (timer.dueMs > endMs) continue;
      const sooner =
        best === null ||
        timer.dueMs < best.dueMs ||
        (timer.dueMs === best.dueMs && timer.order < best.order);
      if (sooner) best = timer;
    }
    return best;
  }
}

/** One turn of the real event loop: every promise that is settled has been heard behind it. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
