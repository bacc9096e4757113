import type { LogIndex } from './types.js';

/** AppendEntries that were sent to one follower and not answered, oldest first. */
export class InflightWindow {
  #lastIndexes: LogIndex[] = [];
  #sizes: number[] = [];
  #head = 0;
  #bytes = 0;
  readonly #messagesMax: number;
  readonly #bytesMax: number;

  constructor(messagesMax: number, bytesMax: number) {
    this.#messagesMax = messagesMax;
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#sizes.length - this.#head;
  }

  /** No further message may go. One always may when none is under way, however large. */
  get full(): boolean {
    return this.count >= this.#messagesMax || (this.count > 0 && this.#bytes >= this.#bytesMax);
  }

  add(lastIndex: LogIndex, bytes: number): void {
    this.#lastIndexes.push(lastIndex);
    this.#sizes.push(bytes);
    this.#bytes += bytes;
  }

  /** The follower has all through `matchIndex`. */
  freeThrough(matchIndex: LogIndex): void {
    while (this.count > 0 && (this.#lastIndexes[this.#head] ?? 0) <= matchIndex) {
      this.#bytes -= this.#sizes[this.#head] ?? 0;
      this.#head += 1;
    }
    if (this.count === 0) this.clear();
    else if (this.#head >= this.#messagesMax) {
      this.#lastIndexes = this.#lastIndexes.slice(this.#head);
      this.#sizes = this.#sizes.slice(this.#head);
      this.#head = 0;
    }
  }

  clear(): void {
    this.#lastIndexes.length = 0;
    this.#sizes.length = 0;
    this.#head = 0;
    this.#bytes = 0;
  }
}
