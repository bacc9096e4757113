import { describe, expect, test } from 'vitest';
import { setChecker } from '../../jepsen-like/checkers/sets.js';
import { triggerChecker } from '../../jepsen-like/checkers/triggers.js';
import { writeSkewChecker } from '../../jepsen-like/checkers/write-skew.js';
import type { HistoryOperation } from '../../jepsen-like/history/operation.js';
import { event, FAIL, found, INFO, lines, op, type Planned } from './histories.js';

test('an element of a set that was seen removed does not come back', async () => {
  const anomalies = (...planned: Planned[]): Promise<string[]> =>
    found(setChecker(), lines(op(0, 1, 'add', 1), ...planned));
  const remove = op(2, 3, 'remove', 1, 1, INFO);
  const read = (begin: number, end: number, ...there: number[]): Planned =>
    op(begin, end, 'read', null, there);
  expect(await anomalies(remove, read(4, 5), read(6, 7, 1))).toEqual(['came back']);
  expect(await anomalies(remove, read(4, 5, 1), read(6, 7))).toEqual([]);
  expect(await anomalies(remove, read(4, 7), read(5, 8, 1))).toEqual([]);
});

describe('of a pair', () => {
  const insert = (who: string, more: Partial<Planned> = {}, begin = 0): Planned =>
    op(begin, begin + 1, 'insert', who, undefined, { key: 'p', ...more });
  const read = (begin: number, ...there: string[]): Planned =>
    op(begin, begin + 1, 'read', null, there, { key: 'p' });
  const anomalies = (...planned: Planned[]): Promise<string[]> =>
    found(writeSkewChecker(), lines(...planned));
  const both = [insert('a', INFO), insert('b', INFO)];

  test('one is seen at all times, and only one that has tried', async () => {
    expect(await anomalies(...both, read(2, 'a'), read(4, 'b'))).toEqual(['write skew']);
    expect(await anomalies(...both, read(2, 'a'), read(4, 'a'))).toEqual([]);
    expect(await anomalies(...both, read(2), read(4, 'a'))).toEqual([]);
    expect(await anomalies(...both, read(2, 'a'), read(4))).toEqual(['lost']);
    expect(await anomalies(...both, read(2, 'c'))).toEqual(['of nobody']);
    const early = [insert('a', FAIL), read(2, 'b'), insert('b', {}, 4)];
    expect(await anomalies(...early)).toEqual(['of nobody']);
  });

  test('one that was seen keeps the other one out', async () => {
    const seen = [insert('a', INFO), read(2, 'a')];
    expect(await anomalies(...seen, insert('b', {}, 4))).toEqual(['write skew']);
    expect(await anomalies(...seen, insert('b', FAIL, 4))).toEqual([]);
  });
});

describe('what has fired', () => {
  const S = 1e9;
  const cause = op(0, 1, 'cause', 'a');
  const fired = (begin: number, ...ids: string[]): Planned =>
    op(begin * S, (begin + 1) * S, 'fired', null, ids);

  test('has fired in every list behind that', async () => {
    const lists = [fired(2, 'a'), fired(4), fired(6, 'a')];
    expect(await found(triggerChecker(), lines(cause, ...lists))).toEqual(['fired, then not']);
  });

  test('does not come before it is due, by lists and by the watch', async () => {
    const due = op(0, 0.1 * S, 'due', { id: 'd', inMs: 3000 });
    const anomalies = (list: Planned, watch?: HistoryOperation[], clockFromS?: number) => {
      const record = { fault: 'clock-jump', nodes: [], phase: 'begin' } as const;
      const faults = clockFromS === undefined ? [] : [{ ...record, time: clockFromS * S }];
      return found(triggerChecker({ faults }), lines(due, list), watch);
    };
    expect(await anomalies(fired(5, 'd'))).toEqual([]);
    expect(await anomalies(fired(5))).toEqual(['lost']);
    expect(await anomalies(fired(1, 'd'))).toEqual(['early']);
    const told = (time: number, count: number | null = 1): HistoryOperation[] => [
      event(1, 'fired/d', count, time * S),
    ];
    expect(await anomalies(fired(5, 'd'), told(3))).toEqual([]);
    expect(await anomalies(fired(5, 'd'), told(2.5))).toEqual(['early']);
    expect(await anomalies(fired(5, 'd'), told(2.5), 1)).toEqual([]);
    expect(await anomalies(fired(5, 'd'), told(3, 2))).toEqual(['twice']);
    expect(await anomalies(fired(5, 'd'), [...told(3), ...told(4, null)])).toEqual([
      'fired, then not',
    ]);
  });

  test('is not known before all is due', async () => {
    const due = op(0, 0.1 * S, 'due', { id: 'd', inMs: 3000 });
    const list = op(1 * S, 2 * S, 'fired', null, []);
    const [finding = ''] = await found(triggerChecker(), lines(due, list));
    expect(finding).toContain('unknown');
  });
});
