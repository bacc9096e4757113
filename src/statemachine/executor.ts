import { assert, unreachable } from '../base/assert.js';
import type { JobOperation } from '../base/job.js';
import type {
  DeleteOperation,
  DeleteRangeOperation,
  KeyValue,
  NamespaceSetOperation,
  PutOperation,
  ReadOperation,
  ReadResult,
  TxnOperation,
  TxnStep,
  WriteOperation,
  WriteResult,
} from '../base/operation.js';
import { AnswerBudget } from './answer-budget.js';
import type { Compaction, KeptRevisions } from './compaction.js';
import { holds } from './compare.js';
import type { HistoryHolds } from './history-holds.js';
import type { Journal } from './journal.js';
import { growth, isLive, type Keyspace, type LiveTarget, type Target } from './keyspace.js';
import type { Leases } from './leases.js';
import type { Namespaces } from './namespaces.js';
import type { Procedures } from './procedures.js';
import { entryTooLarge, RangeView } from './range-view.js';
import type { ReadAhead, ReadAheadBounds } from './read-ahead.js';
import { ReadBytes } from './read-bytes.js';
import { Refusal } from './refusal.js';
import type { Settings } from './settings.js';
import { mustBeThere, tooManyWrites, usedBelow } from './targets.js';
import { readInTxn } from './txn-reads.js';
import type { SystemOperation } from './types.js';

/** Bounds that decide what is applied; see `LIMITS`. */
export interface ExecutorBounds extends ReadAheadBounds {
  readonly txnReadBytesMax: number;
  readonly batchAnswerBytesMax: number;
  readonly entryTouchedBytesMax: number;
  readonly entryComparedBytesMax: number;
}

export interface ExecutorParts {
  readonly keyspace: Keyspace;
  readonly leases: Leases;
  readonly namespaces: Namespaces;
  readonly settings: Settings;
  readonly procedures: Procedures;
  readonly compaction: Compaction;
  readonly holds: HistoryHolds;
  readonly journal: Journal;
  readonly bounds: ExecutorBounds;
  /** @throws Refusal */
  readonly writeJob: (operation: JobOperation) => void;
}

/** A transaction of which is known which steps are taken. */
interface DecidedTxn {
  readonly type: 'decided';
  readonly succeeded: boolean;
  readonly steps: readonly DecidedStep[];
}

type DecidedStep = Exclude<TxnStep, TxnOperation> | DecidedTxn;

/** Writes of one transaction: their number in it takes two bytes. */
const TXN_WRITES_MAX = 0xffff;

/** With all numbers there are, which a range that is deleted may use up: it could always, and so it is what logs mean. */
const REVISION_WRITES_MAX = TXN_WRITES_MAX + 1;

/**
 * Carries out the operations of one log entry, one after the other. What an operation may not do is a
 * {@link Refusal}, and its answer; a transaction that is refused changes nothing.
 */
export class Executor {
  readonly #keyspace: Keyspace;
  readonly #leases: Leases;
  readonly #namespaces: Namespaces;
  readonly #settings: Settings;
  readonly #procedures: Procedures;
  readonly #compaction: Compaction;
  readonly #holds: HistoryHolds;
  readonly #writeJob: ExecutorParts['writeJob'];
  readonly #journal: Journal;
  readonly #bounds: ExecutorBounds;
  #ranges: RangeView;
  #budget: AnswerBudget;
  readonly #touched: ReadBytes;
  readonly #compared: ReadBytes;
  #timeMs = 0;
  #version = 0;

  constructor(parts: ExecutorParts) {
    this.#keyspace = parts.keyspace;
    this.#leases = parts.leases;
    this.#namespaces = parts.namespaces;
    this.#settings = parts.settings;
    this.#procedures = parts.procedures;
    this.#compaction = parts.compaction;
    this.#holds = parts.holds;
    this.#writeJob = parts.writeJob;
    this.#journal = parts.journal;
    this.#bounds = parts.bounds;
    this.#ranges = new RangeView(parts.keyspace, null, parts.bounds, 0);
    this.#budget = new AnswerBudget(parts.bounds, 0);
    this.#touched = new ReadBytes('entryTouchedBytesMax', parts.bounds);
    this.#compared = new ReadBytes('entryComparedBytesMax', parts.bounds);
  }

