import { randomInt } from 'node:crypto';
import { assert } from '../base/assert.js';
import { type Clock, systemClock } from '../base/clock.js';
import { type Delta, ORIGIN_LENGTH } from '../base/delta.js';
import { BalsaError } from '../base/errors.js';
import { type Failpoints, noFailpoints } from '../base/failpoints.js';
import { type RecoveredDeltas, recoverDeltas } from './delta-recovery.js';
import { createDeltaSegment, type DeltaSegmentPlan } from './delta-segment.js';
import { DeltaWriter, type QueuedDelta } from './delta-writer.js';
import { toFolderError } from './disk-error.js';
import type { Files } from './files.js';
import type { WalRepair } from './wal/tail.js';

export const DELTA_SEGMENT_BYTES = 4 * 1024 * 1024;

export interface HeldDelta {
  readonly delta: Delta;
  /** It, packed. */
  readonly bytes: Uint8Array;
}

export interface DeltaQueueOptions {
  readonly folder: string;
  readonly files: Files;
  /** A segment beyond this size is not written on. */
  readonly segmentBytes?: number;
  /** For the name of a new queue; a test's choice. By default it cannot be guessed. */
  readonly random?: { int(bound: number): number };
  readonly clock?: Clock;
  readonly failpoints?: Failpoints;
  /** Called once, when the disk has failed: what is not durable by then never will be. */
  readonly onFailure: (error: BalsaError) => void;
}

interface Queued extends HeldDelta, QueuedDelta {}

/**
 * The deltas that a replica holds: its own ones, until they are in the log, and copies of those of others. They are in memory,
 * and durably in a folder (see `delta-format.ts`). What was appended is to be told to nobody before it is durable: after a crash
 * its sequence is given to another one.
 */
export class DeltaQueue {
  /** The name of this queue: made at random with its folder, so that a lost disk never speaks for the one before. */
  readonly origin: string;
  /** What had to be cut off the end when it was opened; fit for the log of the server. */
  readonly repairs: readonly WalRepair[];
  /** Own deltas up to this sequence were removed before the queue was opened, as they were merged. */
  readonly removedSequence: number;
  /** Called after each sync that has made something durable. */
  onDurable: (() => void) | null = null;
  readonly #onFailure: (error: BalsaError) => void;
  readonly #writer: DeltaWriter;
  /** By position, and so in order. */
  readonly #held = new Map<number, Queued>();
  /** The same, in order of their sequences. */
  readonly #byOrigin = new Map<string, Queued[]>();
  readonly #lastSequences: Map<string, number>;
  #waiters: { readonly position: number; readonly done: () => void }[] = [];
  #position = 0;
  #durablePosition = 0;
  #ownBytes = 0;
  #copiedBytes = 0;

  /**
   * Opens the queue in the folder, or makes one, with a new origin.
   * @throws BalsaError `DELTAS_CORRUPT`, `VERSION_UNSUPPORTED`, `DISK_FULL`, `DISK_FAILED`, `DATA_FOLDER_UNUSABLE`
   */
  static open(options: DeltaQueueOptions): DeltaQueue {
    const { files, folder } = options;
    try {
      const recovered = recoverDeltas(files, folder);
      const random = options.random ?? { int: randomInt };
      const plan: DeltaSegmentPlan = {
        files,
        folder,
        failpoints: options.failpoints ?? noFailpoints,
        origin: recovered?.origin ?? newOrigin(random),
        salt: recovered?.salt ?? random.int(2 ** 32),
        segmentBytes: options.segmentBytes ?? DELTA_SEGMENT_BYTES,
      };
      return new DeltaQueue(options, plan, recovered ?? newQueue(plan));
    } catch (error) {
      throw toFolderError(error, folder);
    }
  }

