import { beforeEach, describe, expect, test } from 'vitest';
import { FRAME_BYTES_MAX, LIMITS } from '../../src/base/limits.js';
import type { Message } from '../../src/raft/types.js';
import type { Channel, DialOptions } from '../../src/rpc/channel.js';
import { packPeerHello, unpackPeerFrame } from '../../src/rpc/peer-frames.js';
import type { PeerHello } from '../../src/rpc/peer-protocol.js';
import { OWN_VERSIONS } from '../../src/rpc/version.js';
import { type LinkOptions, type LinkOwner, OutboundLink } from '../../src/server/outbound-link.js';
import { Scheduler } from './test-scheduler.js';

/** A stream that was dialled, and says of itself how much waits to go out. */
interface Dialled {
  readonly options: DialOptions;
  readonly sent: Buffer[];
  pendingBytes: number;
}

const dialled: Dialled[] = [];

function dial(options: DialOptions): Channel {
  const sent: Buffer[] = [];
  const send = (frame: Buffer): void => void sent.push(frame);
  const channel = { options, sent, pendingBytes: 0, send, end: () => {}, abort: () => {} };
  dialled.push(channel);
  return channel;
}

const helloOf = (name: string, to: string): PeerHello => ({
  ...OWN_VERSIONS,
  ...{ clusterName: 'c', clusterId: 'id', name, incarnation: 'i', to, toIncarnation: 'i' },
  ...{ formation: [], refusal: null, formats: { command: 1, snapshot: 1 }, joining: null },
  ...{ address: 'x:1', memberAt: null },
});

const BEAT: Message = {
  ...{ type: 'Heartbeat', from: 'n1.i', to: 'n2.i', term: 1, commit: 0, readRound: 0, leaseMs: 0 },
};
const ENTRIES: Message = {
  ...{ type: 'AppendEntries', from: 'n1.i', to: 'n2.i', term: 1, leaderCommit: 0 },
  ...{ prevLog: { index: 0, term: 0 } },
  entries: [{ index: 1, term: 1, type: 'command', payload: Buffer.alloc(2 * 1024 * 1024) }],
};

/** With both of its streams open. */
function openedLink(): { link: OutboundLink; stream: Dialled; bulk: Dialled } {
  const link = new OutboundLink(
    {
      meet: (hello: PeerHello) => hello,
      refusedBy: () => {},
      ownHello: () => packPeerHello(helloOf('n1', 'n2')),
    } as unknown as LinkOwner,
    {
      clock: new Scheduler(1).clock(() => true),
      random: { next: () => 0.5, int: () => 0 },
      limits: LIMITS,
      self: { name: 'n1', incarnation: 'i' },
      standing: { cluster: {}, bound: [] },
      dial,
      log: () => {},
      onConnected: () => {},
      onFailure: (error: unknown) => expect.fail(String(error)),
    } as unknown as LinkOptions,
    { name: 'n2', incarnation: 'i', address: 'x:1' },
  );
  link.connect();
  const [stream] = dialled as [Dialled];
  stream.options.onFrame(packPeerHello(helloOf('n2', 'n1')));
  const [, bulk] = dialled as [Dialled, Dialled];
  bulk.options.onFrame(packPeerHello(helloOf('n2', 'n1')));
  return { link, stream, bulk };
}

/** Types of all messages that have gone over it. */
const typesOn = ({ sent }: Dialled): string[] =>
  sent.flatMap((bytes) => {
    const frame = unpackPeerFrame(bytes, { from: 'n1', to: 'n2' });
    return frame.type === 'messages' ? frame.messages.map(({ type }) => type) : [];
  });

beforeEach(() => void dialled.splice(0));

describe('a link whose queue is full of entries', () => {
  test('takes no more entries, but signs of life', () => {
    const { link, stream, bulk } = openedLink();
    bulk.pendingBytes = LIMITS.peerQueueBytesMax + 1;
    link.send([BEAT, ENTRIES]);
    expect([typesOn(stream), typesOn(bulk)]).toEqual([['Heartbeat'], []]);
    bulk.pendingBytes = 0;
    link.send([ENTRIES]);
    expect(typesOn(bulk)).toEqual(['AppendEntries']);
  });

  test('takes no signs of life either when nothing goes out where these go', () => {
    const { link, stream } = openedLink();
    stream.pendingBytes = LIMITS.peerQueueBytesMax + FRAME_BYTES_MAX;
    link.send([BEAT]);
    stream.pendingBytes += 1;
    link.send([BEAT]);
    expect(typesOn(stream)).toEqual(['Heartbeat']);
  });
});
