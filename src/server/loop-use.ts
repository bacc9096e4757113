import { cpus } from 'node:os';
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

interface ProcessorTimes {
  readonly idleMs: number;
  readonly allMs: number;
}

/** How much of the time, lately, the processors of this machine had something to do, whoever gave it to them. */
export class MachineUse {
  readonly #nowMs: () => number;
  #last: ProcessorTimes = processorTimes();
  #lastMs: number;
  #share = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#lastMs = nowMs();
  }

  /** From 0 to 1. */
  get share(): number {
    const nowMs = this.#nowMs();
    if (nowMs - this.#lastMs < WINDOW_MS) return this.#share;
    const now = processorTimes();
    const allMs = now.allMs - this.#last.allMs;
    this.#share = allMs > 0 ? 1 - (now.idleMs - this.#last.idleMs) / allMs : 0;
    this.#last = now;
    this.#lastMs = nowMs;
    return this.#share;
  }
}

function processorTimes(): ProcessorTimes {
  let idleMs = 0;
  let allMs = 0;
  for (const { times } of cpus()) {
    idleMs += times.idle;
    allMs += times.user + times.nice + times.sys + times.idle + times.irq;
  }
  return { idleMs, allMs };
}
