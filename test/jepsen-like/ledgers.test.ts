import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bankChecker } from '../../jepsen-like/checkers/bank.js';
import { counterChecker } from '../../jepsen-like/checkers/counters.js';
import { exactlyOnceChecker } from '../../jepsen-like/checkers/exactly-once.js';
import { SubsetSearch } from '../../jepsen-like/checkers/ledger/subset-search.js';
import type { HistoryOperation } from '../../jepsen-like/history/operation.js';
import { seededRandom } from '../../src/base/random.js';
import { event, found, INFO, judge, lines, op, type Planned } from './histories.js';
import { runModel } from './reference-store.js';

describe('a counter, by time alone', () => {
  const anomalies = (...planned: Planned[]): Promise<string[]> =>
    found(counterChecker(), lines(...planned));
  const read = (begin: number, answer: number, end = begin + 1): Planned =>
    op(begin, end, 'read', null, answer);
  const unknown = (by: number, begin = 0): Planned => op(begin, begin + 1, 'add', by, by, INFO);

  test('counts what was seen of unknown outcome from then on', async () => {
    const gone = ['a change seen, then gone'];
    expect(await anomalies(unknown(5), read(2, 5), read(4, 0))).toEqual(gone);
    expect(await anomalies(unknown(5), read(2, 0), read(4, 5))).toEqual([]);
    const two = [unknown(5), op(1, 2, 'add', 5)];
    expect(await anomalies(...two, read(4, 10), read(6, 5))).toEqual(gone);
    expect(await anomalies(...two, read(4, 5), read(6, 10))).toEqual([]);
    // One that is under way counts like one of unknown outcome.
    const late = [op(0, 9, 'add', 5), read(20, 5)];
    expect(await anomalies(...late, read(2, 5), read(4, 0))).toEqual(gone);
    expect(await anomalies(...late, read(2, 5), read(1, 0, 4))).toEqual([]);
    // What is certain between two reads is there in the second.
    const between = [unknown(1), read(2, 1), op(4, 5, 'add', 1)];
    expect(await anomalies(...between, read(6, 1))).toEqual(gone);
    expect(await anomalies(...between, read(6, 2))).toEqual([]);
  });

  test('is what some of the unknown ones come to', async () => {
    expect(await anomalies(unknown(5), read(2, 3))).toEqual(['a sum that nothing gives']);
    expect(await anomalies(unknown(5), unknown(-2), read(2, 3))).toEqual([]);
    expect(await anomalies(unknown(5), unknown(4), read(2, 1))).toEqual([
      'a sum that nothing gives',
    ]);
  });
});

describe('a bank, by time alone', () => {
  const open = op(0, 1, 'open', { a: 100, b: 100 });
  const transfer = (from: string, to: string, amount: number, more: Partial<Planned> = {}) =>
    op(2, 3, 'transfer', { from, to, amount }, undefined, more);
  const read = (begin: number, a: number, b: number): Planned =>
    op(begin, begin + 1, 'read', null, { a, b });
  const anomalies = (...planned: Planned[]): Promise<string[]> =>
    found(bankChecker(), lines(open, ...planned));

  test('has what was seen of unknown outcome from then on', async () => {
    const unknown = transfer('a', 'b', 10, INFO);
    expect(await anomalies(unknown, read(4, 90, 110), read(6, 100, 100))).toEqual([
      'a change seen, then gone',
    ]);
    expect(await anomalies(unknown, read(4, 100, 100), read(6, 90, 110))).toEqual([]);
  });

  test('does not take one that is lost for one of unknown outcome the other way', async () => {
    const both = [transfer('b', 'a', 20, INFO), transfer('a', 'b', 10)];
    expect(await anomalies(...both, read(6, 100, 100))).toEqual(['a sum that nothing gives']);
    expect(await anomalies(...both, read(6, 90, 110), read(8, 110, 90))).toEqual([]);
  });

  test('does not know what became of the last transfer without a read behind it', async () => {
    const early = op(1.2, 1.5, 'read', null, { a: 100, b: 100 });
    expect(await judge(bankChecker(), lines(open, early, transfer('a', 'b', 1)))).toMatchObject({
      valid: 'unknown',
    });
  });
});

