import { compareBytes, fromMapKey, toMapKey } from '../../../src/base/bytes.js';
import { BalsaError, type ErrorCode } from '../../../src/base/errors.js';
import type {
  Compare,
  KeyValue,
  PutOperation,
  ReadOperation,
  ReadResult,
  TxnOperation,
  TxnStep,
  WriteOperation,
  WriteResult,
} from '../../../src/base/operation.js';
import type { LeaseInfo, StoreInfo, WatchEvent } from '../../../src/rpc/protocol.js';

type Place = { readonly from: Uint8Array; readonly to?: Uint8Array | null | undefined };

interface Lease {
  readonly ttlMs: number;
  deadlineMs: number;
}

class Refused extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode) {
    super(`refused by the model as ${code}`);
    this.code = code;
  }
}

/** What the store shall do, in the plainest words: one map, copied for each operation. */
export class ModelStore {
  revision = 0;
  compactedRevision = 0;
  readonly history = new Map<string, { revision: number; item: KeyValue | null }[]>();
  readonly leases = new Map<number, Lease>();
  readonly namespaces = new Map<string, { prefix: Uint8Array; quotaBytes: number }>();
  settings = { historyMs: 0, historyRevisions: 0, spaceQuotaBytes: 0 };
  nowMs: () => number = () => 0;
  /** Called behind each revision. */
  onRevision: () => void = () => {};
  #current = new Map<string, KeyValue>();
  #lastLease = 0;
  /** Of the operation in hand. */
  #written = new Set<string>();

  apply(operation: WriteOperation): WriteResult {
    const before = this.#current;
    this.#current = new Map(before);
    this.#written = new Set();
    try {
      const result = this.#apply(operation);
      this.#commit(before);
      return result;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#current = before;
      return { type: 'error', code: error.code, message: error.message, details: null };
    }
  }

  /** Ends the leases whose time is up. */
  expire(): void {
    for (const [id, lease] of this.leases) {
      if (lease.deadlineMs <= this.nowMs()) this.apply({ type: 'lease-revoke', lease: id });
    }
  }

  at(key: string, revision: number | null): KeyValue | null {
    const versions = this.history.get(key) ?? [];
    const found = versions.findLast((v) => revision === null || v.revision <= revision);
    return found?.item ?? null;
  }

  /** Keys with what they hold at a revision, in order. */
  range({ from, to }: Place, revision: number | null): KeyValue[] {
    const keys = [...this.history.keys()].filter((key) => isWithin(fromMapKey(key), { from, to }));
    return keys
      .sort()
      .map((key) => this.at(key, revision))
      .filter((item) => item !== null);
  }

