import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { RANGE_COST } from '../../src/base/call.js';
import { FIRST_KEYS_READ } from '../../src/base/command-versions.js';
import { LIMITS } from '../../src/base/limits.js';
import type { ReadOperation, TxnStep, WriteOperation } from '../../src/base/operation.js';
import { FIRST_KEYS_COUNTED } from '../../src/statemachine/needs.js';
import { RangeView } from '../../src/statemachine/range-view.js';
import { delRange, putWith, readKey, readRange, sayAll, txn, when } from './operations.js';
import { bytes, del, put, Replica } from './replica.js';

/** Reads of a transaction that are about the first keys of a range: from command version 10 on of a range of any size. */

async function given(keys: string, bounds: Parameters<typeof Replica.start>[0] = {}) {
  const replica = await Replica.start({ txnReadKeysMax: 3, ...bounds });
  await replica.do(...[...keys].map((key) => put(key, key)));
  return replica;
}

const ask = async (replica: Replica, ...operations: WriteOperation[]): Promise<string[]> =>
  sayAll(await replica.doIn(FIRST_KEYS_READ, ...operations));

const gone = (key: string): TxnStep => ({ type: 'delete', key: bytes(key) });

const first = (limit: number, more: Partial<ReadOperation> = {}): ReadOperation =>
  readRange('', null, { limit, keysOnly: true, ...more });

describe('the first keys of a range with too many to be looked at', () => {
  test('are read from either end, and it is said that there are more', async () => {
    const replica = await given('abcdefgh');
    const reads = [first(2), first(2, { reverse: true }), first(3), first(1, { keysOnly: false })];
    expect(await ask(replica, ...reads.map((read) => txn([], [read])))).toEqual([
      'then@8(read[a=@1 b=@2]:2+)',
      'then@8(read[h=@8 g=@7]:2+)',
      'then@8(read[a=@1 b=@2 c=@3]:3+)',
      'then@8(read[a=a@1]:1+)',
    ]);
    expect(await ask(replica, txn([], [first(1), first(2, { reverse: true })]))).toEqual([
      'then@8(read[a=@1]:1+, read[h=@8 g=@7]:2+)',
    ]);
  });

  test('are those that the entry has left so far', async () => {
    const replica = await given('bcdefgh');
    const two = [first(2), first(2, { reverse: true })].map((read) => txn([], [read]));
    const said = await ask(replica, ...[del('b'), del('h'), put('a', ''), put('i', '')], ...two);
    expect(said.slice(-2)).toEqual([
      'then@11(read[a=@10 c=@2]:2+)',
      'then@11(read[i=@11 g=@6]:2+)',
    ]);
  });

  test('take each its own from a queue in one entry', async () => {
    const replica = await given('abcdefgh');
    const pops = ['a', 'b', 'c', 'd'].map((key) =>
      txn([when(key, 'version', '=', 1)], [first(1), gone(key)]),
    );
    expect(await ask(replica, ...pops)).toEqual([
      'then@9(read[a=@1]:1+, delete@9:1)',
      'then@10(read[b=@2]:1+, delete@10:1)',
      'then@11(read[c=@3]:1+, delete@11:1)',
      'then@12(read[d=@4]:1+, delete@12:1)',
    ]);
  });

  test('are RANGE_TOO_LARGE when fewer than that are among those that are looked at', async () => {
    const replica = await given('abcdefgh');
    const tooLarge = 'RANGE_TOO_LARGE';
    const late = first(1, { modRevisionMin: 6 });
    expect(await ask(replica, txn([], [late]))).toEqual([tooLarge]);
    expect(await ask(replica, txn([], [first(4)]), txn([], [first(5, { reverse: true })]))).toEqual(
      [tooLarge, tooLarge],
    );
    expect(await ask(replica, txn([], [{ ...late, reverse: true }]))).toEqual([
      'then@8(read[h=@8]:1+)',
    ]);
    const last = txn([], [delRange('a', 'd'), gone('d'), first(1)]);
    expect(await ask(replica, last)).toEqual([tooLarge]);
    expect(await ask(replica, txn([], [delRange('a', 'd'), first(1)]))).toEqual([
      'then@9(delete@9:3, read[d=@4]:1+)',
    ]);
  });

  test('are none of those behind what was looked at, which only the entry knows', async () => {
    const replica = await given('bcdefgh');
    const bs = ['b', 'c', 'd', 'e'].map(gone);
    for (const read of [first(1), first(1, { modRevisionMin: 8 })]) {
      const answers = await ask(replica, txn([], [...bs, putWith('z', ''), read]));
      expect(answers).toEqual(['RANGE_TOO_LARGE']);
    }
  });

  test('are no help to who wants all of them, or to know how many there are', async () => {
    const replica = await given('abcdefgh');
    const reads = [readRange('', null), readRange('', null, { limit: 1, countOnly: true })];
    for (const read of reads) {
      expect(await ask(replica, txn([], [first(1), read]))).toEqual(['RANGE_TOO_LARGE']);
    }
  });

  test('are RANGE_TOO_LARGE in entries of versions before', async () => {
    const replica = await given('abcdefgh');
    const said = await replica.doIn(FIRST_KEYS_READ - 1, txn([], [first(1)]));
    expect(sayAll(said)).toEqual(['RANGE_TOO_LARGE']);
  });

  test('count in an entry as the keys that are looked at for them', async () => {
    const replica = await given('abcdefgh', { entryReadKeysMax: RANGE_COST + 3 });
    expect(await ask(replica, txn([], [first(3)]))).toEqual(['then@8(read[a=@1 b=@2 c=@3]:3+)']);
    expect(await ask(replica, txn([], [first(1)]), txn([], [first(1)]))).toEqual([
      'then@8(read[a=@1]:1+)',
      'OVERLOADED',
    ]);
  });
});

