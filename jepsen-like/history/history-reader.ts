import type { HistoryOperation } from './operation.js';

/** A history that can be gone through as often as one likes; each time from its first line on, in the order of time. */
export interface HistoryReader extends AsyncIterable<HistoryOperation> {
  /** Where it comes from, for messages. */
  readonly source: string;
}

/** A history that is in memory: of tests, and parts of a larger one. */
export function memoryHistory(
  operations: readonly HistoryOperation[],
  source = 'memory',
): HistoryReader {
  return {
    source,
    async *[Symbol.asyncIterator]() {
      yield* operations;
    },
  };
}
