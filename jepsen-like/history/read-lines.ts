import { closeSync, openSync, readSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import { HistoryError } from './history-error.js';

const CHUNK_BYTES = 256 * 1024;
/** Of one line, in characters: a value of 8 MiB in hex fits in. */
export const LINE_LENGTH_MAX = 32 * 1024 * 1024;

/**
 * Calls back for each line of a file that is not empty, with its number from 1; holds one chunk and one line. A last line without its end
 * counts: whether it is whole shows when it is parsed.
 *
 * @throws HistoryError the file cannot be read, or a line is longer than {@link LINE_LENGTH_MAX}
 */
export function* linesOf(path: string): Generator<{ readonly line: string; number: number }> {
  const file = open(path);
  try {
    const decoder = new StringDecoder('utf8');
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    let rest = '';
    let number = 0;
    for (;;) {
      const length = readSync(file, chunk, 0, CHUNK_BYTES, null);
      const text = length === 0 ? decoder.end() : decoder.write(chunk.subarray(0, length));
      const lines = (rest + text).split('\n');
      rest = length === 0 ? '' : (lines.pop() ?? '');
      for (const line of lines) {
        number += 1;
        if (line.trim() !== '') yield { line, number };
      }
      if (length === 0) return;
      if (rest.length > LINE_LENGTH_MAX) {
        throw new HistoryError(
          `${path}:${number + 1}`,
          `longer than ${LINE_LENGTH_MAX} characters; write the hash of large values`,
        );
      }
    }
  } finally {
    closeSync(file);
  }
}

function open(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    throw new HistoryError(path, `cannot be read (${(error as Error).message})`);
  }
}
