import { systemClock } from '../base/clock.js';

/** Waits, however long; less when `signal` is aborted. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = systemClock.setTimer(signal.aborted ? 0 : ms, end);
    signal.addEventListener('abort', end, { once: true });
  });
}
