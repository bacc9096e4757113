import { toMapKey } from '../base/bytes.js';
import type { ScanRange, StateWrite } from '../statemachine/state-store.js';
import { OverlayGeneration } from './overlay-generation.js';

/**
 * What was applied and is not on disk: the generation that takes writes, and sealed ones on their way
 * to the disk, oldest first. Nearly always there is at most one of those.
 */
export class Overlay {
  active = new OverlayGeneration();
  readonly #sealed: OverlayGeneration[] = [];

  /** The next to go to the disk. */
  get oldestSealed(): OverlayGeneration | undefined {
    return this.#sealed[0];
  }

  get sealedCount(): number {
    return this.#sealed.length;
  }

  bytes(): number {
    return this.#sealed.reduce((sum, sealed) => sum + sealed.bytes, this.active.bytes);
  }

  /** Begins a new generation. */
  seal(): void {
    this.#sealed.push(this.active);
    this.active = new OverlayGeneration();
  }

  /** The oldest sealed generation is on disk. */
  dropOldest(): void {
    this.#sealed.shift();
  }

  get(key: Uint8Array): StateWrite | undefined {
    const mapKey = toMapKey(key);
    const write = this.active.get(mapKey);
    if (write !== undefined) return write;
    for (let position = this.#sealed.length - 1; position >= 0; position -= 1) {
      const sealed = this.#sealed[position]?.get(mapKey);
      if (sealed !== undefined) return sealed;
    }
    return undefined;
  }

  /**
   * The newest writes of the range, in its order, as many as can matter to a page of its limits: the
   * page ends before the last value here if more values are left out.
   */
  slice(range: ScanRange): StateWrite[] {
    const slice: StateWrite[] = [];
    let values = 0;
    let bytes = 0;
    for (const write of this.#merged(range)) {
      slice.push(write);
      if (write.value === null) continue;
      values += 1;
      bytes += write.key.byteLength + write.value.byteLength;
      if (values > range.keysMax || (values > 1 && bytes > range.bytesMax)) break;
    }
    return slice;
  }

  /** All generations' writes of the range in order, of each key only the newest. */
  *#merged(range: ScanRange): Generator<StateWrite, void> {
    const from = toMapKey(range.from);
    const to = range.to === null ? null : toMapKey(range.to);
    const reverse = range.reverse === true;
    const newestFirst = [this.active, ...this.#sealed.toReversed()];
    const cursors = newestFirst.map((generation) => {
      const keys = generation.keys(from, to, reverse);
      return { generation, keys, next: keys.next().value ?? null };
    });
    for (;;) {
      let first: string | null = null;
      for (const { next } of cursors) {
        if (next === null) continue;
        if (first === null || (reverse ? next > first : next < first)) first = next;
      }
      if (first === null) return;
      const newest = cursors.find((cursor) => cursor.next === first);
      const write = newest?.generation.get(first);
      if (write !== undefined) yield write;
      for (const cursor of cursors) {
        if (cursor.next === first) cursor.next = cursor.keys.next().value ?? null;
      }
    }
  }
}
