import { describe, expect, test } from 'vitest';
import { refusal } from './support/fake-cluster.js';
import { Harness, watch } from './support/harness.js';

describe('time limits', () => {
  test('a write that was sent fails with outcome unknown, and its sequence is used up all the same', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = () => 'ignore';
    const error = await h.failure(db.put('k', 'lost', { timeoutMs: 300 }));
    expect(error).toMatchObject({ code: 'TIMEOUT', outcome: 'unknown', retryable: true });
    expect(error.message).toMatch(/^no answer within 300 ms: asked n1 at 10\.0\.0\.1:7001/);
    h.cluster.fate = () => undefined;
    h.cluster.replica('n1').disconnectAll();
    await h.until(db.put('k', 'next'));
    expect(h.cluster.appliedValues).toEqual(['lost', 'next']);
  });

  test('a write that was never sent fails as not applied, and never is', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.elect(null);
    await h.clock.advance(5);
    const failed = h.failure(db.put('k', 'late', { timeoutMs: 300 }));
    const kept = db.put('k', 'kept');
    expect(await failed).toMatchObject({ code: 'NO_QUORUM', outcome: 'not-applied' });
    h.cluster.elect('n1');
    await h.until(kept);
    expect(h.cluster.appliedValues).toEqual(['kept']);
  });

  test('a write that every attempt refused fails as not applied, and never is', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = () => refusal('NO_QUORUM', { outcome: 'not-applied' });
    const error = await h.failure(db.put('k', 'late', { timeoutMs: 1000 }));
    expect(error).toMatchObject({ code: 'NO_QUORUM', outcome: 'not-applied' });
    h.cluster.fate = () => undefined;
    await h.until(db.put('k', 'next'));
    expect(h.cluster.appliedValues).toEqual(['next']);
    expect(h.cluster.applied[0]?.sequence).toBe(1);
  });

  test('the time limit of a call is kept to a few milliseconds, each its own', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = () => 'ignore';
    const start = h.clock.monotonicMs();
    const late: Record<number, number> = {};
    for (const timeoutMs of [400, 50, 200, 51]) {
      db.put('k', 'v', { timeoutMs }).catch(() => {
        late[timeoutMs] = h.clock.monotonicMs() - start - timeoutMs;
      });
    }
    await h.clock.advance(500);
    expect(Object.keys(late)).toHaveLength(4);
    for (const ms of Object.values(late)) {
      expect(ms).toBeGreaterThanOrEqual(0);
      expect(ms).toBeLessThanOrEqual(6);
    }
  });

  test('the time that a call names begins with it, however long the turn has taken before', async () => {
    const h = new Harness();
    const db = await h.connect({ timeoutMs: 1000 });
    const calls = [db.put('a', '1'), db.get('a')];
    h.clock.work(500);
    calls.push(db.put('b', '2', { timeoutMs: 300 }), db.get('b', { timeoutMs: 300 }));
    expect(await h.until(Promise.all(calls))).toHaveLength(4);
  });

  test('whoever waits for a job is told when his time is up, also while nobody can be asked', async () => {
    const h = new Harness();
    const db = await h.connect({ timeoutMs: 0 });
    h.cluster.fate = () => 'ignore';
    const start = h.clock.monotonicMs();
    const error = await h.failure(db.jobs.get('nightly').wait({ timeoutMs: 1000 }));
    expect(error).toMatchObject({ code: 'TIMEOUT', message: expect.stringContaining('nightly') });
    expect(h.clock.monotonicMs() - start).toBeLessThan(1100);
  });

  test('many calls with a time limit share one timer', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.elect(null);
    await h.clock.advance(1000);
    const before = h.clock.timers;
    for (let i = 0; i < 1000; i += 1) db.put('k', 'v').catch(() => {});
    await h.clock.settle();
    expect(h.clock.timers).toBeLessThanOrEqual(before + 1);
    await db.close();
  });

  test('without any replica the error is UNREACHABLE and says of each endpoint why', async () => {
    const h = new Harness();
    const db = await h.connect();
    for (const replica of h.cluster.replicas) {
      replica.condition = 'refuses';
      replica.disconnectAll();
    }
    await h.clock.advance(5);
    const error = await h.failure(db.put('k', 'v', { timeoutMs: 2000 }));
    expect(error).toMatchObject({ code: 'UNREACHABLE', outcome: 'not-applied' });
    expect(error.message).toContain('10.0.0.1:7001: ECONNREFUSED');
    expect(error.message).toContain('10.0.0.3:7001: ECONNREFUSED');
  });

  test('a linearizable read without a leader is NO_QUORUM; any is served', async () => {
    const h = new Harness();
    const db = await h.connect();
    await h.until(db.put('k', 'v'));
    h.cluster.elect(null);
    await h.clock.advance(5);
    const failed = h.failure(db.get('k', { timeoutMs: 500 }));
    const { value, meta } = await h.until(db.get('k', { consistency: 'any' }));
    expect(value?.toString()).toBe('v');
    expect(meta.level).toBe('any');
    expect(await failed).toMatchObject({ code: 'NO_QUORUM', outcome: undefined });
  });

  test.each([
    { goneMs: 500, code: 'TIMEOUT' },
    { goneMs: 1500, code: 'NO_QUORUM' },
  ])(
    'a write sent to a leader that is gone for the last $goneMs ms is $code, its outcome unknown',
    async ({ goneMs, code }) => {
      const h = new Harness();
      const db = await h.connect();
      h.cluster.fate = () => 'ignore';
      const failed = h.failure(db.put('k', 'v', { timeoutMs: 2000 }));
      await h.clock.advance(2000 - goneMs);
      h.cluster.elect(null);
      await h.clock.advance(goneMs);
      expect(await failed).toMatchObject({ code, outcome: 'unknown' });
    },
  );

  test('OVERLOADED until the end is told as OVERLOADED', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = () => refusal('OVERLOADED', { outcome: 'not-applied' });
    const put = h.failure(db.put('k', 'v', { timeoutMs: 700 }));
    const get = h.failure(db.get('k', { timeoutMs: 700 }));
    expect(await put).toMatchObject({ code: 'OVERLOADED', outcome: 'not-applied' });
    expect(await get).toMatchObject({ code: 'OVERLOADED' });
  });

  test('timeoutMs 0 waits for as long as it takes', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.elect(null);
    const seen = watch(db.put('k', 'v', { timeoutMs: 0 }));
    await h.clock.advance(100_000);
    expect(seen.count).toBe(0);
    h.cluster.elect('n2');
    await h.clock.advance(100);
    expect(seen).toMatchObject({ count: 1, value: { revision: 1 } });
  });
});

