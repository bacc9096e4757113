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
  let part = shortestBeginning(operations, isImpossible);
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

/**
 * If the whole has an order, so has what is left: with a write go all that may have found what it wrote, those that found *something*
 * when a write goes, and with a deletion those that found nothing.
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
  let left = operations.filter((one) => !dropped.has(one));
  if (gone.size === 0) return left;
  for (let size = -1; size !== left.length; ) {
    size = left.length;
    left = left.filter(({ action }) => {
      const found = needs(action);
      if (found === null || !gone.has(found)) return true;
      const written = leaves(action);
      if (written !== null) gone.add(written);
      return false;
    });
  }
  return left.flatMap((operation) => {
    if (!isVague(operation.action)) return [operation];
    if (operation.action.kind === 'refused') return [];
    return [{ ...operation, action: { kind: 'delete' as const, found: null } }];
  });
}
