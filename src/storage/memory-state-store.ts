import { assert } from '../base/assert.js';
import { countWhile } from '../base/binary-search.js';
import { fromMapKey, toMapKey } from '../base/bytes.js';
import { BalsaError } from '../base/errors.js';
import { SortedKeys } from '../base/sorted-keys.js';
import type { ScanPage, ScanRange, StateWrite } from '../statemachine/state-store.js';
import { RESERVED_BYTE } from './flush-markers.js';
import type { Schedule } from './memory-files.js';
import { PendingWaiters } from './pending-waiters.js';
import { ScanPageBuilder } from './scan-page-builder.js';
import type { DurableStateStore, StateView } from './snapshot.js';

interface AppliedEntry {
  readonly index: number;
  readonly writes: readonly StateWrite[];
  readonly bytes: number;
}

/** What is on the simulated disk: the state after entry `index`. */
export interface DiskState {
  index: number;
  readonly values: Map<string, Uint8Array>;
}

/** Entries on disk after which it is synced in any case. */
const UNSYNCED_ENTRIES_MAX = 4096;

export interface MemoryStateStoreOptions {
  /** When scans answer and when what may go to the disk gets there; the simulator's choice. */
  readonly schedule: Schedule;
}

/**
 * {@link DurableStateStore} in memory, with a disk of its own that lags behind: {@link crash} answers
 * with a store that holds only what had reached it.
 */
export class MemoryStateStore implements DurableStateStore {
  readonly restoredIndex: number;
  readonly #schedule: Schedule;
  readonly #disk: DiskState;
  /** What a power failure leaves at least. */
  readonly #synced: DiskState;
  /** On the disk and not synced, in order. */
  #unsynced: AppliedEntry[] = [];
  readonly #values: Map<string, Uint8Array>;
  readonly #keys = new SortedKeys();
  readonly #waiters = new PendingWaiters();
  /** Applied and not on disk, in order. */
  #pending: AppliedEntry[] = [];
  #pendingBytes = 0;
  #appliedIndex: number;
  #allowedIndex: number;
  #isFlushing = false;
  #isStopped = false;
  #isAbandoned = false;
  #failure: Error | null = null;
  #onFailure: (error: Error) => void = () => {};

