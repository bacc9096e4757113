import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { bytes, text } from '../../src/client/codec.js';
import { openClient } from '../../src/client/kv-client.js';
import { packReplicaFrame } from '../../src/rpc/replica-frames.js';
import { toWireError } from '../../src/rpc/wire-error.js';
import { refusal } from './support/fake-cluster.js';
import { Harness, watch } from './support/harness.js';

const open = (h: Harness, options: object = {}) =>
  openClient({ endpoints: h.cluster.endpoints, codec: bytes, ...options }, h.environment);

describe('connect', () => {
  test('resolves when any replica answers, and then goes to the leader', async () => {
    const h = new Harness();
    h.cluster.leader = 'n3';
    const db = await h.connect({ endpoints: ['10.0.0.1:7001'] });
    expect((await h.until(db.put('k', 'v'))).meta.replica).toBe('n3');
    expect(h.cluster.hellos.map((hello) => hello.replica)).toEqual(['n1', 'n3']);
  });

  test('an endpoint that is away costs a tenth of a second, not a time limit', async () => {
    const h = new Harness();
    h.cluster.replica('n1').condition = 'away';
    h.cluster.leader = 'n2';
    const start = h.clock.monotonicMs();
    await h.connect();
    expect(h.clock.monotonicMs() - start).toBeLessThan(110);
  });

  test('an endpoint that refuses costs no time', async () => {
    const h = new Harness();
    h.cluster.replica('n1').condition = 'refuses';
    h.cluster.leader = 'n2';
    const start = h.clock.monotonicMs();
    await h.connect();
    expect(h.clock.monotonicMs() - start).toBeLessThan(10);
  });

  test('fails with UNREACHABLE when nobody answers, and says of each endpoint why', async () => {
    const h = new Harness();
    h.cluster.replica('n1').condition = 'refuses';
    h.cluster.replica('n2').condition = 'hangs';
    h.cluster.replica('n3').condition = 'away';
    const start = h.clock.monotonicMs();
    const error = await h.failure(open(h, { connectTimeoutMs: 5000 }));
    expect(h.clock.monotonicMs() - start).toBeLessThanOrEqual(5001);
    expect(error).toMatchObject({ code: 'UNREACHABLE', retryable: true });
    expect(error.message).toBe(
      'no endpoint answered within 5000 ms: 10.0.0.1:7001: ECONNREFUSED; ' +
        '10.0.0.2:7001 did not answer within 2000 ms; 10.0.0.3:7001 did not answer within 2000 ms',
    );
    await h.clock.advance(10);
    expect(h.clock.timers).toBe(0);
  });

  test('waits for a cluster that is just starting', async () => {
    const h = new Harness();
    for (const replica of h.cluster.replicas) replica.condition = 'refuses';
    const opened = open(h);
    await h.clock.advance(3000);
    for (const replica of h.cluster.replicas) replica.condition = 'up';
    const start = h.clock.monotonicMs();
    await h.until(opened);
    expect(h.clock.monotonicMs() - start).toBeLessThan(550);
  });

  test('another cluster is CLUSTER_MISMATCH at once', async () => {
    const h = new Harness();
    const error = await h.failure(open(h, { clusterId: 'cluster-b' }));
    expect(error).toMatchObject({ code: 'CLUSTER_MISMATCH' });
    expect(h.cluster.hellos[0]?.hello.clusterId).toBe('cluster-b');
  });

  test('another protocol version is PROTOCOL_VERSION at once', async () => {
    const h = new Harness();
    h.cluster.protocolVersion = 99;
    expect(await h.failure(open(h))).toMatchObject({ code: 'PROTOCOL_VERSION' });
  });

  test('a replica that refuses the hello is told by its reason', async () => {
    const h = new Harness(['n1']);
    const end = { type: 'end', error: toWireError(refusal('PROTOCOL_VERSION')) } as const;
    const opened = open(h);
    await h.clock.settle();
    for (const stream of h.cluster.replica('n1').streams) stream.send(end);
    expect(await h.failure(opened)).toMatchObject({ code: 'PROTOCOL_VERSION' });
  });

  test('options that make no sense are INVALID_ARGUMENT', async () => {
    const h = new Harness();
    const wrong: object[] = [
      { endpoints: [] },
      { endpoints: ['localhost'] },
      { endpoints: 'localhost:1' },
      { timeoutMs: Number.NaN },
      { connectTimeoutMs: '5' },
      { consistency: 'strong' },
      { keys: 'numbers' },
      { queueBytesMax: 0 },
    ];
    for (const options of wrong) {
      expect(await h.failure(open(h, options))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
  });
});

describe('following the leader', () => {
  test('a replica that tells of a new leader is left for it at once', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.elect('n2');
    await h.clock.advance(10);
    expect((await h.until(db.put('k', 'v'))).meta.replica).toBe('n2');
    expect(h.cluster.frames.map((f) => f.replica)).toEqual(['n2']);
  });

  test('when the connection breaks, another one is there without delay', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.replica('n1').disconnectAll();
    const start = h.clock.monotonicMs();
    await h.until(db.put('k', 'v'));
    expect(h.clock.monotonicMs() - start).toBeLessThan(10);
  });

  test('when the leader dies, the next one is found as soon as it is elected', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.replica('n1').condition = 'away';
    h.cluster.replica('n1').disconnectAll();
    const put = db.put('k', 'v', { timeoutMs: 10_000 });
    await h.clock.advance(1500);
    h.cluster.elect('n3');
    const start = h.clock.monotonicMs();
    expect((await h.until(put)).meta.replica).toBe('n3');
    expect(h.clock.monotonicMs() - start).toBeLessThan(50);
  });

  test.each([
    ['of the leader', {}],
    ['of one replica', { endpoints: ['10.0.0.1:7001'], followLeader: false }],
  ])(
    'a stream %s over which nothing arrives any more is given up for another one',
    async (_which, options) => {
      const h = new Harness();
      const db = await h.connect(options);
      await h.until(db.put('k', 'v'));
      for (const stream of h.cluster.replica('n1').streams) stream.isDeaf = true;
      const start = h.clock.monotonicMs();
      const { value } = await h.until(db.get('k', { timeoutMs: 60_000 }));
      expect(String(value)).toBe('v');
      expect(h.clock.monotonicMs() - start).toBeLessThan(15_000);
    },
  );

  test('a stream to one of all members, over which nothing arrives any more, is given up though reads leave it', async () => {
    const h = new Harness();
    const db = await h.connect({ readFrom: 'spread' });
    await h.until(db.put('k', 'v'));
    const read = () => db.get('k', { consistency: 'any' });
    for (let i = 0; i < 6; i += 1) await h.until(read());
    for (const stream of h.cluster.replica('n2').streams) stream.isDeaf = true;
    const slow: number[] = [];
    const start = h.clock.monotonicMs();
    while (h.clock.monotonicMs() < start + 40_000) {
      const askedMs = h.clock.monotonicMs();
      await h.until(read());
      if (h.clock.monotonicMs() - askedMs > 500) slow.push(askedMs - start);
      await h.clock.advance(20);
    }
    expect(slow.length).toBeGreaterThan(0);
    expect(slow.at(-1)).toBeLessThan(25_000);
  });

  test('a replica is probed when something is expected of it, and not for its silence alone', async () => {
    const h = new Harness();
    const db = await h.connect();
    await h.clock.advance(30_000);
    expect(h.cluster.probes).toBe(0);
    h.cluster.fate = () => 'ignore';
    const slow = h.failure(db.get('k', { timeoutMs: 60_000 }));
    await h.clock.advance(59_000);
    expect(h.cluster.probes).toBeGreaterThan(5);
    // It answers all the while: it is slow, and asking it twice is no help.
    expect(h.cluster.frames).toHaveLength(1);
    await h.clock.advance(2000);
    await slow;
  });

  test('a watch over whose stream nothing comes any more goes on over another one', async () => {
    const h = new Harness();
    const db = await h.connect();
    const told: unknown[] = [];
    const changes = db.watch({ prefix: '' });
    const listening = (async () => {
      for await (const batch of changes) told.push(batch);
    })();
    await h.clock.advance(10);
    for (const stream of h.cluster.replica('n1').streams) stream.isDeaf = true;
    await h.clock.advance(10_000);
    await h.until(db.put('k', 'v'));
    await h.clock.advance(1000);
    expect(told).toHaveLength(1);
    await changes.close();
    await h.until(listening);
  });

  test('a leader that hangs is left when others have chosen another one', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.replica('n1').condition = 'hangs';
    const put = db.put('k', 'v');
    await h.clock.advance(900);
    h.cluster.leader = 'n2';
    const start = h.clock.monotonicMs();
    expect((await h.until(put)).meta.replica).toBe('n2');
    expect(h.clock.monotonicMs() - start).toBeLessThan(1500);
  });

  test('a leader that falls silent between two answers is doubted a second behind the last one', async () => {
    const h = new Harness();
    const db = await h.connect();
    await h.until(db.put('k', '1'));
    await h.clock.advance(700);
    await h.until(db.put('k', '2'));
    h.cluster.replica('n1').condition = 'hangs';
    h.cluster.leader = 'n2';
    const start = h.clock.monotonicMs();
    const { meta } = await h.until(db.put('k', '3'));
    expect(meta.replica).toBe('n2');
    expect(h.clock.monotonicMs() - start).toBeLessThan(1100);
  });

  test('who asks a leader after a silence in which nothing was asked waits a second all the same', async () => {
    const h = new Harness();
    const db = await h.connect();
    await h.until(db.put('k', '1'));
    await h.clock.advance(900);
    h.cluster.replica('n1').condition = 'hangs';
    h.cluster.leader = 'n2';
    const start = h.clock.monotonicMs();
    expect((await h.until(db.put('k', '2'))).meta.replica).toBe('n2');
    expect(h.clock.monotonicMs() - start).toBeGreaterThanOrEqual(1000);
  });

  test('while the others still follow a silent leader, they are asked again soon', async () => {
    const h = new Harness();
    const db = await h.connect();
    await h.until(db.put('k', '1'));
    h.cluster.replica('n1').condition = 'hangs';
    const start = h.clock.monotonicMs();
    const put = db.put('k', '2');
    await h.clock.advance(1050);
    h.cluster.elect('n2');
    expect((await h.until(put)).meta.replica).toBe('n2');
    expect(h.clock.monotonicMs() - start).toBeLessThan(1050 + 400);
  });

  test('a leader that vanishes is not waited for when another one leads already', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.replica('n1').condition = 'away';
    h.cluster.leader = 'n3';
    h.cluster.replica('n1').disconnectAll();
    const start = h.clock.monotonicMs();
    expect((await h.until(db.put('k', 'v'))).meta.replica).toBe('n3');
    expect(h.clock.monotonicMs() - start).toBeLessThan(10);
  });

  test('a replica that says it leads and answers that it does not is not asked at full speed', async () => {
    const h = new Harness(['n1']);
    const db = await h.connect();
    h.cluster.fate = () =>
      refusal('NOT_LEADER', { outcome: 'not-applied', details: { leader: 'n1' } });
    expect(await h.failure(db.put('k', 'v'))).toMatchObject({ outcome: 'not-applied' });
    expect(h.cluster.hellos.length).toBeLessThan(30);
    expect(h.cluster.received('write').length).toBeLessThan(30);
  });

  test('a slow leader that answers at another address is still the same one', async () => {
    const h = new Harness();
    h.cluster.aliases.set('db.example:7001', '10.0.0.1:7001');
    const db = await h.connect({ endpoints: ['10.0.0.1:7001', 'db.example:7001'] });
    h.cluster.fate = (r) => (r.type === 'write' ? 'ignore' : undefined);
    db.put('k', 'v', { timeoutMs: 0 }).catch(() => {});
    await h.clock.advance(10_000);
    expect(h.cluster.received('write')).toHaveLength(1);
    await db.close();
  });

  test('a slow leader is kept: nobody names another one', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = (r) => (r.type === 'write' ? 'ignore' : undefined);
    const put = watch(db.put('k', 'v', { timeoutMs: 0 }));
    await h.clock.advance(10_000);
    const stream = [...h.cluster.replica('n1').streams][0];
    const [request] = h.cluster.received('write');
    if (request === undefined || stream?.replica === null || stream === undefined)
      throw new Error();
    stream.send({ type: 'answers', answers: [stream.serve(request, stream.replica)] });
    await h.clock.advance(10);
    expect(put.count).toBe(1);
    expect(h.cluster.received('write')).toHaveLength(1);
  });

  test('a minority is left when others know the leader', async () => {
    const h = new Harness();
    h.cluster.leader = 'n3';
    h.cluster.replica('n1').believes = null;
    const db = await h.connect({ endpoints: ['10.0.0.1:7001'] });
    const start = h.clock.monotonicMs();
    expect((await h.until(db.put('k', 'v'))).meta.replica).toBe('n3');
    expect(h.clock.monotonicMs() - start).toBeLessThan(1000);
  });

  test('two replicas that name each other as leader are not asked without end', async () => {
    const h = new Harness(['n1', 'n2']);
    h.cluster.replica('n1').believes = 'n2';
    h.cluster.replica('n2').believes = 'n1';
    const db = await h.connect();
    const failed = h.failure(db.put('k', 'v', { timeoutMs: 5000 }));
    expect(await failed).toMatchObject({ code: 'NO_QUORUM' });
    expect(h.cluster.hellos.length).toBeLessThan(250);
  });

  test('an address that belongs to another cluster by now is never used', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.clusterId = 'cluster-b';
    h.cluster.replica('n1').disconnectAll();
    await h.clock.advance(5);
    const error = await h.failure(db.put('k', 'v', { timeoutMs: 1000 }));
    expect(error.code).toBe('UNREACHABLE');
    expect(error.message).toContain('belongs to cluster cluster-b, not to cluster-a');
    expect(h.cluster.applied).toEqual([]);
  });
});

