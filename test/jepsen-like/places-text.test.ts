import { expect, test } from 'vitest';
import { placesText } from '../../jepsen-like/report/places-text.js';
import { FAILPOINTS } from '../../src/base/failpoints.js';

test('says how often replicas were killed at the named place where that was seldom', () => {
  const all = Object.fromEntries(FAILPOINTS.map((name) => [`failpoint ${name}`, 3]));
  const count = FAILPOINTS.length;
  const sum = 3 * count;
  expect(placesText(all)).toBe(
    `killed ${sum} times at named places, at each of the ${count} at least 3 times`,
  );
  const some = { ...all, 'failpoint wal.after-sync': 1, 'failpoint wal.before-sync': 1 };
  expect(placesText(some)).toBe(
    `killed ${sum - 4} times at named places, at each of the ${count} at least 1 times: wal.before-sync, wal.after-sync`,
  );
  const never = { 'failpoint wal.after-sync: not passed': 2, 'kill-all': 1 };
  expect(placesText(never)).toMatch(/^killed 0 times at named places, .* at least 0 times$/);
  expect(placesText({ 'kill-all': 7 })).toBeNull();
});
