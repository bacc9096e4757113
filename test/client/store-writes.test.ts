import { describe, expect, test } from 'vitest';
import { unpackOperations } from '../../src/base/operation-codec.js';
import { json, text } from '../../src/client/codec.js';
import type { Client } from '../../src/client/kv-client.js';
import { op } from '../../src/client/op.js';
import { refusal } from './support/fake-cluster.js';
import { Harness, watch } from './support/harness.js';

type TextClient = Client<string, string, 'text'>;

async function given(): Promise<{ h: Harness; db: TextClient }> {
  const h = new Harness();
  const db = await h.connect({ codec: text });
  return { h, db };
}

describe('put, touch and delete', () => {
  test('a put gives what was there before only when asked', async () => {
    const { h, db } = await given();
    expect(await h.until(db.put('k', '1'))).not.toHaveProperty('previous');
    const first = await h.until(db.put('new', '1', { returnPrevious: true }));
    expect(first.previous).toBeNull();
    const second = await h.until(db.put('k', '2', { returnPrevious: true }));
    const before = {
      key: 'k',
      value: '1',
      modRevision: 1,
      createRevision: 1,
      version: 1,
      lease: 0,
    };
    expect(second).toMatchObject({ revision: 3, previous: before });
  });

  test('a touch keeps the value and hangs the key on a lease', async () => {
    const { h, db } = await given();
    await h.until(db.put('k', 'kept'));
    const lease = await h.until(db.lease({ ttlMs: 5000 }));
    expect(await h.until(db.touch('k', { lease }))).toMatchObject({ revision: 2 });
    expect(await h.until(db.get('k'))).toMatchObject({
      value: 'kept',
      version: 2,
      lease: lease.id,
    });
  });

  test('a touch of nothing is KEY_NOT_FOUND, and the writes beside it in the batch are done', async () => {
    const { h, db } = await given();
    const touch = watch(db.touch('none'));
    const put = db.put('k', 'v');
    expect(await h.until(put)).toMatchObject({ revision: 1 });
    expect(touch.error).toMatchObject({ code: 'KEY_NOT_FOUND', outcome: 'not-applied' });
    expect(h.cluster.received('write')).toHaveLength(1);
  });

  test('a put drops the lease of the key, unless it says ignoreLease', async () => {
    const { h, db } = await given();
    const lease = await h.until(db.lease({ ttlMs: 5000 }));
    await h.until(db.put('k', '1', { lease: lease.id }));
    await h.until(db.put('k', '2', { ignoreLease: true }));
    expect(await h.until(db.get('k'))).toMatchObject({ value: '2', lease: lease.id });
    await h.until(db.put('k', '3'));
    expect(await h.until(db.get('k'))).toMatchObject({ value: '3', lease: 0 });
    const both = await h.failure(db.put('k', '4', { lease, ignoreLease: true }));
    expect(both).toMatchObject({ code: 'INVALID_ARGUMENT', outcome: 'not-applied' });
  });

  test('a delete gives what was there', async () => {
    const { h, db } = await given();
    await h.until(db.put('k', 'v'));
    const gone = await h.until(db.delete('k', { returnPrevious: true }));
    expect(gone).toMatchObject({ deleted: true, revision: 2, previous: { key: 'k', value: 'v' } });
    const again = await h.until(db.delete('k', { returnPrevious: true }));
    expect(again).toMatchObject({ deleted: false, revision: 2, previous: null });
  });

  test('deleteRange removes what the range names, at one revision', async () => {
    const { h, db } = await given();
    await h.until(Promise.all(['a/1', 'a/2', 'b/1', 'c'].map((key) => db.put(key, key))));
    const gone = await h.until(db.deleteRange({ prefix: 'a/', returnPrevious: true }));
    expect(gone).toMatchObject({ deleted: 2, revision: 5 });
    expect(gone.previous.map(({ key, value }) => [key, value])).toEqual([
      ['a/1', 'a/1'],
      ['a/2', 'a/2'],
    ]);
    expect(await h.until(db.deleteRange({ from: 'b', to: 'c' }))).toMatchObject({ deleted: 1 });
    expect(await h.until(db.deleteRange({ from: '' }))).toMatchObject({ deleted: 1, revision: 7 });
    // @ts-expect-error no range at all
    const all = await h.failure(db.deleteRange({}));
    expect(all).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  test('a previous value that the codec cannot read is told, and that the write was applied', async () => {
    const h = new Harness();
    const db = await h.connect({ codec: json<number>() });
    const raw = await h.connect({ codec: text });
    await h.until(raw.put('k', 'no json'));
    const error = await h.failure(db.put('k', 1, { returnPrevious: true }));
    expect(error).toMatchObject({ code: 'VALUE_NOT_DECODABLE', outcome: 'unknown' });
    expect(error.details).toMatchObject({ applied: true });
    expect(await h.until(db.get('k'))).toMatchObject({ value: 1 });
  });
});

describe('compare and set', () => {
  test('writes when the key is as expected, by revision, version, value or absence', async () => {
    const { h, db } = await given();
    const made = await h.until(db.cas('k', { expected: 'absent', value: '1' }));
    expect(made).toMatchObject({ succeeded: true, revision: 1 });
    const set = await h.until(db.cas('k', { expected: { modRevision: 1 }, value: '2' }));
    expect(set).toMatchObject({ succeeded: true, revision: 2 });
    await h.until(db.cas('k', { expected: { version: 2 }, value: '3' }));
    const last = await h.until(db.cas('k', { expected: { value: '3' }, delete: true }));
    expect(last).toMatchObject({ succeeded: true, revision: 4 });
    expect(await h.until(db.get('k'))).toMatchObject({ value: undefined });
  });

  test('else says what the key holds, and writes nothing', async () => {
    const { h, db } = await given();
    await h.until(db.put('k', 'mine'));
    const result = await h.until(db.cas('k', { expected: 'absent', value: 'yours' }));
    expect(result).toMatchObject({ succeeded: false, current: { value: 'mine', modRevision: 1 } });
    const none = await h.until(db.cas('x', { expected: { value: '1' }, value: '2' }));
    expect(none).toMatchObject({ succeeded: false, current: null, revision: 1 });
    // @ts-expect-error nothing that can be expected
    const wrong = await h.failure(db.cas('k', { expected: 7, value: '' }));
    expect(wrong).toMatchObject({ code: 'INVALID_ARGUMENT', outcome: 'not-applied' });
  });

  test('sent again after its answer was lost it gives its first outcome', async () => {
    const { h, db } = await given();
    h.cluster.fate = () => 'apply-only';
    const seen = watch(db.cas('k', { expected: 'absent', value: '1' }));
    await h.clock.advance(10);
    h.cluster.fate = () => undefined;
    h.cluster.replica('n1').disconnectAll();
    await h.clock.advance(200);
    expect(seen.value).toMatchObject({ succeeded: true, revision: 1 });
    expect(h.cluster.revision).toBe(1);
  });
});

describe('while not all members know the newer operations', () => {
  test('those fail with UPGRADE_PENDING, and plain writes of their batch go on in order', async () => {
    const { h, db } = await given();
    h.cluster.fate = (request) => {
      if (request.type !== 'write') return undefined;
      const isExtended = unpackOperations(request.operations).some((o) => o.type === 'txn');
      return isExtended ? refusal('UPGRADE_PENDING', { outcome: 'not-applied' }) : undefined;
    };
    const before = watch(db.put('k', '1'));
    const txn = watch(db.txn().do(op.put('t', '1')).commit());
    const after = watch(db.put('k', '2'));
    await h.clock.settle();
    const behind = watch(db.put('k', '3'));
    await h.clock.advance(500);
    expect(txn.error).toMatchObject({ code: 'UPGRADE_PENDING', outcome: 'not-applied' });
    expect([before, after, behind].map((seen) => seen.value !== null)).toEqual([true, true, true]);
    expect(h.cluster.appliedValues.filter((value) => value !== '')).toEqual(['1', '2', '3']);
    expect(h.cluster.store.at('t', null)).toBeNull();
  });

  test('one that may have been applied is not said to be refused', async () => {
    const { h, db } = await given();
    h.cluster.fate = () => 'ignore';
    const txn = watch(db.txn().do(op.put('t', '1')).commit({ timeoutMs: 300 }));
    await h.clock.advance(10);
    h.cluster.fate = () => refusal('UPGRADE_PENDING', { outcome: 'not-applied' });
    h.cluster.replica('n1').disconnectAll();
    await h.clock.advance(1000);
    expect(txn.error).toMatchObject({ outcome: 'unknown' });
  });

  describe('and the answer that said so was lost', () => {
    /** A plain put and a transaction in one batch, and later puts; what became of each. */
    const lost = async (first: 'ignore' | 'apply-only') => {
      const { h, db } = await given();
      h.cluster.fate = () => first;
      const plain = watch(db.put('k', '1'));
      const txn = watch(db.txn().do(op.put('t', '1')).commit({ timeoutMs: 0 }));
      await h.clock.advance(10);
      h.cluster.fate = (request) => {
        if (request.type !== 'write') return undefined;
        const isExtended = unpackOperations(request.operations).some((o) => o.type === 'txn');
        return isExtended ? refusal('UPGRADE_PENDING', { outcome: 'not-applied' }) : undefined;
      };
      h.cluster.replica('n1').disconnectAll();
      const behind = watch(db.put('k', '2'));
      await h.clock.advance(1000);
      return { h, plain, txn, behind };
    };

    test('those fail as not applied all the same, and what is behind them is not held up', async () => {
      const { h, plain, txn, behind } = await lost('ignore');
      expect(txn.error).toMatchObject({ code: 'UPGRADE_PENDING', outcome: 'not-applied' });
      expect([plain.error, behind.error]).toEqual([null, null]);
      expect([plain.value, behind.value]).toMatchObject([{ revision: 1 }, { revision: 2 }]);
      expect(h.cluster.appliedValues).toEqual(['1', '2']);
    });

    test('those that were applied after all are answered so, once', async () => {
      const { h, plain, txn, behind } = await lost('apply-only');
      expect([plain.error, txn.error, behind.error]).toEqual([null, null, null]);
      expect(txn.value).toMatchObject({ succeeded: true, revision: 2 });
      expect([plain.value, behind.value]).toMatchObject([{ revision: 1 }, { revision: 3 }]);
      expect(h.cluster.store.at('t', null)).toMatchObject({ modRevision: 2 });
    });

    test('the one that was aborted meanwhile holds nothing up either', async () => {
      const { h, db } = await given();
      h.cluster.fate = () => 'ignore';
      const abort = new AbortController();
      const txn = watch(db.txn().do(op.put('t', '1')).commit({ signal: abort.signal }));
      await h.clock.advance(10);
      h.cluster.fate = (request) => {
        const isEmpty =
          request.type === 'write' && unpackOperations(request.operations).length === 0;
        const isPlain = request.type === 'write' && request.sequence > 1;
        return isEmpty || isPlain
          ? undefined
          : refusal('UPGRADE_PENDING', { outcome: 'not-applied' });
      };
      abort.abort();
      h.cluster.replica('n1').disconnectAll();
      const behind = watch(db.put('k', '2'));
      await h.clock.advance(1000);
      expect(txn.error).toMatchObject({ code: 'CANCELLED', outcome: 'unknown' });
      expect(behind.value).toMatchObject({ revision: 1 });
    });
  });
});

describe('large values', () => {
  const MiB = 1024 * 1024;

  test('a large value goes in a batch and a frame of its own', async () => {
    const h = new Harness();
    h.cluster.limits = { valueBytesMax: 16 * MiB, batchBytesMax: 17 * MiB };
    const db = await h.connect();
    const large = Buffer.alloc(16 * MiB, 7);
    const puts = [db.put('a', '1'), db.put('b', large), db.put('c', '3')];
    await h.until(Promise.all(puts));
    const sizes = h.cluster.frames.map(({ requests }) =>
      requests.map((r) => (r.type === 'write' ? unpackOperations(r.operations).length : 0)),
    );
    expect(sizes.flat().reduce((sum, one) => sum + one)).toBe(3);
    for (const { requests } of h.cluster.frames) {
      const bytes = requests.map((r) => (r.type === 'write' ? r.operations.byteLength : 0));
      expect(bytes.reduce((sum, one) => sum + one)).toBeLessThanOrEqual(16 * MiB + 1024);
    }
  });

  test('large batches share no frame beyond its size', async () => {
    const h = new Harness();
    h.cluster.limits = { valueBytesMax: 3 * MiB, batchBytesMax: 3 * MiB };
    const db = await h.connect();
    const value = Buffer.alloc(2 * MiB, 7);
    await h.until(Promise.all([1, 2, 3, 4].map((n) => db.put(`k${n}`, value))));
    expect(h.cluster.frames.map(({ requests }) => requests.length)).toEqual([1, 1, 1, 1]);
  });

  test('a transaction larger than a batch is refused before it is sent', async () => {
    const h = new Harness();
    const db = await h.connect();
    const value = Buffer.alloc(7 * MiB, 7);
    const txn = db.txn().do(op.put('a', value), op.put('b', value), op.put('c', value));
    const error = await h.failure(txn.commit());
    expect(error).toMatchObject({ code: 'BATCH_TOO_LARGE', outcome: 'not-applied' });
    expect(h.cluster.frames).toEqual([]);
  });
});
