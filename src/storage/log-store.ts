import type { DiskWrite, Entry, LogIndex, LogPosition, RestoredState } from '../raft/types.js';

/** The part of {@link RestoredState} that the log on disk knows. */
export type RestoredLog = Pick<
  RestoredState,
  'hardState' | 'logStart' | 'terms' | 'lastIndex' | 'tail' | 'configurationEntries'
>;

/**
 * Keeps the Raft log and the hard state. One owner, who opens it before anything else and learns
 * with {@link RestoredLog} what is there.
 *
 * Implementations: `Wal` (segmented write-ahead log) and `MemoryLogStore`; both pass
 * `test/storage/log-store-conformance.ts`.
 */
export interface LogStore {
  readonly restored: RestoredLog;

  /**
   * Queues a write behind all earlier ones. All that waits while the disk works becomes one write
   * and one sync (group commit). `done(null)` when it is durable; calls come in the order of the
   * writes. A failed write or sync is final: that write and all behind it get `done(error)`, the store
   * takes nothing more, nothing is retried (a second sync can succeed without the data), the replica
   * must stop.
   */
  append(write: DiskWrite, done: (error: Error | null) => void): void;

  /**
   * Entries from `fromIndex` through `toIndex`, at least one, then as many as fit `bytesMax`. Sees
   * all that was appended, durable or not. None when `fromIndex` is not in the log, or not any more.
   */
  read(
    range: { readonly fromIndex: LogIndex; readonly toIndex: LogIndex; readonly bytesMax: number },
    done: (error: Error | null, entries: readonly Entry[]) => void,
  ): void;

  /**
   * The log begins behind `position` from now on, behind all writes before (it must be in the log and
   * durable). Space is given back in whole files.
   */
  compactTo(position: LogPosition, done: (error: Error | null) => void): void;

  /**
   * A snapshot through `position` has taken the place of the state: the log begins behind it from now
   * on, behind all writes before. Entries behind it stay only if the log holds `position` with that
   * term; otherwise all go. The hard state stays. Durable and atomic: a crash leaves the old log or
   * the new one. Changes nothing when the log begins there or later.
   */
  resetTo(position: LogPosition, done: (error: Error | null) => void): void;

  /** Figures for status and metrics. */
  stats(): LogStoreStats;

  /** Waits for the writes under way, then lets the files go. */
  close(): Promise<void>;
}

export interface LogStoreStats {
  readonly lastIndex: LogIndex;
  readonly durableIndex: LogIndex;
  readonly bytes: number;
  readonly segments: number;
  readonly syncs: number;
  /** Time of the last sync, and of the longest, in milliseconds. */
  readonly lastSyncMs: number;
  readonly maxSyncMs: number;
}
