import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { registerChecker } from '../../jepsen-like/checkers/register/registers.js';
import type { HistoryOperation } from '../../jepsen-like/history/operation.js';
import { checkRegister, type Operation } from '../simulation/linearizability.js';
import { judge, lines, op, type Planned } from './histories.js';
import { registerModel } from './reference-store.js';

const checker = registerChecker();

async function valid(...planned: Planned[]): Promise<boolean | 'unknown'> {
  return (await judge(checker, lines(...planned))).valid;
}

const put = (begin: number, end: number | null, asked: unknown): Planned => ({
  begin,
  end,
  f: 'put',
  key: 'x',
  asked,
});
const get = (begin: number, end: number, answer: unknown): Planned => ({
  begin,
  end,
  f: 'get',
  key: 'x',
  answer,
});
const cas = (begin: number, end: number, asked: unknown, more: Partial<Planned> = {}): Planned => ({
  begin,
  end,
  f: 'cas',
  key: 'x',
  asked,
  ...more,
});
const REFUSED = { type: 'fail', more: { error: 'CONDITION_FAILED' } } as const;

describe('the checker of registers refuses', () => {
  test('a stale read, and shows the three operations that contradict each other', async () => {
    const verdict = await judge(
      checker,
      lines(
        put(0, 1, 'a'),
        { ...put(0, 50, 'other'), key: 'y' },
        put(2, 3, 'b'),
        get(4, 5, 'b'),
        get(6, 7, 'a'),
        get(8, 9, 'b'),
      ),
    );
    expect(verdict.valid).toBe(false);
    const shown = verdict.smallest?.filter(({ type }) => type === 'ok');
    expect(shown?.map(({ f, value }) => [f, value])).toEqual([
      ['put', 'a'],
      ['put', 'b'],
      ['get', 'a'],
    ]);
  });

  test('a lost write, a value of nobody, a value from the future', async () => {
    expect(await valid(put(0, 1, 'a'), get(2, 3, null))).toBe(false);
    expect(await valid(get(0, 1, 'ghost'))).toBe(false);
    expect(await valid(get(0, 1, 'a'), put(2, 3, 'a'))).toBe(false);
  });

  test('what a write that failed wrote', async () => {
    expect(await valid({ ...put(0, 1, 'a'), type: 'fail' }, get(2, 3, 'a'))).toBe(false);
    expect(await valid({ ...put(0, 1, 'a'), type: 'info' }, get(2, 3, 'a'))).toBe(true);
  });

  test('two compare-and-sets that both found the same', async () => {
    const both = [cas(2, 10, ['a', 'b']), cas(2, 10, ['a', 'c'])];
    expect(await valid(put(0, 1, 'a'), ...both)).toBe(false);
    expect(await valid(put(0, 1, 'a'), cas(2, 10, ['a', 'b']), cas(2, 10, ['b', 'c']))).toBe(true);
  });

  test('a compare-and-set that was refused though its condition held all the time', async () => {
    expect(await valid(put(0, 1, 'a'), cas(2, 3, ['a', 'b'], REFUSED))).toBe(false);
    expect(await valid(put(0, 1, 'a'), cas(2, 3, ['z', 'b'], REFUSED))).toBe(true);
    // One that failed for another reason says nothing of the value.
    const failed = cas(2, 3, ['a', 'b'], { type: 'fail' });
    expect(await valid(put(0, 1, 'a'), failed, get(4, 5, 'a'))).toBe(true);
  });

  test('a deletion that finds what is not there, or comes undone', async () => {
    const remove = (answer: boolean): Planned => ({
      begin: 2,
      end: 3,
      f: 'delete',
      key: 'x',
      answer,
    });
    expect(await valid(remove(true))).toBe(false);
    expect(await valid(put(0, 1, 'a'), remove(false))).toBe(false);
    expect(await valid(put(0, 1, 'a'), remove(true), get(4, 5, 'a'))).toBe(false);
    expect(await valid(put(0, 1, 'a'), remove(true), get(4, 5, null))).toBe(true);
  });

  test('a write of unknown outcome that is seen, and then is not', async () => {
    expect(await valid(put(0, null, 'a'), get(1, 2, 'a'), get(3, 4, null))).toBe(false);
    expect(await valid(put(0, null, 'a'), get(1, 2, null), get(3, 4, 'a'))).toBe(true);
  });
});

