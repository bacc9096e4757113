import type { Compare, ReadOperation } from '../../src/base/operation.js';
import type { Item } from './naive-store.js';

export function matches(item: Item, filter: Partial<ReadOperation>): boolean {
  const { modRevisionMin = 0, createRevisionMin = 0 } = filter;
  const modMax = filter.modRevisionMax || Number.POSITIVE_INFINITY;
  const createMax = filter.createRevisionMax || Number.POSITIVE_INFINITY;
  return (
    item.modRevision >= modRevisionMin &&
    item.modRevision <= modMax &&
    item.createRevision >= createRevisionMin &&
    item.createRevision <= createMax
  );
}

export function compares<T extends string | number>(
  a: T,
  operator: Compare['operator'],
  b: T,
): boolean {
  if (operator === '=') return a === b;
  if (operator === '!=') return a !== b;
  return operator === '<' ? a < b : a > b;
}
