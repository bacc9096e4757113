/** By how many steps it is looked in all, and for one sum. */
const STEPS_MAX = 5_000_000;
const STEPS_OF_ONE_MAX = 50_000;

export type Vector = readonly number[];

interface Group {
  readonly item: Vector;
  readonly count: number;
}

/** Whether sums are those of some of a number of vectors, each taken once at most. */
export class SubsetSearch {
  #left = STEPS_MAX;

  /** @returns null: not found out within the bounds */
  canBeMade(target: Vector, items: Iterable<Vector>): boolean | null {
    if (target.every((number) => number === 0)) return true;
    const groups = groupsOf(items);
    const bounds = boundsOf(groups, target.length);
    const failed = new Set<string>();
    const budget = Math.min(STEPS_OF_ONE_MAX, this.#left);
    let steps = 0;
    const look = (at: number, rest: Vector): boolean | null => {
      if (rest.every((number) => number === 0)) return true;
      const bound = bounds[at] as Bound;
      if (rest.some((number, i) => number < (bound.least[i] ?? 0))) return false;
      if (rest.some((number, i) => number > (bound.most[i] ?? 0))) return false;
      const name = `${at} ${rest.join()}`;
      if (failed.has(name)) return false;
      const { item, count } = groups[at] as Group;
      for (let times = count; times >= 0; times -= 1) {
        steps += 1;
        if (steps > budget) return null;
        const next = rest.map((number, i) => number - times * (item[i] ?? 0));
        const found = look(at + 1, next);
        if (found !== false) return found;
      }
      failed.add(name);
      return false;
    };
    const found = look(0, target);
    this.#left -= steps;
    return found;
  }
}

function groupsOf(items: Iterable<Vector>): Group[] {
  const groups = new Map<string, { item: Vector; count: number }>();
  for (const item of items) {
    const name = item.join();
    const known = groups.get(name);
    if (known === undefined) groups.set(name, { item, count: 1 });
    else known.count += 1;
  }
  return [...groups.values()];
}

interface Bound {
  readonly least: Vector;
  readonly most: Vector;
}

/** Between what all groups from one on can come to. */
function boundsOf(groups: readonly Group[], size: number): Bound[] {
  let bound: Bound = { least: new Array(size).fill(0), most: new Array(size).fill(0) };
  const bounds = [bound];
  for (const { item, count } of [...groups].reverse()) {
    const { least, most } = bound;
    bound = {
      least: least.map((sum, i) => sum + Math.min(0, (item[i] ?? 0) * count)),
      most: most.map((sum, i) => sum + Math.max(0, (item[i] ?? 0) * count)),
    };
    bounds.push(bound);
  }
  return bounds.reverse();
}
