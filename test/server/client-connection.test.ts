import { describe, expect, test } from 'vitest';
import { crc32 } from '../../src/base/checksum.js';
import { pack } from '../../src/base/codec.js';
import { BalsaError } from '../../src/base/errors.js';
import { noFailpoints } from '../../src/base/failpoints.js';
import { LIMITS } from '../../src/base/limits.js';
import type { WriteOperation } from '../../src/base/operation.js';
import { packOperations } from '../../src/base/operation-codec.js';
import { packClientFrame } from '../../src/rpc/client-frames.js';
import { packFrame } from '../../src/rpc/frame.js';
import type { ClientRequest, ReplicaFrame, ReplicaHello } from '../../src/rpc/protocol.js';
import { unpackReplicaFrame } from '../../src/rpc/replica-frames.js';
import { ClientConnection, type ClientHost } from '../../src/server/client-connection.js';

const HELLO: ReplicaHello = {
  protocolVersion: 1,
  protocolVersionMin: 1,
  clusterId: 'id',
  clusterName: 'c',
  replica: 'n1',
  members: [],
  leader: 'n1',
  appliedIndex: 3,
  ...LIMITS,
};

const LIMITED = { ...LIMITS, keyBytesMax: 10, valueBytesMax: 100, operationsPerBatchMax: 5 };

/** A replica that writes everything at once and reads nothing. */
const replica = {
  machine: { get: () => null },
  meta: () => ({ term: 1, revision: 2, appliedIndex: 3 }),
  write: (_batch: unknown, _operations: number, done: (answer: unknown) => void) =>
    done({ ok: true, results: Buffer.from('results'), repeated: false }),
  read: (_level: unknown, done: (error: BalsaError | null) => void) => done(null),
};

function connect(host: Partial<ClientHost> = {}, monotonicMs = () => 0) {
  const frames: ReplicaFrame[] = [];
  const stream = {
    ended: false,
    pendingBytes: 0,
    send: (frame: Buffer): void => void frames.push(unpackReplicaFrame(frame)),
    end: () => {
      stream.ended = true;
    },
  };
  const connection = new ClientConnection({
    host: {
      limits: LIMITED,
      failpoints: noFailpoints,
      replica: replica as unknown as ClientHost['replica'],
      tellsStatus: false,
      notServingReason: () => new BalsaError('NO_QUORUM', 'being formed'),
      hello: () => HELLO,
      status: () => '{}',
      admin: () => Promise.resolve('{}'),
      ...host,
    },
    stream,
    clock: {
      monotonicMs,
      defer: (callback) => void setImmediate(callback),
      setTimer: () => ({ cancel: () => {} }),
    },
    onAnswers: () => {},
  });
  const hello = (change: object = {}): void =>
    connection.receive(
      packClientFrame({
        type: 'hello',
        hello: {
          protocolVersion: 1,
          protocolVersionMin: 1,
          clientName: 'test',
          clusterId: null,
          sessionId: Buffer.alloc(16, 1),
          ...change,
        },
      }),
    );
  const ask = (...requests: ClientRequest[]): void =>
    connection.receive(packClientFrame({ type: 'requests', requests }));
  return { connection, frames, stream, hello, ask };
}

function write(operations: readonly WriteOperation[], change: object = {}): ClientRequest {
  return {
    type: 'write',
    id: 1,
    bornIndex: 0,
    sequence: 1,
    acknowledged: 0,
    operations: packOperations(operations),
    ...change,
  };
}

const put = (key: string, valueBytes = 1): WriteOperation => ({
  type: 'put',
  key: Buffer.from(key),
  value: Buffer.alloc(valueBytes),
});

const namespaceOf = (prefix: string): WriteOperation => ({
  ...{ type: 'namespace-set', name: 'n', prefix: Buffer.from(prefix), quotaBytes: 1 },
});

/** Gets past the checksum. */
function withChecksum(content: Uint8Array): Buffer {
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32(content));
  return Buffer.concat([checksum, content]);
}

