import { assert } from '../base/assert.js';
import type { Delta } from '../base/delta.js';
import { unpackDelta } from '../base/delta-codec.js';
import { BalsaError } from '../base/errors.js';
import {
  DELTA_FORMAT_VERSION,
  DELTA_HEADER_BYTES,
  type DeltaSegmentHeader,
  decodeDeltaFrame,
  decodeDeltaHeader,
  deltaSegmentName,
  deltaSegmentNumber,
} from './delta-format.js';
import { DeltaSegment, deltaSegmentPath } from './delta-segment.js';
import type { Files } from './files.js';
import { FRAME_HEADER_BYTES, readFrameHeader } from './wal/format.js';
import { type FrameOnDisk, makeDurable } from './wal/recovery.js';
import { UNFINISHED_SUFFIX } from './wal/segment.js';
import { proofOfLoss, type WalRepair } from './wal/tail.js';

export interface RecoveredDelta {
  readonly delta: Delta;
  readonly bytes: Buffer;
  readonly segment: DeltaSegment;
}

/** What is in the folder of a queue. */
export interface RecoveredDeltas {
  readonly origin: string;
  readonly salt: number;
  /** In order; the last one is written on. At least one. */
  readonly segments: readonly DeltaSegment[];
  readonly deltas: readonly RecoveredDelta[];
  readonly nextFrame: number;
  /** Of each origin. */
  readonly lastSequences: ReadonlyMap<string, number>;
  /** Of the queue's own: those up to this one were removed, as they were merged. */
  readonly removedSequence: number;
  readonly repairs: readonly WalRepair[];
}

/**
 * Reads a queue. `null` when there is none.
 * @throws BalsaError `DELTAS_CORRUPT` (damage, with `details.file` and `details.offset`), `VERSION_UNSUPPORTED`
 */
export function recoverDeltas(files: Files, folder: string): RecoveredDeltas | null {
  const numbers: number[] = [];
  for (const name of files.list(folder)) {
    const number = deltaSegmentNumber(name);
    if (number !== null) numbers.push(number);
    else if (name.endsWith(UNFINISHED_SUFFIX)) files.remove(`${folder}/${name}`);
  }
  if (numbers.length === 0) return null;
  const recovery = new DeltaRecovery(files, folder);
  try {
    return recovery.run(numbers);
  } catch (error) {
    recovery.close();
    throw error;
  }
}

class DeltaRecovery {
  readonly #files: Files;
  readonly #folder: string;
  readonly #segments: DeltaSegment[] = [];
  readonly #deltas: RecoveredDelta[] = [];
  readonly #lastSequences = new Map<string, number>();
  readonly #repairs: WalRepair[] = [];
  /** Of the first segment. */
  #header: DeltaSegmentHeader | null = null;
  #nextFrame = 0;
  /** Of the file that is read. */
  #lastFrame: FrameOnDisk | null = null;

  constructor(files: Files, folder: string) {
    this.#files = files;
    this.#folder = folder;
  }

