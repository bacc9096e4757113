import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KeyFilter } from '../../src/statemachine/key-filter.js';

const key = (n: number): string => `key ${n}`;

/** How many of these it does not tell from keys that are there. */
function taken(filter: KeyFilter, from: number, count: number): number {
  let found = 0;
  for (let n = from; n < from + count; n += 1) if (filter.mayHave(key(n))) found += 1;
  return found;
}

describe('a filter of keys', () => {
  test('never says no of a key that is there, whatever was added and deleted before', () => {
    // Few keys, each perhaps more than once: as two keys with one hash are.
    const step = fc.record({ isAdded: fc.boolean(), n: fc.nat(40) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const filter = new KeyFilter();
        const there = new Map<number, number>();
        for (const { isAdded, n } of steps) {
          const count = there.get(n) ?? 0;
          if (isAdded) filter.add(key(n));
          else if (count > 0) filter.delete(key(n));
          there.set(n, isAdded ? count + 1 : Math.max(0, count - 1));
        }
        for (const [n, count] of there) expect(filter.mayHave(key(n))).toBe(count > 0);
        expect(filter.size).toBe([...there.values()].reduce((sum, count) => sum + count, 0));
      }),
    );
  });

  test('grows, says no of nearly all others, and is empty when all are deleted in any order', () => {
    const filter = new KeyFilter();
    const count = 200_000;
    for (let n = 0; n < count; n += 1) filter.add(key(n));
    expect(taken(filter, 0, count)).toBe(count);
    // For each of them 200,000 times 1 in 2^32: 9 are to be expected.
    expect(taken(filter, count, 200_000)).toBeLessThan(60);
    for (let n = 1; n < count; n += 2) filter.delete(key(n));
    let kept = 0;
    for (let n = 0; n < count; n += 2) if (filter.mayHave(key(n))) kept += 1;
    expect(kept).toBe(count / 2);
    for (let n = count - 2; n >= 0; n -= 2) filter.delete(key(n));
    expect(filter.size).toBe(0);
    expect(taken(filter, 0, 2 * count)).toBe(0);
  });

  test('keys that are not there are not deleted', () => {
    const filter = new KeyFilter();
    filter.add('a');
    expect(() => filter.delete('b')).toThrow('only keys that are there');
    expect(filter.mayHave('a')).toBe(true);
  });
});