  private constructor(
    options: DeltaQueueOptions,
    plan: DeltaSegmentPlan,
    recovered: RecoveredDeltas,
  ) {
    this.origin = recovered.origin;
    this.repairs = recovered.repairs;
    this.removedSequence = recovered.removedSequence;
    this.#onFailure = options.onFailure;
    this.#lastSequences = new Map(recovered.lastSequences);
    for (const { delta, bytes, segment } of recovered.deltas) {
      this.#hold({ delta, bytes }).segment = segment;
    }
    this.#durablePosition = this.#position;
    this.#writer = new DeltaWriter({
      plan,
      clock: options.clock ?? systemClock,
      segments: recovered.segments,
      nextFrame: recovered.nextFrame,
      ownSequence: this.lastSequence(this.origin),
      onDurable: (position) => this.#becomesDurable(position),
      onFailure: (error) => this.#fail(error),
    });
  }

  /** All that are held, own ones and copies, in the order in which they were appended. */
  get held(): IterableIterator<HeldDelta> {
    return this.#held.values();
  }

  /**
   * The last sequence of an origin that was appended; 0: none is known. Of the own one it is known for ever, of others as long as
   * one of their deltas is in the folder.
   */
  lastSequence(origin: string): number {
    return this.#lastSequences.get(origin) ?? 0;
  }

  /** Of the last one that was appended; 0: none. */
  get position(): number {
    return this.#position;
  }

  /** All up to this position are durable. */
  get durablePosition(): number {
    return this.#durablePosition;
  }

  /** Bytes of own deltas that are held. */
  get ownBytes(): number {
    return this.#ownBytes;
  }

  /** Bytes of copies that are held. */
  get copiedBytes(): number {
    return this.#copiedBytes;
  }

  /**
   * Appends at the end: in memory at once, on disk with the next sync. Sequences of the own origin have no gaps, those of others
   * grow.
   * @returns its position: a number that grows by one, from 1 for the first one that was found when the queue was opened
   * @throws BalsaError what the disk has failed with, `SHUTTING_DOWN`
   */
  append(held: HeldDelta): number {
    if (this.#writer.failure !== null) throw this.#writer.failure;
    if (this.#writer.isClosed) throw new BalsaError('SHUTTING_DOWN', 'the queue is closed');
    const { origin, sequence } = held.delta;
    const last = this.lastSequence(origin);
    if (origin === this.origin) assert(sequence === last + 1, 'own deltas come without gaps');
    else assert(sequence > last, 'copies come in the order of their sequences');
    this.#lastSequences.set(origin, sequence);
    this.#writer.submit(this.#hold(held));
    return this.#position;
  }

  /**
   * Calls back once all up to `position` is durable; at once if it is. Never after a failure, or when the queue is closed.
   */
  whenDurable(position: number, done: () => void): void {
    if (position <= this.#durablePosition) done();
    else if (this.#isAlive()) this.#waiters.push({ position, done });
  }

  /**
   * Those with sequences up to `merged(origin)` are in the log, durably: forgets them, and removes the files that hold nothing
   * else. They may be back after a crash.
   */
  trim(merged: (origin: string) => number): void {
    for (const [origin, queue] of this.#byOrigin) {
      const upTo = merged(origin);
      const kept = queue.findIndex(({ sequence }) => sequence > upTo);
      const gone = queue.splice(0, kept < 0 ? queue.length : kept);
      for (const queued of gone) this.#forget(queued);
      if (queue.length === 0) this.#byOrigin.delete(origin);
    }
    if (this.#isAlive()) this.#writer.removeUnneeded();
  }

  /** Waits for the sync under way. What would have gone with the next one is not written. */
  close(): Promise<void> {
    this.#waiters = [];
    return this.#writer.close();
  }

  // ---------------------------------------------------------------- inside

  #isAlive(): boolean {
    return this.#writer.failure === null && !this.#writer.isClosed;
  }

  #hold({ delta, bytes }: HeldDelta): Queued {
    this.#position += 1;
    const { origin, sequence } = delta;
    const isOwn = origin === this.origin;
    const position = this.#position;
    const state = { isHeld: true, segment: null };
    const queued: Queued = { delta, bytes, sequence, isOwn, position, ...state };
    this.#held.set(position, queued);
    const queue = this.#byOrigin.get(origin);
    if (queue === undefined) this.#byOrigin.set(origin, [queued]);
    else queue.push(queued);
    this.#count(queued, bytes.byteLength);
    return queued;
  }

  #forget(queued: Queued): void {
    queued.isHeld = false;
    this.#held.delete(queued.position);
    this.#count(queued, -queued.bytes.byteLength);
    if (queued.segment !== null) queued.segment.heldCount -= 1;
  }

  #count({ isOwn }: Queued, bytes: number): void {
    if (isOwn) this.#ownBytes += bytes;
    else this.#copiedBytes += bytes;
  }

  #becomesDurable(position: number): void {
    this.#durablePosition = position;
    // A file whose deltas were merged before they were durable may be done with now.
    this.#writer.removeUnneeded();
    const ready = this.#waiters.filter((waiter) => waiter.position <= position);
    this.#waiters = this.#waiters.filter((waiter) => waiter.position > position);
    for (const { done } of ready) done();
    if (!this.#writer.isClosed) this.onDurable?.();
  }

  #fail(error: BalsaError): void {
    this.#waiters = [];
    this.#onFailure(error);
  }
}

function newOrigin(random: { int(bound: number): number }): string {
  const digits = Array.from({ length: ORIGIN_LENGTH }, () => random.int(16).toString(16));
  return digits.join('');
}

function newQueue(plan: DeltaSegmentPlan): RecoveredDeltas {
  const { origin, salt } = plan;
  const segment = createDeltaSegment(plan, { number: 1, ownSequence: 0, firstFrame: 1 });
  return {
    ...{ origin, salt, segments: [segment], deltas: [], nextFrame: 1 },
    ...{ lastSequences: new Map([[origin, 0]]), removedSequence: 0, repairs: [] },
  };
}
