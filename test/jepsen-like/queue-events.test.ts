import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { queueChecker } from '../../jepsen-like/checkers/queues.js';
import type { HistoryOperation } from '../../jepsen-like/history/operation.js';
import { event, found, INFO, judge, lines, op, type Planned } from './histories.js';
import { runModel } from './reference-store.js';

const checker = queueChecker();
const drain = (answer: unknown[]): Planned => op(100, 101, 'drain', null, answer);
const put = (value: unknown, begin: number): Planned => op(begin, begin + 1, 'enqueue', value);
const take = (value: unknown, begin: number): Planned =>
  op(begin, begin + 1, 'dequeue', null, value);

describe('the checker of queues with the watch of a store that has a key for each element', () => {
  const at = (planned: Planned, revision?: number): Planned => ({
    ...planned,
    key: 'q',
    ...(revision === undefined ? {} : { more: { revision } }),
  });
  const store = [event(1, 'q/1', 1), event(2, 'q/2', 2), event(3, 'q/1', null)];
  const puts = [at(put(1, 0), 1), at(put(2, 2), 2)];
  const unsure = (begin: number): Planned => at({ ...take(null, begin), ...INFO });
  const seen = (watch: HistoryOperation[], ...planned: Planned[]): Promise<string[]> =>
    found(checker, lines(...puts, ...planned), watch);

  test('accepts what it explains', async () => {
    const taken = at(take(1, 4), 3);
    expect(await seen(store, taken, at(drain([2])))).toEqual([]);
    expect(await seen(store, unsure(4), at(drain([2])))).toEqual([]);
    const all = [...store, event(4, 'q/2', null)];
    expect(await seen(all, taken, at(take(2, 6), 4), at(take(null, 8), 4), at(drain([])))).toEqual(
      [],
    );
    // A drain may take them out.
    expect(await seen(all, taken, at(drain([2])))).toEqual([]);
  });

  test('a dequeue of unknown outcome hides no element that it has not taken', async () => {
    const all = [...store, event(4, 'q/2', null)];
    expect(await seen(all, unsure(4), at(drain([])))).toEqual(['lost']);
    expect(await seen(all, unsure(4), unsure(5), at(drain([])))).toEqual([]);
    // It began when it had been told of later revisions.
    const late = [at(put(3, 6), 4), unsure(8), unsure(9), at(drain([2, 3]))];
    expect(await seen([...store, event(4, 'q/3', 3)], ...late)).toEqual(['lost']);
  });

  test('finds another order, also of elements that nobody was told of', async () => {
    const other = [event(1, 'q/1', 1), event(2, 'q/2', 2), event(3, 'q/2', null)];
    expect(await seen(other, unsure(4), at(drain([1])))).toEqual(['order']);
  });

  test('finds an answer that the store does not have', async () => {
    expect(await seen([event(1, 'q/1', 1), event(3, 'x', 1)], at(drain([1, 2])))).toEqual(['lost']);
    expect(await seen([...store, event(5, 'q/3', 2)], unsure(4), at(drain([2])))).toEqual([
      'twice',
    ]);
    const rest = store.slice(0, 2);
    expect(await seen([...rest, event(3, 'x', 1)], at(take(1, 4), 3), at(drain([2])))).toEqual([
      'twice',
    ]);
    expect(await seen(store, unsure(4), unsure(5), at(take(null, 6), 3), at(drain([2])))).toEqual([
      'empty',
    ]);
  });

  test('does not know of answers behind its end', async () => {
    const history = lines(...puts, at(take(1, 4), 9), at(drain([2])));
    expect((await judge(checker, history, store.slice(0, 2))).valid).toBe('unknown');
  });

  test('accepts what an atomic queue does', async () => {
    const runs = { seed: fc.nat(), unknownShare: fc.constantFrom(0, 0.1, 0.4) };
    await fc.assert(
      fc.asyncProperty(fc.record(runs), async (run) => {
        let next = 0;
        const queue: number[] = [];
        const { history, watch } = runModel({
          ...{ ...run, clients: 5, operations: 120 },
          request: (random) =>
            random.int(2) === 0
              ? { f: 'enqueue', key: 'q', value: ++next }
              : { f: 'dequeue', key: 'q' },
          effect: ({ f, value }, store) => {
            if (f === 'enqueue') {
              queue.push(value as number);
              return { revision: store.write([[`q/${value}`, value]]) };
            }
            const taken = queue.shift();
            if (taken === undefined) return { value: null, revision: store.revision };
            return { value: taken, revision: store.write([[`q/${taken}`, null]]) };
          },
        });
        const time = (history.at(-1)?.time ?? 0) + 1e6;
        const more = { key: 'q', process: 100_000 };
        const drained = lines(op(time, time + 1, 'drain', null, queue, more));
        const verdict = await judge(checker, [...history, ...drained], watch);
        expect(verdict.valid === true || next === 0, verdict.text).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});
