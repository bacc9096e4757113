import fc from 'fast-check';
import { expect, test } from 'vitest';
import { countWhile } from '../../src/base/binary-search.js';

test('as many as a walk from the beginning finds', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 20 })),
      fc.integer({ max: 21 }),
      (list, bound) => {
        const sorted = list.sort((a, b) => a - b);
        const isBefore = (item: number) => item < bound;
        const found = countWhile(sorted, isBefore);
        expect(found).toBe(sorted.filter(isBefore).length);
        expect(countWhile(Uint32Array.from(sorted), isBefore)).toBe(found);
      },
    ),
  );
});

test('of a long list few are looked at', () => {
  let looked = 0;
  const list = Array.from({ length: 1_000_000 }, (_, i) => i);
  const found = countWhile(list, (item) => {
    looked += 1;
    return item < 123_456;
  });
  expect(found).toBe(123_456);
  expect(looked).toBeLessThanOrEqual(20);
});
