import { expect, test } from 'vitest';
import { formatDuration, parseDurationMs } from '../../src/base/duration.js';

test.each([
  ['500ms', 500],
  ['5s', 5000],
  ['1.5m', 90_000],
  ['2h', 7_200_000],
  ['1d', 86_400_000],
  ['0', 0],
  ['0ms', 0],
  ['5', null],
  ['-5s', null],
  ['5 s', null],
  ['s', null],
  ['1e3s', null],
  ['5years', null],
  ['', null],
])('%j is %j milliseconds', (text, expected) => {
  expect(parseDurationMs(text)).toBe(expected);
});

test.each([
  [0, '0ms'],
  [850.4, '850ms'],
  [3210, '3.2s'],
  [5000, '5s'],
  [59_960, '1m'],
  [250_000, '4m 10s'],
  [7_500_000, '2h 5m'],
  [183_600_000, '2d 3h'],
  [-1, '0ms'],
])('%d milliseconds are shown as %j', (ms, expected) => {
  expect(formatDuration(ms)).toBe(expected);
});
