import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { appendChecker } from '../../jepsen-like/checkers/append/append-lists.js';
import {
  findAnomalies,
  type ListOperation,
  type ListTransaction,
} from '../../jepsen-like/checkers/append/list-anomalies.js';
import { found, INFO, judge, lines, op, type Planned } from './histories.js';

/** `x+1` appends, `x:1,2` reads. */
function parse(text: string): ListOperation {
  const [, key = '', sign, rest = ''] = /^(\w)([+:])(.*)$/.exec(text) ?? [];
  if (sign === '+') return { type: 'append', key, value: rest };
  return { type: 'read', key, values: rest === '' ? [] : rest.split(',') };
}

const ALWAYS = { beginMs: 0, endMs: 1000, isStrict: true } as const;

/** One transaction, which runs at the same time as all others. */
function txn(name: string, operations: string, more: Partial<ListTransaction> = {}) {
  const parsed = operations.split(' ').map(parse);
  return { ...ALWAYS, name, status: 'applied', operations: parsed, ...more } as ListTransaction;
}

function names(...transactions: readonly ListTransaction[]): string[] {
  return findAnomalies(transactions).map(({ name }) => name);
}

describe('what the reads tell of by themselves', () => {
  test('a value that is there twice', () => {
    expect(names(txn('a', 'x+1'), txn('b', 'x:1,1'))).toEqual(['duplicate value']);
  });

  test('a value that nobody appended there', () => {
    expect(names(txn('a', 'x+1'), txn('b', 'x:2'))).toEqual(['value of nobody']);
    expect(names(txn('a', 'x+1'), txn('b', 'y:1'))).toEqual(['value of nobody']);
  });

  test('reads of one list that are not the beginning of each other', () => {
    const found = names(txn('a', 'x+1'), txn('b', 'x+2'), txn('c', 'x:1'), txn('d', 'x:2,1'));
    expect(found).toEqual(['incompatible order']);
  });

  test('a transaction that does not see what it did itself', () => {
    expect(names(txn('a', 'x+1 x:'))).toEqual(['internal']);
    expect(names(txn('b', 'x+2'), txn('a', 'x+1 x:1,2'))).toEqual(['internal']);
    expect(names(txn('b', 'x+2'), txn('a', 'x+1 x:2,1'))).toEqual([]);
  });

  test('G1a: what a transaction that was not applied appended', () => {
    expect(names(txn('a', 'x+1', { status: 'failed' }), txn('b', 'x:1'))).toEqual(['G1a']);
    expect(names(txn('a', 'x+1', { status: 'unknown' }), txn('b', 'x:1'))).toEqual([]);
  });

  test('values need not differ from those of other lists', () => {
    expect(names(txn('a', 'x+1 y+1'), txn('b', 'x:1 y:1'))).toEqual([]);
    expect(names(txn('a', 'x+1'), txn('b', 'y+1 x:'), txn('c', 'x:1 y:'))).toEqual(['G2']);
  });

  test('G1b: a list as it was in the middle of a transaction', () => {
    expect(names(txn('a', 'x+1 x+2'), txn('b', 'x:1'), txn('c', 'x:1,2'))).toEqual(['G1b']);
    expect(names(txn('a', 'x+1 x+2'), txn('c', 'x:1,2'))).toEqual([]);
  });
});

