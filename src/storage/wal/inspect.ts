import {
  type EntryType,
  type HardState,
  LOG_START,
  type LogIndex,
  type LogPosition,
  type Term,
} from '../../raft/types.js';
import type { Files } from '../files.js';
import {
  decodeSegmentHeader,
  FORMAT_VERSION,
  FRAME_ALIGNMENT,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  type FrameHeader,
  readFrameHeader,
  SEGMENT_HEADER_BYTES,
  segmentNumber,
} from './format.js';
import { type DecodedFrame, decodeFrame } from './frame.js';
import type { WalRecord } from './record.js';
import { segmentPath } from './segment.js';

/** Where a record is: the frame that holds it. */
interface Place {
  readonly file: string;
  /** Of the frame. */
  readonly offset: number;
  /** Counts the frames of the log. */
  readonly sequence: number;
}

/** A record of the log as it lies on disk. */
export type InspectedRecord = Place &
  (
    | Exclude<WalRecord, { readonly kind: 'entry' }>
    | {
        readonly kind: 'entry';
        readonly index: LogIndex;
        readonly term: Term;
        readonly type: EntryType;
        readonly payloadBytes: number;
        /** A view; copy it to keep it. */
        readonly payload: Uint8Array;
      }
  );

export interface WalDamage {
  readonly file: string;
  readonly offset: number;
  readonly problem: string;
}

export interface InspectedSegment {
  readonly file: string;
  readonly number: number;
  readonly bytes: number;
  /** Through the end of the last frame; 0 when its header cannot be read. */
  readonly usedBytes: number;
  readonly frames: number;
  readonly records: number;
  /** The frame that it begins with; `null`: none, it was made ahead of need. */
  readonly firstSequence: number | null;
}

export interface WalReport {
  readonly segments: readonly InspectedSegment[];
  readonly frames: number;
  readonly records: number;
  /** The log begins behind this place. */
  readonly logStart: LogPosition;
  readonly last: LogPosition;
  readonly hardState: HardState;
  /** In the order in which they lie. Behind the first one, what is reported is what can still be read. */
  readonly damages: readonly WalDamage[];
  /** A write that was interrupted and never acknowledged; the next start cuts it off. */
  readonly tornTail: {
    readonly file: string;
    readonly offset: number;
    readonly bytes: number;
  } | null;
}

/**
 * Reads all of a log and changes nothing: no lock, no repair. Damage is reported and read over. A replica
 * may be writing to it meanwhile; then the end of what is seen may be a write under way.
 */
export function inspectWal(options: {
  readonly files: Files;
  readonly folder: string;
  readonly onRecord?: (record: InspectedRecord) => void;
}): WalReport {
  const { files, folder, onRecord = () => {} } = options;
  return new Inspection(files, folder, onRecord).run();
}

/** Behind the last frame of a segment. */
interface End {
  readonly number: number;
  readonly file: string;
  readonly bytes: Buffer;
  readonly offset: number;
}

class Inspection {
  readonly #files: Files;
  readonly #folder: string;
  readonly #onRecord: (record: InspectedRecord) => void;
  #damages: WalDamage[] = [];
  #segments: InspectedSegment[] = [];
  #salt: number | null = null;
  /** Of the next frame; `null`: not known. */
  #sequence: number | null = null;
  /** Behind the last frame, and the segments behind that, which have none. */
  #ends: End[] = [];
  #isBegunAnew = false;
  #hardState: HardState = { currentTerm: 0, votedFor: null, commitIndex: 0 };
  #logStart = LOG_START;
  #last = LOG_START;
  /** Entries through here were in segments that are gone. */
  #floor: LogIndex = 0;
  /** The first place of each run of equal terms. */
  #terms: LogPosition[] = [];

  constructor(files: Files, folder: string, onRecord: (record: InspectedRecord) => void) {
    this.#files = files;
    this.#folder = folder;
    this.#onRecord = onRecord;
  }

