import { assert } from '../base/assert.js';
import { toMapKey } from '../base/bytes.js';
import type { KeyValue } from '../base/operation.js';
import { corrupt } from './corrupt.js';
import { GenerationCache } from './generation-cache.js';
import { decodeKeyRecord, encodeKeyRecord, type KeyRecord, linkNext } from './key-record.js';
import { toKeyRecordKey, toValueRecordKey } from './layout.js';
import type { Position } from './position.js';
import type { StateStore, StateWrite } from './state-store.js';
import { decodeValueRecord, encodeValueRecord, type ValueRecord } from './value-record.js';

/** Key records kept in memory, in bytes, so that a write seldom asks the store. */
const CACHE_BYTES = 32 * 1024 * 1024;

const NO_BYTES = new Uint8Array(0);

/**
 * The keys with all their revisions (MVCC). A write adds a value record at a new revision and replaces
 * the small record of its key. Writes are staged, seen by those that follow, and reach the store
 * together, with {@link Keyspace.flushInto}, when the log entry ends.
 */
export class Keyspace {
  readonly #store: StateStore;
  readonly #known = new GenerationCache<KeyRecord>(CACHE_BYTES);
  /** What the present log entry has changed. A map, so that each key is written once. */
  readonly #staged = new Map<string, { readonly key: Uint8Array; readonly record: KeyRecord }>();
  #stagedValues: StateWrite[] = [];
  #revision: number;

  constructor(store: StateStore, revision: number) {
    this.#store = store;
    this.#revision = revision;
  }

  /** Number of writes so far that changed something. */
  get revision(): number {
    return this.#revision;
  }

  /** @returns the revision of the put */
  put(key: Uint8Array, value: Uint8Array): number {
    const mapKey = toMapKey(key);
    const record = this.#find(mapKey, key);
    const revision = this.#revision + 1;
    const alive = record !== null && record.version > 0;
    this.#write(
      { key, mapKey, record },
      {
        type: 'put',
        createRevision: alive ? record.createRevision : revision,
        version: alive ? record.version + 1 : 1,
        value,
      },
    );
    return revision;
  }

  /** Takes a revision only if there is something to delete. */
  delete(key: Uint8Array): { readonly revision: number; readonly deleted: number } {
    const mapKey = toMapKey(key);
    const record = this.#find(mapKey, key);
    const deleted = record !== null && record.version > 0;
    if (deleted) {
      this.#write(
        { key, mapKey, record },
        { type: 'tombstone', createRevision: 0, version: 0, value: NO_BYTES },
      );
    }
    return { revision: this.#revision, deleted: deleted ? 1 : 0 };
  }

  #write(
    target: {
      readonly key: Uint8Array;
      readonly mapKey: string;
      readonly record: KeyRecord | null;
    },
    change: Pick<ValueRecord, 'type' | 'createRevision' | 'version' | 'value'>,
  ): void {
    const { key, mapKey } = target;
    const { type, createRevision, version, value } = change;
    const { previous, skip, depth, back } = linkNext(target.record);
    this.#revision += 1;
    const modified: Position = { revision: this.#revision, sub: 0 };
    const lease = 0;
    this.#stagedValues.push({
      key: toValueRecordKey(modified),
      value: encodeValueRecord({
        type,
        previous,
        skip,
        createRevision,
        version,
        lease,
        key,
        value,
      }),
    });
    const record: KeyRecord = { modified, createRevision, version, lease, depth, back };
    this.#staged.set(mapKey, { key, record });
  }

  /** Adds all that is staged to `writes`; the caller gives them to the store before anything else. */
  flushInto(writes: StateWrite[]): void {
    for (const write of this.#stagedValues) writes.push(write);
    for (const [mapKey, { key, record }] of this.#staged) {
      writes.push({ key: toKeyRecordKey(key), value: encodeKeyRecord(record) });
      this.#known.set(mapKey, record);
    }
    this.#stagedValues = [];
    this.#staged.clear();
  }

  /** What `key` held at `revision`, which must exist. */
  get(key: Uint8Array, revision: number): KeyValue | null {
    assert(this.#staged.size === 0, 'the keyspace is read between log entries only');
    const record = this.#find(toMapKey(key), key);
    return record === null ? null : this.resolve(record, revision);
  }

  /** What the key of `record` held at `revision`; `record` may be any of the key since then. */
  resolve(record: KeyRecord, revision: number): KeyValue | null {
    if (record.version === 0 && record.modified.revision <= revision) return null;
    const position = this.#locate(record, revision);
    if (position.revision === 0) return null;
    const found = this.#load(position);
    if (found.type === 'tombstone') return null;
    return {
      key: found.key,
      value: found.value,
      createRevision: found.createRevision,
      modRevision: position.revision,
      version: found.version,
      lease: found.lease,
    };
  }

  /** The newest write of the key that is not newer than `revision`; revision 0: there is none. */
  #locate(record: KeyRecord, revision: number): Position {
    if (record.modified.revision <= revision) return record.modified;
    let newer = record.modified;
    for (const position of record.back) {
      if (position.revision <= revision) break;
      newer = position;
    }
    for (;;) {
      const { previous, skip } = this.#load(newer);
      if (previous.revision <= revision) return previous;
      newer = skip.revision > revision ? skip : previous;
    }
  }

  #find(mapKey: string, key: Uint8Array): KeyRecord | null {
    const inMemory = this.#staged.get(mapKey)?.record ?? this.#known.get(mapKey);
    if (inMemory !== undefined) return inMemory;
    const bytes = this.#store.get(toKeyRecordKey(key));
    if (bytes === undefined) return null;
    const record = decodeKeyRecord(bytes);
    this.#known.set(mapKey, record);
    return record;
  }

  #load(position: Position): ValueRecord {
    const bytes = this.#store.get(toValueRecordKey(position));
    if (bytes === undefined) throw corrupt(`no value for revision ${position.revision}`);
    return decodeValueRecord(bytes);
  }
}
