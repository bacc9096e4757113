import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { ROUTES } from '../../src/rpc/call-protocol.js';
import { packClientFrame, unpackClientFrame } from '../../src/rpc/client-frames.js';
import type {
  ClientAnswer,
  ClientFrame,
  ClientRequest,
  ReplicaFrame,
} from '../../src/rpc/protocol.js';
import { CONSISTENCY_LEVELS, type Consistency, SIDES } from '../../src/rpc/protocol.js';
import { packReplicaFrame, unpackReplicaFrame } from '../../src/rpc/replica-frames.js';
import { fromWireError, toWireError } from '../../src/rpc/wire-error.js';

const id = fc.nat();
const count = fc.maxSafeNat();
const bytes = fc.uint8Array({ maxLength: 40 }).map((b) => Buffer.from(b));
const orNull = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null });
const level = fc.constantFrom(...(Object.keys(CONSISTENCY_LEVELS) as Consistency[]));
const meta = fc.record({
  term: count,
  revision: count,
  appliedIndex: count,
  stalenessMs: orNull(count),
  side: fc.constantFrom(...SIDES),
});
const heldFields = {
  value: bytes,
  createRevision: count,
  modRevision: count,
  version: count,
  lease: count,
};
const held = fc.record(heldFields);
const item = fc.record({ key: bytes, ...heldFields });
const filter = fc.oneof(
  fc.record({ keysOnly: fc.boolean(), countOnly: fc.boolean() }),
  fc.record({
    keysOnly: fc.boolean(),
    countOnly: fc.boolean(),
    modRevisionMin: fc.integer({ min: 1, max: 1000 }),
    modRevisionMax: count,
    createRevisionMin: count,
    createRevisionMax: count,
  }),
);
const wireError = fc.record({
  code: fc.constantFrom('NOT_LEADER', 'OVERLOADED', 'OF_TOMORROW'),
  message: fc.string(),
  outcome: fc.constantFrom('not-applied' as const, 'unknown' as const, null),
  details: fc.constantFrom(null, '{"leader":"n1"}'),
});

const request: fc.Arbitrary<ClientRequest> = fc.oneof(
  fc.record({
    type: fc.constant('write' as const),
    id,
    bornIndex: count,
    sequence: count,
    acknowledged: count,
    operations: bytes,
  }),
  fc.record({
    type: fc.constant('get' as const),
    id,
    consistency: level,
    bound: count,
    keys: fc.array(bytes),
    revision: orNull(count),
  }),
  fc.record({
    type: fc.constant('range' as const),
    id,
    consistency: level,
    bound: count,
    from: bytes,
    to: orNull(bytes),
    reverse: fc.boolean(),
    keysMax: count,
    revision: orNull(count),
    filter,
  }),
  fc.record({
    type: fc.constant('leases' as const),
    id,
    consistency: level,
    bound: count,
    lease: orNull(count),
  }),
  fc.record({ type: fc.constant('store' as const), id, consistency: level, bound: count }),
  fc.record({
    type: fc.constant('call' as const),
    id,
    consistency: level,
    bound: count,
    route: fc.constantFrom(...ROUTES),
    procedure: fc.string(),
    args: fc.json(),
    key: bytes.filter((key) => key.byteLength > 0),
    isNamed: fc.boolean(),
    bornIndex: count,
    peers: count,
    age: orNull(fc.record({ ms: count, at: fc.constantFrom('hello' as const, 'sent' as const) })),
  }),
  fc.record({
    type: fc.constant('watch' as const),
    id,
    consistency: level,
    bound: count,
    from: bytes,
    to: orNull(bytes),
    startRevision: orNull(count),
    withPrevious: fc.boolean(),
    noPuts: fc.boolean(),
    noDeletes: fc.boolean(),
  }),
  fc.record({ type: fc.constant('watch-cancel' as const), id, watch: count }),
  fc.record({ type: fc.constant('status' as const), id }),
  fc.record({ type: fc.constant('admin' as const), id, command: fc.string() }),
);

