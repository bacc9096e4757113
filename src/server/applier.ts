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

export interface ApplierOptions {
  readonly machine: StateMachine;
  readonly stateStore: StateStore;
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
  #commitIndex = 0;
  /** A read, a pause or the next slice is under way: it will go on by itself. */
  #busy = false;
  #stopped = false;

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  get appliedIndex(): LogIndex {
    return this.#options.machine.appliedIndex;
  }

  /** Entries through `commitIndex` may be applied. */
  advance(commitIndex: LogIndex): void {
    if (commitIndex > this.#commitIndex) this.#commitIndex = commitIndex;
    if (!this.#busy) this.#slice();
  }

  stop(): void {
    this.#stopped = true;
  }

  #slice(): void {
    const from = this.appliedIndex + 1;
    if (this.#stopped || from > this.#commitIndex) return;
    const { stateStore, limits, logStore } = this.#options;
    if (stateStore.pendingBytes() > limits.overlayBytesMax) {
      this.#busy = true;
      stateStore.whenPendingBelow(limits.overlayBytesMax, () => this.#resume());
      return;
    }
    const cached = this.#options.cached(from, this.#commitIndex, SLICE_BYTES);
    if (cached !== null) {
      this.#apply(cached);
      return;
    }
    this.#busy = true;
    const range = { fromIndex: from, toIndex: this.#commitIndex, bytesMax: SLICE_BYTES };
    logStore.read(range, (error, entries) => {
      if (this.#stopped) return;
      if (error !== null) this.#options.onFailure(error);
      else this.#guard(() => this.#apply(entries));
    });
  }

  #apply(entries: readonly Entry[]): void {
    const { machine, failpoints, onApplied } = this.#options;
    for (const entry of entries) {
      failpoints.hit('apply.before-entry');
      const answers = machine.apply(entry);
      failpoints.hit('apply.after-entry');
      onApplied(entry, answers);
    }
    this.#options.onProgress();
    this.#busy = this.appliedIndex < this.#commitIndex;
    if (this.#busy) this.#options.clock.defer(() => this.#resume());
  }

  #resume(): void {
    if (this.#stopped) return;
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
