import { BalsaError } from '../base/errors.js';
import { whenAborted } from './abort.js';
import type { Engine } from './engine.js';
import type { Bounds } from './scope.js';
import { Subscription } from './subscription.js';

/** After a watch that was refused it is looked again only after this time. */
const REFUSED_MS = 500;

/** More than the events of one revision need not be kept: the first one is enough. */
const BUFFER_BYTES = 64 * 1024;

/** Tells those who wait for others that it may be worth looking again. */
export class Changes {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /**
   * Resolves when something within the bounds has changed behind `revision`, or when it cannot be watched
   * (a little later); also when `signal` is aborted. Never rejects: whoever looks again learns what is wrong.
   */
  async next(bounds: Bounds, revision: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    try {
      await this.#watch(bounds, revision, signal);
    } catch (error) {
      // The change may be history that is no longer kept; a closed client says so when it is asked.
      const code = error instanceof BalsaError ? error.code : null;
      if (code === 'COMPACTED' || code === 'CLIENT_CLOSED') return;
      await this.#pause(signal);
    }
  }

  async #watch(bounds: Bounds, revision: number, signal: AbortSignal): Promise<void> {
    const engine = this.#engine;
    const subscription: Subscription = new Subscription({
      query: {
        ...bounds,
        fromRevision: revision + 1,
        ...{ withPrevious: false, noPuts: false, noDeletes: false },
        // What comes behind a revision is the same at every replica.
        ...{ consistency: 'any', needsLeader: false, bufferBytesMax: BUFFER_BYTES },
      },
      limits: engine.callLimits({ timeoutMs: 0 }),
      onReady: () => {},
      onLagging: () => {},
      onEnd: () => engine.unwatch(subscription),
    });
    const forget = whenAborted(signal, () => subscription.end(null));
    try {
      engine.watch(subscription);
      for (;;) {
        const told = await subscription.take();
        if (told === null || told.events.length > 0) return;
        engine.watchTaken(subscription, told);
      }
    } finally {
      forget();
      subscription.end(null);
    }
  }

  #pause(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#engine.env.clock.setTimer(REFUSED_MS, () => end());
      const forget = whenAborted(signal, () => end());
      const end = (): void => {
        timer.cancel();
        forget();
        resolve();
      };
    });
  }
}
