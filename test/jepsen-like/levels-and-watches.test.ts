import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { levelChecker } from '../../jepsen-like/checkers/read-levels.js';
import { watchChecker } from '../../jepsen-like/checkers/watches.js';
import type { HistoryOperation } from '../../jepsen-like/history/operation.js';
import { event, found, judge, lines, type Planned } from './histories.js';
import { registerEffect, runModel } from './reference-store.js';

const MS = 1e6;
const events = [event(1, 'x', 'a'), event(2, 'x', 'b'), event(3, 'x', 'c')];
const writes: Planned[] = [
  { begin: 0, end: 10 * MS, f: 'put', key: 'x', asked: 'a', more: { revision: 1 }, process: 1 },
  {
    begin: 20 * MS,
    end: 30 * MS,
    f: 'put',
    key: 'x',
    asked: 'b',
    more: { revision: 2 },
    process: 1,
  },
  {
    begin: 40 * MS,
    end: 50 * MS,
    f: 'put',
    key: 'x',
    asked: 'c',
    more: { revision: 3 },
    process: 1,
  },
];

/** A read that begins after 100 ms, unless told otherwise. */
function read(level: string, answer: unknown, revision: number, more: Partial<Planned> = {}) {
  const planned: Planned = {
    begin: 100 * MS,
    end: 101 * MS,
    f: 'get',
    key: 'x',
    answer,
    process: 5,
    ...more,
    more: { revision, ...more.more },
  };
  return { planned, level };
}

/** The level is part of what was asked for. */
function withLevels(...reads: ReturnType<typeof read>[]): HistoryOperation[] {
  const all = lines(...writes, ...reads.map(({ planned }) => planned));
  return all.map((line) => {
    const one = reads.find(
      ({ planned }) => line.type === 'invoke' && line.f === 'get' && planned.begin === line.time,
    );
    return one === undefined ? line : { ...line, level: one.level };
  });
}

const anomalies = (...reads: ReturnType<typeof read>[]): Promise<string[]> =>
  found(levelChecker(), withLevels(...reads), events);

