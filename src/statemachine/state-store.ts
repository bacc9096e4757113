/**
 * What the state machine stands on: an ordered map from bytes to bytes that always shows the state
 * after the last applied entry, and whose disk always holds the state after *some* earlier entry.
 *
 * Implementations (in `storage`): `LevelStateStore` and `MemoryStateStore`; both pass
 * `test/storage/state-store-conformance.ts`.
 */
export interface StateStore {
  /** The state on disk when it was opened is exactly that after this log entry; 0 for an empty one. */
  readonly restoredIndex: number;

  /** The present value. Synchronous: from the overlay, or the disk's cache. */
  get(key: Uint8Array): Uint8Array | undefined;

  /**
   * All pairs with `from <= key < to` as they are at this call, in key order (or the reverse), until
   * `keysMax` or `bytesMax` is reached (at least one pair, if there is one).
   */
  scan(range: ScanRange): Promise<ScanPage>;

  /**
   * Makes all of `writes` visible at once, as the effect of log entry `index` (greater than any
   * before). They reach the disk later, together with the index, never in part, and never before
   * {@link allowDisk}.
   */
  apply(index: number, writes: readonly StateWrite[]): void;

  /** Effects of entries through `index` may go to the disk (the log itself holds them there). */
  allowDisk(index: number): void;

  /** Bytes applied and not yet on disk; the replica stops applying above its bound. */
  pendingBytes(): number;
  /** Called once when {@link pendingBytes} has fallen to half of `bytes`, or at once if it has. */
  whenPendingBelow(bytes: number, callback: () => void): void;

  /** Called when the disk fails; the store takes nothing more and the replica must stop. */
  onFailure(callback: (error: Error) => void): void;

  /**
   * Puts on disk what {@link allowDisk} covers (all of it when it covers all that was applied, else
   * some exact prefix), syncs it, and closes.
   */
  close(): Promise<void>;
}

export interface StateWrite {
  readonly key: Uint8Array;
  /** `null` removes the key. */
  readonly value: Uint8Array | null;
  /**
   * CRC-32 of the key and the value, joined, as a signed number (which takes no memory of its own); a store that keeps
   * one computes it where it is absent. (Who makes many writes names it from the start: what gets a field later is copied.)
   */
  checksum?: number | undefined;
}

export interface ScanRange {
  readonly from: Uint8Array;
  /** Exclusive; `null`: to the end. */
  readonly to: Uint8Array | null;
  readonly reverse?: boolean;
  readonly keysMax: number;
  readonly bytesMax: number;
}

export interface ScanPage {
  readonly pairs: readonly (readonly [key: Uint8Array, value: Uint8Array])[];
  /** There are more pairs in the range behind the last one. */
  readonly more: boolean;
}
