import { describe, expect, test } from 'vitest';
import type { ConsistencyOption } from '../../src/client/client.js';
import { text } from '../../src/client/codec.js';
import { refusal } from './support/fake-cluster.js';
import { Harness } from './support/harness.js';

/** n3 has the first revision only. */
async function givenALaggard(options: { readFrom?: 'leader' | 'spread' } = {}) {
  const h = new Harness();
  const writer = await h.connect({ codec: text });
  await h.until(writer.put('k', 'old'));
  h.cluster.replica('n3').lagsAt = { appliedIndex: 101, revision: 1 };
  const db = await h.connect({ codec: text, ...options });
  return { h, writer, db };
}

describe('levels on the wire', () => {
  const LEVELS: [ConsistencyOption, string, number, number | null][] = [
    ['linearizable', 'linearizable', 0, null],
    ['any', 'any', 0, null],
    ['ap-local', 'ap-local', 0, null],
    ['session', 'session', 101, null],
    [{ session: '0@cluster-a' }, 'session', 101, null],
    [{ bounded: 1500.7 }, 'bounded', 1500, null],
    [{ at: 1 }, 'at', 0, 1],
  ];

  test.each(LEVELS)(
    '%j asks for %s with bound %i',
    async (option, consistency, bound, revision) => {
      const h = new Harness();
      const db = await h.connect({ codec: text });
      await h.until(db.put('k', 'v'));
      const { value, meta } = await h.until(db.get('k', { consistency: option }));
      expect(value).toBe('v');
      expect(meta.level).toBe(consistency);
      expect(h.cluster.received('get')).toMatchObject([{ consistency, bound, revision }]);
      for await (const item of h.drain(db.range({ consistency: option }))) {
        expect(item.meta.level).toBe(consistency);
      }
      expect(h.cluster.received('range')).toMatchObject([{ consistency, bound, revision }]);
    },
  );

  test('of the client hold where a call names none', async () => {
    const h = new Harness();
    const db = await h.connect({ consistency: { bounded: 100 } });
    await h.until(db.get('k'));
    await h.until(db.get('k', { consistency: 'any' }));
    const asked = h.cluster.received('get').map((r) => r.consistency);
    expect(asked).toEqual(['bounded', 'any']);
  });

  test.each([
    'bounded',
    'at',
    null,
    {},
    { bounded: -1 },
    { bounded: 0 },
    { bounded: 0.9 },
    { bounded: Number.NaN },
    { at: 1.5 },
    { session: 'nonsense' },
    { session: 7 },
    { bounded: 1, at: 2 },
  ])('%j is refused', async (consistency) => {
    const h = new Harness();
    const db = await h.connect();
    const option = consistency as ConsistencyOption;
    expect((await h.failure(db.get('k', { consistency: option }))).code).toBe('INVALID_ARGUMENT');
    expect((await h.failure(h.connect({ consistency: option }))).code).toBe('INVALID_ARGUMENT');
  });

  test('at a revision takes no second one', async () => {
    const h = new Harness();
    const db = await h.connect();
    const get = db.get('k', { consistency: { at: 1 }, revision: 2 });
    expect((await h.failure(get)).code).toBe('INVALID_ARGUMENT');
  });
});

