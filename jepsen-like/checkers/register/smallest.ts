import {
  isVague,
  leaves,
  needs,
  type RegisterOperation,
  type ValueId,
} from './register-operation.js';
import { type SearchBounds, searchOrder } from './search.js';

/** Searches of small histories are quick; this bounds the sum of the operations in all of them. */
const EFFORT_MAX = 20_000_000;
const BOUNDS: SearchBounds = { configurationsMax: 5_000, stepsMax: 500_000 };

/**
 * A small part of an impossible history that is impossible by itself: Zeller's delta debugging over what may be left out without
 * making a contradiction that was not there ({@link without}).
 */
export function smallestPart(
  operations: readonly RegisterOperation[],
): readonly RegisterOperation[] {
  const effort = { left: EFFORT_MAX };
  const isImpossible = (part: readonly RegisterOperation[]): boolean => {
    effort.left -= part.length + 1000;
    return effort.left > 0 && searchOrder(part, BOUNDS).type === 'impossible';
  };
  const beginning = shortestBeginning(operations, isImpossible);
  let part = ofTwoValues(beginning, isImpossible) ?? beginning;
  for (let size = Math.ceil(part.length / 2); size >= 1 && effort.left > 0; ) {
    const before = part.length;
    for (let from = 0; from < part.length && effort.left > 0; ) {
      const smaller = without(part, new Set(part.slice(from, from + size)));
      if (smaller.length < part.length && isImpossible(smaller)) part = smaller;
      else from += size;
    }
    // The last round is repeated as long as it helps.
    if (size === 1 && part.length === before) break;
    size = Math.max(1, Math.floor(size / 2));
  }
  return part;
}

/** What has begun before some moment, and no later one than it takes. */
function shortestBeginning(
  operations: readonly RegisterOperation[],
  isImpossible: (part: readonly RegisterOperation[]) => boolean,
): readonly RegisterOperation[] {
  const inOrder = [...operations].sort((a, b) => a.begin - b.begin);
  let low = 0;
  let high = inOrder.length;
  // Beginnings through `high` are impossible, those through `low` are not (or not known to be).
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (isImpossible(inOrder.slice(0, middle))) high = middle;
    else low = middle;
  }
  return inOrder.slice(0, high);
}

/** Of as many values, the latest, it is tried whether they alone contradict that of the last operation. */
const VALUES_TRIED = 200;

/** Mostly two values are enough: one that came back, and one that had come after it. */
function ofTwoValues(
  operations: readonly RegisterOperation[],
  isImpossible: (part: readonly RegisterOperation[]) => boolean,
): readonly RegisterOperation[] | null {
  const last = operations.at(-1);
  if (last === undefined) return null;
  const own = valuesOf(last);
  const others = new Set([...operations].reverse().flatMap(valuesOf));
  for (const other of [...others].slice(0, VALUES_TRIED)) {
    const kept = new Set([...own, other]);
    const dropped = operations.filter((one) => !valuesOf(one).every((value) => kept.has(value)));
    const part = without(operations, new Set(dropped));
    if (part.length < operations.length && isImpossible(part)) return part;
  }
  return null;
}

function valuesOf({ action }: RegisterOperation): ValueId[] {
  const named = action.kind === 'refused' ? action.old : needs(action);
  const left = leaves(action);
  return [named, left].filter((value) => value !== null);
}

/**
 * If the whole has an order, so has what is left. With a write go all that only tell that they have found what it wrote; those that
 * wrote, too, are taken to have written whatever was there, and deletions to have found anything.
 */
export function without(
  operations: readonly RegisterOperation[],
  dropped: ReadonlySet<RegisterOperation>,
): RegisterOperation[] {
  const gone = new Set<ValueId>();
  for (const { action } of dropped) {
    const left = leaves(action);
    if (left !== null) gone.add(left);
  }
  const left = operations.filter((one) => !dropped.has(one));
  return gone.size === 0 ? left : left.flatMap((one) => withoutValues(one, gone));
}

function withoutValues(
  operation: RegisterOperation,
  gone: ReadonlySet<ValueId>,
): RegisterOperation[] {
  const { action } = operation;
  if (action.kind === 'refused') return [];
  if (isVague(action)) return [{ ...operation, action: { kind: 'delete', found: null } }];
  const found = needs(action);
  if (found === null || !gone.has(found)) return [operation];
  if (action.kind !== 'cas') return [];
  return [{ ...operation, action: { kind: 'put', value: action.value } }];
}
