import {
  isUnknown,
  isVague,
  leaves,
  needs,
  type RegisterOperation,
  type ValueId,
} from './register-operation.js';

/**
 * What the rest of a history still asks for. Who knows it can leave out orders that lead nowhere:
 *
 * - a value that somebody is still to find, and that nobody can write any more, must not be overwritten;
 * - a put that nobody finds can be done just before any other write, where nothing tells of it;
 * - a write of unknown outcome that nobody finds need not have happened.
 */
export class Outlook {
  /** Operations that are still to find this value, by value; those under way among them. */
  readonly #findersLeft: Map<ValueId, number>;
  /** Operations that can still leave it; those of unknown outcome among them, for ever. */
  readonly #writersLeft: Map<ValueId, number>;
  /** Somebody finds it, or may have found it. */
  readonly #useful: ReadonlySet<ValueId>;
  /** Operations of unknown outcome would need it. */
  readonly #usefulToUnknown: ReadonlySet<ValueId>;
  readonly #vague: Vague;

  constructor(operations: readonly RegisterOperation[]) {
    const findersLeft = new Map<ValueId, number>();
    const writersLeft = new Map<ValueId, number>();
    const useful = new Set<ValueId>();
    const usefulToUnknown = new Set<ValueId>();
    for (const operation of operations) {
      const found = needs(operation.action);
      const left = leaves(operation.action);
      if (found !== null) useful.add(found);
      if (found !== null) {
        if (isUnknown(operation)) usefulToUnknown.add(found);
        else add(findersLeft, found, 1);
      }
      if (left !== null) add(writersLeft, left, 1);
    }
    this.#findersLeft = findersLeft;
    this.#writersLeft = writersLeft;
    this.#useful = useful;
    this.#usefulToUnknown = usefulToUnknown;
    this.#vague = new Vague(operations);
  }

  /** An operation has ended: it is no longer to come. */
  ended({ action }: RegisterOperation): void {
    const found = needs(action);
    const left = leaves(action);
    if (found !== null) add(this.#findersLeft, found, -1);
    if (left !== null) add(this.#writersLeft, left, -1);
  }

  findersLeft(value: ValueId): number {
    return this.#findersLeft.get(value) ?? 0;
  }

  writersLeft(value: ValueId): number {
    return this.#writersLeft.get(value) ?? 0;
  }

  /** Nothing tells of it, wherever it is done before another write. */
  isUnseenPut({ action, begin, end }: RegisterOperation): boolean {
    if (action.kind !== 'put' || this.#useful.has(action.value)) return false;
    return !this.#vague.mayMeet(begin, end);
  }

  /** Of an operation of unknown outcome: can it explain anything? */
  isRelevant({ action, begin }: RegisterOperation): boolean {
    const left = leaves(action);
    if (left === null) return false;
    return this.#useful.has(left) || this.#vague.mayMeet(begin, Number.POSITIVE_INFINITY);
  }

  /** The same, when nobody whose outcome is known is to find what it leaves any more. */
  isRelevantAfter({ action }: RegisterOperation, time: number): boolean {
    const left = leaves(action);
    if (left === null) return false;
    const isUseful = this.#usefulToUnknown.has(left);
    return isUseful || this.#vague.mayMeet(time, Number.POSITIVE_INFINITY);
  }
}

function add(counts: Map<ValueId, number>, value: ValueId, by: number): void {
  const count = (counts.get(value) ?? 0) + by;
  if (count === 0) counts.delete(value);
  else counts.set(value, count);
}

/**
 * Of operations that take any value but one: which writes may they have seen? One that may be the last before them. That is none
 * that had ended before another write began that had ended before them.
 */
class Vague {
  /** Sorted: since when a write may have been seen by one of them. */
  readonly #froms: number[] = [];
  /** The latest end of those through this place. */
  readonly #latestEnds: number[] = [];

  constructor(operations: readonly RegisterOperation[]) {
    const vague = operations.filter(({ action }) => isVague(action));
    if (vague.length === 0) return;
    const writes = operations
      .filter((one) => !isUnknown(one) && leaves(one.action) !== null)
      .sort((a, b) => a.end - b.end);
    vague.sort((a, b) => a.begin - b.begin);
    let at = 0;
    let from = Number.NEGATIVE_INFINITY;
    let latest = Number.NEGATIVE_INFINITY;
    for (const { begin, end } of vague) {
      for (let write = writes[at]; write !== undefined && write.end < begin; write = writes[at]) {
        from = Math.max(from, write.begin);
        at += 1;
      }
      latest = Math.max(latest, end);
      this.#froms.push(from);
      this.#latestEnds.push(latest);
    }
  }

  /** May a write within this time have been seen by one of them? */
  mayMeet(begin: number, end: number): boolean {
    let low = 0;
    let high = this.#froms.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#froms[middle] as number) <= end) low = middle + 1;
      else high = middle;
    }
    return low > 0 && (this.#latestEnds[low - 1] as number) >= begin;
  }
}
