import { assert } from '../base/assert.js';
import { SortedKeys } from '../base/sorted-keys.js';
import type { KeyRecord } from './key-record.js';
import type { Target } from './keyspace.js';

const NOTHING = new SortedKeys();

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

  /** Keeps the keys in order for {@link StagedKeys.within}, until they are cleared. */
  keepOrder(): void {
    this.#order = new SortedKeys();
    for (const mapKey of this.#byKey.keys()) this.#order.add(mapKey);
  }

  /** The keys in `[from, to)`, in order or the reverse. Nothing may be written meanwhile. */
  within(from: string, to: string | null, reverse: boolean): Generator<string, void> {
    const order = this.#order ?? NOTHING;
    return reverse ? order.descending(from, to) : order.ascending(from, to);
  }

  /** One that was written. */
  target(mapKey: string): Target {
    const staged = this.#byKey.get(mapKey);
    assert(staged !== undefined, 'the order of what was written has what was written');
    return { key: staged.key, mapKey, record: staged.record };
  }

  clear(): void {
    this.#byKey.clear();
    this.#order = null;
  }
}
