import { assert } from '../../base/assert.js';
import type { Clock } from '../../base/clock.js';
import { BalsaError } from '../../base/errors.js';
import type { DiskWrite, HardState, LogIndex, LogPosition } from '../../raft/types.js';
import { toDiskError } from '../disk-error.js';
import type { Done } from '../files.js';
import { encodeSeal, frameBytes } from './format.js';
import { type EncodedFrame, FrameEncoder } from './frame.js';
import type { LogImage } from './log-image.js';
import { itemPayload, type WalItem } from './record.js';
import type { RecoveredWal } from './recovery.js';
import type { Segment, SegmentPlan } from './segment.js';
import { SegmentSupply } from './segment-supply.js';

/** Most payload bytes of one frame, unless a single write is larger. */
const FRAME_PAYLOAD_BYTES_MAX = 4 * 1024 * 1024;
/** Idle time after which the end of the log is sealed. */
const SEAL_DELAY_MS = 5;

/** Something to be made durable. */
export interface WalJob {
  readonly write: Pick<DiskWrite, 'hardState' | 'entries'> | null;
  /** The log begins behind this place. */
  readonly logStart: LogPosition | null;
  /** All entries before go, whether the log holds {@link logStart} or not. */
  readonly isReset: boolean;
  readonly done: (error: Error | null) => void;
}

export interface WalWriterOptions {
  readonly plan: SegmentPlan;
  readonly recovered: Omit<RecoveredWal, 'configurationEntries' | 'repairs'>;
  readonly clock: Clock;
  /** The first jobs that were not reported yet, this many, can be read from the disk now. */
  readonly onWritten: (jobs: number) => void;
}

/**
 * Puts jobs on disk: all that waits becomes one frame, one write, one sync. Never more than one frame
 * is under way, which is what recovery stands on.
 */
export class WalWriter {
  readonly #options: WalWriterOptions;
  readonly #image: LogImage;
  readonly #encoder: FrameEncoder;
  readonly #supply: SegmentSupply;
  readonly #segments: Segment[];
  #segment: Segment;
  /** The one before, until its end is sealed. */
  #unsealedSegment: Segment | null = null;
  #nextSequence: number;
  #waiting: WalJob[] = [];
  #group: readonly WalJob[] = [];
  #isBusy = false;
  #sealedSequence = 0;
  #isSealArmed = false;
  #failure: Error | null = null;
  #closer: (() => void) | null = null;
  /** Nothing more is begun; the files are closed when the disk is done with what was. */
  #isEnding = false;
  #isClosed = false;
  /** Writes and syncs that the disk has not ended. */
  #underWay = 0;
  /** Segments with smaller numbers are no longer needed; durably so. */
  #firstNeeded = 0;
  #isDropping = false;

  durableIndex: LogIndex;
  syncs = 0;
  lastSyncMs = 0;
  maxSyncMs = 0;

  constructor(options: WalWriterOptions) {
    const { recovered, plan } = options;
    this.#options = options;
    this.#image = recovered.image;
    this.#segments = [...recovered.segments];
    const segment = this.#segments.at(-1);
    assert(segment !== undefined, 'a log has a segment');
    this.#segment = segment;
    this.#encoder = new FrameEncoder(plan.salt);
    const nextNumber = segment.number + recovered.spares.length + 1;
    this.#supply = new SegmentSupply(plan, recovered.spares, nextNumber);
    this.#nextSequence = recovered.nextSequence;
    this.durableIndex = this.#image.last.index;
    this.#supply.prepare();
  }

  get segments(): readonly Segment[] {
    return this.#segments;
  }

  submit(job: WalJob): void {
    const refusal = this.#failure ?? (this.#closer === null ? null : closedError());
    if (refusal !== null) {
      this.#options.clock.defer(() => job.done(refusal));
    } else {
      this.#waiting.push(job);
      this.#pump();
    }
  }

