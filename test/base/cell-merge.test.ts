import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Cell } from '../../src/base/cell.js';
import { CELL_TYPES, type CellChange, type ChangeTag } from '../../src/base/delta.js';
import {
  inSomeOrder,
  type Made,
  ORIGINS,
  place,
  playOut,
  shown,
  stampOf,
  step,
} from './cell-world.js';

/** What comes of changes that were made at several places at once. */

const steps = fc.array(step, { maxLength: 40 });
const [A, B, C] = ORIGINS as [string, string, string];

describe.each(CELL_TYPES)('%s', (type) => {
  test('is the same in the end, whatever order the changes came in', () => {
    fc.assert(
      fc.property(steps, fc.infiniteStream(fc.nat({ max: 100 })), (history, picks) => {
        const { made } = playOut(type, history);
        const next = () => picks.next().value as number;
        const one = inSomeOrder(type, made, next).encode().toString();
        expect(inSomeOrder(type, made, next).encode().toString()).toBe(one);
        expect(
          inSomeOrder(type, made, () => 0)
            .encode()
            .toString(),
        ).toBe(one);
      }),
      { numRuns: 150 },
    );
  });

  test('goes into bytes and comes back as it was, and goes on alike', () => {
    fc.assert(
      fc.property(steps, (history) => {
        const { made, sites } = playOut(type, history);
        const cell = inSomeOrder(type, made, () => 0);
        const back = Cell.decode(cell.encode());
        expect(back?.encode()).toEqual(cell.encode());
        expect(back?.type).toBe(type);
        expect(back?.view()).toBe(cell.view());
        expect(back?.bytes).toBe(cell.bytes);
        for (const part of ['"x"', '{"a":[2],"b":1}', '"__proto__"']) {
          expect(back?.tagsOf(part)).toEqual(cell.tagsOf(part));
        }
        const seen = sites[0]?.cell as Cell;
        const later = playOut(type, [...history]).sites[0]?.cell as Cell;
        expect(later.encode()).toEqual(Cell.decode(seen.encode())?.encode());
      }),
      { numRuns: 100 },
    );
  });

  test('knows roughly how long its bytes are', () => {
    fc.assert(
      fc.property(steps, (history) => {
        const cell = inSomeOrder(type, playOut(type, history).made, () => 0);
        const real = cell.encode().byteLength;
        expect(cell.bytes).toBeGreaterThan(real * 0.6);
        expect(cell.bytes).toBeLessThan(real * 1.6 + 64);
      }),
      { numRuns: 50 },
    );
  });

  test('a copy changes on its own', () => {
    fc.assert(
      fc.property(steps, steps, (history, more) => {
        const cell = inSomeOrder(type, playOut(type, history).made, () => 0);
        const before = cell.encode();
        const copy = cell.clone();
        expect(copy.encode()).toEqual(before);
        const changes = playOut(type, more).made.flat();
        for (const { change, stamp } of changes) {
          copy.apply(change, { ...stamp, call: `1${stamp.call}` }, null);
        }
        expect(cell.encode()).toEqual(before);
        const after = copy.encode();
        for (const { change, stamp } of changes) {
          cell.apply(change, { ...stamp, call: `2${stamp.call}` }, null);
        }
        expect(copy.encode()).toEqual(after);
      }),
      { numRuns: 50 },
    );
  });
});

test('a counter is the exact sum', () => {
  const by = fc.maxSafeInteger();
  fc.assert(
    fc.property(fc.array(by, { maxLength: 30 }), (all) => {
      const cell = Cell.empty('counter');
      for (const one of all) cell.apply({ cell: 'counter', type: 'add', by: one }, stampOf(), null);
      const sum = all.reduce((total, one) => total + BigInt(one), 0n);
      expect(JSON.parse(cell.encode().toString())).toEqual({ type: 'counter', value: `${sum}` });
      expect(shown(cell)).toBe(Number(sum));
    }),
  );
});

/** By the rules of a set: which changes are in the end neither removed nor replaced by one that has seen them. */
function alive(made: readonly Made[][], isOfPart: (change: CellChange) => boolean): Made[] {
  const all = made.flat().filter(({ change }) => isOfPart(change));
  const knew = (later: Made, sooner: Made): boolean => {
    const origin = ORIGINS.indexOf(sooner.stamp.origin);
    const own = later.stamp.origin === sooner.stamp.origin;
    const seen = own ? later.sequence - 1 : (later.seen[origin] as number);
    return later !== sooner && seen >= sooner.sequence;
  };
  return all.filter(
    (one) => one.change.type !== 'remove' && !all.some((later) => knew(later, one)),
  );
}

