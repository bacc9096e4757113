import { closeSync, openSync, writeSync } from 'node:fs';
import type { FaultRecord, HistoryOperation } from './operation.js';

const BUFFER_LENGTH_MAX = 64 * 1024;

/**
 * Appends lines to a new file. What waits to be written is bounded (64 KiB, or one line), and an order that two calls came in is the
 * order in the file. It is written in the turn in which it is full, so that nothing piles up in front of a slow disk.
 */
export class HistoryWriter implements Disposable {
  readonly path: string;
  readonly #file: number;
  #waiting: string[] = [];
  #length = 0;
  #isClosed = false;

  /** @throws Error of the file system; the file must not be there */
  constructor(path: string) {
    this.path = path;
    this.#file = openSync(path, 'wx');
  }

  write(record: HistoryOperation | FaultRecord): void {
    if (this.#isClosed) throw new Error(`${this.path} is closed`);
    const line = `${JSON.stringify(record)}\n`;
    this.#waiting.push(line);
    this.#length += line.length;
    if (this.#length >= BUFFER_LENGTH_MAX) this.flush();
  }

  /** What was written is with the operating system: it survives the end of this process. */
  flush(): void {
    const bytes = Buffer.from(this.#waiting.join(''));
    this.#waiting = [];
    this.#length = 0;
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
  }

  close(): void {
    if (this.#isClosed) return;
    this.flush();
    this.#isClosed = true;
    closeSync(this.#file);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