  /** Calls back when all that was submitted is on disk, or has failed, and the files are closed. */
  close(done: () => void): void {
    assert(this.#closer === null, 'the log is closed once');
    this.#closer = done;
    if (this.#failure === null) this.#pump();
    else this.#closeFiles();
  }

  #pump(): void {
    if (this.#isBusy || this.#failure !== null) return;
    if (this.#waiting.length === 0) this.#idle();
    else this.#startGroup();
  }

  #startGroup(): void {
    this.#isBusy = true;
    this.#group = this.#takeGroup();
    const items = toItems(this.#group, this.#image);
    if (items.length === 0) {
      this.#options.onWritten(this.#group.length);
      this.#options.clock.defer(() => this.#finishGroup());
      return;
    }
    const byteLength = frameBytes(items.length, payloadBytes(items));
    if (this.#segment.fits(byteLength)) this.#writeFrame(items);
    else this.#nextSegment(() => this.#writeFrame(items));
  }

  #takeGroup(): readonly WalJob[] {
    let bytes = 0;
    let count = 0;
    for (const job of this.#waiting) {
      for (const entry of job.write?.entries ?? []) bytes += entry.payload.byteLength;
      if (count > 0 && bytes > FRAME_PAYLOAD_BYTES_MAX) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  #nextSegment(then: () => void): void {
    this.#supply.take((error, segment) => {
      if (error !== null || segment === null) return this.#failLater(error);
      this.#segments.push(segment);
      // It is closed with the others.
      if (this.#failure !== null) return;
      this.#unsealedSegment = this.#segment;
      this.#segment = segment;
      then();
    });
  }

  #writeFrame(groupItems: readonly WalItem[]): void {
    const segment = this.#segment;
    const items = segment.isEmpty ? withBase(groupItems, this.#image) : groupItems;
    const hasCut = items.some((item) => item.kind === 'cut');
    const { failpoints } = this.#options.plan;
    try {
      const frame = this.#encoder.encode(this.#nextSequence, items);
      const position = segment.end;
      if (segment.isEmpty) segment.baseIndex = this.#image.last.index;
      applyItems(this.#image, items, segment, frame);
      segment.end += frame.byteLength;
      this.#nextSequence += 1;
      if (hasCut) failpoints.hit('wal.before-truncate');
      failpoints.hit('wal.before-append');
      this.#begin(
        (done) => segment.file.writeAtLater(position, frame.chunks, done),
        () => {
          failpoints.hit('wal.after-append');
          if (hasCut) failpoints.hit('wal.after-truncate');
          this.#options.onWritten(this.#group.length);
          this.#sync(segment);
        },
      );
    } catch (error) {
      this.#failLater(error);
    }
  }

  #sync(segment: Segment): void {
    const { clock, plan } = this.#options;
    plan.failpoints.hit('wal.before-sync');
    const startMs = clock.monotonicMs();
    this.#begin(
      (done) => segment.file.syncLater(done),
      () => {
        plan.failpoints.hit('wal.after-sync');
        this.syncs += 1;
        this.lastSyncMs = clock.monotonicMs() - startMs;
        this.maxSyncMs = Math.max(this.maxSyncMs, this.lastSyncMs);
        this.durableIndex = this.#image.last.index;
        this.#finishGroup();
      },
    );
  }

  #finishGroup(): void {
    const group = this.#group;
    this.#group = [];
    this.#isBusy = false;
    this.#sealPrevious();
    if (group.some((job) => job.logStart !== null)) this.#findUnneeded(group);
    // The disk works on while the callers hear of it.
    this.#pump();
    for (const job of group) job.done(null);
  }

  // ---------------------------------------------------------------- seals

  #idle(): void {
    if (this.#closer === null) this.#armSeal();
    else this.#sealForGood();
  }

  #armSeal(): void {
    if (this.#isSealArmed || this.#sealedSequence === this.#nextSequence) return;
    this.#isSealArmed = true;
    const sequence = this.#nextSequence;
    this.#options.clock.setTimer(SEAL_DELAY_MS, () => {
      this.#isSealArmed = false;
      // When a write is under way, its end comes here again.
      if (this.#isBusy || this.#failure !== null || this.#isEnding) return;
      if (sequence === this.#nextSequence) this.#seal(() => this.#pump());
      else this.#armSeal();
    });
  }

  /** Not synced: a kill of the process leaves it, and a power failure may. */
  #seal(then: () => void): void {
    if (this.#segment.isEmpty) return;
    this.#isBusy = true;
    this.#sealedSequence = this.#nextSequence;
    const seal = encodeSeal('seal', this.#nextSequence, this.#options.plan.salt);
    const { file, end } = this.#segment;
    this.#begin(
      (done) => file.writeAtLater(end, [seal], done),
      () => {
        this.#isBusy = false;
        then();
      },
    );
  }