const PARTS = ['"x"', '{"b":1,"a":[2]}', '"__proto__"'] as const;

test('a set has what was added by one whom no removal had seen, and nothing else', () => {
  fc.assert(
    fc.property(steps, (history) => {
      const { made } = playOut('set', history);
      const items = shown(inSomeOrder('set', made, () => 0)) as unknown[];
      for (const part of PARTS) {
        const adders = alive(made, (change) => change.cell === 'set' && change.item === part);
        const isIn = items.some((item) => JSON.stringify(item) === canonical(part));
        expect(isIn).toBe(adders.length > 0);
      }
    }),
  );
});

const canonical = (part: string): string => (part.startsWith('{') ? '{"a":[2],"b":1}' : part);

test('a map has in each field the latest of what no change had seen', () => {
  fc.assert(
    fc.property(steps, (history) => {
      const { made } = playOut('map', history);
      const cell = inSomeOrder('map', made, () => 0);
      const fields = new Map(Object.entries(shown(cell) as object));
      for (const part of PARTS) {
        const puts = alive(made, (change) => change.cell === 'map' && change.field === part);
        expect(fields.has(part)).toBe(puts.length > 0);
        const latest = latestOf(puts);
        if (latest !== undefined) expect(JSON.stringify(fields.get(part))).toBe(jsonOf(latest));
      }
    }),
  );
});

test('a register has the latest, a multi-value register all that none had seen', () => {
  fc.assert(
    fc.property(steps, (history) => {
      const last = playOut('register', history).made;
      const latest = latestOf(last.flat());
      const shownLast = JSON.stringify(shown(inSomeOrder('register', last, () => 0)));
      expect(shownLast).toBe(latest === undefined ? 'null' : jsonOf(latest));
      const several = playOut('multi-value', history).made;
      const values = alive(several, () => true).map(jsonOf);
      const found = (shown(inSomeOrder('multi-value', several, () => 0)) as unknown[]).map((v) =>
        JSON.stringify(v),
      );
      expect([...found].sort()).toEqual(values.sort());
    }),
  );
});

test('a log has everything, in the order of the stamps', () => {
  fc.assert(
    fc.property(steps, (history) => {
      const { made } = playOut('log', history);
      const cell = inSomeOrder('log', made, () => 0);
      const ordered = made.flat().sort(byStamp).map(jsonOf);
      expect((shown(cell) as unknown[]).map((v) => JSON.stringify(v))).toEqual(ordered);
    }),
  );
});

function byStamp({ stamp: a }: Made, { stamp: b }: Made): number {
  const keys = ['timeMs', 'count', 'call', 'place'] as const;
  for (const key of keys) if (a[key] !== b[key]) return a[key] < b[key] ? -1 : 1;
  return 0;
}

function latestOf(made: readonly Made[]): Made | undefined {
  return [...made].sort(byStamp).at(-1);
}

function jsonOf({ change }: Made): string {
  return 'value' in change ? change.value : '';
}

describe('what decides between changes made at the same time', () => {
  const set = (value: string) => ({ cell: 'register', type: 'set', value }) as const;

  test.each([
    ['time', { timeMs: 2 }, { timeMs: 1, count: 9, call: 'c', place: 9 }],
    ['count', { count: 1 }, { call: 'c', place: 9 }],
    ['the name of the call', { call: 'b' }, { call: 'a', place: 9 }],
    ['place', { place: 10 }, { place: 9 }],
  ])('%s', (_what, winner, loser) => {
    for (const isFirst of [true, false]) {
      const register = Cell.empty('register');
      const changes = [
        [set('"winner"'), stampOf(winner)],
        [set('"loser"'), stampOf(loser)],
      ] as const;
      for (const [change, stamp] of isFirst ? changes : [...changes].reverse()) {
        expect(register.apply(change, stamp, null)).toBe(true);
      }
      expect(shown(register)).toBe('winner');
    }
  });
});

describe('tags of the own delta', () => {
  const changes = (observed: readonly ChangeTag[]): readonly CellChange[] => [
    { cell: 'set', type: 'add', item: '1', observed: [] },
    { cell: 'set', type: 'add', item: '2', observed: [] },
    { cell: 'set', type: 'remove', item: '1', observed },
  ];

  test.each([
    ['while the call is under way', ''],
    ['when it is made', 'c'.repeat(32)],
    ['under the name of an older version', `${A}:7`],
  ])('are found %s', (_when, call) => {
    const cell = Cell.empty('set');
    changes(['~0']).forEach((change, at) => {
      cell.apply(change, stampOf({ call, place: at }), null);
    });
    expect(shown(cell)).toEqual([2]);
    expect(cell.tagsOf('2')).toEqual([call === '' ? '~1' : `${call}:1`]);
    expect(Cell.decode(cell.encode())?.tagsOf('2')).toEqual(cell.tagsOf('2'));
  });

  test('are none of another delta', () => {
    const cell = Cell.empty('set');
    const [add, , remove] = changes(['~0']) as [CellChange, CellChange, CellChange];
    cell.apply(add, stampOf({ call: 'a' }), null);
    cell.apply(remove, stampOf({ call: 'b', place: 2 }), null);
    expect(shown(cell)).toEqual([1]);
  });
});

