import type { Clock, Timer } from '../../src/base/clock.js';
import { type Random, seededRandom } from '../../src/base/random.js';

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

  /** A clock that stops when `alive()` no longer holds: a crashed machine has no timers. */
  clock(alive: () => boolean): Clock {
    const guarded = (callback: () => void) => (): void => {
      if (alive()) callback();
    };
    return {
      monotonicMs: () => this.#nowMs,
      wallMs: () => 1_700_000_000_000 + this.#nowMs,
      setTimer: (delayMs, callback) => this.plan(delayMs, guarded(callback)),
      defer: (callback) => void this.plan(0, guarded(callback)),
    };
  }
}

const before = (a: Planned, b: Planned): boolean =>
  a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

function push(heap: Planned[], item: Planned): void {
  let at = heap.length;
  heap.push(item);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] as Planned;
    if (!before(item, above)) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = item;
}

function pop(heap: Planned[]): Planned | undefined {
  const top = heap[0];
  const last = heap.pop();
  if (top === undefined || last === undefined || heap.length === 0) return top;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    const right = heap[child + 1];
    if (right !== undefined && before(right, heap[child] as Planned)) child += 1;
    const below = heap[child] as Planned;
    if (!before(below, last)) break;
    heap[at] = below;
    at = child;
  }
  heap[at] = last;
  return top;
}
