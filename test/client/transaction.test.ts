import fc from 'fast-check';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { text } from '../../src/client/codec.js';
import type { Client } from '../../src/client/kv-client.js';
import type { Transaction } from '../../src/client/transaction.js';
import { Harness, watch } from './support/harness.js';
import { all, playMany } from './support/random-transactions.js';

type TextClient = Client<string, string, 'text'>;
type TextTransaction = Transaction<string, string, 'text'>;

async function given(
  items: Record<string, string> = {},
): Promise<{ h: Harness; db: TextClient; other: TextClient }> {
  const h = new Harness();
  const db = await h.connect({ codec: text });
  const other = await h.connect({ codec: text });
  for (const [key, value] of Object.entries(items)) await h.until(db.put(key, value));
  return { h, db, other };
}

/** Transactions of the store that arrived. */
const commits = (h: Harness): number => h.cluster.received('write').length;

describe('inside of a transaction', () => {
  test('all reads see the store as it was at the first one', async () => {
    const { h, db, other } = await given({ a: '1', b: '1' });
    const seen = await h.until(
      db.transaction(async (tx) => {
        const a = await tx.get('a');
        await other.put('b', '2');
        await other.put('c', '2');
        return [
          a.value,
          (await tx.get('b')).value,
          (await tx.get('c')).value,
          await all(tx.range()),
        ];
      }),
    );
    expect(seen).toEqual(['1', '1', undefined, ['a=1', 'b=1']]);
  });

  test('reads that begin together share one revision, too', async () => {
    const { h, db, other } = await given({ a: '0', b: '0' });
    for (let n = 1; n <= 20; n += 1) {
      const changing = Promise.all([other.put('a', `${n}`), other.put('b', `${n}`)]);
      const pair = await h.until(
        db.transaction(async (tx) => {
          const [b, a] = await Promise.all([tx.get('b'), tx.get('a')]);
          return [a.modRevision, b.modRevision, a.value, b.value];
        }),
      );
      await h.until(changing);
      // Both at the revision of the one that was written last, or both before.
      const [a = 0, b = 0] = pair as [number, number];
      const at = Math.max(a, b);
      expect(a).toBe(h.cluster.at('a', at)?.modRevision);
      expect(b).toBe(h.cluster.at('b', at)?.modRevision);
    }
  });

  test('own writes are seen by gets and ranges, in either direction', async () => {
    const { h, db } = await given({ b: '1', d: '1', f: '1' });
    const seen = await h.until(
      db.transaction(async (tx) => {
        tx.put('a', 'own');
        tx.put('d', 'own');
        tx.delete('b');
        tx.put('g', 'own');
        tx.delete('x');
        return {
          a: (await tx.get('a')).value,
          b: (await tx.get('b')).value,
          forward: await all(tx.range()),
          backward: await all(tx.range({ reverse: true })),
          two: await all(tx.range({ from: 'b', limit: 2 })),
          prefix: await all(tx.range({ prefix: 'd' })),
        };
      }),
    );
    expect(seen).toEqual({
      a: 'own',
      b: undefined,
      forward: ['a=own', 'd=own', 'f=1', 'g=own'],
      backward: ['g=own', 'f=1', 'd=own', 'a=own'],
      two: ['d=own', 'f=1'],
      prefix: ['d=own'],
    });
  });

  test('nothing is written before it is committed, and all of it at one revision then', async () => {
    const { h, db, other } = await given({ gone: '1', 'p/1': '1', 'p/2': '1' });
    const result = await h.until(
      db.transaction(async (tx) => {
        tx.put('a', '1');
        tx.put('a', '2');
        tx.delete('gone');
        expect(await tx.deleteRange({ prefix: 'p/' })).toBe(2);
        expect((await other.get('a')).value).toBeUndefined();
        return 'done';
      }),
    );
    expectTypeOf(result).toEqualTypeOf<string>();
    expect(result).toBe('done');
    expect(h.cluster.revision).toBe(4);
    expect(await h.until(db.get('a'))).toMatchObject({ value: '2', version: 1, modRevision: 4 });
    expect(await h.until(all(db.range()))).toEqual(['a=2']);
  });

  test('a range that names nothing is refused, and not all that there is removed', async () => {
    const { h, db } = await given({ a: '1', b: '1' });
    const nothing = { prefix: undefined, from: undefined } as unknown as { readonly from: string };
    const error = await h.failure(db.transaction((tx) => tx.deleteRange(nothing)));
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(await h.until(db.transaction((tx) => tx.deleteRange({ from: '' })))).toBe(2);
  });

  test('what it throws is passed on, and nothing is written', async () => {
    const { h, db } = await given({ a: '1' });
    const seen = watch(
      db.transaction(async (tx) => {
        tx.put('a', '2');
        throw new RangeError('mine');
      }),
    );
    await h.clock.advance(10);
    expect(seen.error).toBeInstanceOf(RangeError);
    expect(h.cluster.revision).toBe(1);
  });

  test('one that only reads needs no commit and never conflicts', async () => {
    const { h, db, other } = await given({ a: '1' });
    const before = commits(h);
    await h.until(
      db.transaction(async (tx) => {
        await tx.get('a');
        await other.put('a', '2');
      }),
    );
    expect(commits(h)).toBe(before + 1);
  });

  test('it cannot be used when it is over', async () => {
    const { h, db } = await given();
    let kept: TextTransaction | null = null;
    await h.until(
      db.transaction(async (tx) => {
        kept = tx;
      }),
    );
    const over = kept as TextTransaction | null;
    expect(() => over?.put('a', '1')).toThrow(BalsaError);
    await expect(over?.get('a')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('a conflict', () => {
  /** Runs `read` while another client does `change`. @returns how often it was run */
  async function runs(
    items: Record<string, string>,
    read: (tx: TextTransaction) => Promise<unknown>,
    change: (other: TextClient) => Promise<unknown>,
  ): Promise<number> {
    const { h, db, other } = await given(items);
    let count = 0;
    await h.until(
      db.transaction(async (tx) => {
        count += 1;
        await read(tx);
        if (count === 1) await change(other);
        tx.put('out', '1');
      }),
    );
    return count;
  }

  const first = async (tx: TextTransaction, options: object): Promise<void> => {
    for await (const _ of tx.range(options)) return;
  };

  test.each<
    [
      string,
      number,
      (tx: TextTransaction) => Promise<unknown>,
      (db: TextClient) => Promise<unknown>,
    ]
  >([
    ['a key that was read', 2, (tx) => tx.get('b'), (db) => db.put('b', '2')],
    ['a key that was read and is deleted', 2, (tx) => tx.get('b'), (db) => db.delete('b')],
    ['a key that was not there', 2, (tx) => tx.get('x'), (db) => db.put('x', '2')],
    ['another key', 1, (tx) => tx.get('b'), (db) => db.put('c', '2')],
    ['a value in a range', 2, (tx) => all(tx.range({ prefix: 'b' })), (db) => db.put('b', '2')],
    ['a new key in a range', 2, (tx) => all(tx.range()), (db) => db.put('bb', '2')],
    ['a key that left a range', 2, (tx) => all(tx.range()), (db) => db.delete('b')],
    [
      'a key that left and one that came',
      2,
      (tx) => all(tx.range()),
      (db) => db.txn().do(opDelete('b'), opPut('bb')).commit(),
    ],
    [
      'a new key in an empty range',
      2,
      (tx) => all(tx.range({ prefix: 'x' })),
      (db) => db.put('x1', ''),
    ],
    ['a key behind the range', 1, (tx) => all(tx.range({ to: 'c' })), (db) => db.put('c', '2')],
    ['a key behind the part that was read', 1, (tx) => first(tx, {}), (db) => db.put('c', '2')],
    ['a key before the part that was read', 2, (tx) => first(tx, {}), (db) => db.put('0', '2')],
    [
      'a key in front, in reverse',
      1,
      (tx) => first(tx, { reverse: true }),
      (db) => db.put('a', '2'),
    ],
    ['a key behind, in reverse', 2, (tx) => first(tx, { reverse: true }), (db) => db.put('d', '2')],
    ['a key behind a limit', 1, (tx) => all(tx.range({ limit: 2 })), (db) => db.put('bb', '2')],
    ['a key within a limit', 2, (tx) => all(tx.range({ limit: 2 })), (db) => db.put('aa', '2')],
    [
      'a key in a range of which only own writes were taken',
      2,
      (tx) => {
        tx.put('x2', 'own');
        return first(tx, { prefix: 'x' });
      },
      (db) => db.put('x1', '2'),
    ],
    [
      'a key in a range that is still being read',
      2,
      async (tx) => {
        const items = tx.range()[Symbol.asyncIterator]();
        await items.next();
        await items.next();
      },
      (db) => db.put('aa', '2'),
    ],
    ['a key that was written only', 1, async (tx) => tx.put('b', 'own'), (db) => db.put('b', '2')],
    [
      'a key that was written, then read',
      1,
      (tx) => {
        tx.put('b', 'own');
        return tx.get('b');
      },
      (db) => db.put('b', '2'),
    ],
  ])('over %s: it is run %i times', async (_what, times, read, change) => {
    expect(await runs({ a: '1', b: '1', c: '1' }, read, change)).toBe(times);
  });

  test('that never ends is TXN_CONFLICT, and nothing was written', async () => {
    const { h, db, other } = await given({ a: '1' });
    let count = 0;
    const error = await h.failure(
      db.transaction(
        async (tx) => {
          count += 1;
          await tx.get('a');
          await other.put('a', `${count}`);
          tx.put('out', '1');
        },
        { retries: 3 },
      ),
    );
    expect(error).toMatchObject({ code: 'TXN_CONFLICT', outcome: 'not-applied', retryable: true });
    expect(count).toBe(4);
    expect(h.cluster.at('out', null)).toBeNull();
  });

  test('history that is compacted meanwhile makes it begin again', async () => {
    const { h, db, other } = await given({ a: '1', b: '1' });
    let count = 0;
    await h.until(
      db.transaction(async (tx) => {
        count += 1;
        await tx.get('a');
        if (count === 1) {
          const { revision } = await other.put('b', '2');
          await other.compact(revision);
        }
        tx.put('out', (await tx.get('b')).value ?? '');
      }),
    );
    expect(count).toBe(2);
    expect(await h.until(db.get('out'))).toMatchObject({ value: '2' });
  });

  test('a commit whose outcome is not known is not run again', async () => {
    const { h, db } = await given({ a: '1' });
    let count = 0;
    const work = async (tx: TextTransaction): Promise<void> => {
      count += 1;
      await tx.get('a');
      tx.put('a', '2');
      h.cluster.fate = (request) => (request.type === 'write' ? 'apply-only' : undefined);
    };
    const error = await h.failure(db.transaction(work, { timeoutMs: 200 }));
    expect(error).toMatchObject({ outcome: 'unknown' });
    expect(count).toBe(1);
  });
});

const opPut = (key: string) => ({ type: 'put', key, value: '', options: {} }) as const;
const opDelete = (key: string) => ({ type: 'delete', key, options: {} }) as const;

describe('serializability', () => {
  test('write skew is impossible: of two on call, one stays', async () => {
    const { h, db, other } = await given({ 'call/ada': 'yes', 'call/bob': 'yes' });
    const leave = (client: TextClient, who: string): Promise<void> =>
      client.transaction(async (tx) => {
        const on = await all(tx.range({ prefix: 'call/' }));
        if (on.length > 1) tx.delete(`call/${who}`);
      });
    await h.until(Promise.all([leave(db, 'ada'), leave(other, 'bob')]));
    expect(await h.until(all(db.range({ prefix: 'call/' })))).toHaveLength(1);
  });

  test('phantoms are impossible: of five that find a range empty, one fills it', async () => {
    const { h, db } = await given();
    const book = async (guest: number): Promise<void> => {
      const client: TextClient = await h.connect({ codec: text });
      await client.transaction(async (tx) => {
        const booked = await all(tx.range({ prefix: 'room/1/' }));
        if (booked.length === 0) tx.put(`room/1/${guest}`, 'booked');
      });
    };
    const guests = Promise.all([1, 2, 3, 4, 5].map(book));
    await h.until(guests);
    expect(await h.until(all(db.range({ prefix: 'room/' })))).toHaveLength(1);
  });

  test('whatever many clients do at once, it is as if one came after the other', async () => {
    let conflicts = 0;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 31 }), async (seed) => {
        conflicts += await playMany(new Harness(undefined, seed), seed);
      }),
      { numRuns: 25 * Number(process.env.BALSA_SOAK ?? 1) },
    );
    // The runs are worth something.
    expect(conflicts).toBeGreaterThan(50);
  });
});
