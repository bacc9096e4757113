import { describe, expect, test } from 'vitest';
import { json, text } from '../../src/client/codec.js';
import type { Client } from '../../src/client/kv-client.js';
import { Harness } from './support/harness.js';

type TextClient = Client<string, string, 'text'>;

/** Writes whose first step is a read. */
const WRITES: Readonly<Record<string, (db: TextClient) => Promise<unknown>>> = {
  compact: (db) => db.compact(undefined, { timeoutMs: 1500 }),
  'transaction, a key': (db) =>
    db.transaction(async (tx) => tx.put('a', (await tx.get('b')).value ?? ''), { timeoutMs: 1500 }),
  'transaction, a range': (db) =>
    db.transaction(
      async (tx) => {
        for await (const { key } of tx.range({ prefix: 'b' })) tx.delete(key);
      },
      { timeoutMs: 1500 },
    ),
  'transaction, a range to delete': (db) =>
    db.transaction(async (tx) => void (await tx.deleteRange({ prefix: 'b' })), { timeoutMs: 1500 }),
  rollback: (db) => db.procedures.rollback('transfer', { timeoutMs: 1500 }),
  transfer: (db) => db.cluster.transfer('n2', { timeoutMs: 1500 }),
  remove: (db) => db.cluster.remove('n2', { timeoutMs: 1500 }),
  add: (db) => db.cluster.add({ name: 'n4', address: '10.0.0.4:7001' }, { timeoutMs: 1500 }),
};

describe('a write that fails in the read that it begins with', () => {
  test.each(Object.entries(WRITES))('says that it was not applied: %s', async (_, write) => {
    const h = new Harness();
    const db = await h.connect({ codec: text });
    await h.until(db.put('b', '1'));
    for (const replica of h.cluster.replicas) replica.condition = 'away';
    await h.clock.advance(2000);
    const error = await h.failure(write(db));
    expect(error.outcome).toBe('not-applied');
    expect(['UNREACHABLE', 'TIMEOUT', 'NO_QUORUM']).toContain(error.code);
    expect(h.cluster.applied).toHaveLength(1);
  });

  test('says so also when what it has read is not what its codec expects', async () => {
    const h = new Harness();
    const writer = await h.connect({ codec: text });
    const db = await h.connect({ codec: json() });
    await h.until(writer.put('k', 'no JSON'));
    const one = db.transaction(async (tx) => tx.put('l', (await tx.get('k')).value));
    const expected = { code: 'VALUE_NOT_DECODABLE', outcome: 'not-applied' };
    expect(await h.failure(one)).toMatchObject(expected);
    const many = db.transaction(async (tx) => {
      for await (const { value } of tx.range({ prefix: 'k' })) tx.put('l', value);
    });
    expect(await h.failure(many)).toMatchObject(expected);
  });
});
