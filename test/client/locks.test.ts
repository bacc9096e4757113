import { describe, expect, test } from 'vitest';
import { unpackOperations } from '../../src/base/operation-codec.js';
import { text } from '../../src/client/codec.js';
import type { Leader } from '../../src/client/election.js';
import type { Client } from '../../src/client/kv-client.js';
import type { Lock } from '../../src/client/lock.js';
import { op } from '../../src/client/op.js';
import { Harness, watch } from './support/harness.js';
import { RealMachine } from './support/real-machine.js';

type TextClient = Client<string, string, 'text'>;

class World extends Harness {
  client(): Promise<TextClient> {
    return this.connect({ codec: text });
  }

  /** Lets time pass, and the cluster end what has expired. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 100) {
      await this.clock.advance(Math.min(100, left));
      this.cluster.store.expire();
    }
  }
}

/** What would end a lease is heard by nobody. */
function ignoreRevokes(h: Harness): void {
  h.cluster.fate = (request) => {
    if (request.type !== 'write') return undefined;
    const kinds = unpackOperations(request.operations).map(({ type }) => type);
    return kinds.includes('lease-revoke') ? 'ignore' : undefined;
  };
}

describe('a lock', () => {
  test('is held by one at a time, in the order of asking, with rising fencing tokens', async () => {
    const h = new World();
    const held: string[] = [];
    const tokens: number[] = [];
    let holders = 0;
    const clients = [];
    for (let n = 0; n < 5; n += 1) clients.push(await h.client());
    const work = async (client: TextClient, n: number): Promise<void> => {
      await using lock = await client.lock('job');
      holders += 1;
      expect(holders).toBe(1);
      held.push(`client ${n}`);
      tokens.push(lock.fencingToken);
      await client.get('anything');
      lock.check();
      holders -= 1;
    };
    const all: Promise<void>[] = [];
    for (const [n, client] of clients.entries()) {
      all.push(work(client, n));
      await h.clock.advance(10);
    }
    await h.until(Promise.all(all));
    expect(held).toEqual([0, 1, 2, 3, 4].map((n) => `client ${n}`));
    expect(tokens).toEqual([...tokens].sort((a, b) => a - b));
    expect(new Set(tokens).size).toBe(5);
    expect(h.cluster.store.leases.size).toBe(0);
  });

  test('is waited for by watching the one in front alone, and asking nothing', async () => {
    const h = new World();
    const clients = [await h.client(), await h.client(), await h.client()] as const;
    const first = await h.until(clients[0].lock('job'));
    const [second, third] = [watch(clients[1].lock('job')), watch(clients[2].lock('job'))];
    await h.clock.advance(100);
    const asked = h.cluster.received('range').length;
    await h.pass(60_000);
    expect(h.cluster.received('range')).toHaveLength(asked);
    const watched = h.cluster.received('watch').map(({ from }) => Buffer.from(from).toString());
    expect(watched).toEqual([1, 2].map((lease) => `_lock/job/${String(lease).padStart(16, '0')}`));
    await h.until(first.release());
    await h.clock.advance(20);
    expect(second.value?.held).toBe(true);
    expect(third.count).toBe(0);
    await h.until(second.value?.release() ?? Promise.resolve());
    await h.clock.advance(20);
    expect(third.value?.held).toBe(true);
    await h.until(third.value?.release() ?? Promise.resolve());
    const cancelled = h.cluster.received('watch-cancel');
    expect(cancelled.length).toBe(h.cluster.received('watch').length);
  });

  test('is not held because one in the middle of the queue has left', async () => {
    const h = new World();
    const clients = [await h.client(), await h.client(), await h.client()] as const;
    const first = await h.until(clients[0].lock('job'));
    const middle = watch(clients[1].lock('job', { timeoutMs: 500 }));
    await h.clock.advance(100);
    const third = watch(clients[2].lock('job'));
    await h.clock.advance(1000);
    expect(middle.error).toMatchObject({ code: 'TIMEOUT' });
    expect(third.count).toBe(0);
    await h.until(first.release());
    await h.clock.advance(20);
    expect(third.value?.held).toBe(true);
  });

  test('of one name does not wait for those of others', async () => {
    const h = new World();
    const db = await h.client();
    const names = ['a', 'a/b', 'a/', 'ä', 'a%2Fb'];
    const locks = await h.until(Promise.all(names.map((name) => db.lock(name))));
    expect(locks.map(({ name, held }) => [name, held])).toEqual(names.map((n) => [n, true]));
    await db.close();
  });

  test('that is taken is TIMEOUT after timeoutMs, and the place in the queue is given up', async () => {
    const h = new World();
    const [db, other] = [await h.client(), await h.client()];
    const lock = await h.until(db.lock('job'));
    const error = await h.failure(other.lock('job', { timeoutMs: 500 }));
    expect(error).toMatchObject({ code: 'TIMEOUT', outcome: 'not-applied' });
    expect(error.message).toContain('the lock job');
    await h.clock.advance(100);
    expect(h.cluster.store.leases.size).toBe(1);
    await h.until(lock.release());
    expect((await h.until(other.lock('job', { timeoutMs: 500 }))).held).toBe(true);
    await other.close();
  });

  test('is not waited for any more when the caller aborts', async () => {
    const h = new World();
    const [db, other] = [await h.client(), await h.client()];
    await h.until(db.lock('job'));
    const abort = new AbortController();
    const waiting = watch(other.lock('job', { signal: abort.signal }));
    await h.clock.advance(300);
    expect(waiting.count).toBe(0);
    abort.abort(new Error('changed my mind'));
    await h.clock.advance(10);
    expect(waiting.error).toMatchObject({ code: 'CANCELLED', outcome: 'not-applied' });
    expect(h.cluster.store.leases.size).toBe(1);
    const { timers } = h.clock;
    const options = { signal: abort.signal, timeoutMs: 3_600_000 };
    const late = await h.failure(other.lock('job', options));
    expect(late).toMatchObject({ code: 'CANCELLED' });
    expect(h.clock.timers).toBe(timers);
    await db.close();
  });

  test('that others hold is not had, though the place in the queue cannot be given up', async () => {
    const h = new World();
    const [db, other] = [await h.client(), await h.client()];
    await h.until(db.lock('job'));
    ignoreRevokes(h);
    expect(await h.until(other.tryLock('job'))).toBeNull();
  });

  test.each([
    { timeoutMs: 0, withinMs: 2010 },
    { timeoutMs: 300, withinMs: 310 },
  ])(
    'that others hold is not had within $withinMs ms, though calls have no limit (timeoutMs: $timeoutMs)',
    async ({ timeoutMs, withinMs }) => {
      const h = new World();
      const [db, other] = [await h.client(), await h.connect({ codec: text, timeoutMs: 0 })];
      await h.until(db.lock('job'));
      ignoreRevokes(h);
      const tried = watch(other.tryLock('job', { timeoutMs }));
      await h.clock.advance(withinMs);
      expect(tried).toEqual({ count: 1, value: null, error: null });
    },
  );

  test('that others hold is not had at once when the caller aborts the giving up of the place', async () => {
    const h = new World();
    const [db, other] = [await h.client(), await h.client()];
    await h.until(db.lock('job'));
    ignoreRevokes(h);
    const abort = new AbortController();
    const tried = watch(other.tryLock('job', { signal: abort.signal }));
    await h.clock.advance(100);
    expect(tried.count).toBe(0);
    abort.abort();
    await h.clock.settle();
    expect(tried).toEqual({ count: 1, value: null, error: null });
  });

  test('is tried without waiting', async () => {
    const h = new World();
    const [db, other] = [await h.client(), await h.client()];
    const lock = await h.until(db.tryLock('job'));
    expect(lock?.held).toBe(true);
    expect(await h.until(other.tryLock('job'))).toBeNull();
    expect(h.cluster.store.leases.size).toBe(1);
    await db.close();
  });

  test('of a holder that is gone comes free when its lease has expired', async () => {
    const h = new World();
    const [db, other] = [await h.client(), await h.client()];
    const lock = await h.until(db.lock('job', { ttlMs: 3000 }));
    const waiting = watch(other.lock('job', { ttlMs: 3000 }));
    await h.pass(5000);
    expect(waiting.count).toBe(0);
    await db.close();
    expect(lock.held).toBe(false);
    expect(lock.signal.reason).toMatchObject({ code: 'CLIENT_CLOSED' });
    await h.pass(4000);
    expect(waiting.value?.held).toBe(true);
    expect(waiting.value?.fencingToken).toBeGreaterThan(lock.fencingToken);
    await other.close();
  });

  test('whose lease cannot be kept is lost, before anybody else has it', async () => {
    const h = new World();
    const [db, other] = [await h.client(), await h.client()];
    const lock: Lock = await h.until(db.lock('job', { ttlMs: 3000 }));
    const waiting = watch(other.lock('job', { ttlMs: 3000 }));
    let heldBoth = false;
    lock.signal.addEventListener('abort', () => {
      heldBoth = waiting.value !== null;
    });
    h.cluster.fate = (request, stream) =>
      stream.sessionId[0] === 1 && request.type === 'write' ? 'ignore' : undefined;
    await h.pass(10_000);
    expect(lock.signal.aborted).toBe(true);
    expect(lock.signal.reason).toMatchObject({ code: 'LOCK_LOST' });
    expect(() => lock.check()).toThrow(/the lock job is not held any more/);
    expect(heldBoth).toBe(false);
    expect(waiting.value?.held).toBe(true);
    await Promise.all([db.close(), other.close()]);
  });

  test('fences writes of the store by its condition', async () => {
    const h = new World();
    const db = await h.client();
    const inside = db.namespace('app');
    const lock = await h.until(inside.lock('job'));
    const write = () => db.txn().when(lock.condition).do(op.put('sum', '1')).commit();
    expect(await h.until(write())).toMatchObject({ succeeded: true });
    await h.until(lock.release());
    expect(await h.until(write())).toMatchObject({ succeeded: false });
    const next = await h.until(inside.lock('job'));
    expect(await h.until(write())).toMatchObject({ succeeded: false });
    await h.until(next.release());
  });

  test('whose key is deleted by hand while it is waited for is LOCK_LOST', async () => {
    const h = new World();
    const [db, other] = [await h.client(), await h.client()];
    await h.until(db.lock('job'));
    const waiting = watch(other.lock('job'));
    await h.clock.advance(300);
    await h.until(db.deleteRange({ prefix: '_lock/job/' }));
    await h.clock.advance(500);
    expect(waiting.error).toMatchObject({ code: 'LOCK_LOST' });
    await db.close();
  });

  test('says why when there can be no place in the queue, and leaves no lease behind', async () => {
    const h = new World();
    h.cluster.limits = { keyBytesMax: 100, valueBytesMax: 100 };
    const db = await h.client();
    const long = 'x'.repeat(101);
    expect(await h.failure(db.lock(long))).toMatchObject({ code: 'KEY_TOO_LARGE' });
    const campaign = db.election('office').campaign(long);
    expect(await h.failure(campaign)).toMatchObject({ code: 'VALUE_TOO_LARGE' });
    await h.clock.advance(10);
    expect(h.cluster.store.leases.size).toBe(0);
  });

  test('is waited for by more at once than one entry of the log takes into the queue', async () => {
    const h = new World();
    await RealMachine.behind(h, { entryReadKeysMax: 2000 });
    const db = await h.client();
    const waiting = Array.from({ length: 300 }, () => watch(db.lock('job')));
    await h.clock.advance(1000);
    expect(waiting.filter(({ error }) => error !== null)).toEqual([]);
    expect((await h.until(db.count({ prefix: '_lock/job/' }))).count).toBe(300);
    const held = () => waiting.flatMap(({ value }) => (value?.held === true ? [value] : []));
    const [first, ...others] = held();
    expect(others).toEqual([]);
    await h.until(first?.release() ?? Promise.resolve());
    await h.clock.advance(100);
    expect(held()).toHaveLength(1);
    await db.close();
  });

  test('of a cluster that never takes it into the queue is waited for as long as the caller says', async () => {
    const h = new World();
    await RealMachine.behind(h, { entryReadKeysMax: 1 });
    const db = await h.client();
    const startMs = h.clock.monotonicMs();
    // Who does not wait for others does not wait for that either.
    expect(await h.failure(db.tryLock('job'))).toMatchObject({ code: 'OVERLOADED' });
    expect(h.clock.monotonicMs() - startMs).toBeLessThan(100);
    const error = await h.failure(db.lock('job', { timeoutMs: 2000 }));
    expect(h.clock.monotonicMs() - startMs).toBeLessThanOrEqual(2101);
    expect(error).toMatchObject({ code: 'OVERLOADED', outcome: 'not-applied' });
    expect(h.cluster.received('write').length).toBeLessThan(20);
    const closed = watch(db.lock('job'));
    await h.clock.advance(60_000);
    expect(closed.count).toBe(0);
    await db.close();
    await h.clock.settle();
    expect(closed.error).toMatchObject({ code: 'CLIENT_CLOSED' });
  });

  test('needs a name', async () => {
    const h = new World();
    const db = await h.client();
    expect(await h.failure(db.lock(''))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await h.failure(db.lock('\ud800'))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('a lock with a time limit, when there is no majority', () => {
  const TAKING = {
    lock: (db: TextClient) => db.lock('job', { timeoutMs: 2500 }),
    tryLock: (db: TextClient) => db.tryLock('job', { timeoutMs: 2500 }),
    campaign: (db: TextClient) => db.election('job').campaign('me', { timeoutMs: 2500 }),
  };

  test.each(Object.entries(TAKING))('is NO_QUORUM, since nobody was seen: %s', async (_, take) => {
    const h = new World();
    const db = await h.client();
    h.cluster.elect(null);
    await h.clock.advance(1500);
    const startMs = h.clock.monotonicMs();
    const error = await h.failure(take(db));
    expect(h.clock.monotonicMs() - startMs).toBeLessThan(2520);
    expect(error).toMatchObject({ code: 'NO_QUORUM', outcome: 'not-applied' });
    expect(error.message).not.toContain('not free');
    await db.close();
  });

  test('is NO_QUORUM also when the majority goes behind the lease, before the place in the queue', async () => {
    const h = new World();
    const db = await h.client();
    const taking = watch(db.lock('job', { timeoutMs: 2500 }));
    h.cluster.fate = (request) => {
      if (request.type !== 'write') return undefined;
      const kinds = unpackOperations(request.operations).map(({ type }) => type);
      if (!kinds.includes('txn')) return undefined;
      h.cluster.elect(null);
      return 'ignore';
    };
    await h.clock.advance(2520);
    // It had been sent: nobody knows whether the place is there until its lease has expired.
    expect(taking.error).toMatchObject({ code: 'NO_QUORUM', outcome: 'unknown' });
    await db.close();
  });

  test('is CANCELLED with an outcome that is not known, when the place in the queue had been sent', async () => {
    for (const isPlaced of [true, false]) {
      const h = new World();
      const db = await h.client();
      const abort = new AbortController();
      const taking = watch(db.lock('job', { signal: abort.signal }));
      h.cluster.fate = (request) => {
        if (request.type !== 'write') return undefined;
        const kinds = unpackOperations(request.operations).map(({ type }) => type);
        return kinds.includes(isPlaced ? 'txn' : 'lease-grant') ? 'ignore' : undefined;
      };
      await h.clock.advance(100);
      abort.abort();
      await h.clock.advance(10);
      const outcome = isPlaced ? 'unknown' : 'not-applied';
      expect(taking.error).toMatchObject({ code: 'CANCELLED', outcome });
      expect(taking.error?.message.includes('before it was sent')).toBe(!isPlaced);
      await db.close();
    }
  });

  test('is TIMEOUT when others were seen to hold it', async () => {
    const h = new World();
    const [db, other] = [await h.client(), await h.client()];
    await h.until(db.lock('job'));
    const waiting = watch(other.lock('job', { timeoutMs: 2500 }));
    await h.clock.advance(100);
    h.cluster.elect(null);
    await h.clock.advance(2420);
    expect(waiting.error).toMatchObject({ code: 'TIMEOUT', outcome: 'not-applied' });
    expect(waiting.error?.message).toBe('the lock job was not free within 2500 ms');
    await db.close();
  });

  test('is NO_QUORUM when the one in front is gone, and nobody can say who is next', async () => {
    const h = new World();
    const [db, other] = [await h.client(), await h.client()];
    const lock = await h.until(db.lock('job'));
    const waiting = watch(other.lock('job', { timeoutMs: 4000 }));
    await h.clock.advance(100);
    h.cluster.fate = (request) => {
      if (request.type !== 'range') return undefined;
      h.cluster.elect(null);
      return 'ignore';
    };
    await h.until(lock.release());
    await h.clock.advance(4000);
    expect(waiting.error).toMatchObject({ code: 'NO_QUORUM', outcome: 'not-applied' });
    await db.close();
  });
});

describe('an election', () => {
  test('has one leader at a time, whom everybody can see', async () => {
    const h = new World();
    const [db, other] = [await h.client(), await h.client()];
    expect(await h.until(other.election('office').leader())).toBeNull();
    const first = await h.until(db.election('office').campaign('db'));
    const second = watch(other.election('office').campaign('other'));
    await h.clock.advance(500);
    expect(second.count).toBe(0);
    const seen = await h.until(other.election('office').leader());
    expect(seen).toMatchObject({ value: 'db', fencingToken: first.fencingToken });
    await h.until(first.proclaim('db, still'));
    expect(await h.until(db.election('office').leader())).toMatchObject({
      value: 'db, still',
      fencingToken: first.fencingToken,
    });
    await h.until(first.resign());
    await h.clock.advance(500);
    expect(second.value?.held).toBe(true);
    expect(await h.until(db.election('office').leader())).toMatchObject({ value: 'other' });
    expect(await h.failure(first.proclaim('me again'))).toMatchObject({ code: 'LOCK_LOST' });
    await other.close();
  });

  test('is observed: each leader, each value, and that there is none', async () => {
    const h = new World();
    const [db, other] = [await h.client(), await h.client()];
    const seen: (string | null)[] = [];
    const abort = new AbortController();
    const observe = async (): Promise<void> => {
      const leaders: AsyncIterable<Leader<string> | null> = other
        .election('office')
        .observe({ signal: abort.signal });
      for await (const leader of leaders) seen.push(leader?.value ?? null);
    };
    const observing = watch(observe());
    await h.clock.advance(500);
    const leadership = await h.until(db.election('office').campaign('one'));
    await h.clock.advance(500);
    await h.until(leadership.proclaim('two'));
    await h.clock.advance(500);
    h.cluster.elect(null);
    await h.clock.advance(8000);
    h.cluster.elect('n3');
    await h.clock.advance(1000);
    await h.until(leadership.resign());
    await h.clock.advance(500);
    expect(seen).toEqual([null, 'one', 'two', null]);
    abort.abort();
    await h.clock.advance(10);
    expect(observing).toMatchObject({ count: 1, error: null });
  });
});
