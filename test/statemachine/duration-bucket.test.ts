import { expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.js';
import { durationBucket } from '../../src/statemachine/jobs/job.js';

/** As it was computed before; what is in the state of a cluster was found like this. */
const before = (tookMs: number): number =>
  Math.min(33, Math.ceil(Math.log2(Math.max(1, tookMs + 1))));

/** As the log has times: an attempt may have begun at 0, and may have ended before it began. */
function* durations(): Generator<number> {
  for (let n = 0; n <= 100_000; n += 1) yield n;
  for (let power = 0; power <= 53; power += 1) {
    for (let by = -1000; by <= 1000; by += 1) yield 2 ** power + by;
  }
  const random = seededRandom(16);
  for (let i = 0; i < 200_000; i += 1) yield Math.floor(random.next() * 2 ** random.int(54));
  for (const n of [Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER, -1, 0.25, 0.5, 1023.5])
    yield n;
}

test('how long attempts took is told as it was told before, and exactly', () => {
  for (const tookMs of durations()) {
    const bucket = durationBucket(tookMs);
    if (bucket !== before(tookMs)) expect([tookMs, bucket]).toEqual([tookMs, before(tookMs)]);
  }
  expect([-5, 0, 1, 2, 3, 4, 7, 8].map(durationBucket)).toEqual([0, 0, 1, 2, 2, 3, 3, 4]);
  expect([2 ** 32 - 1, 2 ** 32, 2 ** 60].map(durationBucket)).toEqual([32, 33, 33]);
});