  close(): void {
    for (const segment of this.#segments) segment.file.close();
  }

  run(numbers: readonly number[]): RecoveredDeltas {
    for (const [position, number] of numbers.entries()) {
      const expected = (numbers[0] ?? 0) + position;
      if (number !== expected) throw this.#corrupt(expected, 0, 'the file is missing');
      this.#readSegment(number, position === numbers.length - 1);
    }
    const last = this.#segments.at(-1);
    assert(last !== undefined && this.#header !== null, 'a queue has a segment');
    makeDurable(last.file, this.#lastFrame);
    this.#files.syncFolder(this.#folder);
    return {
      origin: this.#header.origin,
      salt: this.#header.salt,
      segments: this.#segments,
      deltas: this.#deltas,
      nextFrame: this.#nextFrame,
      lastSequences: this.#lastSequences,
      removedSequence: this.#header.ownSequence,
      repairs: this.#repairs,
    };
  }

  #readSegment(number: number, isLast: boolean): void {
    const path = deltaSegmentPath(this.#folder, number);
    const segment = new DeltaSegment(number, this.#files.open(path));
    this.#segments.push(segment);
    const bytes = segment.file.readAt(0, segment.file.size());
    const { salt } = this.#checkHeader(bytes, number);
    this.#lastFrame = null;
    while (segment.end < bytes.length) {
      const frame = decodeDeltaFrame(bytes, segment.end, salt);
      if (frame?.sequence !== this.#nextFrame) break;
      for (const delta of frame.deltas) this.#take(segment, delta);
      const end = segment.end + frame.byteLength;
      this.#lastFrame = { offset: segment.end, bytes: bytes.subarray(segment.end, end) };
      segment.end = end;
      this.#nextFrame += 1;
    }
    // The next file says how many frames there were.
    if (isLast) this.#endAt(segment, bytes, salt);
  }

  /** No frame follows: is that the end, a torn one, or damage? */
  #endAt(segment: DeltaSegment, bytes: Buffer, salt: number): void {
    const { end, number } = segment;
    const proof = proofOfLoss({ segment, bytes, from: end }, this.#nextFrame, salt);
    if (proof !== null) {
      const problem = `frame ${this.#nextFrame} cannot be read, but ${proof} shows that it was written`;
      throw this.#corrupt(number, end, problem);
    }
    const sealed = sealBytes(bytes, end, this.#nextFrame, salt);
    if (end + sealed < bytes.length) this.#cut(segment, end + sealed, bytes.length);
  }

  /** Nothing newer is there: a write that a crash interrupted, of which nobody was told. Synced with all else. */
  #cut({ file }: DeltaSegment, end: number, size: number): void {
    file.truncate(end);
    this.#repairs.push({ file: file.path, offset: end, bytes: size - end });
  }

  #checkHeader(bytes: Buffer, number: number): DeltaSegmentHeader {
    const header = decodeDeltaHeader(bytes.subarray(0, DELTA_HEADER_BYTES));
    if (header === null) throw this.#corrupt(number, 0, 'its header is damaged');
    if (header.version > DELTA_FORMAT_VERSION) {
      throw unsupported(deltaSegmentPath(this.#folder, number), header.version);
    }
    if (header.number !== number) {
      throw this.#corrupt(number, 0, `it is a copy of ${deltaSegmentName(header.number)}`);
    }
    if (this.#header === null) {
      this.#header = header;
      this.#nextFrame = header.firstFrame;
      this.#lastSequences.set(header.origin, header.ownSequence);
      return header;
    }
    if (header.origin !== this.#header.origin || header.salt !== this.#header.salt) {
      throw this.#corrupt(number, 0, 'the file belongs to another queue');
    }
    const ownSequence = this.#lastSequences.get(header.origin) ?? 0;
    if (header.firstFrame !== this.#nextFrame || header.ownSequence !== ownSequence) {
      // What is behind the last frame of a file may be a torn seal, and means nothing.
      const end = this.#segments.at(-2)?.end ?? 0;
      const problem = `frame ${this.#nextFrame} cannot be read, but there is a later file, which begins with frame ${header.firstFrame}`;
      throw this.#corrupt(number - 1, end, problem);
    }
    return header;
  }

  #take(segment: DeltaSegment, bytes: Buffer): void {
    const delta = this.#read(segment, bytes);
    const { origin, sequence } = delta;
    const last = this.#lastSequences.get(origin) ?? 0;
    const isOwn = origin === this.#header?.origin;
    if (isOwn ? sequence !== last + 1 : sequence <= last) {
      const problem = `delta ${sequence} of ${origin} comes behind delta ${last}`;
      throw this.#corrupt(segment.number, segment.end, problem);
    }
    this.#lastSequences.set(origin, sequence);
    segment.heldCount += 1;
    this.#deltas.push({ delta, bytes, segment });
  }

  #read(segment: DeltaSegment, bytes: Buffer): Delta {
    try {
      return unpackDelta(bytes);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw this.#corrupt(segment.number, segment.end, `a delta is none: ${why}`);
    }
  }

  /** Damage, by file and offset, with what an operator can do. */
  #corrupt(number: number, offset: number, problem: string): BalsaError {
    const file = deltaSegmentPath(this.#folder, number);
    return new BalsaError(
      'DELTAS_CORRUPT',
      `the queue of deltas is damaged at offset ${offset} of ${file}: ${problem}. ` +
        'This replica does not start, because it could hold what ap calls were told is done, and nobody else has yet. ' +
        `Restore the file; or move ${this.#folder} away, which gives those calls up: it begins a new queue then`,
      { details: { file, offset } },
    );
  }
}

/** Of the seal behind the last frame, which names the next one; 0: there is none. */
function sealBytes(bytes: Buffer, end: number, nextFrame: number, salt: number): number {
  const header = readFrameHeader(bytes, end, salt);
  return header?.kind === 'seal' && header.sequence === nextFrame ? FRAME_HEADER_BYTES : 0;
}

function unsupported(file: string, version: number): BalsaError {
  return new BalsaError(
    'VERSION_UNSUPPORTED',
    `${file} has format ${version} of the queue of deltas; this version of balsa reads up to ` +
      `${DELTA_FORMAT_VERSION}. Start the newer version again`,
    { details: { file, version } },
  );
}