  leaseInfo(id: number): LeaseInfo | null {
    const lease = this.leases.get(id);
    if (lease === undefined) return null;
    const keys = [...this.#current.values()].filter((i) => i.lease === id).map((i) => i.key);
    const remainingMs = Math.max(0, lease.deadlineMs - this.nowMs());
    return { lease: id, ttlMs: lease.ttlMs, remainingMs, keyCount: keys.length, keys };
  }

  info(): StoreInfo {
    const { revision, compactedRevision, settings } = this;
    const namespaces = [...this.namespaces].map(([name, { prefix, quotaBytes }]) => {
      const held = this.range({ from: prefix, to: null }, null).filter((item) =>
        toMapKey(item.key).startsWith(toMapKey(prefix)),
      );
      const usedBytes = held.reduce((sum, i) => sum + i.key.byteLength + i.value.byteLength, 0);
      const hex = Buffer.from(prefix).toString('hex');
      return { name, prefix: hex, quotaBytes, usedBytes, keys: held.length };
    });
    return {
      ...{ revision, compactedRevision, sweptRevision: compactedRevision, settings, namespaces },
      ...{ spaceBytes: 0, spaceAlarm: false, leases: this.leases.size, logTimeMs: this.nowMs() },
      ...{ stateBytes: 0, logBytes: 0, diskBytes: 0 },
    };
  }

  // -------------------------------------------------------------------------------------------

  #commit(before: Map<string, KeyValue>): void {
    const changed = [...this.#written];
    if (changed.length === 0) return;
    this.revision += 1;
    for (const key of changed) {
      const item = this.#current.get(key) ?? null;
      if (item === null && !before.has(key)) continue;
      const versions = this.history.get(key) ?? [];
      versions.push({ revision: this.revision, item });
      this.history.set(key, versions);
    }
    this.onRevision();
  }

  /** What happened to keys within the bounds from a revision on, in order. */
  events(bounds: Place, fromRevision: number): WatchEvent[] {
    const found: WatchEvent[] = [];
    for (const [key, versions] of this.history) {
      if (!isWithin(fromMapKey(key), bounds)) continue;
      for (const { revision, item } of versions) {
        if (revision < fromRevision) continue;
        found.push({
          type: item === null ? 'delete' : 'put',
          item: item ?? gone(key, revision),
          previous: null,
        });
      }
    }
    return found.sort((a, b) => a.item.modRevision - b.item.modRevision);
  }

  #apply(operation: WriteOperation): WriteResult {
    switch (operation.type) {
      case 'put':
      case 'delete':
      case 'delete-range':
      case 'txn':
        return this.#write(operation);
      case 'lease-grant': {
        const lease = operation.lease || this.#lastLease + 1;
        if (this.leases.has(lease)) throw new Refused('LEASE_EXISTS');
        this.#lastLease = Math.max(this.#lastLease, lease);
        const { ttlMs } = operation;
        this.leases.set(lease, { ttlMs, deadlineMs: this.nowMs() + ttlMs });
        return { type: 'lease', lease, ttlMs };
      }
      case 'lease-keep-alive': {
        const lease = this.#lease(operation.lease);
        lease.deadlineMs = this.nowMs() + lease.ttlMs;
        return { type: 'lease', lease: operation.lease, ttlMs: lease.ttlMs };
      }
      case 'lease-revoke':
        this.#lease(operation.lease);
        this.leases.delete(operation.lease);
        for (const [key, item] of this.#current) {
          if (item.lease === operation.lease) this.#remove(key);
        }
        return this.#done();
      case 'deploy':
      case 'alias-set':
      case 'alias-remove':
      case 'job-submit':
      case 'job-control':
      case 'job-upload':
      case 'task-report':
        throw new Error('the model knows no procedures and no jobs');
      default:
        return this.#administer(operation);
    }
  }

