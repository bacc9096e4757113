import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import type { Entry, Message } from '../../src/raft/types.js';
import { packFrame } from '../../src/rpc/frame.js';
import {
  type PeerFrame,
  packMessages,
  packPeerHello,
  packProbe,
  packProbeAnswer,
  packStateHash,
  unpackPeerFrame,
} from '../../src/rpc/peer-frames.js';

const ENDS = { from: 'n1.a', to: 'n2.b' };
const count = fc.maxSafeNat();
const position = fc.record({ index: count, term: count });

const appendEntries = fc
  .record({
    term: count,
    prevLog: fc.record({ index: fc.nat(2 ** 40), term: count }),
    leaderCommit: count,
    contents: fc.array(
      fc.record({
        term: count,
        type: fc.constantFrom('noop', 'command', 'configuration'),
        payload: fc.uint8Array({ maxLength: 300 }),
      }),
    ),
  })
  .map(({ contents, ...rest }): Message => {
    const entries = contents.map(
      (content, i): Entry => ({ ...content, index: rest.prevLog.index + 1 + i }),
    );
    return { type: 'AppendEntries', ...ENDS, ...rest, entries };
  });

const envelope = { term: count, from: fc.constant(ENDS.from), to: fc.constant(ENDS.to) };
const message: fc.Arbitrary<Message> = fc.oneof(
  appendEntries,
  fc.record({
    type: fc.constant('RequestVote' as const),
    ...envelope,
    preVote: fc.boolean(),
    lastLog: position,
    transfer: fc.boolean(),
  }),
  fc.record({
    type: fc.constant('RequestVoteReply' as const),
    ...envelope,
    preVote: fc.boolean(),
    granted: fc.boolean(),
  }),
  fc.record({
    type: fc.constant('AppendEntriesReply' as const),
    ...envelope,
    result: fc.oneof(
      fc.record({ success: fc.constant(true as const), matchIndex: count }),
      fc.record({ success: fc.constant(false as const), prevIndex: count, hint: position }),
    ),
  }),
  fc.record({
    type: fc.constant('Heartbeat' as const),
    ...envelope,
    commit: count,
    readRound: count,
    leaseMs: count,
  }),
  fc.record({
    type: fc.constant('HeartbeatReply' as const),
    ...envelope,
    readRound: count,
    leaseGranted: fc.boolean(),
    priority: count,
    appliedIndex: fc.option(count),
  }),
  fc.record({ type: fc.constant('TimeoutNow' as const), ...envelope }),
  fc.record(
    {
      ...{ type: fc.constant('ReadIndex' as const), ...envelope, request: count },
      patient: fc.constant(true as const),
    },
    { requiredKeys: ['type', 'from', 'to', 'term', 'request'] },
  ),
  fc.record({
    type: fc.constant('ReadIndexReply' as const),
    ...envelope,
    request: count,
    index: count,
  }),
);

/** Payloads come back as views of another class; compare the bytes. */
function plain(frame: PeerFrame): unknown {
  return JSON.parse(
    JSON.stringify(frame, (_key, value: unknown) =>
      value instanceof Uint8Array ? { bytes: Buffer.from(value).toString('hex') } : value,
    ).replace(/\{"type":"Buffer","data":\[[^\]]*\]\}/g, (buffer) =>
      JSON.stringify({ bytes: Buffer.from(JSON.parse(buffer).data).toString('hex') }),
    ),
  );
}

describe('peer frames', () => {
  test('messages come out as they went in', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), (messages) => {
        const frame = unpackPeerFrame(packMessages(messages), ENDS);
        expect(plain(frame)).toEqual(plain({ type: 'messages', messages }));
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  test('a probe and its answer come out as they went in', () => {
    expect(unpackPeerFrame(packProbe(), ENDS)).toEqual({ type: 'probe' });
    expect(unpackPeerFrame(packProbeAnswer(), ENDS)).toEqual({ type: 'probe-answer' });
  });

  test('a hello comes out as it went in', () => {
    const hello = {
      protocolVersion: 3,
      protocolVersionMin: 1,
      clusterName: 'c',
      clusterId: 'id',
      name: 'n1',
      incarnation: 'a',
      to: 'n2',
      formation: [{ name: 'n1', incarnation: 'a' }],
      refusal: { code: 'CLUSTER_MISMATCH', message: 'no', outcome: null, details: '{}' },
      toIncarnation: 'b',
      formats: { command: 2, snapshot: 1 },
      joining: { address: 'h:1', replaces: 'c' },
      address: 'h:1',
      memberAt: 7,
    };
    expect(unpackPeerFrame(packPeerHello(hello), ENDS)).toEqual({ type: 'hello', hello });
  });

  test('of a hello without the later fields the first versions are taken', () => {
    const first = packFrame([1, 1, 'c', null, 'n1', 'a', 'n2', null, null]);
    expect(unpackPeerFrame(first, ENDS)).toMatchObject({
      hello: {
        protocolVersionMin: 1,
        formats: { command: 1, snapshot: 1 },
        toIncarnation: null,
        joining: null,
        memberAt: null,
      },
    });
  });

  test('a state hash comes out as it went in', () => {
    const frame = { type: 'state-hash', index: 1024, hash: 0xffff_ffff };
    expect(unpackPeerFrame(packStateHash(frame.index, frame.hash), ENDS)).toEqual(frame);
  });

  test('a frame that was damaged on its way is refused as FRAME_INVALID', () => {
    fc.assert(
      fc.property(
        fc.array(message, { minLength: 1, maxLength: 3 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        (messages, at, flip, cut) => {
          const whole = packMessages(messages);
          const frame = Buffer.from(cut ? whole.subarray(0, at % whole.length) : whole);
          if (!cut) frame[at % frame.length] = (frame[at % frame.length] as number) ^ flip;
          expect(codeOf(() => unpackPeerFrame(frame, ENDS))).toBe('FRAME_INVALID');
        },
      ),
      { seed: 2, numRuns: 1000 },
    );
  });

  test('a number past 2^53 - 1 is refused, not rounded to another index', () => {
    const message = (commit: number): Message => ({
      type: 'Heartbeat',
      ...{ ...ENDS, term: 1, commit, readRound: 0, leaseMs: 0 },
    });
    const largest = message(Number.MAX_SAFE_INTEGER);
    expect(unpackPeerFrame(packMessages([largest]), ENDS)).toMatchObject({ messages: [largest] });
    for (const commit of [2 ** 53, 2 ** 53 + 2, 2 ** 64, 1.5, -1]) {
      const frame = packMessages([message(commit)]);
      expect(codeOf(() => unpackPeerFrame(frame, ENDS))).toBe('FRAME_INVALID');
    }
  });

  test('a frame that somebody made up is a frame, or FRAME_INVALID, and nothing else', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (tuple) => {
        expect(['none', 'FRAME_INVALID']).toContain(
          codeOf(() => unpackPeerFrame(packFrame([2, tuple]), ENDS)),
        );
        expect(['none', 'FRAME_INVALID']).toContain(
          codeOf(() => unpackPeerFrame(packFrame(tuple), ENDS)),
        );
      }),
      { seed: 3, numRuns: 1000 },
    );
  });
});

function codeOf(work: () => unknown): string {
  try {
    work();
    return 'none';
  } catch (error) {
    return error instanceof BalsaError ? error.code : String(error);
  }
}
