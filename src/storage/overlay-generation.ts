import { toMapKey } from '../base/bytes.js';
import { SortedKeys } from '../base/sorted-keys.js';
import type { StateWrite } from '../statemachine/state-store.js';

/** What a write costs beside its bytes, roughly. */
const WRITE_OVERHEAD_BYTES = 64;

/** The effects of some consecutive log entries that are not yet on disk, the last one of each key. */
export class OverlayGeneration {
  /** Of the last entry in it; `null` when there is none. */
  lastIndex: number | null = null;
  bytes = 0;
  readonly #writes = new Map<string, StateWrite>();
  readonly #sorted = new SortedKeys();
  /** Put in order when a scan first needs them. */
  #unsorted: string[] = [];

  get size(): number {
    return this.#writes.size;
  }

  apply(index: number, writes: readonly StateWrite[]): void {
    this.lastIndex = index;
    for (const write of writes) {
      const key = toMapKey(write.key);
      const before = this.#writes.get(key);
      if (before === undefined) this.#unsorted.push(key);
      else this.bytes -= costOf(before);
      this.#writes.set(key, write);
      this.bytes += costOf(write);
    }
  }

  get(mapKey: string): StateWrite | undefined {
    return this.#writes.get(mapKey);
  }

  writes(): Iterable<StateWrite> {
    return this.#writes.values();
  }

  /** The map keys of the range, in its order. */
  keys(from: string, to: string | null, reverse: boolean): Generator<string, void> {
    for (const key of this.#unsorted) this.#sorted.add(key);
    this.#unsorted = [];
    return reverse ? this.#sorted.descending(from, to) : this.#sorted.ascending(from, to);
  }
}

function costOf(write: StateWrite): number {
  return write.key.byteLength + (write.value?.byteLength ?? 0) + WRITE_OVERHEAD_BYTES;
}
