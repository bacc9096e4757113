import { describe, expect, test } from 'vitest';
import { unpackOperations } from '../../src/base/operation-codec.js';
import { errorAnswer, refusal } from './support/fake-cluster.js';
import { Harness, watch } from './support/harness.js';

const numbers = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, i) => String(from + i));

/** What must not change from one attempt to the next. */
const withoutId = (r: { sequence: number; bornIndex: number; operations: Uint8Array }) => [
  r.sequence,
  r.bornIndex,
  Buffer.from(r.operations).toString('hex'),
];

describe('gathering writes into batches', () => {
  test('puts of one turn of the event loop travel as one batch in one frame', async () => {
    const h = new Harness();
    const db = await h.connect();
    const results = await h.until(Promise.all(numbers(100).map((n) => db.put(`k${n}`, n))));
    expect(h.cluster.frames).toHaveLength(1);
    expect(h.cluster.received('write')).toHaveLength(1);
    expect(results.map((r) => r.revision)).toEqual(numbers(100).map((n) => Number(n) + 1));
    expect(results[0]?.meta).toEqual({
      level: 'linearizable',
      token: '101@cluster-a',
      stalenessMs: null,
      side: 'unknown',
      replica: 'n1',
      term: 1,
      revision: 100,
      appliedIndex: 101,
    });
  });

  test('puts and deletes keep the order of the calls within a batch', async () => {
    const h = new Harness();
    const db = await h.connect();
    const put = db.put('a', '1');
    const gone = db.delete('a');
    const again = db.delete('a');
    const last = db.put('a', '2');
    expect(await h.until(Promise.all([put, gone, again, last]))).toMatchObject([
      { revision: 1 },
      { revision: 2, deleted: true },
      { revision: 2, deleted: false },
      { revision: 3 },
    ]);
    expect(await put).not.toHaveProperty('deleted');
  });

  test('few deletions of ranges travel together: each may take long, and all of a batch are applied in one go', async () => {
    const h = new Harness();
    const db = await h.connect();
    const calls = numbers(5).flatMap((n): Promise<unknown>[] => [
      db.put(`p${n}`, n),
      db.deleteRange({ prefix: `r${n}/` }),
    ]);
    await h.until(Promise.all(calls));
    const types = h.cluster
      .received('write')
      .map((r) => unpackOperations(r.operations).map(({ type }) => type));
    expect(types.map((batch) => batch.join(' '))).toEqual([
      'put delete-range put delete-range put',
      'delete-range put delete-range put',
      'delete-range',
    ]);
  });

  test('a batch holds no more operations than the replica allows', async () => {
    const h = new Harness();
    h.cluster.limits = { operationsPerBatchMax: 10 };
    const db = await h.connect();
    await h.until(Promise.all(numbers(25).map((n) => db.put('k', n))));
    const sizes = h.cluster.received('write').map((r) => unpackOperations(r.operations).length);
    expect(sizes).toEqual([10, 10, 5]);
    expect(h.cluster.appliedValues).toEqual(numbers(25));
  });

  test('a batch holds no more bytes than the replica allows', async () => {
    const h = new Harness();
    h.cluster.limits = { batchBytesMax: 1000 };
    const db = await h.connect();
    await h.until(Promise.all(numbers(20).map(() => db.put('k', 'x'.repeat(200)))));
    const sizes = h.cluster.received('write').map((r) => r.operations.byteLength);
    expect(sizes).toHaveLength(5);
    for (const size of sizes) expect(size).toBeLessThanOrEqual(1000);
  });

  test('what belongs to jobs counts with all that it carries', async () => {
    const h = new Harness();
    h.cluster.limits = { batchBytesMax: 4 * 1024 * 1024 };
    const db = await h.connect();
    h.cluster.fate = () => 'ignore';
    const text = 'x'.repeat(900 * 1024);
    const definition = { input: { list: ['x'.repeat(100_000)] }, stages: { map: { run: 'p' } } };
    const submitted = numbers(16).map(() => db.submit(definition, text, { timeoutMs: 100 }));
    const { store } = db.jobs.parts;
    const report = { type: 'result', value: { type: 'json', json: text }, call: null } as const;
    const reported = numbers(16).map((fence) =>
      store.write(
        { timeoutMs: 100 },
        'done',
        () => ({ type: 'task-report', fence: Number(fence), report }),
        () => null,
      ),
    );
    await h.until(Promise.allSettled([...submitted, ...reported]));
    const sizes = h.cluster.received('write').map((r) => r.operations.byteLength);
    expect(sizes.length).toBeGreaterThan(1);
    for (const size of sizes) expect(size).toBeLessThanOrEqual(4 * 1024 * 1024);
  });

  test('with four batches unanswered, writes gather until one is answered', async () => {
    const h = new Harness();
    const db = await h.connect();
    const puts: Promise<unknown>[] = [];
    h.cluster.fate = () => 'ignore';
    for (const n of numbers(10)) {
      puts.push(db.put('k', n));
      await h.clock.settle();
    }
    await h.clock.advance(5);
    expect(h.cluster.received('write').map((r) => r.sequence)).toEqual([1, 2, 3, 4]);
    h.cluster.fate = () => undefined;
    h.cluster.replica('n1').disconnectAll();
    await h.until(Promise.all(puts));
    expect(h.cluster.applied.map((b) => b.values.length)).toEqual([1, 1, 1, 1, 6]);
    expect(h.cluster.appliedValues).toEqual(numbers(10));
  });

  test('at most batchesPerSessionMax batches are without an answer', async () => {
    const h = new Harness();
    h.cluster.limits = { operationsPerBatchMax: 1, batchesPerSessionMax: 7 };
    const db = await h.connect();
    h.cluster.fate = () => 'ignore';
    for (const n of numbers(50)) db.put('k', n, { timeoutMs: 0 }).catch(() => {});
    await h.clock.advance(5);
    expect(h.cluster.received('write')).toHaveLength(7);
    await db.close();
  });

  test('each batch says through which one all have been answered', async () => {
    const h = new Harness();
    const db = await h.connect();
    for (const n of numbers(3)) await h.until(db.put('k', n));
    expect(h.cluster.received('write').map((r) => [r.sequence, r.acknowledged])).toEqual([
      [1, 0],
      [2, 1],
      [3, 2],
    ]);
  });

  test('the session is born at the index that the replica had applied, and stays so', async () => {
    const h = new Harness();
    const db = await h.connect();
    await h.until(db.put('k', '1'));
    h.cluster.replica('n1').disconnectAll();
    await h.until(db.put('k', '2'));
    expect(h.cluster.received('write').map((r) => r.bornIndex)).toEqual([100, 100]);
  });
});

