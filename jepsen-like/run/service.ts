import { setTimeout as delay } from 'node:timers/promises';
import { BalsaError, type Client } from '../../src/client/client.js';

export interface ServiceOptions {
  /** Written by nobody else. */
  readonly key: string;
  /** Another one each time. */
  readonly value: string;
  readonly withinMs: number;
  readonly signal: AbortSignal;
  /** The write was served. */
  readonly onWritten?: (revision: number) => void;
}

const AGAIN_MS = 50;

/**
 * One write, and a linearizable read that finds it, over a connection that there was before.
 * @returns what is wrong; `null`: it is served, or nobody wants to know any more
 */
export async function lackOfService(db: Client, options: ServiceOptions): Promise<string | null> {
  const { key, value, withinMs, signal, onWritten } = options;
  const untilMs = performance.now() + withinMs;
  let what = 'write';
  try {
    const written = await untilDone({ untilMs, signal }, (timeoutMs) =>
      db.put(key, value, { timeoutMs, signal }),
    );
    onWritten?.(written.revision);
    what = 'linearizable read';
    const read = await untilDone({ untilMs, signal }, (timeoutMs) =>
      db.get(key, { consistency: 'linearizable', timeoutMs, signal }),
    );
    const found = read.value?.toString();
    return found === value ? null : `${key} was read as ${found}, and had been written as ${value}`;
  } catch (error) {
    if (signal.aborted) return null;
    if (!(error instanceof BalsaError)) throw error;
    return `no ${what} of ${key} was served within ${withinMs / 1000} s of all being mended: ${error.code}: ${error.message}`;
  }
}

/** @throws BalsaError the last one, when the time is over */
async function untilDone<T>(
  { untilMs, signal }: { readonly untilMs: number; readonly signal: AbortSignal },
  call: (timeoutMs: number) => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await call(Math.max(1, untilMs - performance.now()));
    } catch (error) {
      if (!(error instanceof BalsaError)) throw error;
      if (signal.aborted || performance.now() + AGAIN_MS >= untilMs) throw error;
      await delay(AGAIN_MS);
    }
  }
}
