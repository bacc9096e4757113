import { SortedKeys } from '../base/sorted-keys.js';
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
  #order: SortedKeys | null = null;

  get size(): number {
    return this.#byKey.size;
  }

  get(mapKey: string): StagedKey | undefined {
    return this.#byKey.get(mapKey);
  }

  set(mapKey: string, staged: StagedKey): void {
    this.#order?.add(mapKey);
    this.#byKey.set(mapKey, staged);
  }

  /** As before a change that was taken back. */
  restore(mapKey: string, before: StagedKey | undefined): void {
    if (before !== undefined) {
      this.#byKey.set(mapKey, before);
      return;
    }
    this.#byKey.delete(mapKey);
    this.#order?.delete(mapKey);
  }

  entries(): IterableIterator<[string, StagedKey]> {
    return this.#byKey.entries();
  }

  /** Keeps the keys in order for {@link StagedKeys.between}, until they are cleared. */
  keepOrder(): void {
    this.#order = new SortedKeys();
    for (const mapKey of this.#byKey.keys()) this.#order.add(mapKey);
  }

  /** The keys in `[from, to)`, in order. */
  between(from: string, to: string | null): readonly string[] {
    return this.#order === null ? [] : [...this.#order.ascending(from, to)];
  }

  clear(): void {
    this.#byKey.clear();
    this.#order = null;
  }
}
