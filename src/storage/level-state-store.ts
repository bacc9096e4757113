import { assert } from '../base/assert.js';
import { type Clock, systemClock } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import { type Failpoints, noFailpoints } from '../base/failpoints.js';
import type { Limits } from '../base/limits.js';
import type { ScanPage, ScanRange, StateWrite } from '../statemachine/state-store.js';
import { closeAll } from './close-all.js';
import type { Files } from './files.js';
import {
  checkMarkers,
  MARKERS_FROM,
  MARKERS_TO,
  type MarkersFound,
  markerKey,
  markerValue,
  RESERVED_BYTE,
  stateCorrupt,
} from './flush-markers.js';
import { FolderUse } from './folder-use.js';
import { makeReadable } from './level-check.js';
import {
  bytesInRange,
  compactDatabase,
  type Database,
  openDatabase,
  syncDatabase,
} from './level-database.js';
import { toLevelError, toLevelOpenError } from './level-errors.js';
import { checkedCursor, checkedValue } from './level-reads.js';
import { mergeScan } from './level-scan.js';
import { LevelScrub, type ScrubFigures, type ScrubRate } from './level-scrub.js';
import { type DamagedTable, damagedTables, liveTables } from './level-tables.js';
import { LevelStateView } from './level-view.js';
import { NodeFiles } from './node-files.js';
import { Overlay } from './overlay.js';
import type { OverlayGeneration } from './overlay-generation.js';
import { PendingWaiters } from './pending-waiters.js';
import type { DurableStateStore, StateView } from './snapshot.js';
import { withChecksum } from './value-checksum.js';

const MiB = 1024 * 1024;
/** Bytes at which applied writes go to the disk, if it is free. */
const FLUSH_BYTES = 256 * 1024;
/** Time after which they go in any case. */
const FLUSH_DELAY_MS = 20;
/** Most bytes of one batch, unless a single log entry has more. */
const BATCH_BYTES_MAX = 1 * MiB;
/** Writes handed to LevelDB's batch before the event loop has its turn. */
const WRITES_PER_SLICE = 1000;
/** Batches after which LevelDB is made to sync, so that the markers of older ones can go. */
const BATCHES_PER_SYNC = 4096;
const MARKERS_DELETED_PER_BATCH = 2;

export interface LevelStateStoreOptions {
  readonly folder: string;
  readonly limits: Pick<Limits, 'overlayBytesMax'>;
  readonly failpoints?: Failpoints;
  readonly clock?: Clock;
  /** Syncs the folder; LevelDB's files are its own matter. */
  readonly files?: Pick<Files, 'syncFolder'>;
  /** Reads all of it once before it is opened, to see that it is whole; default true. */
  readonly isVerified?: boolean;
  /** Reads all of it again and again as long as it is open; default: it does not. */
  readonly scrub?: ScrubRate | null;
}

/**
 * The state in LevelDB. What is applied is visible at once, in an overlay in memory, and reaches the
 * disk in batches of whole log entries, each with the index that it leads to; not synced, as the log
 * is what is durable.
 *
 * Keys must not begin with the byte 0.
 */
export class LevelStateStore implements DurableStateStore {
  readonly restoredIndex: number;
  readonly #database: Database;
  readonly #options: Required<LevelStateStoreOptions>;
  readonly #diskUse: FolderUse;
  readonly #overlay = new Overlay();
  readonly #waiters = new PendingWaiters();
  readonly #scrub: LevelScrub | null;
  readonly #flushBytes: number;
  #appliedIndex: number;
  #allowedIndex: number;
  #flushedIndex: number;
  #syncedIndex: number;
  #oldestMarker: number;
  #lastMarker: number;
  /** Markers through this one are no longer needed: their batches are surely on disk. */
  #syncedMarker = 0;
  #batchesSinceSync = 0;
  #isDue = false;
  #isTimerSet = false;
  #isClosing = false;
  #isClosed = false;
  #work: Promise<void> | null = null;
  #failure: Error | null = null;
  #onFailure: (error: Error) => void = () => {};

  /**
   * Opens the state, or makes an empty one.
   * @throws BalsaError `DATA_FOLDER_IN_USE`, `STATE_CORRUPT`, `DATA_FOLDER_UNUSABLE`, `DISK_FULL`
   */
  static async open(options: LevelStateStoreOptions): Promise<LevelStateStore> {
    const { folder, files = new NodeFiles(), isVerified = true } = options;
    if (isVerified) await makeReadable(folder);
    const database = await openDatabase(folder);
    try {
      // LevelDB gives CURRENT its name without that: after a power failure the one before might count again, and with it logs that
      // nobody has synced and that are gone, or short.
      files.syncFolder(folder);
      const range = { gte: Buffer.from(MARKERS_FROM), lt: Buffer.from(MARKERS_TO) };
      const markers = await database.iterator(range).all();
      return new LevelStateStore(options, database, checkMarkers(markers, folder));
    } catch (error) {
      await database.close();
      throw toLevelOpenError(error, folder);
    }
  }

