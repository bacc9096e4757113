import { toMapKey } from '../../base/bytes.js';
import type { StateStore, StateWrite } from '../state-store.js';

/** Records of the store with what the entry in hand has changed of them. */
export class StagedRecords {
  readonly #store: StateStore;
  readonly #staged = new Map<string, StateWrite>();

  constructor(store: StateStore) {
    this.#store = store;
  }

  get hasStaged(): boolean {
    return this.#staged.size > 0;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    if (this.#staged.size > 0) {
      const staged = this.#staged.get(toMapKey(key));
      if (staged !== undefined) return staged.value ?? undefined;
    }
    return this.#store.get(key);
  }

  /** @param value `null`: it is removed */
  set(key: Uint8Array, value: Uint8Array | null): void {
    this.#staged.set(toMapKey(key), { key, value });
  }

  /**
   * Adds all that is staged to `writes`; the caller gives them to the store before anything else. In the order of the keys: the
   * order in which jobs and tasks lie in memory is not the same at all replicas, and the hash of the state is.
   */
  flushInto(writes: StateWrite[]): void {
    if (this.#staged.size === 0) return;
    const keys = [...this.#staged.keys()].sort();
    for (const key of keys) writes.push(this.#staged.get(key) as StateWrite);
    this.#staged.clear();
  }
}
