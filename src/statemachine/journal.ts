import { assert } from '../base/assert.js';

/**
 * How to take back what a transaction has staged, should one of its operations be refused. Nothing is
 * noted outside of a transaction: single operations are judged before they change anything.
 */
export class Journal {
  #undo: (() => void)[] | null = null;

  get isOpen(): boolean {
    return this.#undo !== null;
  }

  open(): void {
    assert(this.#undo === null, 'a transaction ends before the next one begins');
    this.#undo = [];
  }

  /** @param undo takes back one change; called in the reverse order */
  note(undo: () => void): void {
    this.#undo?.push(undo);
  }

  /** What was staged stays. */
  close(): void {
    this.#undo = null;
  }

  /** All is as it was when it was opened. */
  rollBack(): void {
    const undo = this.#undo ?? [];
    this.#undo = null;
    for (const step of undo.reverse()) step();
  }
}