  private constructor(options: LevelStateStoreOptions, database: Database, found: MarkersFound) {
    const defaults = {
      files: new NodeFiles(),
      failpoints: noFailpoints,
      clock: systemClock,
      isVerified: true,
      scrub: null,
    };
    this.#options = { ...defaults, ...options };
    this.#database = database;
    this.#diskUse = new FolderUse(options.folder, this.#options.clock);
    this.#flushBytes = Math.min(FLUSH_BYTES, options.limits.overlayBytesMax / 4);
    this.restoredIndex = found.index;
    this.#appliedIndex = found.index;
    this.#allowedIndex = found.index;
    this.#flushedIndex = found.index;
    // When LevelDB opens it makes synced tables of all that it finds in its own log; their names are synced, too.
    this.#syncedIndex = found.index;
    this.#oldestMarker = found.first === 0 ? 1 : found.first;
    this.#lastMarker = found.last;
    this.#scrub = this.#beginScrub();
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const write = this.#overlay.get(key);
    if (write !== undefined) return write.value ?? undefined;
    if (this.#isClosed) throw closedError();
    try {
      const stored = this.#database.getSync(key as Buffer);
      return checkedValue(key, stored, this.#options.folder);
    } catch (error) {
      throw this.#fail(error);
    }
  }

  async scan(range: ScanRange): Promise<ScanPage> {
    // In one go: the iterator sees the database as it is when it is made, and the overlay what is
    // not in there.
    if (this.#isClosing) throw closedError();
    const overlay = this.#overlay.slice(range);
    const from = Buffer.compare(range.from, MARKERS_TO) < 0 ? MARKERS_TO : range.from;
    const iterator = this.#database.iterator({
      gte: from as Buffer,
      ...(range.to === null ? {} : { lt: range.to as Buffer }),
      reverse: range.reverse === true,
      highWaterMarkBytes: Math.min(range.bytesMax, MiB),
    });
    try {
      const cursor = checkedCursor(iterator, this.#options.folder);
      return await mergeScan(cursor, overlay, range);
    } catch (error) {
      throw this.#isClosing ? closedError() : this.#fail(error);
    } finally {
      await iterator.close();
    }
  }

  apply(index: number, writes: readonly StateWrite[]): void {
    if (this.#failure !== null) throw this.#failure;
    assert(!this.#isClosing, 'nothing is applied to a store that closes');
    assert(index > this.#appliedIndex, 'log entries are applied in order');
    for (const { key } of writes) {
      assert(key.byteLength > 0 && key[0] !== RESERVED_BYTE, 'the key is not a reserved one');
    }
    this.#appliedIndex = index;
    this.#overlay.active.apply(index, writes);
    this.#setTimer();
    this.#advance();
  }

  allowDisk(index: number): void {
    if (index <= this.#allowedIndex) return;
    this.#allowedIndex = index;
    this.#advance();
  }

  pendingBytes(): number {
    return this.#overlay.bytes();
  }

  whenPendingBelow(bytes: number, callback: () => void): void {
    this.#waiters.add(bytes / 2, callback);
    this.#waiters.serve(this.pendingBytes());
  }

  onFailure(callback: (error: Error) => void): void {
    this.#onFailure = callback;
  }

  flushedIndex(): number {
    return this.#flushedIndex;
  }

  syncedIndex(): number {
    return this.#syncedIndex;
  }

  async sync(): Promise<void> {
    const index = this.#flushedIndex;
    const marker = this.#lastMarker;
    try {
      await syncDatabase(this.#database);
    } catch (error) {
      throw this.#fail(error);
    }
    this.#syncedIndex = Math.max(this.#syncedIndex, index);
    this.#syncedMarker = Math.max(this.#syncedMarker, marker);
  }

  view(): Promise<StateView> {
    const { folder } = this.#options;
    return this.#guarded(() =>
      LevelStateView.make({
        ...{ database: this.#database, folder, isGone: () => this.#isClosed },
        onFailure: (error) => this.#fail(error),
      }),
    );
  }

  diskBytes(): Promise<number> {
    return this.#diskUse.bytes();
  }

  bytesBetween(from: Uint8Array, to: Uint8Array): Promise<number> {
    return this.#guarded(() => bytesInRange(this.#database, from, to));
  }

  reclaim(from: Uint8Array, to: Uint8Array): Promise<void> {
    return this.#guarded(() => compactDatabase(this.#database, from, to));
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosing) throw closedError();
    try {
      return await work();
    } catch (error) {
      throw this.#isClosing ? closedError() : this.#fail(error);
    }
  }

  get scrubbed(): ScrubFigures | null {
    return this.#scrub?.figures ?? null;
  }

  /** Closes without putting anything more on disk: another state has taken this one's place. */
  async abandon(): Promise<void> {
    this.#isClosing = true;
    this.#isClosed = true;
    await this.#scrub?.stop();
    await this.#work;
    await this.#database.close();
  }

  /**
   * Reads all that is on disk now, slowly, to see that it is whole; damage ends the store.
   * @throws BalsaError `STATE_CORRUPT`
   */
  async verify(): Promise<void> {
    const { folder } = this.#options;
    const damaged = await damagedTables(folder, liveTables(this.#database));
    if (this.#isClosing) throw closedError();
    const [found] = damaged;
    if (found !== undefined) throw this.#fail(tableError(found, folder));
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await closeAll(
      () => this.#scrub?.stop(),
      () => this.#flushAll(),
      () => {
        this.#isClosed = true;
        return this.#database.close();
      },
    );
  }

  #beginScrub(): LevelScrub | null {
    const { folder, clock, scrub: rate } = this.#options;
    if (rate === null) return null;
    return new LevelScrub({
      ...{ folder, clock, rate, database: this.#database },
      onDamage: (table) => void this.#fail(tableError(table, folder)),
      onFailure: (error) => void this.#fail(error),
    });
  }

  // ---------------------------------------------------------------- to the disk

  #setTimer(): void {
    if (this.#isTimerSet) return;
    this.#isTimerSet = true;
    this.#options.clock.setTimer(FLUSH_DELAY_MS, () => {
      this.#isTimerSet = false;
      this.#isDue = true;
      this.#advance();
    });
  }

  /** Seals a generation when it is time, and sends the oldest one to the disk when it may go. */
  #advance(): void {
    if (this.#failure !== null || this.#isClosed) return;
    const overlay = this.#overlay;
    const { lastIndex, bytes } = overlay.active;
    const isWanted = overlay.sealedCount === 0 && (this.#isDue || bytes >= this.#flushBytes);
    if (lastIndex !== null && (isWanted || bytes >= BATCH_BYTES_MAX)) {
      overlay.seal();
      this.#isDue = false;
    }
    const next = overlay.oldestSealed;
    if (this.#work !== null || next?.lastIndex == null) return;
    if (next.lastIndex > this.#allowedIndex) return;
    this.#work = this.#flush(next, next.lastIndex).then(
      () => this.#finishFlush(),
      (error) => {
        this.#work = null;
        this.#fail(error);
      },
    );
  }

  async #flush(generation: OverlayGeneration, index: number): Promise<void> {
    const { failpoints, clock } = this.#options;
    failpoints.hit('state.before-flush');
    const batch = this.#database.batch();
    let count = 0;
    for (const { key, value, checksum } of generation.writes()) {
      if (value === null) batch.del(key as Buffer);
      else batch.put(key as Buffer, withChecksum(key, value, checksum));
      count += 1;
      if (count % WRITES_PER_SLICE === 0) {
        await new Promise<void>((resolve) => clock.defer(resolve));
      }
    }
    const marker = this.#lastMarker + 1;
    batch.put(markerKey(marker), markerValue(marker, index));
    const oldest = Math.min(this.#oldestMarker + MARKERS_DELETED_PER_BATCH, this.#syncedMarker);
    for (let old = this.#oldestMarker; old < oldest; old += 1) batch.del(markerKey(old));
    await batch.write();
    this.#oldestMarker = Math.max(this.#oldestMarker, oldest);
    this.#lastMarker = marker;
    this.#flushedIndex = index;
    failpoints.hit('state.after-flush');
    this.#batchesSinceSync += 1;
    if (this.#batchesSinceSync < BATCHES_PER_SYNC) return;
    this.#batchesSinceSync = 0;
    await this.sync();
  }

  async #flushAll(): Promise<void> {
    for (;;) {
      await this.#work;
      this.#isDue = true;
      this.#advance();
      if (this.#work === null) break;
    }
    if (this.#failure === null) await this.sync();
  }

  #finishFlush(): void {
    this.#work = null;
    this.#overlay.dropOldest();
    if (this.#overlay.active.lastIndex !== null) this.#setTimer();
    this.#advance();
    this.#waiters.serve(this.pendingBytes());
  }

  /** Final: answers with the first failure. */
  #fail(cause: unknown): Error {
    if (this.#failure === null) {
      this.#failure = toLevelError(cause, this.#options.folder);
      this.#onFailure(this.#failure);
    }
    return this.#failure;
  }
}

function tableError({ file, offset }: DamagedTable, folder: string): BalsaError {
  return stateCorrupt(folder, `${file} is not what was written, at offset ${offset}`, null);
}

function closedError(): BalsaError {
  return new BalsaError('SHUTTING_DOWN', 'the state is closed');
}
