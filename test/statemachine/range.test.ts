import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';
import type { TxnStep } from '../../src/base/operation.js';
import type { RangeQuery } from '../../src/statemachine/types.js';
import { bytes, del, put, Replica, readAll } from './replica.js';

const ALL = { from: bytes(''), to: null, reverse: false, keysMax: 100, revision: null };

async function alphabet(): Promise<Replica> {
  const replica = await Replica.start();
  replica.write(...['d', 'a', 'c', 'b', 'e'].map((key) => put(key, key.toUpperCase())));
  return replica;
}

describe('a range', () => {
  test('is in key order, whatever the order of the writes', async () => {
    const replica = await alphabet();

    expect(await replica.items()).toEqual(['a=A', 'b=B', 'c=C', 'd=D', 'e=E']);
  });

  test('starts with from and ends before to', async () => {
    const replica = await alphabet();

    expect(await replica.items({ from: bytes('b'), to: bytes('d') })).toEqual(['b=B', 'c=C']);
  });

  test('may be read in reverse', async () => {
    const replica = await alphabet();

    expect(await replica.items({ from: bytes('b'), to: bytes('e'), reverse: true })).toEqual([
      'd=D',
      'c=C',
      'b=B',
    ]);
  });

  test.each([
    ['c', 'c'],
    ['d', 'b'],
    ['x', 'z'],
  ])('from %s to %s is empty', async (from, to) => {
    const replica = await alphabet();
    const query = { ...ALL, from: bytes(from), to: bytes(to) };

    expect(await replica.machine.range(query)).toEqual({
      items: [],
      count: 0,
      revision: 5,
      more: false,
      continueFrom: null,
    });
  });

  test('has the keys of the user only, to the very last', async () => {
    const replica = await Replica.start();
    const key = Buffer.alloc(20, 0xff);

    replica.write({ type: 'put', key, value: bytes('last') });

    const page = await replica.machine.range(ALL);
    expect(page.items.map((item) => Buffer.from(item.key))).toEqual([key]);
  });

  test('has no deleted keys', async () => {
    const replica = await alphabet();
    replica.write(del('a'), del('c'), del('e'));

    expect(await replica.items()).toEqual(['b=B', 'd=D']);
    expect(await replica.items({ reverse: true })).toEqual(['d=D', 'b=B']);
  });

  test('gets past thousands of deleted keys in few steps, and takes no more than it needs where there are none', async () => {
    const replica = await Replica.start();
    const keys = Array.from({ length: 5000 }, (_, i) => `q/${String(i).padStart(4, '0')}`);
    for (const key of keys) replica.write(put(key, 'x'));
    for (const key of keys.slice(0, 4990)) replica.write(del(key));
    const taken: number[] = [];
    const { store } = replica;
    const scan = store.scan.bind(store);
    store.scan = async (options) => {
      const chunk = await scan(options);
      taken.push(chunk.pairs.length);
      return chunk;
    };

    const first = await replica.machine.range({ ...ALL, keysMax: 2 });
    expect(first.items.map(({ key }) => Buffer.from(key).toString())).toEqual(['q/4990', 'q/4991']);
    expect(taken.length).toBeLessThan(20);
    taken.length = 0;
    await replica.machine.range({ ...ALL, from: bytes('q/4990'), keysMax: 2 });
    expect(taken).toEqual([3]);
  });

  test('at an older revision is what it was then', async () => {
    const replica = await Replica.start();
    replica.write(
      put('a', '1'),
      put('b', '1'),
      del('a'),
      put('b', '2'),
      put('a', '2'),
      put('c', '1'),
    );

    const versions = await Promise.all(
      [0, 1, 2, 3, 4, 5, 6].map((revision) => replica.items({ revision })),
    );

    expect(versions).toEqual([
      [],
      ['a=1'],
      ['a=1', 'b=1'],
      ['b=1'],
      ['b=2'],
      ['a=2', 'b=2'],
      ['a=2', 'b=2', 'c=1'],
    ]);
  });

  test('says of each key where it was created and modified', async () => {
    const replica = await Replica.start();
    replica.write(put('a', '1'), put('a', '2'), put('a', '3'));

    expect(await readAll(replica.machine, { revision: 2 })).toEqual([
      { key: 'a', value: '2', create: 1, mod: 2, version: 2 },
    ]);
  });
});

