import { type Interval, IntervalTree } from './interval-tree.js';

/**
 * Who watches a key. Keys and bounds are texts of `toMapKey`, whose order is that of the bytes. A write
 * costs one look-up and one walk down the tree, however many watch something else.
 */
export class WatchIndex<T extends Interval> {
  /** Those of a single key. */
  readonly #keys = new Map<string, Set<T>>();
  readonly #ranges = new IntervalTree<T>();

  add(watcher: T): void {
    if (!isSingleKey(watcher)) {
      this.#ranges.add(watcher);
      return;
    }
    const others = this.#keys.get(watcher.from);
    if (others === undefined) this.#keys.set(watcher.from, new Set([watcher]));
    else others.add(watcher);
  }

  remove(watcher: T): void {
    if (!isSingleKey(watcher)) {
      this.#ranges.remove(watcher);
      return;
    }
    const all = this.#keys.get(watcher.from);
    all?.delete(watcher);
    if (all?.size === 0) this.#keys.delete(watcher.from);
  }

  /** Calls `visit` with each that watches `key`. */
  visit(key: string, visit: (watcher: T) => void): void {
    const single = this.#keys.get(key);
    if (single !== undefined) for (const watcher of single) visit(watcher);
    if (!this.#ranges.isEmpty) this.#ranges.stab(key, visit);
  }
}

/** The first key behind `from` is `from` with a zero byte. */
function isSingleKey({ from, to }: Interval): boolean {
  return to !== null && to.length === from.length + 1 && to === `${from}\0`;
}
