import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { apChecker } from '../../jepsen-like/checkers/ap/ap-cells.js';
import { exactlyOnceChecker } from '../../jepsen-like/checkers/exactly-once.js';
import { jobChecker } from '../../jepsen-like/checkers/jobs.js';
import { largeValueChecker } from '../../jepsen-like/checkers/large-values.js';
import { triggerChecker } from '../../jepsen-like/checkers/triggers.js';
import type { FaultRecord, HistoryOperation } from '../../jepsen-like/history/operation.js';
import { FAIL, found, INFO, judge, lines, op, type Planned } from './histories.js';
import { runModel } from './reference-store.js';

describe('the checker of exactly-once calls', () => {
  const checker = exactlyOnceChecker();
  const anomalies = (...planned: Planned[]): Promise<string[]> => found(checker, lines(...planned));
  const call = (
    key: string,
    begin: number,
    answer: unknown,
    more: Partial<Planned> = {},
  ): Planned => op(begin, begin + 1, 'call', 5, answer, { key, ...more });
  const read = (answer: number): Planned => op(90, 91, 'read', null, answer);
  const applied = (...answer: string[]): Planned => op(92, 93, 'applied', null, answer);

  test('accepts a call that is asked again, and gets its first answer', async () => {
    const again = [call('a', 0, null, INFO), call('a', 4, 5), call('a', 8, 5)];
    expect(await anomalies(...again, call('b', 6, 10), read(10), applied('a', 'b'))).toEqual([]);
  });

  test('finds two answers for one key, and one answer for two keys', async () => {
    expect(await anomalies(call('a', 0, 5), call('a', 4, 10), read(5))).toEqual(['two answers']);
    expect(await anomalies(call('a', 0, 5), call('b', 0, 5), read(10))).toContain(
      'one result for two',
    );
  });

  test('finds a call that counts twice, or is lost', async () => {
    const retried = [call('a', 0, null, INFO), call('a', 4, 5)];
    expect(await anomalies(...retried, read(10))).toEqual(['a call counts twice']);
    expect(await anomalies(...retried, read(0))).toEqual(['a call is lost']);
    expect(await anomalies(call('a', 0, null, INFO), read(0))).toEqual([]);
    expect(await anomalies(call('a', 0, null, INFO), read(5))).toEqual([]);
    expect(await anomalies(call('a', 0, null, FAIL), read(5))).toEqual(['a call counts twice']);
    expect(await anomalies(call('a', 0, 10), read(5))).toEqual(['a call counts twice']);
  });

  test('finds in the list of what was applied what is there twice, of nobody, or missing', async () => {
    expect(await anomalies(call('a', 0, 5), applied('a', 'a'))).toEqual(['a call counts twice']);
    expect(await anomalies(call('a', 0, 5), applied())).toEqual(['a call is lost']);
    expect(await anomalies(call('a', 0, null, FAIL), applied('a'))).toEqual(['of nobody']);
    expect(await anomalies(applied('ghost'))).toEqual(['of nobody']);
  });

  test('does not know when nothing tells the end', async () => {
    expect((await judge(checker, lines(call('a', 0, 5)))).valid).toBe('unknown');
  });

  test('accepts a store that remembers what it has answered', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), async (seed) => {
        let next = 0;
        let total = 0;
        const answered = new Map<string, number>();
        const { history } = runModel({
          seed,
          clients: 5,
          operations: 80,
          unknownShare: 0.3,
          request: (random) => {
            if (random.int(5) === 0) return { f: 'read' };
            const id = random.int(3) === 0 && next > 0 ? random.int(next) : next++;
            return { f: 'call', key: `c${id}`, value: 1 + (id % 4) };
          },
          effect: ({ f, key = '', value }) => {
            if (f === 'read') return { value: total };
            const first = answered.get(key);
            if (first !== undefined) return { value: first };
            total += value as number;
            answered.set(key, total);
            return { value: total };
          },
        });
        const time = (history.at(-1)?.time ?? 0) + 1e6;
        const end = lines(
          op(time, time + 1, 'read', null, total, { process: 90_000 }),
          op(time + 2, time + 3, 'applied', null, [...answered.keys()], { process: 90_000 }),
        );
        expect(await found(checker, [...history, ...end])).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });
});

