import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IntervalTree } from '../../../src/server/interval-tree.js';
import { WatchIndex } from '../../../src/server/watch-index.js';

interface Range {
  readonly from: string;
  readonly to: string | null;
}

const key = fc.string({ unit: fc.constantFrom('\0', 'a', 'b', '\xff'), maxLength: 3 });
const range: fc.Arbitrary<Range> = fc.oneof(
  fc.record({ from: key, to: fc.option(key) }),
  key.map((from) => ({ from, to: `${from}\0` })),
);

function holds({ from, to }: Range, point: string): boolean {
  return point >= from && (to === null || point < to);
}

describe('the index of watchers', () => {
  test('finds those whose range holds a key, and no others, also after some have left', () => {
    fc.assert(
      fc.property(
        fc.array(range, { maxLength: 60 }),
        fc.array(fc.nat(59)),
        fc.array(key),
        (ranges, leaving, points) => {
          const index = new WatchIndex<Range>();
          const left = new Set(ranges);
          for (const each of ranges) index.add(each);
          for (const which of leaving) {
            const gone = ranges[which];
            if (gone !== undefined && left.delete(gone)) index.remove(gone);
          }
          for (const point of points) {
            const found: Range[] = [];
            index.visit(point, (each) => found.push(each));
            expect(new Set(found)).toEqual(new Set([...left].filter((r) => holds(r, point))));
            expect(found.length).toBe(new Set(found).size);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('the tree of intervals', () => {
  test('stays flat, in whatever order intervals come and go', () => {
    const tree = new IntervalTree<Range>();
    const ranges = Array.from({ length: 10_000 }, (_, i) => {
      const from = String(i).padStart(6, '0');
      return { from, to: `${from}~` };
    });
    for (const each of ranges) tree.add(each);
    expect(tree.height).toBeLessThanOrEqual(18);
    for (const each of ranges.slice(0, 9000)) tree.remove(each);
    expect(tree.height).toBeLessThanOrEqual(14);
    for (const each of ranges) tree.remove(each);
    expect(tree.isEmpty).toBe(true);
  });
});
