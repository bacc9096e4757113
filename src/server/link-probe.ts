import type { Clock, Timer } from '../base/clock.js';

/** Between two probes, in milliseconds. */
const PROBE_MS = 3000;
/** So many of them may be without an answer; it may be this side that did nothing for long. */
const UNANSWERED_MAX = 2;

export interface LinkProbeOptions {
  readonly clock: Clock;
  readonly send: () => void;
  /** Called once: whatever is sent arrives nowhere. */
  readonly onSilent: () => void;
}

/**
 * Asks at the other end of an open stream, now and then, whether frames still arrive there. That the connection answers is no proof
 * of it: where one bit of a length was damaged, the other end takes all that follows for the rest of one message, and waits for
 * its end.
 */
export class LinkProbe {
  readonly #options: LinkProbeOptions;
  #unanswered = 0;
  #timer: Timer;

  constructor(options: LinkProbeOptions) {
    this.#options = options;
    this.#timer = this.#plan();
  }

  answered(): void {
    this.#unanswered = 0;
  }

  stop(): void {
    this.#timer.cancel();
  }

  #plan(): Timer {
    return this.#options.clock.setTimer(PROBE_MS, () => this.#due());
  }

  #due(): void {
    if (this.#unanswered >= UNANSWERED_MAX) {
      this.#options.onSilent();
      return;
    }
    this.#unanswered += 1;
    this.#options.send();
    this.#timer = this.#plan();
  }
}
