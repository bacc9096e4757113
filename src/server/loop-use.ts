import { cpus } from 'node:os';
import { performance } from 'node:perf_hooks';

/** The figure covers the last one to two windows, in milliseconds. */
const WINDOW_MS = 250;

/** Since some time in the past, in milliseconds. */
interface Times {
  readonly idleMs: number;
  readonly allMs: number;
}

/** How much of the time, lately, something had something to do. */
class UseMeter {
  readonly #nowMs: () => number;
  readonly #times: () => Times;
  #last: Times;
  #lastMs: number;
  #share = 0;

  constructor(nowMs: () => number, times: () => Times) {
    this.#nowMs = nowMs;
    this.#times = times;
    this.#last = times();
    this.#lastMs = nowMs();
  }

  /** From 0 to 1. */
  get share(): number {
    const nowMs = this.#nowMs();
    if (nowMs - this.#lastMs < WINDOW_MS) return this.#share;
    const now = this.#times();
    const allMs = now.allMs - this.#last.allMs;
    this.#share = allMs > 0 ? 1 - (now.idleMs - this.#last.idleMs) / allMs : 0;
    this.#last = now;
    this.#lastMs = nowMs;
    return this.#share;
  }
}

/** Of the event loop of this process. Also what it waited for a processor counts. */
export class LoopUse extends UseMeter {
  constructor(nowMs: () => number) {
    super(nowMs, loopTimes);
  }
}

/** Of the processors of this machine, whoever gave it to them. */
export class MachineUse extends UseMeter {
  constructor(nowMs: () => number) {
    super(nowMs, processorTimes);
  }
}

function loopTimes(): Times {
  const { idle, active } = performance.eventLoopUtilization();
  return { idleMs: idle, allMs: idle + active };
}

function processorTimes(): Times {
  let idleMs = 0;
  let allMs = 0;
  for (const { times } of cpus()) {
    idleMs += times.idle;
    allMs += times.user + times.nice + times.sys + times.idle + times.irq;
  }
  return { idleMs, allMs };
}
