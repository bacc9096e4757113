import type { KeyRecord } from './key-record.js';

/** What a log entry has made of a key. */
export interface StagedKey {
  readonly key: Uint8Array;
  /** `null`: the key's record goes. */
  readonly record: KeyRecord | null;
  readonly value: Uint8Array;
}

/** The keys that the log entry in hand has written, each once, by `toMapKey`. */
export class StagedKeys {
  readonly #byKey = new Map<string, StagedKey>();
  /** All of them in order; kept only for an entry that has ranges. */
  #order: string[] | null = null;

  get size(): number {
    return this.#byKey.size;
  }

  get(mapKey: string): StagedKey | undefined {
    return this.#byKey.get(mapKey);
  }

  set(mapKey: string, staged: StagedKey): void {
    if (this.#order !== null && !this.#byKey.has(mapKey)) {
      this.#order.splice(firstFrom(this.#order, mapKey), 0, mapKey);
    }
    this.#byKey.set(mapKey, staged);
  }

  /** As before a change that was taken back. */
  restore(mapKey: string, before: StagedKey | undefined): void {
    if (before !== undefined) {
      this.#byKey.set(mapKey, before);
      return;
    }
    this.#byKey.delete(mapKey);
    if (this.#order !== null) this.#order.splice(firstFrom(this.#order, mapKey), 1);
  }

  entries(): IterableIterator<[string, StagedKey]> {
    return this.#byKey.entries();
  }

  /** Keeps the keys in order for {@link StagedKeys.between}, until they are cleared. */
  keepOrder(): void {
    this.#order = [...this.#byKey.keys()].sort();
  }

  /** The keys in `[from, to)`, in order. */
  between(from: string, to: string | null): readonly string[] {
    const order = this.#order ?? [];
    return order.slice(firstFrom(order, from), to === null ? order.length : firstFrom(order, to));
  }

  clear(): void {
    this.#byKey.clear();
    this.#order = null;
  }
}

/** Position of the first key that is not before `mapKey`. */
function firstFrom(order: readonly string[], mapKey: string): number {
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((order[middle] ?? '') < mapKey) low = middle + 1;
    else high = middle;
  }
  return low;
}