describe('a session token', () => {
  test('stands for the latest of all that the client has seen, writes and reads', async () => {
    const h = new Harness();
    const writer = await h.connect({ codec: text });
    const reader = await h.connect({ codec: text });
    expect(reader.token).toBe('0@cluster-a');
    const { meta } = await h.until(writer.put('k', 'v'));
    expect(meta.token).toBe('101@cluster-a');
    expect(writer.token).toBe('101@cluster-a');
    await h.until(reader.get('k'));
    expect(reader.token).toBe('101@cluster-a');
    const laggard = h.cluster.replica('n1');
    laggard.lagsAt = { appliedIndex: 50, revision: 0 };
    const old = await h.until(reader.get('k', { consistency: 'any' }));
    expect(old.meta.token).toBe('50@cluster-a');
    expect(reader.token).toBe('101@cluster-a');
  });

  test('that is passed on makes another client read what was seen', async () => {
    const { h, writer } = await givenALaggard();
    await h.until(writer.put('k', 'new'));
    const joined = await h.connect({ codec: text, consistency: 'session', token: writer.token });
    expect(joined.token).toBe(writer.token);
    expect((await h.until(joined.get('k'))).value).toBe('new');
    const other = await h.connect({ codec: text });
    await h.until(other.get('k', { consistency: { session: writer.token } }));
    expect(h.cluster.received('get').map((r) => r.bound)).toEqual([102, 102]);
  });

  test('of the one that needs most counts where several reads travel together', async () => {
    const { h, db } = await givenALaggard();
    const joined = { consistency: { session: '90@cluster-a' } };
    const gets = [db.get('k', { consistency: 'session' }), db.get('k', joined)];
    await h.until(Promise.all(gets));
    expect(h.cluster.received('get')).toMatchObject([{ bound: 90, keys: [{}, {}] }]);
  });

  test('of another cluster is refused, by call and by connection', async () => {
    const h = new Harness();
    const db = await h.connect();
    const token = '5@cluster-b';
    const byCall = await h.failure(db.get('k', { consistency: { session: token } }));
    expect(byCall.code).toBe('CLUSTER_MISMATCH');
    expect(byCall.message).toContain('cluster-b');
    const byConnection = await h.failure(h.connect({ token }));
    expect(byConnection.code).toBe('CLUSTER_MISMATCH');
    expect(byConnection.message).toContain('session token');
    const twice = await h.failure(h.connect({ token, clusterId: 'cluster-a' }));
    expect(twice.code).toBe('CLUSTER_MISMATCH');
  });

  test('of a client that had seen nothing is no hindrance', async () => {
    const h = new Harness();
    const db = await h.connect();
    await h.until(db.get('k', { consistency: { session: '0@' } }));
    await h.until((await h.connect({ token: '0@' })).get('k'));
    expect(h.cluster.received('get').map((r) => r.bound)).toEqual([0, 0]);
  });
});

describe('a replica that cannot keep the level', () => {
  test('is left for another one when it does not lead', async () => {
    const { h, writer } = await givenALaggard();
    await h.until(writer.put('k', 'new'));
    h.cluster.elect(null);
    const onlyLaggard = [h.cluster.replica('n3').address, h.cluster.replica('n2').address];
    h.cluster.replica('n2').condition = 'refuses';
    const db = await h.connect({ codec: text, endpoints: onlyLaggard, token: writer.token });
    h.cluster.replica('n2').condition = 'up';
    const { value, meta } = await h.until(db.get('k', { consistency: 'session' }));
    expect(value).toBe('new');
    expect(meta.replica).not.toBe('n3');
  });

  test('is kept while none other answers, and serves meanwhile what it can', async () => {
    const { h, writer } = await givenALaggard();
    await h.until(writer.put('k', 'new'));
    h.cluster.elect(null);
    const db = await h.connect({ codec: text, endpoints: [h.cluster.replica('n3').address] });
    for (const name of ['n1', 'n2']) h.cluster.replica(name).condition = 'away';
    const ahead = { consistency: { session: writer.token }, timeoutMs: 3000 };
    const refused = h.failure(db.get('k', ahead));
    for (let i = 0; i < 20; i += 1) {
      const startedMs = h.clock.monotonicMs();
      const { meta } = await h.until(db.get('k', { consistency: 'any' }));
      expect(meta.replica).toBe('n3');
      expect(h.clock.monotonicMs() - startedMs).toBeLessThan(20);
      await h.clock.advance(100);
    }
    expect((await refused).code).toBe('SESSION_BEHIND');
  });

  test('does not keep a session that it has for the sake of one that is asked for with it', async () => {
    const { h, writer } = await givenALaggard();
    await h.until(writer.put('k', 'new'));
    h.cluster.elect(null);
    const db = await h.connect({ codec: text, endpoints: [h.cluster.replica('n3').address] });
    for (const name of ['n1', 'n2']) h.cluster.replica(name).condition = 'away';
    const ahead = { consistency: { session: writer.token }, timeoutMs: 500 };
    const [refused, served] = await Promise.all([
      h.failure(db.get('k', ahead)),
      h.until(db.get('k', { consistency: 'session' })),
    ]);
    expect(refused.code).toBe('SESSION_BEHIND');
    expect(served.value).toBe('old');
  });

  test('says so when the time is up and no other one is there', async () => {
    const { h, writer } = await givenALaggard();
    await h.until(writer.put('k', 'new'));
    const laggard = h.cluster.replica('n3');
    const given = { endpoints: [laggard.address], followLeader: false, token: writer.token };
    const db = await h.connect({ codec: text, ...given });
    const get = db.get('k', { consistency: 'session', timeoutMs: 500 });
    expect((await h.failure(get)).code).toBe('SESSION_BEHIND');
    laggard.stalenessMs = 900;
    const bounded = db.get('k', { consistency: { bounded: 899 }, timeoutMs: 500 });
    expect((await h.failure(bounded)).code).toBe('STALE_BOUND_EXCEEDED');
    expect((await h.until(db.get('k', { consistency: { bounded: 900 } }))).value).toBe('old');
  });
});

