import type { Clock } from '../base/clock.js';
import type { Random } from '../base/random.js';
import { whenAborted } from './abort.js';
import type { Bounds } from './scope.js';

/** Tells those who wait for others that it may be worth looking again. */
export interface Changes {
  /**
   * Resolves when something within the bounds may have changed behind `revision`, also when nothing has;
   * and when `signal` is aborted. Never rejects.
   */
  next(bounds: Bounds, revision: number, signal: AbortSignal): Promise<void>;
}

const POLL_MS = 100;

/** Looks again every so often, a little apart from others. */
export class PollingChanges implements Changes {
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  next(_bounds: Bounds, _revision: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const delayMs = POLL_MS * (0.75 + this.#random.next() / 2);
      const timer = this.#clock.setTimer(delayMs, () => end());
      const forget = whenAborted(signal, () => end());
      const end = (): void => {
        timer.cancel();
        forget();
        resolve();
      };
    });
  }
}
