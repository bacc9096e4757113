interface Deadline {
  readonly lease: number;
  readonly timeMs: number;
}

/** Outdated entries that may lie about before the heap is made anew, beside as many as there are leases. */
const SLACK = 64;

/**
 * When leases end, earliest first: a binary heap. A lease that is kept alive gets a new entry, and its
 * old one is dropped when it comes up.
 */
export class Deadlines {
  #heap: Deadline[] = [];
  readonly #current: (lease: number) => number | null;
  readonly #count: () => number;

  /**
   * @param current the deadline that counts; `null`: there is no such lease
   * @param count how many leases there are
   */
  constructor(current: (lease: number) => number | null, count: () => number) {
    this.#current = current;
    this.#count = count;
  }

  add(lease: number, timeMs: number): void {
    if (this.#heap.length > 2 * this.#count() + SLACK) this.#dropOutdated();
    this.#push({ lease, timeMs });
  }

  /** At most `max` leases whose deadline is not behind `nowMs`; they stay. */
  due(nowMs: number, max: number): number[] {
    this.#dropFirst();
    const found = new Set<number>();
    // Everything below an entry of the heap is at least as late: only what is due is looked at.
    const open = [0];
    while (found.size < max) {
      const position = open.pop();
      if (position === undefined) break;
      const entry = this.#heap[position];
      if (entry === undefined || entry.timeMs > nowMs) continue;
      if (this.#isCurrent(entry)) found.add(entry.lease);
      open.push(2 * position + 2, 2 * position + 1);
    }
    return [...found];
  }

  #isCurrent({ lease, timeMs }: Deadline): boolean {
    return this.#current(lease) === timeMs;
  }

  #dropFirst(): void {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (this.#isCurrent(first)) return;
      const last = this.#heap.pop();
      if (last === undefined || this.#heap.length === 0) return;
      this.#heap[0] = last;
      this.#sink(0);
    }
  }

  #dropOutdated(): void {
    this.#heap = this.#heap.filter((entry) => this.#isCurrent(entry));
    this.#heap.sort((a, b) => a.timeMs - b.timeMs);
  }

  #push(entry: Deadline): void {
    let position = this.#heap.length;
    this.#heap.push(entry);
    while (position > 0) {
      const above = (position - 1) >>> 1;
      if (this.#timeAt(above) <= entry.timeMs) return;
      this.#swap(position, above);
      position = above;
    }
  }

  #sink(from: number): void {
    let position = from;
    for (;;) {
      const left = 2 * position + 1;
      const below = this.#timeAt(left + 1) < this.#timeAt(left) ? left + 1 : left;
      if (this.#timeAt(below) >= this.#timeAt(position)) return;
      this.#swap(position, below);
      position = below;
    }
  }

  #timeAt(position: number): number {
    return this.#heap[position]?.timeMs ?? Number.POSITIVE_INFINITY;
  }

  #swap(a: number, b: number): void {
    const [x, y] = [this.#heap[a], this.#heap[b]];
    if (x === undefined || y === undefined) return;
    this.#heap[a] = y;
    this.#heap[b] = x;
  }
}
