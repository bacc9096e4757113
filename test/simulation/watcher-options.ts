import type { Random } from '../../src/base/random.js';

/** How one watcher is; drawn from the seed, apart from all else. */
export interface WatcherOptions {
  /** A key, or what keys begin with. */
  readonly prefix: string;
  readonly isKey: boolean;
  /** When it begins, after the clients. */
  readonly afterMs: number;
  /** So many revisions before the last one that was acknowledged; negative: in the future; `null`: now. */
  readonly back: number | null;
  readonly only: 'puts' | 'deletes' | undefined;
  readonly withPrevious: boolean;
  readonly consistency: 'linearizable' | 'any';
  /** It stays at this replica, whatever that is; `null`: it goes where the leader is. */
  readonly place: number | null;
  /** Longest pause between two revisions. */
  readonly thinkMs: number;
  readonly bufferBytesMax: number;
}

export function drawWatchers(random: Random, disturbedMs: number): readonly WatcherOptions[] {
  const pick = <T>(from: readonly T[]): T => from[random.int(from.length)] as T;
  return Array.from({ length: pick([0, 1, 2, 3, 5]) }, () => ({
    prefix: pick(['key', 'key', 'key1', 'key0', 'key2']),
    isKey: random.int(3) === 0,
    afterMs: random.next() * disturbedMs * pick([0, 0.1, 0.9]),
    back: pick([null, null, 0, 3, 1000, -5]),
    only: pick([undefined, undefined, undefined, 'puts', 'deletes'] as const),
    withPrevious: random.int(2) === 0,
    consistency: pick(['linearizable', 'linearizable', 'any'] as const),
    place: random.int(2) === 0 ? null : random.int(5),
    thinkMs: pick([0, 0, 500, 5000]),
    bufferBytesMax: pick([300, 2000, 4 * 1024 * 1024]),
  }));
}
