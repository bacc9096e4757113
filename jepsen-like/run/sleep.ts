import { setTimeout as delay } from 'node:timers/promises';

/** Waits; an abort ends the wait sooner, and is no error. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await delay(ms, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