describe('sending again', () => {
  test('a batch whose answer was lost is sent again unchanged and gets its first outcome', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = () => 'apply-only';
    const seen = watch(db.put('k', 'v'));
    await h.clock.advance(10);
    h.cluster.fate = () => undefined;
    await h.until(db.get('other'));
    expect(seen.count).toBe(0);
    h.cluster.replica('n1').disconnectAll();
    await h.clock.advance(100);
    expect(seen).toMatchObject({ count: 1, value: { revision: 1 } });
    const [first, second] = h.cluster.received('write').map(withoutId);
    expect(second).toEqual(first);
    expect(h.cluster.appliedValues).toEqual(['v']);
  });

  test('after a lost connection all that is unanswered is sent again, in order', async () => {
    const h = new Harness();
    h.cluster.limits = { operationsPerBatchMax: 1 };
    const db = await h.connect();
    h.cluster.fate = (r) => (r.type === 'write' && r.sequence > 2 ? 'ignore' : undefined);
    const puts = numbers(5).map((n) => db.put('k', n));
    await h.clock.advance(10);
    h.cluster.fate = () => undefined;
    h.cluster.replica('n1').disconnectAll();
    await h.until(Promise.all(puts));
    expect(h.cluster.received('write').map((r) => r.sequence)).toEqual([1, 2, 3, 4, 5, 3, 4, 5]);
    expect(h.cluster.appliedValues).toEqual(numbers(5));
  });

  test('NOT_LEADER leads to the leader that it names', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.leader = 'n3';
    const result = await h.until(db.put('k', 'v'));
    expect(result.meta.replica).toBe('n3');
    expect(h.cluster.frames.map((f) => f.replica)).toEqual(['n1', 'n3']);
  });

  test('NOT_LEADER without a name waits for the election, however long', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.leader = null;
    const seen = watch(db.put('k', 'v', { timeoutMs: 60_000 }));
    await h.clock.advance(20_000);
    expect(seen.count).toBe(0);
    h.cluster.elect('n2');
    await h.clock.advance(50);
    expect(seen).toMatchObject({ count: 1, value: { meta: { replica: 'n2' } } });
  });

  test('a leader that was lost with writes in its log is asked no more; the next one answers', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = (_, stream) => {
      if (stream.replica?.name !== 'n1') return undefined;
      return refusal('NOT_LEADER', { outcome: 'unknown', details: { leader: 'n2' } });
    };
    const put = db.put('k', 'v');
    await h.clock.advance(1.5);
    h.cluster.leader = 'n2';
    expect((await h.until(put)).meta.replica).toBe('n2');
    const [first, second] = h.cluster.received('write').map(withoutId);
    expect(second).toEqual(first);
  });

  test('OVERLOADED pauses for as long as the replica asks, then sends what waits as one batch', async () => {
    const h = new Harness();
    h.cluster.limits = { operationsPerBatchMax: 3 };
    const db = await h.connect();
    const overloaded = refusal('OVERLOADED', {
      outcome: 'not-applied',
      details: { retryAfterMs: 200 },
    });
    h.cluster.fate = (r) => (r.type === 'write' ? overloaded : undefined);
    const puts = numbers(2).map((n) => db.put('k', n));
    await h.clock.advance(10);
    h.cluster.fate = () => undefined;
    puts.push(db.put('k', '2'));
    await h.clock.advance(150);
    expect(h.cluster.received('write')).toHaveLength(1);
    await h.until(Promise.all(puts));
    const sent = h.cluster.received('write').map((r) => unpackOperations(r.operations).length);
    expect(sent).toEqual([2, 3]);
    expect(h.cluster.applied).toMatchObject([{ sequence: 1, values: ['0', '1', '2'] }]);
  });

  test('SHUTTING_DOWN makes the client look for another replica', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = (_, s) =>
      s.replica?.name === 'n1' ? refusal('SHUTTING_DOWN', { outcome: 'not-applied' }) : undefined;
    const put = db.put('k', 'v');
    await h.clock.advance(10);
    h.cluster.elect('n2');
    expect((await h.until(put)).meta.replica).toBe('n2');
  });

  test('batches behind one that was refused come again in order', async () => {
    const h = new Harness();
    h.cluster.limits = { operationsPerBatchMax: 1 };
    const db = await h.connect();
    let refused = 0;
    h.cluster.fate = (r) => {
      if (r.type !== 'write' || r.sequence !== 2 || refused > 0) return undefined;
      refused += 1;
      return refusal('OVERLOADED', { outcome: 'not-applied' });
    };
    const results = await h.until(Promise.all(numbers(5).map((n) => db.put('k', n))));
    expect(results.map((r) => r.revision)).toEqual([1, 2, 3, 4, 5]);
    expect(h.cluster.appliedValues).toEqual(numbers(5));
  });
});

