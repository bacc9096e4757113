import { toMapKey } from '../../src/base/bytes.js';
import type {
  Compare,
  DeleteOperation,
  DeleteRangeOperation,
  KeyValue,
  PutOperation,
  ReadOperation,
  StoreSettings,
  TxnOperation,
  TxnStep,
  WriteOperation,
} from '../../src/base/operation.js';
import { compares, matches } from './naive-filter.js';

/** A {@link KeyValue} with text of one character per byte, so that it compares and prints well. */
export type Item = Omit<KeyValue, 'key' | 'value'> & {
  readonly key: string;
  readonly value: string;
};

/** What the store holds at one revision. */
export type Snapshot = ReadonlyMap<string, Item>;

/** What one write did. `item` of a deletion: as the wire has it, without value, version and so on. */
export interface ModelEvent {
  readonly type: 'put' | 'delete';
  /** Which write of its revision. */
  readonly sub: number;
  readonly item: Item;
  readonly previous: Item | null;
}

/** Results as the state machine gives them, with text for bytes; of errors the code alone. */
export type ModelResult =
  | { readonly type: 'put'; readonly revision: number; readonly previous?: Item | null }
  | {
      readonly type: 'delete';
      readonly revision: number;
      readonly deleted: number;
      readonly previous?: readonly Item[];
    }
  | {
      readonly type: 'read';
      readonly items: readonly Item[];
      readonly count: number;
      readonly more?: true;
    }
  | {
      readonly type: 'txn';
      readonly revision: number;
      readonly succeeded: boolean;
      readonly results: readonly ModelResult[];
    }
  | { readonly type: 'lease'; readonly lease: number; readonly ttlMs: number }
  | { readonly type: 'done'; readonly revision: number; readonly compactedRevision?: number }
  | { readonly type: 'error'; readonly code: string };

export interface StoreBounds {
  readonly leasesMax: number;
  readonly leaseKeysMax: number;
  readonly namespacesMax: number;
  readonly txnReadKeysMax: number;
  readonly txnReadBytesMax: number;
}

class Refusal extends Error {
  constructor(readonly code: string) {
    super(code);
  }
}

function refuseIf(condition: boolean, code: string): void {
  if (condition) throw new Refusal(code);
}

/**
 * Keys, leases, namespaces and settings as a user of etcd expects them, without any regard to cost: a
 * whole copy of the store for each revision; everything else is counted anew whenever it is asked.
 */
export class NaiveStore {
  /** By revision. */
  readonly snapshots: Snapshot[] = [new Map()];
  /** By revision: what it did, in order. */
  readonly events: (readonly ModelEvent[])[] = [[]];
  /** By revision: the log time at which it was made. */
  readonly times: number[] = [0];
  readonly leases = new Map<number, { readonly ttlMs: number; readonly deadlineMs: number }>();
  readonly namespaces = new Map<string, { readonly prefix: string; readonly quotaBytes: number }>();
  settings: StoreSettings = { historyMs: 0, historyRevisions: 0, spaceQuotaBytes: 0 };
  compacted = 0;
  /** Of all keys and values that are still kept: the tests correct it when something was swept. */
  spaceBytes = 0;
  timeMs = 0;
  #leaseCounter = 0;
  /** What the operation in hand has made of the store so far, and its writes. */
  #draft = new Map<string, Item>();
  #written: ModelEvent[] = [];
  /** Of the transactions in the operation in hand. */
  #verdicts = new Map<TxnOperation, boolean>();
  /** The store before the log entry in hand. */
  #beforeEntry: Snapshot = new Map();
  /** Of the entry. */
  #version = 3;
  #isBounded = false;
  #readKeys = 0;
  #readBytes = 0;

  constructor(readonly bounds: StoreBounds) {}

  get revision(): number {
    return this.snapshots.length - 1;
  }

  get latest(): Snapshot {
    return this.snapshots[this.revision] ?? new Map();
  }

  beginEntry(timeMs: number, version: number): void {
    this.#version = version;
    this.timeMs = Math.max(this.timeMs, timeMs);
    this.#beforeEntry = this.latest;
  }

