import { compareBytes } from '../../src/base/bytes.js';
import type { ScanAnswer, ScanQuery, Source, StoredKey } from '../../src/compute/execution.js';

/** JSON values by key, the revision of each is its place in the list. Counts what it is asked. */
export class MemorySource implements Source {
  readonly #items: StoredKey[];
  gets = 0;
  scans = 0;

  constructor(values: Record<string, unknown> = {}) {
    this.#items = Object.entries(values).map(([key, value], i) => ({
      key: Buffer.from(key),
      value: Buffer.from(JSON.stringify(value)),
      modRevision: i + 1,
    }));
    this.#items.sort((a, b) => compareBytes(a.key, b.key));
  }

  get(key: Uint8Array): StoredKey | null {
    this.gets += 1;
    return this.#items.find((item) => compareBytes(item.key, key) === 0) ?? null;
  }

  scan({ from, to, keysMax }: ScanQuery): ScanAnswer {
    this.scans += 1;
    const inside = this.#items.filter(
      ({ key }) => compareBytes(key, from) >= 0 && (to === null || compareBytes(key, to) < 0),
    );
    return { items: inside.slice(0, keysMax), more: inside.length > keysMax };
  }
}
