import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { leaseChecker } from '../../jepsen-like/checkers/leases.js';
import { lockChecker } from '../../jepsen-like/checkers/locks.js';
import type { FaultRecord } from '../../jepsen-like/history/operation.js';
import {
  event,
  FAIL,
  found,
  INFO,
  judge,
  lines,
  type Planned,
  op as planned,
} from './histories.js';
import { runModel } from './reference-store.js';

const SECOND = 1e9;

/** Times are in seconds. */
const op = (begin: number, end: number | null, ...rest: OperationRest): Planned =>
  planned(begin * SECOND, end === null ? null : end * SECOND, ...rest);
type OperationRest = Parameters<typeof planned> extends [unknown, unknown, ...infer R] ? R : never;

describe('the checker of locks', () => {
  const checker = lockChecker();
  const anomalies = (...planned: Planned[]): Promise<string[]> => found(checker, lines(...planned));
  const acquire = (token: number, begin: number, more: Partial<Planned> = {}): Planned =>
    op(begin, begin + 1, 'acquire', undefined, token, { key: 'l', ...more });
  const use = (f: string, token: number, begin: number, more: Partial<Planned> = {}): Planned =>
    op(begin, begin + 1, f, token, undefined, { key: 'l', ...more });

  test('accepts one holder after the other, whose tokens rise', async () => {
    const history = [
      acquire(3, 0),
      use('fenced-write', 3, 2),
      use('release', 3, 4),
      acquire(5, 4),
      use('fenced-write', 5, 6),
      use('fenced-write', 3, 8, FAIL),
    ];
    expect(await anomalies(...history)).toEqual([]);
  });

  test('finds a token that was given twice, or does not rise', async () => {
    expect(await anomalies(acquire(3, 0), acquire(3, 5))).toEqual(['a token twice']);
    expect(await anomalies(acquire(4, 0), acquire(3, 5))).toEqual(['a token that does not rise']);
    // At once they may be told in either order.
    expect(await anomalies(acquire(4, 0), op(0, 9, 'acquire', undefined, 3, { key: 'l' }))).toEqual(
      [],
    );
    expect(await anomalies(acquire(4, 0), acquire(3, 5, { key: 'other' }))).toEqual([]);
  });

  test('finds a write of a former holder that succeeded, by time and by revision', async () => {
    const late = [
      acquire(3, 0),
      acquire(5, 2),
      use('fenced-write', 5, 4),
      use('fenced-write', 3, 6),
    ];
    expect(await anomalies(...late)).toContain('a former holder wrote');
    const atOnce = (revision: number, token: number): Planned =>
      op(4, 9, 'fenced-write', token, undefined, { key: 'l', more: { revision } });
    const held = lockChecker({ isExclusive: false });
    const wrong = lines(acquire(3, 0), acquire(5, 2), atOnce(10, 5), atOnce(11, 3));
    expect(await found(held, wrong)).toEqual(['a former holder wrote']);
    const right = lines(acquire(3, 0), acquire(5, 2), atOnce(11, 5), atOnce(10, 3));
    expect(await found(held, right)).toEqual([]);
  });

  test('finds two that held it at one time, unless clocks were not to be trusted', async () => {
    const two = lines(
      acquire(3, 0),
      use('fenced-write', 3, 1),
      acquire(5, 2),
      use('fenced-write', 3, 6, FAIL),
    );
    expect(await found(checker, two)).toEqual(['held by two']);
    expect(await found(lockChecker({ isExclusive: false }), two)).toEqual([]);
    // Who was told that it is lost does not hold it any more.
    const lost = lines(acquire(3, 0), use('release', 3, 1.5), acquire(5, 2));
    expect(await found(checker, lost)).toEqual([]);
    const told = lines(
      acquire(3, 0),
      { ...op(6, 6, 'lost', 3, undefined, { key: 'l', process: 7 }) },
      acquire(5, 2, { process: 8 }),
    ).filter(({ f, type }) => f !== 'lost' || type === 'ok');
    expect(await found(checker, told)).toEqual(['held by two']);
  });

  describe('that nobody holds', () => {
    const HELD = { ...FAIL, more: { error: 'HELD' } } as const;
    const refused = (from: number): Planned[] =>
      Array.from({ length: 20 }, (_, i) =>
        op(from + i, from + i + 0.5, 'acquire', undefined, undefined, { key: 'l', ...HELD }),
      );
    const given = [acquire(3, 0), use('release', 3, 2)];

    test('must not be refused for ever', async () => {
      expect(await anomalies(...given, ...refused(3.5))).toEqual([]);
      expect(await anomalies(...given, ...refused(20))).toEqual(['never free']);
      const unsure = [acquire(3, 0), use('release', 3, 2, INFO)];
      expect(await anomalies(...unsure, ...refused(20))).toEqual(['never free']);
      expect(await anomalies(acquire(3, 0), acquire(5, 2), ...refused(40))).toEqual([]);
      const taken = acquire(0, 4, INFO);
      expect(await anomalies(...given, taken, ...refused(40))).toEqual(['never free']);
    });

    test('may be refused when somebody may hold it', async () => {
      expect(await anomalies(acquire(3, 0), ...refused(40))).toEqual([]);
      expect(await anomalies(acquire(3, 0), use('release', 3, 2, FAIL), ...refused(40))).toEqual(
        [],
      );
      const open = op(4, null, 'acquire', undefined, undefined, { key: 'l' });
      expect(await anomalies(...given, open, ...refused(40))).toEqual([]);
      // It was given after all: before that it may have been held by who was not told yet.
      const late = op(9, 70, 'acquire', undefined, 5, { key: 'l' });
      expect(await anomalies(...given, late, ...refused(40))).toEqual([]);
    });

    test('may be refused while faults are on', async () => {
      const faults: FaultRecord[] = [
        { time: 5 * SECOND, fault: 'partition', nodes: ['n1'], phase: 'begin' },
        { time: 30 * SECOND, fault: 'partition', nodes: ['n1'], phase: 'end' },
      ];
      const history = lines(...given, ...refused(20));
      expect(await found(lockChecker({ faults }), history)).toEqual([]);
      const later = lines(...given, ...refused(45));
      expect(await found(lockChecker({ faults }), later)).toEqual(['never free']);
    });
  });

  test('does not know when nobody got a lock', async () => {
    expect((await judge(checker, lines(acquire(1, 0, FAIL)))).valid).toBe('unknown');
  });

  test('accepts what an atomic lock does', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), async (seed) => {
        let holder: number | null = null;
        let token = 0;
        const tokens = new Map<number, number>();
        const { history } = runModel({
          seed,
          clients: 4,
          operations: 80,
          unknownShare: 0,
          request: (random, client) => {
            const own = tokens.get(client);
            if (own === undefined) return { f: 'acquire', key: 'l' };
            return random.int(2) === 0
              ? { f: 'fenced-write', key: 'l', value: own }
              : { f: 'release', key: 'l', value: own };
          },
          effect: ({ f, value }, store, client) => {
            if (f === 'acquire') {
              if (holder !== null) return { type: 'fail' };
              holder = client;
              token += 1;
              tokens.set(client, token);
              return { value: token, revision: store.write([['l', token]]) };
            }
            if (f === 'fenced-write') return { value, revision: store.write([['w', value]]) };
            holder = null;
            tokens.delete(client);
            return { value };
          },
        });
        expect((await judge(checker, history)).valid).toBe(true);
      }),
      { numRuns: 40 },
    );
  });
});

