import { assert } from '../base/assert.js';
import { toMapKey } from '../base/bytes.js';
import { BalsaError } from '../base/errors.js';
import { Deadlines } from './deadlines.js';
import type { Journal } from './journal.js';
import type { NamedKey } from './keyspace.js';
import {
  fromLeaseKey,
  fromLeaseKeyKey,
  LEASES_FROM,
  LEASES_TO,
  toLeaseKey,
  toLeaseKeyKey,
} from './layout.js';
import { decodeLeaseRecord, encodeLeaseRecord, type LeaseRecord } from './lease-record.js';
import { loadRecords } from './load-records.js';
import type { FoundKeys } from './read-ahead.js';
import { Refusal } from './refusal.js';
import type { StateStore, StateWrite } from './state-store.js';
import type { LeaseState } from './types.js';

/** Bounds that decide what is applied; see `LIMITS`. */
export interface LeaseBounds {
  readonly leasesMax: number;
  readonly leaseKeysMax: number;
}

/** Of one lease: keys that the entry in hand has hung on it (`true`) or taken off, by `toMapKey`. */
type KeyChanges = Map<string, { readonly key: Uint8Array; readonly isAttached: boolean }>;

/**
 * The leases. Their records are few and small, and are kept in memory too; which keys hang on each is
 * only in the store. Time is log time: a lease ends when the log says so, not when a clock does.
 */
export class Leases {
  readonly #store: StateStore;
  readonly #bounds: LeaseBounds;
  readonly #journal: Journal;
  readonly #records: Map<number, LeaseRecord>;
  readonly #deadlines: Deadlines;
  #lastId: number;
  readonly #changed = new Set<number>();
  readonly #keyChanges = new Map<number, KeyChanges>();

