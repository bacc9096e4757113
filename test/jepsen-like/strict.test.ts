import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { strictChecker } from '../../jepsen-like/checkers/strict/strict-serializability.js';
import type { HistoryOperation } from '../../jepsen-like/history/operation.js';
import { event, found, judge, lines, type Planned } from './histories.js';
import {
  type Answer,
  type AtomicStore,
  type Request,
  registerModel,
  runModel,
} from './reference-store.js';

const checker = strictChecker();

const put = (begin: number, end: number | null, asked: unknown, revision?: number): Planned => ({
  begin,
  end,
  f: 'put',
  key: 'x',
  asked,
  more: revision === undefined ? {} : { revision },
});
const get = (begin: number, end: number, answer: unknown, revision: number): Planned => ({
  begin,
  end,
  f: 'get',
  key: 'x',
  answer,
  more: { revision },
});
const txn = (begin: number, end: number | null, answer: unknown, revision = 0): Planned => ({
  begin,
  end,
  f: 'txn',
  asked: answer,
  more: { revision },
});

function anomalies(planned: readonly Planned[], ...watch: HistoryOperation[]): Promise<string[]> {
  return found(checker, lines(...planned), watch);
}

describe('the checker of strict serializability refuses', () => {
  const written = [put(0, 1, 'a', 1), put(2, 3, 'b', 2)];
  const events = [event(1, 'x', 'a'), event(2, 'x', 'b')];

  test('a read of less than had been answered before it began', async () => {
    expect(await anomalies([...written, get(4, 5, 'a', 1)], ...events)).toEqual(['stale read']);
    expect(await anomalies([...written, get(3, 5, 'a', 1)], ...events)).toEqual([]);
    expect(await anomalies([...written, get(4, 5, 'b', 2)], ...events)).toEqual([]);
  });

  test('a read of less than another read had been answered', async () => {
    const slow = [put(0, 100, 'a', 1), get(1, 2, 'a', 1), get(3, 4, null, 0)];
    expect(await anomalies(slow, event(1, 'x', 'a'))).toEqual(['stale read']);
  });

  test('a write whose revision was there before it was asked for', async () => {
    const backwards = [put(0, 1, 'b', 2), put(2, 3, 'a', 1)];
    expect(await anomalies(backwards, ...events)).toEqual(['a write in the past']);
    const same = [put(0, 1, 'a', 1), get(2, 3, 'a', 1), put(4, 5, 'b', 1)];
    expect(await anomalies(same, event(1, 'x', 'b'))).toContain('a write in the past');
  });

  test('a read that does not fit its revision', async () => {
    const wrong = 'a read of what was not there';
    expect(await anomalies([...written, get(4, 5, 'a', 2)], ...events)).toEqual([wrong]);
    expect(await anomalies([...written, get(4, 5, null, 2)], ...events)).toEqual([wrong]);
  });

  test('an acknowledged write that is not there, is there otherwise, or is one with another', async () => {
    expect(await anomalies([put(0, 1, 'a', 1)], event(1, 'y', 'a'))).toEqual(['lost write']);
    expect(await anomalies([put(0, 1, 'a', 1)], event(1, 'x', 'z'))).toEqual(['changed write']);
    const twins = [put(0, 10, 'a', 1), put(0, 10, 'a', 1)];
    expect(await anomalies(twins, event(1, 'x', 'a'))).toEqual(['one event for two writes']);
  });

  test('an event that nobody wrote, or one who was told that it failed', async () => {
    expect(
      await anomalies([get(0, 1, null, 0), ...written], ...events, event(3, 'x', 'z')),
    ).toEqual(['a write of nobody']);
    const failed: Planned = { ...put(4, 5, 'c'), type: 'fail' };
    expect(await anomalies([...written, failed], ...events, event(3, 'x', 'c'))).toEqual([
      'a write of nobody',
    ]);
    const unknown: Planned = { ...put(4, 5, 'c'), type: 'info' };
    expect(await anomalies([...written, unknown], ...events, event(3, 'x', 'c'))).toEqual([]);
    expect(await anomalies([...written, unknown], ...events)).toEqual([]);
  });

  test('a write of unknown outcome that was applied twice, or before it was asked for', async () => {
    const unknown: Planned = { ...put(4, 5, 'c'), type: 'info' };
    const name = 'applied twice, or before it was asked for';
    const twice = [...events, event(3, 'x', 'c'), event(4, 'x', 'c')];
    expect(await anomalies([...written, unknown], ...twice)).toEqual([name]);
    const late = [event(1, 'x', 'c'), event(2, 'x', 'a')];
    expect(await anomalies([put(0, 1, 'a', 2), unknown], ...late)).toEqual([name]);
  });

  test('half of a transaction', async () => {
    const both = [
      ['put', 'x', 'a'],
      ['put', 'y', 'b'],
    ];
    expect(await anomalies([txn(0, 1, both, 1)], event(1, 'x', 'a'))).toEqual(['lost write']);
    const unknown = [{ ...txn(0, 1, both), type: 'info' as const }];
    expect(await anomalies(unknown, event(1, 'x', 'a'))).toEqual(['half of a transaction']);
    expect(await anomalies(unknown, event(1, 'x', 'a'), event(2, 'y', 'b'))).toEqual([
      'half of a transaction',
    ]);
    const read = { begin: 2, end: 3, f: 'get', key: 'x', answer: 'a', more: { revision: 1 } };
    const whole = [event(1, 'x', 'a'), event(1, 'y', 'b')];
    expect(await anomalies([...unknown, read], ...whole)).toEqual([]);
  });

  test('a transaction that read something else than was there before it, or than it wrote', async () => {
    const swap = (read: unknown, own: unknown): unknown => [
      ['get', 'x', read],
      ['put', 'x', 'b'],
      ['get', 'x', own],
    ];
    const run = (read: unknown, own: unknown): Promise<string[]> =>
      anomalies([put(0, 1, 'a', 1), txn(2, 3, swap(read, own), 2)], ...events);
    expect(await run('a', 'b')).toEqual([]);
    expect(await run('b', 'b')).toEqual(['a read of what was not there']);
    expect(await run('a', 'a')).toEqual(['does not see its own writes']);
  });

  test('compare-and-sets and deletions that found something else than was there', async () => {
    const cas = (asked: unknown, more: Partial<Planned>): Planned => ({
      begin: 4,
      end: 5,
      f: 'cas',
      key: 'x',
      asked,
      ...more,
    });
    const applied = cas(['a', 'c'], { more: { revision: 3 } });
    expect(await anomalies([...written, applied], ...events, event(3, 'x', 'c'))).toEqual([
      'a read of what was not there',
    ]);
    const refused = cas(['b', 'c'], {
      type: 'fail',
      more: { revision: 2, error: 'CONDITION_FAILED' },
    });
    expect(await anomalies([...written, refused], ...events)).toEqual([
      'a condition that held was refused',
    ]);
    const removal: Planned = {
      begin: 0,
      end: 1,
      f: 'delete',
      key: 'x',
      answer: true,
      more: { revision: 1 },
    };
    expect(await anomalies([removal], event(1, 'x', null))).toEqual([
      'a read of what was not there',
    ]);
  });

  test('a compare-and-set of unknown outcome that was applied though its condition did not hold', async () => {
    const unsure = (old: string): Planned => ({
      begin: 4,
      end: 5,
      f: 'cas',
      key: 'x',
      asked: [old, 'c'],
      type: 'info',
    });
    const watched = [...events, event(3, 'x', 'c')];
    expect(await anomalies([...written, unsure('b')], ...watched)).toEqual([]);
    expect(await anomalies([...written, unsure('a')], ...watched)).toEqual([
      'a condition that did not hold',
    ]);
  });

  test('a watch that is out of order', async () => {
    const name = ['the watch is out of order'];
    expect(await anomalies(written, event(2, 'x', 'b'), event(1, 'x', 'a'))).toEqual(name);
    expect(await anomalies(written, event(1, 'x', 'a'), event(1, 'x', 'b'))).toEqual(name);
  });
});