describe('a read that was refused until its time was up', () => {
  test.each([
    ['SESSION_BEHIND', { appliedIndex: 90, wantedIndex: 120 }],
    ['STALE_BOUND_EXCEEDED', { stalenessMs: 900, boundMs: 100 }],
    ['FUTURE_REVISION', { revision: 7, latest: 5 }],
    ['OVERLOADED', { limit: 'pendingReadsMax', retryAfterMs: 60 }],
  ] as const)('has the details of the last refusal: %s', async (code, details) => {
    const h = new Harness();
    const db = await h.connect({ codec: text });
    h.cluster.fate = (request) => (request.type === 'get' ? refusal(code, { details }) : undefined);
    const error = await h.failure(db.get('k', { consistency: 'any', timeoutMs: 500 }));
    expect(error).toMatchObject({ code, details: { ...details, timeoutMs: 500 } });
    expect(h.cluster.received('get').length).toBeGreaterThan(1);
  });
});

describe("reads that are spread (readFrom: 'spread')", () => {
  /** Links to all members are there. */
  async function givenSpread() {
    const { h, writer, db } = await givenALaggard({ readFrom: 'spread' });
    h.cluster.replica('n3').lagsAt = null;
    await h.until(db.get('k', { consistency: 'any' }));
    await h.clock.advance(50);
    h.cluster.frames.length = 0;
    return { h, writer, db };
  }
  const servedBy = (h: Harness): string[] => {
    const gets = h.cluster.frames.filter((f) => f.requests.some((r) => r.type === 'get'));
    return gets.map((frame) => frame.replica);
  };

  test('go to all members in turn, and linearizable ones to the leader', async () => {
    const { h, db } = await givenSpread();
    for (let i = 0; i < 6; i += 1) await h.until(db.get('k', { consistency: 'any' }));
    expect(servedBy(h).slice(0, 3).sort()).toEqual(['n1', 'n2', 'n3']);
    expect(servedBy(h).slice(3)).toEqual(servedBy(h).slice(0, 3));
    h.cluster.frames.length = 0;
    for (let i = 0; i < 3; i += 1) await h.until(db.get('k'));
    expect(servedBy(h)).toEqual(['n1', 'n1', 'n1']);
  });

  test('go to one member together when they are asked for together', async () => {
    const { h, db } = await givenSpread();
    for (let turn = 0; turn < 3; turn += 1) {
      const reads = Array.from({ length: 100 }, () => db.get('k', { consistency: 'any' }));
      await h.until(Promise.all(reads));
    }
    expect(servedBy(h).sort()).toEqual(['n1', 'n2', 'n3']);
    h.cluster.frames.length = 0;
    await h.until(
      Promise.all(Array.from({ length: 600 }, () => db.get('k', { consistency: 'any' }))),
    );
    expect(servedBy(h).sort()).toEqual(['n1', 'n2', 'n3']);
  });

  test('are linearizable at followers, too, when that is wanted', async () => {
    const h = new Harness();
    const db = await h.connect({ readFrom: 'spread', spreadLinearizable: true });
    await h.until(db.get('k'));
    await h.clock.advance(50);
    h.cluster.frames.length = 0;
    for (let i = 0; i < 3; i += 1) await h.until(db.get('k'));
    expect(servedBy(h).sort()).toEqual(['n1', 'n2', 'n3']);
  });

  test('go elsewhere when a member is behind, and never back in a session', async () => {
    const { h, db } = await givenSpread();
    await h.until(db.put('k', 'new'));
    h.cluster.replica('n3').lagsAt = { appliedIndex: 101, revision: 1 };
    for (let i = 0; i < 9; i += 1) {
      const { value } = await h.until(db.get('k', { consistency: 'session' }));
      expect(value).toBe('new');
    }
    // It is asked each time, since being behind is no fault.
    expect(servedBy(h).filter((name) => name === 'n3').length).toBeGreaterThanOrEqual(3);
  });

  test('leave out a member that fails, and come back to it', async () => {
    const { h, db } = await givenSpread();
    h.cluster.replica('n3').condition = 'hangs';
    for (let i = 0; i < 6; i += 1) {
      const { meta } = await h.until(db.get('k', { consistency: 'any' }));
      expect(meta.replica).not.toBe('n3');
    }
    expect(h.cluster.frames.length).toBe(6);
    h.cluster.replica('n3').condition = 'up';
    await h.clock.advance(3000);
    h.cluster.frames.length = 0;
    for (let i = 0; i < 3; i += 1) await h.until(db.get('k', { consistency: 'any' }));
    expect(servedBy(h).sort()).toEqual(['n1', 'n2', 'n3']);
  });

  test('go on when a link breaks while they are under way', async () => {
    const { h, db } = await givenSpread();
    const gets = Promise.all([1, 2, 3].map(() => db.get('k', { consistency: 'any' })));
    await h.clock.settle();
    h.cluster.replica('n2').disconnectAll();
    h.cluster.replica('n3').disconnectAll();
    expect((await h.until(gets)).map((r) => r.value)).toEqual(['old', 'old', 'old']);
  });

  test('whose link breaks when their time is up say nothing of an outcome: a read has none', async () => {
    const { h, db } = await givenSpread();
    h.cluster.fate = ({ type }) => (type === 'get' || type === 'range' ? 'ignore' : undefined);
    // The clients look for those whose time is up then, and again 5 ms later.
    const before = h.failure(db.get('k', { consistency: 'any', timeoutMs: 98 }));
    const limits = { consistency: 'any', timeoutMs: 100 } as const;
    const reads = [db.get('k', limits), db.range(limits).next(), db.count(limits)];
    const failures = Promise.all(reads.map((read) => h.failure(read)));
    await h.clock.advance(101);
    for (const name of ['n1', 'n2', 'n3']) h.cluster.replica(name).disconnectAll();
    expect(await before).toMatchObject({ code: 'TIMEOUT', outcome: undefined });
    for (const error of await failures) {
      expect(error).toMatchObject({ code: 'UNREACHABLE', outcome: undefined });
    }
  });

  test('follow the members', async () => {
    const { h, db } = await givenSpread();
    h.cluster.addReplica('n4', '10.0.0.4:7001');
    const [n1, n2, n3] = h.cluster.members.status.members;
    if (n1 === undefined || n2 === undefined || n3 === undefined) throw new Error('three members');
    const n4 = { ...n1, name: 'n4', address: '10.0.0.4:7001' };
    h.cluster.members.set({ members: [n1, n3, n4] });
    h.cluster.tellMembers();
    await h.until(db.get('k', { consistency: 'any' }));
    await h.clock.advance(50);
    h.cluster.frames.length = 0;
    for (let i = 0; i < 6; i += 1) await h.until(db.get('k', { consistency: 'any' }));
    expect([...new Set(servedBy(h))].sort()).toEqual(['n1', 'n3', 'n4']);
    expect(h.cluster.replica('n2').streams.size).toBe(0);
  });

  test('page through a range at the revision of its first page, whoever serves it', async () => {
    const { h, db } = await givenSpread();
    for (const replica of h.cluster.replicas) replica.pageKeysMax = 2;
    for (let i = 0; i < 9; i += 1) await h.until(db.put(`r/${i}`, 'v'));
    const range = db.range({ prefix: 'r/', consistency: 'session' });
    const first = await h.until(range.next());
    await h.until(db.put('r/4', 'changed'));
    h.cluster.replica('n2').lagsAt = { appliedIndex: 101, revision: 1 };
    const values = [first.value?.value];
    for await (const { value } of h.drain(range)) values.push(value);
    expect(values).toEqual(Array.from({ length: 9 }, () => 'v'));
    const pages = h.cluster.frames.filter((f) => f.requests.some((r) => r.type === 'range'));
    expect(new Set(pages.map((frame) => frame.replica)).size).toBe(3);
  });

  test('end with the client', async () => {
    const { h, db } = await givenSpread();
    await db.close();
    await h.clock.advance(50);
    const streams = h.cluster.replicas.map((replica) => replica.streams.size);
    // Those that are left are of the writer.
    expect(streams).toEqual([1, 0, 0]);
    const get = db.get('k', { consistency: 'any' });
    expect((await h.failure(get)).code).toBe('CLIENT_CLOSED');
  });

  test('need a client that follows the leader', async () => {
    const h = new Harness();
    const connecting = h.connect({ readFrom: 'spread', followLeader: false });
    expect((await h.failure(connecting)).code).toBe('INVALID_ARGUMENT');
  });
});

