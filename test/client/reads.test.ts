import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { json, text } from '../../src/client/codec.js';
import { refusal } from './support/fake-cluster.js';
import { Harness, watch } from './support/harness.js';

/** Everything that a range gives, time passing as needed. */
async function all<T>(h: Harness, range: AsyncGenerator<T>): Promise<T[]> {
  const items: T[] = [];
  for (;;) {
    const next = await h.until(range.next());
    if (next.done === true) return items;
    items.push(next.value);
  }
}

async function filled(count: number, h = new Harness()) {
  const db = await h.connect();
  const keys = Array.from({ length: count }, (_, i) => `user/${String(i).padStart(4, '0')}`);
  await h.until(Promise.all(keys.map((key) => db.put(key, `value of ${key}`))));
  return { h, db, keys };
}

describe('get', () => {
  test('gets of one turn travel as one request for each level', async () => {
    const { h, db } = await filled(3);
    h.cluster.frames.length = 0;
    const results = await h.until(
      Promise.all([
        db.get('user/0001'),
        db.get('nobody'),
        db.get('user/0002'),
        db.get('user/0000', { consistency: 'any' }),
      ]),
    );
    expect(results.map((r) => r.value?.toString())).toEqual([
      'value of user/0001',
      undefined,
      'value of user/0002',
      'value of user/0000',
    ]);
    expect(results[0]).toMatchObject({ modRevision: 2, createRevision: 2, version: 1 });
    expect(results[1]).toMatchObject({ modRevision: 0, createRevision: 0, version: 0 });
    expect(results.map((r) => r.meta.level)).toEqual([
      'linearizable',
      'linearizable',
      'linearizable',
      'any',
    ]);
    expect(h.cluster.frames).toHaveLength(1);
    expect(h.cluster.received('get').map((r) => r.keys.length)).toEqual([1, 3]);
  });

  test('gets at different revisions travel apart', async () => {
    const h = new Harness();
    const db = await h.connect();
    for (const value of ['a', 'b', 'c']) await h.until(db.put('k', value));
    const gets = [1, 2, undefined].map((revision) => db.get('k', { revision }));
    const values = (await h.until(Promise.all(gets))).map((r) => r.value?.toString());
    expect(values).toEqual(['a', 'b', 'c']);
    expect(h.cluster.received('get').map((r) => r.revision)).toEqual([1, 2, null]);
  });

  test('gets at many different revisions do not wait for each other', async () => {
    const h = new Harness();
    const db = await h.connect();
    const revisions = Array.from({ length: 20 }, (_, i) => i + 1);
    for (const revision of revisions) await h.until(db.put('k', `at ${revision}`));
    h.cluster.frames.length = 0;
    const gets = revisions.map((revision) => db.get('k', { revision }));
    const values = (await h.until(Promise.all(gets))).map((r) => r.value?.toString());
    expect(values).toEqual(revisions.map((revision) => `at ${revision}`));
    // The first one goes at once, the others with each other: not one by one.
    expect(h.cluster.frames.length).toBeLessThanOrEqual(2);
    expect(h.cluster.received('get').map((r) => r.revision)).toEqual(revisions);
  });

  test('what a replica leaves out of a large answer is asked again', async () => {
    const { h, db, keys } = await filled(10);
    const stream = [...h.cluster.replica('n1').streams][0];
    if (stream === undefined) throw new Error('no stream');
    const { serve } = stream;
    stream.serve = (request, replica) => {
      const answer = serve.call(stream, request, replica);
      return answer.type === 'get' ? { ...answer, items: answer.items.slice(0, 4) } : answer;
    };
    const values = await h.until(Promise.all(keys.map((key) => db.get(key))));
    expect(values.map((v) => v.value?.toString())).toEqual(keys.map((key) => `value of ${key}`));
    expect(h.cluster.received('get').map((r) => r.keys.length)).toEqual([10, 6, 2]);
  });

  test('a read whose link was lost is asked again', async () => {
    const { h, db } = await filled(1);
    h.cluster.fate = () => 'ignore';
    const get = db.get('user/0000');
    await h.clock.advance(5);
    h.cluster.fate = () => undefined;
    h.cluster.replica('n1').disconnectAll();
    expect((await h.until(get)).value?.toString()).toBe('value of user/0000');
  });

  test('a read is asked again after errors that may pass', async () => {
    const { h, db } = await filled(1);
    let left = 5;
    h.cluster.fate = () => {
      left -= 1;
      return left >= 0 ? refusal('OVERLOADED', { details: { retryAfterMs: 20 } }) : undefined;
    };
    expect((await h.until(db.get('user/0000'))).version).toBe(1);
    expect(h.cluster.received('get')).toHaveLength(6);
  });

  test('gets whose time is up make room for those that wait', async () => {
    const { h, db } = await filled(1);
    h.cluster.fate = () => 'ignore';
    const lost = [];
    for (let n = 0; n < 4; n += 1) {
      lost.push(watch(db.get('user/0000', { timeoutMs: 100 })));
      await h.clock.settle();
    }
    const fifth = watch(db.get('user/0000', { timeoutMs: 60_000 }));
    await h.clock.advance(50);
    expect(h.cluster.received('get')).toHaveLength(4);
    h.cluster.fate = () => undefined;
    await h.clock.advance(100);
    expect(lost.map(({ error }) => error?.code)).toEqual(Array(4).fill('TIMEOUT'));
    expect(fifth.value?.version).toBe(1);
  });

  test('a get that waited for others whose time was up finds a leader that does not hang', async () => {
    const { h, db } = await filled(1);
    h.cluster.replica('n1').condition = 'hangs';
    for (let n = 0; n < 4; n += 1) {
      watch(db.get('user/0000', { timeoutMs: 100 }));
      await h.clock.settle();
    }
    const fifth = watch(db.get('user/0000', { timeoutMs: 60_000 }));
    await h.clock.advance(200);
    h.cluster.elect('n2');
    await h.clock.advance(3000);
    expect(fifth.value?.meta.replica).toBe('n2');
  });

  test('a read goes to the leader that NOT_LEADER names', async () => {
    const { h, db } = await filled(1);
    h.cluster.leader = 'n2';
    h.cluster.fate = (_, s) =>
      s.replica?.name === 'n1' ? refusal('NOT_LEADER', { details: { leader: 'n2' } }) : undefined;
    expect((await h.until(db.get('user/0000'))).meta.replica).toBe('n2');
  });

  test('errors that do not pass are told at once', async () => {
    const { h, db } = await filled(1);
    for (const code of ['COMPACTED', 'FUTURE_REVISION'] as const) {
      h.cluster.fate = () => refusal(code, { details: { oldest: 5 } });
      const error = await h.failure(db.get('user/0000', { revision: 2 }));
      expect(error).toMatchObject({ code, details: { oldest: 5 } });
    }
    expect(h.cluster.received('get')).toHaveLength(2);
    expect(await h.failure(db.get(''))).toMatchObject({ code: 'KEY_EMPTY' });
  });

  test('a replica that lags is asked again for a revision that it does not have yet', async () => {
    const { h, db } = await filled(1);
    h.cluster.fate = () => refusal('FUTURE_REVISION');
    const get = db.get('user/0000', { revision: 1, consistency: 'any' });
    await h.clock.advance(100);
    h.cluster.fate = () => undefined;
    expect((await h.until(get)).version).toBe(1);
    h.cluster.fate = () => refusal('FUTURE_REVISION');
    const never = db.get('user/0000', { revision: 9, consistency: 'any', timeoutMs: 200 });
    expect(await h.failure(never)).toMatchObject({ code: 'FUTURE_REVISION' });
  });
});