  /**
   * @param version of the entry, see `command-versions`
   * @param ahead what the ranges of the entry find; `null`: it has none
   */
  beginEntry(timeMs: number, version: number, ahead: ReadAhead | null): void {
    this.#timeMs = timeMs;
    this.#version = version;
    this.#touched.beginEntry(version);
    this.#compared.beginEntry(version);
    this.#ranges = new RangeView(this.#keyspace, ahead, this.#bounds, version);
    if (ahead !== null) this.#keyspace.staged.keepOrder();
  }

  beginBatch(): void {
    this.#budget = new AnswerBudget(this.#bounds, this.#version);
  }

  write(operation: WriteOperation): WriteResult {
    try {
      return this.#write(operation);
    } catch (error) {
      if (error instanceof Refusal) return error.toResult();
      throw error;
    }
  }

  /**
   * As the entry in hand has left them so far.
   * @throws Refusal `RANGE_TOO_LARGE`, `OVERLOADED`
   */
  liveKeys(from: Uint8Array, to: Uint8Array | null): readonly LiveTarget[] {
    return this.#ranges.liveKeys(from, to);
  }

  #write(operation: WriteOperation): WriteResult {
    switch (operation.type) {
      case 'put':
        return this.#put(operation);
      case 'delete':
        return this.#delete(operation);
      case 'delete-range':
        return this.#bounded(() => this.#inGroup(() => this.#deleteRange(operation)));
      case 'txn':
        return this.#bounded(() =>
          this.#inGroup(() => this.#inJournal(() => this.#txn(this.#decide(operation)))),
        );
      default:
        return this.#manage(operation);
    }
  }

  #manage(
    operation: Exclude<
      WriteOperation,
      PutOperation | DeleteOperation | DeleteRangeOperation | TxnOperation
    >,
  ): WriteResult {
    switch (operation.type) {
      case 'lease-grant': {
        const lease = this.#leases.grant(operation.lease, operation.ttlMs, this.#timeMs);
        return { type: 'lease', lease, ttlMs: operation.ttlMs };
      }
      case 'lease-keep-alive': {
        const { ttlMs } = this.#leases.keepAlive(operation.lease, this.#timeMs);
        return { type: 'lease', lease: operation.lease, ttlMs };
      }
      case 'lease-revoke':
        this.#leases.must(operation.lease);
        this.#endLease(operation.lease);
        return this.#done();
      case 'compact':
        this.#compaction.compactAsAsked(operation.revision, this.#keptRevisions());
        return {
          type: 'done',
          revision: this.#keyspace.revision,
          compactedRevision: this.#compaction.compactedRevision,
        };
      case 'namespace-set':
        this.#setNamespace(operation);
        return this.#done();
      case 'namespace-remove':
        this.#namespaces.remove(operation.name);
        return this.#done();
      case 'settings':
        this.#settings.change(operation.change);
        return this.#done();
      case 'deploy':
      case 'alias-set':
      case 'alias-remove':
        this.#procedures.write(operation, {
          sinceMs: this.#timeMs,
          sinceRevision: this.#keyspace.revision,
          version: this.#version,
        });
        return this.#done();
      default:
        this.#writeJob(operation);
        return this.#done();
    }
  }

  #done(): WriteResult {
    return { type: 'done', revision: this.#keyspace.revision };
  }

  // ---------------------------------------------------------------- keys

  #put(operation: PutOperation): WriteResult {
    const target = this.#keyspace.target(operation.key);
    this.#checkUnwritten(target);
    const lease = operation.lease === undefined ? 0 : this.#leaseOf(operation.lease, target);
    const value = operation.value ?? this.#kept(mustBeThere(target));
    this.#checkSpace(target, value);
    const previous = operation.returnPrevious === true ? this.#previous(target) : undefined;
    this.#count(target, value.byteLength);
    this.#moveLease(target, lease);
    this.#keyspace.put(target, value, lease);
    const { revision } = this.#keyspace;
    return previous === undefined ? { type: 'put', revision } : { type: 'put', revision, previous };
  }

  #kept(target: LiveTarget): Uint8Array {
    this.#touched.add(target.record.valueBytes);
    return this.#keyspace.valueOf(target);
  }

  /** The lease that a put asks for; there is room for the key. */
  #leaseOf(lease: number | 'keep', target: Target): number {
    if (lease === 'keep') return mustBeThere(target).record.lease;
    if (lease === 0) return 0;
    if (isLive(target) && target.record.lease === lease) return lease;
    this.#leases.checkRoom(lease);
    return lease;
  }

  #checkSpace(target: Target, value: Uint8Array): void {
    if (this.#settings.isFull(this.#keyspace.spaceBytes)) {
      const { spaceQuotaBytes } = this.#settings.current;
      throw new Refusal(
        'NO_SPACE',
        `the store holds ${this.#keyspace.spaceBytes} bytes with its history, its quota is ${spaceQuotaBytes}: ` +
          'delete keys and compact, or raise the quota',
        { spaceBytes: this.#keyspace.spaceBytes, spaceQuotaBytes },
      );
    }
    if (this.#namespaces.size === 0) return;
    this.#namespaces.checkQuota(target.mapKey, growth(target, value.byteLength));
  }

  #count(target: Target, valueBytes: number | null): void {
    if (this.#namespaces.size > 0)
      this.#namespaces.count(target.mapKey, growth(target, valueBytes));
  }

  /** @param lease 0: none */
  #moveLease(target: Target, lease: number): void {
    const before = isLive(target) ? target.record.lease : 0;
    if (before === lease) return;
    if (before !== 0) this.#leases.detach(before, target);
    if (lease !== 0) this.#leases.attach(lease, target);
  }

  #previous(target: Target): KeyValue | null {
    if (!isLive(target)) return null;
    // Before it is read: what is too large is not read again and again.
    this.#budget.add(target.key.byteLength + target.record.valueBytes);
    return this.#keyspace.itemOf(target);
  }

  #delete({ key, returnPrevious }: DeleteOperation): WriteResult {
    const target = this.#keyspace.target(key);
    return this.#deleteAll(isLive(target) ? [target] : [], returnPrevious === true);
  }

  #deleteRange({ from, to, returnPrevious }: DeleteRangeOperation): WriteResult {
    return this.#deleteAll(this.#ranges.liveKeys(from, to), returnPrevious === true);
  }

  #deleteAll(targets: readonly LiveTarget[], returnPrevious: boolean): WriteResult {
    for (const target of targets) this.#checkUnwritten(target);
    if (this.#keyspace.groupSize + targets.length > REVISION_WRITES_MAX)
      throw tooManyWrites(TXN_WRITES_MAX);
    const previous = returnPrevious
      ? targets.flatMap((target) => this.#previous(target) ?? [])
      : undefined;
    for (const target of targets) this.#deleteOne(target);
    const { revision } = this.#keyspace;
    const deleted = targets.length;
    return previous === undefined
      ? { type: 'delete', revision, deleted }
      : { type: 'delete', revision, deleted, previous };
  }

  #deleteOne(target: LiveTarget): void {
    this.#count(target, null);
    this.#moveLease(target, 0);
    this.#keyspace.delete(target);
  }

  // ---------------------------------------------------------------- transactions

  /** As etcd: all comparisons, those of nested transactions too, are made before anything is written. */
  #decide({ compares, success, failure }: TxnOperation): DecidedTxn {
    const where = {
      ...{ keyspace: this.#keyspace, ranges: this.#ranges },
      ...{ compared: this.#compared, version: this.#version },
    };
    const succeeded = compares.every((compare) => holds(compare, where));
    const steps = (succeeded ? success : failure).map((step) =>
      step.type === 'txn' ? this.#decide(step) : step,
    );
    return { type: 'decided', succeeded, steps };
  }

  #txn({ succeeded, steps }: DecidedTxn): WriteResult {
    const results = steps.map((step) => this.#step(step));
    return { type: 'txn', revision: this.#keyspace.revision, succeeded, results };
  }

  #step(step: DecidedStep): WriteResult | ReadResult {
    switch (step.type) {
      case 'put':
        return this.#put(step);
      case 'delete':
        return this.#delete(step);
      case 'delete-range':
        return this.#deleteRange(step);
      case 'read':
        return this.#read(step);
      case 'decided':
        return this.#txn(step);
      default:
        return unreachable(step);
    }
  }

  #read(read: ReadOperation): ReadResult {
    return readInTxn(read, {
      keyspace: this.#keyspace,
      ranges: this.#ranges,
      budget: this.#budget,
      version: this.#version,
    });
  }

  #checkUnwritten(target: Target): void {
    if (this.#keyspace.groupSize === 0) return;
    if (this.#keyspace.isWrittenInGroup(target)) {
      throw new Refusal(
        'KEY_DUPLICATE',
        'the transaction writes a key twice; nothing was applied',
        {
          key: Buffer.from(target.key).toString('hex'),
        },
      );
    }
    if (this.#keyspace.groupSize >= TXN_WRITES_MAX) throw tooManyWrites(TXN_WRITES_MAX);
  }

  /** All writes of `work` share one revision. */
  #inGroup<T>(work: () => T): T {
    this.#keyspace.openGroup();
    try {
      return work();
    } finally {
      this.#keyspace.closeGroup();
    }
  }

  /** All of `work` or nothing. */
  #inJournal<T>(work: () => T): T {
    this.#journal.open();
    this.#touched.beginTransaction();
    this.#compared.beginTransaction();
    try {
      const result = work();
      this.#journal.close();
      return result;
    } catch (error) {
      this.#journal.rollBack();
      throw error;
    } finally {
      this.#touched.endTransaction();
      this.#compared.endTransaction();
    }
  }

  /** What `work` reads is bounded. */
  #bounded<T>(work: () => T): T {
    this.#budget.openOperation();
    let isApplied = false;
    try {
      const result = work();
      isApplied = true;
      return result;
    } finally {
      this.#budget.closeOperation(isApplied);
    }
  }

  // ---------------------------------------------------------------- leases, compaction, namespaces

  /** Deletes the keys of the lease, all at one revision, and the lease. */
  #endLease(lease: number): void {
    const keys = this.#leases.keysOf(lease, this.#ranges.ahead.keysOfLease(lease));
    if (keys === 'not-read') throw entryTooLarge();
    this.#ranges.charge(keys.length);
    this.#inGroup(() => {
      for (const key of keys) {
        const target = this.#keyspace.target(key);
        assert(isLive(target), 'a key that hangs on a lease is there');
        this.#deleteOne(target);
      }
    });
    this.#leases.remove(lease);
  }

  #keptRevisions(): KeptRevisions {
    const hold = this.#holds.oldest(this.#timeMs, this.#version);
    return { current: this.#keyspace.revision, hold };
  }

  #setNamespace({ name, prefix, quotaBytes }: NamespaceSetOperation): void {
    if (this.#namespaces.has(name, prefix)) {
      this.#namespaces.setQuota(name, quotaBytes);
      return;
    }
    this.#namespaces.checkNew(name, prefix);
    const used = usedBelow(this.#ranges, prefix, this.#bounds.namespaceKeysFoundMax);
    this.#namespaces.create(name, { ...used, quotaBytes, prefix: Uint8Array.from(prefix) });
  }

  // ---------------------------------------------------------------- what the leader asks

  /** @param storedRevision the revision before the entry: its records are all in the store */
  applySystem(operation: SystemOperation, storedRevision: number): void {
    switch (operation.type) {
      case 'expire':
        this.#expire(operation.leases);
        break;
      case 'compact':
        this.#compaction.compactAsAble(operation.revision, this.#keptRevisions());
        break;
      case 'sweep':
        this.#compaction.sweep(this.#ranges.ahead.sweep, storedRevision, this.#keyspace);
        break;
      default:
        unreachable(operation);
    }
  }

  #expire(leases: readonly number[]): void {
    for (const lease of leases) {
      const record = this.#leases.get(lease);
      // Whoever proposed it may be out of date: what counts is log time, here.
      if (record === null || record.deadlineMs > this.#timeMs) continue;
      try {
        this.#endLease(lease);
      } catch (error) {
        // Too many keys for one entry: those that are left are as overdue in the next one.
        if (error instanceof Refusal) return;
        throw error;
      }
    }
  }
}
