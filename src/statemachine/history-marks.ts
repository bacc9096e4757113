import { toBuffer } from '../base/bytes.js';
import { corrupt } from './corrupt.js';
import { COUNT_BYTES, readCount, writeCount } from './fixed-binary.js';
import { MARKS_KEY } from './layout.js';
import type { StateStore, StateWrite } from './state-store.js';

/** At this log time the store was at this revision. */
interface Mark {
  readonly timeMs: number;
  readonly revision: number;
}

/** Into so many parts the age of the history is divided: it is kept that exactly. */
const PARTS = 32;

const FORMAT = 1;
const MARK_BYTES = 2 * COUNT_BYTES;

/**
 * When revisions were made, roughly: to know which one is how old. Replicated, and bounded: some tens
 * of marks, spread over the age that the settings ask for.
 */
export class HistoryMarks {
  /** Oldest first. */
  #marks: Mark[];
  #isChanged = false;

  /** @throws BalsaError `STATE_CORRUPT` */
  constructor(store: StateStore) {
    const bytes = store.get(MARKS_KEY);
    this.#marks = bytes === undefined ? [] : decode(bytes);
  }

  /** Notes that log time is `timeMs` with the store at `revision`, if it is time for another mark. */
  note(timeMs: number, revision: number, historyMs: number): void {
    if (historyMs === 0) {
      if (this.#marks.length > 0) this.#replace([]);
      return;
    }
    const spacing = Math.ceil(historyMs / PARTS);
    const last = this.#marks.at(-1);
    if (last !== undefined && timeMs < last.timeMs + spacing) return;
    const needed = this.#marks.filter(
      // One that is older than the age is needed: the last.
      (_, n) => (this.#marks[n + 1]?.timeMs ?? timeMs) > timeMs - historyMs,
    );
    this.#replace([...thinned(needed, spacing), { timeMs, revision }]);
  }

  #replace(marks: Mark[]): void {
    this.#marks = marks;
    this.#isChanged = true;
  }

  /** The latest revision that is known to have been there at `timeMs`; 0: none is. */
  revisionAt(timeMs: number): number {
    return this.#marks.findLast((mark) => mark.timeMs <= timeMs)?.revision ?? 0;
  }

  flushInto(writes: StateWrite[]): void {
    if (!this.#isChanged) return;
    this.#isChanged = false;
    writes.push({ key: MARKS_KEY, value: this.#marks.length === 0 ? null : encode(this.#marks) });
  }
}

/** Without those that stand too close to one before them, as they do when the age was raised. */
function thinned(marks: readonly Mark[], spacing: number): Mark[] {
  const kept: Mark[] = [];
  for (const mark of marks) {
    const last = kept.at(-1);
    if (last === undefined || mark.timeMs >= last.timeMs + spacing) kept.push(mark);
  }
  return kept;
}

function encode(marks: readonly Mark[]): Buffer {
  const bytes = Buffer.allocUnsafe(1 + marks.length * MARK_BYTES);
  let offset = bytes.writeUInt8(FORMAT, 0);
  for (const { timeMs, revision } of marks) {
    offset = writeCount(bytes, revision, writeCount(bytes, timeMs, offset));
  }
  return bytes;
}

function decode(source: Uint8Array): Mark[] {
  const bytes = toBuffer(source);
  if (bytes[0] !== FORMAT || (bytes.byteLength - 1) % MARK_BYTES !== 0) {
    throw corrupt(`marks of the history of ${bytes.byteLength} bytes and format ${bytes[0]}`);
  }
  const marks: Mark[] = [];
  for (let offset = 1; offset < bytes.byteLength; offset += MARK_BYTES) {
    const timeMs = readCount(bytes, offset);
    marks.push({ timeMs, revision: readCount(bytes, offset + COUNT_BYTES) });
  }
  return marks;
}
