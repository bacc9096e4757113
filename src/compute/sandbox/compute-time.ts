import { readFileSync } from 'node:fs';
import type { Clock } from '../../base/clock.js';
import { limitReached } from '../call-view.js';
import type { CallLimits, Source } from '../execution.js';

/** The field of `/proc/…/schedstat` (Linux, `Documentation/scheduler/sched-stats.rst`) with the nanoseconds on a run queue. */
const RUN_DELAY = 1;
const NS_PER_MS = 1e6;

/**
 * No more of it is allowed for in one call: it is over before its thread is ended (`GRACE_MS` in `sandbox-worker`), which
 * costs more.
 */
const DELAY_MS_MAX = 1500;

/** What was last asked of the system is true of the beginning of a call, too, if it is no older. */
const ASKED_AGAIN_MS = 10;

/**
 * How long the present thread has waited for a processor since it began, in milliseconds.
 * @returns 0 where the system does not say (it does on Linux)
 */
export function runDelayMs(): number {
  try {
    const delayNs = Number(
      readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[RUN_DELAY],
    );
    return Number.isFinite(delayNs) ? delayNs / NS_PER_MS : 0;
  } catch {
    return 0;
  }
}

type Limit = Pick<CallLimits, 'computeMsMax'>;

/**
 * For how long a call has computed. Waiting is not computing: neither for the store nor, behind other threads, for a
 * processor. The latter is asked of the system when time seems to be over, so that a short call does not pay for it; how much of
 * it was while the store was waited for is not known, and as much of it as can have been is not counted once more.
 */
export class ComputeTime {
  readonly #clock: Clock;
  readonly #runDelayMs: () => number;
  /** Over at this time, if no processor was waited for since `#delayMs` was asked. */
  #untilMs = Number.POSITIVE_INFINITY;
  #delayMs = 0;
  /** For the store, since `#delayMs` was asked. */
  #waitedMs = 0;
  /** See {@link DELAY_MS_MAX}. */
  #delayLeftMs = DELAY_MS_MAX;
  #askedMs = Number.NEGATIVE_INFINITY;

  /** Without a limit until it is started. */
  constructor(clock: Clock, delayMs: () => number) {
    this.#clock = clock;
    this.#runDelayMs = delayMs;
  }

  start({ computeMsMax }: Limit): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#askedMs > ASKED_AGAIN_MS) this.#ask(nowMs);
    this.#waitedMs = 0;
    this.#untilMs = nowMs + computeMsMax;
    this.#delayLeftMs = DELAY_MS_MAX;
  }

  /** Once it is, it is so until it is started again. */
  isOver(nowMs = this.#clock.monotonicMs()): boolean {
    if (nowMs < this.#untilMs) return false;
    if (this.#untilMs === Number.NEGATIVE_INFINITY) return true;
    const accountedMs = this.#delayMs + this.#waitedMs;
    this.#ask(nowMs);
    const delayMs = Math.min(Math.max(0, this.#delayMs - accountedMs), this.#delayLeftMs);
    this.#delayLeftMs -= delayMs;
    this.#untilMs += delayMs;
    if (nowMs < this.#untilMs) return false;
    this.#untilMs = Number.NEGATIVE_INFINITY;
    return true;
  }

  /** The time that `source` takes does not count. Who has none left is not answered: it may not notice for long otherwise. */
  without(source: Source, { computeMsMax }: Limit): Source {
    const wait = <T>(ask: () => T): T => {
      const askedMs = this.#clock.monotonicMs();
      if (this.isOver(askedMs)) throw limitReached('computeMsMax', computeMsMax);
      try {
        return ask();
      } finally {
        const waitedMs = this.#clock.monotonicMs() - askedMs;
        this.#waitedMs += waitedMs;
        this.#untilMs += waitedMs;
      }
    };
    return {
      get: (key) => wait(() => source.get(key)),
      scan: (query) => wait(() => source.scan(query)),
      cell: (key) => wait(() => source.cell(key)),
      checkpoint: (json) => source.checkpoint?.(json),
    };
  }

  #ask(nowMs: number): void {
    this.#askedMs = nowMs;
    this.#waitedMs = 0;
    this.#delayMs = this.#runDelayMs();
  }
}
