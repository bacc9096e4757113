import type { Clock, Timer } from '../base/clock.js';

/** A leader that was silent for this long with requests open may be hung. */
const SILENCE_MS = 1000;

export interface SilenceWatchOptions {
  readonly clock: Clock;
  /** The link in use, and when anything was heard over it last; `null`: there is none. */
  readonly link: () => { readonly heardMs: number } | null;
  /** Are there requests without an answer? */
  readonly isWaiting: () => boolean;
  /** Called once, until {@link SilenceWatch.heard}. */
  readonly onSilent: () => void;
}

/**
 * Says when requests are open and nothing has been heard for `SILENCE_MS`: counted from what was heard last, and, where nothing was
 * asked for a while, from the first request behind that.
 */
export class SilenceWatch {
  readonly #options: SilenceWatchOptions;
  #timer: Timer | null = null;
  /** The first of the requests that are open, or of some that were open before them. */
  #askedMs = Number.NEGATIVE_INFINITY;
  #isSilent = false;

  constructor(options: SilenceWatchOptions) {
    this.#options = options;
  }

  get isSilent(): boolean {
    return this.#isSilent;
  }

  /** @param areFirst no other requests are open */
  asked(areFirst: boolean): void {
    if (areFirst) this.#askedMs = this.#options.clock.monotonicMs();
    this.#plan();
  }

  /** An answer has come, or the link is another one; answers whether it was silent before. */
  heard(): boolean {
    if (!this.#isSilent) return false;
    this.#isSilent = false;
    this.#plan();
    return true;
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #plan(): void {
    const { clock, link } = this.#options;
    const used = link();
    if (this.#timer !== null || this.#isSilent || used === null) return;
    const delayMs = Math.ceil(this.#dueMs(used) - clock.monotonicMs());
    this.#timer = clock.setTimer(Math.max(0, delayMs), () => {
      this.#timer = null;
      this.#look();
    });
  }

  #look(): void {
    const { clock, link, isWaiting, onSilent } = this.#options;
    const used = link();
    if (used === null || !isWaiting()) return;
    // As it is planned: said in another way, a rounding error might have it planned for now again and again.
    if (clock.monotonicMs() < this.#dueMs(used)) {
      this.#plan();
      return;
    }
    this.#isSilent = true;
    onSilent();
  }

  #dueMs({ heardMs }: { readonly heardMs: number }): number {
    return Math.max(heardMs, this.#askedMs) + SILENCE_MS;
  }
}