  private constructor(
    parts: { readonly store: StateStore; readonly bounds: LeaseBounds; readonly journal: Journal },
    records: Map<number, LeaseRecord>,
    lastId: number,
  ) {
    this.#store = parts.store;
    this.#bounds = parts.bounds;
    this.#journal = parts.journal;
    this.#records = records;
    this.#lastId = lastId;
    this.#deadlines = new Deadlines(
      (id) => records.get(id)?.deadlineMs ?? null,
      () => records.size,
    );
    for (const [id, { deadlineMs }] of records) this.#deadlines.add(id, deadlineMs);
  }

  /** The leases as the store has them. */
  static async load(
    parts: { readonly store: StateStore; readonly bounds: LeaseBounds; readonly journal: Journal },
    lastId: number,
  ): Promise<Leases> {
    const records = await loadRecords(
      parts.store,
      { from: LEASES_FROM, to: LEASES_TO },
      (storeKey, bytes): [number, LeaseRecord] => [
        fromLeaseKey(storeKey),
        decodeLeaseRecord(bytes),
      ],
    );
    return new Leases(parts, new Map(records), lastId);
  }

  get size(): number {
    return this.#records.size;
  }

  /** The last id that was chosen here. */
  get lastId(): number {
    return this.#lastId;
  }

  get(id: number): LeaseRecord | null {
    return this.#records.get(id) ?? null;
  }

  state(id: number): LeaseState | null {
    const record = this.#records.get(id);
    return record === undefined ? null : { lease: id, ...record };
  }

  /** In the order of their ids. */
  states(): LeaseState[] {
    const states = [...this.#records].map(([lease, record]) => ({ lease, ...record }));
    return states.sort((a, b) => a.lease - b.lease);
  }

  due(nowMs: number, max: number, keysMax: number = Number.POSITIVE_INFINITY): number[] {
    let keys = 0;
    const isTooMuch = (id: number): boolean => {
      keys += this.must(id).keyCount;
      return keys > keysMax;
    };
    const found = this.#deadlines.due(nowMs, max);
    const end = found.findIndex(isTooMuch);
    return end < 0 ? found : found.slice(0, Math.max(end, 1));
  }

  /**
   * @param id 0: one is chosen
   * @returns its id
   */
  grant(id: number, ttlMs: number, nowMs: number): number {
    if (this.#records.has(id)) {
      throw new Refusal('LEASE_EXISTS', `there is a lease ${id} already`, { lease: id });
    }
    const { leasesMax } = this.#bounds;
    if (this.#records.size >= leasesMax) {
      const limit = { limit: leasesMax };
      throw new Refusal('LEASES_TOO_MANY', `there are ${leasesMax} leases already`, limit);
    }
    const chosen = id === 0 ? this.#choose() : id;
    this.#set(chosen, { ttlMs, deadlineMs: nowMs + ttlMs, keyCount: 0 });
    this.#deadlines.add(chosen, nowMs + ttlMs);
    return chosen;
  }

  #choose(): number {
    do this.#lastId += 1;
    while (this.#records.has(this.#lastId));
    return this.#lastId;
  }

  keepAlive(id: number, nowMs: number): LeaseRecord {
    const record = this.must(id);
    const kept = { ...record, deadlineMs: nowMs + record.ttlMs };
    // Nothing to note when no time has passed; the deadline is there already.
    if (kept.deadlineMs === record.deadlineMs) return record;
    this.#set(id, kept);
    this.#deadlines.add(id, kept.deadlineMs);
    return kept;
  }

  must(id: number): LeaseRecord {
    const record = this.#records.get(id);
    if (record !== undefined) return record;
    throw new Refusal(
      'LEASE_NOT_FOUND',
      `there is no lease ${id}: it was revoked, has expired, or was never granted`,
      { lease: id },
    );
  }

  /** @throws Refusal `LEASE_NOT_FOUND`, `LEASE_FULL` when one more key cannot hang on it */
  checkRoom(id: number): void {
    const { leaseKeysMax } = this.#bounds;
    if (this.must(id).keyCount < leaseKeysMax) return;
    throw new Refusal(
      'LEASE_FULL',
      `${leaseKeysMax} keys hang on lease ${id}, as many as can (leaseKeysMax): grant another one`,
      { lease: id, limit: leaseKeysMax },
    );
  }

  attach(id: number, named: NamedKey): void {
    this.#change(id, named, true);
  }

  detach(id: number, named: NamedKey): void {
    this.#change(id, named, false);
  }

  #change(id: number, { key, mapKey }: NamedKey, isAttached: boolean): void {
    const record = this.#records.get(id);
    assert(record !== undefined, 'a key hangs on a lease that exists');
    let changes = this.#keyChanges.get(id);
    if (changes === undefined) {
      changes = new Map();
      this.#keyChanges.set(id, changes);
    }
    if (this.#journal.isOpen) this.#noteForUndo(changes, mapKey, id, record);
    changes.set(mapKey, { key, isAttached });
    this.#set(id, { ...record, keyCount: record.keyCount + (isAttached ? 1 : -1) });
  }

  #noteForUndo(changes: KeyChanges, mapKey: string, id: number, record: LeaseRecord): void {
    const before = changes.get(mapKey);
    this.#journal.note(() => {
      if (before === undefined) changes.delete(mapKey);
      else changes.set(mapKey, before);
      this.#records.set(id, record);
    });
  }

  /**
   * The keys that hang on a lease now, in key order.
   * @param found those that the store has
   */
  keysOf(id: number, found: FoundKeys): Uint8Array[] | 'not-read' {
    if (found.type === 'not-read') return 'not-read';
    assert(found.type === 'found', 'no more keys hang on a lease than may');
    const keys = new Map(found.pairs.map(([key]) => [toMapKey(key), key]));
    for (const [mapKey, { key, isAttached }] of this.#keyChanges.get(id) ?? []) {
      if (isAttached) keys.set(mapKey, key);
      else keys.delete(mapKey);
    }
    return [...keys].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, key]) => key);
  }

  /** Its keys have been taken off. */
  remove(id: number): void {
    assert(this.must(id).keyCount === 0, 'no key hangs on a lease that ends');
    this.#records.delete(id);
    this.#changed.add(id);
  }

  #set(id: number, record: LeaseRecord): void {
    this.#records.set(id, record);
    this.#changed.add(id);
  }

  /**
   * The keys of a lease as the store has them, between entries: in one go, so that they are those of one moment.
   * @throws BalsaError `RANGE_TOO_LARGE`
   */
  async keysInStore(id: number, bytesMax: number): Promise<Uint8Array[]> {
    const nothing = new Uint8Array();
    const { pairs, more } = await this.#store.scan({
      ...{ from: toLeaseKeyKey(id, nothing), to: toLeaseKeyKey(id + 1, nothing) },
      ...{ keysMax: Number.MAX_SAFE_INTEGER, bytesMax },
    });
    if (!more) return pairs.map(([storeKey]) => fromLeaseKeyKey(storeKey));
    throw new BalsaError(
      'RANGE_TOO_LARGE',
      `the keys of lease ${id} take more than ${bytesMax} bytes, which is what one answer has room for`,
      { details: { limit: bytesMax } },
    );
  }

  /** Adds all that is staged to `writes`; the caller gives them to the store before anything else. */
  flushInto(writes: StateWrite[]): void {
    for (const [id, changes] of this.#keyChanges) {
      for (const { key, isAttached } of changes.values()) {
        writes.push({ key: toLeaseKeyKey(id, key), value: isAttached ? EMPTY : null });
      }
    }
    for (const id of this.#changed) {
      const record = this.#records.get(id);
      const value = record === undefined ? null : encodeLeaseRecord(record);
      writes.push({ key: toLeaseKey(id), value });
    }
    this.#keyChanges.clear();
    this.#changed.clear();
  }
}

const EMPTY = new Uint8Array();
