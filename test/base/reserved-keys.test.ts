import { describe, expect, test } from 'vitest';
import type { CallRecord } from '../../src/base/call.js';
import { LIMITS } from '../../src/base/limits.js';
import type { TxnStep, WriteOperation } from '../../src/base/operation.js';
import { checkCall, checkOperation } from '../../src/base/operation-check.js';

const put = (key: string) =>
  ({ type: 'put', key: Buffer.from(key), value: Buffer.from('1') }) as const;
const namespace = (prefix: string) =>
  ({ type: 'namespace-set', name: 'n', prefix: Buffer.from(prefix), quotaBytes: 1000 }) as const;
const codeOf = (operation: WriteOperation): string => {
  try {
    checkOperation(operation, LIMITS);
    return 'fine';
  } catch (error) {
    return (error as { code: string }).code;
  }
};
const inTransaction = (step: TxnStep): WriteOperation =>
  ({ type: 'txn', compares: [], success: [], failure: [step] }) as const;

describe('keys that the cluster itself goes on with', () => {
  test.each(['_schedules/1/a', '_schedule-ids/a', '_triggers/a', '_events/a/0', '_cells/a'])(
    'are not put by clients, and are deleted by anybody: %s',
    (key) => {
      expect(codeOf(put(key))).toBe('KEY_RESERVED');
      expect(codeOf(inTransaction(put(key)))).toBe('KEY_RESERVED');
      expect(codeOf({ type: 'delete', key: Buffer.from(key) })).toBe('fine');
      const [from, to] = [Buffer.from('_'), Buffer.from('`')];
      expect(codeOf({ type: 'delete-range', from, to })).toBe('fine');
    },
  );

  test.each(['_schedules', '_event/a', '_mine', 'events/', 'acme/_events/a/0'])(
    'others are: %s',
    (key) => expect(codeOf(put(key))).toBe('fine'),
  );

  test.each([
    ...['_cells/', '_cells/stock/', '_triggers/', '_schedules/', '_schedule-ids/', '_events/told/'],
    // They begin with it.
    ...['_', '_cell', '_s', '_schedule', '_t'],
  ])('are in no namespace, whose quota would hold up the cluster: %s', (prefix) => {
    expect(codeOf(namespace(prefix))).toBe('KEY_RESERVED');
  });

  test.each(['_mine/', '_cellar/', '_eventual/', 'acme/_cells/', 'a', '`'])(
    'are not in the way of other namespaces: %s',
    (prefix) => expect(codeOf(namespace(prefix))).toBe('fine'),
  );

  test('are put by calls', () => {
    const key = Buffer.from('_schedules/000000000000001/a');
    const call: CallRecord = {
      ...{ key: Buffer.from('k'), isNamed: false, bornIndex: 0, procedure: 'p' },
      ...{ hash: 'ab'.repeat(32), fingerprint: Buffer.alloc(8), dependsOn: [] },
      ...{ reads: [], ranges: [], updates: [], writes: [{ key, value: Buffer.from('{}') }] },
      events: [{ name: 'told', payload: '1' }],
      end: { ok: true, result: 'null' },
    };
    expect(() => checkCall(call, LIMITS)).not.toThrow();
  });
});
