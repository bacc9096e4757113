import { describe, expect, expectTypeOf, test } from 'vitest';
import { json, text } from '../../src/client/codec.js';
import { compare } from '../../src/client/compare.js';
import type { Client } from '../../src/client/kv-client.js';
import { op } from '../../src/client/op.js';
import type { DeleteRangeResult, Item, PutResult } from '../../src/client/results.js';
import { Harness } from './support/harness.js';

type TextClient = Client<string, string, 'text'>;

async function given(items: Record<string, string> = {}): Promise<{ h: Harness; db: TextClient }> {
  const h = new Harness();
  const db = await h.connect({ codec: text });
  for (const [key, value] of Object.entries(items)) await h.until(db.put(key, value));
  return { h, db };
}

describe('a transaction', () => {
  test('does all of its first branch at one revision when every condition holds', async () => {
    const { h, db } = await given({ a: '1', b: '2', 'p/1': 'x', 'p/2': 'y' });
    const result = await h.until(
      db
        .txn()
        .when(
          compare.modRevision('a').equals(1),
          compare.value('b').equals('2'),
          compare.absent('c'),
          compare.exists('a'),
          compare.range({ prefix: 'p/' }).modRevision.lessThan(5),
          compare.range({ prefix: 'p/' }).count.equals(2),
        )
        .do(
          op.put('a', '1+', { returnPrevious: true }),
          op.get('a'),
          op.range({ prefix: 'p/', limit: 1 }),
          op.delete('b'),
          op.deleteRange({ prefix: 'p/' }),
          op.get('none'),
        )
        .commit(),
    );
    if (!result.succeeded) throw new Error('a condition failed');
    const [put, got, range, gone, all, none] = result.results;
    expect(put).toMatchObject({ revision: 5, previous: { key: 'a', value: '1' } });
    expect(got).toMatchObject({ value: '1+', modRevision: 5, version: 2 });
    expect(range).toMatchObject({ items: [{ key: 'p/1', value: 'x' }], count: 2 });
    expect(gone).toEqual({ deleted: true, revision: 5 });
    expect(all).toEqual({ deleted: 2, revision: 5 });
    expect(none).toMatchObject({ value: undefined, modRevision: 0, lease: 0 });
    expect(result).toMatchObject({ revision: 5, meta: { replica: 'n1' } });
    expect(h.cluster.revision).toBe(5);
  });

  test('does the other branch when a condition does not hold', async () => {
    const { h, db } = await given({ a: '1' });
    const result = await h.until(
      db
        .txn()
        .when(compare.version('a').greaterThan(1))
        .do(op.put('a', '2'))
        .otherwise(op.get('a'), op.put('seen', 'yes'))
        .commit(),
    );
    expect(result).toMatchObject({ succeeded: false, revision: 2 });
    expect(result.results[0]).toMatchObject({ value: '1' });
  });

  test.each([
    ['value less', compare.value('a').lessThan('2'), true],
    ['value greater', compare.value('a').greaterThan('2'), false],
    ['value not', compare.value('a').notEquals('1'), false],
    ['value of nothing is not', compare.value('x').notEquals('1'), false],
    ['value of nothing', compare.value('x').equals('1'), false],
    ['createRevision', compare.createRevision('a').equals(1), true],
    ['modRevision not', compare.modRevision('a').notEquals(1), false],
    ['lease', compare.lease('a').equals(0), true],
    ['values of a range', compare.range({ from: 'a', to: 'c' }).value.lessThan('3'), true],
    ['one value of a range', compare.range({ from: 'a' }).value.equals('1'), false],
    ['versions of a range', compare.range({ from: 'a' }).version.equals(1), true],
    ['createRevisions of a range', compare.range({ from: 'a' }).createRevision.lessThan(2), false],
    ['leases of a range', compare.range({ from: 'a' }).lease.greaterThan(0), false],
    ['an empty range', compare.range({ prefix: 'x' }).version.greaterThan(9), false],
    ['an empty range as none', compare.range({ prefix: 'x' }).createRevision.equals(0), true],
  ])('compares %s', async (_name, condition, holds) => {
    const { h, db } = await given({ a: '1', b: '2' });
    const result = await h.until(db.txn().when(condition).do(op.get('a')).commit());
    expect(result.succeeded).toBe(holds);
  });

  test('takes another one as a step, which sees what was written before it', async () => {
    const { h, db } = await given({ a: '1' });
    const inner = op
      .txn()
      .when(compare.value('a').equals('2'))
      .do(op.put('inner', 'yes'))
      .otherwise(op.get('a'));
    const result = await h.until(db.txn().do(op.put('a', '2'), inner).commit());
    if (!result.succeeded) throw new Error('it has no conditions');
    const [, nested] = result.results;
    expect(nested).toMatchObject({ succeeded: true, results: [{ revision: 2 }], revision: 2 });
    expect(await h.until(db.get('inner'))).toMatchObject({ value: 'yes', modRevision: 2 });
  });

  test('that writes a key twice is refused as a whole, and others of its batch are not', async () => {
    const { h, db } = await given();
    const twice = h.failure(db.txn().do(op.put('a', '1'), op.delete('a')).commit());
    const put = db.put('b', '1');
    expect(await twice).toMatchObject({ code: 'KEY_DUPLICATE', outcome: 'not-applied' });
    expect(await h.until(put)).toMatchObject({ revision: 1 });
    expect(await h.until(db.get('a'))).toMatchObject({ value: undefined });
  });

  test('nested too deep is refused for itself: what is written beside it is not', async () => {
    const { h, db } = await given();
    const third = op.txn().do(op.txn().do(op.put('a', '1')));
    const kept = db.txn().do(op.txn().do(third)).commit();
    const refused = db
      .txn()
      .do(op.txn().do(op.txn().do(third)))
      .commit();
    const beside = db.put('b', '1');
    const error = await h.failure(refused);
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', outcome: 'not-applied' });
    expect((await h.until(kept)).succeeded).toBe(true);
    expect((await h.until(beside)).revision).toBe(2);
  });

  test('reads ranges by keys alone, by number, in reverse and by revision', async () => {
    const { h, db } = await given({ a: '1', b: '2', c: '3' });
    const result = await h.until(
      db
        .txn()
        .do(
          op.range({ from: 'a', keysOnly: true, reverse: true, limit: 2 }),
          op.range({ from: '', countOnly: true }),
          op.range({ from: '', minModRevision: 2, maxCreateRevision: 2 }),
          op.range({ from: '', limit: 0 }),
        )
        .commit(),
    );
    if (!result.succeeded) throw new Error('it has no conditions');
    const [keys, count, some, nothing] = result.results;
    expect(keys.items.map(({ key }) => key)).toEqual(['c', 'b']);
    expect(keys.items[0]).toMatchObject({ value: undefined, modRevision: 3 });
    expect(count).toEqual({ items: [], count: 3 });
    expect(some.items.map(({ key }) => key)).toEqual(['b']);
    expect(nothing).toEqual({ items: [], count: 3 });
  });

  test('goes in order with other writes of its client, in one batch with them', async () => {
    const { h, db } = await given();
    const results = [
      db.put('k', '1'),
      db.txn().when(compare.value('k').equals('1')).do(op.put('k', '2')).commit(),
      db.cas('k', { expected: { value: '2' }, value: '3' }),
    ];
    expect(await h.until(Promise.all(results))).toMatchObject([
      { revision: 1 },
      { succeeded: true, revision: 2 },
      { succeeded: true, revision: 3 },
    ]);
    expect(h.cluster.received('write')).toHaveLength(1);
  });

  test('put together is no promise: awaiting it sends nothing', async () => {
    const { h, db } = await given();
    const txn = db.txn().do(op.put('a', '1'));
    expect(await txn).toBe(txn);
    expect(h.cluster.frames).toEqual([]);
    const more = txn.do(op.put('b', '1'));
    await h.until(txn.commit());
    expect(await h.until(db.get('b'))).toMatchObject({ value: undefined });
    await h.until(more.commit());
    expect(await h.until(db.get('b'))).toMatchObject({ value: '1' });
  });

  test('says what is wrong with it before it is sent', async () => {
    const { h, db } = await given();
    const empty = await h.failure(db.txn().commit());
    expect(empty).toMatchObject({ code: 'INVALID_ARGUMENT', outcome: 'not-applied' });
    const noKey = await h.failure(db.txn().do(op.get('')).commit());
    expect(noKey).toMatchObject({ code: 'KEY_EMPTY' });
    const number = db.txn().when(compare.version('a').equals(-1)).commit();
    expect(await h.failure(number)).toMatchObject({ code: 'INVALID_ARGUMENT' });
    const many = Array.from({ length: 10_001 }, (_, i) => op.get(`k${i}`));
    expect(
      await h.failure(
        db
          .txn()
          .do(...many)
          .commit(),
      ),
    ).toMatchObject({ code: 'TXN_TOO_LARGE' });
    expect(h.cluster.frames).toEqual([]);
    // @ts-expect-error not a step
    expect(() => db.txn().do(db.put('a', '1'))).toThrow(/op\.put/);
    await h.clock.advance(10);
  });
});

