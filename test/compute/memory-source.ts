import { compareBytes } from '../../src/base/bytes.js';
import type { ScanAnswer, ScanQuery, Source, StoredKey } from '../../src/compute/execution.js';

/** JSON values by key, the revision of each is its place in the list. Counts what it is asked. */
export class MemorySource implements Source {
  readonly #items: (StoredKey & { readonly key: Buffer })[];
  gets = 0;
  /** As an `ap` procedure sees them. */
  readonly cells = new Map<string, Uint8Array>();
  readonly cellsRead: string[] = [];
  scans = 0;
  keysScanned = 0;

  constructor(values: Record<string, unknown> = {}) {
    this.#items = Object.entries(values).map(([key, value], i) => ({
      key: Buffer.from(key),
      value: Buffer.from(JSON.stringify(value)),
      modRevision: i + 1,
    }));
    this.#items.sort((a, b) => compareBytes(a.key, b.key));
  }

  /** Bytes as they are. */
  replace(key: string, value: Uint8Array): void {
    const at = this.#items.findIndex((item) => item.key.toString() === key);
    this.#items[at] = { key: Buffer.from(key), value, modRevision: 1 };
  }

  get(key: Uint8Array): StoredKey | null {
    this.gets += 1;
    return this.#items.find((item) => compareBytes(item.key, key) === 0) ?? null;
  }

  cell(key: string): Uint8Array | null {
    this.cellsRead.push(key);
    return this.cells.get(key) ?? null;
  }

  scan({ from, to, keysMax, bytesMax }: ScanQuery): ScanAnswer {
    this.scans += 1;
    const inside = this.#items.filter(
      ({ key }) => compareBytes(key, from) >= 0 && (to === null || compareBytes(key, to) < 0),
    );
    let bytes = 0;
    const items = inside.slice(0, keysMax).filter(({ key, value }) => {
      const fits = bytes < bytesMax;
      bytes += key.byteLength + value.byteLength;
      return fits;
    });
    this.keysScanned += items.length;
    return { items, more: items.length < inside.length };
  }
}