describe('frames that no replica should send', () => {
  const hello = (h: Harness) =>
    ({ type: 'hello', hello: h.cluster.replica('n1').hello() }) as const;
  const meta = {
    term: 1,
    revision: 1,
    appliedIndex: 1,
    stalenessMs: null,
    side: 'unknown' as const,
  };
  const frames: [string, (h: Harness) => Buffer][] = [
    ['bytes that are no frame', () => Buffer.from('GET / HTTP/1.1')],
    ['an empty frame', () => Buffer.alloc(0)],
    ['nested lists without end', () => Buffer.alloc(100_000, 0x91)],
    ['a second hello', (h) => packReplicaFrame(hello(h))],
    [
      'a get as the answer to a write',
      () =>
        packReplicaFrame({ type: 'answers', answers: [{ type: 'get', id: 2, meta, items: [] }] }),
    ],
    [
      'too few results',
      () =>
        packReplicaFrame({
          type: 'answers',
          answers: [{ type: 'write', id: 1, meta, results: Buffer.from([0x90]) }],
        }),
    ],
    [
      'a status that is not JSON',
      () =>
        packReplicaFrame({ type: 'answers', answers: [{ type: 'status', id: 2, status: '{' }] }),
    ],
    [
      'error details that are not JSON',
      () => {
        const error = { code: 'OVERLOADED', message: '', outcome: null, details: '{' };
        return packReplicaFrame({ type: 'answers', answers: [{ type: 'error', id: 1, error }] });
      },
    ],
  ];

  test.each(frames)(
    '%s: the connection is given up and made anew; calls go on',
    async (_, make) => {
      const h = new Harness();
      const db = await h.connect();
      h.cluster.fate = () => 'apply-only';
      const calls = Promise.all([db.put('k', 'v'), db.status()]);
      await h.clock.advance(3);
      h.cluster.fate = () => undefined;
      const [stream] = h.cluster.replica('n1').streams;
      stream?.sendBytes(make(h));
      const [put] = await h.until(calls);
      expect(put.revision).toBe(1);
      expect(stream?.open).toBe(false);
      expect(h.cluster.appliedValues).toEqual(['v']);
    },
  );

  test('answers to questions that nobody asked are passed over', async () => {
    const h = new Harness();
    const db = await h.connect();
    const [stream] = h.cluster.replica('n1').streams;
    stream?.send({ type: 'answers', answers: [{ type: 'get', id: 77, meta, items: [] }] });
    const error = toWireError(new BalsaError('INTERNAL', 'what?'));
    stream?.send({ type: 'answers', answers: [{ type: 'error', id: 78, error }] });
    await h.until(db.put('k', 'v'));
    expect(stream?.open).toBe(true);
  });

  test('an error code of a newer replica is INTERNAL', async () => {
    const h = new Harness();
    const db = await h.connect();
    h.cluster.fate = () => 'ignore';
    const failed = h.failure(db.get('k'));
    await h.clock.advance(3);
    const error = { code: 'QUANTUM', message: 'entangled', outcome: null, details: null };
    const [stream] = h.cluster.replica('n1').streams;
    stream?.send({ type: 'answers', answers: [{ type: 'error', id: 1, error }] });
    expect(await failed).toMatchObject({ code: 'INTERNAL', message: 'entangled' });
  });

  test('limits of nothing do not stop the client', async () => {
    const h = new Harness();
    h.cluster.limits = {
      operationsPerBatchMax: 0,
      batchBytesMax: 0,
      batchesPerSessionMax: 0,
      frameBytesMax: 0,
    };
    const db = await h.connect();
    await h.until(Promise.all([db.put('k', 'a'), db.put('k', 'b'), db.get('k'), db.get('l')]));
    expect(h.cluster.appliedValues).toEqual(['a', 'b']);
  });

  test('a thousand members are not all remembered', async () => {
    const h = new Harness();
    const members = Array.from({ length: 1000 }, (_, i) => ({
      name: `x${i}`,
      address: `10.1.0.1:${i}`,
    }));
    h.cluster.limits = { members };
    const db = await h.connect({ endpoints: ['10.0.0.1:7001'] });
    h.cluster.replica('n1').condition = 'refuses';
    h.cluster.replica('n1').disconnectAll();
    const error = await h.failure(db.put('k', 'v', { timeoutMs: 100 }));
    expect(error.message.split(';').length).toBeLessThan(70);
  });
});

