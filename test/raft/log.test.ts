import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RaftLog } from '../../src/raft/log.js';
import type { Entry } from '../../src/raft/types.js';
import { entriesOf, entry, runsOf } from './node-fixture.js';

function logOf(terms: readonly number[], cached = terms.length, cacheBytesMax = 1 << 20): RaftLog {
  const tail = entriesOf(terms).slice(terms.length - cached);
  return new RaftLog(
    {
      logStart: { index: 0, term: 0 },
      terms: runsOf(terms),
      lastIndex: terms.length,
      tail,
    },
    cacheBytesMax,
  );
}

describe('RaftLog', () => {
  test('knows the term of every entry, and of none beyond its ends', () => {
    const log = logOf([1, 1, 3, 3, 7], 0);
    expect([0, 1, 2, 3, 4, 5, 6].map((index) => log.termAt(index))).toEqual([
      0,
      1,
      1,
      3,
      3,
      7,
      null,
    ]);
    expect(log.last).toEqual({ index: 5, term: 7 });
  });

  test('appends without gaps, in terms that do not fall', () => {
    const log = logOf([1, 2]);
    expect(() => log.append(entry(4, 2))).toThrow('entry 4 follows the end of the log at 2');
    expect(() => log.append(entry(3, 1))).toThrow('terms never fall');
  });

  test('finds the last place where another log may agree', () => {
    const log = logOf([1, 1, 3, 3, 3, 6]);
    const places = [
      [{ index: 6, term: 6 }, 6],
      [{ index: 6, term: 5 }, 5],
      [{ index: 9, term: 3 }, 5],
      [{ index: 4, term: 3 }, 4],
      [{ index: 4, term: 2 }, 2],
      [{ index: 6, term: 0 }, 0],
    ] as const;
    for (const [place, index] of places) {
      expect(log.lastPossibleAgreement(place)).toEqual({ index, term: log.termAt(index) });
    }
  });

  test('refuses to start from runs or a tail that do not fit', () => {
    const start = { logStart: { index: 0, term: 0 }, tail: [] };
    const of = (terms: { index: number; term: number }[], lastIndex: number, tail: Entry[] = []) =>
      new RaftLog({ ...start, terms, lastIndex, tail }, 100);
    expect(() => of([], 3)).toThrow('cover the log');
    expect(() => of([{ index: 2, term: 1 }], 3)).toThrow('cover the log');
    expect(() =>
      of(
        [
          { index: 1, term: 2 },
          { index: 2, term: 1 },
        ],
        3,
      ),
    ).toThrow('grow');
    expect(() => of([{ index: 1, term: 1 }], 3, [entry(2, 1)])).toThrow('end of the log');
    expect(() => of([{ index: 1, term: 1 }], 1, [entry(1, 2)])).toThrow('end of the log');
  });

  test('lets entries go only through the place allowed, and only beyond its bound', () => {
    const log = logOf([1, 1, 1, 1, 1], 5, 80);
    log.evict(2);
    expect(log.firstCachedIndex).toBe(3);
    log.evict(5);
    expect(log.cachedBytes).toBeLessThanOrEqual(80);
    expect(log.firstCachedIndex).toBe(4);
    expect(log.slice(3, 1000)).toBeNull();
    expect(log.slice(4, 1000)?.map((e) => e.index)).toEqual([4, 5]);
    expect(log.slice(6, 1000)).toEqual([]);
  });

  test('goes on behind a snapshot', () => {
    const log = logOf([1, 1, 2, 2, 3]);
    log.compactTo({ index: 3, term: 2 });
    expect([2, 3, 4, 5].map((index) => log.termAt(index))).toEqual([null, 2, 2, 3]);
    expect(log.lastPossibleAgreement({ index: 4, term: 1 })).toEqual({ index: 3, term: 2 });
    expect(log.slice(3, 100)).toBeNull();
    log.compactTo({ index: 5, term: 3 });
    expect(log.last).toEqual({ index: 5, term: 3 });
    log.append(entry(6, 4));
    expect(log.termAt(6)).toBe(4);
  });

  test('is the same as a plain array, whatever is done to it', () => {
    type Operation = { kind: 'append' | 'cut' | 'evict' | 'compact'; at: number; term: number };
    const operations = fc.array(
      fc.record<Operation>({
        kind: fc.constantFrom('append', 'append', 'append', 'cut', 'evict', 'compact'),
        at: fc.nat(1000),
        term: fc.nat(2),
      }),
      { maxLength: 120, size: 'max' },
    );
    fc.assert(
      fc.property(operations, (list) => {
        const log = logOf([], 0, 100);
        const plain: Entry[] = [];
        let start = 0;
        let firstCached = 1;
        for (const { kind, at, term } of list) {
          const inside = start + 1 + (at % Math.max(1, plain.length - start));
          if (kind === 'append') {
            const next = entry(plain.length + 1, (plain.at(-1)?.term ?? 1) + (term === 2 ? 1 : 0));
            plain.push(next);
            log.append(next);
          } else if (kind === 'cut') {
            log.truncateFrom(inside);
            plain.length = Math.min(plain.length, inside - 1);
          } else if (kind === 'evict') {
            log.evict(inside);
          } else if (inside <= plain.length) {
            log.compactTo({ index: inside, term: plain[inside - 1]?.term ?? 0 });
            start = inside;
          }
          firstCached = log.firstCachedIndex;
          expect(log.lastIndex).toBe(plain.length);
          for (let i = start + 1; i <= plain.length; i += 1) {
            expect(log.termAt(i)).toBe(plain[i - 1]?.term);
          }
          expect(log.slice(firstCached, 1e9)).toEqual(plain.slice(firstCached - 1));
          expect(log.cachedBytes).toBe(
            plain.slice(firstCached - 1).reduce((sum, e) => sum + e.payload.byteLength + 32, 0),
          );
        }
      }),
      { seed: 3, numRuns: 300 },
    );
  });
});
