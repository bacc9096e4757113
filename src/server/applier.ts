import { assert } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import type { Failpoints } from '../base/failpoints.js';
import type { Limits } from '../base/limits.js';
import type { Entry, LogIndex } from '../raft/types.js';
import type { StateMachine } from '../statemachine/state-machine.js';
import type { StateStore } from '../statemachine/state-store.js';
import type { BatchAnswer } from '../statemachine/types.js';
import type { LogStore } from '../storage/log-store.js';

/** Bytes of entries applied in one go, so that a long replay does not hold up heartbeats. */
const SLICE_BYTES = 128 * 1024;

/** What entries are applied to. */
export interface AppliedState {
  readonly machine: StateMachine;
  readonly stateStore: StateStore;
}

export interface ApplierOptions {
  readonly state: AppliedState;
  readonly logStore: LogStore;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly failpoints: Failpoints;
  /** Entries still in memory; `null` when they have to be read from the disk. */
  readonly cached: (from: LogIndex, to: LogIndex, bytesMax: number) => readonly Entry[] | null;
  readonly onApplied: (entry: Entry, answers: readonly BatchAnswer[]) => void;
  /** Called behind a slice. */
  readonly onProgress: () => void;
  readonly onFailure: (error: unknown) => void;
}

/**
 * Takes committed entries, in order, to the state machine. Falls back to the log on disk for what is
 * no longer in memory, waits while LevelDB is behind, and works in slices.
 */
export class Applier {
  readonly #options: ApplierOptions;
  #state: AppliedState;
  #commitIndex = 0;
  /** A read, a pause or the next slice is under way: it will go on by itself. */
  #busy = false;
  #paused = false;
  #stopped = false;
  /** Grows with each new state: what was begun for the one before is dropped. */
  #generation = 0;

  constructor(options: ApplierOptions) {
    this.#options = options;
    this.#state = options.state;
  }

  get appliedIndex(): LogIndex {
    return this.#state.machine.appliedIndex;
  }

  /** Entries through `commitIndex` may be applied. */
  advance(commitIndex: LogIndex): void {
    if (commitIndex > this.#commitIndex) this.#commitIndex = commitIndex;
    if (!this.#busy) this.#slice();
  }

  /** Nothing more is applied, until {@link resume}. */
  pause(): void {
    this.#paused = true;
    this.#generation += 1;
  }

  /** Goes on with the state of a snapshot that was installed. */
  resume(state: AppliedState): void {
    this.#state = state;
    this.#paused = false;
    this.#busy = false;
  }

  stop(): void {
    this.#stopped = true;
  }

  #slice(): void {
    const from = this.appliedIndex + 1;
    if (this.#stopped || this.#paused || from > this.#commitIndex) return;
    const { limits } = this.#options;
    const { stateStore } = this.#state;
    const generation = this.#generation;
    if (stateStore.pendingBytes() > limits.overlayBytesMax) {
      this.#busy = true;
      stateStore.whenPendingBelow(limits.overlayBytesMax, () => this.#goOn(generation));
      return;
    }
    const cached = this.#options.cached(from, this.#commitIndex, SLICE_BYTES);
    if (cached !== null) {
      this.#apply(cached);
      return;
    }
    this.#read(from);
  }

  #read(from: LogIndex): void {
    this.#busy = true;
    const generation = this.#generation;
    const range = { fromIndex: from, toIndex: this.#commitIndex, bytesMax: SLICE_BYTES };
    this.#options.logStore.read(range, (error, entries) => {
      if (this.#stopped || generation !== this.#generation) return;
      if (error !== null) this.#options.onFailure(error);
      else this.#guard(() => this.#apply(entries));
    });
  }

  /** @param isTold of all that was applied before these */
  #apply(entries: readonly Entry[], isTold = true): void {
    assert(entries.length > 0, 'what is not applied is in the log');
    for (const [position, entry] of entries.entries()) {
      // A callback of the entry before may have stopped the replica.
      if (this.#stopped) return;
      const reading = this.#state.machine.prepare(entry);
      if (reading !== null) {
        if (position > 0 || !isTold) this.#options.onProgress();
        this.#applyWhenRead(reading, entries.slice(position));
        return;
      }
      this.#applyOne(entry);
    }
    this.#endSlice();
  }

  /** The first of `entries` has ranges, which are being read; nothing is applied before they are. */
  #applyWhenRead(reading: Promise<void>, entries: readonly Entry[]): void {
    this.#busy = true;
    const generation = this.#generation;
    const isOver = (): boolean => this.#stopped || generation !== this.#generation;
    const [first, ...rest] = entries;
    reading.then(
      () => {
        if (isOver() || first === undefined) return;
        this.#guard(() => {
          this.#applyOne(first);
          if (rest.length > 0) this.#apply(rest, false);
          else this.#endSlice();
        });
      },
      (error) => {
        if (!isOver()) this.#options.onFailure(error);
      },
    );
  }

  #applyOne(entry: Entry): void {
    const { failpoints, onApplied } = this.#options;
    failpoints.hit('apply.before-entry');
    const answers = this.#state.machine.apply(entry);
    failpoints.hit('apply.after-entry');
    onApplied(entry, answers);
  }

  #endSlice(): void {
    this.#options.onProgress();
    this.#busy = this.appliedIndex < this.#commitIndex;
    const generation = this.#generation;
    if (this.#busy) this.#options.clock.defer(() => this.#goOn(generation));
  }

  #goOn(generation: number): void {
    if (this.#stopped || generation !== this.#generation) return;
    this.#busy = false;
    this.#guard(() => this.#slice());
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.onFailure(error);
    }
  }
}
