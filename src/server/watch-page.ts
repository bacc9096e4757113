import { countWhile } from '../base/binary-search.js';
import { toMapKey } from '../base/bytes.js';
import type { WriteEvent } from '../statemachine/types.js';
import type { Interval } from './interval-tree.js';

/**
 * Events in their order, of which those of a range are found without a look at the others: a page is for many
 * watchers, and each is told of its own when its turn has come.
 */
export class WatchPage {
  readonly #events: WriteEvent[] = [];
  /** Of each event. */
  readonly #keys: string[] = [];
  /** Places in `#events`, by key. */
  readonly #byKey: number[] = [];

  /** They come behind those that are there. */
  add(events: readonly WriteEvent[]): void {
    if (events.length === 0) return;
    for (const event of events) {
      this.#byKey.push(this.#events.length);
      this.#events.push(event);
      this.#keys.push(toMapKey(event.key));
    }
    // Cheap when it is done again: what is sorted already is taken as one run.
    this.#byKey.sort((a, b) => {
      const key = this.#keyAt(a);
      const other = this.#keyAt(b);
      if (key === other) return a - b;
      return key < other ? -1 : 1;
    });
  }

  /** Those of the range, in order. */
  of({ from, to }: Interval): readonly WriteEvent[] {
    const first = this.#countBelow(from);
    const end = to === null ? this.#byKey.length : this.#countBelow(to);
    if (end - first === this.#events.length) return this.#events;
    const places = Uint32Array.from(this.#byKey.slice(first, end)).sort();
    return Array.from(places, (place) => this.#events[place] as WriteEvent);
  }

  #countBelow(key: string): number {
    return countWhile(this.#byKey, (place) => this.#keyAt(place) < key);
  }

  #keyAt(place: number): string {
    return this.#keys[place] as string;
  }
}
