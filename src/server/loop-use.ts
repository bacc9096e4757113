import { type EventLoopUtilization, performance } from 'node:perf_hooks';

/** The figure covers the last one to two windows, in milliseconds. */
const WINDOW_MS = 250;

/** How much of the time, lately, the event loop of this process had something to do. */
export class LoopUse {
  readonly #nowMs: () => number;
  #last: EventLoopUtilization = performance.eventLoopUtilization();
  #lastMs: number;
  #share = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#lastMs = nowMs();
  }

  /** From 0 to 1. Also what it waited for a processor counts. */
  get share(): number {
    const nowMs = this.#nowMs();
    if (nowMs - this.#lastMs >= WINDOW_MS) {
      const now = performance.eventLoopUtilization();
      this.#share = performance.eventLoopUtilization(now, this.#last).utilization;
      this.#last = now;
      this.#lastMs = nowMs;
    }
    return this.#share;
  }
}