test('a late failure of an earlier attempt changes nothing', async () => {
  const h = new Harness();
  h.cluster.limits = { operationsPerBatchMax: 1 };
  const db = await h.connect();
  // The first batch is refused before the log; the second is in the log, whose answers are slow.
  let attempts = 0;
  h.cluster.fate = (r) => {
    attempts += 1;
    if (attempts > 2 || r.type !== 'write') return attempts === 4 ? 'apply-only' : undefined;
    return r.sequence === 1 ? refusal('OVERLOADED', { details: { retryAfterMs: 20 } }) : 'ignore';
  };
  const puts = [db.put('k', 'a'), db.put('k', 'b')];
  await h.clock.advance(50);
  const sent = h.cluster.received('write');
  expect(sent.map((r) => r.sequence)).toEqual([1, 2, 1, 2]);
  const [stream] = h.cluster.replica('n1').streams;
  const gap = refusal('SESSION_GAP', { outcome: 'not-applied' });
  stream?.send({ type: 'answers', answers: [errorAnswer(sent[1]?.id ?? 0, gap)] });
  await h.clock.advance(100);
  expect(h.cluster.received('write')).toHaveLength(4);
  h.cluster.replica('n1').disconnectAll();
  await h.until(Promise.all(puts));
  expect(h.cluster.appliedValues).toEqual(['a', 'b']);
});

