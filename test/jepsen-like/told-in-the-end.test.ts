import { describe, expect, test } from 'vitest';
import { CHECKERS } from '../../jepsen-like/checkers/all-checkers.js';
import type { Verdict } from '../../jepsen-like/checkers/checker.js';
import { FAIL, INFO, judge, lines, op, type Planned } from './histories.js';

const verdict = async (checker: string, ...planned: Planned[]): Promise<Verdict['valid']> => {
  const found = CHECKERS[checker]?.({});
  if (found === undefined) throw new Error(checker);
  return (await judge(found, lines(...planned))).valid;
};

/** For each checker: a write of the key, and a read that has seen it. */
const KINDS: Record<string, { write: Planned; unseen: Planned; seen: Planned }> = {
  set: {
    write: op(2, 3, 'add', 1),
    unseen: op(0, 1, 'read', null, []),
    seen: op(4, 5, 'read', null, [1]),
  },
  counter: {
    write: op(2, 3, 'add', 1),
    unseen: op(0, 1, 'read', null, 0),
    seen: op(4, 5, 'read', null, 1),
  },
  triggers: {
    write: op(2, 3, 'cause', 'x'),
    unseen: op(0, 1, 'fired', null, []),
    seen: op(4, 5, 'fired', null, ['x']),
  },
};

describe('what was acknowledged is to be told in the end', () => {
  test.each(Object.entries(KINDS))('of each %s', async (checker, { write, unseen, seen }) => {
    const on = (key: string, plan: Planned): Planned => ({ ...plan, key });
    expect(await verdict(checker, on('a', write), on('a', seen))).toBe(true);
    expect(await verdict(checker, on('a', unseen), on('a', write))).toBe('unknown');
    const one = [on('a', write), on('a', seen)];
    expect(await verdict(checker, ...one, on('b', write))).toBe('unknown');
    expect(await verdict(checker, ...one, on('b', { ...write, ...INFO }))).toBe('unknown');
    expect(await verdict(checker, ...one, on('b', { ...write, ...FAIL }))).toBe(true);
    // A read that failed tells nothing.
    const failed = { ...seen, ...FAIL };
    expect(await verdict(checker, on('a', write), on('a', failed))).toBe('unknown');
  });

  test('of causes, but not of those that have fired already', async () => {
    const underWay = op(0, 9, 'cause', 'x');
    expect(await verdict('triggers', underWay, op(4, 5, 'fired', null, ['x']))).toBe(true);
    expect(await verdict('triggers', underWay, op(4, 5, 'fired', null, []))).toBe('unknown');
  });

  test('of calls that count once', async () => {
    const call = op(2, 3, 'call', 5, 5, { key: 'x' });
    const before = [op(0, 1, 'applied', null, []), op(0, 1, 'read', null, 0)];
    expect(await verdict('exactly-once', ...before, call)).toBe('unknown');
    expect(await verdict('exactly-once', call, op(4, 5, 'applied', null, ['x']))).toBe(true);
    expect(await verdict('exactly-once', call, op(4, 5, 'read', null, 5))).toBe(true);
  });
});