/** The code with which the stream was ended. */
function endCode(frames: readonly ReplicaFrame[]): string {
  const last = frames.at(-1);
  return last?.type === 'end' ? last.error.code : `not ended: ${last?.type}`;
}

describe('a client stream', () => {
  test('begins with a hello from both sides, then answers in one frame per flush', () => {
    const { connection, frames, hello, ask } = connect();
    hello();
    ask(write([put('a')], { id: 7 }), { type: 'status', id: 8 });
    connection.flush();
    expect(frames.map((f) => f.type)).toEqual(['hello', 'answers']);
    const answers = frames[1]?.type === 'answers' ? frames[1].answers : [];
    expect(answers.map((a) => [a.id, a.type])).toEqual([
      [7, 'write'],
      [8, 'status'],
    ]);
  });

  test.each([
    ['bytes that are no frame', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['an empty message', Buffer.alloc(0)],
    ['a frame of an unknown type', packFrame([99, 1])],
    ['a hello with fields of the wrong type', packFrame([1, 'one', 2, 3, 4])],
    ['a tuple where a map is', withChecksum(pack({ type: 'hello' }))],
    ['deeply nested lists', withChecksum(Buffer.alloc(100_000, 0x91))],
    [
      'a list that claims 4 billion elements',
      withChecksum(Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff])),
    ],
  ])('%s end it with FRAME_INVALID', (_what, bytes) => {
    const { connection, frames, stream } = connect();
    connection.receive(bytes);
    expect(endCode(frames)).toBe('FRAME_INVALID');
    expect(stream.ended).toBe(true);
  });

  test.each([
    [
      'another protocol version',
      { protocolVersion: 99, protocolVersionMin: 99 },
      'PROTOCOL_VERSION',
    ],
    ['another cluster', { clusterId: 'other' }, 'CLUSTER_MISMATCH'],
    ['a session id that is too short', { sessionId: Buffer.alloc(3) }, 'FRAME_INVALID'],
  ])('%s is refused by code', (_what, change, code) => {
    const { frames, hello } = connect();
    hello(change);
    expect(endCode(frames)).toBe(code);
  });

  test('a probe is answered, and before the hello it breaks the protocol', () => {
    const { connection, frames, hello } = connect();
    hello();
    connection.receive(packClientFrame({ type: 'probe' }));
    expect(frames.map(({ type }) => type)).toEqual(['hello', 'probe-answer']);
    const deaf = connect();
    deaf.hello();
    deaf.stream.pendingBytes = LIMITS.pendingAnswerBytesMax + 1;
    deaf.connection.receive(packClientFrame({ type: 'probe' }));
    expect(endCode(deaf.frames)).toBe('OVERLOADED');
    const early = connect();
    early.connection.receive(packClientFrame({ type: 'probe' }));
    expect(endCode(early.frames)).toBe('FRAME_INVALID');
  });

  test('is ended when there is no room for a part of a large request', () => {
    const { connection, frames, hello } = connect();
    hello();
    connection.refused();
    expect(frames.at(-1)).toMatchObject({
      type: 'end',
      error: { code: 'OVERLOADED', message: expect.stringContaining('partialFrameBytesMax') },
    });
  });

  test('a request before the hello, and a second hello, break the protocol', () => {
    const early = connect();
    early.ask({ type: 'status', id: 1 });
    expect(endCode(early.frames)).toBe('FRAME_INVALID');
    const twice = connect();
    twice.hello();
    twice.hello();
    expect(endCode(twice.frames)).toBe('FRAME_INVALID');
  });

  test('while the cluster is being formed it says so', () => {
    const { frames, hello } = connect({ replica: null });
    hello();
    expect(endCode(frames)).toBe('NO_QUORUM');
  });

  test.each([
    ['an empty key', write([put('')]), 'KEY_EMPTY'],
    ['a long key', write([put('k'.repeat(11))]), 'KEY_TOO_LARGE'],
    ['a large value', write([put('k', 101)]), 'VALUE_TOO_LARGE'],
    ['a namespace of cells', write([namespaceOf('_cells/')]), 'KEY_RESERVED'],
    ['too many operations', write(Array.from({ length: 6 }, () => put('k'))), 'BATCH_TOO_LARGE'],
    ['operations that are none', write([], { operations: Buffer.from('x') }), 'FRAME_INVALID'],
    ['sequence 0', write([put('k')], { sequence: 0 }), 'FRAME_INVALID'],
    ['an acknowledgement of itself', write([put('k')], { acknowledged: 1 }), 'FRAME_INVALID'],
  ])('%s is answered by code, and the stream goes on', (_what, request, code) => {
    const { connection, frames, hello, ask } = connect();
    hello();
    ask(request, { type: 'status', id: 2 });
    connection.flush();
    const answers = frames[1]?.type === 'answers' ? frames[1].answers : [];
    expect(answers[0]?.type === 'error' && answers[0].error.code).toBe(code);
    expect(answers[1]?.type).toBe('status');
  });

  test('a client that does not read its answers is ended, not buffered without limit', () => {
    const { connection, frames, stream, hello, ask } = connect({
      limits: { ...LIMITED, pendingAnswerBytesMax: 100 },
    });
    hello();
    stream.pendingBytes = 101;
    ask({ type: 'status', id: 1 });
    connection.flush();
    expect(endCode(frames)).toBe('OVERLOADED');
  });

  test('answers that come after the stream has closed go nowhere', () => {
    const { connection, frames, hello, ask } = connect();
    hello();
    connection.closed();
    ask({ type: 'status', id: 1 });
    connection.flush();
    expect(frames.map((f) => f.type)).toEqual(['hello']);
  });
});