describe('the checker of read levels', () => {
  test('accepts at each level what it claims', async () => {
    expect(await anomalies(read('linearizable', 'c', 3))).toEqual([]);
    expect(await anomalies(read('any', 'a', 1))).toEqual([]);
    expect(await anomalies(read('any', null, 0))).toEqual([]);
    expect(await anomalies(read('session', 'a', 1))).toEqual([]);
    expect(await anomalies(read('at:2', 'b', 3))).toEqual([]);
    expect(await anomalies(read('bounded:60', 'b', 2))).toEqual([]);
  });

  test('a linearizable read must not be stale', async () => {
    expect(await anomalies(read('linearizable', 'b', 2))).toEqual(['stale']);
  });

  test('whatever the level, the state must be one that was', async () => {
    for (const level of ['any', 'session', 'bounded:1000', 'ap-local']) {
      expect(await anomalies(read(level, 'b', 1))).toEqual(['a state that never was']);
    }
  });

  test('a session must not go back behind what it has read or written', async () => {
    const own = read('session', 'b', 2, { process: 1 });
    expect(await anomalies(own)).toEqual(['went back in its session']);
    const first = read('session', 'c', 3, { begin: 60 * MS, end: 61 * MS });
    expect(await anomalies(first, read('session', 'b', 2))).toEqual(['went back in its session']);
    // Another process is another session; a read in the past is none of it.
    expect(await anomalies(first, read('session', 'b', 2, { process: 6 }))).toEqual([]);
    const past = read('at:3', 'c', 3, { begin: 60 * MS, end: 61 * MS });
    expect(await anomalies(past, read('session', 'b', 2))).toEqual([]);
  });

  test('a bounded read must have what was acknowledged before its bound', async () => {
    // Revision 3 was acknowledged 50 ms before the read begins, revision 2 70 ms.
    expect(await anomalies(read('bounded:49', 'b', 2))).toEqual(['older than its bound of 49 ms']);
    expect(await anomalies(read('bounded:51', 'b', 2))).toEqual([]);
    expect(await anomalies(read('bounded:51', 'a', 1))).toEqual(['older than its bound of 51 ms']);
  });

  test('the margin for clocks is an option, and is stated', async () => {
    const late = withLevels(read('bounded:49', 'b', 2));
    const verdict = await judge(levelChecker({ clockShare: 0.1 }), late, events);
    expect(verdict).toMatchObject({ valid: true, details: { clockShare: 0.1 } });
  });

  test('an answer must not be older than it says', async () => {
    const says = (stalenessMs: number) => read('any', 'b', 2, { more: { stalenessMs } });
    expect(await anomalies(says(40))).toEqual(['older than it said of 40 ms']);
    expect(await anomalies(says(60))).toEqual([]);
  });

  test('a read at a revision gives exactly that', async () => {
    expect(await anomalies(read('at:2', 'c', 3))).toEqual(['a state that never was']);
  });

  test('does not know without a watch or revisions', async () => {
    const one = withLevels(read('any', 'a', 1));
    expect((await judge(levelChecker(), one)).valid).toBe('unknown');
    expect((await judge(levelChecker(), one, events.slice(0, 2))).valid).toBe('unknown');
  });

  test('accepts reads of old states of an atomic store, as old as their levels allow', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), async (seed) => {
        let written = 0;
        const seen = new Map<number, number>();
        const states: { time: number; values: Map<string, unknown> }[] = [];
        const { history, watch } = runModel({
          seed,
          clients: 5,
          operations: 150,
          unknownShare: 0,
          request: (random) => {
            const key = `k${random.int(3)}`;
            if (random.int(2) === 0) return { f: 'put', key, value: ++written };
            const level = ['linearizable', 'any', 'session', 'bounded:0.001'][random.int(4)];
            return { f: 'get', key, level: level as string };
          },
          effect: (request, store, client) => {
            const revision = store.revision;
            if (request.f === 'put') {
              const answer = registerEffect(request, store);
              states[store.revision] = {
                time: store.time,
                values: new Map(store.keys().map((key) => [key, store.get(key)])),
              };
              seen.set(client, store.revision);
              return answer;
            }
            let at = revision;
            const least = request.level === 'session' ? (seen.get(client) ?? 0) : 0;
            if (request.level === 'session' || request.level === 'any')
              at = Math.max(least, revision - 3);
            // Whatever is older than a microsecond must be in it.
            while (
              request.level === 'bounded:0.001' &&
              at > 0 &&
              store.time - (states[at]?.time ?? 0) < 1000
            )
              at -= 1;
            seen.set(client, Math.max(at, seen.get(client) ?? 0));
            const value = at === 0 ? null : (states[at]?.values.get(request.key ?? '') ?? null);
            return { value, revision: at };
          },
        });
        expect(await found(levelChecker(), history, watch)).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });
});

