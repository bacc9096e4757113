import { whenAborted } from './abort.js';
import { bytes } from './codec.js';
import { type Bounds, Scope } from './scope.js';
import { beginWatch, type Watch } from './watch.js';

/** Tells those who wait for others that it may be worth looking again. */
export interface Changes {
  /**
   * Resolves when something within the bounds may have changed behind `revision`, also when nothing has;
   * and when `signal` is aborted. Never rejects.
   */
  next(bounds: Bounds, revision: number, signal: AbortSignal): Promise<void>;
}

/** After a watch that failed, who waits looks again so much later, a little apart from others. */
const RETRY_MS = 100;

/** Watches for the next change. */
export class WatchedChanges implements Changes {
  readonly #scope: Scope<string | Uint8Array, Buffer, 'bytes'>;

  /** @param scope of the client: its keys and values are not looked at */
  constructor({ engine, reads }: Pick<Scope<never, unknown, 'bytes'>, 'engine' | 'reads'>) {
    const prefix = new Uint8Array(0);
    this.#scope = new Scope({ engine, reads, codec: bytes, keys: 'bytes', prefix });
  }

  async next(bounds: Bounds, revision: number, signal: AbortSignal): Promise<void> {
    try {
      const { from, to } = bounds;
      const range = to === null ? { from } : { from, to };
      // Whoever serves it: events behind a revision are the same everywhere.
      const where = { consistency: 'any', fromRevision: revision + 1, timeoutMs: 0 } as const;
      await firstOf(beginWatch(this.#scope, { ...range, ...where, signal }));
    } catch {
      // Whatever it was (the history may be gone, too): who waits reads the store itself again.
      await this.#pause(signal);
    }
  }

  #pause(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#scope.engine.env;
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const delayMs = RETRY_MS * (0.75 + random.next() / 2);
      const timer = clock.setTimer(delayMs, () => end());
      const forget = whenAborted(signal, () => end());
      const end = (): void => {
        timer.cancel();
        forget();
        resolve();
      };
    });
  }
}

async function firstOf(watch: Watch<Buffer, 'bytes'>): Promise<void> {
  for await (const _event of watch) return;
}
