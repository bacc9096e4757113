import { assert } from '../../base/assert.js';
import { BalsaError } from '../../base/errors.js';
import { type Entry, LOG_START, type LogPosition } from '../../raft/types.js';
import type { File, Files } from '../files.js';
import {
  decodeSegmentHeader,
  FORMAT_VERSION,
  readFrameHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
  segmentNumber,
} from './format.js';
import { type DecodedFrame, decodeFrame } from './frame.js';
import { LogImage } from './log-image.js';
import type { WalRecord } from './record.js';
import { Segment, segmentPath, UNFINISHED_SUFFIX } from './segment.js';
import { cutTail, proofOfLoss, type WalRepair } from './tail.js';

/** What is in a log's folder. */
export interface RecoveredWal {
  readonly salt: number;
  readonly image: LogImage;
  /** Those with frames, in order; the last one is written on. At least one. */
  readonly segments: readonly Segment[];
  /** Made ahead of need, without frames. */
  readonly spares: readonly Segment[];
  readonly nextSequence: number;
  readonly configurationEntries: readonly Entry[];
  readonly repairs: readonly WalRepair[];
}

/**
 * Reads the log. `null` when there is none.
 * @throws BalsaError `WAL_CORRUPT` (damage, with `details.file` and `details.offset`),
 *   `VERSION_UNSUPPORTED`
 */
export function recoverWal(files: Files, folder: string): RecoveredWal | null {
  const numbers: number[] = [];
  for (const name of files.list(folder)) {
    const number = segmentNumber(name);
    if (number !== null) numbers.push(number);
    else if (name.endsWith(UNFINISHED_SUFFIX)) files.remove(`${folder}/${name}`);
  }
  if (numbers.length === 0) return null;
  const recovery = new Recovery(files, folder);
  try {
    return recovery.run(numbers);
  } catch (error) {
    recovery.close();
    throw error;
  }
}

/** Of a place in a segment that was deleted. */
const TERM_UNKNOWN = 0;

class Recovery {
  readonly #files: Files;
  readonly #folder: string;
  readonly #segments: Segment[] = [];
  readonly #repairs: WalRepair[] = [];
  #salt = 0;
  #image = new LogImage(LOG_START);
  #configurationEntries: Entry[] = [];
  /** Of the next frame; `null` before the first one, whose number is not known if segments were deleted. */
  #sequence: number | null = null;
  /** The last one. */
  #lastFrame: FrameOnDisk | null = null;

  constructor(files: Files, folder: string) {
    this.#files = files;
    this.#folder = folder;
  }