  /** Everything of the operation happens, at one revision, or nothing. */
  operation(operation: WriteOperation): ModelResult {
    const spaceBefore = this.spaceBytes;
    this.#draft = new Map(this.latest);
    this.#written = [];
    this.#readKeys = 0;
    this.#readBytes = 0;
    this.#isBounded = operation.type === 'txn' || operation.type === 'delete-range';
    this.#verdicts = new Map();
    try {
      if (operation.type === 'txn') this.#decide(operation);
      const result = this.#any(operation);
      if (this.#written.length > 0) {
        this.snapshots.push(this.#draft);
        this.events.push(this.#written);
        this.times.push(this.timeMs);
      }
      return result;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.spaceBytes = spaceBefore;
      return { type: 'error', code: error.code };
    }
  }

  /** The leader believes that these are due. */
  expire(leases: readonly number[]): void {
    for (const lease of leases) {
      const found = this.leases.get(lease);
      if (found === undefined || found.deadlineMs > this.timeMs) continue;
      this.operation({ type: 'lease-revoke', lease });
    }
  }

  keysOf(lease: number): string[] {
    return sorted(this.latest.values())
      .filter((item) => item.lease === lease)
      .map((item) => item.key);
  }

  usageOf(prefix: string, keys: Snapshot = this.latest): { usedBytes: number; keys: number } {
    const items = [...keys.values()].filter((item) => item.key.startsWith(prefix));
    return { usedBytes: sum(items.map(sizeOf)), keys: items.length };
  }

  /** Bytes of all writes that a read at a kept revision, or a watch from one, can come across. */
  neededBytes(): number {
    const needed = this.events.flat().filter((event) => {
      const { key, modRevision } = event.item;
      if (modRevision > this.compacted) return true;
      const later = this.events
        .slice(modRevision + 1, this.compacted + 1)
        .some((events) => events.some((other) => other.item.key === key));
      return !later && (event.type === 'put' || modRevision === this.compacted);
    });
    return sum(needed.map(({ item }) => sizeOf(item)));
  }

  eventsFrom(revision: number): ModelEvent[] {
    return this.events.slice(revision).flat();
  }

  /** Of writes so far in the operation in hand, or of the store. */
  get #revisionNow(): number {
    return this.revision + (this.#written.length > 0 ? 1 : 0);
  }

  #any(operation: WriteOperation): ModelResult {
    switch (operation.type) {
      case 'lease-grant':
        return this.#grant(operation.lease, operation.ttlMs);
      case 'lease-keep-alive':
        return this.#keepAlive(operation.lease);
      case 'lease-revoke':
        return this.#revoke(operation.lease);
      case 'compact':
        return this.#compact(operation.revision);
      case 'namespace-set':
        return this.#setNamespace(operation.name, {
          prefix: toMapKey(operation.prefix),
          quotaBytes: operation.quotaBytes,
        });
      case 'namespace-remove':
        refuseIf(!this.namespaces.delete(operation.name), 'NAMESPACE_NOT_FOUND');
        return this.#done();
      case 'settings':
        this.settings = { ...this.settings, ...operation.change };
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
        return this.#step(operation);
    }
  }

  #done(): ModelResult {
    return { type: 'done', revision: this.#revisionNow };
  }

  #step(step: TxnStep): ModelResult {
    switch (step.type) {
      case 'put':
        return this.#put(step);
      case 'delete':
      case 'delete-range':
        return this.#delete(step);
      case 'read':
        return this.#read(step);
      case 'txn':
        return this.#txn(step);
    }
  }

  #put(put: PutOperation): ModelResult {
    const key = toMapKey(put.key);
    const before = this.#draft.get(key) ?? null;
    const keeps = put.value === null || put.lease === 'keep';
    const lease = put.lease === 'keep' ? (before?.lease ?? 0) : (put.lease ?? 0);
    this.#checkOnce(key);
    if (lease !== 0) this.#checkLease(lease, key);
    refuseIf(keeps && before === null, 'KEY_NOT_FOUND');
    const item: Item = {
      key,
      value: put.value === null ? (before?.value ?? '') : toMapKey(put.value),
      createRevision: before?.createRevision ?? this.revision + 1,
      modRevision: this.revision + 1,
      version: (before?.version ?? 0) + 1,
      lease,
    };
    this.#checkQuotas(item, before);
    if (put.returnPrevious === true && before !== null) this.#countRead([before]);
    this.#write({ type: 'put', item, previous: before });
    const result = { type: 'put', revision: this.revision + 1 } as const;
    return put.returnPrevious === true ? { ...result, previous: before } : result;
  }

  #checkLease(lease: number, key: string): void {
    refuseIf(!this.leases.has(lease), 'LEASE_NOT_FOUND');
    const others = [...this.#draft.values()].filter(
      (item) => item.lease === lease && item.key !== key,
    );
    refuseIf(others.length >= this.bounds.leaseKeysMax, 'LEASE_FULL');
  }

  #checkQuotas(item: Item, before: Item | null): void {
    const { spaceQuotaBytes } = this.settings;
    refuseIf(spaceQuotaBytes > 0 && this.spaceBytes >= spaceQuotaBytes, 'NO_SPACE');
    for (const { prefix, quotaBytes } of this.namespaces.values()) {
      if (!item.key.startsWith(prefix) || quotaBytes === 0) continue;
      const { usedBytes } = this.usageOf(prefix, this.#draft);
      const growth = sizeOf(item) - (before === null ? 0 : sizeOf(before));
      refuseIf(growth > 0 && usedBytes + growth > quotaBytes, 'QUOTA_EXCEEDED');
    }
  }

  #delete(operation: DeleteOperation | DeleteRangeOperation): ModelResult {
    const items =
      operation.type === 'delete'
        ? this.#inRange(operation.key, undefined)
        : this.#inRange(operation.from, operation.to);
    for (const item of items) this.#checkOnce(item.key);
    if (operation.returnPrevious === true) this.#countRead(items);
    for (const item of items) this.#remove(item);
    const result = {
      type: 'delete',
      revision: this.#revisionNow,
      deleted: items.length,
    } as const;
    return operation.returnPrevious === true ? { ...result, previous: items } : result;
  }

  #remove(previous: Item): void {
    const item: Item = {
      key: previous.key,
      value: '',
      createRevision: 0,
      modRevision: this.revision + 1,
      version: 0,
      lease: 0,
    };
    this.#write({ type: 'delete', item, previous });
  }

  #checkOnce(key: string): void {
    refuseIf(
      this.#written.some((event) => event.item.key === key),
      'KEY_DUPLICATE',
    );
  }

  #write(change: Omit<ModelEvent, 'sub'>): void {
    const event = { ...change, sub: this.#written.length };
    if (event.type === 'put') this.#draft.set(event.item.key, event.item);
    else this.#draft.delete(event.item.key);
    this.#written.push(event);
    this.spaceBytes += sizeOf(event.item);
  }

  #inRange(from: Uint8Array, to: Uint8Array | null | undefined): Item[] {
    const first = toMapKey(from);
    if (to === undefined) return sorted(this.#draft.values()).filter(({ key }) => key === first);
    const { found, before } = this.#within(from, to);
    const { txnReadKeysMax } = this.bounds;
    refuseIf(Math.max(found.length, before.length) > txnReadKeysMax, 'RANGE_TOO_LARGE');
    return found;
  }

  /** What is looked at is bounded, and it is read before the log entry is applied. */
  #within(from: Uint8Array, to: Uint8Array | null): { found: Item[]; before: Item[] } {
    const [first, end] = [toMapKey(from), to && toMapKey(to)];
    const all = [this.#draft, this.#beforeEntry].map((items) =>
      sorted(items.values()).filter(({ key }) => key >= first && (end === null || key < end)),
    );
    return { found: all[0] ?? [], before: all[1] ?? [] };
  }

  /** The first keys of a range of any size: where it is not looked at as a whole, as far as it is. */
  #readFirst(read: ReadOperation, to: Uint8Array | null, limit: number): ModelResult {
    const { found, before } = this.#within(read.from, to);
    const turned = read.reverse === true;
    if (turned) for (const list of [found, before]) list.reverse();
    const edge = before[this.bounds.txnReadKeysMax]?.key;
    const isKnown = ({ key }: Item): boolean =>
      edge === undefined || (turned ? key >= edge : key <= edge);
    const matching = found.filter((item) => isKnown(item) && matches(item, read));
    const given = matching.slice(0, limit);
    refuseIf(edge !== undefined && given.length < limit, 'RANGE_TOO_LARGE');
    const items = read.keysOnly === true ? given.map((item) => ({ ...item, value: '' })) : given;
    this.#countRead(items);
    if (edge !== undefined) return { type: 'read', items, count: items.length, more: true };
    return { type: 'read', items, count: matching.length };
  }

  #read(read: ReadOperation): ModelResult {
    const { to, limit = 0, countOnly = false } = read;
    if (this.#version >= 10 && to !== undefined && limit > 0 && !countOnly) {
      return this.#readFirst(read, to, limit);
    }
    const found = this.#inRange(read.from, read.to).filter((item) => matches(item, read));
    if (read.reverse === true) found.reverse();
    const limited = read.limit ? found.slice(0, read.limit) : found;
    if (read.countOnly === true) return { type: 'read', items: [], count: found.length };
    const items =
      read.keysOnly === true ? limited.map((item) => ({ ...item, value: '' })) : limited;
    this.#countRead(items);
    return { type: 'read', items, count: found.length };
  }

  /** What a transaction gives, or a range that is deleted, is bounded. */
  #countRead(items: readonly Item[]): void {
    if (!this.#isBounded) return;
    this.#readKeys += items.length;
    this.#readBytes += sum(items.map(sizeOf));
    const { txnReadKeysMax, txnReadBytesMax } = this.bounds;
    const isOne = this.#version >= 10 && this.#readKeys <= 1;
    const isTooMuch = this.#readBytes > txnReadBytesMax && !isOne;
    refuseIf(this.#readKeys > txnReadKeysMax || isTooMuch, 'RANGE_TOO_LARGE');
  }

  /** All comparisons are made before anything is written, also those of nested transactions. */
  #decide(txn: TxnOperation): void {
    const succeeded = txn.compares.every((compare) => this.#holds(compare));
    this.#verdicts.set(txn, succeeded);
    for (const step of succeeded ? txn.success : txn.failure) {
      if (step.type === 'txn') this.#decide(step);
    }
  }

  #txn(txn: TxnOperation): ModelResult {
    const succeeded = this.#verdicts.get(txn) === true;
    const steps = succeeded ? txn.success : txn.failure;
    const results = steps.map((step) => this.#step(step));
    return { type: 'txn', revision: this.#revisionNow, succeeded, results };
  }

  #holds(compare: Compare): boolean {
    const found = this.#inRange(compare.from, compare.to);
    if (compare.target === 'count') {
      return compares(found.length, compare.operator, compare.value);
    }
    const key = toMapKey(compare.from);
    const asEtcd = this.#version >= 10;
    const missing = (compare.to === undefined || asEtcd) && found.length === 0;
    if (compare.target === 'value') {
      const value = toMapKey(compare.value);
      if (missing) return compare.operator === '!=' && !asEtcd;
      return found.every((item) => compares(item.value, compare.operator, value));
    }
    const { operator, target, value } = compare;
    const items = missing ? [{ ...NOTHING, key }] : found;
    return items.every((item) => compares(item[target], operator, value));
  }

  #grant(asked: number, ttlMs: number): ModelResult {
    refuseIf(asked !== 0 && this.leases.has(asked), 'LEASE_EXISTS');
    refuseIf(this.leases.size >= this.bounds.leasesMax, 'LEASES_TOO_MANY');
    let lease = asked;
    while (lease === 0 || (asked === 0 && this.leases.has(lease))) {
      this.#leaseCounter += 1;
      lease = this.#leaseCounter;
    }
    this.leases.set(lease, { ttlMs, deadlineMs: this.timeMs + ttlMs });
    return { type: 'lease', lease, ttlMs };
  }

  #keepAlive(lease: number): ModelResult {
    const found = this.leases.get(lease);
    if (found === undefined) throw new Refusal('LEASE_NOT_FOUND');
    this.leases.set(lease, { ttlMs: found.ttlMs, deadlineMs: this.timeMs + found.ttlMs });
    return { type: 'lease', lease, ttlMs: found.ttlMs };
  }

  #revoke(lease: number): ModelResult {
    refuseIf(!this.leases.delete(lease), 'LEASE_NOT_FOUND');
    const items = sorted(this.#draft.values()).filter((item) => item.lease === lease);
    for (const item of items) this.#remove(item);
    return this.#done();
  }

  #compact(revision: number): ModelResult {
    refuseIf(revision > this.revision, 'FUTURE_REVISION');
    refuseIf(revision <= this.compacted, 'COMPACTED');
    this.compacted = revision;
    return { type: 'done', revision: this.#revisionNow, compactedRevision: revision };
  }

  #setNamespace(name: string, made: { prefix: string; quotaBytes: number }): ModelResult {
    const present = this.namespaces.get(name);
    for (const [other, { prefix }] of this.namespaces) {
      const overlaps = prefix.startsWith(made.prefix) || made.prefix.startsWith(prefix);
      refuseIf(other !== name && overlaps, 'NAMESPACE_CONFLICT');
    }
    refuseIf(present !== undefined && present.prefix !== made.prefix, 'NAMESPACE_CONFLICT');
    const isFull = this.namespaces.size >= this.bounds.namespacesMax;
    refuseIf(present === undefined && isFull, 'NAMESPACES_TOO_MANY');
    this.namespaces.set(name, made);
    return this.#done();
  }
}

const NOTHING: Item = {
  key: '',
  value: '',
  createRevision: 0,
  modRevision: 0,
  version: 0,
  lease: 0,
};

export function sorted(items: Iterable<Item>): Item[] {
  return [...items].sort((a, b) => (a.key < b.key ? -1 : 1));
}

export function sizeOf(item: Item): number {
  return item.key.length + item.value.length;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
