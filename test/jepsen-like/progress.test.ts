import { expect, it } from 'vitest';
import { howFar } from '../../jepsen-like/run/progress.js';

const length = { totalMs: 624_000, periods: 520, isTimed: false };

it('says of a run with a time how much of it is over', () => {
  expect(howFar({ ...length, isTimed: true }, 7, 61.4)).toBe('61 s of 624 s');
});

it('says of a run with a number of faults which one it is, and what is left by what those before took', () => {
  expect(howFar(length, 0, 0)).toBe('period 0 of 520, 0 s, about 624 s left');
  expect(howFar(length, 1, 2)).toBe('period 1 of 520, 2 s, about 624 s left');
  expect(howFar(length, 261, 936)).toBe('period 261 of 520, 936 s, about 936 s left');
});
