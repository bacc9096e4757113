/**
 * Which transaction must come before which, and why: Adya, "Weak Consistency" (1999). A cycle means that there is no order
 * in which they could have run one after the other.
 */

/**
 * `ww`: it wrote over what the other wrote. `wr`: it read what the other wrote. `rw`: it wrote over what the other read.
 * `rt`: it began when the other had ended.
 */
export type Why = 'ww' | 'wr' | 'rw' | 'rt';

interface Edge {
  readonly from: number;
  readonly to: number;
  readonly why: Why;
  /** For whoever reads of it. */
  readonly what: string;
}

/** Nodes are numbers from 0. */
export class DependencyGraph {
  readonly #out: Edge[][] = [];
  readonly #edges: Edge[] = [];

  get size(): number {
    return this.#out.length;
  }

  addNode(): number {
    return this.#out.push([]) - 1;
  }

  addEdge(from: number, to: number, why: Why, what: string): void {
    if (from === to) return;
    const edge = { from, to, why, what };
    this.#out[from]?.push(edge);
    this.#edges.push(edge);
  }

  /** A shortest cycle of these kinds of edges; `null`: there is none. */
  cycle(kinds: ReadonlySet<Why>): readonly Edge[] | null {
    const left = this.#inCycles(kinds);
    let shortest: readonly Edge[] | null = null;
    for (const node of left) {
      const found = this.#path(node, node, (edge) => kinds.has(edge.why) && left.has(edge.to));
      if (found !== null && (shortest === null || found.length < shortest.length)) shortest = found;
    }
    return shortest;
  }

  /** A cycle with one edge that is `rw`; all others are of `kinds`. */
  cycleWithOneRw(kinds: ReadonlySet<Why>): readonly Edge[] | null {
    const left = this.#inCycles(new Set([...kinds, 'rw']));
    let shortest: readonly Edge[] | null = null;
    for (const edge of this.#edges) {
      if (edge.why !== 'rw' || !left.has(edge.from) || !left.has(edge.to)) continue;
      const back = this.#path(edge.to, edge.from, (one) => kinds.has(one.why) && left.has(one.to));
      if (back !== null && (shortest === null || back.length + 1 < shortest.length)) {
        shortest = [edge, ...back];
      }
    }
    return shortest;
  }

  /** All nodes on cycles are among these: what has nothing before it, or nothing behind it, is on none. */
  #inCycles(kinds: ReadonlySet<Why>): Set<number> {
    const edges = this.#edges.filter(({ why }) => kinds.has(why));
    const left = new Set(this.#out.keys());
    for (const side of ['to', 'from'] as const) {
      const other = side === 'to' ? 'from' : 'to';
      const counts = new Array<number>(this.size).fill(0);
      const byOther = new Map<number, Edge[]>();
      for (const edge of edges) {
        if (!left.has(edge.from) || !left.has(edge.to)) continue;
        counts[edge[side]] = (counts[edge[side]] ?? 0) + 1;
        const group = byOther.get(edge[other]);
        if (group === undefined) byOther.set(edge[other], [edge]);
        else group.push(edge);
      }
      const free = [...left].filter((node) => counts[node] === 0);
      for (let node = free.pop(); node !== undefined; node = free.pop()) {
        left.delete(node);
        for (const edge of byOther.get(node) ?? []) {
          const count = (counts[edge[side]] ?? 0) - 1;
          counts[edge[side]] = count;
          if (count === 0) free.push(edge[side]);
        }
      }
    }
    return left;
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