describe('the checker of ap cells', () => {
  const MS = 1e6;
  const change = (f: string, id: string, value: unknown, more: Partial<Planned> = {}): Planned =>
    op(0, MS, f, { id, value }, more.answer ?? { id, value }, { key: 'c', ...more });
  const final = (answer: unknown, node = 'n1', begin = 9000 * MS): Planned =>
    op(begin, begin + MS, 'final', null, answer, { key: 'c', more: { node } });
  /** `node` of all begins is n1. */
  const sent = (planned: readonly Planned[]): HistoryOperation[] =>
    lines(...planned).map((line) => (line.type === 'invoke' ? { ...line, node: 'n1' } : line));
  const anomalies = (...planned: Planned[]): Promise<string[]> => found(apChecker(), sent(planned));

  test('finds a call that a live replica did not serve', async () => {
    const served = op(0, MS, 'read', null, 0, { key: 'c' });
    const failed = change('add', 'a', 1, { ...INFO, more: { error: 'TIMEOUT' } });
    expect(await anomalies(failed, final(0))).toEqual(['not available']);
    const faults = (fault: string, node: string): FaultRecord[] => [
      { time: 0, fault, nodes: [node], phase: 'begin' },
      { time: 5 * MS, fault, nodes: [node], phase: 'end' },
    ];
    const under = (fault: string, node: string): Promise<string[]> =>
      found(apChecker({ faults: faults(fault, node) }), sent([served, failed, final(0)]));
    expect(await under('kill', 'n1')).toEqual([]);
    expect(await under('kill', 'n2')).toEqual(['not available']);
    // The replica had time enough to be back.
    const later = { ...failed, begin: 11_000 * MS, end: 11_001 * MS };
    const long = sent([later, final(0, 'n1', 12_000 * MS)]);
    expect(await found(apChecker({ faults: faults('kill', 'n1') }), long)).toEqual([
      'not available',
    ]);
    // That is what it is for: a partition is no excuse.
    expect(await under('partition-halves', 'n1')).toEqual(['not available']);
  });

  test('its bounds may be reached', async () => {
    const full = change('add', 'a', 1, { ...FAIL, more: { error: 'AP_QUEUE_FULL' } });
    expect(await anomalies(full, change('add', 'b', 1), final(1))).toEqual([]);
  });

  test('finds replicas that do not come to the same', async () => {
    const two = [final(1), final(2, 'n2')];
    expect(await anomalies(change('add', 'a', 1), change('add', 'b', 1, INFO), ...two)).toContain(
      'no convergence',
    );
    expect(await anomalies(change('insert', 'a', 1), final([1]), final([1], 'n2'))).toEqual([]);
  });

  test('finds changes that are lost, and keys that count twice', async () => {
    const twice = [change('add', 'a', 5), change('add', 'a', 5)];
    expect(await anomalies(...twice, final(5))).toEqual([]);
    expect(await anomalies(...twice, final(10))).toEqual(['counts twice']);
    expect(await anomalies(...twice, final(0))).toEqual(['lost']);
  });

  test('finds an escrow counter below 0, and more taken than there was', async () => {
    const add = change('add', 'a', 3);
    const take = (id: string, answer: boolean, value = 2): Planned =>
      change('take', id, value, { answer });
    expect(await anomalies(add, take('b', true), final(1))).toEqual([]);
    expect(await anomalies(add, take('b', true), take('c', false), final(1))).toEqual([]);
    expect(await anomalies(add, take('b', true), take('c', true), final(-1))).toEqual([
      'below 0',
      'more taken than there was',
    ]);
    // On two sides under one key it may have been answered otherwise; once it counts.
    const both = [add, take('b', true), take('b', false)];
    expect(await anomalies(...both, final(1))).toEqual([]);
    expect(await anomalies(...both, final(3))).toEqual([]);
  });

  test('finds in collections what is lost, twice, or of nobody', async () => {
    expect(await anomalies(change('append', 'a', 'x'), final(['x']))).toEqual([]);
    expect(await anomalies(change('append', 'a', 'x'), final([]))).toEqual(['lost']);
    const more = { error: 'CELL_FULL' };
    const refused: Planned = { ...change('append', 'a', 'x'), type: 'fail', more };
    expect(await anomalies(refused, change('append', 'b', 'y'), final(['y']))).toEqual([]);
    expect(await anomalies(change('append', 'a', 'x'), final(['x', 'x']))).toEqual([
      'counts twice',
    ]);
    expect(await anomalies(change('insert', 'a', 'x'), final(['x', 'y']))).toEqual(['of nobody']);
  });

  test('finds a replica that does not show what it has acknowledged itself', async () => {
    const read = (answer: unknown, more: Partial<Planned> = {}): Planned =>
      op(2 * MS, 3 * MS, 'read', null, answer, { key: 'c', ...more });
    const hidden = ['own change not shown'];
    const add = change('add', 'a', 2);
    const insert = change('insert', 'a', 'x');
    expect(await anomalies(add, read(2), final(2))).toEqual([]);
    expect(await anomalies(add, read(0), final(2))).toEqual(hidden);
    expect(await anomalies(insert, read(['x']), final(['x']))).toEqual([]);
    expect(await anomalies(insert, read([]), final(['x']))).toEqual(hidden);
    // It was not acknowledged yet, or not there, or under a key that was asked for twice.
    expect(await anomalies(add, read(0, { begin: MS / 2 }), final(2))).toEqual([]);
    expect(await anomalies({ ...add, ...INFO }, read(0), final(2))).toEqual(['not available']);
    expect(await anomalies(add, change('add', 'a', 2, { process: 7 }), read(0), final(2))).toEqual(
      [],
    );
    const elsewhere = sent([add, read(0), final(2), final(2, 'n2')]).map((line) =>
      line.f === 'read' && line.type === 'invoke' ? { ...line, node: 'n2' } : line,
    );
    expect(await found(apChecker(), elsewhere)).toEqual([]);
    // With its disk it may have lost what nobody else had.
    const behind = (fault: string, node: string): Promise<string[]> => {
      const faults: FaultRecord[] = [{ time: MS, fault, nodes: [node], phase: 'begin' }];
      return found(apChecker({ faults }), sent([add, read(0), final(2)]));
    };
    expect(await behind('disk-wipe', 'n1')).toEqual([]);
    expect(await behind('disk-wipe', 'n2')).toEqual(hidden);
    expect(await behind('disk-stall', 'n1')).toEqual(hidden);
  });

  test('does not know what a cell has come to when nobody tells', async () => {
    expect((await judge(apChecker(), sent([change('add', 'a', 1)]))).valid).toBe('unknown');
  });

  test('accepts two sides that go on alone and are merged by key', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), async (seed) => {
        let next = 0;
        const sides = [new Map<string, number>(), new Map<string, number>()];
        const { history } = runModel({
          seed,
          clients: 4,
          operations: 60,
          unknownShare: 0,
          request: (random) => {
            if (random.int(4) === 0) return { f: 'read', key: 'c' };
            const id = random.int(3) === 0 && next > 0 ? random.int(next) : next++;
            return { f: 'add', key: 'c', value: { id: `i${id}`, value: 1 + (id % 3) } };
          },
          effect: ({ f, value }, _, client) => {
            const side = sides[client % 2] as Map<string, number>;
            if (f === 'read')
              return { value: [...side.values()].reduce((sum, one) => sum + one, 0) };
            const { id, value: by } = value as { id: string; value: number };
            side.set(id, by);
            return {};
          },
        });
        const merged = new Map([...(sides[0] ?? []), ...(sides[1] ?? [])]);
        const sum = [...merged.values()].reduce((total, one) => total + one, 0);
        const time = (history.at(-1)?.time ?? 0) + MS;
        const end = lines({ ...final(sum, 'n1', time), process: 90_000 });
        expect(await found(apChecker(), [...history, ...end])).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });
});