describe('ranges', () => {
  async function givenKeys() {
    const h = new Harness();
    const db = await h.connect({ codec: text });
    for (const key of ['c', 'a', 'b', 'd', 'b', 'a', 'b']) await h.until(db.put(key, `of ${key}`));
    return { h, db };
  }
  type Given = Parameters<Awaited<ReturnType<typeof givenKeys>>['db']['range']>[0];

  test.each([
    [{ sortBy: 'modRevision', limit: 10 }, 'cdab'],
    [{ sortBy: 'modRevision', limit: 2, reverse: true }, 'ba'],
    [{ sortBy: 'createRevision', limit: 3 }, 'cab'],
    [{ sortBy: 'version', limit: 10 }, 'cdab'],
    [{ sortBy: 'version', limit: 10, reverse: true }, 'bacd'],
    [{ sortBy: 'version', limit: 0 }, ''],
    [{ sortBy: 'key', reverse: true }, 'dcba'],
  ] as [Given, string][])('%j gives %s', async (options, expected) => {
    const { h, db } = await givenKeys();
    for (const replica of h.cluster.replicas) replica.pageKeysMax = 1;
    let keys = '';
    for await (const { key } of h.drain(db.range(options))) keys += key;
    expect(keys).toBe(expected);
  });

  test('give the first in another order out of many pages', async () => {
    const h = new Harness();
    const db = await h.connect({ codec: text });
    const keys = Array.from({ length: 500 }, (_, i) => `k${(i * 7919) % 500}`);
    await h.until(Promise.all(keys.map((key) => db.put(key, 'v'))));
    const found: number[] = [];
    const range = db.range({ sortBy: 'modRevision', reverse: true, limit: 3 });
    for await (const { modRevision } of h.drain(range)) found.push(modRevision);
    expect(found).toEqual([500, 499, 498]);
  });

  test('in another order than that of the keys need a limit', async () => {
    const { h, db } = await givenKeys();
    const range = db.range({ sortBy: 'version' });
    expect((await h.failure(range.next())).message).toContain('limit');
    const unknown = db.range({ sortBy: 'size' as 'key' });
    expect((await h.failure(unknown.next())).code).toBe('INVALID_ARGUMENT');
  });

  test('ask for what they are filtered by, and give no values where none are wanted', async () => {
    const { h, db } = await givenKeys();
    const range = db.range({
      keysOnly: true,
      ...{ minModRevision: 2, maxModRevision: 6, minCreateRevision: 1, maxCreateRevision: 3 },
    });
    for await (const { value } of h.drain(range)) expect(value).toBeUndefined();
    expect(h.cluster.received('range')[0]?.filter).toMatchObject({
      keysOnly: true,
      ...{ modRevisionMin: 2, modRevisionMax: 6, createRevisionMin: 1, createRevisionMax: 3 },
    });
    const wrong = db.range({ minModRevision: -1 });
    expect((await h.failure(wrong.next())).message).toContain('minModRevision');
  });

  test('are counted page by page, as of one revision', async () => {
    const { h, db } = await givenKeys();
    for (const replica of h.cluster.replicas) replica.pageKeysMax = 3;
    const { count, revision, meta } = await h.until(db.count());
    expect({ count, revision, level: meta.level }).toEqual({
      ...{ count: 4, revision: 7, level: 'linearizable' },
    });
    const asked = h.cluster.received('range');
    expect(asked.map((r) => r.filter?.countOnly)).toEqual([true, true]);
    expect(asked.map((r) => r.revision)).toEqual([null, 7]);
    expect((await h.until(db.count({ prefix: 'b' }))).count).toBe(1);
    expect((await h.until(db.count({ prefix: 'nobody' }))).count).toBe(0);
  });
});
