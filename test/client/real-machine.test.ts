import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { text } from '../../src/client/codec.js';
import { compare } from '../../src/client/compare.js';
import type { Client } from '../../src/client/kv-client.js';
import { op } from '../../src/client/op.js';
import { Harness, watch } from './support/harness.js';
import { all, playMany } from './support/random-transactions.js';
import { RealMachine } from './support/real-machine.js';

type TextClient = Client<string, string, 'text'>;

async function given(): Promise<{
  h: Harness;
  real: RealMachine;
  db: TextClient;
  other: TextClient;
}> {
  const h = new Harness();
  const real = await RealMachine.behind(h);
  const db: TextClient = await h.connect({ codec: text });
  const other: TextClient = await h.connect({ codec: text });
  return { h, real, db, other };
}

describe('the client against the real state machine', () => {
  test('puts, touches, deletes and compares', async () => {
    const { h, db } = await given();
    const lease = await h.until(db.lease({ ttlMs: 60_000 }));
    await h.until(db.put('a', '1', { lease }));
    expect(await h.until(db.touch('a', { ignoreLease: true, returnPrevious: true }))).toMatchObject(
      {
        previous: { key: 'a', value: '1', version: 1, lease: lease.id },
      },
    );
    expect(await h.until(db.get('a'))).toMatchObject({ value: '1', version: 2, lease: lease.id });
    const missing = watch(db.touch('none'));
    const put = db.put('b', '1');
    expect(await h.until(put)).toMatchObject({ revision: 3 });
    expect(missing.error).toMatchObject({ code: 'KEY_NOT_FOUND', outcome: 'not-applied' });
    const cas = await h.until(db.cas('b', { expected: 'absent', value: '2' }));
    expect(cas).toMatchObject({ succeeded: false, current: { value: '1' } });
    expect(await h.until(db.cas('b', { expected: { value: '1' }, value: '2' }))).toMatchObject({
      succeeded: true,
      revision: 4,
    });
    const gone = await h.until(db.deleteRange({ from: '', returnPrevious: true }));
    expect(gone).toMatchObject({ deleted: 2, revision: 5 });
    expect(gone.previous.map(({ key, value }) => [key, value])).toEqual([
      ['a', '1'],
      ['b', '2'],
    ]);
    await db.close();
  });

  test('transactions with every kind of condition and step', async () => {
    const { h, db } = await given();
    for (const key of ['a', 'b', 'p/1', 'p/2']) await h.until(db.put(key, key));
    const txn = db
      .txn()
      .when(
        compare.modRevision('a').equals(1),
        compare.value('b').equals('b'),
        compare.absent('c'),
        compare.range({ prefix: 'p/' }).modRevision.lessThan(5),
        compare.range({ prefix: 'p/' }).count.equals(2),
      )
      .do(
        op.put('a', '2', { returnPrevious: true }),
        op.get('a'),
        op.range({ prefix: 'p/', limit: 1 }),
        op.deleteRange({ prefix: 'p/' }),
        // As in etcd all comparisons come before all writes, those of inner transactions too.
        op.txn().when(compare.value('a').equals('a')).do(op.put('inner', 'yes')),
      )
      .otherwise(op.get('a'), op.range({ from: '', keysOnly: true, reverse: true }));
    const first = await h.until(txn.commit());
    expect(first).toMatchObject({ succeeded: true, revision: 5 });
    expect(first.results).toMatchObject([
      { revision: 5, previous: { value: 'a' } },
      { value: '2', modRevision: 5 },
      { items: [{ key: 'p/1' }], count: 2 },
      { deleted: 2, revision: 5 },
      { succeeded: true, results: [{ revision: 5 }] },
    ]);
    const second = await h.until(txn.commit());
    expect(second).toMatchObject({ succeeded: false, revision: 5 });
    expect(second.results).toMatchObject([
      { value: '2' },
      { items: [{ key: 'inner' }, { key: 'b' }, { key: 'a' }], count: 3 },
    ]);
    const twice = await h.failure(db.txn().do(op.put('x', '1'), op.delete('x')).commit());
    expect(twice).toMatchObject({ code: 'KEY_DUPLICATE', outcome: 'not-applied' });
  });

  test('write skew and phantoms are impossible', async () => {
    const { h, db, other } = await given();
    await h.until(Promise.all([db.put('call/ada', 'yes'), db.put('call/bob', 'yes')]));
    const leave = (client: TextClient, who: string): Promise<void> =>
      client.transaction(async (tx) => {
        const on = await all(tx.range({ prefix: 'call/' }));
        if (on.length > 1) tx.delete(`call/${who}`);
      });
    await h.until(Promise.all([leave(db, 'ada'), leave(other, 'bob')]));
    expect(await h.until(all(db.range({ prefix: 'call/' })))).toHaveLength(1);
    const book = (client: TextClient, guest: string): Promise<void> =>
      client.transaction(async (tx) => {
        const booked = await all(tx.range({ prefix: 'room/' }));
        if (booked.length === 0) tx.put(`room/${guest}`, 'booked');
      });
    await h.until(Promise.all([book(db, 'ada'), book(other, 'bob')]));
    expect(await h.until(all(db.range({ prefix: 'room/' })))).toHaveLength(1);
  });

  test('whatever many clients do at once, it is as if one came after the other', async () => {
    let conflicts = 0;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 31 }), async (seed) => {
        const h = new Harness(undefined, seed);
        await RealMachine.behind(h);
        conflicts += await playMany(h, seed);
      }),
      { numRuns: 10 * Number(process.env.BALSA_SOAK ?? 1) },
    );
    expect(conflicts).toBeGreaterThan(20);
  });

  test('a lease that is not kept alive expires with its keys, one that is stays', async () => {
    const { h, real, db, other } = await given();
    const kept = await h.until(db.lease({ ttlMs: 2000 }));
    const left = await h.until(db.lease({ ttlMs: 2000, keepAlive: false }));
    await h.until(
      Promise.all([db.put('k', '1', { lease: kept }), db.put('l', '1', { lease: left })]),
    );
    expect(await h.until(other.leases.get(left.id))).toMatchObject({ keyCount: 1, keys: ['l'] });
    let expiredMs = 0;
    left.signal.addEventListener('abort', () => {
      expect(real.machine.lease(left.id)).not.toBeNull();
      expiredMs = h.clock.monotonicMs();
    });
    await h.clock.advance(10_000);
    expect(expiredMs).toBeGreaterThan(0);
    expect(await h.until(other.get('k'))).toMatchObject({ value: '1' });
    expect(await h.until(other.get('l'))).toMatchObject({ value: undefined });
    expect((await h.until(other.leases.list())).map(({ id }) => id)).toEqual([kept.id]);
    await h.until(kept.revoke());
    expect(await h.until(other.get('k'))).toMatchObject({ value: undefined });
  });

  test('locks go from one to the next, and a holder that was cut off cannot write any more', async () => {
    const { h, db, other } = await given();
    const first = await h.until(db.lock('job', { ttlMs: 2000 }));
    const waiting = watch(other.lock('job', { ttlMs: 2000 }));
    await h.clock.advance(5000);
    expect(waiting.count).toBe(0);
    await db.close();
    await h.clock.advance(3000);
    const second = waiting.value;
    if (second === null) throw new Error('the lock did not come free');
    expect(second.fencingToken).toBeGreaterThan(first.fencingToken);
    const write = (lock: typeof first) =>
      other.txn().when(lock.condition).do(op.put('sum', '1')).commit();
    expect(await h.until(write(first))).toMatchObject({ succeeded: false });
    expect(await h.until(write(second))).toMatchObject({ succeeded: true });
    await h.until(second.release());
    expect(await h.until(other.tryLock('job'))).not.toBeNull();
    await other.close();
  });

  test('namespaces have quotas, settings are kept, history is compacted', async () => {
    const { h, db } = await given();
    await h.until(db.namespaces.set('app', { quotaBytes: 100 }));
    const app: TextClient = db.namespace('app');
    await h.until(app.put('k', 'v'));
    const full = watch(app.put('large', 'x'.repeat(200)));
    await h.until(db.put('large', 'x'.repeat(200)));
    expect(full.error).toMatchObject({ code: 'QUOTA_EXCEEDED', outcome: 'not-applied' });
    expect(await h.until(db.namespaces.list())).toMatchObject([
      { name: 'app', prefix: Buffer.from('app/'), quotaBytes: 100, usedBytes: 6, keys: 1 },
    ]);
    const overlap = await h.failure(db.namespaces.set('inner', { prefix: 'app/inner/' }));
    expect(overlap).toMatchObject({ code: 'NAMESPACE_CONFLICT', outcome: 'not-applied' });
    await h.until(db.settings.set({ historyRevisions: 1000 }));
    expect(await h.until(db.settings.get())).toMatchObject({ historyRevisions: 1000 });
    const { compactedRevision } = await h.until(db.compact());
    expect(await h.until(db.info())).toMatchObject({ compactedRevision });
    expect(await h.failure(db.get('k', { revision: compactedRevision - 1 }))).toMatchObject({
      code: 'COMPACTED',
    });
  });
});
