import { assert } from '../base/assert.js';
import type { HardState, LogIndex } from './types.js';

interface Write {
  readonly sequence: number;
  readonly sinceTick: number;
  /** When it is done, the log is on disk through here. */
  claim: LogIndex;
  readonly hardState: HardState | null;
}

/**
 * What is on disk, and the writes that were asked for and are not done.
 *
 * Each write claims the log through its last entry. A truncation lowers the claims of *all* writes
 * under way (and what was flushed) to the place before the cut. A late completion of a write whose
 * entries were cut off meanwhile, and replaced by others at the same indexes, therefore says nothing
 * of the new ones: these have a write of their own behind it. (This is the ABA race of asynchronous
 * storage. Comparing the term and index of a completion with the log does not catch it when the
 * same entry comes back after a second truncation; lowered claims do.)
 */
export class WritesUnderWay {
  readonly #writes: Write[] = [];
  #lastSequence = 0;
  #flushedIndex: LogIndex;
  #durable: HardState;

  constructor(durable: HardState, flushedIndex: LogIndex) {
    this.#durable = durable;
    this.#flushedIndex = flushedIndex;
  }

  /** The log, as it is now, is on disk through here. */
  get flushedIndex(): LogIndex {
    return this.#flushedIndex;
  }

  /** What is on disk says that all through here is committed: a restart applies it, whoever leads then. */
  get savedCommitIndex(): LogIndex {
    return this.#durable.commitIndex;
  }

  get lastSequence(): number {
    return this.#lastSequence;
  }

  /** Is exactly this term with this vote on disk? */
  holds(state: Pick<HardState, 'currentTerm' | 'votedFor'>): boolean {
    return (
      this.#durable.currentTerm === state.currentTerm && this.#durable.votedFor === state.votedFor
    );
  }

  /** Since when the oldest write has been under way; `null`: none is. */
  get oldestSinceTick(): number | null {
    return this.#writes[0]?.sinceTick ?? null;
  }

  /** Registers a write that ends the log on disk at `lastIndex`; returns its number. */
  begin(lastIndex: LogIndex, hardState: HardState | null, sinceTick: number): number {
    this.#lastSequence += 1;
    const sequence = this.#lastSequence;
    this.#writes.push({ sequence, sinceTick, claim: lastIndex, hardState });
    return this.#lastSequence;
  }

  /** All writes through `sequence` are done. */
  complete(sequence: number): void {
    assert(sequence <= this.#lastSequence, `write ${sequence} was asked for`);
    let done = 0;
    for (const write of this.#writes) {
      if (write.sequence > sequence) break;
      done += 1;
      this.#flushedIndex = Math.max(this.#flushedIndex, write.claim);
      if (write.hardState !== null) this.#durable = write.hardState;
    }
    this.#writes.splice(0, done);
  }

  truncateFrom(index: LogIndex): void {
    this.#flushedIndex = Math.min(this.#flushedIndex, index - 1);
    for (const write of this.#writes) write.claim = Math.min(write.claim, index - 1);
  }

  /**
   * A snapshot has taken the place of the log on disk, which now ends at `index`. Writes under way that
   * were asked for before say nothing of what will come behind it.
   */
  resetTo(index: LogIndex): void {
    this.#flushedIndex = index;
    for (const write of this.#writes) write.claim = Math.min(write.claim, index);
  }
}
