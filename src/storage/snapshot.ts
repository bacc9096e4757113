import type { SnapshotChunk, SnapshotEnd, SnapshotHeader } from '../base/snapshot-codec.js';
import type { LogPosition } from '../raft/types.js';
import type { StateStore } from '../statemachine/state-store.js';
import type { ScrubFigures } from './level-scrub.js';

/** The places that snapshots come from and go to. What they are: `base/snapshot-codec`. */
export type { SnapshotChunk, SnapshotEnd, SnapshotHeader };

/** The state exactly after entry `index`, as it stays while the store goes on. Must be closed. */
export interface StateView {
  readonly index: number;
  get(key: Uint8Array): Uint8Array | undefined;
  /** Pairs in key order behind `after` (`null`: from the first), at least one if there is one. */
  next(
    after: Uint8Array | null,
    bytesMax: number,
  ): Promise<readonly (readonly [key: Uint8Array, value: Uint8Array])[]>;
  close(): Promise<void>;
}

/** A state store with a disk of which snapshots can be made. */
export interface DurableStateStore extends StateStore {
  /** Effects of entries through this one are on the disk, and in each {@link view} that is opened from now on. */
  flushedIndex(): number;
  /** Effects of entries through this one survive a power failure. */
  syncedIndex(): number;
  /** Makes {@link syncedIndex} grow to what is on disk now. */
  sync(): Promise<void>;
  /** What is on disk now: the state exactly after some entry. */
  view(): Promise<StateView>;
  /** What it takes on the disk, in bytes; may be a second old. */
  diskBytes(): Promise<number>;
  /** What lies between `from` and `to` takes on the disk, in bytes, about: with what was deleted, and without what is in memory. */
  bytesBetween(from: Uint8Array, to: Uint8Array): Promise<number>;
  /**
   * Makes the disk give back the space of what was deleted between `from` and `to`, soon rather than in time. Works
   * on its own, beside everything else; but closing the store waits for it.
   */
  reclaim(from: Uint8Array, to: Uint8Array): Promise<void>;
  /** How far it is with looking again and again whether the disk still has what was written; `null`: it does not look. */
  readonly scrubbed: ScrubFigures | null;
}

/** A state that is being received, in a place of its own. */
export interface StateImport {
  readonly header: SnapshotHeader;
  /** Chunks through this one are taken in. */
  readonly chunks: number;
  /**
   * Takes in the next chunk.
   * @throws BalsaError `SNAPSHOT_CORRUPT` when it is not the next one, or damaged
   */
  write(chunk: SnapshotChunk): Promise<void>;
  /**
   * All chunks have come: checks the sums and makes all of it durable.
   * @throws BalsaError `SNAPSHOT_CORRUPT`
   */
  finish(end: SnapshotEnd): Promise<void>;
  /** Gives it up and deletes it. */
  abandon(): Promise<void>;
}

/**
 * The place of the state on disk: the current one, and one that is being received. Which one is
 * current changes atomically and durably.
 *
 * Implementations: `LevelStateVault` and `MemoryStateVault`; both pass
 * `test/storage/state-vault-conformance.ts`.
 */
export interface StateVault {
  /** The current state, open. */
  readonly current: DurableStateStore;
  /**
   * The snapshot with which the current state began; `null`: none. When the log begins before it and
   * does not hold it, a crash came between the switch and the reset of the log: the log must be reset
   * (`LogStore.resetTo`) before the replica starts.
   */
  readonly installed: LogPosition | null;
  /** The import of this snapshot: begun anew, or, if it is the one under way, as far as it is. Any other is given up. */
  beginImport(header: SnapshotHeader): Promise<StateImport>;
  /**
   * Makes a finished import the current state. Answers with the new one, open; the old one is closed and deleted beside all
   * else: {@link close} waits for that, and says what failed in it. After a crash at any moment it is the old or the new one, whole.
   *
   * @param adopt is given the new one, and takes it into use: until that is done the old one can be read
   */
  switchTo(
    finished: StateImport,
    adopt?: (store: DurableStateStore) => Promise<void>,
  ): Promise<DurableStateStore>;
  close(): Promise<void>;
}