describe('what is looked at is bounded before it is', () => {
  const overloaded = 'OVERLOADED';

  test('also where too many would have to be', async () => {
    const replica = await given('abcdefgh', { entryReadKeysMax: RANGE_COST + 7 });
    const none = txn([], [first(1, { modRevisionMin: 9 })]);
    const answers = await ask(replica, none, none, none);
    expect(answers).toEqual(['RANGE_TOO_LARGE', 'OVERLOADED', 'OVERLOADED']);
  });

  test('with what the entry has written in the range, which is counted', async () => {
    const replica = await given('a', { entryReadKeysMax: 2 * RANGE_COST + 6 });
    const puts = ['b', 'c', 'd', 'e'].map((key) => put(key, ''));
    const answers = await ask(replica, ...puts, txn([], [first(1)]), txn([], [first(1)]));
    expect(answers.slice(-2)).toEqual(['then@5(read[a=@1]:5)', overloaded]);
  });

  test('with what it has deleted there, which is passed over', async () => {
    const replica = await given('abcdefg', { txnReadKeysMax: 6, entryReadKeysMax: 28 });
    const read = txn([], [first(1)]);
    const answers = await ask(replica, delRange('a', 'f'), read, read, read);
    expect(answers).toEqual(['delete@8:5', 'then@8(read[f=@6]:1+)', overloaded, overloaded]);
  });

  test('for ranges that are wanted as a whole, too', async () => {
    const replica = await given('abc', { entryReadKeysMax: 2 * RANGE_COST + 3 });
    const all = txn([], [readRange('', null, { keysOnly: true })]);
    const merge = vi.spyOn(RangeView.prototype, 'merge');
    const said = 'then@3(read[a=@1 b=@2 c=@3]:3)';
    expect(await ask(replica, all, all, all)).toEqual([said, overloaded, overloaded]);
    expect(merge).toHaveBeenCalledTimes(2);
    merge.mockRestore();
  });

  test('and no more is read ahead than is wanted, and may be deleted before', async () => {
    const replica = await Replica.start();
    const name = (n: number): string => `k${String(n).padStart(4, '0')}`;
    await replica.do(...Array.from({ length: 1000 }, (_, n) => put(name(n), '')));
    const scan = vi.spyOn(replica.store, 'scan');
    const gone = [0, 1, 2].map((n) => del(name(n)));
    const said = await ask(replica, ...gone, txn([], [first(2), first(1, { reverse: true })]));
    expect(said.at(-1)).toBe('then@1003(read[k0003=@4 k0004=@5]:2+, read[k0999=@1000]:1+)');
    const read = scan.mock.calls.map(([{ keysMax }]) => keysMax);
    expect(read).toEqual([2 + 3 + FIRST_KEYS_COUNTED + 1, 1 + 3 + FIRST_KEYS_COUNTED + 1]);
  });

  test('in as many different ranges of one entry as keys allow that are wanted', async () => {
    const replica = await Replica.start();
    const name = (n: number): string => `k${String(n).padStart(4, '0')}`;
    await replica.do(...Array.from({ length: 1000 }, (_, n) => put(name(n), '')));
    const ranges = Array.from({ length: 100 }, (_, n) => readRange(name(n), null, { limit: 1 }));
    const [said] = await ask(replica, txn([], ranges));
    expect(said).toContain('read[k0099=@100]:1+');
  });
});

