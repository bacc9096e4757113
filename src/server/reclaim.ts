import type { Clock, Timer } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import { toValueRecordKey } from '../statemachine/layout.js';
import type { StoreState } from '../statemachine/types.js';
import type { DurableStateStore } from '../storage/snapshot.js';

export interface ReclaimOptions {
  readonly clock: Clock;
  readonly store: () => DurableStateStore;
  readonly info: () => StoreState;
  readonly onFailure: (error: unknown) => void;
}

const MiB = 1024 * 1024;
/** Worth it when the disk holds so many times the bytes of keys, values and history, and some more. */
const WASTE_FACTOR = 1.5;
const WASTE_BYTES_MIN = 8 * MiB;
/** Not more often: each time all that is left of the history is written anew. */
const INTERVAL_MS = 30_000;
/** The history is gone through in so many pieces; between two it rests for as long as the last one took. */
const PIECES = 16;

/**
 * Makes LevelDB give back the space of a history that was swept. It does so by itself, too, but only when it
 * happens to work on the tables in question. Each replica for itself: its disk is no part of the state.
 */
export class Reclaim {
  readonly #options: ReclaimOptions;
  #sweptRevision = 0;
  #endedMs = Number.NEGATIVE_INFINITY;
  #isBusy = false;
  #timer: Timer | null = null;
  #stopped = false;

  constructor(options: ReclaimOptions) {
    this.#options = options;
  }

  /** To be called now and then: sees whether a sweep has come to its end. */
  consider(swept: { readonly compactedRevision: number; readonly sweptRevision: number }): void {
    const { compactedRevision, sweptRevision } = swept;
    if (sweptRevision === this.#sweptRevision || sweptRevision < compactedRevision) return;
    if (this.#isBusy || this.#stopped) return;
    const { clock } = this.#options;
    if (clock.monotonicMs() - this.#endedMs < INTERVAL_MS) return;
    this.#sweptRevision = sweptRevision;
    this.#isBusy = true;
    this.#run(sweptRevision).then(
      () => this.#end(),
      (error: unknown) => {
        this.#end();
        // The state was closed or replaced meanwhile: then there is nothing to reclaim in it.
        const isOver = error instanceof BalsaError && error.code === 'SHUTTING_DOWN';
        if (!isOver && !this.#stopped) this.#options.onFailure(error);
      },
    );
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #end(): void {
    this.#isBusy = false;
    this.#endedMs = this.#options.clock.monotonicMs();
  }

  async #run(sweptRevision: number): Promise<void> {
    const { store, info, clock } = this.#options;
    const state = store();
    const diskBytes = await state.diskBytes().catch(() => null);
    // That the files cannot be looked at (no more may be opened, or they are gone with their state) says nothing of the disk.
    if (diskBytes === null) {
      this.#sweptRevision = 0;
      return;
    }
    if (diskBytes < WASTE_FACTOR * info().spaceBytes + WASTE_BYTES_MIN) return;
    const step = Math.ceil((sweptRevision + 1) / PIECES);
    for (let revision = 0; revision <= sweptRevision; revision += step) {
      const begunMs = clock.monotonicMs();
      await state.reclaim(
        toValueRecordKey({ revision, sub: 0 }),
        toValueRecordKey({ revision: Math.min(revision + step, sweptRevision + 1), sub: 0 }),
      );
      await this.#rest(clock.monotonicMs() - begunMs);
      if (this.#stopped) return;
    }
  }

  #rest(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#timer = this.#options.clock.setTimer(delayMs, resolve);
    });
  }
}
