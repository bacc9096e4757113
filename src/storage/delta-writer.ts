import { assert } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import type { BalsaError } from '../base/errors.js';
import { deltaBytesInFrame, encodeDeltaFrame } from './delta-format.js';
import {
  DeltaSegment,
  type DeltaSegmentPlan,
  deltaHeaderOf,
  deltaSegmentPath,
} from './delta-segment.js';
import { toDiskError } from './disk-error.js';
import type { Done } from './files.js';
import { encodeSeal } from './wal/format.js';
import { UNFINISHED_SUFFIX } from './wal/segment.js';

/** Most bytes of the deltas of one frame, unless a single one is larger. */
const FRAME_BYTES_MAX = 4 * 1024 * 1024;

/** Idle time after which the end is sealed. */
const SEAL_DELAY_MS = 5;

/** One delta, from when it is appended until it is neither held nor waiting. */
export interface QueuedDelta {
  readonly bytes: Uint8Array;
  readonly sequence: number;
  readonly isOwn: boolean;
  readonly position: number;
  isHeld: boolean;
  /** `null`: not on disk yet. */
  segment: DeltaSegment | null;
}

export interface DeltaWriterOptions {
  readonly plan: DeltaSegmentPlan;
  readonly clock: Clock;
  /** At least one; the last one is written on. */
  readonly segments: readonly DeltaSegment[];
  readonly nextFrame: number;
  /** The last of the own deltas that are on disk. */
  readonly ownSequence: number;
  /** All up to the position are. */
  readonly onDurable: (position: number) => void;
  readonly onFailure: (error: BalsaError) => void;
}

/**
 * Puts deltas on disk: all that wait become one frame, one write, one sync. Never more than one frame is under way, which is
 * what recovery stands on. Nothing goes on after a failure.
 */
export class DeltaWriter {
  readonly #options: DeltaWriterOptions;
  readonly #segments: DeltaSegment[];
  #segment: DeltaSegment;
  #nextFrame: number;
  #ownSequence: number;
  #waiting: QueuedDelta[] = [];
  #isStartPlanned = false;
  #isWriting = false;
  #isRemoving = false;
  /** The frame that the last seal names. */
  #sealedFrame = 0;
  #isSealArmed = false;
  /** Calls that the disk has not answered. */
  #underWay = 0;
  #failure: BalsaError | null = null;
  #closing: Promise<void> | null = null;
  #closed: (() => void) | null = null;

  constructor(options: DeltaWriterOptions) {
    this.#options = options;
    this.#segments = [...options.segments];
    const segment = this.#segments.at(-1);
    assert(segment !== undefined, 'a queue has a segment');
    this.#segment = segment;
    this.#nextFrame = options.nextFrame;
    this.#ownSequence = options.ownSequence;
    this.#armSeal();
  }

  get failure(): BalsaError | null {
    return this.#failure;
  }

  get isClosed(): boolean {
    return this.#closing !== null;
  }

