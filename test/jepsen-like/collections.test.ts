import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bankChecker } from '../../jepsen-like/checkers/bank.js';
import { counterChecker } from '../../jepsen-like/checkers/counters.js';
import { queueChecker } from '../../jepsen-like/checkers/queues.js';
import { setChecker } from '../../jepsen-like/checkers/sets.js';
import { uniqueIdsChecker } from '../../jepsen-like/checkers/unique-ids.js';
import { writeSkewChecker } from '../../jepsen-like/checkers/write-skew.js';
import { FAIL, found, INFO, judge, lines, op, type Planned } from './histories.js';
import { runModel } from './reference-store.js';

const runs = fc.record({
  seed: fc.nat(),
  clients: fc.integer({ min: 1, max: 6 }),
  operations: fc.integer({ min: 1, max: 120 }),
  unknownShare: fc.constantFrom(0, 0.1, 0.4),
});

describe('the checker of sets', () => {
  const checker = setChecker();
  const anomalies = (...planned: Planned[]): Promise<string[]> => found(checker, lines(...planned));

  test('finds an element that was acknowledged, and is not read', async () => {
    expect(await anomalies(op(0, 1, 'add', 1), op(2, 3, 'read', null, []))).toEqual(['lost']);
    const last = op(6, 7, 'read', null, [1]);
    expect(await anomalies(op(0, 5, 'add', 1), op(2, 3, 'read', null, []), last)).toEqual([]);
    expect(await anomalies(op(0, 1, 'add', 1, 1, INFO), op(2, 3, 'read', null, []))).toEqual([]);
  });

  test('finds an element that was seen, and then is not', async () => {
    const seen = op(1, 2, 'read', null, [1]);
    const gone = op(3, 4, 'read', null, []);
    expect(await anomalies(op(0, null, 'add', 1), seen, gone)).toEqual(['seen, then gone']);
    expect(await anomalies(op(0, 9, 'add', 1), seen, gone)).toEqual(['seen, then gone']);
    const atOnce = op(1, 4, 'read', null, []);
    const last = op(10, 11, 'read', null, [1]);
    expect(await anomalies(op(0, 9, 'add', 1), seen, atOnce, last)).toEqual([]);
  });

  test('finds an element of nobody, of one that failed, and one from the future', async () => {
    const read = op(2, 3, 'read', null, [1]);
    expect(await anomalies(read)).toEqual(['of nobody']);
    expect(await anomalies(op(0, 1, 'add', 1, 1, FAIL), read)).toEqual(['of nobody']);
    expect(await anomalies(op(4, 5, 'add', 1), read)).toEqual(['of nobody']);
  });

  test('finds an element that is there twice, or came back', async () => {
    expect(await anomalies(op(0, 1, 'add', 1), op(2, 3, 'read', null, [1, 1]))).toEqual(['twice']);
    const remove = op(2, 3, 'remove', 1);
    expect(await anomalies(op(0, 1, 'add', 1), remove, op(4, 5, 'read', null, [1]))).toEqual([
      'came back',
    ]);
    expect(await anomalies(op(0, 1, 'add', 1), remove, op(4, 5, 'read', null, []))).toEqual([]);
    const unsure = op(2, 3, 'remove', 1, 1, INFO);
    for (const there of [[], [1]]) {
      expect(await anomalies(op(0, 1, 'add', 1), unsure, op(4, 5, 'read', null, there))).toEqual(
        [],
      );
    }
  });

  test('does not know without a read', async () => {
    expect((await judge(checker, lines(op(0, 1, 'add', 1)))).valid).toBe('unknown');
  });

  test('accepts what an atomic set does', async () => {
    await fc.assert(
      fc.asyncProperty(runs, async (run) => {
        let next = 0;
        const elements = new Set<number>();
        const { history } = runModel({
          ...run,
          request: (random) => {
            const kind = random.int(4);
            if (kind === 0) return { f: 'read' };
            if (kind === 1 && next > 0) return { f: 'remove', value: 1 + random.int(next) };
            return { f: 'add', value: ++next };
          },
          effect: ({ f, value }) => {
            if (f === 'add') elements.add(value as number);
            if (f === 'remove') elements.delete(value as number);
            return f === 'read' ? { value: [...elements] } : {};
          },
        });
        expect((await judge(checker, history)).valid).not.toBe(false);
      }),
      { numRuns: 60 },
    );
  });
});