interface User {
  readonly name: string;
  readonly kind: 'person' | 'robot';
}

describe('the types of results', () => {
  test('follow from the steps', async () => {
    const h = new Harness();
    const db = await h.connect({ codec: json<User>(), keys: 'text' });
    const user: User = { name: 'Ada', kind: 'person' };
    await h.until(db.put('u', user));
    const result = await h.until(
      db
        .txn()
        .when(compare.value('u').notEquals({ name: 'x', kind: 'robot' }))
        .do(
          op.put('u', { name: 'Ada', kind: 'person' }),
          op.put('v', user, { returnPrevious: true }),
          op.get('u'),
          op.range({ prefix: 'u', keysOnly: true }),
          op.range({ prefix: 'u' }),
          op.deleteRange({ prefix: 'x', returnPrevious: true }),
          op.txn().do(op.get('u')).otherwise(op.delete('y')),
        )
        .otherwise(op.get('u'))
        .commit(),
    );
    if (result.succeeded) {
      const [put, previous, got, keys, items, gone, nested] = result.results;
      expectTypeOf(result.results.length).toEqualTypeOf<7>();
      expectTypeOf(put).toEqualTypeOf<{ readonly revision: number }>();
      expectTypeOf(previous.previous).toEqualTypeOf<Item<User, 'text'> | null>();
      expectTypeOf(got.value).toEqualTypeOf<User | undefined>();
      expectTypeOf(keys.items).toEqualTypeOf<readonly Item<undefined, 'text'>[]>();
      expectTypeOf(items.items).toEqualTypeOf<readonly Item<User, 'text'>[]>();
      expectTypeOf(gone.previous).toEqualTypeOf<readonly Item<User, 'text'>[]>();
      if (nested.succeeded) {
        expectTypeOf(nested.results[0].value).toEqualTypeOf<User | undefined>();
      } else {
        expectTypeOf(nested.results[0].deleted).toEqualTypeOf<boolean>();
      }
      expect(got.value).toEqual(user);
    } else {
      expectTypeOf(result.results.length).toEqualTypeOf<1>();
      expectTypeOf(result.results[0].value).toEqualTypeOf<User | undefined>();
      expect.unreachable();
    }
  });

  test('know whether what was there before was asked for', async () => {
    const h = new Harness();
    const db = await h.connect();
    const plain = db.put('k', 'v', { timeoutMs: 1000 });
    expectTypeOf(plain).resolves.toEqualTypeOf<PutResult>();
    const asked = db.put('k', 'v', { returnPrevious: true });
    expectTypeOf(asked).resolves.toHaveProperty('previous').toEqualTypeOf<Item | null>();
    const perhaps = db.put('k', 'v', { returnPrevious: h.cluster.revision > 0 });
    expectTypeOf(perhaps)
      .resolves.toHaveProperty('previous')
      .toEqualTypeOf<Item | null | undefined>();
    const range = db.deleteRange({ prefix: 'a' });
    expectTypeOf(range).resolves.toEqualTypeOf<DeleteRangeResult>();
    const many = db.deleteRange({ prefix: 'a', returnPrevious: true });
    expectTypeOf(many).resolves.toHaveProperty('previous').toEqualTypeOf<readonly Item[]>();
    await h.until(Promise.all([plain, asked, perhaps, range, many]));
  });

  test('refuse values that the codec does not take', async () => {
    const h = new Harness();
    const db = await h.connect({ codec: json<User>() });
    // @ts-expect-error not a User
    db.txn().do(op.put('u', 7));
    // @ts-expect-error not a User, in a nested transaction
    db.txn().do(op.txn().do(op.put('u', 7)));
    // @ts-expect-error not a User
    db.txn().when(compare.value('u').equals(7));
    expect(h.cluster.frames).toEqual([]);
  });
});
