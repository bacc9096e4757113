import type { Clock, Timer } from '../../src/base/clock.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { pop, push } from '../simulation/time-heap.js';

interface Planned {
  readonly atMs: number;
  /** Breaks ties: what was planned first happens first. */
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
}

/** Simulated time for unit tests: one queue of all that will happen, and one source of chance. */
export class Scheduler {
  readonly random: Random;
  #nowMs = 0;
  #order = 0;
  readonly #heap: Planned[] = [];
  #events = 0;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events that have happened. */
  get events(): number {
    return this.#events;
  }

  plan(delayMs: number, run: () => void): Timer {
    return this.planAt(this.#nowMs + Math.max(0, delayMs), run);
  }

  /** Not before now. */
  planAt(atMs: number, run: () => void): Timer {
    const planned: Planned = {
      atMs: Math.max(this.#nowMs, atMs),
      order: this.#order++,
      run,
      cancelled: false,
    };
    push(this.#heap, planned);
    return {
      cancel: () => {
        planned.cancelled = true;
      },
    };
  }

  /** Lets everything happen until `done()` holds or simulated time reaches `untilMs`. */
  async run(untilMs: number, done: () => boolean = () => false): Promise<void> {
    while (!done()) {
      const next = pop(this.#heap);
      if (next === undefined || next.atMs > untilMs) {
        if (next !== undefined) push(this.#heap, next);
        this.#nowMs = untilMs;
        return;
      }
      this.#nowMs = next.atMs;
      if (next.cancelled) continue;
      this.#events += 1;
      next.run();
      // Promises that the event settled run to their end before the next event.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }

  /** By how much the time of day is ahead of the time that has passed here. */
  wallAheadMs = 0;

  /** A clock that stops when `alive()` no longer holds: a crashed machine has no timers. */
  clock(alive: () => boolean): Clock {
    const guarded = (callback: () => void) => (): void => {
      if (alive()) callback();
    };
    return {
      monotonicMs: () => this.#nowMs,
      wallMs: () => 1_700_000_000_000 + this.#nowMs + this.wallAheadMs,
      setTimer: (delayMs, callback) => this.plan(delayMs, guarded(callback)),
      defer: (callback) => void this.plan(0, guarded(callback)),
    };
  }
}
