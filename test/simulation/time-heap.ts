/** What is ordered by time; `order` breaks ties: what was planned first comes first. */
interface Timed {
  readonly atMs: number;
  readonly order: number;
}

const before = (a: Timed, b: Timed): boolean =>
  a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

export function push<T extends Timed>(heap: T[], item: T): void {
  let at = heap.length;
  heap.push(item);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] as T;
    if (!before(item, above)) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = item;
}

export function pop<T extends Timed>(heap: T[]): T | undefined {
  const top = heap[0];
  const last = heap.pop();
  if (top === undefined || last === undefined || heap.length === 0) return top;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    const right = heap[child + 1];
    if (right !== undefined && before(right, heap[child] as T)) child += 1;
    const below = heap[child] as T;
    if (!before(below, last)) break;
    heap[at] = below;
    at = child;
  }
  heap[at] = last;
  return top;
}
