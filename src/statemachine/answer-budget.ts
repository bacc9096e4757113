import { FIRST_KEYS_READ } from '../base/command-versions.js';
import { Refusal } from './refusal.js';

/**
 * How much the answer of a batch may hold: it is kept until the client has it, and travels in one frame.
 */
export class AnswerBudget {
  readonly #bounds: {
    readonly txnReadKeysMax: number;
    readonly txnReadBytesMax: number;
    readonly batchAnswerBytesMax: number;
  };
  /** One value may be as large as a value may be: without that, a large one could not be read at all. */
  readonly #isFirstFree: boolean;
  /** Of the batch. */
  #bytes = 0;
  /** Of the transaction, or of the range that is deleted; `null`: neither. */
  #operation: { keys: number; bytes: number } | null = null;

  /** @param version of the entry */
  constructor(
    bounds: {
      readonly txnReadKeysMax: number;
      readonly txnReadBytesMax: number;
      readonly batchAnswerBytesMax: number;
    },
    version: number,
  ) {
    this.#bounds = bounds;
    this.#isFirstFree = version >= FIRST_KEYS_READ;
  }

  /** What the operation that begins now gives is bounded for itself, too. */
  openOperation(): void {
    this.#operation = { keys: 0, bytes: 0 };
  }

  /** @param isApplied false: it was refused and gives nothing */
  closeOperation(isApplied: boolean): void {
    if (!isApplied && this.#operation !== null) this.#bytes -= this.#operation.bytes;
    this.#operation = null;
  }

  /** @throws Refusal `RANGE_TOO_LARGE`, `OVERLOADED` */
  add(bytes: number): void {
    const operation = this.#operation;
    if (operation !== null) {
      this.#checkOperation(operation.keys + 1, operation.bytes + bytes);
    }
    const isFirst = this.#bytes === 0;
    const { batchAnswerBytesMax } = this.#bounds;
    if (this.#bytes + bytes > batchAnswerBytesMax && !isFirst) {
      throw new Refusal(
        'OVERLOADED',
        `what is read by the writes of one moment exceeds ${batchAnswerBytesMax} bytes (batchAnswerBytesMax); try again`,
        { limit: batchAnswerBytesMax },
      );
    }
    this.#bytes += bytes;
    if (operation === null) return;
    operation.keys += 1;
    operation.bytes += bytes;
  }

  #checkOperation(keys: number, bytes: number): void {
    const { txnReadKeysMax, txnReadBytesMax } = this.#bounds;
    if (keys > txnReadKeysMax) {
      throw new Refusal(
        'RANGE_TOO_LARGE',
        `the reads of the transaction give more than ${txnReadKeysMax} keys (txnReadKeysMax)`,
        { limit: txnReadKeysMax },
      );
    }
    if (bytes <= txnReadBytesMax || (keys === 1 && this.#isFirstFree)) return;
    throw new Refusal(
      'RANGE_TOO_LARGE',
      `what the operation reads exceeds ${txnReadBytesMax} bytes (txnReadBytesMax)`,
      { limit: txnReadBytesMax },
    );
  }
}
