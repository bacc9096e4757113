import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { ProcessFacts } from '../rpc/protocol.js';

/** How finely the delay is sampled; what is reported is what exceeds this. */
const RESOLUTION_MS = 5;
/** The figure covers the last one to two windows. */
const WINDOW_MS = 5000;
const NS_PER_MS = 1e6;

/** How long the event loop was held up lately, and what memory the process takes. */
export class ProcessWatch {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #timer: NodeJS.Timeout;
  #windowBeforeMs = 0;
  #maxMs = 0;

  constructor() {
    this.#histogram.enable();
    this.#timer = setInterval(() => this.#turnWindow(), WINDOW_MS);
    this.#timer.unref();
  }

  facts(): ProcessFacts {
    const nowMs = this.#delayMs();
    return {
      rssBytes: process.memoryUsage.rss(),
      eventLoopDelayMs: Math.max(nowMs, this.#windowBeforeMs),
      eventLoopDelayMaxMs: Math.max(nowMs, this.#maxMs),
    };
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#histogram.disable();
  }

  #turnWindow(): void {
    this.#windowBeforeMs = this.#delayMs();
    this.#maxMs = Math.max(this.#maxMs, this.#windowBeforeMs);
    this.#histogram.reset();
  }

  /** The longest delay of this window beyond the interval of sampling. */
  #delayMs(): number {
    const ms = this.#histogram.max / NS_PER_MS - RESOLUTION_MS;
    return Math.max(0, Math.round(ms * 10) / 10);
  }
}