  run(): WalReport {
    const numbers = this.#numbersFrom(0);
    this.#sequence = numbers[0] === 1 ? 1 : null;
    this.#readSegments(numbers);
    // What a replica has begun since.
    for (let last = numbers.at(-1) ?? 0; this.#isContinued(); ) {
      const later = this.#numbersFrom(last + 1);
      if (later.length === 0) break;
      last = later.at(-1) ?? last;
      this.#readSegments(later);
    }
    const tornTail = this.#endOfLog();
    this.#checkStart(this.#segments[0]?.number ?? 1);
    return {
      segments: this.#segments,
      frames: this.#segments.reduce((sum, segment) => sum + segment.frames, 0),
      records: this.#segments.reduce((sum, segment) => sum + segment.records, 0),
      logStart: this.#logStart,
      last: this.#last,
      hardState: this.#hardState,
      damages: this.#damages,
      tornTail,
    };
  }

  #numbersFrom(first: number): number[] {
    const numbers = this.#files.list(this.#folder).map(segmentNumber);
    return numbers.filter((number): number is number => number !== null && number >= first);
  }

  /** The last segment says that there is another one, or has been deleted, which only happens when there is. */
  #isContinued(): boolean {
    const end = this.#ends.at(-1);
    if (end === undefined) return this.#isBegunAnew;
    return readFrameHeader(end.bytes, end.offset, this.#salt ?? 0)?.kind === 'end-seal';
  }

  #readSegments(numbers: readonly number[]): void {
    let expected = (this.#segments.at(-1)?.number ?? (numbers[0] ?? 1) - 1) + 1;
    for (const number of numbers) {
      for (; expected < number; expected += 1) {
        this.#damaged(segmentPath(this.#folder, expected), 0, 'the file is missing');
      }
      expected = number + 1;
      this.#readSegment(number);
    }
  }

  #readSegment(number: number): void {
    const file = segmentPath(this.#folder, number);
    const bytes = this.#bytesOf(file);
    if (bytes === null) {
      this.#beginAnew(number + 1);
      return;
    }
    const nothing = { usedBytes: 0, frames: 0, records: 0, firstSequence: null };
    this.#segments.push({ file, number, bytes: bytes.length, ...nothing });
    if (!this.#readHeader(bytes, file, number)) return;
    this.#readFrames({ number, file, bytes, offset: SEGMENT_HEADER_BYTES });
    // Older segments are deleted only when frames of this one are durable.
    if (this.#sequence !== null) return;
    this.#damaged(file, SEGMENT_HEADER_BYTES, 'its first frame cannot be read');
  }

  /** `null`: the replica has deleted it since it was listed, and with it all before it. */
  #bytesOf(file: string): Buffer | null {
    try {
      return this.#files.readWhole(file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }

  /** The replica has deleted all before the segment with this number: what was read of it is the log no more. */
  #beginAnew(first: number): void {
    const path = segmentPath(this.#folder, first);
    this.#isBegunAnew = true;
    this.#sequence = null;
    this.#segments = this.#segments.filter(({ number }) => number >= first);
    this.#damages = this.#damages.filter(({ file }) => file >= path);
    this.#ends = [];
    this.#beginBehind(LOG_START);
  }

  #readFrames(from: End): void {
    const { number, file, bytes } = from;
    const found: DecodedFrame[] = [];
    let { offset } = from;
    for (;;) {
      const next = this.#nextFrame(bytes, offset);
      if (next === null) break;
      if (found.length === 0 && next.frame.sequence !== this.#sequence) this.#readOn();
      this.#checkGap({ number, file, bytes, offset }, next, found.length === 0);
      this.#take(file, bytes, next.offset, next.frame);
      found.push(next.frame);
      offset = next.offset + next.frame.byteLength;
      this.#sequence = next.frame.sequence + 1;
    }
    if (found.length > 0) this.#ends = [];
    this.#ends.push({ number, file, bytes, offset });
    this.#count(number, offset, found);
  }

  /** Before a frame is called lost: the replica may have written it since its segment was read. */
  #readOn(): void {
    for (const end of this.#ends.splice(0)) {
      const bytes = this.#bytesOf(end.file);
      if (bytes === null) this.#beginAnew(end.number + 1);
      else this.#readFrames({ ...end, bytes });
    }
  }

  #count(number: number, usedBytes: number, found: readonly DecodedFrame[]): void {
    const at = this.#segments.findIndex((segment) => segment.number === number);
    const segment = this.#segments[at];
    if (segment === undefined) return;
    this.#segments[at] = {
      ...segment,
      usedBytes,
      frames: segment.frames + found.length,
      records: found.reduce((sum, { records }) => sum + records.length, segment.records),
      firstSequence: segment.firstSequence ?? found[0]?.sequence ?? null,
    };
  }

  #readHeader(bytes: Buffer, file: string, number: number): boolean {
    const header = decodeSegmentHeader(bytes.subarray(0, SEGMENT_HEADER_BYTES));
    if (header === null) {
      this.#damaged(file, 0, 'its header is damaged');
      // The frames may be whole: all segments have the same salt.
      return this.#salt !== null;
    }
    if (header.version > FORMAT_VERSION) {
      this.#damaged(file, 0, `format ${header.version}, this version knows ${FORMAT_VERSION}`);
      return false;
    }
    this.#salt ??= header.salt;
    if (header.salt !== this.#salt) {
      this.#damaged(file, 0, 'the file belongs to another log');
      return false;
    }
    if (header.number !== number) this.#damaged(file, 0, `it is a copy of file ${header.number}`);
    const { preparedBytes } = header;
    if (bytes.length < preparedBytes) {
      this.#damaged(file, bytes.length, `it is cut off, it was made ${preparedBytes} long`);
    }
    return true;
  }

  /** The next whole frame from `offset` on that is not older than the one that is due. */
  #nextFrame(bytes: Buffer, from: number): { offset: number; frame: DecodedFrame } | null {
    const salt = this.#salt ?? 0;
    for (let offset = from; offset >= 0; offset = nextMagic(bytes, offset + FRAME_ALIGNMENT)) {
      const frame = decodeFrame(bytes, offset, salt);
      if (frame !== null && frame.sequence >= (this.#sequence ?? 0)) return { offset, frame };
    }
    return null;
  }

  /** Is what was found the frame that is due, in the place where it is due? */
  #checkGap(at: End, next: { offset: number; frame: DecodedFrame }, isFirst: boolean): void {
    const { sequence } = next.frame;
    if (this.#sequence === null || sequence === this.#sequence) {
      if (next.offset > at.offset) this.#damaged(at.file, at.offset, 'bytes that are no frame');
      return;
    }
    const [end] = this.#ends;
    const place = isFirst && end !== undefined ? this.#placeOfLost(end) : at;
    const lost =
      sequence - 1 === this.#sequence
        ? `${this.#sequence}`
        : `${this.#sequence} to ${sequence - 1}`;
    const problem = `frame ${lost} cannot be read, but frame ${sequence} follows`;
    this.#damaged(place.file, place.offset, problem);
  }

  /** A segment that ends with an end seal was whole: what is lost was in the next one. */
  #placeOfLost(end: End): { readonly file: string; readonly offset: number } {
    const header = readFrameHeader(end.bytes, end.offset, this.#salt ?? 0);
    if (header?.kind !== 'end-seal') return end;
    return { file: segmentPath(this.#folder, end.number + 1), offset: SEGMENT_HEADER_BYTES };
  }

  #take(file: string, bytes: Buffer, offset: number, { sequence, records }: DecodedFrame): void {
    const place = { file, offset, sequence };
    for (const record of records) {
      const problem = this.#apply(record);
      if (problem !== null) this.#damaged(file, offset, problem);
      if (record.kind !== 'entry') {
        this.#onRecord({ ...place, ...record });
        continue;
      }
      const { kind, index, term, type, payloadBytes, payloadOffset } = record;
      const payload = bytes.subarray(payloadOffset, payloadOffset + payloadBytes);
      this.#onRecord({ ...place, kind, index, term, type, payloadBytes, payload });
    }
  }

  /** What does not fit, if anything. */
  #apply(record: WalRecord): string | null {
    switch (record.kind) {
      case 'hard-state':
        this.#hardState = record.hardState;
        return null;
      case 'entry':
        return this.#append(record);
      case 'cut':
        this.#cutAfter(record.index);
        return null;
      case 'base-start':
        this.#logStart = record.position;
        return null;
      case 'log-start':
        this.#logStart = record.position;
        if (record.position.index > this.#last.index) return 'it starts the log behind its end';
        return null;
      case 'reset':
        this.#logStart = record.position;
        this.#beginBehind(record.position);
        return null;
      case 'base': {
        const { index } = record.position;
        const isFirst = this.#terms.length === 0 && this.#last.index === 0;
        const problem =
          isFirst || index === this.#last.index
            ? null
            : `it goes on behind entry ${index}, the log ends at ${this.#last.index}`;
        if (isFirst || problem !== null) this.#beginBehind(record.position);
        return problem;
      }
    }
  }

  #append({ index, term }: LogPosition): string | null {
    const before = this.#last.index;
    const isNext = index === before + 1;
    if (!isNext) this.#beginBehind({ index: index - 1, term: 0 });
    if (this.#terms.at(-1)?.term !== term) this.#terms.push({ index, term });
    this.#last = { index, term };
    return isNext ? null : `it goes on with entry ${index} behind entry ${before}`;
  }

  #cutAfter(index: LogIndex): void {
    if (index >= this.#last.index) return;
    this.#terms = this.#terms.filter((run) => run.index <= index);
    this.#floor = Math.min(this.#floor, index);
    const start = this.#logStart.index === index ? this.#logStart.term : 0;
    this.#last = { index, term: this.#terms.at(-1)?.term ?? start };
  }

  #beginBehind(position: LogPosition): void {
    this.#floor = position.index;
    this.#last = position;
    this.#terms = [];
  }

  /** What lies behind the last frame: a torn write, or what shows that a frame is lost? */
  #endOfLog(): WalReport['tornTail'] {
    const [end] = this.#ends;
    if (end === undefined || this.#sequence === null) return null;
    for (const each of this.#ends) {
      const proof = this.#proofOfLoss(each, this.#sequence);
      if (proof === null) continue;
      const { file, offset } = this.#placeOfLost(end);
      this.#damaged(file, offset, `frame ${this.#sequence} cannot be read, but ${proof}`);
      return null;
    }
    for (const { file, bytes, offset } of this.#ends) {
      const seal = readFrameHeader(bytes, offset, this.#salt ?? 0);
      const from = seal?.kind === 'seal' ? offset + FRAME_HEADER_BYTES : offset;
      const length = lengthWithoutZeros(bytes, from);
      if (length > 0) return { file, offset: from, bytes: length };
    }
    return null;
  }

  #proofOfLoss({ file, bytes, offset: from }: End, sequence: number): string | null {
    for (let offset = from; offset >= 0; offset = nextMagic(bytes, offset + FRAME_ALIGNMENT)) {
      const header = readFrameHeader(bytes, offset, this.#salt ?? 0);
      if (header === null || !provesLoss(header, sequence)) continue;
      const what = header.kind === 'records' ? 'frame' : 'the seal before frame';
      return `${what} ${header.sequence} at offset ${offset} of ${file} shows that it was written`;
    }
    return null;
  }

  /** Segments are deleted only when all that is in them is before the start of the log. */
  #checkStart(firstNumber: number): void {
    if (this.#segments.length === 0 || this.#floor <= this.#logStart.index) return;
    if (this.#damages.length > 0) return;
    const file = segmentPath(this.#folder, firstNumber - 1);
    this.#damaged(file, 0, `the file with entry ${this.#floor} is missing`);
  }

  #damaged(file: string, offset: number, problem: string): void {
    this.#damages.push({ file, offset, problem });
  }
}

function provesLoss(header: FrameHeader, sequence: number): boolean {
  if (header.sequence > sequence) return true;
  return header.kind === 'end-seal' && header.sequence === sequence;
}

/** The next aligned frame magic from `from`; -1 when there is none. */
function nextMagic(bytes: Buffer, from: number): number {
  let found = bytes.indexOf(FRAME_MAGIC, from);
  while (found >= 0 && found % FRAME_ALIGNMENT !== 0) {
    found = bytes.indexOf(FRAME_MAGIC, found + 1);
  }
  return found;
}

function lengthWithoutZeros(bytes: Buffer, from: number): number {
  let end = bytes.length;
  while (end > from && bytes[end - 1] === 0) end -= 1;
  return end - from;
}
