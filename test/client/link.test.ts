import { expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { LIMITS } from '../../src/base/limits.js';
import { Link } from '../../src/client/link.js';
import { unpackClientFrame } from '../../src/rpc/client-frames.js';
import type { ClientRequest } from '../../src/rpc/protocol.js';
import { packReplicaFrame } from '../../src/rpc/replica-frames.js';
import { OWN_VERSIONS } from '../../src/rpc/version.js';

/** The frames in which a replica with these limits gets the requests. */
function framesOf(requests: readonly ClientRequest[], frameBytesMax: number): Buffer[] {
  const frames: Buffer[] = [];
  let greet: (frame: Buffer) => void = () => {};
  const nothing = () => {};
  const link = new Link({
    address: '10.0.0.1:7001',
    clock: systemClock,
    helloTimeoutMs: 2000,
    hello: { ...OWN_VERSIONS, clientName: 'test', clusterId: null, sessionId: Buffer.alloc(16) },
    dial: ({ onFrame }) => {
      greet = onFrame;
      return {
        send: (frame: Uint8Array) => frames.push(Buffer.from(frame)),
        end: nothing,
        abort: nothing,
      } as never;
    },
    handlers: {
      ...{ onHello: nothing, onAnswers: nothing, onLeader: nothing },
      ...{ onMembers: nothing, onClosed: nothing, isListening: () => false },
    },
  });
  const self = { replica: 'n1', leader: 'n1', members: [{ name: 'n1', address: link.address }] };
  const cluster = { clusterId: 'c1', clusterName: 'c', appliedIndex: 0 };
  const hello = { ...OWN_VERSIONS, ...cluster, ...self, ...LIMITS, frameBytesMax };
  greet(packReplicaFrame({ type: 'hello', hello }));
  link.send(requests);
  link.close();
  return frames.slice(1);
}

function idsIn(frames: readonly Buffer[]): number[] {
  return frames.flatMap((bytes) => {
    const frame = unpackClientFrame(bytes);
    return frame.type === 'requests' ? frame.requests.map(({ id }) => id) : [];
  });
}

const level = { consistency: 'linearizable', bound: 0 } as const;
const call = (id: number, args: string): ClientRequest => ({
  ...{ type: 'call', id, route: 'lane', procedure: 'p', args, key: Buffer.alloc(16, id) },
  ...{ isNamed: false, bornIndex: 0, peers: 0, age: null, ...level },
});
const ids = Array.from({ length: 60 }, (_, n) => n + 1);

test.each([
  ['calls', (id: number) => call(id, `"${'ä'.repeat(500_000)}"`)],
  ['calls to submit', (id: number) => ({ type: 'submit', id, record: Buffer.alloc(1e6, 1) })],
] as [string, (id: number) => ClientRequest][])(
  'many large %s at once go in frames that a replica takes',
  (_, make) => {
    const frames = framesOf(ids.map(make), LIMITS.frameBytesMax);
    expect(idsIn(frames)).toEqual(ids);
    expect(Math.max(...frames.map((frame) => frame.byteLength))).toBeLessThan(5e6);
  },
);

test('a replica with small frames is sent smaller ones', () => {
  const requests = ids.map((id) => call(id, `"${'x'.repeat(10_000)}"`));
  const frames = framesOf(requests, 192 * 1024);
  expect(idsIn(frames)).toEqual(ids);
  expect(Math.max(...frames.map((frame) => frame.byteLength))).toBeLessThan(192 * 1024);
});
