import type { HistoryReader } from './history-reader.js';
import type { FaultRecord } from './operation.js';
import { parseFault, parseOperation } from './parse-line.js';
import { linesOf } from './read-lines.js';

/**
 * A history in a file of JSON lines. It is read anew, a chunk at a time, whenever it is gone through, so that its size does not
 * matter. Iterating throws `HistoryError`, with file and line, at the first line that is not an operation.
 */
export function fileHistory(path: string): HistoryReader {
  return {
    source: path,
    async *[Symbol.asyncIterator]() {
      for (const { line, number } of linesOf(path)) yield parseOperation(line, `${path}:${number}`);
    },
  };
}

/**
 * The faults of a run; there are few of them.
 * @throws HistoryError
 */
export function readFaults(path: string): FaultRecord[] {
  return [...linesOf(path)].map(({ line, number }) => parseFault(line, `${path}:${number}`));
}
