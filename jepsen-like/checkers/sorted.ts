/** How many of these, ascending, are below the value; with `orAt` also those that are equal. */
export function countBelow(sorted: ArrayLike<number>, value: number, orAt = false): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const one = sorted[middle] as number;
    if (one < value || (orAt && one === value)) low = middle + 1;
    else high = middle;
  }
  return low;
}