describe('escrow', () => {
  const action = fc.record({
    type: fc.constantFrom('add', 'take', 'give', 'merge', 'learn'),
    at: place,
    to: place,
    by: fc.integer({ min: 1, max: 30 }),
  });

  test('is never below 0, and what was taken with rights is never refused', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const log: { change: CellChange; origin: string }[] = [];
        const sites = ORIGINS.map((origin) => ({ origin, pending: [] as CellChange[], merged: 0 }));
        const merged = [Cell.empty('escrow')];
        let total = 0;
        for (const { type, at, to, by } of actions) {
          const site = sites[at] as (typeof sites)[number];
          const stamp = stampOf({ origin: site.origin });
          if (type === 'learn') site.merged = merged.length - 1;
          if (type === 'merge') {
            for (const change of site.pending) {
              const next = (merged.at(-1) as Cell).clone();
              expect(next.apply(change, stamp, { origins: ORIGINS })).toBe(true);
              if (change.type === 'add' && 'by' in change) total += change.by;
              if (change.type === 'take') total -= change.by;
              expect(total).toBeGreaterThanOrEqual(0);
              expect(shown(next)).toBe(total);
              log.push({ change, origin: site.origin });
              merged.push(next);
            }
            site.pending = [];
            site.merged = merged.length - 1;
          }
          if (type === 'learn' || type === 'merge') continue;
          const cell = (merged[site.merged] as Cell).clone();
          for (const change of site.pending) expect(cell.apply(change, stamp, null)).toBe(true);
          const change = {
            ...{ cell: 'escrow' as const, type, by },
            ...(type === 'give' ? { to: ORIGINS[to] } : {}),
          } as CellChange;
          const rights = cell.rightsOf(site.origin);
          const before = cell.encode();
          const isAccepted = cell.apply(change, stamp, null);
          expect(isAccepted).toBe(type === 'add' || by <= rights);
          if (isAccepted) site.pending.push(change);
          else expect(cell.encode()).toEqual(before);
          expect(shown(cell)).toBeGreaterThanOrEqual(0);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('new rights are split evenly, the rest to the first ones', () => {
    const cell = Cell.empty('escrow');
    cell.apply({ cell: 'escrow', type: 'add', by: 8 }, stampOf(), { origins: ORIGINS });
    expect(ORIGINS.map((origin) => cell.rightsOf(origin))).toEqual([3, 3, 2]);
    cell.apply({ cell: 'escrow', type: 'add', by: 1 }, stampOf({ origin: C }), { origins: [] });
    expect(ORIGINS.map((origin) => cell.rightsOf(origin))).toEqual([3, 3, 3]);
    expect(shown(cell)).toBe(9);
  });

  test('what is pending gives no rights, but is seen', () => {
    const cell = Cell.empty('escrow');
    const take = { cell: 'escrow', type: 'take', by: 1 } as const;
    expect(cell.apply({ cell: 'escrow', type: 'add', by: 5 }, stampOf(), null)).toBe(true);
    expect([shown(cell), cell.rightsOf(A)]).toEqual([5, 0]);
    expect(cell.apply(take, stampOf(), null)).toBe(false);
    expect(Cell.decode(cell.encode())?.rightsOf(A)).toBe(0);
    expect(shown(Cell.decode(cell.encode()) as Cell)).toBe(5);
  });

  test('what is given is there for the other one when it is merged', () => {
    const merged = Cell.empty('escrow');
    merged.apply({ cell: 'escrow', type: 'add', by: 4 }, stampOf(), { origins: [A] });
    const give = { cell: 'escrow', type: 'give', by: 3, to: B } as const;
    const pending = merged.clone();
    expect(pending.apply(give, stampOf(), null)).toBe(true);
    expect([pending.rightsOf(A), pending.rightsOf(B), shown(pending)]).toEqual([1, 0, 4]);
    expect(merged.apply(give, stampOf(), { origins: [A] })).toBe(true);
    expect([merged.rightsOf(A), merged.rightsOf(B), shown(merged)]).toEqual([1, 3, 4]);
    expect(merged.apply({ ...give, by: 2 }, stampOf(), { origins: [A] })).toBe(false);
  });
});
