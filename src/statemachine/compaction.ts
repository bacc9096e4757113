import type { HistoryHold } from './history-holds.js';
import type { Keyspace } from './keyspace.js';
import { fromValueRecordKey } from './layout.js';
import { comparePositions, type Position, SUB_MAX } from './position.js';
import { Refusal } from './refusal.js';
import type { ScanPage } from './state-store.js';
import { decodeValueRecord, type ValueRecord } from './value-record.js';

export interface CompactionRecord {
  readonly compactedRevision: number;
  readonly sweepCursor: Position;
  readonly sweptTo: Position;
}

/** What a compaction must leave alone. */
export interface KeptRevisions {
  readonly current: number;
  readonly hold: HistoryHold | null;
}

/**
 * What is no longer kept, and how it is removed. A compaction only says from which revision on reads
 * are served. The *sweep* removes the rest in slices: it walks the history up to that revision, in its
 * order, and whatever a write there has replaced goes. So it costs what was written, not what there
 * is, and it is done by the log, so that all replicas hold the same.
 *
 * A tombstone goes when its revision is before the compacted one: a watch that begins *at* that
 * revision is told of it. So the revision that was the compacted one is walked twice.
 */
export class Compaction {
  #compactedRevision: number;
  /** The next record to look at. */
  #cursor: Position;
  /** What records before this one had replaced is gone. */
  #sweptTo: Position;

  constructor(record: CompactionRecord) {
    this.#compactedRevision = record.compactedRevision;
    this.#cursor = record.sweepCursor;
    this.#sweptTo = record.sweptTo;
  }

  get compactedRevision(): number {
    return this.#compactedRevision;
  }

  /**
   * Where the next slice begins.
   * @param isCompactedFirst there may be a compaction between now and then
   */
  sweepFrom(isCompactedFirst: boolean): Position {
    const again = { revision: this.#compactedRevision, sub: 0 };
    const from =
      isCompactedFirst && comparePositions(again, this.#cursor) < 0 ? again : this.#cursor;
    // A revision may use up all numbers that its writes can have: behind the last one comes the next revision.
    return from.sub <= SUB_MAX ? from : { revision: from.revision + 1, sub: 0 };
  }

  /** Through here what is no longer kept has been removed. */
  get sweptRevision(): number {
    return Math.min(this.#compactedRevision, Math.max(this.#sweptTo.revision - 1, 0));
  }

  toRecord(): CompactionRecord {
    return {
      compactedRevision: this.#compactedRevision,
      sweepCursor: this.#cursor,
      sweptTo: this.#sweptTo,
    };
  }

  /**
   * As {@link compactTo}, for somebody who asks for it: as far as what others need is left.
   * @throws Refusal `FUTURE_REVISION`, `COMPACTED`, `COMPACTION_HELD` when that is not any farther
   */
  compactAsAsked(revision: number, { current, hold }: KeptRevisions): void {
    if (revision > current) {
      throw new Refusal(
        'FUTURE_REVISION',
        `revision ${revision} does not exist yet; the latest is ${current}`,
        { revision, current },
      );
    }
    const oldest = this.#compactedRevision;
    // As etcd: what is compacted already is an error, also when nothing would be lost.
    if (revision <= oldest) {
      throw new Refusal(
        'COMPACTED',
        `the history before revision ${oldest} has been compacted already`,
        { revision, oldest },
      );
    }
    if (hold !== null && hold.revision <= oldest) {
      throw new Refusal('COMPACTION_HELD', hold.reason, { revision: hold.revision });
    }
    this.compactTo(Math.min(revision, hold?.revision ?? revision));
  }

  /** As {@link compactAsAsked}, for a leader, which may not have known of all that was in the log. */
  compactAsAble(revision: number, { current, hold }: KeptRevisions): void {
    const able = Math.min(revision, hold?.revision ?? revision);
    if (revision <= current && able > this.#compactedRevision) this.compactTo(able);
  }

  /** Revisions before `revision`, which is not lower than before, are no longer kept. */
  compactTo(revision: number): void {
    if (revision === this.#compactedRevision) return;
    const again = { revision: this.#compactedRevision, sub: 0 };
    if (comparePositions(this.#cursor, again) > 0) this.#cursor = again;
    this.#compactedRevision = revision;
  }

  /**
   * Looks at the records of `page`, which begins at the cursor or before it.
   * @param through the last revision whose records are all in the store
   */
  sweep(page: ScanPage, through: number, keyspace: Keyspace): void {
    const last = Math.min(this.#compactedRevision, through);
    let next = this.#cursor;
    let isDone = !page.more;
    for (const [storeKey, bytes] of page.pairs) {
      const position = fromValueRecordKey(storeKey);
      if (position.revision > last) {
        isDone = true;
        break;
      }
      if (comparePositions(position, next) < 0) continue;
      this.#sweepOne(position, decodeValueRecord(bytes), keyspace);
      next = { revision: position.revision, sub: position.sub + 1 };
    }
    // A slice with `last` before the cursor has nothing to look at and moves nothing.
    if (isDone && last >= next.revision) next = { revision: last + 1, sub: 0 };
    this.#cursor = next;
    if (comparePositions(next, this.#sweptTo) > 0) this.#sweptTo = next;
  }

  #sweepOne(position: Position, record: ValueRecord, keyspace: Keyspace): void {
    const { key, type, previous, version, previousBytes } = record;
    // What the first put of a life follows is a tombstone, which has been removed by itself.
    const hasReplaced = previous.revision > 0 && version !== 1;
    if (hasReplaced && comparePositions(position, this.#sweptTo) >= 0) {
      keyspace.removeValue(previous, key.byteLength + previousBytes);
    }
    if (type !== 'tombstone' || position.revision >= this.#compactedRevision) return;
    keyspace.removeValue(position, key.byteLength);
    const target = keyspace.target(key);
    if (target.record !== null && comparePositions(target.record.modified, position) === 0) {
      keyspace.removeKey(target);
    }
  }
}
