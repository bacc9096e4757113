import type { OtherCalls } from '../../src/cli/bench/drive.js';

const WATCHERS = 100;

/** A store as its watchers have it. */
export interface Watchable {
  /** @returns the revision of the put */
  put(key: string, value: Buffer): Promise<number>;
  /** Begins to watch all keys; is told of the revision of each event. @returns ends it */
  watch(onEvent: (revision: number) => void): Promise<() => Promise<void>>;
}

/** Puts, each of which has ended when a hundred watchers have been told of it. */
export function fanOut(store: Watchable): OtherCalls {
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
  return {
    async begin() {
      const begun = Array.from({ length: WATCHERS }, () => store.watch(heard));
      ends.push(...(await Promise.all(begun)));
    },
    async call(key, value) {
      const revision = await store.put(key, value);
      if ((told.get(revision) ?? 0) < WATCHERS) {
        await new Promise<void>((resolve) => waiting.set(revision, resolve));
        waiting.delete(revision);
      }
      told.delete(revision);
    },
    async end() {
      await Promise.all(ends.splice(0).map((end) => end()));
      told.clear();
    },
  };
}
