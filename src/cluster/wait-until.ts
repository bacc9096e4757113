import { setTimeout as delay } from 'node:timers/promises';
import { BalsaError } from '../base/errors.js';

export interface WaitOptions {
  /** Default 30,000. */
  readonly timeoutMs?: number | undefined;
  /** Pause between two looks. Default 20. */
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
  const { timeoutMs = 30_000, intervalMs = 20, signal } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    if (signal?.aborted === true) throw new BalsaError('CANCELLED', `interrupted: ${what}`);
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) {
      throw new BalsaError('TIMEOUT', `waited ${timeoutMs} ms in vain for ${what}`);
    }
    await delay(intervalMs);
  }
}