  constructor(options: MemoryStateStoreOptions, disk?: DiskState) {
    this.#schedule = options.schedule;
    this.#disk = disk ?? { index: 0, values: new Map() };
    this.#synced = copyOf(this.#disk);
    this.#values = new Map(this.#disk.values);
    for (const key of this.#values.keys()) this.#keys.add(key);
    this.restoredIndex = this.#disk.index;
    this.#appliedIndex = this.#disk.index;
    this.#allowedIndex = this.#disk.index;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#refuseAbandoned();
    return this.#values.get(toMapKey(key));
  }

  async scan(range: ScanRange): Promise<ScanPage> {
    this.#refuseAbandoned();
    const from = toMapKey(range.from);
    const to = range.to === null ? null : toMapKey(range.to);
    const isReverse = range.reverse === true;
    const keys = isReverse ? this.#keys.descending(from, to) : this.#keys.ascending(from, to);
    const page = new ScanPageBuilder(range);
    for (const key of keys) {
      const value = this.#values.get(key);
      if (value !== undefined) page.add(fromMapKey(key), value);
      if (page.isFull) break;
    }
    await this.#turn();
    return page.build();
  }

  apply(index: number, writes: readonly StateWrite[]): void {
    if (this.#failure !== null) throw this.#failure;
    assert(!this.#isStopped, 'nothing is applied to a store that closes');
    assert(index > this.#appliedIndex, 'log entries are applied in order');
    for (const { key } of writes) {
      assert(key.byteLength > 0 && key[0] !== RESERVED_BYTE, 'the key is not a reserved one');
    }
    this.#appliedIndex = index;
    let bytes = 0;
    const copies: StateWrite[] = [];
    for (const { key, value } of writes) {
      // Copies: a value may be a view into the message that it came with.
      const copy = { key, value: value === null ? null : Uint8Array.from(value) };
      bytes += key.byteLength + (value?.byteLength ?? 0);
      copies.push(copy);
      this.#set(copy);
    }
    this.#pending.push({ index, writes: copies, bytes });
    this.#pendingBytes += bytes;
    this.#flushLater();
  }

  allowDisk(index: number): void {
    this.#allowedIndex = Math.max(this.#allowedIndex, index);
    this.#flushLater();
  }

  pendingBytes(): number {
    return this.#pendingBytes;
  }

  whenPendingBelow(bytes: number, callback: () => void): void {
    this.#waiters.add(bytes / 2, callback);
    this.#waiters.serve(this.#pendingBytes);
  }

  onFailure(callback: (error: Error) => void): void {
    this.#onFailure = callback;
  }

  flushedIndex(): number {
    return this.#disk.index;
  }

  syncedIndex(): number {
    return this.#synced.index;
  }

  async sync(): Promise<void> {
    const { index } = this.#disk;
    await this.#turn();
    if (!this.#isStopped) this.#syncTo(index);
  }

  async diskBytes(): Promise<number> {
    let bytes = 0;
    for (const [key, value] of this.#disk.values) bytes += key.length + value.byteLength;
    return bytes;
  }

  readonly scrubbed = null;

  bytesBetween(): Promise<number> {
    return Promise.resolve(0);
  }

  /** What is deleted takes no space here. */
  async reclaim(): Promise<void> {
    await this.#turn();
  }

  async view(): Promise<StateView> {
    const disk = copyOf(this.#disk);
    await this.#turn();
    return new MemoryStateView(disk, () => this.#turn());
  }

  close(): Promise<void> {
    this.#isStopped = true;
    this.#flushTo(this.#allowedIndex);
    this.#syncTo(this.#disk.index);
    return Promise.resolve();
  }

  /** Closes without putting anything more on disk. */
  abandon(): void {
    this.#isStopped = true;
    this.#isAbandoned = true;
  }

  /** The disk fails now. */
  fail(error: Error): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#onFailure(error);
  }

  /**
   * Stops this store; the answer is what another process, or this machine after a crash, finds.
   * @param keeps how many of the unsynced entries a power failure leaves; all, as a kill does, by default
   */
  crash(
    options: MemoryStateStoreOptions = { schedule: this.#schedule },
    keeps: (unsynced: number) => number = (unsynced) => unsynced,
  ): MemoryStateStore {
    this.#isStopped = true;
    const disk = copyOf(this.#synced);
    for (const entry of this.#unsynced.slice(0, keeps(this.#unsynced.length))) write(disk, entry);
    return new MemoryStateStore(options, disk);
  }

  /** Whoever reads on gets nothing from another state. */
  #refuseAbandoned(): void {
    if (this.#isAbandoned) throw new BalsaError('SHUTTING_DOWN', 'the state is closed');
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#schedule(resolve));
  }

  #set({ key, value }: StateWrite): void {
    const mapKey = toMapKey(key);
    if (value === null) {
      if (this.#values.delete(mapKey)) this.#keys.delete(mapKey);
    } else {
      if (!this.#values.has(mapKey)) this.#keys.add(mapKey);
      this.#values.set(mapKey, value);
    }
  }

  #flushLater(): void {
    const [oldest] = this.#pending;
    if (this.#isFlushing || oldest === undefined || oldest.index > this.#allowedIndex) return;
    this.#isFlushing = true;
    const target = this.#allowedIndex;
    this.#schedule(() => {
      this.#isFlushing = false;
      if (this.#isStopped || this.#failure !== null) return;
      this.#flushTo(target);
      this.#waiters.serve(this.#pendingBytes);
      this.#flushLater();
    });
  }

  #flushTo(index: number): void {
    const covered = this.#pending.findIndex((entry) => entry.index > index);
    const count = covered < 0 ? this.#pending.length : covered;
    for (const entry of this.#pending.splice(0, count)) {
      write(this.#disk, entry);
      this.#unsynced.push(entry);
      this.#pendingBytes -= entry.bytes;
    }
    if (this.#unsynced.length > UNSYNCED_ENTRIES_MAX) this.#syncTo(this.#disk.index);
  }

  #syncTo(index: number): void {
    const kept = this.#unsynced.findIndex((entry) => entry.index > index);
    const count = kept < 0 ? this.#unsynced.length : kept;
    for (const entry of this.#unsynced.splice(0, count)) write(this.#synced, entry);
  }
}

class MemoryStateView implements StateView {
  readonly index: number;
  readonly #values: ReadonlyMap<string, Uint8Array>;
  readonly #keys: readonly string[];
  readonly #turn: () => Promise<void>;

  constructor(disk: DiskState, turn: () => Promise<void>) {
    this.index = disk.index;
    this.#values = disk.values;
    // One character per byte: the order of the strings is that of the bytes.
    this.#keys = [...disk.values.keys()].sort();
    this.#turn = turn;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#values.get(toMapKey(key));
  }

  async next(
    after: Uint8Array | null,
    bytesMax: number,
  ): Promise<readonly (readonly [Uint8Array, Uint8Array])[]> {
    await this.#turn();
    const pairs: (readonly [Uint8Array, Uint8Array])[] = [];
    let bytes = 0;
    for (let at = after === null ? 0 : this.#behind(toMapKey(after)); ; at += 1) {
      const key = this.#keys[at];
      const value = key === undefined ? undefined : this.#values.get(key);
      if (key === undefined || value === undefined) return pairs;
      bytes += key.length + value.byteLength;
      if (bytes > bytesMax && pairs.length > 0) return pairs;
      pairs.push([fromMapKey(key), value]);
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Position of the first key that is greater. */
  #behind(key: string): number {
    return countWhile(this.#keys, (own) => own <= key);
  }
}

function copyOf(disk: DiskState): DiskState {
  return { index: disk.index, values: new Map(disk.values) };
}

function write(disk: DiskState, entry: AppliedEntry): void {
  for (const { key, value } of entry.writes) {
    if (value === null) disk.values.delete(toMapKey(key));
    else disk.values.set(toMapKey(key), value);
  }
  disk.index = entry.index;
}
