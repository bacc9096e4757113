import type { ReadOperation, ReadResult } from '../base/operation.js';
import type { AnswerBudget } from './answer-budget.js';
import { describe, isLive, type Keyspace, type LiveTarget } from './keyspace.js';
import { isOfFirstKeys } from './needs.js';
import { passes, revisionBounds } from './range-filter.js';
import type { RangeView } from './range-view.js';

const NO_BYTES = new Uint8Array(0);

/** What a transaction reads, in the middle of the entry in hand. */
export interface TxnReads {
  readonly keyspace: Keyspace;
  readonly ranges: RangeView;
  readonly budget: AnswerBudget;
  /** Of the entry. */
  readonly version: number;
}

/** @throws Refusal `RANGE_TOO_LARGE`, `OVERLOADED` */
export function readInTxn(read: ReadOperation, reads: TxnReads): ReadResult {
  const { targets, count } = find(read, reads);
  if (read.countOnly === true) return { type: 'read', items: [], count: targets.length };
  const { keyspace, budget } = reads;
  const items = targets.map((target) => {
    const isBare = read.keysOnly === true;
    budget.add(target.key.byteLength + (isBare ? 0 : target.record.valueBytes));
    return describe(target, isBare ? NO_BYTES : keyspace.valueOf(target));
  });
  if (count === null) return { type: 'read', items, count: items.length, more: true };
  return { type: 'read', items, count };
}

interface Found {
  readonly targets: readonly LiveTarget[];
  /** Also beyond the limit; `null`: not known. */
  readonly count: number | null;
}

function find(read: ReadOperation, reads: TxnReads): Found {
  const { from, to, reverse = false, limit = 0 } = read;
  const bounds = revisionBounds(read);
  const isWanted = ({ record }: LiveTarget): boolean =>
    passes(bounds, record.modified.revision, record.createRevision);
  if (to !== undefined && isOfFirstKeys(read, reads.version)) {
    const query = { limit, passes: bounds === null ? null : isWanted };
    return reads.ranges.firstKeys({ from, to, reverse }, query);
  }
  const matching = all(read, reads).filter(isWanted);
  const count = matching.length;
  if (reverse) matching.reverse();
  const isAll = limit === 0 || read.countOnly === true;
  return { targets: isAll ? matching : matching.slice(0, limit), count };
}

function all({ from, to }: ReadOperation, { keyspace, ranges }: TxnReads): readonly LiveTarget[] {
  if (to !== undefined) return ranges.liveKeys(from, to);
  const target = keyspace.target(from);
  return isLive(target) ? [target] : [];
}
