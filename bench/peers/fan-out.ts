import { BalsaError } from '../../src/base/errors.js';
import type { OtherCalls } from '../../src/cli/bench/drive.js';

const WATCHERS = 100;
const TIMEOUT_MS = 30_000;

/** A store as its watchers have it. */
export interface Watchable {
  /** @returns the revision of the put */
  put(key: string, value: Buffer): Promise<number>;
  /** Begins to watch all keys; is told of the revision of each event. @returns ends it */
  watch(onEvent: (revision: number) => void): Promise<() => Promise<void>>;
}

/**
 * Puts, each of which has ended when a hundred watchers have been told of it. Nothing of it takes longer than `timeoutMs`: then
 * the call fails with `TIMEOUT`.
 */
export function fanOut(store: Watchable, timeoutMs = TIMEOUT_MS): OtherCalls {
  /** By revision: how many have been told of it. */
  const told = new Map<number, number>();
  const waiting = new Map<number, () => void>();
  const ends: (() => Promise<void>)[] = [];
  const heard = (revision: number): void => {
    const count = (told.get(revision) ?? 0) + 1;
    told.set(revision, count);
    if (count < WATCHERS) return;
    waiting.get(revision)?.();
  };
  const missing = (revision: number): string =>
    `${told.get(revision) ?? 0} of ${WATCHERS} watchers were told of revision ${revision}`;
  return {
    async begin() {
      const begun = Array.from({ length: WATCHERS }, async () => {
        ends.push(await store.watch(heard));
      });
      const what = (): string => `${ends.length} of ${WATCHERS} watches began`;
      await within(timeoutMs, Promise.all(begun), what);
    },
    async call(key, value) {
      const revision = await store.put(key, value);
      try {
        if ((told.get(revision) ?? 0) >= WATCHERS) return;
        const all = new Promise<void>((resolve) => waiting.set(revision, resolve));
        await within(timeoutMs, all, () => missing(revision));
      } finally {
        waiting.delete(revision);
        told.delete(revision);
      }
    },
    async end() {
      const ended = Promise.all(ends.splice(0).map((end) => end()));
      await within(timeoutMs, ended, () => `not all of ${WATCHERS} watches ended`);
      told.clear();
    },
  };
}

/**
 * @param what did not happen, as it stands when the time is over
 * @throws BalsaError `TIMEOUT`
 */
async function within<T>(timeoutMs: number, work: Promise<T>, what: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const hint = 'look at the log of the server, or try fewer calls at a time';
      reject(new BalsaError('TIMEOUT', `fan-out: ${what()} within ${timeoutMs} ms: ${hint}`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