  #sealForGood(): void {
    if (this.#isEnding) return;
    if (this.#segment.isEmpty || this.#sealedSequence === this.#nextSequence) {
      this.#closeFiles();
    } else {
      this.#seal(() => {
        this.#isBusy = true;
        const { file } = this.#segment;
        this.#begin(
          (done) => file.syncLater(done),
          () => this.#closeFiles(),
        );
      });
    }
  }

  /** Says in the segment before that this one has been begun, so that its loss would be noticed. */
  #sealPrevious(): void {
    const previous = this.#unsealedSegment;
    if (previous === null) return;
    this.#unsealedSegment = null;
    const firstSequence = this.#nextSequence - 1;
    const seal = encodeSeal('end-seal', firstSequence, this.#options.plan.salt);
    // It may be dropped meanwhile.
    previous.addReader();
    this.#begin(
      (done) =>
        previous.file.writeAtLater(previous.end, [seal], (error) => {
          previous.releaseReader();
          done(error);
        }),
      () => {},
    );
  }

  // ---------------------------------------------------------------- ends

  /**
   * The log begins later, durably: which segments hold nothing but what is before? Answered now, not
   * when they are deleted: the start of the log may have moved on by then, and not be durable.
   */
  #findUnneeded(group: readonly WalJob[]): void {
    const { index } = this.#image.logStart;
    const isEmptied = group.some((job) => job.isReset);
    const first = isEmptied
      ? this.#segment
      : this.#segments.findLast(({ baseIndex }) => baseIndex !== null && baseIndex <= index);
    this.#firstNeeded = Math.max(this.#firstNeeded, first?.number ?? 0);
    if (!this.#isDropping) this.#dropSegments();
  }

  /** Deletes the segments that are not needed, oldest first. */
  #dropSegments(): void {
    const { files, folder } = this.#options.plan;
    const [oldest] = this.#segments;
    this.#isDropping = false;
    if (oldest === undefined || oldest.number >= this.#firstNeeded) return;
    if (this.#failure !== null || this.#isClosed) return;
    try {
      this.#isDropping = true;
      this.#segments.shift();
      oldest.drop();
      files.remove(oldest.file.path);
      // One at a time: a gap in the numbers is taken for damage.
      files.syncFolderLater(folder, (error) => {
        if (error !== null) this.#fail(error);
        else this.#dropSegments();
      });
    } catch (error) {
      this.#failLater(error);
    }
  }

  /** Has the disk do something. What follows upon it is not done after a failure, which may have come from elsewhere meanwhile. */
  #begin(start: (done: Done) => void, then: () => void): void {
    this.#underWay += 1;
    const ended: Done = (error) => {
      this.#underWay -= 1;
      if (error !== null) this.#fail(error);
      else if (this.#failure === null) this.#goOn(then);
      if (this.#isEnding) this.#closeFiles();
    };
    try {
      start(ended);
    } catch (error) {
      this.#underWay -= 1;
      throw error;
    }
  }

  #goOn(then: () => void): void {
    try {
      then();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Not now: callers of earlier jobs may not have heard yet of their success. */
  #failLater(error: unknown): void {
    this.#options.clock.defer(() => this.#fail(error));
  }

  #fail(cause: unknown): void {
    if (this.#failure !== null || this.#isClosed) return;
    const error = toDiskError(cause, this.#segment.file.path);
    this.#failure = error;
    const jobs = [...this.#group, ...this.#waiting];
    this.#group = [];
    this.#waiting = [];
    for (const job of jobs) job.done(error);
    if (this.#closer !== null) this.#closeFiles();
  }

  #closeFiles(): void {
    this.#isEnding = true;
    // A file that is closed under a write gives its number to the next one that is opened, which gets what was written then.
    if (this.#isClosed || this.#underWay > 0) return;
    this.#isClosed = true;
    this.#supply.close();
    for (const segment of this.#segments) segment.drop();
    this.#closer?.();
  }
}

function closedError(): BalsaError {
  return new BalsaError('SHUTTING_DOWN', 'the log is closed');
}

function payloadBytes(items: readonly WalItem[]): number {
  return items.reduce((sum, item) => sum + itemPayload(item).byteLength, 0);
}

/** The jobs as records. Of several hard states only the last one counts, and comes first. */
function toItems(jobs: readonly WalJob[], image: LogImage): WalItem[] {
  const items: WalItem[] = [];
  let hardState: HardState | null = null;
  let lastIndex = image.last.index;
  for (const { write, logStart, isReset } of jobs) {
    hardState = write?.hardState ?? hardState;
    const first = write?.entries[0];
    if (write !== null && first !== undefined) {
      if (first.index <= lastIndex) items.push({ kind: 'cut', index: first.index - 1 });
      lastIndex = first.index - 1 + write.entries.length;
      for (const entry of write.entries) items.push({ kind: 'entry', entry });
    }
    if (logStart !== null) {
      items.push({ kind: isReset ? 'reset' : 'log-start', position: logStart });
      if (isReset) lastIndex = logStart.index;
    }
  }
  if (hardState !== null) items.unshift({ kind: 'hard-state', hardState });
  return items;
}

/** What the first frame of a segment carries over, so that the segments before it can go. */
function withBase(items: readonly WalItem[], image: LogImage): WalItem[] {
  const carried: WalItem[] = [
    { kind: 'base', position: image.last },
    { kind: 'base-start', position: image.logStart },
  ];
  if (items[0]?.kind !== 'hard-state') {
    carried.push({ kind: 'hard-state', hardState: image.hardState });
  }
  return [...carried, ...items];
}

function applyItems(
  image: LogImage,
  items: readonly WalItem[],
  segment: Segment,
  frame: EncodedFrame,
): void {
  items.forEach((item, position) => {
    const payload = frame.payloads[position];
    if (item.kind === 'hard-state') image.hardState = item.hardState;
    else if (item.kind === 'cut') image.cutAfter(item.index);
    else if (item.kind === 'log-start') image.startAt(item.position);
    else if (item.kind === 'reset') image.resetTo(item.position);
    else if (item.kind === 'entry' && payload !== undefined) {
      const { byteLength, checksum } = payload;
      const offset = segment.end + payload.offset;
      image.append(item.entry, { segment, offset, byteLength, type: item.entry.type, checksum });
    }
  });
}
