import { describe, expect, test, vi } from 'vitest';
import { BOUNDED_VALUES } from '../../src/base/command-versions.js';
import type { WriteOperation } from '../../src/base/operation.js';
import { delRange, putWith, readKey, readRange, sayAll, txn, when } from './operations.js';
import { batch, brief, put, Replica, resultsOf } from './replica.js';

/** Operations that read values which no command carries: what an entry may read of them is bounded. */

describe('touches', () => {
  const touch = putWith('a', null);

  /** What a batch of an entry of this version is answered. */
  async function said(replica: Replica, version: number, ...operations: WriteOperation[]) {
    const batches = [batch({ bornIndex: replica.log.length, operations })];
    const [answer] = await replica.run({ batches }, version);
    return sayAll(resultsOf(answer));
  }

  test('of one entry keep no more than entryTouchedBytesMax together, and go on in the next one', async () => {
    const replica = await Replica.start({ entryTouchedBytesMax: 10 });
    await replica.do(put('a', 'four'));
    const operations = [touch, touch, touch, put('b', 'longer than that')];
    expect(await said(replica, BOUNDED_VALUES, ...operations)).toEqual([
      ...['put@2', 'put@3', 'OVERLOADED', 'put@4'],
    ]);
    const next = batch({ sequence: 2, bornIndex: 1, operations: [touch] });
    expect(brief((await replica.run({ batches: [next] }, BOUNDED_VALUES))[0])).toBe('put@5');
  });

  test('of one transaction that exceed it are refused as a whole', async () => {
    const replica = await Replica.start({ entryTouchedBytesMax: 10 });
    await replica.do(put('a', 'four'), put('b', 'four'), put('c', 'four'));
    const all = txn([], [touch, putWith('b', null), putWith('c', null)]);
    const answers = await said(replica, BOUNDED_VALUES, touch, all, touch);
    expect(answers).toEqual(['put@4', 'OVERLOADED', 'OVERLOADED']);
    const next = batch({ sequence: 2, bornIndex: 1, operations: [all, put('d', '')] });
    const [answer] = await replica.run({ batches: [next] }, BOUNDED_VALUES);
    expect(sayAll(resultsOf(answer))).toEqual(['TXN_TOO_LARGE', 'put@5']);
  });

  test('in entries of versions before are not bounded', async () => {
    const replica = await Replica.start({ entryTouchedBytesMax: 10 });
    await replica.do(put('a', 'four'));
    const answers = await said(replica, BOUNDED_VALUES - 1, touch, touch, touch);
    expect(answers).toEqual(['put@2', 'put@3', 'put@4']);
  });
});

describe('what is more than an operation may give', () => {
  test('is not read to find that out', async () => {
    const replica = await Replica.start({ txnReadBytesMax: 10 });
    await replica.do(put('a', 'longer than that'));
    const get = vi.spyOn(replica.store, 'get');
    const answers = await replica.do(
      txn([], [readKey('a')]),
      txn([], [readRange('a', null)]),
      txn([], [readRange('a', null, { keysOnly: true })]),
      txn([], [putWith('a', '', { returnPrevious: true })]),
      delRange('a', null, true),
    );
    const tooLarge = 'RANGE_TOO_LARGE';
    const keys = 'then@1(read[a=@1]:1)';
    expect(sayAll(answers)).toEqual([tooLarge, tooLarge, keys, tooLarge, tooLarge]);
    const values = get.mock.calls.filter(([key]) => String.fromCharCode(key[0] ?? 0) === 'r');
    expect(values).toEqual([]);
  });
});

describe('comparisons', () => {
  const bigger = when('a', 'value', '>', 'f');

  test('with values read no more than entryComparedBytesMax for one entry', async () => {
    const replica = await Replica.start({ entryComparedBytesMax: 10 });
    await replica.do(put('a', 'four'), put('ab', 'four'), put('ac', 'four'));
    const one = txn([bigger, bigger], [putWith('b', '1')]);
    const run = async (sequence: number, ...operations: WriteOperation[]) => {
      const batches = [batch({ sequence, bornIndex: 1, operations })];
      return sayAll(resultsOf((await replica.run({ batches }, BOUNDED_VALUES))[0]));
    };
    expect(await run(1, one, one, put('b', '2'))).toEqual([
      ...['then@4(put@4)', 'OVERLOADED', 'put@5'],
    ]);
    expect(await run(2, txn([bigger, bigger, bigger], []))).toEqual(['TXN_TOO_LARGE']);
    const ofRange = when('a', 'value', '>', 'f', 'b');
    expect(await run(3, txn([ofRange], []))).toEqual(['TXN_TOO_LARGE']);
    // The length says that they differ.
    const differs = when('a', 'value', '!=', 'f', 'b');
    expect(await run(4, txn([differs], []), txn([when('a', 'value', '=', 'f')], []))).toEqual([
      ...['then@5()', 'else@5()'],
    ]);
  });
});