const answer: fc.Arbitrary<ClientAnswer> = fc.oneof(
  fc.record({ type: fc.constant('error' as const), id, error: wireError }),
  fc.record({ type: fc.constant('write' as const), id, meta, results: bytes }),
  fc.record({ type: fc.constant('get' as const), id, meta, items: fc.array(orNull(held)) }),
  fc.record({
    type: fc.constant('range' as const),
    id,
    meta,
    items: fc.array(item),
    revision: count,
    continueFrom: orNull(bytes),
    count,
  }),
  fc.record({
    type: fc.constant('leases' as const),
    id,
    meta,
    leases: fc.array(
      fc.record({
        lease: count,
        ttlMs: count,
        remainingMs: count,
        keyCount: count,
        keys: fc.array(bytes),
      }),
    ),
  }),
  fc.record({ type: fc.constant('store' as const), id, meta, info: fc.string() }),
  fc.record({ type: fc.constant('watch-created' as const), id, meta, revision: count }),
  fc.record({
    type: fc.constant('watch-events' as const),
    id,
    events: fc.array(
      fc.record({
        type: fc.constantFrom('put' as const, 'delete' as const),
        item,
        previous: orNull(item),
      }),
    ),
    revision: count,
    more: fc.boolean(),
    appliedIndex: orNull(count),
  }),
  fc.record({
    type: fc.constant('watch-progress' as const),
    id,
    revision: count,
    alsoFor: fc.array(id),
    appliedIndex: orNull(count),
  }),
  fc.record({ type: fc.constant('watch-lagging' as const), id, revision: count }),
  fc.record({ type: fc.constant('status' as const), id, status: fc.string() }),
  fc.record({ type: fc.constant('admin' as const), id, result: fc.string() }),
);

const members = fc.array(fc.record({ name: fc.string(), address: fc.string() }));

const hello = fc.record({
  protocolVersion: count,
  protocolVersionMin: count,
  clusterId: fc.string(),
  clusterName: fc.string(),
  replica: fc.string(),
  members,
  leader: orNull(fc.string()),
  appliedIndex: count,
  keyBytesMax: count,
  valueBytesMax: count,
  operationsPerBatchMax: count,
  batchBytesMax: count,
  frameBytesMax: count,
  batchesPerSessionMax: count,
});

const clientFrame: fc.Arbitrary<ClientFrame> = fc.oneof(
  fc.record({
    type: fc.constant('hello' as const),
    hello: fc.record({
      protocolVersion: count,
      protocolVersionMin: count,
      clientName: fc.string(),
      clusterId: orNull(fc.string()),
      sessionId: bytes,
    }),
  }),
  fc.record({ type: fc.constant('requests' as const), requests: fc.array(request) }),
  fc.record({ type: fc.constant('probe' as const) }),
);

const replicaFrame: fc.Arbitrary<ReplicaFrame> = fc.oneof(
  fc.record({ type: fc.constant('hello' as const), hello }),
  fc.record({ type: fc.constant('answers' as const), answers: fc.array(answer) }),
  fc.record({ type: fc.constant('leader' as const), leader: orNull(fc.string()), term: count }),
  fc.record({ type: fc.constant('members' as const), members }),
  fc.record({ type: fc.constant('probe-answer' as const) }),
  fc.record({ type: fc.constant('end' as const), error: wireError }),
);

/** Buffers are views somewhere; what counts is their bytes. */
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_, v) =>
      v?.type === 'Buffer' ? Buffer.from(v.data).toString('hex') : v,
    ),
  );

describe('frames of the client stream', () => {
  test('come out as they went in', () => {
    fc.assert(
      fc.property(clientFrame, (frame) => {
        expect(plain(unpackClientFrame(packClientFrame(frame)))).toEqual(plain(frame));
      }),
    );
    fc.assert(
      fc.property(replicaFrame, (frame) => {
        expect(plain(unpackReplicaFrame(packReplicaFrame(frame)))).toEqual(plain(frame));
      }),
    );
  });

  test('bytes that are no frame are FRAME_INVALID and nothing else', () => {
    const damaged = fc
      .tuple(
        fc.oneof(
          clientFrame.map((frame) => packClientFrame(frame)),
          replicaFrame.map((frame) => packReplicaFrame(frame)),
        ),
        fc.nat(),
        fc.integer({ min: 0, max: 255 }),
        fc.nat(),
      )
      .map(([frame, at, byte, length]) => {
        const copy = Buffer.from(frame);
        copy[at % copy.byteLength] = byte;
        return copy.subarray(0, (length % copy.byteLength) + 1);
      });
    const hostile = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b)),
      damaged,
    );
    fc.assert(
      fc.property(hostile, (frame) => {
        for (const unpack of [unpackClientFrame, unpackReplicaFrame]) {
          try {
            unpack(frame);
          } catch (error) {
            expect(error).toBeInstanceOf(BalsaError);
            expect(error).toMatchObject({ code: 'FRAME_INVALID' });
          }
        }
      }),
      { numRuns: 3000 },
    );
  });
});

describe('errors on the wire', () => {
  test('keep code, message, outcome and details', () => {
    const error = new BalsaError('NOT_LEADER', 'the leader is n2', {
      outcome: 'unknown',
      details: { leader: 'n2' },
    });
    const back = fromWireError(toWireError(error));
    expect(back).toMatchObject({ ...error, message: error.message, retryable: true });
  });

  test('a code that is not known here is INTERNAL', () => {
    const wire = { code: 'OF_TOMORROW', message: 'm', outcome: null, details: null };
    expect(fromWireError(wire)).toMatchObject({
      code: 'INTERNAL',
      outcome: undefined,
      details: {},
    });
  });
});