describe('the checker of triggers and schedules', () => {
  const anomalies = (...planned: Planned[]): Promise<string[]> =>
    found(triggerChecker(), lines(...planned));
  const cause = (id: number, more: Partial<Planned> = {}): Planned =>
    op(0, 1, 'cause', id, undefined, more);
  const due = (id: string, time: number): Planned => op(time, time, 'due', id);
  const fired = (answer: unknown[]): Planned => op(50, 51, 'fired', null, answer);

  test('finds what fired twice, never, of nobody, or early', async () => {
    expect(await anomalies(cause(1), due('12:00', 5), fired([1, '12:00']))).toEqual([]);
    expect(await anomalies(cause(1), fired([1, 1]))).toEqual(['twice']);
    expect(await anomalies(cause(1), cause(2), fired([1]))).toEqual(['lost']);
    expect(await anomalies(due('12:00', 5), fired([]))).toEqual(['lost']);
    expect(await anomalies(cause(1), fired([1, 2]))).toEqual(['of nobody']);
    expect(await anomalies(cause(1, FAIL), fired([1]))).toEqual(['of nobody']);
    expect(await anomalies(due('12:00', 60), fired(['12:00']))).toEqual(['early']);
  });

  test('one of unknown outcome fires once or not at all', async () => {
    expect(await anomalies(cause(1, INFO), fired([]))).toEqual([]);
    expect(await anomalies(cause(1, INFO), fired([1]))).toEqual([]);
    expect(await anomalies(cause(1, INFO), fired([1, 1]))).toEqual(['twice']);
    expect((await judge(triggerChecker(), lines(cause(1)))).valid).toBe('unknown');
  });
});

