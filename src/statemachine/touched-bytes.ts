import { BOUNDED_TOUCHES } from '../base/command-versions.js';
import type { Journal } from './journal.js';
import { Refusal } from './refusal.js';

/**
 * How much the touches of one log entry keep: each writes a value anew that no command carries, so that the size of the entry
 * says nothing of what it takes to apply it.
 */
export class TouchedBytes {
  readonly #bytesMax: number;
  readonly #journal: Journal;
  #isBounded = false;
  #bytes = 0;
  /** When the transaction in hand began. */
  #bytesBefore = 0;

  constructor(
    { entryTouchedBytesMax }: { readonly entryTouchedBytesMax: number },
    journal: Journal,
  ) {
    this.#bytesMax = entryTouchedBytesMax;
    this.#journal = journal;
  }

  /** @param version of the entry, see `command-versions` */
  beginEntry(version: number): void {
    this.#isBounded = version >= BOUNDED_TOUCHES;
    this.#bytes = 0;
    this.#bytesBefore = 0;
  }

  beginTransaction(): void {
    this.#bytesBefore = this.#bytes;
  }

  /** @throws Refusal `TXN_TOO_LARGE`, `OVERLOADED` */
  add(bytes: number): void {
    const before = this.#bytes;
    const limit = this.#bytesMax;
    if (this.#isBounded && before + bytes > limit) {
      if (this.#journal.isOpen && before - this.#bytesBefore + bytes > limit) {
        throw new Refusal(
          'TXN_TOO_LARGE',
          `the touches of the transaction keep more than ${limit} bytes of values (entryTouchedBytesMax); nothing was applied`,
          { limit },
        );
      }
      throw new Refusal(
        'OVERLOADED',
        `the touches of this moment keep more than ${limit} bytes of values (entryTouchedBytesMax); try again`,
        { limit },
      );
    }
    this.#bytes = before + bytes;
    this.#journal.note(() => {
      this.#bytes = before;
    });
  }
}
