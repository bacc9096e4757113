/** From `from` (inclusive) to `to` (exclusive); `null`: to the end. Compared as text. */
export interface Interval {
  readonly from: string;
  readonly to: string | null;
}

interface Node<T extends Interval> {
  readonly from: string;
  readonly to: string | null;
  /** All that have exactly this interval. */
  readonly items: Set<T>;
  left: Node<T> | null;
  right: Node<T> | null;
  height: number;
  /** The greatest `to` in this subtree. */
  end: string | null;
}

/**
 * Which of many intervals hold a point: a balanced (AVL) tree by beginning, in which each node knows how
 * far its subtree reaches. Intervals that end before the point cost nothing, however many there are.
 */
export class IntervalTree<T extends Interval> {
  #root: Node<T> | null = null;

  add(item: T): void {
    this.#root = insert(this.#root, item);
  }

  remove(item: T): void {
    this.#root = remove(this.#root, item);
  }

  get isEmpty(): boolean {
    return this.#root === null;
  }

  /** Longest way from the root to a leaf, in nodes. */
  get height(): number {
    return heightOf(this.#root);
  }

  /** Calls `visit` with each that holds `point`. */
  stab(point: string, visit: (item: T) => void): void {
    stab(this.#root, point, visit);
  }
}

function stab<T extends Interval>(
  from: Node<T> | null,
  point: string,
  visit: (item: T) => void,
): void {
  let node = from;
  while (node !== null) {
    if (node.end !== null && node.end <= point) return;
    // Looked at here: each put makes this walk, and most of its steps end so.
    const { left } = node;
    if (left !== null && (left.end === null || left.end > point)) stab(left, point, visit);
    // All to the right begin later still.
    if (node.from > point) return;
    if (node.to === null || point < node.to) for (const item of node.items) visit(item);
    node = node.right;
  }
}

function insert<T extends Interval>(node: Node<T> | null, item: T): Node<T> {
  if (node === null) {
    const { from, to } = item;
    return { from, to, items: new Set([item]), left: null, right: null, height: 1, end: to };
  }
  const order = compare(item, node);
  if (order === 0) {
    node.items.add(item);
    return node;
  }
  if (order < 0) node.left = insert(node.left, item);
  else node.right = insert(node.right, item);
  return balanced(node);
}

function remove<T extends Interval>(node: Node<T> | null, item: T): Node<T> | null {
  if (node === null) return null;
  const order = compare(item, node);
  if (order < 0) node.left = remove(node.left, item);
  else if (order > 0) node.right = remove(node.right, item);
  else {
    node.items.delete(item);
    if (node.items.size === 0) return joined(node.left, node.right);
  }
  return balanced(node);
}

/** One tree of two, all of `left` before all of `right`; they differ in height by one at most. */
function joined<T extends Interval>(left: Node<T> | null, right: Node<T> | null): Node<T> | null {
  if (left === null) return right;
  if (right === null) return left;
  let first = right;
  while (first.left !== null) first = first.left;
  first.right = withoutFirst(right);
  first.left = left;
  return balanced(first);
}

function withoutFirst<T extends Interval>(node: Node<T>): Node<T> | null {
  if (node.left === null) return node.right;
  node.left = withoutFirst(node.left);
  return balanced(node);
}

function balanced<T extends Interval>(node: Node<T>): Node<T> {
  const lean = heightOf(node.left) - heightOf(node.right);
  if (lean > 1 && node.left !== null) {
    if (heightOf(node.left.left) < heightOf(node.left.right)) node.left = turnedLeft(node.left);
    return turnedRight(node);
  }
  if (lean < -1 && node.right !== null) {
    if (heightOf(node.right.right) < heightOf(node.right.left)) {
      node.right = turnedRight(node.right);
    }
    return turnedLeft(node);
  }
  measure(node);
  return node;
}

function turnedRight<T extends Interval>(node: Node<T>): Node<T> {
  const top = node.left;
  if (top === null) return node;
  node.left = top.right;
  top.right = node;
  measure(node);
  measure(top);
  return top;
}

function turnedLeft<T extends Interval>(node: Node<T>): Node<T> {
  const top = node.right;
  if (top === null) return node;
  node.right = top.left;
  top.left = node;
  measure(node);
  measure(top);
  return top;
}

function measure<T extends Interval>(node: Node<T>): void {
  node.height = 1 + Math.max(heightOf(node.left), heightOf(node.right));
  node.end = node.to;
  if (node.left !== null) node.end = later(node.end, node.left.end);
  if (node.right !== null) node.end = later(node.end, node.right.end);
}

function heightOf(node: { readonly height: number } | null): number {
  return node === null ? 0 : node.height;
}

function later(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return null;
  return a > b ? a : b;
}

function compare(a: Interval, b: Interval): number {
  if (a.from !== b.from) return a.from < b.from ? -1 : 1;
  if (a.to === b.to) return 0;
  if (a.to === null) return 1;
  return b.to === null || a.to < b.to ? -1 : 1;
}