describe('the checker of jobs', () => {
  const submit = (more: Partial<Planned> = {}): Planned =>
    op(0, 1, 'submit', { tasks: ['a', 'b'] }, undefined, { key: 'j', ...more });
  const result = (status: string, value: unknown = 3, begin = 10): Planned =>
    op(begin, begin + 1, 'result', null, { status, value }, { key: 'j' });
  const effects = (answer: string[], begin = 20): Planned =>
    op(begin, begin + 1, 'effects', null, answer, { key: 'j' });
  const expected: HistoryOperation = {
    process: 1,
    type: 'ok',
    f: 'expected',
    key: 'j',
    value: 3,
    time: 0,
  };
  const anomalies = (...planned: Planned[]): Promise<string[]> =>
    found(jobChecker(), [expected, ...lines(...planned)]);

  test('accepts a job whose tasks have their effects once', async () => {
    expect(await anomalies(submit(), result('done'), effects(['b', 'a']))).toEqual([]);
    expect(
      await anomalies(submit(), effects(['a'], 5), result('done'), effects(['b', 'a'])),
    ).toEqual([]);
    const cancel = op(2, 3, 'cancel', null, undefined, { key: 'j' });
    expect(await anomalies(submit(), cancel, result('cancelled'), effects(['a']))).toEqual([]);
  });

  test('finds effects that are there twice, missing, or of nobody', async () => {
    expect(await anomalies(submit(), result('done'), effects(['a', 'b', 'a']))).toEqual(['twice']);
    expect(await anomalies(submit(), result('done'), effects(['a']))).toEqual(['lost']);
    expect(await anomalies(submit(), result('done'), effects(['a', 'b', 'c']))).toEqual([
      'of nobody',
    ]);
    expect(await anomalies(submit(FAIL), effects(['a']))).toEqual(['of nobody']);
  });

  test('finds results that are wrong, change, or that nobody asked for', async () => {
    expect(await anomalies(submit(), result('done', 4), effects(['a', 'b']))).toEqual([
      'wrong result',
    ]);
    const two = [result('done'), result('failed', null, 14)];
    expect(await anomalies(submit(), ...two, effects(['a', 'b']))).toEqual(['two results']);
    expect(await anomalies(submit(), result('cancelled'), effects(['a']))).toEqual(['of nobody']);
  });

  test('finds one that failed, unless it may', async () => {
    expect(await anomalies(submit(), result('failed', null), effects([]))).toEqual(['failed']);
    const allowed = submit({ asked: { tasks: ['a', 'b'], mayFail: true } });
    expect(await anomalies(allowed, result('failed', null), effects([]))).toEqual([]);
  });

  test('finds one that was refused, and is there all the same', async () => {
    expect(await anomalies(submit(FAIL), result('done'), effects([]))).toContain('of nobody');
    expect(await anomalies(submit(FAIL), effects([]))).toEqual([]);
    expect(await anomalies(submit(INFO), result('done'), effects(['a', 'b']))).toEqual([]);
  });

  test('finds what was done before it was submitted', async () => {
    const later = submit({ begin: 15, end: 16 });
    expect(await anomalies(later, result('done'), effects(['a', 'b']))).toEqual(['too early']);
    expect(await anomalies(later, effects(['a'], 5), effects(['a', 'b']))).toContain('too early');
    const atOnce = submit({ begin: 10.5, end: 16 });
    expect(await anomalies(atOnce, result('done'), effects(['a', 'b']))).toEqual([]);
  });

  test('does not know of each job what it has done unless that is told in the end', async () => {
    const other = (one: Planned): Planned => ({ ...one, key: 'i' });
    const verdict = async (...more: Planned[]): Promise<boolean | 'unknown'> => {
      const told = [submit(), result('done'), effects(['a', 'b'])];
      return (await judge(jobChecker(), lines(...told, ...more))).valid;
    };
    const another = [other(submit()), other(result('done'))];
    expect(await verdict(...another)).toBe('unknown');
    expect(await verdict(...another, other(effects(['a', 'b'], 5)))).toBe('unknown');
    expect(await verdict(...another, other(effects(['a', 'b'])))).toBe(true);
    expect(await verdict(other(submit(FAIL)))).toBe('unknown');
    expect(await verdict(other(submit(FAIL)), other(effects([])))).toBe(true);
  });

  test('does not know of a job that has not ended, or whose effects nobody tells', async () => {
    expect((await judge(jobChecker(), lines(submit(), effects(['a'])))).valid).toBe('unknown');
    expect((await judge(jobChecker(), lines(submit(), result('done')))).valid).toBe('unknown');
  });
});