describe('cycles', () => {
  test('G0: two that wrote over each other', () => {
    const found = names(txn('a', 'x+1 y+2'), txn('b', 'x+3 y+4'), txn('c', 'x:1,3 y:4,2'));
    expect(found).toEqual(['G0']);
  });

  test('G1c: two that saw each other', () => {
    expect(names(txn('a', 'x+1 y:2'), txn('b', 'y+2 x:1'))).toEqual(['G1c']);
  });

  test('G1c: over three, and a list whose order is known of another', () => {
    const found = names(
      txn('a', 'x+1 z:5'),
      txn('b', 'x:1 y+2'),
      txn('c', 'y+3 z+5'),
      txn('d', 'y:2,3'),
    );
    expect(found).toEqual(['G1c']);
  });

  test('G-single: one that saw half of another (read skew)', () => {
    expect(names(txn('a', 'x+1 y+2'), txn('b', 'x:1 y:'), txn('c', 'y:2'))).toEqual(['G-single']);
  });

  test('G-single: a lost update', () => {
    const found = names(txn('a', 'x: x+1'), txn('b', 'x: x+2'), txn('c', 'x:1,2'));
    expect(found).toEqual(['G-single']);
  });

  test('G2: each wrote over what the other had read (write skew)', () => {
    const found = names(txn('a', 'x: y+1'), txn('b', 'y: x+2'), txn('c', 'x:2 y:1'));
    expect(found).toEqual(['G2']);
  });

  test('G2: a lost update of two that nobody has read since, so that their order is not known', () => {
    expect(names(txn('a', 'x: x+1'), txn('b', 'x: x+2'))).toEqual(['G2']);
    expect(names(txn('a', 'x: x+1'), txn('b', 'x+2'))).toEqual([]);
  });

  test('one of unknown outcome has its place in them once it was seen', () => {
    const unsure = { status: 'unknown', endMs: Number.POSITIVE_INFINITY } as const;
    const found = names(txn('a', 'x+1 y+2', unsure), txn('b', 'x:1 y:'), txn('c', 'y:2'));
    expect(found).toEqual(['G-single']);
    expect(names(txn('a', 'x+1 y+2', unsure), txn('b', 'x: y:'))).toEqual([]);
  });

  test('one of unknown outcome of which a half was seen was applied, so that the other half is lost', () => {
    const unsure = { status: 'unknown', endMs: Number.POSITIVE_INFINITY } as const;
    expect(names(txn('a', 'x+1 y+2', unsure), txn('b', 'x:1 y:'))).toEqual(['G-single']);
    expect(names(txn('a', 'x+1 y+2', unsure), txn('b', 'x:1'), txn('c', 'y:'))).toEqual([]);
    expect(names(txn('a', 'x+1 y+2', unsure), txn('b', 'x: y:'), txn('c', 'x:1'))).toEqual([]);
  });
});

describe('the checker of transactions on lists', () => {
  const asked = [
    ['append', 'x', 1],
    ['r', 'y', null],
  ];
  const read = (begin: number, values: number[]): Planned =>
    op(begin, begin + 1, 'txn', [['r', 'x', null]], [['r', 'x', values]]);
  const answered = (answer: unknown): Promise<string[]> =>
    found(appendChecker(), lines(op(0, 1, 'txn', asked, answer), read(2, [1])));

  test('does not know of a list that nobody has read since something was appended to it', async () => {
    const append = op(2, 3, 'txn', [['append', 'x', 1]]);
    const valid = async (...planned: Planned[]): Promise<boolean | 'unknown'> =>
      (await judge(appendChecker(), lines(...planned))).valid;
    expect(await valid(read(0, []), append)).toBe('unknown');
    expect(await valid(read(0, []), append, read(2.5, [1]))).toBe('unknown');
    expect(await valid(read(0, []), append, read(4, [1]))).toBe(true);
    expect(await valid(read(0, []), { ...append, ...INFO })).toBe(true);
  });

  test('accepts the steps that were asked for, with what was read', async () => {
    expect(
      await answered([
        ['append', 'x', 1],
        ['r', 'y', []],
      ]),
    ).toEqual([]);
  });

  test('finds an answer with other steps than were asked for', async () => {
    const lists = [
      [['append', 'x', 1]],
      [],
      [
        ['append', 'x', 7],
        ['r', 'y', []],
      ],
      [
        ['append', 'x', 1],
        ['r', 'z', []],
      ],
      [
        ['r', 'y', []],
        ['append', 'x', 1],
      ],
    ];
    for (const answer of lists) expect(await answered(answer)).toContain('other steps');
    expect(await found(appendChecker(), [...lines(op(0, 1, 'txn', asked, null))])).toContain(
      'other steps',
    );
  });
});

describe('real time', () => {
  const at = (beginMs: number, endMs: number, isStrict = true) => ({ beginMs, endMs, isStrict });

  test('a read that does not see what had been answered before it began', () => {
    const written = txn('a', 'x+1', at(0, 10));
    const end = txn('c', 'x:1', at(100, 110));
    expect(findAnomalies([written, txn('b', 'x:', at(20, 30)), end])).toEqual([
      expect.objectContaining({
        name: 'G-single in real time',
        description: expect.stringContaining('b -rw x[0]-> a'),
        transactions: ['b', 'a'],
      }),
    ]);
    // It began before the other had ended, or is allowed to be old.
    expect(names(written, txn('b', 'x:', at(5, 30)), end)).toEqual([]);
    expect(names(written, txn('b', 'x:', at(20, 30, false)), end)).toEqual([]);
  });

  test('an append that comes before one that had ended when it began', () => {
    const found = names(
      txn('a', 'x+1', at(0, 10)),
      txn('b', 'x+2', at(20, 30)),
      txn('c', 'x:2,1', at(100, 110)),
    );
    expect(found).toEqual(['G0 in real time']);
  });

  test('a value that is seen before its transaction begins', () => {
    expect(names(txn('a', 'x:1', at(0, 10)), txn('b', 'x+1', at(20, 30)))).toEqual([
      'G1c in real time',
    ]);
  });

  test('an append that is in no later read: lost', () => {
    const written = txn('a', 'x+1', at(0, 10));
    const later = txn('b', 'x:', at(20, 30));
    expect(names(written, later)).toEqual(['G-single in real time']);
    expect(names(written, txn('b', 'x:', at(5, 30)))).toEqual([]);
    expect(names(txn('a', 'x+1', { ...at(0, 10), status: 'unknown' }), later)).toEqual([]);
  });

  test('two orders that nobody can have seen both of', () => {
    const found = names(
      txn('a', 'x+1', at(0, 100)),
      txn('b', 'y+2', at(0, 100)),
      txn('c', 'x:1 y:', at(0, 100)),
      txn('d', 'y:2 x:', at(0, 100)),
    );
    expect(found).toEqual(['G2']);
  });

  test('two that read the same, of which the later one saw less', () => {
    const found = names(
      txn('a', 'x+1', at(0, 100)),
      txn('b', 'x:1', at(10, 20)),
      txn('c', 'x:', at(30, 40)),
    );
    expect(found).toEqual(['G-single in real time']);
  });
});