describe('abort', () => {
  test('a write that waits is taken out: not applied', async () => {
    const h = new Harness();
    const db = await h.connect();
    const abort = new AbortController();
    const failed = h.failure(db.put('k', 'aborted', { signal: abort.signal }));
    const kept = db.put('k', 'kept');
    const reason = new Error('changed my mind');
    abort.abort(reason);
    expect(await failed).toMatchObject({
      code: 'CANCELLED',
      outcome: 'not-applied',
      cause: reason,
    });
    await h.until(kept);
    expect(h.cluster.appliedValues).toEqual(['kept']);
  });

  test('a write that was sent may be applied all the same: unknown', async () => {
    const h = new Harness();
    const db = await h.connect();
    const abort = new AbortController();
    const failed = h.failure(db.put('k', 'v', { signal: abort.signal }));
    await h.clock.settle();
    abort.abort();
    expect(await failed).toMatchObject({ code: 'CANCELLED', outcome: 'unknown' });
    await h.until(db.put('k', 'next'));
    expect(h.cluster.appliedValues).toEqual(['v', 'next']);
  });

  test('a read is aborted, and its late answer does no harm', async () => {
    const h = new Harness();
    const db = await h.connect();
    const abort = new AbortController();
    const failed = h.failure(db.get('k', { signal: abort.signal }));
    await h.clock.settle();
    abort.abort();
    expect(await failed).toMatchObject({ code: 'CANCELLED' });
    await h.until(db.get('k'));
  });

  test('gets that were under way make room for those that wait', async () => {
    const h = new Harness();
    const db = await h.connect({ timeoutMs: 0 });
    h.cluster.fate = () => 'ignore';
    const abort = new AbortController();
    for (let n = 0; n < 4; n += 1) {
      watch(db.get('k', { signal: abort.signal }));
      await h.clock.settle();
    }
    const fifth = watch(db.get('k'));
    await h.clock.advance(5);
    expect(h.cluster.received('get')).toHaveLength(4);
    h.cluster.fate = () => undefined;
    abort.abort();
    await h.clock.advance(5);
    expect(fifth).toMatchObject({ count: 1, error: null });
  });

  test('a signal that is aborted already stops the call before it begins', async () => {
    const h = new Harness();
    const db = await h.connect();
    const error = await h.failure(db.put('k', 'v', { signal: AbortSignal.abort() }));
    expect(error).toMatchObject({ code: 'CANCELLED', outcome: 'not-applied' });
    expect(h.cluster.frames).toHaveLength(0);
  });

  test('calls that share a signal share one listener, which goes with the last of them', async () => {
    const h = new Harness();
    const db = await h.connect();
    const { signal } = new AbortController();
    let listeners = 0;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
      listeners += 1;
      addEventListener.apply(signal, args);
    };
    signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
      listeners -= 1;
      removeEventListener.apply(signal, args);
    };
    const calls = [db.put('k', 'v', { signal }), db.get('k', { signal }), db.status({ signal })];
    expect(listeners).toBe(1);
    await h.until(Promise.all<unknown>(calls));
    for await (const _ of toUntil(h, db.range({ signal })));
    expect(listeners).toBe(0);
  });
});