  #administer(
    operation: Extract<
      WriteOperation,
      { type: 'compact' | 'namespace-set' | 'namespace-remove' | 'settings' }
    >,
  ): WriteResult {
    switch (operation.type) {
      case 'compact':
        if (operation.revision > this.revision) throw new Refused('FUTURE_REVISION');
        if (operation.revision <= this.compactedRevision) throw new Refused('COMPACTED');
        this.compactedRevision = operation.revision;
        return this.#done();
      case 'namespace-set':
        this.namespaces.set(operation.name, operation);
        return this.#done();
      case 'namespace-remove':
        if (!this.namespaces.delete(operation.name)) throw new Refused('NAMESPACE_NOT_FOUND');
        return this.#done();
      case 'settings':
        this.settings = { ...this.settings, ...operation.change };
        return this.#done();
    }
  }

  #done(): WriteResult {
    return { type: 'done', revision: this.#now() };
  }

  #lease(id: number): Lease {
    const lease = this.leases.get(id);
    if (lease === undefined) throw new Refused('LEASE_NOT_FOUND');
    return lease;
  }

  /** The revision of what is written now; of the store when nothing is. */
  #now(): number {
    return this.revision + (this.#written.size > 0 ? 1 : 0);
  }

  #write(step: Exclude<TxnStep, ReadOperation>): WriteResult {
    switch (step.type) {
      case 'put':
        return this.#put(step);
      case 'delete': {
        const item = this.#current.get(toMapKey(step.key));
        if (item !== undefined) this.#remove(toMapKey(step.key));
        const previous = step.returnPrevious ? { previous: item === undefined ? [] : [item] } : {};
        const deleted = item === undefined ? 0 : 1;
        return { type: 'delete', revision: this.#now(), deleted, ...previous };
      }
      case 'delete-range': {
        const items = this.#within(step);
        for (const { key } of items) this.#remove(toMapKey(key));
        const previous = step.returnPrevious ? { previous: items } : {};
        return { type: 'delete', revision: this.#now(), deleted: items.length, ...previous };
      }
      case 'txn':
        return this.#txn(step);
    }
  }

  #txn(txn: TxnOperation): WriteResult {
    const succeeded = txn.compares.every((compare) => this.#holds(compare));
    const steps = succeeded ? txn.success : txn.failure;
    const results = steps.map((step) =>
      step.type === 'read' ? this.#read(step) : this.#write(step),
    );
    const revision = this.#now();
    // All writes of a transaction have its revision.
    const told = results.map((r) => ('revision' in r ? { ...r, revision } : r));
    return { type: 'txn', revision, succeeded, results: told };
  }

  #put({ key, value, lease = 0, returnPrevious = false }: PutOperation): WriteResult {
    const id = toMapKey(key);
    const before = this.#current.get(id);
    if (value === null && before === undefined) throw new Refused('KEY_NOT_FOUND');
    const hangsOn = lease === 'keep' ? (before?.lease ?? 0) : lease;
    if (hangsOn !== 0) this.#lease(hangsOn);
    this.#touch(id);
    const revision = this.#now();
    this.#current.set(id, {
      key,
      value: value ?? before?.value ?? new Uint8Array(0),
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      version: (before?.version ?? 0) + 1,
      lease: hangsOn,
    });
    return returnPrevious
      ? { type: 'put', revision, previous: before ?? null }
      : { type: 'put', revision };
  }

  #remove(id: string): void {
    this.#touch(id);
    this.#current.delete(id);
  }

  #touch(id: string): void {
    if (this.#written.has(id)) throw new Refused('KEY_DUPLICATE');
    this.#written.add(id);
  }

  #within(place: Place): KeyValue[] {
    const { from, to } = place;
    const items = [...this.#current.values()].filter(({ key }) =>
      to === undefined ? compareBytes(key, from) === 0 : isWithin(key, place),
    );
    return items.sort((a, b) => compareBytes(a.key, b.key));
  }

  #read(read: ReadOperation): ReadResult {
    const items = filtered(this.#within(read), read);
    if (read.reverse) items.reverse();
    const given = read.countOnly ? [] : items.slice(0, read.limit || items.length);
    return { type: 'read', items: given.map((i) => shown(i, read)), count: items.length };
  }

  #holds(compare: Compare): boolean {
    const items = this.#within(compare);
    if (compare.target === 'count') return isSo(items.length - compare.value, compare);
    const found: (KeyValue | null)[] = items.length === 0 ? [null] : items;
    return found.every((item) => {
      if (compare.target !== 'value') {
        const field = compare.target === 'count' ? 'version' : compare.target;
        return isSo((item?.[field] ?? 0) - compare.value, compare);
      }
      if (item === null) return false;
      return isSo(compareBytes(item.value, compare.value), compare);
    });
  }
}

function gone(key: string, modRevision: number): KeyValue {
  const nothing = { value: new Uint8Array(0), createRevision: 0, version: 0, lease: 0 };
  return { key: fromMapKey(key), modRevision, ...nothing };
}

/** What the bounds of a filter leave. */
export function filtered(items: KeyValue[], filter: ReadOperation | object): KeyValue[] {
  const bounds: Partial<ReadOperation> = filter;
  return items.filter(
    (item) =>
      item.modRevision >= (bounds.modRevisionMin || 0) &&
      item.modRevision <= (bounds.modRevisionMax || Number.POSITIVE_INFINITY) &&
      item.createRevision >= (bounds.createRevisionMin || 0) &&
      item.createRevision <= (bounds.createRevisionMax || Number.POSITIVE_INFINITY),
  );
}

export function shown(item: KeyValue, filter: { keysOnly?: boolean | undefined }): KeyValue {
  return filter.keysOnly ? { ...item, value: new Uint8Array(0) } : item;
}

function isSo(order: number, { operator }: Compare): boolean {
  if (operator === '=') return order === 0;
  if (operator === '!=') return order !== 0;
  return operator === '<' ? order < 0 : order > 0;
}

function isWithin(key: Uint8Array, { from, to }: Place): boolean {
  return compareBytes(key, from) >= 0 && (to == null || compareBytes(key, to) < 0);
}

/** As the replicas answer reads of what is not kept, or not there yet. */
export function checkKept(store: ModelStore, revision: number | null): BalsaError | null {
  if (revision === null) return null;
  if (revision < store.compactedRevision) return new BalsaError('COMPACTED', 'no longer kept');
  if (revision > store.revision) return new BalsaError('FUTURE_REVISION', 'not there yet');
  return null;
}
