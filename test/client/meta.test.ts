import { describe, expect, test } from 'vitest';
import type { Client, Meta } from '../../src/client/client.js';
import { text } from '../../src/client/codec.js';
import { Harness } from './support/harness.js';

type TextClient = Client<string, string, 'text'>;
type Call<T> = (db: TextClient) => Promise<T>;

/** What gives an object says what it was given from. */
const WITH_META: Readonly<Record<string, Call<{ readonly meta: Meta } | null>>> = {
  lease: (db) => db.lease({ ttlMs: 60_000, keepAlive: false }),
  'leases.get': (db) => db.leases.get(1),
  'leases.keepAlive': (db) => db.leases.keepAlive(1),
  'leases.revoke': (db) => db.leases.revoke(1),
  'namespaces.set': (db) => db.namespaces.set('shop'),
  'namespaces.remove': (db) => db.namespaces.remove('app'),
  'settings.get': (db) => db.settings.get(),
  'settings.set': (db) => db.settings.set({ historyMs: 5 }),
  lock: (db) => db.lock('job', { timeoutMs: 1000 }),
  tryLock: (db) => db.tryLock('job'),
  'election.campaign': (db) => db.election('other').campaign('me'),
  'election.leader': (db) => db.election('office').leader(),
};

/** What gives a list, nothing or the caller's own counts for the session all the same. */
const WITHOUT_META: Readonly<Record<string, Call<unknown>>> = {
  'leases.list': (db) => db.leases.list(),
  'namespaces.list': (db) => db.namespaces.list(),
  'namespaces.get': (db) => db.namespaces.get('app'),
  'transaction that writes': (db) => db.transaction(async (tx) => tx.put('a', '1')),
  'transaction that reads': (db) => db.transaction(async (tx) => (await tx.get('a')).value),
};

async function given(): Promise<{ h: Harness; db: TextClient }> {
  const h = new Harness();
  const other = await h.connect({ codec: text });
  await h.until(other.lease({ ttlMs: 600_000, id: 1, keepAlive: false }));
  await h.until(other.namespaces.set('app'));
  await h.until(other.election('office').campaign('other'));
  const db = await h.connect({ codec: text });
  h.cluster.appliedIndex += 1000;
  return { h, db };
}

const indexOf = (token: string): number => Number(token.split('@')[0]);

describe('what an answer was given from', () => {
  test.each(Object.entries(WITH_META))(
    'is with it, and counts for the session: %s',
    async (_, call) => {
      const { h, db } = await given();
      const before = h.cluster.appliedIndex;
      expect(indexOf(db.token)).toBeLessThan(before);
      const answer = await h.until(call(db));
      expect(answer?.meta).toMatchObject({ level: 'linearizable', replica: 'n1', side: 'unknown' });
      expect(answer?.meta.appliedIndex).toBeGreaterThanOrEqual(before);
      expect(indexOf(answer?.meta.token ?? '')).toBe(answer?.meta.appliedIndex);
      expect(db.token).toBe(answer?.meta.token);
      expect(indexOf(db.token)).toBe(h.cluster.appliedIndex);
      await db.close();
    },
  );

  test.each(Object.entries(WITHOUT_META))('counts for the session: %s', async (_, call) => {
    const { h, db } = await given();
    expect(indexOf(db.token)).toBeLessThan(h.cluster.appliedIndex);
    await h.until(call(db));
    expect(indexOf(db.token)).toBe(h.cluster.appliedIndex);
    await db.close();
  });

  test('is with a lock of the read that said that the one in front is gone', async () => {
    const { h, db } = await given();
    const other = await h.connect({ codec: text });
    const first = await h.until(other.lock('job'));
    const waiting = db.lock('job');
    await h.clock.advance(100);
    await h.until(first.release());
    const released = h.cluster.appliedIndex;
    const lock = await h.until(waiting);
    expect(lock.meta.appliedIndex).toBe(released);
    expect(lock.meta.revision).toBeGreaterThan(lock.fencingToken);
    await db.close();
  });

  test('does not stand in the way of changing the settings that were got', async () => {
    const { h, db } = await given();
    const settings = await h.until(db.settings.get());
    await h.until(db.settings.set({ ...settings, historyMs: 7 }));
    expect(await h.until(db.settings.get())).toMatchObject({ historyMs: 7 });
  });
});