describe('many answers at once', () => {
  const page = {
    items: [
      {
        key: Buffer.from('k'),
        value: Buffer.alloc(1024 * 1024),
        createRevision: 1,
        lease: 0,
        modRevision: 1,
        version: 1,
      },
    ],
    revision: 1,
    more: false,
    continueFrom: null,
    count: 1,
  };
  const range = (id: number): ClientRequest => ({
    type: 'range',
    id,
    consistency: 'any',
    bound: 0,
    from: Buffer.alloc(0),
    to: null,
    reverse: false,
    keysMax: 10,
    filter: {},
    revision: null,
  });
  const get = (id: number, keys: number): ClientRequest => ({
    type: 'get',
    id,
    consistency: 'any',
    bound: 0,
    keys: Array.from({ length: keys }, () => Buffer.from('k')),
    revision: null,
  });
  const codes = (frames: readonly ReplicaFrame[]): string[] =>
    frames
      .flatMap((frame) => (frame.type === 'answers' ? frame.answers : []))
      .map((answer) => (answer.type === 'error' ? answer.error.code : answer.type));

  test('go out in frames that the client can take', async () => {
    const machine = { range: () => Promise.resolve(page) };
    const reader = { ...replica, machine } as unknown as ClientHost['replica'];
    const { connection, frames, hello, ask } = connect({ replica: reader });
    hello();
    ask(...Array.from({ length: 20 }, (_, i) => range(i)));
    await new Promise<void>((resolve) => setImmediate(resolve));
    connection.flush();
    const counts = frames.map((frame) => (frame.type === 'answers' ? frame.answers.length : 0));
    expect(counts.reduce((a, b) => a + b)).toBe(20);
    // Half of what a frame may have at most, and more than one frame.
    const answersMax = LIMITS.frameBytesMax / 2 / LIMITS.rangePageBytesMax;
    expect(Math.max(...counts)).toBeLessThanOrEqual(Math.min(answersMax, 15));
  });

  test('of a client that does not read them end its stream before they fill the memory', () => {
    const { frames, stream, hello, ask, connection } = connect({
      limits: { ...LIMITED, pendingAnswerBytesMax: 32 * 1024 * 1024 },
      status: () => 'x'.repeat(10_000),
    });
    const { send } = stream;
    stream.send = (frame) => {
      stream.pendingBytes += frame.byteLength;
      send(frame);
    };
    hello();
    ask(...Array.from({ length: 50_000 }, (_, id): ClientRequest => ({ type: 'status', id })));
    connection.flush();
    expect(endCode(frames)).toBe('OVERLOADED');
    expect(stream.pendingBytes).toBeLessThan(40 * 1024 * 1024);
  });

  test('are not given to a frame of more requests than a client ever sends', () => {
    const { frames, hello, ask } = connect();
    hello();
    ask(...Array.from({ length: 70_000 }, (_, id): ClientRequest => ({ type: 'status', id })));
    expect(endCode(frames)).toBe('FRAME_INVALID');
  });

  test('beyond the look-ups of one frame are refused, so that others have their turn', () => {
    let lookups = 0;
    const machine = {
      get: () => {
        lookups += 1;
        return null;
      },
    };
    const reader = { ...replica, machine } as unknown as ClientHost['replica'];
    const { connection, frames, hello, ask } = connect({ replica: reader, limits: LIMITS });
    hello();
    ask(...Array.from({ length: 100 }, (_, i) => get(i, 2000)));
    connection.flush();
    expect(lookups).toBeLessThanOrEqual(65_536);
    expect(codes(frames).filter((code) => code === 'OVERLOADED')).toHaveLength(68);
    ask(get(1, 2000));
    connection.flush();
    expect(codes(frames).at(-1)).toBe('get');
  });

  test('to a range that had to be read anew say what state it was read from', async () => {
    let revision = 5;
    const machine = {
      range: (_query: unknown, onReadAnew: () => void) => {
        revision = 7;
        onReadAnew();
        revision = 9;
        return Promise.resolve({ ...page, revision: 7 });
      },
    };
    const asked = { n: 0 };
    const meta = () => {
      asked.n += 1;
      return { term: 1, revision, appliedIndex: revision, stalenessMs: asked.n, side: 'majority' };
    };
    const reader = { ...replica, machine, meta } as unknown as ClientHost['replica'];
    const { connection, frames, hello, ask } = connect({ replica: reader });
    hello();
    ask(range(1));
    await new Promise<void>((resolve) => setImmediate(resolve));
    connection.flush();
    const [answer] = frames.flatMap((frame) => (frame.type === 'answers' ? frame.answers : []));
    // As old as it was when its level was kept.
    expect(answer).toMatchObject({
      revision: 7,
      meta: { revision: 7, appliedIndex: 7, stalenessMs: 1 },
    });
  });

  test('of ranges: only so many are read at the same time', async () => {
    let under = 0;
    const ends: (() => void)[] = [];
    const machine = {
      range: () => {
        under += 1;
        return new Promise((resolve) => ends.push(() => resolve(page)));
      },
    };
    const reader = { ...replica, machine } as unknown as ClientHost['replica'];
    const { connection, frames, hello, ask } = connect({ replica: reader });
    hello();
    ask(...Array.from({ length: 600 }, (_, i) => range(i)));
    connection.flush();
    expect(under).toBe(512);
    expect(codes(frames)).toEqual(Array(88).fill('OVERLOADED'));
    ends[0]?.();
    await new Promise<void>((resolve) => setImmediate(resolve));
    ask(range(1000));
    expect(under).toBe(513);
  });
});

test('what a call has waited on its way counts, as far as the replica can know', () => {
  const ages: unknown[] = [];
  const calls = {
    resolve: () => ({ mode: 'ap' }),
    callAp: ({ ageMs }: { ageMs: unknown }) => ages.push(ageMs),
  };
  const clock = { nowMs: 1000 };
  const host = { replica: { ...replica, calls } as unknown as ClientHost['replica'] };
  const { hello, ask } = connect(host, () => clock.nowMs);
  hello();
  clock.nowMs += 7000;
  const call: Extract<ClientRequest, { type: 'call' }> = {
    ...{ type: 'call', id: 1, consistency: 'ap-local', bound: 0, route: 'read', procedure: 'p' },
    ...{ args: 'null', key: Buffer.from('k'), isNamed: false, bornIndex: 0, peers: 0, age: null },
  };
  const aged = { ...call, age: { ms: 30, at: 'hello' } } as const;
  ask(call, aged, { ...call, age: { ms: 40, at: 'sent' } });
  expect(ages).toEqual([null, 7030, 40]);
});