describe('a replica that has fallen silent, as when its cable is cut', () => {
  test.each([
    ['another one that leads', 'n2'],
    ['one that knows of no leader: it serves reads of any state', null],
  ] as const)('is left for %s', async (_, leader) => {
    const h = new Harness();
    const db = await h.connect({ codec: text });
    await h.until(db.put('k', 'v'));
    h.cluster.replica('n1').condition = 'away';
    for (const name of ['n2', 'n3']) h.cluster.replica(name).believes = leader;
    const { value, meta } = await h.until(db.get('k', { consistency: 'any', timeoutMs: 3000 }));
    expect(value).toBe('v');
    expect(meta.replica).not.toBe('n1');
  });

  test('is kept when the others still hear it lead: they would not say more', async () => {
    const h = new Harness();
    const db = await h.connect({ codec: text });
    await h.until(db.put('k', 'v'));
    h.cluster.fate = () => 'ignore';
    const failed = h.failure(db.get('k', { consistency: 'any', timeoutMs: 3000 }));
    expect((await failed).message).toContain('asked n1');
  });

  test('is left also when it did not lead', async () => {
    const h = new Harness();
    const first = await h.connect({ codec: text });
    await h.until(first.put('k', 'v'));
    h.cluster.elect(null);
    const db = await h.connect({ codec: text, endpoints: [h.cluster.replica('n3').address] });
    await h.until(db.get('k', { consistency: 'any' }));
    h.cluster.replica('n3').condition = 'away';
    const { meta } = await h.until(db.get('k', { consistency: 'any', timeoutMs: 3000 }));
    expect(meta.replica).not.toBe('n3');
  });
});