describe('writes that the replica will not have', () => {
  test('they fail as not applied, and those behind them are applied all the same', async () => {
    const h = new Harness();
    h.cluster.limits = { operationsPerBatchMax: 1 };
    const db = await h.connect();
    h.cluster.fate = (r) => {
      const bad = r.type === 'write' && Buffer.from(r.operations).includes('bad');
      return bad ? refusal('VALUE_TOO_LARGE', { outcome: 'not-applied' }) : undefined;
    };
    const good = [db.put('k', 'a')];
    const bad = h.failure(db.put('k', 'bad'));
    good.push(db.put('k', 'b'), db.put('k', 'c'));
    expect(await bad).toMatchObject({ code: 'VALUE_TOO_LARGE', outcome: 'not-applied' });
    await h.until(Promise.all(good));
    expect(h.cluster.appliedValues).toEqual(['a', 'b', 'c']);
  });

  test('a sequence that may be in use is filled by a batch without operations', async () => {
    const h = new Harness();
    h.cluster.limits = { operationsPerBatchMax: 1 };
    const db = await h.connect();
    // Both batches are in the log of a leader that is lost; the next one refuses the first of them.
    h.cluster.fate = () => 'ignore';
    const bad = watch(db.put('k', 'bad'));
    const good = db.put('k', 'good');
    await h.clock.advance(5);
    h.cluster.fate = (r) => {
      const isBad = r.type === 'write' && Buffer.from(r.operations).includes('bad');
      return isBad ? refusal('INVALID_ARGUMENT', { outcome: 'not-applied' }) : undefined;
    };
    h.cluster.replica('n1').disconnectAll();
    await h.until(good);
    expect(bad).toMatchObject({
      count: 1,
      error: { code: 'INVALID_ARGUMENT', outcome: 'unknown' },
    });
    expect(h.cluster.applied.map((b) => [b.sequence, b.values])).toEqual([
      [1, []],
      [2, ['good']],
    ]);
  });

  test('when even that is refused, a new session is begun', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = () => 'ignore';
    const bad = watch(db.put('k', 'bad'));
    await h.clock.advance(5);
    h.cluster.fate = () => refusal('INVALID_ARGUMENT', { outcome: 'not-applied' });
    h.cluster.replica('n1').disconnectAll();
    await h.clock.advance(40);
    expect(bad).toMatchObject({
      count: 1,
      error: { code: 'INVALID_ARGUMENT', outcome: 'unknown' },
    });
    h.cluster.fate = () => undefined;
    await h.until(db.put('k', 'good'));
    expect(h.cluster.applied.map((b) => [b.sequence, b.values])).toEqual([[1, ['good']]]);
    expect(new Set(h.cluster.hellos.map((x) => x.hello.sessionId[0])).size).toBe(2);
  });

  test('keys and values over the limits of the replica are refused before anything is sent', async () => {
    const h = new Harness();
    h.cluster.limits = { keyBytesMax: 4, valueBytesMax: 8 };
    const db = await h.connect();
    const failures = [
      db.put('', 'v'),
      db.put('12345', 'v'),
      db.put('k', '123456789'),
      db.delete(''),
    ];
    const codes = await Promise.all(failures.map((put) => h.failure(put)));
    expect(codes.map((e) => e.code)).toEqual([
      'KEY_EMPTY',
      'KEY_TOO_LARGE',
      'VALUE_TOO_LARGE',
      'KEY_EMPTY',
    ]);
    expect(codes.map((e) => e.outcome)).toEqual(Array(4).fill('not-applied'));
    expect(h.cluster.frames).toHaveLength(0);
  });

  test('arguments of the wrong type are INVALID_ARGUMENT', async () => {
    const h = new Harness();
    const db = await h.connect();
    const wrong = 5 as unknown as string;
    const failures = [
      db.put(wrong, 'v'),
      db.put('k', wrong),
      db.put('k', 'v', { timeoutMs: -1 }),
      db.get('k', { consistency: 'strong' as 'any' }),
      db.get('k', { revision: 1.5 }),
      db.put('k', 'v', { signal: {} as AbortSignal }),
      db.put('k', 'v', { lease: null as unknown as number }),
      db.call('p', null, { durability: null as unknown as 'local' }),
    ];
    for (const error of await Promise.all(failures.map((call) => h.failure(call)))) {
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
    expect(h.cluster.frames).toHaveLength(0);
  });
});