describe('the first keys of a range that can be looked at as a whole', () => {
  test('come with how many there are, of those that the entry has left', async () => {
    const replica = await given('bcd');
    const both = txn([], [first(1), first(2, { reverse: true })]);
    const said = await ask(replica, ...[del('c'), put('a', ''), put('e', ''), put('e', ''), both]);
    expect(said.at(-1)).toBe('then@7(read[a=@5]:4, read[e=@7 d=@3]:4)');
  });

  test('that pass a filter come with how many pass', async () => {
    const replica = await given('abc');
    expect(await ask(replica, txn([], [first(1, { modRevisionMin: 2 })]))).toEqual([
      'then@3(read[b=@2]:2)',
    ]);
  });
});

describe('one value', () => {
  test('is read in a transaction however large it is, and no second one beside it', async () => {
    const replica = await Replica.start({ txnReadBytesMax: 10 });
    await replica.do(put('a', 'longer than that'), put('b', ''));
    const get = vi.spyOn(replica.store, 'get');
    const said = await ask(
      replica,
      txn([when('a', 'version', '=', 9)], [], [readKey('a')]),
      txn([], [putWith('a', null, { returnPrevious: true })]),
      txn([], [readKey('b'), readKey('a')]),
      txn([], [readKey('a'), readKey('b')]),
      delRange('a', 'b', true),
    );
    expect(said).toEqual([
      'else@2(read[a=longer than that@1]:1)',
      'then@3(put@3 was a=longer than that@1)',
      'RANGE_TOO_LARGE',
      'RANGE_TOO_LARGE',
      'delete@4:1 was [a=longer than that@3]',
    ]);
    expect(get).toHaveBeenCalled();
  });

  test('is RANGE_TOO_LARGE in entries of versions before', async () => {
    const replica = await Replica.start({ txnReadBytesMax: 10 });
    await replica.do(put('a', 'longer than that'));
    const said = await replica.doIn(FIRST_KEYS_READ - 1, txn([], [readKey('a')]));
    expect(sayAll(said)).toEqual(['RANGE_TOO_LARGE']);
  });
});

test('first keys are those of the whole range, whatever was written before them in the entry', async () => {
  const name = fc.nat({ max: 30 }).map((n) => `k${String(n).padStart(2, '0')}`);
  const change = fc.record({ key: name, isPut: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(
      fc.array(name, { maxLength: 25 }),
      fc.array(change, { maxLength: 6 }),
      fc.record({ from: name, to: fc.option(name), limit: fc.integer({ min: 1, max: 3 }) }),
      fc.boolean(),
      async (before, changes, { from, to, limit }, reverse) => {
        const small = await Replica.start({ txnReadKeysMax: 10 });
        const large = await Replica.start({ txnReadKeysMax: LIMITS.txnReadKeysMax });
        const [one, other] = await Promise.all(
          [small, large].map(async (replica) => {
            await replica.do(...before.map((key) => put(key, key)));
            const written = changes.map(({ key, isPut }) => (isPut ? put(key, '') : del(key)));
            const asked = txn([], [readRange(from, to, { limit, reverse })]);
            const results = await replica.doIn(FIRST_KEYS_READ, ...written, asked);
            return results.at(-1);
          }),
        );
        const keys = (result: typeof one): unknown =>
          result?.type === 'txn' && result.results.map((r) => r.type === 'read' && r.items);
        // At most six of the ten that are looked at are gone, which leaves as many as are asked for.
        expect(keys(one)).toEqual(keys(other));
      },
    ),
  );
});

test('a key of the range is found by its bytes', async () => {
  const replica = await Replica.start({ txnReadKeysMax: 2 });
  const raw = (key: Uint8Array): WriteOperation => ({ type: 'put', key, value: bytes('') });
  await replica.do(...[0, 0x7f, 0x80, 0xff].map((byte) => raw(Uint8Array.of(byte))));
  const [result] = await replica.doIn(FIRST_KEYS_READ, txn([], [first(2, { reverse: true })]));
  expect(result).toMatchObject({
    results: [{ items: [{ key: Buffer.of(0xff) }, { key: Buffer.of(0x80) }], more: true }],
  });
});