describe('the checker of leases', () => {
  const L = 'lease-1';
  const grant = op(0, 1, 'grant', 10_000, L);
  const attach = op(1, 2, 'attach', L, undefined, { key: 'k' });
  const alive = (begin: number, end: number | null, more: Partial<Planned> = {}): Planned =>
    op(begin, end, 'keep-alive', L, undefined, more);
  const get = (begin: number, answer: unknown): Planned =>
    op(begin, begin + 0.1, 'get', undefined, answer, { key: 'k' });
  const gone = (seconds: number, revision = 9, key = 'k') =>
    event(revision, key, null, seconds * SECOND);
  /** Another one, which ends by itself. */
  const other = [
    op(0, 1, 'grant', 10_000, 'lease-0'),
    op(1, 2, 'attach', 'lease-0', undefined, { key: 'o' }),
    op(11.2, 11.3, 'get', undefined, null, { key: 'o' }),
  ];
  const checker = leaseChecker();
  const anomalies = (
    planned: readonly Planned[],
    ...watch: ReturnType<typeof gone>[]
  ): Promise<string[]> => found(checker, lines(grant, attach, ...other, ...planned), watch);

  test('finds a key that went before its time', async () => {
    expect(await anomalies([], gone(8))).toEqual(['early']);
    expect(await anomalies([], gone(10))).toEqual([]);
    expect(await anomalies([alive(5, 6)], gone(12))).toEqual(['early']);
    expect(await anomalies([alive(5, 6)], gone(15))).toEqual([]);
    // One that was not acknowledged promises nothing.
    expect(await anomalies([alive(5, 6, INFO)], gone(10))).toEqual([]);
    expect(await anomalies([alive(5, 6, FAIL)], gone(10))).toEqual([]);
  });

  test('a share of its time is taken off for clocks that run fast, as an option', async () => {
    const history = lines(grant, attach);
    expect(await found(leaseChecker({ clockShare: 0 }), history, [gone(9.5)])).toEqual(['early']);
    expect(await found(leaseChecker({ clockShare: 0.1 }), history, [gone(9.5)])).toEqual([]);
  });

  test('finds by reads, too, that it went before its time', async () => {
    expect(await anomalies([get(7, null)])).toEqual(['early']);
    expect(await anomalies([get(11, null)])).toEqual([]);
    // Before it was put on the lease nothing was there.
    expect(await anomalies([get(1.2, null), get(11, null)])).toEqual([]);
  });

  test('finds a key that is there long after its time, unless faults were in the way', async () => {
    expect(await anomalies([get(25, L)], gone(26))).toEqual(['late']);
    expect(await anomalies([get(15, L)], gone(16))).toEqual([]);
    const faults: FaultRecord[] = [
      { time: 5 * SECOND, fault: 'partition', nodes: ['n1'], phase: 'begin' },
      { time: 20 * SECOND, fault: 'partition', nodes: ['n1'], phase: 'end' },
    ];
    const history = lines(grant, attach, get(25, L));
    expect(await found(leaseChecker({ faults }), history, [gone(26)])).toEqual([]);
    expect(await anomalies([alive(5, 6, INFO), get(25, L)], gone(26))).toEqual([]);
  });

  test('finds keys of one lease that went apart', async () => {
    const other = op(1, 2, 'attach', L, undefined, { key: 'k2' });
    expect(await anomalies([other], gone(12, 9), gone(12, 10, 'k2'))).toEqual(['apart']);
    expect(await anomalies([other], gone(12, 9), gone(12, 9, 'k2'))).toEqual([]);
  });

  test('finds a lease that is kept alive after its end', async () => {
    expect(await anomalies([alive(13, 14)], gone(12))).toEqual(['alive after its end']);
  });

  test('one that was revoked may go at once', async () => {
    expect(await anomalies([op(3, 4, 'revoke', L)], gone(4))).toEqual([]);
    expect(await anomalies([op(3, 4, 'revoke', L)], gone(2.5))).toEqual(['early']);
  });

  test('finds a key that is there when its lease was revoked', async () => {
    const revoke = op(3, 4, 'revoke', L);
    expect(await anomalies([revoke, get(5, L), get(11, null)], gone(6))).toEqual([
      'there after its end',
    ]);
    expect(await anomalies([revoke, get(3.5, L), get(11, null)], gone(4))).toEqual([]);
    const unsure = op(3, 4, 'revoke', L, undefined, INFO);
    expect(await anomalies([unsure, get(5, L), get(11, null)], gone(6))).toEqual([]);
    const refused = op(3, 4, 'revoke', L, undefined, FAIL);
    expect(await anomalies([refused, get(5, L), get(11, null)], gone(11))).toEqual([]);
  });

  test('finds a lease that is kept alive when it was revoked', async () => {
    expect(await anomalies([op(3, 4, 'revoke', L), alive(5, 6)], gone(4))).toEqual([
      'alive after its end',
    ]);
    expect(await anomalies([op(3, 4, 'revoke', L), alive(3.5, 6)], gone(6))).toEqual([]);
    const unsure = op(3, 4, 'revoke', L, undefined, INFO);
    expect(await anomalies([unsure, alive(5, 6)], gone(20))).toEqual([]);
  });

  test('finds a key that was gone and is there again, by reads and by events', async () => {
    expect(await anomalies([get(11, null), get(12, L)])).toEqual(['back again']);
    const event1 = event(3, 'k', L, 1.5 * SECOND);
    expect(await anomalies([], event1, gone(11), event(10, 'k', L, 12 * SECOND))).toEqual([
      'back again',
    ]);
    // Unless somebody has put it there.
    const other = op(11.5, 11.8, 'attach', 'lease-2', undefined, { key: 'k' });
    expect(await anomalies([get(11, null), other, get(12, 'lease-2')], gone(14))).toEqual([]);
    const late = op(1, null, 'attach', L, undefined, { key: 'k' });
    expect(await anomalies([get(11, null), late, get(12, L)], gone(11))).toEqual([]);
  });

  test('does not know when none has ended but by being revoked', async () => {
    expect((await judge(checker, lines(grant, attach), [])).valid).toBe('unknown');
    const revoked = lines(grant, attach, op(3, 4, 'revoke', L));
    expect((await judge(checker, revoked, [gone(4)])).valid).toBe('unknown');
    const unsure = lines(grant, attach, op(3, 4, 'revoke', L, undefined, INFO));
    expect((await judge(checker, unsure, [gone(4)])).valid).toBe(true);
    expect((await judge(checker, lines(grant, attach), [gone(12)])).valid).toBe(true);
  });

  test('does not know when nothing tells that a key has gone', async () => {
    const valid = async (...more: Planned[]): Promise<boolean | 'unknown'> =>
      (await judge(checker, lines(grant, attach, ...other, ...more))).valid;
    expect(await valid(get(15, L))).toBe('unknown');
    expect(await valid(get(15, L), get(16, null))).toBe(true);
  });
});