describe('sessions that the cluster has forgotten', () => {
  test('what was sent once is sent again in a new session, in order', async () => {
    const h = new Harness();
    h.cluster.limits = { operationsPerBatchMax: 1 };
    const db = await h.connect();
    await h.until(db.put('k', 'first'));
    h.cluster.forgetSessions();
    await h.until(Promise.all(numbers(5).map((n) => db.put('k', n))));
    expect(h.cluster.appliedValues).toEqual(['first', ...numbers(5)]);
    expect(new Set(h.cluster.applied.map((b) => b.session)).size).toBe(2);
    expect(h.cluster.applied.map((b) => b.sequence)).toEqual([1, 1, 2, 3, 4, 5]);
    // The hello binds a stream to its session, so there is a new stream; the new session is younger.
    expect(h.cluster.received('write').at(-1)?.bornIndex).toBeGreaterThan(101);
  });

  test('what was sent more than once may have been applied: it fails as unknown', async () => {
    const h = new Harness();
    h.cluster.limits = { operationsPerBatchMax: 1 };
    const db = await h.connect();
    await h.until(db.put('k', 'first'));
    h.cluster.fate = (r) => (r.type === 'write' ? 'apply-only' : undefined);
    const twice = watch(db.put('k', 'twice'));
    await h.clock.advance(5);
    h.cluster.forgetSessions();
    h.cluster.fate = () => undefined;
    h.cluster.replica('n1').disconnectAll();
    await h.clock.advance(0);
    await h.until(db.put('k', 'once'));
    expect(twice).toMatchObject({
      count: 1,
      error: { code: 'SESSION_EXPIRED', outcome: 'unknown' },
    });
    expect(h.cluster.appliedValues).toEqual(['first', 'twice', 'once']);
  });

  test('a session that never wrote is made anew when the cluster takes it for a forgotten one', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.appliedIndex = 500;
    h.cluster.forgottenThrough = 400;
    await h.until(db.put('k', 'v'));
    expect(h.cluster.received('write').map((r) => r.bornIndex)).toEqual([100, 501]);
  });
});

describe('many small writes behind large ones', () => {
  test('are not taken for what could not be answered in its time', async () => {
    const h = new Harness();
    h.cluster.latencyMs = 50;
    // A large one fills a batch, and forty small ones do.
    h.cluster.limits = { batchBytesMax: 2000 };
    const db = await h.connect();
    const large = Array.from({ length: 300 }, (_, i) => db.put(`l${i}`, Buffer.alloc(1900)));
    await h.until(Promise.all(large));
    const small = Array.from({ length: 6000 }, (_, i) => watch(db.put(`s${i}`, 'x')));
    await h.until(db.put('last', 'x').catch(() => null));
    expect(small.filter(({ error }) => error !== null)).toEqual([]);
  });
});