  submit(queued: QueuedDelta): void {
    this.#waiting.push(queued);
    if (this.#isWriting || this.#isStartPlanned) return;
    // All that arrives in this turn goes together.
    this.#isStartPlanned = true;
    this.#options.clock.defer(() => {
      this.#isStartPlanned = false;
      this.#attempt(() => this.#startFrame());
    });
  }

  /** Removes the segments in which nothing is held any more, oldest first; never the one that is written on. */
  removeUnneeded(): void {
    if (this.#isRemoving || !this.#isOldestUnneeded()) return;
    this.#isRemoving = true;
    this.#options.clock.defer(() => this.#attempt(() => this.#removeOldest()));
  }

  /** Resolves when nothing is under way any more. What is not being written by now never will be. */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#closed = resolve;
      this.#settle();
    });
    return this.#closing;
  }

  // ---------------------------------------------------------------- frames

  #startFrame(): void {
    if (this.#isWriting || this.isClosed) return;
    if (this.#waiting.length === 0) {
      this.#armSeal();
      return;
    }
    this.#isWriting = true;
    const group = this.#takeGroup();
    const isFull = !this.#segment.isEmpty && this.#segment.end >= this.#options.plan.segmentBytes;
    if (isFull) this.#nextSegment(() => this.#writeFrame(group));
    else this.#writeFrame(group);
  }

  #takeGroup(): readonly QueuedDelta[] {
    let byteLength = 0;
    let count = 0;
    for (const { bytes } of this.#waiting) {
      byteLength += deltaBytesInFrame(bytes);
      if (count > 0 && byteLength > FRAME_BYTES_MAX) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  #writeFrame(group: readonly QueuedDelta[]): void {
    const { failpoints, salt } = this.#options.plan;
    const deltas = group.map(({ bytes }) => bytes);
    const frame = encodeDeltaFrame(this.#nextFrame, deltas, salt);
    const { file, end } = this.#segment;
    failpoints.hit('deltas.before-append');
    this.#disk(
      (done) => file.writeAtLater(end, [frame], done),
      () => {
        failpoints.hit('deltas.after-append');
        failpoints.hit('deltas.before-sync');
        this.#disk(
          (done) => file.syncLater(done),
          () => {
            failpoints.hit('deltas.after-sync');
            this.#finishFrame(group, frame.byteLength);
          },
        );
      },
    );
  }

  #finishFrame(group: readonly QueuedDelta[], byteLength: number): void {
    this.#segment.end += byteLength;
    this.#nextFrame += 1;
    for (const queued of group) {
      queued.segment = this.#segment;
      if (queued.isHeld) this.#segment.heldCount += 1;
      if (queued.isOwn) this.#ownSequence = queued.sequence;
    }
    this.#isWriting = false;
    // First: what they append when they hear of it goes along.
    this.#options.onDurable(group.at(-1)?.position ?? 0);
    this.#startFrame();
  }

  /** Says behind the last frame that it is durable, so that damage in it is not taken for a torn write. */
  #armSeal(): void {
    if (this.#isSealArmed || this.#segment.isEmpty || this.#sealedFrame === this.#nextFrame) return;
    this.#isSealArmed = true;
    const frame = this.#nextFrame;
    this.#options.clock.setTimer(SEAL_DELAY_MS, () => {
      this.#isSealArmed = false;
      // When a write is under way, its end comes here again.
      if (this.#isWriting || this.isClosed) return;
      if (frame === this.#nextFrame) this.#attempt(() => this.#seal());
      else this.#armSeal();
    });
  }

  /** Not synced; the next frame overwrites it. */
  #seal(): void {
    this.#isWriting = true;
    this.#sealedFrame = this.#nextFrame;
    const { file, end } = this.#segment;
    const seal = encodeSeal('seal', this.#nextFrame, this.#options.plan.salt);
    this.#disk(
      (done) => file.writeAtLater(end, [seal], done),
      () => {
        this.#isWriting = false;
        this.#startFrame();
      },
    );
  }

  // ---------------------------------------------------------------- segments

  /** All frames before are durable. Nothing is written to the new file before its header and its name are. */
  #nextSegment(then: () => void): void {
    const { plan } = this.#options;
    const { files, folder, failpoints } = plan;
    const number = this.#segment.number + 1;
    const path = deltaSegmentPath(folder, number);
    const start = { number, ownSequence: this.#ownSequence, firstFrame: this.#nextFrame };
    failpoints.hit('deltas.before-segment-create');
    const file = files.open(path + UNFINISHED_SUFFIX);
    const adopt = (): void => {
      failpoints.hit('deltas.after-segment-create');
      this.#segment = new DeltaSegment(number, files.open(path));
      this.#segments.push(this.#segment);
      then();
    };
    const name = (): void => {
      file.close();
      files.rename(path + UNFINISHED_SUFFIX, path);
      this.#disk((done) => files.syncFolderLater(folder, done), adopt);
    };
    this.#disk(
      (done) => file.writeAtLater(0, [deltaHeaderOf(plan, start)], done),
      () => this.#disk((done) => file.syncLater(done), name),
    );
  }

  #isOldestUnneeded(): boolean {
    const [oldest] = this.#segments;
    return oldest !== undefined && oldest !== this.#segment && oldest.heldCount === 0;
  }

  /** One at a time, and durably: a gap in the numbers is taken for damage. */
  #removeOldest(): void {
    this.#isRemoving = false;
    const [oldest] = this.#segments;
    if (oldest === undefined || !this.#isOldestUnneeded() || this.isClosed) return;
    const { files, folder, failpoints } = this.#options.plan;
    this.#isRemoving = true;
    failpoints.hit('deltas.before-remove');
    this.#segments.shift();
    oldest.file.close();
    files.remove(oldest.file.path);
    this.#disk(
      (done) => files.syncFolderLater(folder, done),
      () => {
        failpoints.hit('deltas.after-remove');
        this.#removeOldest();
      },
    );
  }

  // ---------------------------------------------------------------- ends

  #disk(begin: (done: Done) => void, then: () => void): void {
    this.#underWay += 1;
    begin((error) => {
      this.#underWay -= 1;
      if (error !== null) this.#fail(error);
      else this.#attempt(then);
      this.#settle();
    });
  }

  #attempt(act: () => void): void {
    if (this.#failure !== null) return;
    try {
      act();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(cause: unknown): void {
    if (this.#failure !== null) return;
    this.#failure = toDiskError(cause, this.#segment.file.path);
    this.#waiting = [];
    this.#options.onFailure(this.#failure);
  }

  #settle(): void {
    if (this.#closed === null || this.#underWay > 0) return;
    const closed = this.#closed;
    this.#closed = null;
    for (const segment of this.#segments) segment.file.close();
    closed();
  }
}
