import { setTimeout as delay } from 'node:timers/promises';
import { BalsaError } from '../base/errors.js';

const INTERVAL_MS_MIN = 20;
const INTERVAL_MS_MAX = 100;

export interface WaitOptions {
  /** Default 60,000. */
  readonly timeoutMs?: number | undefined;
  /** Pause between two looks. Default: 20, and longer when it has taken long: a look costs something, too. */
  readonly intervalMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Looks again and again until `look` gives something else than `undefined`. What `look` throws ends
 * the wait.
 *
 * @param what completes the sentence "waited for …" of the error
 * @throws BalsaError `TIMEOUT` or `CANCELLED`
 */
export async function waitUntil<T>(
  what: string,
  look: () => Promise<T | undefined>,
  options: WaitOptions = {},
): Promise<T> {
  const { timeoutMs = 60_000, intervalMs, signal } = options;
  const startedMs = performance.now();
  for (;;) {
    if (signal?.aborted === true) throw new BalsaError('CANCELLED', `interrupted: ${what}`);
    const found = await look();
    if (found !== undefined) return found;
    const waitedMs = performance.now() - startedMs;
    if (waitedMs > timeoutMs) {
      throw new BalsaError('TIMEOUT', `waited ${timeoutMs} ms in vain for ${what}`);
    }
    await delay(intervalMs ?? Math.min(INTERVAL_MS_MAX, INTERVAL_MS_MIN + waitedMs / 20));
  }
}