describe('a page', () => {
  test('ends after keysMax keys and says where to go on', async () => {
    const replica = await alphabet();

    const first = await replica.machine.range({ ...ALL, keysMax: 2 });
    const rest = await replica.machine.range({
      ...ALL,
      from: first.continueFrom ?? bytes('?'),
      revision: first.revision,
    });

    expect(first.items.map((item) => String(item.key))).toEqual(['a', 'b']);
    expect(first).toMatchObject({ more: true, revision: 5 });
    expect(rest.items.map((item) => String(item.key))).toEqual(['c', 'd', 'e']);
    expect(rest).toMatchObject({ more: false, continueFrom: null });
  });

  test('in reverse goes on before its last key', async () => {
    const replica = await alphabet();

    const first = await replica.machine.range({ ...ALL, keysMax: 2, reverse: true });

    expect(first.items.map((item) => String(item.key))).toEqual(['e', 'd']);
    expect(first.continueFrom).toEqual(bytes('d'));
  });

  test('that ends exactly with the range has no more', async () => {
    const replica = await alphabet();

    expect(await replica.machine.range({ ...ALL, keysMax: 5 })).toMatchObject({ more: false });
  });

  test.each([1, 2, 3, 5, 1000])('of %i keys neither skips nor repeats any', async (keysMax) => {
    const replica = await alphabet();

    for (const reverse of [false, true]) {
      const keys = (await readAll(replica.machine, { keysMax, reverse })).map((item) => item.key);
      expect(keys).toEqual(reverse ? ['e', 'd', 'c', 'b', 'a'] : ['a', 'b', 'c', 'd', 'e']);
    }
  });

  test('ends when the next key does not fit rangePageBytesMax', async () => {
    const replica = await Replica.start({ rangePageBytesMax: 250 });
    for (const key of ['a', 'b', 'c']) replica.write(put(key, 'x'.repeat(80)));

    const page = await replica.machine.range(ALL);

    expect(page.items.map((item) => String(item.key))).toEqual(['a', 'b']);
    expect(page.more).toBe(true);
    expect(await replica.items()).toHaveLength(3);
    expect(await replica.items({ reverse: true })).toHaveLength(3);
  });

  test('holds one key even if it alone is larger than rangePageBytesMax', async () => {
    const replica = await Replica.start({ rangePageBytesMax: 10 });
    for (const key of ['a', 'b']) replica.write(put(key, 'x'.repeat(80)));

    const page = await replica.machine.range(ALL);

    expect(page.items).toHaveLength(1);
    expect(await replica.items()).toHaveLength(2);
  });

  test('has rangePageKeysMax keys at most', async () => {
    const replica = await Replica.start({ rangePageKeysMax: 3 });
    replica.write(...['a', 'b', 'c', 'd'].map((key) => put(key, '')));

    const page = await replica.machine.range({ ...ALL, keysMax: Number.POSITIVE_INFINITY });

    expect(page.items).toHaveLength(3);
    expect(page.more).toBe(true);
  });

  test('may end among deleted keys, with no item at all', async () => {
    const replica = await Replica.start({ rangePageKeysMax: 10 });
    const keys = Array.from({ length: 25 }, (_, n) => `k${String(n).padStart(2, '0')}`);
    replica.write(...keys.map((key) => put(key, '')), ...keys.map(del), put('z', 'end'));

    const page = await replica.machine.range(ALL);

    expect(page.items).toHaveLength(0);
    expect(page).toMatchObject({ more: true, continueFrom: bytes('k09\0') });
    expect(await replica.items()).toEqual(['z=end']);
    expect(await replica.items({ reverse: true })).toEqual(['z=end']);
  });

  test('spans as many reads of the store as it needs', async () => {
    const replica = await Replica.start();
    const keys = Array.from({ length: 700 }, (_, n) => `k${String(n).padStart(3, '0')}`);
    replica.write(...keys.map((key) => put(key, '')), ...keys.slice(0, 600).map(del));

    const page = await replica.machine.range(ALL);

    expect(page.items).toHaveLength(100);
    expect(page.more).toBe(false);
  });

  test.each([0, -1, Number.NaN])('of %d keys is refused', async (keysMax) => {
    const replica = await alphabet();

    await expect(replica.machine.range({ ...ALL, keysMax })).rejects.toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});

describe('entries applied while a page is read', () => {
  test('do not show in it, whatever they do', async () => {
    const replica = await Replica.start();
    const keys = Array.from({ length: 600 }, (_, n) => `k${String(n).padStart(3, '0')}`);
    replica.write(...keys.map((key) => put(key, 'old')));

    const reading = replica.machine.range({ ...ALL, keysMax: LIMITS.rangePageKeysMax });
    replica.write(put('k500', 'new'), put('k5000', 'new'), del('k400'), put('a', 'new'));
    await Promise.resolve();
    replica.write(del('k500'), put('k400', 'new'), put('k599', 'new'));

    const page = await reading;
    expect(page.items.map((item) => String(item.key))).toEqual(keys);
    expect(new Set(page.items.map((item) => String(item.value)))).toEqual(new Set(['old']));
    expect(page.revision).toBe(600);
  });

  test('do not show in the pages that follow at its revision', async () => {
    const replica = await alphabet();
    const first = await replica.machine.range({ ...ALL, keysMax: 2 });

    replica.write(put('c', 'new'), del('d'), put('bb', 'new'));

    const rest = await replica.items({
      from: first.continueFrom ?? bytes('?'),
      revision: first.revision,
    });
    expect(rest).toEqual(['c=C', 'd=D', 'e=E']);
  });
});

describe('a range with a filter', () => {
  /** a: created 1, modified 4; b: 2; c: 3, modified 5; d: deleted. */
  async function filled(): Promise<Replica> {
    const replica = await Replica.start();
    replica.write(put('a', 'A1'), put('b', 'B'), put('c', 'C1'), put('a', 'A2'), put('c', 'C2'));
    replica.write(put('d', 'D'), del('d'));
    return replica;
  }

  const keysOf = (page: { items: readonly { key: Uint8Array }[] }) =>
    page.items.map((item) => String(item.key));

  test('gives keys without their values, at any revision, and does not read the present values', async () => {
    const replica = await filled();
    const query = { ...ALL, keysOnly: true };
    const gets = replica.store.gets;
    const latest = await replica.machine.range(query);
    expect(replica.store.gets).toBe(gets);
    expect(latest.items.map((item) => [String(item.key), item.value.byteLength])).toEqual([
      ['a', 0],
      ['b', 0],
      ['c', 0],
    ]);
    expect(latest.items[0]).toMatchObject({ createRevision: 1, modRevision: 4, version: 2 });
    const old = await replica.machine.range({ ...query, revision: 3 });
    expect(old.items[0]).toMatchObject({ modRevision: 1, version: 1 });
    expect(old.items[0]?.value).toHaveLength(0);
  });

  test('counts, as many keys as a page can look at, whatever its keysMax', async () => {
    const replica = await filled();
    const count = async (more: Partial<RangeQuery>) => {
      const page = await replica.machine.range({ ...ALL, countOnly: true, keysMax: 1, ...more });
      expect(page).toMatchObject({ items: [], more: false });
      return page.count;
    };
    expect(await count({})).toBe(3);
    expect(await count({ revision: 2 })).toBe(2);
    expect(await count({ from: bytes('b') })).toBe(2);
    expect(await count({ modRevisionMin: 4 })).toBe(2);
  });

  test('counts in pages when there is much to count', async () => {
    const replica = await Replica.start({ rangePageKeysMax: 2 });
    const keys = Array.from({ length: 45 }, (_, n) => `k${String(n).padStart(2, '0')}`);
    replica.write(...keys.map((key) => put(key, '')));
    const pages: number[] = [];
    for (let from: Uint8Array | null = bytes(''); from !== null; ) {
      const page = await replica.machine.range({ ...ALL, from, countOnly: true });
      pages.push(page.count);
      from = page.continueFrom;
    }
    expect(pages).toEqual([20, 20, 5]);
  });

  test.each([
    [{ modRevisionMin: 3 }, ['a', 'c']],
    [{ modRevisionMax: 4 }, ['a', 'b']],
    [{ modRevisionMin: 4, modRevisionMax: 4 }, ['a']],
    [{ createRevisionMin: 2 }, ['b', 'c']],
    [{ createRevisionMax: 2, modRevisionMin: 3 }, ['a']],
    [{ createRevisionMin: 9 }, []],
    [{ modRevisionMin: 0, modRevisionMax: 0 }, ['a', 'b', 'c']],
  ])('of %j gives %j', async (filter, expected) => {
    const replica = await filled();
    const page = await replica.machine.range({ ...ALL, ...filter });
    expect(keysOf(page)).toEqual(expected);
    expect(page.count).toBe(expected.length);
  });

  test('is that of the revision it reads at', async () => {
    const replica = await filled();
    const page = await replica.machine.range({ ...ALL, revision: 3, modRevisionMax: 1 });
    expect(page.items.map((item) => String(item.value))).toEqual(['A1']);
  });

  test('fills its page with keys that match', async () => {
    const replica = await filled();
    const page = await replica.machine.range({ ...ALL, keysMax: 1, modRevisionMin: 5 });
    expect(keysOf(page)).toEqual(['c']);
  });
});

describe('the values of a page', () => {
  test.each([
    ['side by side in the history', (n: number) => n],
    ['far apart in it', (n: number) => (n * 577) % 1009],
  ])('%s are those of their keys', async (_what, order) => {
    const replica = await Replica.start();
    const keys = Array.from({ length: 1009 }, (_, n) => `k${String(order(n)).padStart(4, '0')}`);
    replica.write(...keys.map((key) => put(key, `value of ${key}`)));
    for (const query of [{}, { keysMax: 7 }, { from: bytes('k0500'), reverse: true }]) {
      const found = await readAll(replica.machine, query);
      expect(found.length).toBeGreaterThan(500);
      for (const { key, value } of found) expect(value).toBe(`value of ${key}`);
    }
  });

  test('that were written by transactions, several at one revision, too', async () => {
    const replica = await Replica.start();
    const steps = (part: number) =>
      Array.from({ length: 40 }, (_, n) => put(`k${n * 3 + part}`, `${part}/${n}`) as TxnStep);
    for (const part of [0, 1, 2]) {
      await replica.do({ type: 'txn', compares: [], success: steps(part), failure: [] });
    }
    const found = await readAll(replica.machine, {});
    expect(found).toHaveLength(120);
    for (const { key, value } of found) {
      const n = Number(key.slice(1));
      expect(value).toBe(`${n % 3}/${Math.floor(n / 3)}`);
    }
  });
});