describe('by the watch', () => {
  const add = (begin: number, by: number, revision?: number): Planned =>
    op(begin, begin + 1, 'add', by, by, {
      key: 'c',
      ...(revision === undefined ? INFO : { more: { revision } }),
    });
  const read = (begin: number, answer: number, revision: number): Planned =>
    op(begin, begin + 1, 'read', null, answer, { key: 'c', more: { revision } });
  const told = (...values: (number | null)[]): HistoryOperation[] =>
    values.map((value, i) => event(i + 1, 'c', value));
  const anomalies = (watch: HistoryOperation[], ...planned: Planned[]): Promise<string[]> =>
    found(counterChecker(), lines(...planned), watch);

  test('outcomes that are not known are settled', async () => {
    const history = [add(0, 2, 1), add(2, 3), add(4, 1, 3)];
    expect(await anomalies(told(2, 5, 6), ...history, read(6, 6, 3))).toEqual([]);
    // Each counts once, and not before it was asked for.
    expect(await anomalies(told(2, 5, 6, 9), ...history, read(6, 9, 4))).toContain(
      'a change of nobody',
    );
    expect(await anomalies(told(3, 5), add(0, 2, 2), add(0, 3), read(4, 5, 2))).toEqual([]);
    const early = [add(0, 2, 2), add(4, 3), read(6, 5, 2)];
    expect(await anomalies(told(3, 5), ...early)).toEqual(['a change of nobody']);
  });

  test('what was answered is where it was said to be, and is as much', async () => {
    expect(await anomalies(told(2, 5), add(0, 2, 1), add(2, 4, 2), read(4, 5, 2))).toContain(
      'another change',
    );
    const lost = [
      add(0, 2, 1),
      add(2, 3),
      op(3, 4, 'add', 3, 3, { key: 'c', more: { revision: 3 } }),
    ];
    const watch = [...told(2, 5), event(4, 'other', 1)];
    expect(await anomalies(watch, ...lost, read(6, 5, 4))).toEqual(['a lost change']);
    expect(await anomalies(told(2), add(0, 2, 1), add(2, 2, 1), read(4, 2, 1))).toContain(
      'one change for two',
    );
  });

  test('a read is of its revision, and no older than what had been told', async () => {
    const two = [add(0, 2, 1), add(2, 3)];
    expect(await anomalies(told(2, 5), ...two, read(4, 5, 1), read(6, 2, 2))).toContain(
      'a read of what was not there',
    );
    expect(await anomalies(told(2, 5), ...two, read(4, 5, 2), read(6, 2, 1))).toEqual([
      'stale read',
    ]);
    expect(await anomalies(told(2, 5), add(0, 3, 2), add(2, 2, 1), read(4, 5, 2))).toContain(
      'a change in the past',
    );
  });

  test('a transfer is there as a whole', async () => {
    const history = lines(
      op(0, 1, 'open', { a: 5, b: 5 }, undefined, { more: { revision: 1 } }),
      op(2, 3, 'transfer', { from: 'a', to: 'b', amount: 2 }, undefined, { more: { revision: 2 } }),
      op(4, 5, 'read', null, { a: 3, b: 7 }, { more: { revision: 3 } }),
    );
    const opened = [event(1, 'bank/a', 5), event(1, 'bank/b', 5), event(2, 'bank/a', 3)];
    expect(await found(bankChecker(), history, [...opened, event(2, 'bank/b', 7)])).toEqual([]);
    expect(await found(bankChecker(), history, [...opened, event(3, 'bank/b', 7)])).toEqual([
      'another change',
      'a change of nobody',
    ]);
  });

  test('accepts what an atomic counter does, and finds a change that it did twice', async () => {
    const run = fc.record({ seed: fc.nat(), unknownShare: fc.constantFrom(0, 0.1, 0.4) });
    await fc.assert(
      fc.asyncProperty(run, async (options) => {
        let sum = 0;
        const { history, watch, store } = runModel({
          ...options,
          clients: 5,
          operations: 100,
          request: (random) => ({
            key: 'c',
            ...(random.int(3) === 0 ? { f: 'read' } : { f: 'add', value: random.int(9) - 3 }),
          }),
          effect: ({ f, value }, atomic) => {
            if (f === 'read') return { value: sum, revision: atomic.revision };
            sum += value as number;
            return { revision: atomic.write([['c', sum]]) };
          },
        });
        expect((await judge(counterChecker(), history, watch)).valid).not.toBe(false);
        expect((await judge(counterChecker(), history)).valid).not.toBe(false);
        const again = [...watch, event(store.revision + 1, 'c', sum + 100)];
        expect(await found(counterChecker(), history, again)).toContain('a change of nobody');
      }),
      { numRuns: 60 },
    );
  });
});

