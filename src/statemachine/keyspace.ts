import { assert } from '../base/assert.js';
import { toMapKey } from '../base/bytes.js';
import type { KeyContent, KeyValue } from '../base/operation.js';
import { DeadRuns } from './dead-runs.js';
import { GenerationCache } from './generation-cache.js';
import type { Journal } from './journal.js';
import type { KeyChains } from './key-chain.js';
import {
  decodeKeyRecord,
  encodeKeyRecord,
  inlineValue,
  type KeyRecord,
  linkNext,
  readKeyHead,
} from './key-record.js';
import { toKeyRecordKey, toValueRecordKey } from './layout.js';
import type { Growth } from './namespaces.js';
import type { Position } from './position.js';
import { StagedKeys } from './staged-keys.js';
import type { StateStore, StateWrite } from './state-store.js';
import type { WriteEvent } from './types.js';
import { encodeValueRecord } from './value-record.js';

/** Key records kept in memory, in bytes, so that a write seldom asks the store: of some two hundred thousand keys. */
const CACHE_BYTES = 64 * 1024 * 1024;
/** What one takes beside its key, roughly: that of a key written thirty times. */
export const CACHE_ENTRY_BYTES = 300;

/** What keys hold, kept in memory, in bytes, so that what is read often does not ask the store. */
const READ_CACHE_BYTES = 64 * 1024 * 1024;
/** What one of these takes beside its value, roughly. */
const READ_ENTRY_BYTES = 300;

const NO_BYTES = new Uint8Array(0);

/** A key under the name that maps know it by. */
export interface NamedKey {
  readonly key: Uint8Array;
  /** `toMapKey(key)`: sorts as the keys do. */
  readonly mapKey: string;
}

/** A key, and what is known of it. */
export interface Target extends NamedKey {
  /** `null`: never written, or nothing of it is kept. */
  readonly record: KeyRecord | null;
}

/** A key that exists. */
export interface LiveTarget extends Target {
  readonly record: KeyRecord;
}

export function isLive(target: Target): target is LiveTarget {
  return target.record !== null && target.record.version > 0;
}

/**
 * The keys with all their revisions (MVCC). A write adds a value record at a new revision and replaces
 * the small record of its key. Writes are staged, seen by those that follow, and reach the store
 * together, with {@link Keyspace.flushInto}, when the log entry ends.
 */
