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

/** Up to `to`, and without it. */
interface Revisions {
  readonly from: number;
  readonly to: number;
}

const MiB = 1024 * 1024;
/** Worth it when the disk holds so many times the bytes of keys, values and history, and some more. */
const WASTE_FACTOR = 1.5;
const WASTE_BYTES_MIN = 8 * MiB;
/** Not more often: each time all that is left of the history is written anew. */
const INTERVAL_MS = 30_000;
/**
 * The history is gone through in pieces of at most so much on the disk, unless one revision alone has more; between two it rests for
 * as long as the last one took. Nothing ends a piece before its end: a replica that stops waits for that.
 */
const PIECE_BYTES = 16 * MiB;

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
    // What is left, the first on top.
    const left: Revisions[] = [{ from: 0, to: sweptRevision + 1 }];
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const { from, to } = next;
      const keys = [keyOf(from), keyOf(to)] as const;
      const bytes = await state.bytesBetween(...keys);
      if (this.#stopped) return;
      if (bytes > PIECE_BYTES && to - from > 1) {
        const middle = Math.floor((from + to) / 2);
        left.push({ from: middle, to }, { from, to: middle });
        continue;
      }
      const begunMs = clock.monotonicMs();
      await state.reclaim(...keys);
      if (this.#stopped) return;
      await this.#rest(clock.monotonicMs() - begunMs);
    }
  }

  #rest(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#timer = this.#options.clock.setTimer(delayMs, resolve);
    });
  }
}

function keyOf(revision: number): Uint8Array {
  return toValueRecordKey({ revision, sub: 0 });
}