describe('the total of calls that count once', () => {
  const anomalies = (...planned: Planned[]): Promise<string[]> =>
    found(exactlyOnceChecker(), lines(...planned));
  const call = (key: string, begin: number, by: number, answer?: number): Planned =>
    op(begin, begin + 1, 'call', by, answer, { key, ...(answer === undefined ? INFO : {}) });
  const read = (begin: number, answer: number): Planned =>
    op(begin, begin + 1, 'read', null, answer);
  const applied = (begin: number, ...answer: string[]): Planned =>
    op(begin, begin + 1, 'applied', null, answer);

  test('does not go back', async () => {
    const unknown = call('u', 0, 100);
    const back = [unknown, call('x', 2, 1, 101), call('y', 4, 1, 2), read(6, 102)];
    expect(await anomalies(...back)).toContain('the total went back');
    expect(await anomalies(unknown, read(2, 100), read(4, 0))).toContain('the total went back');
    const atOnce = [unknown, call('x', 2, 1, 101), call('y', 2, 1, 1), read(6, 102)];
    expect(await anomalies(...atOnce)).toEqual(['totals that no order gives']);
    const inOrder = [unknown, call('x', 2, 1, 102), call('y', 2, 1, 1), read(6, 102)];
    expect(await anomalies(...inOrder)).toEqual([]);
  });

  test('rises by what calls have added', async () => {
    expect(await anomalies(call('u', 0, 5), call('x', 2, 1, 4), read(4, 4))).toEqual([
      'totals that no order gives',
    ]);
    expect(await anomalies(call('u', 0, 5), call('x', 2, 1, 6), read(4, 6))).toEqual([]);
    const half = [call('u', 0, 5), call('x', 0, 4, 6), op(0, 9, 'read', null, 5), read(10, 6)];
    expect(await anomalies(...half)).toEqual(['totals that no order gives']);
  });

  test('is what the list of those that were applied comes to', async () => {
    const name = ['the list contradicts the total'];
    const both = [call('u', 0, 7), read(2, 0), call('x', 4, 1, 1)];
    expect(await anomalies(...both, read(6, 8), applied(8, 'x'))).toEqual(name);
    expect(await anomalies(...both, read(6, 8), applied(8, 'x', 'u'))).toEqual([]);
    expect(await anomalies(...both, applied(6, 'x', 'u'), read(8, 1))).toEqual(name);
    // It came between the two.
    expect(await anomalies(...both, read(6, 1), applied(8, 'x', 'u'))).toEqual([]);
  });

  test('by the watch, each call is there once, with its entry', async () => {
    const more = { revision: 2 };
    const history = lines(call('u', 0, 7), op(2, 3, 'call', 1, 8, { key: 'x', more }), read(4, 8));
    const told = (revision: number, total: number, key: string): HistoryOperation[] => [
      event(revision, 'once-total', total),
      event(revision, `once/${key}`, 1),
    ];
    const checker = exactlyOnceChecker();
    expect(await found(checker, history, [...told(1, 7, 'u'), ...told(2, 8, 'x')])).toEqual([]);
    const without = [event(1, 'once-total', 7), ...told(2, 8, 'x')];
    expect(await found(checker, history, without)).toEqual(['a change of nobody']);
    const twice = [...told(1, 7, 'u'), ...told(2, 8, 'x'), event(3, 'once/u', 2)];
    expect(await found(checker, history, twice)).toEqual(['a change of nobody']);
  });
});

describe('the search for a sum', () => {
  test('finds what trying out all finds', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const random = seededRandom(seed);
        const draw = () => [random.int(7) - 3, random.int(7) - 3];
        const items = Array.from({ length: random.int(8) }, draw);
        const target = draw();
        let isThere = false;
        for (let some = 0; some < 2 ** items.length; some += 1) {
          const sum = [0, 1].map((i) =>
            items.reduce((all, item, at) => all + ((some >> at) & 1) * (item[i] as number), 0),
          );
          isThere ||= sum.every((number, i) => number === target[i]);
        }
        expect(new SubsetSearch().canBeMade(target, items)).toBe(isThere);
      }),
      { numRuns: 500 },
    );
  });

  test('gives up when there are too many', () => {
    const random = seededRandom(1);
    const items = Array.from({ length: 40 }, () => [2 * random.int(1_000_000)]);
    const half = items.reduce((sum, [number = 0]) => sum + number, 0) / 2;
    expect(new SubsetSearch().canBeMade([2 * Math.floor(half / 2) + 1], items)).toBe(null);
  });
});
