/**
 * Which transaction must come before which, and why: Adya, "Weak Consistency" (1999). A cycle means that there is no order
 * in which they could have run one after the other.
 */

/**
 * `ww`: it wrote over what the other wrote. `wr`: it read what the other wrote. `rw`: it wrote over what the other read.
 * `rt`: it began when the other had ended.
 */
export type Why = 'ww' | 'wr' | 'rw' | 'rt';

export interface Edge {
  readonly from: number;
  readonly to: number;
  readonly why: Why;
  /** For whoever reads of it. */
  readonly what: string;
}

/** Of a large component a cycle is looked for from so many of its nodes. */
const STARTS_MAX = 200;

/** Nodes are numbers from 0. */
export class DependencyGraph {
  readonly #out: Edge[][] = [];

  get size(): number {
    return this.#out.length;
  }

  addNode(): number {
    return this.#out.push([]) - 1;
  }

  addEdge(from: number, to: number, why: Why, what: string): void {
    if (from === to) return;
    this.#out[from]?.push({ from, to, why, what });
  }

  /** A short cycle of these kinds of edges, a shortest one of a small graph; `null`: there is none. */
  cycle(kinds: ReadonlySet<Why>): readonly Edge[] | null {
    let shortest: readonly Edge[] | null = null;
    for (const component of this.#components(kinds)) {
      const nodes = new Set(component);
      for (const node of component.slice(0, STARTS_MAX)) {
        const found = this.#path(node, node, (edge) => kinds.has(edge.why) && nodes.has(edge.to));
        if (found === null) continue;
        if (shortest === null || found.length < shortest.length) shortest = found;
      }
      if (shortest !== null) return shortest;
    }
    return null;
  }

  /** A cycle with one edge that is `rw`; all others are of `kinds`. */
  cycleWithOneRw(kinds: ReadonlySet<Why>): readonly Edge[] | null {
    for (const component of this.#components(new Set([...kinds, 'rw']))) {
      const nodes = new Set(component);
      let shortest: readonly Edge[] | null = null;
      for (const node of component) {
        for (const edge of this.#out[node] ?? []) {
          if (edge.why !== 'rw' || !nodes.has(edge.to)) continue;
          const may = (one: Edge): boolean => kinds.has(one.why) && nodes.has(one.to);
          const back = this.#path(edge.to, edge.from, may);
          if (back === null || back.length + 1 >= (shortest?.length ?? Number.POSITIVE_INFINITY)) {
            continue;
          }
          shortest = [edge, ...back];
        }
        if (shortest !== null && component.length > STARTS_MAX) break;
      }
      if (shortest !== null) return shortest;
    }
    return null;
  }

  /**
   * Sets of nodes each of which can be reached from each other (Tarjan 1972, without recursion), if they are more than one: all cycles are within
   * one of them. The smallest come first.
   */
  #components(kinds: ReadonlySet<Why>): number[][] {
    const walk = new ComponentWalk((node) => this.#out[node] ?? [], kinds);
    for (let node = 0; node < this.size; node += 1) walk.from(node);
    return walk.found.sort((a, b) => a.length - b.length);
  }

  /** A shortest one, of at least one edge. */
  #path(from: number, to: number, may: (edge: Edge) => boolean): readonly Edge[] | null {
    const cameBy = new Map<number, Edge>();
    let reached = [from];
    while (reached.length > 0) {
      const next: number[] = [];
      for (const node of reached) {
        for (const edge of this.#out[node] ?? []) {
          if (cameBy.has(edge.to) || !may(edge)) continue;
          cameBy.set(edge.to, edge);
          if (edge.to === to) return backFrom(edge, from, cameBy);
          next.push(edge.to);
        }
      }
      reached = next;
    }
    return null;
  }
}

function backFrom(last: Edge, from: number, cameBy: ReadonlyMap<number, Edge>): readonly Edge[] {
  const path = [last];
  for (let edge = last; edge.from !== from; ) {
    edge = cameBy.get(edge.from) as Edge;
    path.unshift(edge);
  }
  return path;
}

/** Tarjan's search for strongly connected components. */
class ComponentWalk {
  readonly found: number[][] = [];
  readonly #edgesOf: (node: number) => readonly Edge[];
  readonly #kinds: ReadonlySet<Why>;
  readonly #order = new Map<number, number>();
  readonly #lowest = new Map<number, number>();
  readonly #stack: number[] = [];
  readonly #onStack = new Set<number>();

  constructor(edgesOf: (node: number) => readonly Edge[], kinds: ReadonlySet<Why>) {
    this.#edgesOf = edgesOf;
    this.#kinds = kinds;
  }

  from(root: number): void {
    if (this.#order.has(root)) return;
    const path = [{ node: root, at: 0 }];
    this.#enter(root);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const edge = this.#edgesOf(top.node)[top.at];
      if (edge === undefined) {
        path.pop();
        this.#leave(top.node, path.at(-1)?.node);
        continue;
      }
      top.at += 1;
      if (!this.#kinds.has(edge.why)) continue;
      if (!this.#order.has(edge.to)) {
        this.#enter(edge.to);
        path.push({ node: edge.to, at: 0 });
      } else if (this.#onStack.has(edge.to)) {
        this.#lower(top.node, this.#order.get(edge.to) as number);
      }
    }
  }

  #enter(node: number): void {
    this.#order.set(node, this.#order.size);
    this.#lowest.set(node, this.#order.size - 1);
    this.#stack.push(node);
    this.#onStack.add(node);
  }

  #leave(node: number, parent: number | undefined): void {
    const lowest = this.#lowest.get(node) as number;
    if (parent !== undefined) this.#lower(parent, lowest);
    if (lowest !== this.#order.get(node)) return;
    const component: number[] = [];
    for (let one = -1; one !== node; ) {
      one = this.#stack.pop() as number;
      this.#onStack.delete(one);
      component.push(one);
    }
    if (component.length > 1) this.found.push(component);
  }

  #lower(node: number, to: number): void {
    if (to < (this.#lowest.get(node) as number)) this.#lowest.set(node, to);
  }
}
