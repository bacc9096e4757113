import { describe, expect, test } from 'vitest';
import { CHECKERS } from '../../jepsen-like/checkers/all-checkers.js';
import type { HistoryOperation } from '../../jepsen-like/history/operation.js';
import { contentOf, idle } from '../../jepsen-like/workloads/abuse.js';
import { watch } from '../../jepsen-like/workloads/coordination.js';
import { levels } from '../../jepsen-like/workloads/levels.js';
import type { Bench, Workload } from '../../jepsen-like/workloads/workload.js';
import { seededRandom } from '../../src/cluster/harness.js';
import { event, judge, lines, op } from './histories.js';

/** What all checkers of a workload say together. */
async function verdictOf(
  { checkers }: Workload,
  history: readonly HistoryOperation[],
  store: readonly HistoryOperation[],
): Promise<(boolean | 'unknown' | undefined)[]> {
  return Promise.all(
    checkers.map(async (name) => {
      const checker = CHECKERS[name]?.({ faults: [] });
      return checker === undefined ? undefined : (await judge(checker, history, store)).valid;
    }),
  );
}

describe('an acknowledged write that no watch was told', () => {
  const store = [event(1, 'a', 1), event(2, 'a', 2), event(3, 'a', 3)];
  const without = [event(1, 'a', 1), event(3, 'a', 3)];
  const puts = [1, 2, 3].map((value) =>
    op(value, value + 0.5, 'put', value, undefined, { key: 'a', more: { revision: value } }),
  );

  test('is found in the history of watches', async () => {
    const asked = { prefix: 'a', fromRevision: 1 };
    const told = (events: readonly HistoryOperation[]): HistoryOperation[] => [
      { process: 9, type: 'invoke', f: 'watch', value: asked, time: 0 },
      { process: 9, type: 'ok', f: 'watch', value: asked, time: 0 },
      ...lines(...puts),
      ...events.map((one, at) => ({ ...one, process: 9, time: 10 + at })),
    ];
    expect(await verdictOf(watch, told(store), store)).toEqual([true, true]);
    expect(await verdictOf(watch, told(without), without)).toContain(false);
  });

  test('is found in the history of reads of each level', async () => {
    const read = op(5, 5.5, 'get', undefined, 3, { key: 'a', more: { revision: 3 } });
    const history = lines(...puts, read);
    expect(await verdictOf(levels, history, store)).toEqual([true, true]);
    expect(await verdictOf(levels, history, without)).toContain(false);
  });
});

test('a large value does not repeat itself, and is that of its seed', () => {
  const bytes = 256 * 1024;
  const content = contentOf(seededRandom(1), bytes);
  const blocks = Array.from({ length: bytes / 64 }, (_, i) =>
    content.subarray(i * 64, (i + 1) * 64).toString('hex'),
  );
  expect(new Set(blocks).size).toBe(blocks.length);
  expect(contentOf(seededRandom(1), bytes).equals(content)).toBe(true);
  expect(contentOf(seededRandom(2), bytes).equals(content)).toBe(false);
  expect(contentOf(seededRandom(1), 1)).toHaveLength(1);
});

test('idle connections that could not be opened are told of', async () => {
  const told: [string, number][] = [];
  const wrong: string[] = [];
  const stopping = new AbortController();
  await idle.prepare?.({
    system: { cluster: { running: [] } },
    stopping: stopping.signal,
    tell: (what: string, count: number) => told.push([what, count]),
    wrong: (what: string) => wrong.push(what),
  } as unknown as Bench);
  stopping.abort();
  expect(wrong).toEqual(['only 0 of 10000 were open at first']);
  expect(told).toEqual([
    ['idle connections, open at first', 0],
    ['idle connections, open in the end', 0],
  ]);
});
