import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import type { Entry, Message } from '../../src/raft/types.js';
import { packFrame } from '../../src/rpc/frame.js';
import {
  type PeerFrame,
  packMessages,
  packPeerHello,
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
  }),
  fc.record({ type: fc.constant('HeartbeatReply' as const), ...envelope, readRound: count }),
  fc.record({ type: fc.constant('ReadIndex' as const), ...envelope, request: count }),
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

  test('a hello comes out as it went in', () => {
    const hello = {
      protocolVersion: 1,
      clusterName: 'c',
      clusterId: 'id',
      name: 'n1',
      incarnation: 'a',
      to: 'n2',
      formation: [{ name: 'n1', incarnation: 'a' }],
      refusal: { code: 'CLUSTER_MISMATCH', message: 'no', outcome: null, details: '{}' },
    };
    expect(unpackPeerFrame(packPeerHello(hello), ENDS)).toEqual({ type: 'hello', hello });
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
