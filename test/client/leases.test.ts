import { describe, expect, test } from 'vitest';
import { unpackOperations } from '../../src/base/operation-codec.js';
import { text } from '../../src/client/codec.js';
import type { Client } from '../../src/client/kv-client.js';
import { Harness, watch } from './support/harness.js';

type TextClient = Client<string, string, 'text'>;

async function given(): Promise<{ h: Harness; db: TextClient }> {
  const h = new Harness();
  const db = await h.connect({ codec: text });
  return { h, db };
}

/** Ids that each batch kept alive, sorted. */
function keepAlives(h: Harness): number[][] {
  const batches = h.cluster.received('write').map(({ operations }) => unpackOperations(operations));
  const ids = batches.map((list) =>
    list.flatMap((o) => (o.type === 'lease-keep-alive' ? [o.lease] : [])),
  );
  return ids.filter((list) => list.length > 0).map((list) => list.sort((a, b) => a - b));
}

describe('a lease', () => {
  test('is kept alive three times in its time to live, and its keys stay', async () => {
    const { h, db } = await given();
    const lease = await h.until(db.lease({ ttlMs: 3000 }));
    await h.until(db.put('k', 'v', { lease }));
    for (let second = 0; second < 30; second += 1) {
      await h.clock.advance(1000);
      h.cluster.store.expire();
    }
    expect(keepAlives(h).length).toBeGreaterThanOrEqual(29);
    expect(keepAlives(h).length).toBeLessThanOrEqual(31);
    expect(lease.held).toBe(true);
    expect(lease.remainingMs()).toBeGreaterThan(1500);
    expect(await h.until(db.get('k'))).toMatchObject({ value: 'v', lease: lease.id });
    await db.close();
  });

  test('is kept alive together with the others, by one timer', async () => {
    const { h, db } = await given();
    const timers: number[] = [];
    const all = [];
    for (let n = 0; n < 20; n += 1) {
      all.push(await h.until(db.lease({ ttlMs: 12_000 })));
      await h.clock.advance(10);
      timers.push(h.clock.timers);
    }
    expect(new Set(timers).size).toBe(1);
    await h.clock.advance(4000);
    expect(keepAlives(h)).toEqual([all.map(({ id }) => id)]);
    await db.close();
    expect(all.every(({ signal }) => signal.aborted)).toBe(true);
  });

  test('is kept alive before all that its client has to write', async () => {
    const h = new Harness();
    h.cluster.limits = { operationsPerBatchMax: 4 };
    h.cluster.latencyMs = 50;
    const db = await h.connect({ codec: text });
    const lease = await h.until(db.lease({ ttlMs: 1000 }));
    const writes = Array.from({ length: 2500 }, (_, i) => db.put(`k${i}`, '', { timeoutMs: 0 }));
    await h.clock.advance(1500);
    expect(h.cluster.revision).toBeLessThan(2500);
    expect(lease.held).toBe(true);
    await db.close();
    await Promise.allSettled(writes);
  });

  test('that is revoked takes its keys with it, and is not kept alive any more', async () => {
    const { h, db } = await given();
    const lease = await h.until(db.lease({ ttlMs: 3000 }));
    await h.until(
      Promise.all([db.put('a', '1', { lease }), db.put('b', '1', { lease: lease.id })]),
    );
    await h.until(lease.revoke());
    expect(await h.until(db.get('a'))).toMatchObject({ value: undefined });
    expect(h.cluster.revision).toBe(3);
    expect(lease.held).toBe(false);
    expect(await h.until(lease.lost)).toMatchObject({ code: 'LEASE_NOT_FOUND' });
    await h.clock.advance(10_000);
    expect(keepAlives(h)).toEqual([]);
    await h.until(lease.revoke());
  });

  test('is revoked at the end of its block', async () => {
    const { h, db } = await given();
    const block = async (): Promise<number> => {
      await using lease = await db.lease({ ttlMs: 3000 });
      await db.put('k', 'v', { lease });
      return lease.id;
    };
    const id = await h.until(block());
    expect(h.cluster.store.leases.has(id)).toBe(false);
    expect(await h.until(db.get('k'))).toMatchObject({ value: undefined });
  });

  test('cut off, it is lost here before the cluster may let it expire', async () => {
    const { h, db } = await given();
    const lease = await h.until(db.lease({ ttlMs: 10_000 }));
    await h.clock.advance(3400);
    const deadlineMs = h.cluster.store.leases.get(lease.id)?.deadlineMs ?? 0;
    for (const replica of h.cluster.replicas) replica.condition = 'hangs';
    let lostMs = 0;
    lease.signal.addEventListener('abort', () => {
      lostMs = h.clock.monotonicMs();
    });
    await h.clock.advance(20_000);
    expect(lostMs).toBeGreaterThan(deadlineMs - 1500);
    expect(lostMs).toBeLessThanOrEqual(deadlineMs - 900);
    expect(lease.remainingMs()).toBe(0);
    expect(await h.until(lease.lost)).toMatchObject({ code: 'LEASE_NOT_FOUND' });
  });

  test('counts from when the keep-alive was sent, not from when it was answered', async () => {
    const { h, db } = await given();
    const lease = await h.until(db.lease({ ttlMs: 9000, keepAlive: false }));
    h.cluster.fate = () => 'apply-only';
    const kept = lease.keepAlive({ timeoutMs: 0 });
    await h.clock.advance(4000);
    h.cluster.fate = () => undefined;
    h.cluster.replica('n1').disconnectAll();
    await h.until(kept);
    // 9/10 of 9 s from the sending, of which 4 s are gone.
    expect(lease.remainingMs()).toBeGreaterThan(3000);
    expect(lease.remainingMs()).toBeLessThanOrEqual(4100);
  });

  test('outlives a change of leader shorter than what remains', async () => {
    const { h, db } = await given();
    const lease = await h.until(db.lease({ ttlMs: 6000 }));
    h.cluster.elect(null);
    await h.clock.advance(4000);
    h.cluster.elect('n2');
    await h.clock.advance(2000);
    expect(lease.held).toBe(true);
    expect(h.cluster.store.leases.get(lease.id)?.deadlineMs).toBeGreaterThan(h.clock.monotonicMs());
    await db.close();
  });

  test('that others revoke is lost at the next keep-alive', async () => {
    const { h, db } = await given();
    const lease = await h.until(db.lease({ ttlMs: 3000 }));
    const other = await h.connect();
    await h.until(other.leases.revoke(lease.id));
    await h.clock.advance(1100);
    expect(lease.signal.aborted).toBe(true);
    const again = await h.failure(lease.keepAlive());
    expect(again).toMatchObject({ code: 'LEASE_NOT_FOUND' });
  });

  test('without keepAlive is lost after its time, unless it is kept alive by hand', async () => {
    const { h, db } = await given();
    const lease = await h.until(db.lease({ ttlMs: 2000, keepAlive: false }));
    await h.clock.advance(1000);
    await h.until(lease.keepAlive());
    await h.clock.advance(1700);
    expect(lease.held).toBe(true);
    await h.clock.advance(200);
    expect(lease.held).toBe(false);
    expect(lease.signal.aborted).toBe(true);
  });

  test('is lost when its client is closed', async () => {
    const { h, db } = await given();
    const lease = await h.until(db.lease({ ttlMs: 2000 }));
    const lost = watch(lease.lost);
    await db.close();
    await h.clock.settle();
    expect(lost.value).toMatchObject({ code: 'CLIENT_CLOSED' });
    expect(h.clock.timers).toBe(0);
  });

  test('is refused when its time to live or its id is not allowed', async () => {
    const { h, db } = await given();
    const short = await h.failure(db.lease({ ttlMs: 10 }));
    expect(short).toMatchObject({ code: 'INVALID_ARGUMENT', outcome: 'not-applied' });
    await h.until(db.lease({ ttlMs: 5000, id: 77 }));
    expect(await h.failure(db.lease({ ttlMs: 5000, id: 77 }))).toMatchObject({
      code: 'LEASE_EXISTS',
      outcome: 'not-applied',
    });
    expect(await h.failure(db.put('k', 'v', { lease: 99 }))).toMatchObject({
      code: 'LEASE_NOT_FOUND',
    });
    expect(await h.failure(db.put('k', 'v', { lease: -1 }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    await db.close();
  });
});

describe('db.leases', () => {
  test('lists all leases, and gives one with its keys', async () => {
    const { h, db } = await given();
    const lease = await h.until(db.lease({ ttlMs: 5000 }));
    await h.until(db.put('k', 'v', { lease }));
    const listed = await h.until(db.leases.list());
    expect(listed).toMatchObject([{ id: lease.id, ttlMs: 5000, keyCount: 1 }]);
    expect(await h.until(db.leases.get(lease.id))).toMatchObject({ id: lease.id, keys: ['k'] });
    expect(await h.until(db.leases.get(lease.id + 1))).toBeNull();
    await db.close();
  });

  test('keeps alive and revokes leases of others', async () => {
    const { h, db } = await given();
    const other = await h.connect();
    const lease = await h.until(other.lease({ ttlMs: 5000, keepAlive: false }));
    await h.clock.advance(1000);
    expect(await h.until(db.leases.keepAlive(lease.id))).toMatchObject({
      id: lease.id,
      ttlMs: 5000,
    });
    await h.until(db.leases.revoke(lease.id));
    expect(await h.failure(db.leases.revoke(lease.id))).toMatchObject({ code: 'LEASE_NOT_FOUND' });
  });
});
