import { describe, expect, test } from 'vitest';
import { json, text } from '../../src/client/codec.js';
import { compare } from '../../src/client/compare.js';
import type { Client } from '../../src/client/kv-client.js';
import { op } from '../../src/client/op.js';
import { Harness } from './support/harness.js';

type TextClient = Client<string, string, 'text'>;

async function given(): Promise<{ h: Harness; db: TextClient; app: TextClient }> {
  const h = new Harness();
  const db: TextClient = await h.connect({ codec: text });
  return { h, db, app: db.namespace('app') };
}

async function keysOf(range: AsyncIterable<{ key: string }>): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of range) keys.push(key);
  return keys;
}

describe('a client of a namespace', () => {
  test('adds its prefix to every key and takes it off again', async () => {
    const { h, db, app } = await given();
    await h.until(app.put('k', '1'));
    expect(await h.until(db.get('app/k'))).toMatchObject({ value: '1' });
    expect(await h.until(app.get('k'))).toMatchObject({ value: '1' });
    expect(await h.until(app.get('app/k'))).toMatchObject({ value: undefined });
    const put = await h.until(app.put('k', '2', { returnPrevious: true }));
    expect(put.previous).toMatchObject({ key: 'k', value: '1' });
    const cas = await h.until(app.cas('k', { expected: 'absent', value: '3' }));
    expect(cas).toMatchObject({ succeeded: false, current: { key: 'k', value: '2' } });
    const gone = await h.until(app.delete('k', { returnPrevious: true }));
    expect(gone.previous).toMatchObject({ key: 'k' });
  });

  test('sees and deletes none but its own keys, whatever the range', async () => {
    const { h, db, app } = await given();
    for (const key of ['a', 'app', 'app.', 'app0', 'z']) await h.until(db.put(key, 'outside'));
    await h.until(Promise.all(['a', 'b', 'c'].map((key) => app.put(key, 'inside'))));
    expect(await h.until(keysOf(app.range()))).toEqual(['a', 'b', 'c']);
    expect(await h.until(keysOf(app.range({ reverse: true })))).toEqual(['c', 'b', 'a']);
    expect(await h.until(keysOf(app.range({ from: 'b' })))).toEqual(['b', 'c']);
    expect(await h.until(keysOf(app.range({ to: 'b' })))).toEqual(['a']);
    expect(await h.until(keysOf(app.range({ prefix: 'b' })))).toEqual(['b']);
    expect(await h.until(keysOf(app.range({ prefix: '' })))).toEqual(['a', 'b', 'c']);
    const gone = await h.until(app.deleteRange({ from: '', returnPrevious: true }));
    expect(gone.previous.map(({ key }) => key)).toEqual(['a', 'b', 'c']);
    expect(await h.until(keysOf(db.range()))).toEqual(['a', 'app', 'app.', 'app0', 'z']);
  });

  test('has transactions of both kinds within its keys', async () => {
    const { h, db, app } = await given();
    await h.until(Promise.all([db.put('k', 'outside'), app.put('k', 'inside')]));
    const txn = app
      .txn()
      .when(compare.value('k').equals('inside'), compare.range({ from: '' }).count.equals(1))
      .do(op.put('t', '1'), op.range({ from: '' }), op.deleteRange({ prefix: 'k' }));
    const result = await h.until(txn.commit());
    if (!result.succeeded) throw new Error('a condition failed');
    expect(result.results[1].items.map(({ key }) => key)).toEqual(['k', 't']);
    await h.until(
      app.transaction(async (tx) => {
        expect(await keysOf(tx.range())).toEqual(['t']);
        expect(await tx.get('k')).toMatchObject({ value: undefined });
        tx.put('u', '1');
        expect(await keysOf(tx.range({ prefix: 'u' }))).toEqual(['u']);
      }),
    );
    expect(await h.until(keysOf(db.range()))).toEqual(['app/t', 'app/u', 'k']);
  });

  test('has locks, elections and leases within its keys', async () => {
    const { h, db, app } = await given();
    const inside = await h.until(app.lock('job'));
    const outside = await h.until(db.lock('job', { timeoutMs: 1000 }));
    expect(inside.held && outside.held).toBe(true);
    expect(await h.until(keysOf(app.range({ prefix: '_lock/job/' })))).toHaveLength(1);
    const lease = await h.until(db.lease({ ttlMs: 5000 }));
    await h.until(Promise.all([app.put('k', '1', { lease }), db.put('k', '1', { lease })]));
    const details = await h.until(app.leases.get(lease.id));
    expect(details).toMatchObject({ keyCount: 2, keys: ['k'] });
    await db.close();
  });

  test('watches its own keys only, and sees them without the prefix', async () => {
    const { h, db, app } = await given();
    const seen: string[] = [];
    const all = app.watch({ withPrevious: true });
    const one = app.watch({ key: 'k' });
    const collect = async (): Promise<void> => {
      for await (const event of all) seen.push(`${event.type} ${event.key} ${event.value ?? ''}`);
    };
    const collecting = collect();
    await h.until(Promise.all([all.ready, one.ready]));
    await h.until(Promise.all([db.put('k', 'x'), app.put('k', '1'), db.put('app0', 'x')]));
    await h.until(app.delete('k'));
    const first = await h.until(one[Symbol.asyncIterator]().next());
    expect(first.value).toMatchObject({ type: 'put', key: 'k', value: '1' });
    await Promise.all([all.close(), one.close()]);
    await h.until(collecting);
    expect(seen).toEqual(['put k 1', 'delete k ']);
  });

  test('may have another codec, another prefix, and namespaces inside', async () => {
    const { h, db } = await given();
    const users = db.namespace('users', { codec: json<{ age: number }>() });
    await h.until(users.put('ada', { age: 36 }));
    expect((await h.until(users.get('ada'))).value?.age).toBe(36);
    const odd = db.namespace({ prefix: Buffer.of(0xff) }).namespace('in');
    await h.until(odd.put('k', 'v'));
    expect(h.cluster.at('\xffin/k', null)).not.toBeNull();
    expect(await h.until(keysOf(odd.range()))).toEqual(['k']);
    expect(await h.until(keysOf(db.namespace({ prefix: Buffer.of(0xff) }).range()))).toEqual([
      'in/k',
    ]);
  });

  test('refuses empty keys, empty names and prefixes', async () => {
    const { h, db, app } = await given();
    expect(await h.failure(app.put('', 'v'))).toMatchObject({ code: 'KEY_EMPTY' });
    expect(await h.failure(app.get(''))).toMatchObject({ code: 'KEY_EMPTY' });
    expect(() => db.namespace('')).toThrow(/by its name/);
    expect(() => db.namespace({ prefix: '' })).toThrow(/at least one byte/);
  });

  test('keeps the order of calls with the client that it is a view of', async () => {
    const { h, db, app } = await given();
    const calls = [app.put('k', '1'), db.put('app/k', '2'), app.put('k', '3')];
    const revisions = (await h.until(Promise.all(calls))).map(({ revision }) => revision);
    expect(revisions).toEqual([1, 2, 3]);
    expect(h.cluster.received('write')).toHaveLength(1);
  });
});

