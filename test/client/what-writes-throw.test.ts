import { describe, expect, test } from 'vitest';
import { json, text } from '../../src/client/codec.js';
import { compare } from '../../src/client/compare.js';
import { op } from '../../src/client/op.js';
import { Harness } from './support/harness.js';
import { RealMachine } from './support/real-machine.js';

/** What the documentation of these calls names. */

describe('cas of a key that is not as expected', () => {
  test('is RANGE_TOO_LARGE when what it holds is too large to be given', async () => {
    const h = new Harness();
    await RealMachine.behind(h);
    const db = await h.connect({ codec: text });
    await h.until(db.put('k', 'x'.repeat(1024 * 1024 + 1)));
    const cas = db.cas('k', { expected: 'absent', value: 'y' });
    expect(await h.failure(cas)).toMatchObject({ code: 'RANGE_TOO_LARGE', outcome: 'not-applied' });
  });

  test('is VALUE_NOT_DECODABLE, not applied, when it holds what the codec does not expect', async () => {
    const h = new Harness();
    const writer = await h.connect({ codec: text });
    const db = await h.connect({ codec: json<number>() });
    await h.until(writer.put('k', 'no JSON'));
    const error = await h.failure(db.cas('k', { expected: 'absent', value: 1 }));
    expect(error).toMatchObject({ code: 'VALUE_NOT_DECODABLE', outcome: 'not-applied' });
    expect(error.details).not.toHaveProperty('applied');
    expect((await h.until(writer.get('k'))).value).toBe('no JSON');
  });

  test('is KEY_RESERVED, as a put is, when it is a cell', async () => {
    const h = new Harness();
    const db = await h.connect({ codec: text });
    const key = '_cells/hits';
    const expected = { code: 'KEY_RESERVED', outcome: 'not-applied' };
    expect(await h.failure(db.put(key, '1'))).toMatchObject(expected);
    const cas = db.cas(key, { expected: 'absent', value: '1' });
    expect(await h.failure(cas)).toMatchObject(expected);
  });
});

describe('a transaction with a value that the codec does not expect', () => {
  const expected = { code: 'VALUE_NOT_DECODABLE' };

  async function given() {
    const h = new Harness();
    const writer = await h.connect({ codec: text });
    await h.until(writer.put('k', 'no JSON'));
    return { h, writer, db: await h.connect({ codec: json<number>() }) };
  }

  test('is not applied when the branch that was taken only reads', async () => {
    const { h, writer, db } = await given();
    const txn = db
      .txn()
      .when(compare.absent('k'))
      .do(op.put('k', 1))
      .otherwise(op.get('k'), op.txn().do(op.get('k')));
    const error = await h.failure(txn.commit());
    expect(error).toMatchObject({ ...expected, outcome: 'not-applied' });
    expect(error.details).not.toHaveProperty('applied');
    expect((await h.until(writer.get('k'))).value).toBe('no JSON');
  });

  test('is applied when that branch writes, too', async () => {
    const { h, writer, db } = await given();
    const error = await h.failure(db.txn().do(op.get('k'), op.put('other', 1)).commit());
    expect(error).toMatchObject({ ...expected, outcome: 'unknown', details: { applied: true } });
    expect((await h.until(writer.get('other'))).value).toBe('1');
  });
});

test('a transaction that has read a range of too many keys is RANGE_TOO_LARGE', async () => {
  const h = new Harness();
  await RealMachine.behind(h, { txnReadKeysMax: 3 });
  const db = await h.connect({ codec: text });
  for (const key of ['a', 'b', 'c', 'd']) await h.until(db.put(key, '1'));
  const work = db.transaction(async (tx) => {
    for await (const { key } of tx.range()) tx.put(`${key}/seen`, '1');
  });
  const error = await h.failure(work);
  expect(error).toMatchObject({ code: 'RANGE_TOO_LARGE', outcome: 'not-applied' });
});
