import { type Clock, systemClock } from '../../src/base/clock.js';

/** Its timers fire when the test says so. */
export class HandClock implements Clock {
  readonly timers = new Set<() => void>();
  nowMs = 0;
  monotonicMs = () => this.nowMs;
  wallMs = () => 0;
  defer = (callback: () => void) => systemClock.defer(callback);

  setTimer(_delayMs: number, callback: () => void) {
    this.timers.add(callback);
    return { cancel: () => void this.timers.delete(callback) };
  }

  /** @param ms that have passed since */
  fire(ms = 0): void {
    this.nowMs += ms;
    const due = [...this.timers];
    this.timers.clear();
    for (const callback of due) callback();
  }
}
