import { equalBytes, fromMapKey, prefixEnd, toMapKey } from '../base/bytes.js';
import { BalsaError } from '../base/errors.js';
import type { Compare, KeyValue } from '../base/operation.js';
import type { Bounds } from './scope.js';

/** A range as far as it was really read. */
export class RangeRead {
  readonly #bounds: Bounds;
  readonly #reverse: boolean;
  #count = 0;
  /** The last key that was seen; `null`: none yet. */
  #last: Uint8Array | null = null;
  #ended = false;

  constructor(bounds: Bounds, reverse: boolean) {
    this.#bounds = bounds;
    this.#reverse = reverse;
  }

  seen({ key }: KeyValue): void {
    this.#count += 1;
    this.#last = key;
  }

  /** It was read to its end. */
  ended(): void {
    this.#ended = true;
  }

  /**
   * What must hold at the commit: the same keys are there (none came or went: `count`, and whatever
   * comes or changes has a later revision), with the same values.
   */
  compares(snapshot: number, keyBytesMax: number): Compare[] {
    const place = this.#covered(keyBytesMax);
    if (place === null) return [];
    return [
      { ...place, operator: '=', target: 'count', value: this.#count },
      { ...place, operator: '<', target: 'modRevision', value: snapshot + 1 },
    ];
  }

  /** What the reader knows of: all of it, or from where it began through the last key seen. */
  #covered(keyBytesMax: number): Bounds | null {
    const { from, to } = this.#bounds;
    if (this.#ended) return { from, to };
    if (this.#last === null) return null;
    if (this.#reverse) return { from: this.#last, to };
    // Nothing can stand between the longest keys that begin with it.
    const full = this.#last.byteLength >= keyBytesMax;
    return { from, to: full ? prefixEnd(this.#last) : Buffer.concat([this.#last, Buffer.of(0)]) };
  }
}

/** Everything that a transaction has read, all of it at one revision. */
export class ReadSet {
  /** The revision at which each key was put last; 0: there was none. */
  readonly #keys = new Map<string, number>();
  readonly #ranges: RangeRead[] = [];

  key(key: Uint8Array, item: KeyValue | null): void {
    if (item !== null && !equalBytes(item.key, key)) {
      throw new BalsaError('FRAME_INVALID', 'the answer is about another key');
    }
    this.#keys.set(toMapKey(key), item?.modRevision ?? 0);
  }

  range(bounds: Bounds, reverse: boolean): RangeRead {
    const read = new RangeRead(bounds, reverse);
    this.#ranges.push(read);
    return read;
  }

  /** What must hold so that all that was read is still so. */
  compares(snapshot: number, keyBytesMax: number): Compare[] {
    const compares: Compare[] = [];
    for (const [key, value] of this.#keys) {
      compares.push({ from: fromMapKey(key), operator: '=', target: 'modRevision', value });
    }
    for (const range of this.#ranges) compares.push(...range.compares(snapshot, keyBytesMax));
    return compares;
  }
}