describe('the checker of watches', () => {
  const store = [
    event(1, 'a/1', 'x'),
    event(2, 'a/2', 'y'),
    event(2, 'b/1', 'z'),
    event(3, 'a/1', null),
    event(4, 'a/3', 'w'),
  ];
  const begin = (asked: unknown, time = 0): HistoryOperation[] => [
    { process: 9, type: 'invoke', f: 'watch', value: asked, time },
    { process: 9, type: 'ok', f: 'watch', value: asked, time },
  ];
  const told = (...of: readonly HistoryOperation[]): HistoryOperation[] =>
    of.map((one, at) => ({ ...one, process: 9, time: 10 + at }));
  const [first, second, other, third, fourth] = store as [
    HistoryOperation,
    HistoryOperation,
    HistoryOperation,
    HistoryOperation,
    HistoryOperation,
  ];
  const ALL = { prefix: 'a/', fromRevision: 1 };
  const watched = (...history: HistoryOperation[]): Promise<string[]> =>
    found(watchChecker(), history, store);

  test('accepts each event once, in order, from anywhere on', async () => {
    expect(await watched(...begin(ALL), ...told(first, second, third, fourth))).toEqual([]);
    expect(await watched(...begin({ prefix: 'a/' }), ...told(third, fourth))).toEqual([]);
    expect(
      await watched(...begin({ prefix: '', fromRevision: 2 }), ...told(second, other, third)),
    ).toEqual([]);
    // The other event of the last revision may be on its way.
    expect(
      await watched(...begin({ prefix: '', fromRevision: 1 }), ...told(first, second)),
    ).toEqual([]);
  });

  test('refuses a gap, also in front of the first event', async () => {
    expect(await watched(...begin(ALL), ...told(first, third))).toEqual(['gap']);
    expect(await watched(...begin(ALL), ...told(second, third))).toEqual(['gap']);
    expect(
      await watched(...begin({ prefix: '', fromRevision: 1 }), ...told(first, second, third)),
    ).toEqual(['gap']);
  });

  test('refuses progress that is said before the events, and events behind it', async () => {
    const progress = (revision: number, time: number): HistoryOperation => ({
      process: 9,
      type: 'ok',
      f: 'progress',
      revision,
      time,
    });
    expect(await watched(...begin(ALL), ...told(first), progress(2, 20))).toEqual(['gap']);
    expect(await watched(...begin(ALL), ...told(first, second), progress(3, 20))).toEqual(['gap']);
    expect(await watched(...begin(ALL), ...told(first, second), progress(2, 20))).toEqual([]);
    const late = { ...third, process: 9, time: 30 };
    expect(await watched(...begin(ALL), ...told(first, second), progress(3, 20), late)).toContain(
      'order',
    );
  });

  test('refuses an event twice, out of order, of nobody, or with another value', async () => {
    expect(await watched(...begin(ALL), ...told(first, first, second))).toEqual(['twice']);
    expect(await watched(...begin(ALL), ...told(first, third, second))).toContain('order');
    expect(await watched(...begin(ALL), ...told(first, event(2, 'a/9', 'q'), second))).toEqual([
      'of nobody',
    ]);
    expect(await watched(...begin(ALL), ...told({ ...first, value: 'other' }, second))).toEqual([
      'other value',
    ]);
    expect(await watched(...begin(ALL), ...told(first, second, other))).toContain('of nobody');
    expect(await watched(...begin({ ...ALL, fromRevision: 2 }), ...told(first, second))).toContain(
      'order',
    );
  });

  test('a watch that is begun anew goes on from where it says', async () => {
    const again = begin({ prefix: 'a/', fromRevision: 3 }, 100);
    const rest = [third, fourth].map((one) => ({ ...one, process: 9, time: 200 }));
    expect(await watched(...begin(ALL), ...told(first, second), ...again, ...rest)).toEqual([]);
    expect(await watched(...begin(ALL), ...told(first, third), ...again, ...rest)).toEqual(['gap']);
  });

  describe('that is to be told through a revision', () => {
    const TO_END = { ...ALL, through: 4 };

    test('is told so far', async () => {
      expect(await watched(...begin(TO_END), ...told(first, second, third, fourth))).toEqual([]);
      expect(await watched(...begin(TO_END), ...told(first, second, third))).toEqual(['not told']);
      expect(await watched(...begin(TO_END))).toEqual(['not told']);
    });

    test('is told so far when it was begun anew', async () => {
      const again = begin({ ...TO_END, fromRevision: 3 }, 100);
      const rest = [third, fourth].map((one) => ({ ...one, process: 9, time: 200 }));
      const some = [...begin(TO_END), ...told(first, second), ...again];
      expect(await watched(...some, ...rest)).toEqual([]);
      expect(await watched(...some)).toEqual(['not told']);
    });
  });

  test('does not know when a watch was told nothing, and none was to be told all', async () => {
    const valid = async (...history: HistoryOperation[]): Promise<boolean | 'unknown'> =>
      (await judge(watchChecker(), history, store)).valid;
    const other = (lines: HistoryOperation[]): HistoryOperation[] =>
      lines.map((line) => ({ ...line, process: 8, time: 100 }));
    const one = [...begin(ALL), ...told(first, second, third, fourth)];
    expect(await valid(...one, ...other(begin(ALL)))).toBe('unknown');
    expect(await valid(...one, ...other(begin({ ...ALL, fromRevision: 5 })))).toBe(true);
    expect(await valid(...one, ...other(begin({ ...ALL, prefix: 'c/' })))).toBe(true);
    const all = [...begin({ ...ALL, through: 4 }), ...told(first, second, third, fourth)];
    expect(await valid(...all, ...other(begin(ALL)))).toBe(true);
  });

  test('does not know of an event behind the end of the watch of the store', async () => {
    const history = [...begin(ALL), ...told(first, second, third, fourth, event(9, 'a/9', 'q'))];
    expect((await judge(watchChecker(), history, store)).valid).toBe('unknown');
  });

  test('refuses a store watch that is out of order itself', async () => {
    const history = [...begin(ALL), ...told(first)];
    expect(await found(watchChecker(), history, [second, first])).toEqual(['order']);
  });
});