describe('close', () => {
  test('calls without an answer fail with CLIENT_CLOSED, each with its outcome', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = () => 'ignore';
    const sent = h.failure(db.put('k', 'sent'));
    const read = h.failure(db.get('k'));
    await h.clock.advance(5);
    const waits = h.failure(db.put('k', 'waits'));
    const waitsToo = h.failure(db.get('k'));
    await db.close();
    expect(await sent).toMatchObject({ code: 'CLIENT_CLOSED', outcome: 'unknown' });
    expect(await waits).toMatchObject({ code: 'CLIENT_CLOSED', outcome: 'not-applied' });
    expect(await read).toMatchObject({ code: 'CLIENT_CLOSED', outcome: undefined });
    expect(await waitsToo).toMatchObject({ code: 'CLIENT_CLOSED' });
  });

  test('a closed client has no streams and no timers, and refuses calls', async () => {
    const h = new Harness();
    const db = await h.connect();
    await h.until(db.put('k', 'v'));
    h.cluster.elect(null);
    await h.clock.advance(2000);
    await db.close();
    await db.close();
    expect(h.cluster.replicas.flatMap((r) => [...r.streams])).toEqual([]);
    await h.clock.advance(5);
    expect(h.clock.timers).toBe(0);
    expect(await h.failure(db.put('k', 'v'))).toMatchObject({
      code: 'CLIENT_CLOSED',
      outcome: 'not-applied',
    });
  });

  test('await using closes the client', async () => {
    const h = new Harness();
    {
      await using db = await h.connect();
      await h.until(db.put('k', 'v'));
    }
    expect(h.cluster.replicas.flatMap((r) => [...r.streams])).toEqual([]);
  });
});

