import { describe, expect, test } from 'vitest';
import { json, text } from '../../src/client/codec.js';
import { compare } from '../../src/client/compare.js';
import { op } from '../../src/client/op.js';
import { Harness } from './support/harness.js';

/** In UTF-8 all of these would be the same three bytes. */
const HALVES = ['\ud800', '\udfff', 'a\ud83d'];
const WHOLE = '\u{1f600}';

describe('text that is no well-formed Unicode', () => {
  test.each(HALVES)(
    '%j is no key, and no part of one: another one would be meant, too',
    async (half) => {
      const h = new Harness();
      const db = await h.connect({ codec: text });
      const refused = [
        db.put(half, '1'),
        db.get(half),
        db.delete(half),
        db.deleteRange({ prefix: half }),
        db.count({ from: half }),
        db.range({ prefix: half }).next(),
        db.txn().when(compare.exists(half)).do(op.get('a')).commit(),
        db.call('p', null, { idempotencyKey: half }),
        db.namespaces.set('n', { prefix: half }),
      ];
      const codes = await Promise.all(refused.map(async (call) => (await h.failure(call)).code));
      expect(codes).toEqual(refused.map(() => 'INVALID_ARGUMENT'));
      expect(() => db.watch({ key: half })).toThrow(/key is not well-formed Unicode/);
      expect(() => db.namespace(half)).toThrow(/is not well-formed Unicode/);
      expect(h.cluster.received('write')).toEqual([]);
    },
  );

  test.each(HALVES)('%j is no value, unless the codec has a form for it', async (half) => {
    const h = new Harness();
    for (const codec of [undefined, text]) {
      const db = await h.connect<string, unknown, 'text'>({ codec: codec as typeof text });
      const error = await h.failure(db.put('k', half));
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', outcome: 'not-applied' });
    }
    const db = await h.connect({ codec: json<string>() });
    await h.until(db.put('k', half));
    expect((await h.until(db.get('k'))).value).toBe(half);
  });

  test('both halves together are a character as any other', async () => {
    const h = new Harness();
    const db = await h.connect({ codec: text });
    await h.until(db.put(WHOLE, WHOLE));
    expect((await h.until(db.get(WHOLE))).value).toBe(WHOLE);
  });
});
