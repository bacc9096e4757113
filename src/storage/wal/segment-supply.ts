import { toDiskError } from '../disk-error.js';
import type { Done } from '../files.js';
import {
  Segment,
  type SegmentPlan,
  segmentPath,
  segmentPieces,
  UNFINISHED_SUFFIX,
} from './segment.js';

type Taker = (error: Error | null, segment: Segment | null) => void;

/**
 * Makes the next segment ahead of need, so that the log never waits for one: overwriting bytes that
 * exist takes half the time of making a file longer. A failure is kept, and given to the one who
 * comes for the segment: until then the log has room.
 */
export class SegmentSupply {
  readonly #plan: SegmentPlan;
  #ready: Segment[];
  #nextNumber: number;
  #isPreparing = false;
  #isClosed = false;
  #failure: Error | null = null;
  #taker: Taker | null = null;

  /** @param ready whole segments without frames that were found on disk, in order */
  constructor(plan: SegmentPlan, ready: readonly Segment[], nextNumber: number) {
    this.#plan = plan;
    this.#ready = [...ready];
    this.#nextNumber = nextNumber;
  }

  get count(): number {
    return this.#ready.length;
  }

  /** Starts to make a segment unless one is there. */
  prepare(): void {
    const isNeeded = this.#ready.length === 0 && !this.#isPreparing;
    if (!isNeeded || this.#isClosed || this.#failure !== null) return;
    this.#isPreparing = true;
    const number = this.#nextNumber;
    this.#nextNumber += 1;
    const path = segmentPath(this.#plan.folder, number);
    try {
      this.#make(number, path);
    } catch (error) {
      this.#finish(toDiskError(error, path), null);
    }
  }

  /** The next segment, when it is whole. One taker at a time. */
  take(taker: Taker): void {
    this.#taker = taker;
    this.prepare();
    this.#serve();
  }

  /** Makes no more, and gives up what is ready. What is in the making is thrown away at the next start. */
  close(): void {
    this.#isClosed = true;
    for (const segment of this.#ready) segment.drop();
    this.#ready = [];
  }

  #make(number: number, path: string): void {
    const { files, folder, failpoints } = this.#plan;
    failpoints.hit('wal.before-segment-create');
    const file = files.open(path + UNFINISHED_SUFFIX);
    const pieces = segmentPieces(this.#plan, number);
    const fail = (error: unknown): void => {
      file.close();
      this.#discard(path + UNFINISHED_SUFFIX);
      this.#finish(toDiskError(error, path), null);
    };
    const step =
      (act: () => void): Done =>
      (error) => {
        if (error !== null) return fail(error);
        if (this.#isClosed) return file.close();
        try {
          act();
        } catch (thrown) {
          fail(thrown);
        }
      };
    const adopt = (): void => {
      failpoints.hit('wal.after-segment-create');
      const segment = Segment.open(files, path, number);
      file.close();
      this.#finish(null, segment);
    };
    const name = (): void => {
      files.rename(path + UNFINISHED_SUFFIX, path);
      files.syncFolderLater(folder, step(adopt));
    };
    const writeNext = (): void => {
      const piece = pieces.next();
      if (piece.done === true) {
        name();
        return;
      }
      const { position, bytes, isSliceEnd } = piece.value;
      const next = isSliceEnd ? () => file.syncLater(step(writeNext)) : writeNext;
      file.writeAtLater(position, [bytes], step(next));
    };
    writeNext();
  }

  /** Gives the space back; the failure that led here is the one that is reported. */
  #discard(path: string): void {
    try {
      this.#plan.files.remove(path);
    } catch {
      // Recovery removes it.
    }
  }

  #finish(error: Error | null, segment: Segment | null): void {
    this.#isPreparing = false;
    this.#failure = error;
    if (segment !== null) this.#ready.push(segment);
    this.#serve();
  }

  #serve(): void {
    const taker = this.#taker;
    if (taker === null) return;
    const segment = this.#ready.shift() ?? null;
    if (segment === null && this.#failure === null) return;
    this.#taker = null;
    taker(segment === null ? this.#failure : null, segment);
    this.prepare();
  }
}
