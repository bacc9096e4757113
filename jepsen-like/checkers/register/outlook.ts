import { countBelow } from '../sorted.js';
import {
  isUnknown,
  isVague,
  leaves,
  NOTHING,
  needs,
  type RegisterOperation,
  type ValueId,
} from './register-operation.js';

/**
 * What the rest of a history still asks for. Who knows it can leave out orders that lead nowhere:
 *
 * - a value that somebody is still to find, and that nobody can write any more, must not be overwritten;
 * - a write of unknown outcome that nobody finds need not have happened.
 */
export class Outlook {
  /** Operations that are still to find this value, by value; those under way among them. */
  readonly #findersLeft: Map<ValueId, number>;
  /** Operations that can still leave it; those of unknown outcome among them, for ever. */
  readonly #writersLeft: Map<ValueId, number>;
  /** Somebody finds it, or may have found it. */
  readonly #useful: ReadonlySet<ValueId>;
  /** Compare-and-sets of unknown outcome that would need it, and can explain anything. */
  readonly #usefulToUnknown = new Map<ValueId, number>();
  readonly #vague: Vague;
  /** Until when a compare-and-set is refused that expects this value. */
  readonly #refusedUntil: ReadonlyMap<ValueId, number>;

  constructor(operations: readonly RegisterOperation[]) {
    const findersLeft = new Map<ValueId, number>();
    const writersLeft = new Map<ValueId, number>();
    const useful = new Set<ValueId>();
    const refusedUntil = new Map<ValueId, number>();
    for (const operation of operations) {
      const found = needs(operation.action);
      const left = leaves(operation.action);
      if (found !== null && !isUnknown(operation)) {
        useful.add(found);
        add(findersLeft, found, 1);
      }
      if (left !== null) add(writersLeft, left, 1);
      const { action, end } = operation;
      if (action.kind !== 'refused') continue;
      refusedUntil.set(action.old, Math.max(end, refusedUntil.get(action.old) ?? 0));
    }
    this.#findersLeft = findersLeft;
    this.#writersLeft = writersLeft;
    this.#useful = useful;
    this.#vague = new Vague(operations);
    this.#refusedUntil = refusedUntil;
    this.#countUsefulToUnknown(operations.filter(isUnknown));
  }

  /** One of unknown outcome can be what another one needed: from those that explain something back to their causes. */
  #countUsefulToUnknown(operations: readonly RegisterOperation[]): void {
    let left = operations.filter(({ action }) => action.kind === 'cas');
    for (let size = -1; size !== left.length; ) {
      size = left.length;
      left = left.filter((operation) => {
        if (!this.isRelevant(operation)) return true;
        add(this.#usefulToUnknown, needs(operation.action) ?? NOTHING, 1);
        return false;
      });
    }
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

  /** Of a put whose value nobody names: may somebody have found that there was something, or something else, due to it? */
  mayBeSeen({ begin, end }: RegisterOperation): boolean {
    return this.#vague.mayMeet(begin, end);
  }

  /** Of an operation of unknown outcome: can it explain anything? */
  isRelevant(operation: RegisterOperation): boolean {
    const left = leaves(operation.action);
    if (left === null) return false;
    const isUseful = this.#useful.has(left) || this.#usefulToUnknown.has(left);
    return isUseful || this.#canHide(operation, operation.begin);
  }

  /** The same, when nobody whose outcome is known is to find what it leaves any more. */
  isRelevantAfter(operation: RegisterOperation, time: number): boolean {
    const left = leaves(operation.action);
    return left !== null && (this.#usefulToUnknown.has(left) || this.#canHide(operation, time));
  }

  /** Nobody is to name this value in an answer any more. */
  isUnnamedAfter(value: ValueId, time: number): boolean {
    const isSought = this.findersLeft(value) > 0 || this.#usefulToUnknown.has(value);
    return !isSought && (this.#refusedUntil.get(value) ?? 0) < time;
  }

  /** Nobody finds what it writes; but somebody may be glad that what was there before is there no more. */
  #canHide({ action }: RegisterOperation, time: number): boolean {
    if (action.kind !== 'cas' || action.old === NOTHING) {
      return this.#vague.mayMeet(time, Number.POSITIVE_INFINITY);
    }
    return (this.#refusedUntil.get(action.old) ?? 0) >= time;
  }

  /** A write of unknown outcome has happened, whatever else did, or cannot happen any more. */
  settled({ action }: RegisterOperation, count: number): void {
    const left = leaves(action);
    const found = needs(action);
    if (left !== null) add(this.#writersLeft, left, -count);
    if (found !== null) add(this.#usefulToUnknown, found, -count);
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
    const begun = countBelow(this.#froms, end, true);
    return begun > 0 && (this.#latestEnds[begun - 1] as number) >= begin;
  }
}