export class Keyspace {
  readonly #store: StateStore;
  readonly #chains: KeyChains;
  readonly #journal: Journal;
  readonly #known = new GenerationCache<KeyRecord>(CACHE_BYTES, () => CACHE_ENTRY_BYTES);
  /** Small values of keys that were read, with what is known of them. */
  readonly #read = new GenerationCache<KeyContent>(
    READ_CACHE_BYTES,
    ({ value }) => READ_ENTRY_BYTES + value.byteLength,
  );
  readonly dead = new DeadRuns();
  /** What the present log entry has changed. */
  readonly #staged = new StagedKeys();
  #stagedValues: StateWrite[] = [];
  #revision: number;
  #spaceBytes: number;
  /** In a group: the first write takes a revision, which those that follow share. */
  #isGrouped = false;
  /** Of the next write of the group; 0: the group has not written. */
  #sub = 0;
  /** What the entry wrote; `null`: nobody wants to know. */
  #events: WriteEvent[] | null = null;

  constructor(parts: {
    readonly store: StateStore;
    readonly chains: KeyChains;
    readonly journal: Journal;
    readonly revision: number;
    readonly spaceBytes: number;
  }) {
    this.#store = parts.store;
    this.#chains = parts.chains;
    this.#journal = parts.journal;
    this.#revision = parts.revision;
    this.#spaceBytes = parts.spaceBytes;
  }

  /** Number of transactions so far that changed something; a single write is one of its own. */
  get revision(): number {
    return this.#revision;
  }

  /** Bytes of keys and values of all records that are kept. */
  get spaceBytes(): number {
    return this.#spaceBytes;
  }

  /** Writes that the open group has made. */
  get groupSize(): number {
    return this.#sub;
  }

  get staged(): StagedKeys {
    return this.#staged;
  }

  target(key: Uint8Array): Target {
    const mapKey = toMapKey(key);
    return { key, mapKey, record: this.find(mapKey, key) };
  }

  find(mapKey: string, key: Uint8Array): KeyRecord | null {
    const staged = this.#staged.get(mapKey);
    if (staged !== undefined) return staged.record;
    const known = this.#known.get(mapKey);
    if (known !== undefined) return known;
    const bytes = this.#store.get(toKeyRecordKey(key));
    if (bytes === undefined) return null;
    const record = decodeKeyRecord(bytes);
    this.#known.set(mapKey, record);
    return record;
  }

  /** What the key holds now, in the middle of an entry. */
  valueOf({ mapKey, record }: LiveTarget): Uint8Array {
    return this.#staged.get(mapKey)?.value ?? this.#chains.valueAt(record.modified);
  }

  /** As {@link Keyspace.valueOf}, with all that is known of the key. */
  itemOf(target: LiveTarget): KeyValue {
    return describe(target, this.valueOf(target));
  }

  /** What the entry has written in the open group must not be written again. */
  isWrittenInGroup({ record }: Target): boolean {
    return this.#sub > 0 && record !== null && record.modified.revision === this.#revision;
  }

  openGroup(): void {
    assert(!this.#isGrouped, 'groups of writes do not nest');
    this.#isGrouped = true;
    this.#sub = 0;
  }

  closeGroup(): void {
    this.#isGrouped = false;
    this.#sub = 0;
  }

  put(target: Target, value: Uint8Array, lease: number): void {
    const modified = this.#nextPosition();
    const live = isLive(target) ? target.record : null;
    // Here, and not when the entry ends: it may delete the key again, and there is a revision at which the key is there.
    if (live === null) this.dead.put(target.mapKey);
    const { previous, skip, depth, back } = linkNext(target.record);
    const createRevision = live === null ? modified.revision : live.createRevision;
    const version = live === null ? 1 : live.version + 1;
    const valueBytes = value.byteLength;
    const { key } = target;
    this.#stagedValues.push({
      key: toValueRecordKey(modified),
      value: encodeValueRecord({
        type: 'put',
        previous,
        skip,
        createRevision,
        version,
        lease,
        previousBytes: live === null ? 0 : live.valueBytes,
        key,
        value,
      }),
      checksum: undefined,
    });
    const record = { modified, createRevision, version, lease, valueBytes, depth, back };
    this.#stage(target, record, value);
    if (this.#events === null) return;
    const { revision, sub } = modified;
    // Written out: a literal with a spread takes ten times as long, and each put makes one.
    this.#events.push({
      type: 'put',
      revision,
      sub,
      key,
      value,
      createRevision,
      version,
      lease,
      previous,
    });
  }

  delete(target: LiveTarget): void {
    const modified = this.#nextPosition();
    const { key, record: live } = target;
    const { previous, skip, depth, back } = linkNext(live);
    const nothing = { createRevision: 0, version: 0, lease: 0 };
    this.#stagedValues.push({
      key: toValueRecordKey(modified),
      value: encodeValueRecord({
        type: 'tombstone',
        previous,
        skip,
        ...nothing,
        previousBytes: live.valueBytes,
        key,
        value: NO_BYTES,
      }),
    });
    this.#stage(target, { modified, ...nothing, valueBytes: 0, depth, back }, NO_BYTES);
    if (this.#events === null) return;
    const { revision, sub } = modified;
    const place = { type: 'delete' as const, revision, sub, key, value: NO_BYTES };
    this.#events.push({ previous, ...place, ...nothing });
  }

  /** Removes a record of the history that no longer counts. */
  removeValue(position: Position, bytes: number): void {
    this.#stagedValues.push({ key: toValueRecordKey(position), value: null });
    this.#spaceBytes -= bytes;
  }

  /** Removes the record of a key of which nothing is kept. */
  removeKey(target: Target): void {
    this.#staged.set(target.mapKey, { key: target.key, record: null, value: NO_BYTES });
  }

  #nextPosition(): Position {
    if (this.#journal.isOpen) this.#noteForUndo();
    if (!this.#isGrouped) {
      this.#revision += 1;
      return { revision: this.#revision, sub: 0 };
    }
    if (this.#sub === 0) this.#revision += 1;
    const position = { revision: this.#revision, sub: this.#sub };
    this.#sub += 1;
    return position;
  }

  #noteForUndo(): void {
    const revision = this.#revision;
    const sub = this.#sub;
    const values = this.#stagedValues.length;
    const space = this.#spaceBytes;
    const events = this.#events?.length ?? 0;
    this.#journal.note(() => {
      this.#revision = revision;
      this.#sub = sub;
      this.#stagedValues.length = values;
      this.#spaceBytes = space;
      if (this.#events !== null) this.#events.length = events;
    });
  }

  #stage({ mapKey, key }: Target, record: KeyRecord, value: Uint8Array): void {
    this.#spaceBytes += key.byteLength + value.byteLength;
    if (this.#journal.isOpen) {
      const before = this.#staged.get(mapKey);
      this.#journal.note(() => this.#staged.restore(mapKey, before));
    }
    this.#staged.set(mapKey, { key, record, value });
  }

  /** Adds all that is staged to `writes`; the caller gives them to the store before anything else. */
  flushInto(writes: StateWrite[]): void {
    for (const write of this.#stagedValues) writes.push(write);
    for (const [mapKey, { key, record, value }] of this.#staged.entries()) {
      const bytes = record === null ? null : encodeKeyRecord(record, value);
      writes.push({ key: toKeyRecordKey(key), value: bytes, checksum: undefined });
      this.#read.delete(mapKey);
      if (record === null) this.#known.delete(mapKey);
      else this.#known.set(mapKey, record);
    }
    this.#stagedValues = [];
    this.#staged.clear();
  }

  /** From now on the writes of each entry are kept for {@link Keyspace.takeEvents}. */
  collectEvents(isWanted: boolean): void {
    if (isWanted !== (this.#events !== null)) this.#events = isWanted ? [] : null;
  }

  /** What was written since the last call; `null`: nothing. */
  takeEvents(): readonly WriteEvent[] | null {
    const events = this.#events;
    if (events === null || events.length === 0) return null;
    this.#events = [];
    return events;
  }

  /** What `key` held at `revision`, which must exist. */
  get(key: Uint8Array, revision: number): KeyContent | null {
    assert(this.#staged.size === 0, 'the keyspace is read between log entries only');
    const mapKey = toMapKey(key);
    const read = this.#read.get(mapKey);
    if (read !== undefined && read.modRevision <= revision) return read;
    // The other cache is for writes: it has no values. A small one lies beside the record.
    const bytes = this.#store.get(toKeyRecordKey(key));
    if (bytes === undefined) return null;
    const head = readKeyHead(bytes);
    const inline = head.modRevision > revision ? null : inlineValue(bytes);
    if (inline === null) return this.#chains.resolve(decodeKeyRecord(bytes), revision);
    const { createRevision, modRevision, version, lease } = head;
    if (version === 0) return null;
    // A view, or a part of Node's pool, would keep all that it is a part of.
    const value = Buffer.allocUnsafeSlow(inline.byteLength);
    value.set(inline);
    const content = { value, createRevision, modRevision, version, lease };
    this.#read.set(mapKey, content);
    return content;
  }
}

export function describe({ key, record }: LiveTarget, value: Uint8Array): KeyValue {
  const { createRevision, modified, version, lease } = record;
  return { key, value, createRevision, modRevision: modified.revision, version, lease };
}

/** What a write of the key adds to what is there. `valueBytes` null: it is deleted. */
export function growth({ key, record }: Target, valueBytes: number | null): Growth {
  const before = record === null || record.version === 0 ? null : record;
  const bytesBefore = before === null ? 0 : key.byteLength + before.valueBytes;
  const bytesAfter = valueBytes === null ? 0 : key.byteLength + valueBytes;
  return {
    bytes: bytesAfter - bytesBefore,
    keys: (valueBytes === null ? 0 : 1) - (before === null ? 0 : 1),
  };
}
