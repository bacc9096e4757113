import { type IntervalHistogram, monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { ProcessFacts } from '../rpc/protocol.js';

/**
 * How finely the delay is sampled; what is reported is what exceeds this. An idle process would be woken for nothing else, so
 * that a stop of less than a second may be missed there.
 */
const RESOLUTION_MS = { busy: 5, idle: 1000 };
/** A process is idle that had nothing to do for most of a window. To be sampled often, and the least that replicas do, takes less. */
const IDLE_USE_MAX = 0.15;
/** The figure covers the last one to two windows. */
const WINDOW_MS = 5000;
const NS_PER_MS = 1e6;

/** How long the event loop was held up lately, and what memory the process takes. */
export class ProcessWatch {
  readonly #timer: NodeJS.Timeout;
  #resolutionMs = RESOLUTION_MS.busy;
  #histogram: IntervalHistogram = sampled(this.#resolutionMs);
  #use = performance.eventLoopUtilization();
  #windowBeforeMs = 0;
  #maxMs = 0;

  constructor() {
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
    const use = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(use, this.#use);
    this.#use = use;
    const resolutionMs = utilization > IDLE_USE_MAX ? RESOLUTION_MS.busy : RESOLUTION_MS.idle;
    if (resolutionMs === this.#resolutionMs) {
      this.#histogram.reset();
      return;
    }
    this.#histogram.disable();
    this.#histogram = sampled(resolutionMs);
    this.#resolutionMs = resolutionMs;
  }

  /** The longest delay of this window beyond the interval of sampling. */
  #delayMs(): number {
    const ms = this.#histogram.max / NS_PER_MS - this.#resolutionMs;
    return Math.max(0, Math.round(ms * 10) / 10);
  }
}

function sampled(resolution: number): IntervalHistogram {
  const histogram = monitorEventLoopDelay({ resolution });
  histogram.enable();
  return histogram;
}
