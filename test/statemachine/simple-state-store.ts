import { setImmediate as nextTurn } from 'node:timers/promises';
import type {
  ScanPage,
  ScanRange,
  StateStore,
  StateWrite,
} from '../../src/statemachine/state-store.js';

/**
 * The plainest state store there can be. It remembers every `apply`, so that it can come back as its
 * disk may after a crash: with the state after any earlier entry. It answers scans one turn late.
 */
export class SimpleStateStore implements StateStore {
  readonly restoredIndex: number;
  readonly #pairs = new Map<string, Uint8Array>();
  readonly #applied: { readonly index: number; readonly writes: readonly StateWrite[] }[] = [];
  gets = 0;

  constructor(applied: SimpleStateStore['applied'] = []) {
    for (const { index, writes } of applied) this.apply(index, writes);
    this.restoredIndex = applied.at(-1)?.index ?? 0;
  }

  get applied(): readonly { readonly index: number; readonly writes: readonly StateWrite[] }[] {
    return this.#applied;
  }

  /** What the disk has after a crash, if it had got to entry `index`. */
  reopenedAt(index: number): SimpleStateStore {
    return new SimpleStateStore(this.#applied.filter((step) => step.index <= index));
  }

  /** All keys, as text of one character per byte. */
  keys(): string[] {
    return [...this.#pairs.keys()].sort();
  }

  pairs(): [string, string][] {
    return this.keys().map((key) => [key, toText(this.#pairs.get(key) ?? new Uint8Array())]);
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.gets += 1;
    return this.#pairs.get(toText(key));
  }

  async scan(range: ScanRange): Promise<ScanPage> {
    const from = toText(range.from);
    const to = range.to === null ? null : toText(range.to);
    const found = this.keys()
      .filter((key) => key >= from && (to === null || key < to))
      .map((key) => [Buffer.from(key, 'latin1'), this.#pairs.get(key) as Uint8Array] as const);
    if (range.reverse) found.reverse();
    const pairs: (readonly [Uint8Array, Uint8Array])[] = [];
    let bytes = 0;
    for (const pair of found) {
      bytes += pair[0].byteLength + pair[1].byteLength;
      if (pairs.length > 0 && (pairs.length >= range.keysMax || bytes > range.bytesMax)) break;
      pairs.push(pair);
    }
    await nextTurn();
    return { pairs, more: pairs.length < found.length };
  }

  apply(index: number, writes: readonly StateWrite[]): void {
    if (index <= (this.#applied.at(-1)?.index ?? 0)) throw new Error(`index ${index} again`);
    const keys = new Set(writes.map((write) => toText(write.key)));
    if (keys.size !== writes.length) throw new Error('a key is written twice by one entry');
    for (const { key, value } of writes) {
      if (value === null) this.#pairs.delete(toText(key));
      else this.#pairs.set(toText(key), value);
    }
    this.#applied.push({ index, writes });
  }

  allowDisk(): void {}
  pendingBytes(): number {
    return 0;
  }
  whenPendingBelow(_bytes: number, callback: () => void): void {
    callback();
  }
  onFailure(): void {}
  async close(): Promise<void> {}
}

function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
