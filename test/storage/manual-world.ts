import type { Clock } from '../../src/base/clock.js';

interface PlannedTimer {
  readonly atMs: number;
  readonly callback: () => void;
}

/** Time and completions by hand: nothing happens before {@link ManualWorld.run} says so. */
export class ManualWorld implements Clock {
  #nowMs = 0;
  #queue: (() => void)[] = [];
  #timers: PlannedTimer[] = [];

  readonly schedule = (complete: () => void): void => {
    this.#queue.push(complete);
  };

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void): { cancel(): void } {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  defer(callback: () => void): void {
    this.#queue.push(callback);
  }

  /** Everything that can happen without time passing. */
  run(): void {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) next();
  }

  /** One completion; false when there is none. */
  runOne(): boolean {
    const next = this.#queue.shift();
    next?.();
    return next !== undefined;
  }

  pass(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#nowMs);
    this.#timers = this.#timers.filter(({ atMs }) => atMs > this.#nowMs);
    for (const { callback } of due) callback();
    this.run();
  }
}
