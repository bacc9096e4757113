import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { pack } from '../../src/base/codec.js';
import { versionOf } from '../../src/base/command-versions.js';
import type {
  Compare,
  ReadOperation,
  TxnOperation,
  TxnStep,
  WriteOperation,
  WriteResult,
} from '../../src/base/operation.js';
import {
  packOperations,
  packResults,
  TXN_DEPTH_MAX,
  unpackOperations,
  unpackResults,
} from '../../src/base/operation-codec.js';

const count = fc.nat({ max: 2 ** 31 - 1 });
const bytes = fc.uint8Array({ maxLength: 20 }).map((array) => Buffer.from(array));
const end = fc.oneof(bytes, fc.constant(null));
const maybe = { to: fc.oneof(end, fc.constant(undefined)) };

const put = fc.oneof(
  fc.record({ type: fc.constant('put' as const), key: bytes, value: bytes }),
  fc.record({
    type: fc.constant('put' as const),
    key: bytes,
    value: fc.constant(null),
    lease: fc.oneof(count, fc.constant('keep' as const)),
    returnPrevious: fc.boolean(),
  }),
);
const remove = fc.oneof(
  fc.record({ type: fc.constant('delete' as const), key: bytes }),
  fc.record({
    type: fc.constant('delete' as const),
    key: bytes,
    returnPrevious: fc.constant(true),
  }),
);
const removeRange = fc.record({
  type: fc.constant('delete-range' as const),
  from: bytes,
  to: end,
  returnPrevious: fc.boolean(),
});
const read: fc.Arbitrary<ReadOperation> = fc
  .record({
    type: fc.constant('read' as const),
    from: bytes,
    reverse: fc.boolean(),
    limit: count,
    keysOnly: fc.boolean(),
    countOnly: fc.boolean(),
    ...maybe,
  })
  .map(withoutUndefined);
const place = {
  from: bytes,
  operator: fc.constantFrom('=' as const, '!=' as const, '<' as const, '>' as const),
  ...maybe,
};
const compare: fc.Arbitrary<Compare> = fc.oneof(
  fc.record({ ...place, target: fc.constant('value' as const), value: bytes }),
  fc.record({
    ...place,
    target: fc.constantFrom(
      'version' as const,
      'createRevision' as const,
      'modRevision' as const,
      'lease' as const,
      'count' as const,
    ),
    value: count,
  }),
);

/** An absent end and one that is `undefined` mean the same; only the first comes back. */
function withoutUndefined<T extends { readonly to?: unknown }>(value: T): T {
  if (value.to !== undefined) return value;
  const { to: _, ...rest } = value;
  return rest as T;
}

const { txn } = fc.letrec<{ txn: TxnOperation; steps: TxnStep[] }>((tie) => ({
  txn: fc.record({
    type: fc.constant('txn' as const),
    compares: fc.array(compare.map(withoutUndefined), { maxLength: 3 }),
    success: tie('steps'),
    failure: tie('steps'),
  }),
  steps: fc.oneof(
    { maxDepth: TXN_DEPTH_MAX - 1, withCrossShrink: true },
    fc.array(fc.oneof(put, remove, removeRange, read), { maxLength: 3 }),
    fc.array(tie('txn'), { maxLength: 2 }),
  ),
}));

const operation: fc.Arbitrary<WriteOperation> = fc.oneof(
  put,
  remove,
  removeRange,
  txn,
  fc.record({ type: fc.constant('lease-grant' as const), lease: count, ttlMs: count }),
  fc.record({ type: fc.constant('lease-keep-alive' as const), lease: count }),
  fc.record({ type: fc.constant('lease-revoke' as const), lease: count }),
  fc.record({ type: fc.constant('compact' as const), revision: count }),
  fc.record({
    type: fc.constant('namespace-set' as const),
    name: fc.string(),
    prefix: bytes,
    quotaBytes: count,
  }),
  fc.record({ type: fc.constant('namespace-remove' as const), name: fc.string() }),
  fc.record({
    type: fc.constant('settings' as const),
    change: fc.record(
      { historyMs: count, historyRevisions: count, spaceQuotaBytes: count },
      { requiredKeys: [] },
    ),
  }),
);

const item = fc.record({
  key: bytes,
  value: bytes,
  createRevision: count,
  modRevision: count,
  version: count,
  lease: count,
});
const readResult = fc.record({ type: fc.constant('read' as const), items: fc.array(item), count });
const plainResult = fc.oneof(
  fc.record({ type: fc.constant('put' as const), revision: count }),
  fc.record({
    type: fc.constant('put' as const),
    revision: count,
    previous: fc.oneof(item, fc.constant(null)),
  }),
  fc.record({ type: fc.constant('delete' as const), revision: count, deleted: count }),
  fc.record({
    type: fc.constant('delete' as const),
    revision: count,
    deleted: count,
    previous: fc.array(item),
  }),
);
const result: fc.Arbitrary<WriteResult> = fc.oneof(
  plainResult,
  fc.record({
    type: fc.constant('txn' as const),
    revision: count,
    succeeded: fc.boolean(),
    results: fc.array(fc.oneof(plainResult, readResult)),
  }),
  fc.record({ type: fc.constant('lease' as const), lease: count, ttlMs: count }),
  fc.record({ type: fc.constant('done' as const), revision: count }),
  fc.record({
    type: fc.constant('error' as const),
    code: fc.string(),
    message: fc.string(),
    details: fc.constantFrom(null, { limit: 7, text: 'x' }),
  }),
);

describe('operations as bytes', () => {
  test('come out as they went in', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 5 }), (operations) => {
        expect(unpackOperations(packOperations(operations))).toEqual(operations);
      }),
    );
  });

  test('and so do their results', () => {
    fc.assert(
      fc.property(fc.array(result, { maxLength: 5 }), (results) => {
        expect(unpackResults(packResults(results))).toEqual(results);
      }),
    );
  });

  test('plain puts and deletes alone are known to every version of the log', () => {
    const key = Buffer.of(1);
    expect(versionOf({ type: 'put', key, value: key })).toBe(1);
    expect(versionOf({ type: 'delete', key })).toBe(1);
    expect(versionOf({ type: 'put', key, value: null })).toBe(3);
    expect(versionOf({ type: 'put', key, value: key, lease: 7 })).toBe(3);
    expect(versionOf({ type: 'put', key, value: key, returnPrevious: true })).toBe(3);
    expect(versionOf({ type: 'delete', key, returnPrevious: true })).toBe(3);
    expect(versionOf({ type: 'lease-revoke', lease: 7 })).toBe(3);
  });

  test.each([
    ['an unknown type', [[99, 1]]],
    ['a read alone', [[5, Buffer.of(1), 0, 0, null]]],
    ['a lease in a transaction', [[4, [], [[6, 0, 1000]], []]]],
    ['an unknown comparison', [[4, [[Buffer.of(1), 9, 0, Buffer.of(1)]], [], []]]],
    ['a comparison of a value with a number', [[4, [[Buffer.of(1), 0, 0, 7]], [], []]]],
    ['too deep a nest', [nested(TXN_DEPTH_MAX + 1)]],
    ['no list', 7],
  ])('%s is refused', (_what, value) => {
    expect(() => unpackOperations(pack(value))).toThrow(
      expect.objectContaining({ code: 'FRAME_INVALID' }),
    );
  });
});

function nested(depth: number): unknown {
  return depth === 0 ? [2, Buffer.of(1)] : [4, [], [nested(depth - 1)], []];
}
