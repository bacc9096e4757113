import { describe, expect, test } from 'vitest';
import type { Compare, TxnStep, WriteOperation } from '../../src/base/operation.js';
import { BOUNDS } from './model-bounds.js';
import { NaiveModel } from './naive-model.js';
import { type ModelResult, NaiveStore } from './naive-store.js';
import { bytes, del, put } from './replica.js';

/** The model itself, on examples whose answers are known from etcd and from the types of the operations. */

const at = (key: string, value: string, facts: Partial<Record<string, number>> = {}) => ({
  key,
  value,
  createRevision: 1,
  modRevision: 1,
  version: 1,
  lease: 0,
  ...facts,
});

function storeWith(...operations: WriteOperation[]): NaiveStore {
  const store = new NaiveStore(BOUNDS);
  for (const operation of operations) expectDone(store.operation(operation));
  return store;
}

function expectDone(result: ModelResult): void {
  expect(result.type === 'error' ? result.code : 'done').toBe('done');
}

function txn(compares: Compare[], success: TxnStep[], failure: TxnStep[] = []): WriteOperation {
  return { type: 'txn', compares, success, failure };
}

const step = (operation: WriteOperation): TxnStep => operation as TxnStep;
const grant = (lease: number, ttlMs = 1000): WriteOperation => ({
  type: 'lease-grant',
  lease,
  ttlMs,
});

describe('the model of the store: keys', () => {
  test('a put makes a key with version 1 and counts up from there; a deletion starts anew', () => {
    const store = storeWith(put('a', '1'), put('a', '2'), del('a'), put('a', '3'));

    expect(store.snapshots.map((snapshot) => snapshot.get('a'))).toEqual([
      undefined,
      at('a', '1'),
      at('a', '2', { modRevision: 2, version: 2 }),
      undefined,
      at('a', '3', { createRevision: 4, modRevision: 4 }),
    ]);
  });

  test('a put that keeps the value needs one, and says what was there when asked', () => {
    const store = storeWith(put('a', '1'));
    const keep = (key: string): WriteOperation => ({
      type: 'put',
      key: bytes(key),
      value: null,
      returnPrevious: true,
    });

    expect(store.operation(keep('b'))).toEqual({ type: 'error', code: 'KEY_NOT_FOUND' });
    expect(store.operation(keep('a'))).toEqual({
      type: 'put',
      revision: 2,
      previous: at('a', '1'),
    });
    expect(store.latest.get('a')).toEqual(at('a', '1', { modRevision: 2, version: 2 }));
  });

  test('a deletion of nothing takes no revision; one of a range takes one', () => {
    const store = storeWith(put('a', '1'), put('b', '1'), put('c', '1'));

    expect(store.operation(del('x'))).toEqual({ type: 'delete', revision: 3, deleted: 0 });
    expect(store.operation({ type: 'delete-range', from: bytes('a'), to: bytes('c') })).toEqual({
      type: 'delete',
      revision: 4,
      deleted: 2,
    });
    expect([...store.latest.keys()]).toEqual(['c']);
    expect(store.eventsFrom(4).map(({ item, sub }) => [item.key, sub])).toEqual([
      ['a', 0],
      ['b', 1],
    ]);
  });
});

describe('the model of the store: transactions', () => {
  test('all writes have one revision, and reads see those before them', () => {
    const store = storeWith(put('a', '1'), put('b', '1'));
    const result = store.operation(
      txn(
        [],
        [
          step(put('a', '2')),
          { type: 'read', from: bytes('a'), to: null },
          step(del('b')),
          { type: 'read', from: bytes(''), to: null, limit: 5, countOnly: true },
        ],
      ),
    );

    expect(result).toEqual({
      type: 'txn',
      revision: 3,
      succeeded: true,
      results: [
        { type: 'put', revision: 3 },
        {
          type: 'read',
          items: [
            at('a', '2', { modRevision: 3, version: 2 }),
            at('b', '1', { createRevision: 2, modRevision: 2 }),
          ],
          count: 2,
        },
        { type: 'delete', revision: 3, deleted: 1 },
        { type: 'read', items: [], count: 1 },
      ],
    });
  });

  test('a key is written once; otherwise nothing of the transaction happens', () => {
    const store = storeWith(put('a', '1'));
    const space = store.spaceBytes;

    const twice = txn([], [step(put('b', '1')), step(put('a', '2')), step(del('a'))]);
    expect(store.operation(twice)).toEqual({ type: 'error', code: 'KEY_DUPLICATE' });
    expect([store.revision, store.spaceBytes]).toEqual([1, space]);
    expect([...store.latest.keys()]).toEqual(['a']);
  });

  test('all comparisons come before all writes, as in etcd, also those of a nested one', () => {
    const store = storeWith(put('a', '1'));
    const was = (value: string): Compare => ({
      from: bytes('a'),
      operator: '=',
      target: 'value',
      value: bytes(value),
    });
    const nested = txn([was('1')], [{ type: 'read', from: bytes('a') }]) as TxnStep;

    expect(store.operation(txn([was('1')], [step(put('a', '2')), nested]))).toMatchObject({
      succeeded: true,
      results: [{ type: 'put' }, { succeeded: true, results: [{ items: [{ value: '2' }] }] }],
    });
  });

  test.each<[string, Compare, boolean]>([
    ['a value', { from: bytes('a'), operator: '=', target: 'value', value: bytes('1') }, true],
    [
      'a lesser value',
      { from: bytes('a'), operator: '>', target: 'value', value: bytes('0') },
      true,
    ],
    ['no value', { from: bytes('x'), operator: '<', target: 'value', value: bytes('z') }, false],
    [
      'no value at all',
      { from: bytes('x'), operator: '!=', target: 'value', value: bytes('') },
      true,
    ],
    ['no version', { from: bytes('x'), operator: '=', target: 'version', value: 0 }, true],
    [
      'a range',
      { from: bytes('a'), to: null, operator: '<', target: 'modRevision', value: 3 },
      true,
    ],
    [
      'part of it',
      { from: bytes('a'), to: null, operator: '=', target: 'modRevision', value: 1 },
      false,
    ],
    [
      'an empty range',
      { from: bytes('x'), to: null, operator: '=', target: 'version', value: 9 },
      true,
    ],
    ['a count', { from: bytes('a'), to: null, operator: '=', target: 'count', value: 2 }, true],
  ])('compares %s', (_, compare, holds) => {
    const store = storeWith(put('a', '1'), put('b', '2'));

    expect(store.operation(txn([compare], []))).toMatchObject({ succeeded: holds, revision: 2 });
  });
});

