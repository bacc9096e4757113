import type { Clock, Timer } from '../base/clock.js';

/** Between two probes, in milliseconds. */
export const PROBE_MS = 3000;
/** So many of them may be without an answer; it may be this side that did nothing for long. */
const UNANSWERED_MAX = 2;

export interface StreamProbeOptions {
  readonly clock: Clock;
  /** Is there a reason to ask, when it is time to? Default: always. */
  readonly isNeeded?: () => boolean;
  readonly send: () => void;
  /** Called once: whatever is sent arrives nowhere, or what is sent back does not. */
  readonly onSilent: () => void;
}

/**
 * Asks at the other end of an open stream, now and then, whether frames still arrive there. That the connection answers is no proof
 * of it: where one bit of a length was damaged, the other end takes all that follows for the rest of one message, and waits for
 * its end.
 */
export class StreamProbe {
  readonly #options: StreamProbeOptions;
  #unanswered = 0;
  #timer: Timer;

  constructor(options: StreamProbeOptions) {
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
    const { isNeeded, send, onSilent } = this.#options;
    if (isNeeded?.() === false) {
      this.#unanswered = 0;
    } else if (this.#unanswered >= UNANSWERED_MAX) {
      onSilent();
      return;
    } else {
      this.#unanswered += 1;
      send();
    }
    this.#timer = this.#plan();
  }
}
