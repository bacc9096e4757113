import { type Clock, systemClock } from '../../src/base/clock.js';

/** Its timers fire when the test says so. */
export class HandClock implements Clock {
  readonly timers = new Set<() => void>();
  monotonicMs = () => 0;
  wallMs = () => 0;
  defer = (callback: () => void) => systemClock.defer(callback);

  setTimer(_delayMs: number, callback: () => void) {
    this.timers.add(callback);
    return { cancel: () => void this.timers.delete(callback) };
  }

  fire(): void {
    for (const callback of [...this.timers]) callback();
  }
}
