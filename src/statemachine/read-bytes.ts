import { BOUNDED_VALUES } from '../base/command-versions.js';
import { Refusal } from './refusal.js';

export type ReadBytesLimit = 'entryTouchedBytesMax' | 'entryComparedBytesMax';

/**
 * Bytes of values that the operations of one log entry read and no answer gives: no command carries them, so that the size of the
 * entry says nothing of what it takes to apply it. What a refused transaction has read counts, too.
 */
export class ReadBytes {
  readonly #limit: ReadBytesLimit;
  readonly #bytesMax: number;
  #isBounded = false;
  #bytes = 0;
  /** When the transaction in hand began; `null`: there is none. */
  #bytesBefore: number | null = null;

  constructor(limit: ReadBytesLimit, bounds: Readonly<Record<ReadBytesLimit, number>>) {
    this.#limit = limit;
    this.#bytesMax = bounds[limit];
  }

  /** @param version of the entry, see `command-versions` */
  beginEntry(version: number): void {
    this.#isBounded = version >= BOUNDED_VALUES;
    this.#bytes = 0;
  }

  beginTransaction(): void {
    this.#bytesBefore = this.#bytes;
  }

  endTransaction(): void {
    this.#bytesBefore = null;
  }

  /** @throws Refusal `TXN_TOO_LARGE`, `OVERLOADED` */
  add(bytes: number): void {
    const after = this.#bytes + bytes;
    if (this.#isBounded && after > this.#bytesMax) throw this.#refusal(after);
    this.#bytes = after;
  }

  #refusal(after: number): Refusal {
    const limit = this.#bytesMax;
    const isAlone = this.#bytesBefore !== null && after - this.#bytesBefore > limit;
    const what =
      this.#limit === 'entryTouchedBytesMax'
        ? `touches of values of more than ${limit} bytes`
        : `comparisons with values of more than ${limit} bytes`;
    return isAlone
      ? new Refusal(
          'TXN_TOO_LARGE',
          `the transaction has ${what} (${this.#limit}); nothing was applied`,
          { limit },
        )
      : new Refusal(
          'OVERLOADED',
          `the writes of this moment have ${what} (${this.#limit}); try again`,
          {
            limit,
          },
        );
  }
}