  close(): void {
    for (const segment of this.#segments) segment.file.close();
  }

  run(numbers: readonly number[]): RecoveredWal {
    this.#open(numbers);
    this.#sequence = numbers[0] === 1 ? 1 : null;
    let count = 0;
    let bytes: Buffer = Buffer.alloc(0);
    for (const segment of this.#segments) {
      const contents = segment.file.readAt(0, segment.file.size());
      const isBegun = this.#readSegment(segment, contents);
      if (!isBegun && count > 0) break;
      count += 1;
      bytes = contents;
      if (!isBegun) break;
    }
    const last = this.#segments[count - 1];
    assert(last !== undefined && this.#sequence !== null, 'a log has a segment');
    this.#endAt(last, bytes, this.#segments.slice(count), this.#sequence);
    this.#checkStart();
    makeDurable(last.file, this.#lastFrame);
    this.#files.syncFolder(this.#folder);
    return {
      salt: this.#salt,
      image: this.#image,
      segments: this.#segments.slice(0, count),
      spares: this.#segments.slice(count),
      nextSequence: this.#sequence,
      configurationEntries: this.#configurationEntries,
      repairs: this.#repairs,
    };
  }

  #open(numbers: readonly number[]): void {
    for (const [position, number] of numbers.entries()) {
      const expected = (numbers[0] ?? 0) + position;
      if (number !== expected) {
        throw corrupt(segmentPath(this.#folder, expected), 0, 'the file is missing');
      }
      const path = segmentPath(this.#folder, number);
      const segment = Segment.open(this.#files, path, number);
      this.#segments.push(segment);
      const { file } = segment;
      const header = checkHeader(file.readAt(0, SEGMENT_HEADER_BYTES), path, number);
      if (position === 0) this.#salt = header.salt;
      if (header.salt !== this.#salt) throw corrupt(path, 0, 'the file belongs to another log');
      // It had this length before it had its name.
      const size = file.size();
      if (size < header.preparedBytes) {
        throw corrupt(path, size, `the file is cut off, it was made ${header.preparedBytes} long`);
      }
    }
  }

  /** False when the segment does not begin with the next frame of the log. */
  #readSegment(segment: Segment, bytes: Buffer): boolean {
    for (;;) {
      const frame = decodeFrame(bytes, segment.end, this.#salt);
      if (frame === null) break;
      if (this.#sequence !== null && frame.sequence !== this.#sequence) break;
      this.#take(segment, bytes, frame);
      const end = segment.end + frame.byteLength;
      this.#lastFrame = { offset: segment.end, bytes: bytes.subarray(segment.end, end) };
      segment.end = end;
      this.#sequence = frame.sequence + 1;
    }
    if (this.#sequence === null) {
      // Older segments are deleted only when frames of this one are durable.
      throw corrupt(segment.file.path, segment.end, 'its first frame cannot be read');
    }
    return !segment.isEmpty;
  }

  #take(segment: Segment, bytes: Buffer, frame: DecodedFrame): void {
    for (const record of frame.records) {
      const problem = this.#applyRecord(segment, bytes, record);
      if (problem !== null) throw corrupt(segment.file.path, segment.end, problem);
    }
  }

  /** What is wrong with the record, if anything: damage that checksums do not see, e.g. a lost write. */
  #applyRecord(segment: Segment, bytes: Buffer, record: WalRecord): string | null {
    const image = this.#image;
    switch (record.kind) {
      case 'base':
        return this.#applyBase(segment, record.position);
      case 'base-start':
        image.logStart = record.position;
        return null;
      case 'hard-state':
        image.hardState = record.hardState;
        return null;
      case 'cut':
        this.#applyCut(record.index);
        return null;
      case 'log-start':
        if (record.position.index > image.last.index) return 'it starts the log behind its end';
        image.startAt(record.position);
        return null;
      case 'reset':
        image.resetTo(record.position);
        this.#configurationEntries = [];
        // The segments before it are not needed any more.
        segment.baseIndex = Math.min(segment.baseIndex ?? 0, record.position.index);
        return null;
      case 'entry': {
        if (record.index !== image.last.index + 1) {
          return `it goes on with entry ${record.index} behind entry ${image.last.index}`;
        }
        const { payloadOffset, payloadBytes: byteLength, type, checksum } = record;
        const offset = payloadOffset;
        image.append(record, { segment, offset, byteLength, type, checksum });
        if (type === 'configuration') {
          const payload = Buffer.from(bytes.subarray(offset, offset + byteLength));
          const { index, term } = record;
          this.#configurationEntries.push({ index, term, type, payload });
        }
        return null;
      }
    }
  }

  /**
   * A cut before the first entry that is on disk: the segments before were deleted later, when the log
   * began behind the cut, or was reset. That will be seen; if not, {@link #checkStart} finds it.
   */
  #applyCut(index: number): void {
    if (index < this.#image.floor.index) this.#image.beginBehind({ index, term: TERM_UNKNOWN });
    this.#image.cutAfter(index);
    this.#configurationEntries = this.#configurationEntries.filter((entry) => entry.index <= index);
  }

  #applyBase(segment: Segment, base: LogPosition): string | null {
    const isFirst = segment === this.#segments[0];
    if (isFirst) this.#image = new LogImage(base);
    segment.baseIndex = base.index;
    const { last, floor } = this.#image;
    const isTermUnknown = floor.index > 0 && floor.term === TERM_UNKNOWN;
    if (isTermUnknown && last.index === floor.index && floor.index === base.index) {
      this.#image.beginBehind(base);
      return null;
    }
    const fits = last.index === base.index && last.term === base.term;
    return fits ? null : `it goes on behind entry ${base.index}, the log ends at ${last.index}`;
  }

  /** Nothing follows at the end of `last`: is that the end of the log, a torn tail, or damage? */
  #endAt(last: Segment, bytes: Buffer, behind: readonly Segment[], sequence: number): void {
    const regions = [{ segment: last, bytes, from: last.end }];
    for (const segment of behind) {
      const contents = segment.file.readAt(0, segment.file.size());
      regions.push({ segment, bytes: contents, from: SEGMENT_HEADER_BYTES });
    }
    for (const region of regions) {
      const proof = proofOfLoss(region, sequence, this.#salt);
      if (proof !== null) {
        const problem = `frame ${sequence} cannot be read, but ${proof} shows that it was written`;
        throw this.#lossError(last, bytes, problem);
      }
    }
    for (const region of regions) {
      const repair = cutTail(region, sequence, this.#salt);
      if (repair !== null) this.#repairs.push(repair);
    }
  }

  /** Names the place of the lost frame: behind `last`, or in the next segment if that was begun. */
  #lossError(last: Segment, bytes: Buffer, problem: string): BalsaError {
    const header = readFrameHeader(bytes, last.end, this.#salt);
    if (header?.kind !== 'end-seal') return corrupt(last.file.path, last.end, problem);
    const next = segmentPath(this.#folder, last.number + 1);
    return corrupt(next, SEGMENT_HEADER_BYTES, problem);
  }

  #checkStart(): void {
    const { floor, logStart } = this.#image;
    const first = this.#segments[0];
    if (first === undefined || floor.index <= logStart.index) {
      const { index } = logStart;
      this.#configurationEntries = this.#configurationEntries.filter((e) => e.index > index);
      return;
    }
    const file = segmentPath(this.#folder, first.number - 1);
    throw corrupt(file, 0, `the file with entry ${floor.index} is missing`);
  }
}

export interface FrameOnDisk {
  readonly offset: number;
  readonly bytes: Buffer;
}

/**
 * What was read counts as durable from here on, and so it must be, although it may still be only in the cache of the system: after a kill
 * it may lie there unsynced; after a sync that failed it may even count as synced, and only writing it again makes a sync write it
 * (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). That is the last frame alone: no frame is written
 * before the one before it is durable.
 */
export function makeDurable(file: File, lastFrame: FrameOnDisk | null): void {
  if (lastFrame !== null) file.writeAt(lastFrame.offset, [lastFrame.bytes]);
  file.sync();
}

function checkHeader(block: Buffer, path: string, number: number): SegmentHeader {
  const header = decodeSegmentHeader(block);
  if (header === null) throw corrupt(path, 0, 'its header is damaged');
  if (header.version > FORMAT_VERSION) {
    throw new BalsaError(
      'VERSION_UNSUPPORTED',
      `${path} has log format ${header.version}; this version of balsa reads up to ` +
        `${FORMAT_VERSION}. Start the newer version again`,
      { details: { file: path, version: header.version } },
    );
  }
  if (header.number !== number) {
    throw corrupt(path, 0, `it is a copy of ${segmentName(header.number)}`);
  }
  return header;
}

/** Damage in the log, by file and offset, with what an operator can do. */
export function corrupt(file: string, offset: number, problem: string): BalsaError {
  return damage({ file, offset, problem, does: 'does not start' });
}

/** The same, found by a replica that runs. */
export function corruptMeanwhile(file: string, offset: number, problem: string): BalsaError {
  return damage({ file, offset, problem, does: 'stops, and does not start again' });
}

function damage(found: {
  readonly file: string;
  readonly offset: number;
  readonly problem: string;
  readonly does: string;
}): BalsaError {
  const { file, offset, problem, does } = found;
  return new BalsaError(
    'WAL_CORRUPT',
    `the log is damaged at offset ${offset} of ${file}: ${problem}. ` +
      `This replica ${does}, because it could have acknowledged what is lost. ` +
      'Restore the file, or empty the data folder and let the replica join again as a new member',
    { details: { file, offset } },
  );
}
