/**
 * How many items at the beginning of `list` meet `isBefore`: it holds for all of them, and for none behind them. Binary search,
 * so it is asked of a logarithm of the items.
 */
export function countWhile<T>(list: ArrayLike<T>, isBefore: (item: T) => boolean): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(list[middle] as T)) low = middle + 1;
    else high = middle;
  }
  return low;
}