interface Step {
  readonly operations: readonly { readonly key: string; readonly isRead: boolean }[];
  readonly status: 'applied' | 'failed' | 'unknown' | 'unknown, applied';
  readonly earlier: number;
  readonly later: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  operations: fc.array(fc.record({ key: fc.constantFrom('x', 'y', 'z'), isRead: fc.boolean() }), {
    minLength: 1,
    maxLength: 4,
  }),
  status: fc.constantFrom('applied', 'applied', 'applied', 'failed', 'unknown', 'unknown, applied'),
  earlier: fc.nat({ max: 30 }),
  later: fc.nat({ max: 30 }),
});

/** They run one after the other, each at some moment between its begin and its end. */
function runSerially(steps: readonly Step[]): ListTransaction[] {
  const lists = new Map<string, string[]>();
  let value = 0;
  return steps.map(({ operations, status, earlier, later }, i) => {
    const isApplied = status === 'applied' || status === 'unknown, applied';
    const before = new Map([...lists].map(([key, values]) => [key, [...values]]));
    const done = operations.map(({ key, isRead }): ListOperation => {
      if (isRead) return { type: 'read', key, values: [...(lists.get(key) ?? [])] };
      value += 1;
      lists.set(key, [...(lists.get(key) ?? []), `${value}`]);
      return { type: 'append', key, value: `${value}` };
    });
    if (!isApplied) {
      lists.clear();
      for (const [key, values] of before) lists.set(key, values);
    }
    const isUnsure = status.startsWith('unknown');
    return {
      name: `t${i}`,
      status: isUnsure ? 'unknown' : (status as 'applied' | 'failed'),
      operations: done,
      beginMs: 10 * i - earlier,
      endMs: isUnsure ? Number.POSITIVE_INFINITY : 10 * i + later,
      isStrict: true,
    };
  });
}

describe('transactions that ran one after the other', () => {
  test('are found to be right', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        expect(findAnomalies(runSerially(steps))).toEqual([]);
      }),
    );
  });

  test('are found to be wrong when one of them had read less than there was', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), fc.nat(), (steps, which) => {
        const transactions = runSerially([...steps, ...READ_ALL]);
        const stale = transactions.flatMap((transaction, i) =>
          transaction.status === 'applied' && i < steps.length
            ? transaction.operations.flatMap((operation, n) => {
                if (operation.type !== 'read' || operation.values.length === 0) return [];
                const values = operation.values.slice(0, -1);
                const operations = transaction.operations.with(n, { ...operation, values });
                // Alone in time, and nothing else was read that could be as old.
                const times = { beginMs: 10 * i - 0.5, endMs: 10 * i + 0.5 };
                return [transactions.with(i, { ...transaction, ...times, operations })];
              })
            : [],
        );
        if (stale.length === 0) return;
        const wrong = stale[which % stale.length] as ListTransaction[];
        const sharp = wrong.map((one, i) =>
          one.endMs === Number.POSITIVE_INFINITY
            ? one
            : { ...one, beginMs: 10 * i - 0.5, endMs: 10 * i + 0.5 },
        );
        const isUnsureValue = wrong.some(({ status }) => status === 'unknown');
        if (isUnsureValue) return;
        expect(findAnomalies(sharp)).not.toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});

const READ_ALL: readonly Step[] = [
  {
    operations: ['x', 'y', 'z'].map((key) => ({ key, isRead: true })),
    status: 'applied',
    earlier: 0,
    later: 0,
  },
];
