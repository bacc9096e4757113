import { expect, test } from 'vitest';
import { registerChecker } from '../../jepsen-like/checkers/register/registers.js';
import { strictChecker } from '../../jepsen-like/checkers/strict/strict-serializability.js';
import { event, FAIL, found, INFO, judge, lines, op, type Planned } from './histories.js';

const put = (begin: number, value: number, more: Partial<Planned> = {}): Planned =>
  op(begin, begin + 1, 'put', value, undefined, { key: 'a', ...more });

test('a register that nobody has read is not known', async () => {
  const valid = async (...planned: Planned[]) =>
    (await judge(registerChecker(), lines(...planned))).valid;
  const read = op(4, 5, 'get', null, 2, { key: 'a' });
  expect(await valid(put(0, 1), put(2, 2))).toBe('unknown');
  expect(await valid(put(0, 1, INFO), put(2, 2, INFO))).toBe('unknown');
  expect(await valid(put(0, 1), put(2, 2), { ...read, ...FAIL })).toBe('unknown');
  expect(await valid(put(0, 1), put(2, 2), read)).toBe(true);
});

test('what nothing was acknowledged of is not known', async () => {
  const verdict = await judge(strictChecker(), lines(put(0, 1, INFO)), [event(1, 'z', 1)]);
  expect(verdict).toMatchObject({ valid: 'unknown', text: 'nothing was acknowledged' });
});

test('two writes do not share a revision, but those of one transaction do', async () => {
  const more = { revision: 2 };
  const watch = [event(1, 'z', 0), event(2, 'a', 1), event(2, 'b', 2)];
  const two = [op(0, 5, 'put', 1, undefined, { key: 'a', more }), put(1, 2, { key: 'b', more })];
  expect(await found(strictChecker(), lines(...two), watch)).toEqual([
    'one revision for two writes',
  ]);
  const steps = [
    ['put', 'a', 1],
    ['put', 'b', 2],
  ];
  const txn = op(0, 5, 'txn', steps, undefined, { more });
  expect(await found(strictChecker(), lines(txn), watch)).toEqual([]);
});