describe('what concerns the whole store', () => {
  test('namespaces are made, listed, found and removed', async () => {
    const { h, db, app } = await given();
    await h.until(app.namespaces.set('app', { quotaBytes: 1000 }));
    await h.until(db.namespaces.set('other', { prefix: 'o:' }));
    await h.until(app.put('k', 'v'));
    expect(await h.until(db.namespaces.list())).toMatchObject([
      { name: 'app', prefix: Buffer.from('app/'), quotaBytes: 1000, usedBytes: 6, keys: 1 },
      { name: 'other', prefix: Buffer.from('o:'), quotaBytes: 0, keys: 0 },
    ]);
    const other = db.namespace(await h.until(db.namespaces.get('other')));
    await h.until(other.put('k', 'v'));
    expect(h.cluster.at('o:k', null)).not.toBeNull();
    await h.until(db.namespaces.remove('other'));
    const none = { code: 'NAMESPACE_NOT_FOUND' };
    expect(await h.failure(db.namespaces.get('other'))).toMatchObject(none);
    expect(await h.failure(db.namespaces.remove('other'))).toMatchObject(none);
    const negative = await h.failure(db.namespaces.set('x', { quotaBytes: -1 }));
    expect(negative).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  test('settings are changed one by one', async () => {
    const { h, db } = await given();
    await h.until(db.settings.set({ historyMs: 60_000 }));
    await h.until(db.settings.set({ spaceQuotaBytes: 1 }));
    expect(await h.until(db.settings.get())).toMatchObject({
      historyMs: 60_000,
      historyRevisions: 0,
      spaceQuotaBytes: 1,
    });
    const invalid = { code: 'INVALID_ARGUMENT', outcome: 'not-applied' };
    expect(await h.failure(db.settings.set({}))).toMatchObject(invalid);
    expect(await h.failure(db.settings.set({ historyMs: 0.5 }))).toMatchObject(invalid);
    // @ts-expect-error no such setting
    expect(await h.failure(db.settings.set({ history: 1 }))).toMatchObject(invalid);
  });

  test('history is compacted to a revision, or to the latest', async () => {
    const { h, db } = await given();
    for (const value of ['1', '2', '3']) await h.until(db.put('k', value));
    expect(await h.until(db.compact(2))).toMatchObject({ compactedRevision: 2 });
    expect(await h.failure(db.get('k', { revision: 1 }))).toMatchObject({ code: 'COMPACTED' });
    expect(await h.until(db.get('k', { revision: 2 }))).toMatchObject({ value: '2' });
    expect(await h.until(db.compact())).toMatchObject({ compactedRevision: 3 });
    // All of it is given up already.
    expect(await h.until(db.compact())).toMatchObject({ compactedRevision: 3 });
    expect(await h.failure(db.compact(3))).toMatchObject({ code: 'COMPACTED' });
    expect(await h.failure(db.compact(9))).toMatchObject({
      code: 'FUTURE_REVISION',
      outcome: 'not-applied',
    });
    expect(await h.until(db.info())).toMatchObject({
      revision: 3,
      compactedRevision: 3,
      meta: { replica: 'n1' },
    });
  });
});
