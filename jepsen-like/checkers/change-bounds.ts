import { countBelow } from './sorted.js';

/** What an operation may have added to a number, and when. */
export interface Change {
  /** Negative: it was taken away. */
  readonly by: number;
  /** It counts from here on at the earliest. */
  readonly begin: number;
  /** It counts from here on at the latest; Infinity: perhaps never. */
  readonly end: number;
}

/** Sums of changes in the order of one of their moments. */
class Sums {
  readonly #times: number[] = [];
  readonly #sums: number[] = [];

  constructor(changes: Iterable<readonly [time: number, by: number]>) {
    let sum = 0;
    for (const [time, by] of [...changes].sort(([a], [b]) => a - b)) {
      sum += by;
      this.#times.push(time);
      this.#sums.push(sum);
    }
  }

  /** Of those before this time. */
  before(time: number): number {
    return this.#sums[countBelow(this.#times, time) - 1] ?? 0;
  }

  /** Of those through this time. */
  through(time: number): number {
    return this.#sums[countBelow(this.#times, time, true) - 1] ?? 0;
  }
}

/** Between what a number must be that all these changes are made to, when it is read within some time. */
export class ChangeBounds {
  readonly #certainUp: Sums;
  readonly #certainDown: Sums;
  readonly #possibleUp: Sums;
  readonly #possibleDown: Sums;

  constructor(changes: readonly Change[]) {
    const pick = (isUp: boolean, moment: 'begin' | 'end') =>
      new Sums(
        changes
          .filter((change) => change.by > 0 === isUp && Number.isFinite(change[moment]))
          .map((change) => [change[moment], change.by] as const),
      );
    this.#certainUp = pick(true, 'end');
    this.#certainDown = pick(false, 'end');
    this.#possibleUp = pick(true, 'begin');
    this.#possibleDown = pick(false, 'begin');
  }

  of({ begin, end }: { readonly begin: number; readonly end: number }): {
    readonly low: number;
    readonly high: number;
  } {
    return {
      low: this.#certainUp.before(begin) + this.#possibleDown.through(end),
      high: this.#possibleUp.through(end) + this.#certainDown.before(begin),
    };
  }
}
