import { assert } from '../../base/assert.js';
import { countWhile } from '../../base/binary-search.js';

/**
 * A set of whole numbers as the spans that it is made of: what is done of a stage, of which nearly all lies side by side. It takes
 * as much room as it has gaps.
 */
export class OrdinalSet {
  /** From, to (exclusive), from, to... */
  readonly #bounds: number[];
  #size = 0;

  /** @param bounds as {@link OrdinalSet.bounds} gives them */
  constructor(bounds: readonly number[] = []) {
    assert(bounds.length % 2 === 0, 'each span has a beginning and an end');
    this.#bounds = [...bounds];
    for (let i = 0; i < bounds.length; i += 2) {
      this.#size += (bounds[i + 1] as number) - (bounds[i] as number);
    }
  }

  get size(): number {
    return this.#size;
  }

  get bounds(): readonly number[] {
    return this.#bounds;
  }

  has(n: number): boolean {
    // Behind an odd number of bounds one is inside of a span.
    return this.#boundsThrough(n) % 2 === 1;
  }

  /** Whether it has all in `[from, to)`. */
  hasAll(from: number, to: number): boolean {
    if (from >= to) return true;
    const at = this.#boundsThrough(from);
    return at % 2 === 1 && (this.#bounds[at] as number) >= to;
  }

  /** The first one from `from` on that it does not have. */
  firstAbsent(from: number): number {
    const at = this.#boundsThrough(from);
    return at % 2 === 0 ? from : (this.#bounds[at] as number);
  }

  add(n: number): void {
    const at = this.#boundsThrough(n);
    if (at % 2 === 1) return;
    this.#size += 1;
    const joinsBefore = at > 0 && this.#bounds[at - 1] === n;
    const joinsAfter = this.#bounds[at] === n + 1;
    if (joinsBefore && joinsAfter) this.#bounds.splice(at - 1, 2);
    else if (joinsBefore) this.#bounds[at - 1] = n + 1;
    else if (joinsAfter) this.#bounds[at] = n;
    else this.#bounds.splice(at, 0, n, n + 1);
  }

  /** How many bounds are not above `n`. */
  #boundsThrough(n: number): number {
    return countWhile(this.#bounds, (bound) => bound <= n);
  }
}