describe('the checker of strict serializability', () => {
  test('does not know without a watch, without revisions, or behind the end of the watch', async () => {
    const one = lines(put(0, 1, 'a', 1));
    expect((await judge(checker, one)).valid).toBe('unknown');
    expect((await judge(checker, lines(put(0, 1, 'a')), [event(1, 'x', 'a')])).valid).toBe(
      'unknown',
    );
    expect((await judge(checker, one, [])).valid).toBe('unknown');
    expect((await judge(checker, [], [])).valid).toBe('unknown');
  });
});

const runs = fc.record({
  seed: fc.nat(),
  clients: fc.integer({ min: 1, max: 8 }),
  operations: fc.integer({ min: 5, max: 200 }),
  unknownShare: fc.constantFrom(0, 0.1, 0.4),
});

/** Reads and writes of several keys at one revision. */
function txnEffect({ value }: Request, store: AtomicStore): Answer {
  const writes = new Map<string, unknown>();
  const steps = (value as [string, string, unknown][]).map(([what, key, wanted]) => {
    if (what === 'get') return [what, key, writes.has(key) ? writes.get(key) : store.get(key)];
    writes.set(key, wanted);
    return [what, key, wanted];
  });
  const revision = writes.size === 0 ? store.revision : store.write(writes);
  return { value: steps, revision };
}

/** Of a history with no fault in it; short ones may have no answer in them. */
function saidOf(history: readonly HistoryOperation[]): string[] {
  const isAnswered = history.some(({ type }) => type === 'ok');
  return isAnswered ? [] : ['unknown: nothing was acknowledged'];
}

describe('histories of an atomic store with delays and crashes', () => {
  test('are accepted', async () => {
    await fc.assert(
      fc.asyncProperty(runs, async (run) => {
        const { history, watch } = registerModel({ ...run, keys: 3 });
        expect(await found(checker, history, watch)).toEqual(saidOf(history));
      }),
      {
        numRuns: 60,
        // Nobody is answered in it.
        examples: [[{ seed: 791854425, clients: 8, operations: 5, unknownShare: 0.4 }]],
      },
    );
  });

  test('of transactions are accepted, and are not when one event is missing', async () => {
    await fc.assert(
      fc.asyncProperty(runs, fc.nat(), async (run, which) => {
        let written = 0;
        const { history, watch } = runModel({
          ...run,
          request: (random) => ({
            f: 'txn',
            value: Array.from({ length: 1 + random.int(4) }, () => {
              const key = `k${random.int(4)}`;
              return random.int(2) === 0 ? ['get', key, null] : ['put', key, ++written];
            }),
          }),
          effect: txnEffect,
        });
        expect(await found(checker, history, watch)).toEqual(saidOf(history));
        // Whose events are missing must be somebody who was answered.
        const answered = new Set(
          history.flatMap(({ type, value }) =>
            type === 'ok'
              ? (value as unknown[][]).flatMap(([what, , v]) => (what === 'put' ? [v] : []))
              : [],
          ),
        );
        const ours = watch.flatMap(({ value }, at) => (answered.has(value) ? [at] : []));
        fc.pre(ours.length > 1);
        const at = ours[which % (ours.length - 1)] as number;
        const verdict = await judge(checker, history, watch.toSpliced(at, 1));
        expect(verdict.valid).toBe(false);
      }),
      { numRuns: 60 },
    );
  });
});