describe('the model of the store: leases', () => {
  test('its keys go at one revision when it is revoked or has expired, not before', () => {
    const store = storeWith(grant(0), grant(0));
    for (const key of ['a', 'b']) {
      expectDone(store.operation({ ...(put(key, '1') as object), lease: 1 } as WriteOperation));
    }
    store.timeMs = 999;
    store.expire([1]);
    expect(store.revision).toBe(2);
    store.timeMs = 1000;
    store.expire([1, 7]);

    expect([store.revision, store.latest.size, store.leases.has(1)]).toEqual([3, 0, false]);
    expect(store.operation({ type: 'lease-revoke', lease: 2 })).toEqual({
      type: 'done',
      revision: 3,
    });
  });

  test('is kept alive, takes only so many keys, and lets a key go that is put without it', () => {
    const store = storeWith(grant(3));
    const onLease = (key: string): WriteOperation =>
      ({ ...put(key, '1'), lease: 3 }) as WriteOperation;
    for (const key of ['a', 'b']) expectDone(store.operation(onLease(key)));

    expect(store.operation(onLease('d'))).toEqual({ type: 'error', code: 'LEASE_FULL' });
    expectDone(store.operation(put('a', '2')));
    expectDone(store.operation(onLease('d')));
    expect(store.keysOf(3)).toEqual(['b', 'd']);
    store.timeMs = 500;
    expect(store.operation({ type: 'lease-keep-alive', lease: 3 })).toEqual({
      type: 'lease',
      lease: 3,
      ttlMs: 1000,
    });
    expect(store.leases.get(3)?.deadlineMs).toBe(1500);
  });
});

describe('the model of the store: what is kept', () => {
  test('compaction needs a revision that exists and was not compacted', () => {
    const store = storeWith(put('a', '1'), put('a', '22'), del('a'), put('a', '4'));
    const compact = (revision: number) => store.operation({ type: 'compact', revision });

    expect(compact(5)).toEqual({ type: 'error', code: 'FUTURE_REVISION' });
    expect(store.neededBytes()).toBe(2 + 3 + 1 + 2);
    expect(compact(2)).toEqual({ type: 'done', revision: 4, compactedRevision: 2 });
    expect(store.neededBytes()).toBe(3 + 1 + 2);
    // A watch may start at the deletion; with the next compaction it is gone.
    compact(3);
    expect(store.neededBytes()).toBe(1 + 2);
    compact(4);
    expect(store.neededBytes()).toBe(2);
    expect(compact(4)).toEqual({ type: 'error', code: 'COMPACTED' });
  });

  test('namespaces do not overlap, and hold no more than their quota', () => {
    const store = storeWith(put('n/1', '1'));
    const set = (name: string, prefix: string, quotaBytes: number) =>
      store.operation({ type: 'namespace-set', name, prefix: bytes(prefix), quotaBytes });

    expectDone(set('n', 'n/', 8));
    expect(store.usageOf('n/')).toEqual({ usedBytes: 4, keys: 1 });
    expect(set('m', 'n/1', 0)).toEqual({ type: 'error', code: 'NAMESPACE_CONFLICT' });
    expect(store.operation(put('n/2', '12'))).toEqual({ type: 'error', code: 'QUOTA_EXCEEDED' });
    expectDone(store.operation(put('n/1', '12345')));
  });
});

describe('the model of the log', () => {
  test('refuses a session that may be one it has forgotten', () => {
    const model = new NaiveModel(BOUNDS);
    const send = (timeMs: number, id: string, sequence = 1) =>
      model.command(timeMs, [
        { id, bornIndex: 0, sequence, acknowledged: 0, operations: [put('k', 'v')] },
      ]);

    expect(send(0, 'one')).toMatchObject([{ ok: true, repeated: false }]);
    expect(send(0, 'one')).toMatchObject([{ ok: true, repeated: true }]);
    expect(send(9000, 'one', 2)).toEqual([
      { ok: false, code: 'SESSION_EXPIRED', outcome: 'not-applied' },
    ]);
    expect(model.store.revision).toBe(1);
  });
});