describe('the checker of large values', () => {
  const value = (sha256: string) => ({ bytes: 8_388_608, sha256 });
  const put = (sha256: string, begin: number, key = 'x'): Planned =>
    op(begin, begin + 1, 'put', value(sha256), undefined, { key });
  const get = (answer: unknown, begin: number): Planned =>
    op(begin, begin + 1, 'get', null, answer, { key: 'x' });

  test('finds content that nobody has written, or that is of another key', async () => {
    const anomalies = (...planned: Planned[]): Promise<string[]> =>
      found(largeValueChecker(), lines(...planned));
    expect(await anomalies(put('aa', 0), get(value('aa'), 2))).toEqual([]);
    expect(await anomalies(put('aa', 0), get(value('ab'), 2))).toEqual(['damaged']);
    expect(await anomalies(put('aa', 0), get({ bytes: 5, sha256: 'aa' }, 2))).toEqual(['damaged']);
    expect(await anomalies(put('aa', 0), put('bb', 0, 'y'), get(value('bb'), 2))).toEqual([
      'damaged',
    ]);
  });

  test('finds content that is old', async () => {
    const history = lines(put('aa', 0), put('bb', 2), get(value('aa'), 4));
    expect(await judge(largeValueChecker(), history)).toMatchObject({
      valid: false,
      checker: 'large-values',
    });
    expect((await judge(largeValueChecker(), lines(put('aa', 0)))).valid).toBe('unknown');
  });
});
