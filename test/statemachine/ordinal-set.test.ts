import fc from 'fast-check';
import { expect, test } from 'vitest';
import { levelsOf } from '../../src/statemachine/jobs/job-shape.js';
import { OrdinalSet } from '../../src/statemachine/jobs/ordinal-set.js';

test('a set of ordinals says what a plain set says, and comes back from its bounds', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(40), { maxLength: 60 }), (added) => {
      let set = new OrdinalSet();
      const plain = new Set<number>();
      for (const n of added) {
        set.add(n);
        plain.add(n);
        set = new OrdinalSet(set.bounds);
      }
      expect(set.size).toBe(plain.size);
      for (let n = 0; n <= 42; n += 1) {
        expect(set.has(n)).toBe(plain.has(n));
        let absent = n;
        while (plain.has(absent)) absent += 1;
        expect(set.firstAbsent(n)).toBe(absent);
        for (let to = n; to <= 42; to += 7) {
          const all = Array.from({ length: to - n }, (_, i) => plain.has(n + i));
          expect(set.hasAll(n, to)).toBe(all.every(Boolean));
        }
      }
      // It takes as much room as there are gaps.
      const gaps = [...plain].filter((n) => !plain.has(n + 1)).length;
      expect(set.bounds.length).toBe(2 * gaps);
    }),
  );
});

test('a tree has one task at its top, and each level is as small as its fan-in lets it be', () => {
  expect([levelsOf(0, 2), levelsOf(1, 2), levelsOf(2, 2)]).toEqual([[1], [1], [1]]);
  expect(levelsOf(5, 2)).toEqual([3, 2, 1]);
  expect(levelsOf(1_000_000, 100)).toEqual([10_000, 100, 1]);
});