describe('the checker of queues', () => {
  const checker = queueChecker();
  const anomalies = (...planned: Planned[]): Promise<string[]> => found(checker, lines(...planned));
  const drain = (answer: unknown[], begin = 100): Planned =>
    op(begin, begin + 1, 'drain', null, answer);
  const put = (value: unknown, begin: number): Planned => op(begin, begin + 1, 'enqueue', value);
  const take = (value: unknown, begin: number): Planned =>
    op(begin, begin + 1, 'dequeue', null, value);

  test('finds what came out twice, of nobody, too early, or never', async () => {
    expect(await anomalies(put(1, 0), take(1, 2), take(1, 4), drain([]))).toEqual(['twice']);
    expect(await anomalies(put(1, 0), take(1, 2), drain([1]))).toEqual(['twice']);
    expect(await anomalies(put(1, 0), take(2, 2), drain([1]))).toEqual(['of nobody']);
    const failed = { ...put(2, 0), ...FAIL };
    expect(await anomalies(failed, put(1, 0), take(2, 2), drain([1]))).toEqual(['of nobody']);
    expect(await anomalies(take(1, 2), put(1, 4), drain([]))).toEqual(['too early']);
    expect(await anomalies(put(1, 0), drain([]))).toEqual(['lost']);
  });

  test('a dequeue of unknown outcome may have taken one, and one only', async () => {
    const unsure = { ...take(null, 4), ...INFO };
    expect(await anomalies(put(1, 0), unsure, drain([]))).toEqual([]);
    expect(await anomalies(put(1, 0), put(2, 2), unsure, drain([]))).toEqual(['lost']);
  });

  test('finds what came out in another order than it was put in', async () => {
    expect(await anomalies(put(1, 0), put(2, 2), take(2, 4), take(1, 6), drain([]))).toEqual([
      'order',
    ]);
    const atOnce = [op(0, 3, 'enqueue', 1), op(0, 3, 'enqueue', 2)];
    expect(await anomalies(...atOnce, take(2, 4), take(1, 6), drain([]))).toEqual([]);
  });

  test('finds what comes out of a drain in another order than it was put in', async () => {
    expect(await anomalies(put(1, 0), put(2, 2), drain([2, 1]))).toEqual(['order']);
    expect(await anomalies(put(1, 0), put(2, 2), drain([1, 2]))).toEqual([]);
    expect(await anomalies(put(1, 0), put(2, 2), take(2, 4), drain([1]))).toEqual(['order']);
    const atOnce = [op(0, 3, 'enqueue', 1), op(0, 3, 'enqueue', 2)];
    expect(await anomalies(...atOnce, drain([2, 1]))).toEqual([]);
    expect(await anomalies(...atOnce, take(2, 4), drain([1]))).toEqual([]);
    const unsure = { ...put(1, 0), ...INFO };
    expect(await anomalies(unsure, put(2, 2), take(2, 4), drain([1]))).toEqual([]);
  });

  test('a dequeue of unknown outcome has taken nothing that was overtaken before it began', async () => {
    const unsure = (begin: number): Planned => ({ ...take(null, begin), ...INFO });
    const before = [put(1, 0), put(2, 2), take(2, 4)];
    expect(await anomalies(...before, unsure(6), drain([]))).toEqual(['lost']);
    expect(await anomalies(...before, unsure(3), drain([]))).toEqual([]);
    expect(await anomalies(...before, unsure(4.5), drain([]))).toEqual([]);
    const more = [put(3, 7), unsure(8)];
    expect(await anomalies(...before, ...more, unsure(3), drain([]))).toEqual([]);
    expect(await anomalies(...before, ...more, unsure(6), drain([]))).toEqual(['lost']);
  });

  test('finds a queue that is empty when something must be in it', async () => {
    expect(await anomalies(put(1, 0), take(null, 2), take(1, 4), drain([]))).toEqual(['empty']);
    const atOnce = op(1, 5, 'dequeue', null, 1);
    expect(await anomalies(put(1, 0), take(null, 2), atOnce, drain([]))).toEqual([]);
  });

  test('does not know when it was not drained', async () => {
    expect((await judge(checker, lines(put(1, 0)))).valid).toBe('unknown');
    expect((await judge(checker, lines(drain([], 0), put(1, 5)))).valid).toBe('unknown');
  });

  test('accepts what an atomic queue does', async () => {
    await fc.assert(
      fc.asyncProperty(runs, async (run) => {
        let next = 0;
        const queue: number[] = [];
        const { history } = runModel({
          ...run,
          request: (random) =>
            random.int(2) === 0 ? { f: 'enqueue', value: ++next } : { f: 'dequeue' },
          effect: ({ f, value }) => {
            if (f === 'dequeue') return { value: queue.shift() ?? null };
            queue.push(value as number);
            return {};
          },
        });
        const time = (history.at(-1)?.time ?? 0) + 1e6;
        const drained = lines(op(time, time + 1, 'drain', null, queue, { process: 100_000 }));
        expect((await judge(checker, [...history, ...drained])).valid).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});

describe('the checker of counters', () => {
  const checker = counterChecker();
  const anomalies = (...planned: Planned[]): Promise<string[]> => found(checker, lines(...planned));
  const read = (answer: number): Planned => op(10, 11, 'read', null, answer);

  test('finds additions that are lost, and such that count twice', async () => {
    expect(await anomalies(op(0, 1, 'add', 5), read(4))).toEqual(['lost additions']);
    expect(await anomalies(op(0, 1, 'add', 5), read(10))).toEqual(['counted too much']);
    expect(await anomalies(op(0, 1, 'add', 5), read(5))).toEqual([]);
  });

  test('what is under way or of unknown outcome may count or not', async () => {
    for (const value of [5, 7]) {
      expect(await anomalies(op(0, 1, 'add', 5), op(2, 3, 'add', 2, 2, INFO), read(value))).toEqual(
        [],
      );
      const last = op(60, 61, 'read', null, 7);
      const long = op(2, 50, 'add', 2);
      expect(await anomalies(op(0, 1, 'add', 5), long, read(value), last)).toEqual([]);
    }
    expect(await anomalies(op(0, 1, 'add', 5), op(2, 3, 'add', 2, 2, FAIL), read(7))).toEqual([
      'counted too much',
    ]);
    expect(await anomalies(op(0, 1, 'add', 5), op(20, 30, 'add', 2), read(7))).toEqual([
      'counted too much',
    ]);
  });

  test('subtractions bound it the other way', async () => {
    expect(await anomalies(op(0, 1, 'add', 5), op(2, 3, 'add', -2), read(5))).toEqual([
      'counted too much',
    ]);
    expect(await anomalies(op(0, 1, 'add', 5), op(2, null, 'add', -2), read(3))).toEqual([]);
    expect(await anomalies(op(0, 1, 'add', 5), op(2, null, 'add', -2), read(2))).toEqual([
      'lost additions',
    ]);
  });

  test('accepts what an atomic counter does', async () => {
    await fc.assert(
      fc.asyncProperty(runs, async (run) => {
        let sum = 0;
        const { history } = runModel({
          ...run,
          request: (random) =>
            random.int(3) === 0 ? { f: 'read' } : { f: 'add', value: random.int(9) - 3 },
          effect: ({ f, value }) => {
            if (f === 'add') sum += value as number;
            return f === 'read' ? { value: sum } : {};
          },
        });
        expect((await judge(checker, history)).valid).not.toBe(false);
      }),
      { numRuns: 60 },
    );
  });
});

describe('the checker of banks', () => {
  const checker = bankChecker();
  const open = op(0, 1, 'open', { a: 10, b: 0 });
  const transfer = (amount: number, more: Partial<Planned> = {}): Planned =>
    op(2, 3, 'transfer', { from: 'a', to: 'b', amount }, undefined, more);
  const read = (answer: unknown): Planned => op(10, 11, 'read', null, answer);
  const anomalies = (...planned: Planned[]): Promise<string[]> =>
    found(checker, lines(open, ...planned));

  test('finds money that was made or lost, and accounts below 0', async () => {
    const made = await anomalies(transfer(4), read({ a: 10, b: 4 }));
    expect(made).toContain('money was made or lost');
    const half = await anomalies(transfer(4), read({ a: 6, b: 0 }));
    expect(half).toContain('money was made or lost');
    expect(await anomalies(transfer(14), read({ a: -4, b: 14 }))).toContain('below 0');
  });

  test('finds a transfer that is lost as a whole, or counts twice', async () => {
    const name = 'a transfer is lost, or counts twice';
    expect(await anomalies(transfer(4), read({ a: 10, b: 0 }))).toEqual([name]);
    expect(await anomalies(transfer(4), read({ a: 2, b: 8 }))).toEqual([name]);
    expect(await anomalies(transfer(4, FAIL), read({ a: 6, b: 4 }))).toEqual([name]);
    for (const balances of [
      { a: 10, b: 0 },
      { a: 6, b: 4 },
    ]) {
      expect(await anomalies(transfer(4, INFO), read(balances))).toEqual([]);
    }
  });

  test('finds other accounts than there were', async () => {
    expect(await anomalies(read({ a: 10 }))).toEqual(['other accounts']);
  });

  test('does not know without first balances, or without a read', async () => {
    expect((await judge(checker, lines(read({ a: 1 })))).valid).toBe('unknown');
    expect((await judge(checker, lines(open, transfer(1)))).valid).toBe('unknown');
  });

  test('accepts what an atomic bank does', async () => {
    await fc.assert(
      fc.asyncProperty(runs, async (run) => {
        const first = { a: 20, b: 20, c: 20 };
        const accounts: Record<string, number> = { ...first };
        const names = Object.keys(first);
        const { history } = runModel({
          ...run,
          request: (random) => {
            const name = (): string => names[random.int(3)] as string;
            const value = { from: name(), to: name(), amount: 1 + random.int(9) };
            return random.int(3) === 0 ? { f: 'read' } : { f: 'transfer', value };
          },
          effect: ({ f, value }) => {
            if (f === 'read') return { value: { ...accounts } };
            const { from, to, amount } = value as { from: string; to: string; amount: number };
            if ((accounts[from] ?? 0) < amount) return { type: 'fail' };
            accounts[from] = (accounts[from] ?? 0) - amount;
            accounts[to] = (accounts[to] ?? 0) + amount;
            return {};
          },
        });
        const opened = lines(op(0, 0, 'open', first, undefined, { process: 100_000 }));
        expect((await judge(checker, [...opened, ...history])).valid).not.toBe(false);
      }),
      { numRuns: 60 },
    );
  });
});

describe('the checker of write skew', () => {
  const insert = (who: string, more: Partial<Planned> = {}): Planned =>
    op(0, 10, 'insert', who, undefined, { key: 'p', ...more });
  const read = (answer: unknown): Planned => op(20, 21, 'read', null, answer, { key: 'p' });
  const anomalies = (...planned: Planned[]): Promise<string[]> =>
    found(writeSkewChecker(), lines(...planned));

  test('finds two that were both told to be alone, or are both there', async () => {
    expect(await anomalies(insert('a'), insert('b'))).toEqual(['write skew']);
    expect(await anomalies(insert('a'), insert('b', INFO), read(['a', 'b']))).toEqual([
      'write skew',
    ]);
    expect(await anomalies(insert('a'), insert('b', FAIL), read(['a']))).toEqual([]);
    expect(await anomalies(insert('a', FAIL), insert('b', INFO), read([]))).toEqual([]);
  });

  test('finds one that is lost, or is there though it failed', async () => {
    expect(await anomalies(insert('a'), insert('b', FAIL), read([]))).toEqual(['lost']);
    expect(await anomalies(insert('a', INFO), insert('b', FAIL), read(['b']))).toEqual([
      'of nobody',
    ]);
  });

  test('does not know when no two tried for the same', async () => {
    expect((await judge(writeSkewChecker(), lines(insert('a')))).valid).toBe('unknown');
  });
});

describe('the checker of unique ids', () => {
  const generate = (answer: unknown, more: Partial<Planned> = {}): Planned =>
    op(0, 1, 'generate', null, answer, more);
  const anomalies = (...planned: Planned[]): Promise<string[]> =>
    found(uniqueIdsChecker(), lines(...planned));

  test('finds an id that was given out twice', async () => {
    expect(await anomalies(generate(1), generate(2), generate(1))).toEqual(['twice']);
    expect(await anomalies(generate(1), generate(1, { key: 'other' }))).toEqual([]);
    expect((await judge(uniqueIdsChecker(), lines(generate(1, FAIL)))).valid).toBe('unknown');
  });
});
