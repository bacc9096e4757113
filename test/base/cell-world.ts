import fc from 'fast-check';
import { Cell } from '../../src/base/cell.js';
import type { CellChange, CellType, ChangeStamp } from '../../src/base/delta.js';

/** Several origins that change one cell at the same time, each with what it has seen: for tests of what comes of it. */

export const ORIGINS = ['a', 'b', 'c'].map((letter) => letter.repeat(16));

/** One step of a history: `at` makes a change, or hears of what `from` has made and seen. */
export type Step =
  | { readonly type: 'hear'; readonly at: number; readonly from: number }
  | {
      readonly type: 'change';
      readonly at: number;
      readonly part: string;
      readonly value: number;
      readonly isRemoval: boolean;
      /** How far its clock has gone meanwhile. */
      readonly later: number;
    };

export const place = fc.nat({ max: ORIGINS.length - 1 });

export const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ type: fc.constant('hear' as const), at: place, from: place }),
  fc.record({
    type: fc.constant('change' as const),
    at: place,
    part: fc.constantFrom('"x"', '{"b":1,"a":[2]}', '"__proto__"'),
    value: fc.integer({ min: -50, max: 50 }),
    isRemoval: fc.boolean(),
    later: fc.nat({ max: 2 }),
  }),
);

/** A change that was made, and what its maker had seen: the number of changes of each origin. */
export interface Made {
  readonly change: CellChange;
  readonly stamp: ChangeStamp;
  /** Of its origin, from 1. */
  readonly sequence: number;
  readonly seen: readonly number[];
}

interface Site {
  readonly cell: Cell;
  seen: number[];
  timeMs: number;
}

/** What each of the origins shows in the end, and all changes by origin. */
export function playOut(type: CellType, steps: readonly Step[]): { sites: Site[]; made: Made[][] } {
  const made: Made[][] = ORIGINS.map(() => []);
  const sites: Site[] = ORIGINS.map(() => ({
    ...{ cell: Cell.empty(type), seen: ORIGINS.map(() => 0), timeMs: 0 },
  }));
  for (const one of steps) {
    const site = sites[one.at] as Site;
    if (one.type === 'hear') hear(site, sites[one.from] as Site, made);
    else change(type, site, one, made);
  }
  return { sites, made };
}

function change(
  type: CellType,
  site: Site,
  one: Extract<Step, { type: 'change' }>,
  made: Made[][],
): void {
  const own = made[one.at] as Made[];
  site.timeMs += one.later;
  const origin = ORIGINS[one.at] as string;
  const sequence = own.length + 1;
  const call = `${origin}:${sequence}`;
  const stamp = { timeMs: site.timeMs, count: 0, origin, call, place: 0 };
  const wanted = changeOf(type, site.cell, one);
  if (!site.cell.apply(wanted, stamp, null)) throw new Error('what was just seen is not there');
  own.push({ change: wanted, stamp, sequence, seen: [...site.seen] });
  site.seen[one.at] = own.length;
}

function changeOf(
  type: CellType,
  cell: Cell,
  { part, value, isRemoval }: Extract<Step, { type: 'change' }>,
): CellChange {
  const json = JSON.stringify({ value });
  const kind = isRemoval ? 'remove' : 'add';
  switch (type) {
    case 'counter':
      return { cell: type, type: 'add', by: value };
    case 'escrow':
      return { cell: type, type: 'add', by: Math.abs(value) + 1 };
    case 'set':
      return { cell: type, type: kind, item: part, observed: cell.tagsOf(part) };
    case 'map': {
      const observed = cell.tagsOf(part);
      if (isRemoval) return { cell: type, type: 'remove', field: part, observed };
      return { cell: type, type: 'put', field: part, value: json, observed };
    }
    case 'register':
      return { cell: type, type: 'set', value: json };
    case 'multi-value':
      return { cell: type, type: 'set', value: json, observed: cell.tagsOf('') };
    case 'log':
      return { cell: type, type: 'append', value: json };
  }
}

/** All that `from` knows, in an order in which causes come first. */
function hear(site: Site, from: Site, made: readonly Made[][]): void {
  site.timeMs = Math.max(site.timeMs, from.timeMs) + 1;
  for (let isNew = true; isNew; ) {
    isNew = false;
    made.forEach((list, origin) => {
      const next = list[site.seen[origin] as number];
      if (next === undefined || (site.seen[origin] as number) >= (from.seen[origin] as number)) {
        return;
      }
      if (!isCausal(next, site.seen)) return;
      site.cell.apply(next.change, next.stamp, null);
      site.seen[origin] = (site.seen[origin] as number) + 1;
      isNew = true;
    });
  }
}

function isCausal({ seen }: Made, known: readonly number[]): boolean {
  return seen.every((count, origin) => (known[origin] as number) >= count);
}

/** Applies everything in one of the orders that keep causes first. @param picks chooses among what could be next */
export function inSomeOrder(type: CellType, made: readonly Made[][], picks: () => number): Cell {
  const cell = Cell.empty(type);
  const known = ORIGINS.map(() => 0);
  for (;;) {
    const ready = made.flatMap((list, origin) => {
      const next = list[known[origin] as number];
      return next !== undefined && isCausal(next, known) ? [{ next, origin }] : [];
    });
    const picked = ready[picks() % Math.max(1, ready.length)];
    if (picked === undefined) return cell;
    const { change, stamp } = picked.next;
    cell.apply(change, stamp, null);
    known[picked.origin] = (known[picked.origin] as number) + 1;
  }
}

/** A stamp of the first origin. */
export function stampOf(facts: Partial<ChangeStamp> = {}): ChangeStamp {
  return {
    ...{ timeMs: 1, count: 0, origin: ORIGINS[0] as string, call: `${ORIGINS[0]}:1`, place: 0 },
    ...facts,
  };
}

/** `true` where the type of the cell is what it says: what it shows, as data. */
export function shown(cell: Cell): unknown {
  return JSON.parse(cell.view());
}