describe('range', () => {
  test('gives keys in order, page by page, all at the revision of the first page', async () => {
    const { h, db, keys } = await filled(25);
    for (const replica of h.cluster.replicas) replica.pageKeysMax = 10;
    const range = db.range({ prefix: 'user/' });
    const first = await h.until(range.next());
    await h.until(db.put('user/0005', 'changed'));
    await h.until(db.put('user/9999', 'new'));
    await h.until(db.delete('user/0024'));
    const rest = await all(h, range);
    const items = first.done === true ? rest : [first.value, ...rest];
    expect(items.map((i) => i.key)).toEqual(keys);
    expect(items.map((i) => i.value.toString())).toEqual(keys.map((key) => `value of ${key}`));
    const asked = h.cluster.received('range');
    expect(asked.map((r) => r.revision)).toEqual([null, 25, 25]);
    expect(asked.map((r) => r.consistency)).toEqual(['linearizable', 'session', 'session']);
    expect(items.every((i) => i.meta.level === 'linearizable')).toBe(true);
    // Whoever watches from there on misses nothing.
    expect([...new Set(items.map((i) => i.meta.revision))]).toEqual([25]);
  });

  test('limit is honoured across pages, and no more is asked for than is needed', async () => {
    const { h, db, keys } = await filled(25);
    for (const replica of h.cluster.replicas) replica.pageKeysMax = 10;
    const items = await all(h, db.range({ limit: 12 }));
    expect(items.map((i) => i.key)).toEqual(keys.slice(0, 12));
    expect(h.cluster.received('range').map((r) => r.keysMax)).toEqual([12, 2]);
    expect(await all(h, db.range({ limit: 0 }))).toEqual([]);
    expect(h.cluster.received('range')).toHaveLength(2);
  });

  test('reverse goes from the last key to the first, across pages', async () => {
    const { h, db, keys } = await filled(25);
    for (const replica of h.cluster.replicas) replica.pageKeysMax = 10;
    const items = await all(h, db.range({ reverse: true }));
    expect(items.map((i) => i.key)).toEqual([...keys].reverse());
  });

  test('from is included, to is not', async () => {
    const { h, db } = await filled(10);
    const items = await all(h, db.range({ from: 'user/0003', to: Buffer.from('user/0006') }));
    expect(items.map((i) => i.key)).toEqual(['user/0003', 'user/0004', 'user/0005']);
  });

  test('the next page is on its way while the caller works on this one', async () => {
    const { h, db } = await filled(30);
    for (const replica of h.cluster.replicas) replica.pageKeysMax = 10;
    const range = db.range();
    await h.until(range.next());
    await h.clock.advance(5);
    expect(h.cluster.received('range')).toHaveLength(2);
    await h.clock.advance(50);
    expect(h.cluster.received('range')).toHaveLength(2);
    await range.return();
  });

  test('break ends it: the page on its way is neither waited for nor asked again', async () => {
    const { h, db } = await filled(30);
    for (const replica of h.cluster.replicas) replica.pageKeysMax = 10;
    h.cluster.fate = (r) => (r.type === 'range' && r.revision !== null ? 'ignore' : undefined);
    const range = db.range();
    await h.until(range.next());
    await h.clock.advance(5);
    await h.until(range.return());
    h.cluster.fate = () => undefined;
    h.cluster.replica('n1').disconnectAll();
    await h.until(db.get('user/0000'));
    expect(h.cluster.received('range')).toHaveLength(2);
  });

  test('pages go on at the next leader, at the same revision', async () => {
    const { h, db, keys } = await filled(25);
    for (const replica of h.cluster.replicas) replica.pageKeysMax = 10;
    const range = db.range();
    const first = await h.until(range.next());
    h.cluster.replica('n1').condition = 'refuses';
    h.cluster.replica('n1').disconnectAll();
    h.cluster.elect('n3');
    const rest = await all(h, range);
    expect([first.value?.key, ...rest.map((i) => i.key)]).toEqual(keys);
    expect(rest.at(-1)?.meta.replica).toBe('n3');
  });

  test('an error in a later page comes when the caller gets there', async () => {
    const { h, db } = await filled(15);
    for (const replica of h.cluster.replicas) replica.pageKeysMax = 10;
    const range = db.range();
    await h.until(range.next());
    h.cluster.fate = () => refusal('COMPACTED');
    let seen = 1;
    const failed = (async () => {
      for await (const _ of range) seen += 1;
    })();
    expect(await h.failure(failed)).toMatchObject({ code: 'COMPACTED' });
    expect(seen).toBe(10);
  });

  test('wrong arguments are INVALID_ARGUMENT', async () => {
    const { h, db } = await filled(1);
    const wrong = [
      { prefix: 'a', from: 'b' },
      { limit: -1 },
      { limit: 1.5 },
      { revision: -1 },
      { from: 5 as unknown as string },
      { consistency: 'strong' as 'any' },
    ];
    for (const options of wrong) {
      expect(await h.failure(db.range(options).next())).toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
  });
});

describe('codecs and keys', () => {
  test('json values go in and come out as they are', async () => {
    const h = new Harness();
    const db = await h.connect({ codec: json<{ name: string; age: number }>() });
    await h.until(db.put('user/ada', { name: 'Ada', age: 36 }));
    const { value } = await h.until(db.get('user/ada'));
    expect(value?.name).toBe('Ada');
    const [item] = await all(h, db.range());
    expect(item).toMatchObject({ key: 'user/ada', value: { name: 'Ada', age: 36 } });
  });

  test('what has no form in JSON is refused before it is sent', async () => {
    const h = new Harness();
    const db = await h.connect({ codec: json() });
    const loop: { self?: unknown } = {};
    loop.self = loop;
    for (const value of [undefined, () => 1, loop, 10n]) {
      expect(await h.failure(db.put('k', value))).toMatchObject({
        code: 'INVALID_ARGUMENT',
        outcome: 'not-applied',
      });
    }
    expect(h.cluster.frames).toHaveLength(0);
  });

  test('stored bytes that are not what the codec expects fail with the key in the message', async () => {
    const h = new Harness();
    const raw = await h.connect();
    await h.until(raw.put('broken', Buffer.from([0xff, 0xfe])));
    for (const codec of [json(), text]) {
      const db = await h.connect({ codec: codec as ReturnType<typeof json> });
      const error = await h.failure(db.get('broken'));
      expect(error).toMatchObject({ code: 'VALUE_NOT_DECODABLE', details: { key: '"broken"' } });
      expect(error.message).toContain('"broken"');
      expect(await h.failure(db.range().next())).toMatchObject({ code: 'VALUE_NOT_DECODABLE' });
    }
  });

  test('one value that cannot be decoded does not spoil the others of its turn', async () => {
    const h = new Harness();
    const db = await h.connect({ codec: json() });
    const raw = await h.connect();
    await h.until(Promise.all([raw.put('bad', '{'), raw.put('good', '7')]));
    const bad = h.failure(db.get('bad'));
    const good = db.get('good');
    expect(await bad).toMatchObject({ code: 'VALUE_NOT_DECODABLE' });
    expect((await h.until(good)).value).toBe(7);
  });

  test('keys that are not text fail unless bytes are asked for', async () => {
    const h = new Harness();
    const db = await h.connect();
    await h.until(db.put(Buffer.from([1, 0xff]), 'v'));
    const error = await h.failure(db.range().next());
    expect(error).toMatchObject({ code: 'VALUE_NOT_DECODABLE', details: { key: '0x01ff' } });
    const options = { endpoints: h.cluster.endpoints, keys: 'bytes' as const, codec: text };
    const asBytes = await h.connect(options);
    const [item] = await all(h, asBytes.range());
    expect(item?.key).toEqual(Buffer.from([1, 0xff]));
  });

  test('values are bytes of their own, not views into a frame', async () => {
    const h = new Harness();
    const db = await h.connect();
    await h.until(db.put('k', 'value'));
    const { value } = await h.until(db.get('k'));
    expect(value?.byteLength).toBe(5);
    value?.fill(0);
    expect((await h.until(db.get('k'))).value?.toString()).toBe('value');
  });
});

describe('status', () => {
  test('is that of the leader', async () => {
    const h = new Harness();
    h.cluster.leader = 'n2';
    const db = await h.connect();
    await h.until(db.put('k', 'v'));
    expect(await h.until(db.status())).toMatchObject({ replica: 'n2', revision: 1 });
  });

  test('is answered without a leader, too', async () => {
    const h = new Harness();
    h.cluster.leader = null;
    const db = await h.connect();
    expect(await h.until(db.status())).toMatchObject({ replica: 'n1' });
  });
});

test('every error is a BalsaError with its code', async () => {
  const h = new Harness();
  const db = await h.connect();
  h.cluster.fate = () => refusal('INTERNAL', { outcome: 'unknown' });
  const error = await h.failure(db.put('k', 'v'));
  expect(error).toBeInstanceOf(BalsaError);
  expect(error).toMatchObject({ code: 'INTERNAL', outcome: 'unknown', retryable: false });
});
