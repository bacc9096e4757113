import { expect, test } from 'vitest';
import { levelChecker } from '../../jepsen-like/checkers/read-levels.js';
import type { HistoryOperation } from '../../jepsen-like/history/operation.js';
import { event, found, judge } from './histories.js';

const S = 1e9;
const WATCH = [event(1, 'a', 1), event(2, 'a', 2), event(3, 'a', 3)];

/** A read of `a` in seconds, by a process of its own, of the revision that is its value. */
function get(level: string, begin: number, revision: number | null): HistoryOperation[] {
  const common = { process: Math.round(begin * 10), f: 'get', key: 'a', level };
  const end = { ...common, time: (begin + 0.1) * S };
  return [
    { ...common, type: 'invoke', time: begin * S },
    revision === null
      ? { ...end, type: 'fail', error: 'TIMEOUT' }
      : { ...end, type: 'ok', value: revision, revision },
  ];
}

const anomalies = (...reads: HistoryOperation[][]): Promise<string[]> =>
  found(levelChecker(), reads.flat(), WATCH);

test('a linearizable read is not behind what a read of any level had told', async () => {
  for (const level of ['any', 'session', 'bounded:100', 'ap-local', 'at:3']) {
    expect(await anomalies(get(level, 2, 3), get('linearizable', 5, 1)), level).toEqual(['stale']);
    expect(await anomalies(get(level, 2, 3), get('linearizable', 5, 3)), level).toEqual([]);
  }
});

test('a bounded read is not behind what a linearizable read had shown so long before', async () => {
  const shown = get('linearizable', 2, 2);
  expect(await anomalies(shown, get('bounded:100', 10, 1))).toEqual([
    'older than its bound of 100 ms',
  ]);
  expect(await anomalies(shown, get('bounded:100', 2.15, 1))).toEqual([]);
});

test('does not know of a level of which no read was served', async () => {
  const verdict = await judge(
    levelChecker(),
    [...get('linearizable', 2, 1), ...get('bounded:100', 3, null)],
    WATCH,
  );
  expect(verdict).toMatchObject({
    valid: 'unknown',
    text: 'no read was served at the level bounded',
  });
});