describe('the checker of registers', () => {
  test('says that it does not know when a bound is reached, and never that all is well', async () => {
    const writers = Array.from({ length: 9 }, (_, n) => put(0, 100 + n, n));
    const readers = Array.from({ length: 9 }, (_, n) => get(50, 90 - n, 8 - n));
    const stale = [get(200, 201, 3), get(202, 203, 4)];
    const history = lines(...writers, ...readers, ...stale);
    const small = registerChecker({ bounds: { configurationsMax: 2, stepsMax: 1e6 } });
    const short = registerChecker({ bounds: { configurationsMax: 1e5, stepsMax: 10 } });
    for (const bounded of [small, short]) {
      const verdict = await judge(bounded, history);
      expect(verdict.valid).toBe('unknown');
      expect(verdict.text).toContain('within the bounds');
    }
    expect((await judge(checker, history)).valid).toBe(false);
  });

  test('finds an order within its bounds where they leave out much', async () => {
    const { history } = registerModel({
      seed: 3,
      clients: 8,
      operations: 1000,
      unknownShare: 0.1,
      keys: 1,
      values: 4,
    });
    const bounds = { configurationsMax: 200, stepsMax: 1e7 };
    expect((await judge(registerChecker({ bounds }), history)).valid).toBe(true);
  });

  test('says that it does not know when there is nothing to judge', async () => {
    expect((await judge(checker, [])).valid).toBe('unknown');
  });

  test('takes the names of other tools, and keeps keys apart', async () => {
    const write: Planned = { begin: 0, end: 1, f: 'write', asked: 1 };
    const read: Planned = { begin: 2, end: 3, f: 'read', answer: 1 };
    expect(await valid(write, read)).toBe(true);
    expect(await valid({ ...write, key: 'x' }, { ...read, key: 'y' })).toBe(false);
  });

  test('judges keys in shards as it does all at once', async () => {
    const { history } = registerModel({
      seed: 7,
      clients: 5,
      operations: 600,
      unknownShare: 0.05,
      keys: 9,
    });
    const sharded = await judge(registerChecker({ shardOperationsMax: 50 }), history);
    expect(sharded).toEqual(await judge(checker, history));
    expect(sharded).toMatchObject({ valid: true, details: { keys: 9 } });
  });
});

/** The oracle of the simulator is a search of its own (Wing and Gong, depth first): the two have no code in common. */
function byTheOtherSearch(history: readonly HistoryOperation[], key: string): boolean | null {
  const open = new Map<number, HistoryOperation>();
  const operations: Operation[] = [];
  const add = (begin: HistoryOperation, end: HistoryOperation | null): void => {
    const isKnown = end?.type === 'ok';
    const endMs = isKnown ? end.time : Number.POSITIVE_INFINITY;
    const common = { client: `${begin.process}`, beginMs: begin.time, endMs };
    if (begin.f === 'put') {
      operations.push({ ...common, call: { type: 'put', value: `${begin.value}` } });
    } else if (begin.f === 'delete') {
      const foundIt = isKnown ? (end.value as boolean) : null;
      operations.push({ ...common, call: { type: 'delete', found: foundIt } });
    } else if (isKnown) {
      const value = end.value === null ? null : `${end.value}`;
      operations.push({ ...common, call: { type: 'get', value } });
    }
  };
  for (const line of history) {
    if (line.key !== key) continue;
    const begin = open.get(line.process);
    if (line.type === 'invoke') open.set(line.process, line);
    else if (begin !== undefined) {
      open.delete(line.process);
      add(begin, line);
    }
  }
  for (const begin of open.values()) add(begin, null);
  const { type } = checkRegister(operations);
  return type === 'undecided' ? null : type === 'linearizable';
}

const runs = fc.record({
  seed: fc.nat(),
  clients: fc.integer({ min: 1, max: 6 }),
  operations: fc.integer({ min: 1, max: 150 }),
  unknownShare: fc.constantFrom(0, 0.05, 0.3),
  keys: fc.integer({ min: 1, max: 3 }),
});

describe('histories of an atomic store with delays and crashes', () => {
  test('are accepted, whether values are written once or often', async () => {
    await fc.assert(
      fc.asyncProperty(runs, fc.constantFrom(undefined, 3), async (run, values) => {
        const { history } = registerModel(values === undefined ? run : { ...run, values });
        const time = (history.at(-1)?.time ?? 0) + 1;
        const last = op(time, time + 1, 'get', null, null, { key: 'unused', process: 90_000 });
        expect((await judge(checker, [...history, ...lines(last)])).valid).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('with one answer changed are judged as another search judges them', async () => {
    let wrong = 0;
    await fc.assert(
      fc.asyncProperty(runs, fc.nat(), fc.nat(), async (run, which, other) => {
        const all = registerModel({ ...run, keys: 1 }).history;
        const history = all.filter(({ f }) => f !== 'cas');
        const reads = history.flatMap((line, at) =>
          line.f === 'get' && line.type === 'ok' ? [at] : [],
        );
        fc.pre(reads.length > 1);
        const at = reads[which % reads.length] as number;
        const value = history[reads[other % reads.length] as number]?.value;
        const changed = history.with(at, { ...(history[at] as HistoryOperation), value });
        const expected = byTheOtherSearch(changed, 'k0');
        fc.pre(expected !== null);
        if (!expected) wrong += 1;
        expect((await judge(checker, changed)).valid).toBe(expected);
      }),
      { numRuns: 50 },
    );
    expect(wrong).toBeGreaterThan(5);
  });
});