describe('limits of the client', () => {
  test('what waits to be sent is bounded: beyond, calls fail with OVERLOADED at once', async () => {
    const h = new Harness();
    const db = await h.connect({ queueBytesMax: 10_000 });
    h.cluster.elect(null);
    await h.clock.advance(5);
    const puts = Array.from({ length: 20 }, () => watch(db.put('k', 'x'.repeat(1000))));
    await h.clock.settle();
    const refused = puts.filter((p) => p.error?.code === 'OVERLOADED');
    expect(refused.length).toBeGreaterThan(8);
    expect(refused[0]?.error).toMatchObject({
      outcome: 'not-applied',
      details: { retryAfterMs: 50 },
    });
    h.cluster.elect('n1');
    await h.clock.advance(100);
    expect(puts.filter((p) => p.value !== null)).toHaveLength(20 - refused.length);
    const gets = Array.from({ length: 100 }, () => watch(db.get('k'.repeat(500))));
    await h.clock.settle();
    expect(gets.some((g) => g.error?.code === 'OVERLOADED')).toBe(true);
  });

  test('calls of procedures that wait to be sent are bounded by what they carry, too', async () => {
    const h = new Harness();
    const db = await h.connect({ queueBytesMax: 10_000 });
    h.cluster.elect(null);
    await h.clock.advance(5);
    const calls = Array.from({ length: 20 }, () => watch(db.call('p', 'x'.repeat(1000))));
    await h.clock.settle();
    const refused = calls.filter((call) => call.error?.code === 'OVERLOADED');
    expect(refused.length).toBeGreaterThan(8);
    expect(refused.length).toBeLessThan(20);
    expect(refused[0]?.error).toMatchObject({
      outcome: 'not-applied',
      details: { retryAfterMs: 50 },
    });
    await h.clock.advance(6000);
    expect(calls.every((call) => call.error?.outcome === 'not-applied')).toBe(true);
    // Those that gave up make room.
    expect((await h.failure(db.call('p', 'x', { timeoutMs: 10 }))).code).toBe('NO_QUORUM');
  });

  test('calls that were sent and have no answer count until they have one, or are given up', async () => {
    const h = new Harness();
    const db = await h.connect({ queueBytesMax: 10_000 });
    h.cluster.fate = (request) => (request.type === 'call' ? 'ignore' : undefined);
    const calls: ReturnType<typeof watch>[] = [];
    for (let n = 0; n < 20; n += 1) {
      calls.push(watch(db.call('p', 'x'.repeat(1000), { timeoutMs: 500 })));
      await h.clock.advance(1);
    }
    const refused = calls.filter((call) => call.error?.code === 'OVERLOADED');
    expect(refused.length).toBeGreaterThan(8);
    expect(h.cluster.received('call').length).toBe(20 - refused.length);
    await h.clock.advance(600);
    expect((await h.failure(db.call('p', 'x', { timeoutMs: 10 }))).code).toBe('TIMEOUT');
  });

  test('a call for which there is no room is not applied, wherever it was to run', async () => {
    const h = new Harness();
    const db = await h.connect({ queueBytesMax: 10_000 });
    for (const name of ['n1', 'n2', 'n3']) {
      h.cluster.replica(name).condition = 'hangs';
      h.cluster.replica(name).disconnectAll();
    }
    await h.clock.advance(5);
    const large = 'x'.repeat(6000);
    const waits = watch(db.call('p', large, { route: 'any' }));
    const refused = h.failure(db.call('p', large, { route: 'any' }));
    expect(await refused).toMatchObject({ code: 'OVERLOADED', outcome: 'not-applied' });
    expect(waits.error).toBeNull();
  });

  test('calls of procedures that were aborted make room for others, without a time limit as well', async () => {
    const h = new Harness();
    const db = await h.connect({ queueBytesMax: 10_000, timeoutMs: 0 });
    for (const name of ['n1', 'n2', 'n3']) {
      h.cluster.replica(name).condition = 'hangs';
      h.cluster.replica(name).disconnectAll();
    }
    await h.clock.advance(5);
    for (let n = 0; n < 20; n += 1) {
      const controller = new AbortController();
      const call = watch(db.call('p', 'x'.repeat(4000), { signal: controller.signal }));
      await h.clock.settle();
      controller.abort();
      await h.clock.settle();
      expect(call.error).toMatchObject({ code: 'CANCELLED', outcome: 'not-applied' });
    }
  });

  test('calls that gave up while there is no leader leave nothing behind', async () => {
    const h = new Harness();
    const db = await h.connect({ queueBytesMax: 10_000_000 });
    h.cluster.elect(null);
    await h.clock.advance(5);
    for (let round = 0; round < 5; round += 1) {
      const puts = Array.from({ length: 3000 }, () => watch(db.put('k', 'v', { timeoutMs: 10 })));
      await h.clock.advance(30);
      expect(puts.every((p) => p.error?.outcome === 'not-applied')).toBe(true);
    }
    h.cluster.elect('n1');
    await h.until(db.put('k', 'only'));
    expect(h.cluster.appliedValues).toEqual(['only']);
  });
});

/** Iterates while time passes. */
async function* toUntil<T>(h: Harness, source: AsyncGenerator<T>): AsyncGenerator<T> {
  for (;;) {
    const next = await h.until(source.next());
    if (next.done === true) return;
    yield next.value;
  }
}
