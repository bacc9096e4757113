import type { ScanPage } from '../statemachine/state-store.js';

type Pair = readonly [key: Uint8Array, value: Uint8Array];

/** Fills a page until its limits; the pair that no longer fits only shows that there is more. */
export class ScanPageBuilder {
  readonly #keysMax: number;
  readonly #bytesMax: number;
  readonly #pairs: Pair[] = [];
  #bytes = 0;
  #more = false;

  constructor(limits: { readonly keysMax: number; readonly bytesMax: number }) {
    this.#keysMax = Math.max(limits.keysMax, 1);
    this.#bytesMax = limits.bytesMax;
  }

  get isFull(): boolean {
    return this.#more;
  }

  get length(): number {
    return this.#pairs.length;
  }

  /** The next pair of the range. */
  add(key: Uint8Array, value: Uint8Array): void {
    this.#bytes += key.byteLength + value.byteLength;
    const fits = this.#pairs.length < this.#keysMax && this.#bytes <= this.#bytesMax;
    if (fits || this.#pairs.length === 0) this.#pairs.push([key, value]);
    else this.#more = true;
  }

  build(): ScanPage {
    return { pairs: this.#pairs, more: this.#more };
  }
}
