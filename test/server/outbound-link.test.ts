import { beforeEach, describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { FRAME_BYTES_MAX, LIMITS } from '../../src/base/limits.js';
import type { Message } from '../../src/raft/types.js';
import type { Channel, DialOptions } from '../../src/rpc/channel.js';
import { packPeerHello, packProbeAnswer, unpackPeerFrame } from '../../src/rpc/peer-frames.js';
import type { PeerHello } from '../../src/rpc/peer-protocol.js';
import { OWN_VERSIONS } from '../../src/rpc/version.js';
import { type LinkOptions, type LinkOwner, OutboundLink } from '../../src/server/outbound-link.js';
import { Scheduler } from './test-scheduler.js';

/** A stream that was dialled, answers probes, and says of itself how much waits to go out. */
interface Dialled {
  readonly options: DialOptions;
  readonly sent: Buffer[];
  pendingBytes: number;
  isAborted: boolean;
}

const dialled: Dialled[] = [];
/** What the link has told its owner. */
const told: string[] = [];
let scheduler = new Scheduler(1);

function dial(options: DialOptions): Channel {
  const sent: Buffer[] = [];
  const send = (frame: Buffer): void => {
    sent.push(frame);
    if (unpackPeerFrame(frame, { from: 'n1', to: 'n2' }).type !== 'probe') return;
    scheduler.plan(0, () => options.onFrame(packProbeAnswer()));
  };
  const stream: Dialled = { options, sent, pendingBytes: 0, isAborted: false };
  dialled.push(stream);
  const abort = (): void => {
    if (stream.isAborted) return;
    stream.isAborted = true;
    scheduler.plan(0, () => options.onClose(LOST));
  };
  return Object.assign(stream, { send, end: () => {}, abort });
}

const LOST = new BalsaError('UNREACHABLE', 'connection reset');

const helloOf = (name: string, to: string): PeerHello => ({
  ...OWN_VERSIONS,
  ...{ clusterName: 'c', clusterId: 'id', name, incarnation: 'i', to, toIncarnation: 'i' },
  ...{ formation: [], refusal: null, formats: { command: 1, snapshot: 1 }, joining: null },
  ...{ address: 'x:1', memberAt: null },
});

const BEAT: Message = {
  ...{ type: 'Heartbeat', from: 'n1.i', to: 'n2.i', term: 1, commit: 0, readRound: 0, leaseMs: 0 },
};
const ACKNOWLEDGEMENT: Message = {
  ...{ type: 'AppendEntriesReply', from: 'n1.i', to: 'n2.i', term: 1 },
  result: { success: true, matchIndex: 7 },
};
const ENTRIES: Message = {
  ...{ type: 'AppendEntries', from: 'n1.i', to: 'n2.i', term: 1, leaderCommit: 0 },
  ...{ prevLog: { index: 0, term: 0 } },
  entries: [{ index: 1, term: 1, type: 'command', payload: Buffer.alloc(2 * 1024 * 1024) }],
};

function linkOf(dialler: (options: DialOptions) => Channel = dial): OutboundLink {
  return new OutboundLink(
    {
      meet: (hello: PeerHello) => hello,
      refusedBy: () => {},
      ownHello: () => packPeerHello(helloOf('n1', 'n2')),
    } as unknown as LinkOwner,
    {
      clock: scheduler.clock(() => true),
      random: { next: () => 0.5, int: () => 0 },
      limits: LIMITS,
      self: { name: 'n1', incarnation: 'i' },
      standing: { cluster: {}, bound: [] },
      dial: dialler,
      log: () => {},
      onConnected: () => {},
      onDisconnected: (member: string) => void told.push(`${member} is gone`),
      onMessagesLost: (member: string) => void told.push(`${member} lacks something`),
      onFailure: (error: unknown) => expect.fail(String(error)),
    } as unknown as LinkOptions,
    { name: 'n2', incarnation: 'i', address: 'x:1' },
  );
}

/** The latest stream that was dialled. */
const latest = (): Dialled => dialled.at(-1) ?? expect.fail('nothing was dialled');

const answer = ({ options }: Dialled): void => options.onFrame(packPeerHello(helloOf('n2', 'n1')));

/** With both of its streams open, or the second one dialled. */
function openedLink({ bulk: isBulkOpen = true } = {}): {
  link: OutboundLink;
  stream: Dialled;
  bulk: Dialled;
} {
  const link = linkOf();
  link.connect();
  const stream = latest();
  answer(stream);
  const bulk = latest();
  if (isBulkOpen) answer(bulk);
  return { link, stream, bulk };
}

/** Types of all messages that have gone over it. */
const typesOn = ({ sent }: Dialled): string[] =>
  sent.flatMap((bytes) => {
    const frame = unpackPeerFrame(bytes, { from: 'n1', to: 'n2' });
    return frame.type === 'messages' ? frame.messages.map(({ type }) => type) : [];
  });

beforeEach(() => {
  dialled.splice(0);
  told.splice(0);
  scheduler = new Scheduler(1);
});

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

  test('lets acknowledgements pass what waits', () => {
    const { link, stream, bulk } = openedLink();
    bulk.pendingBytes = 1;
    link.send([ENTRIES, ACKNOWLEDGEMENT]);
    expect([typesOn(stream), typesOn(bulk)]).toEqual([['AppendEntriesReply'], ['AppendEntries']]);
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

describe('a link without its second connection', () => {
  test('sends nothing large over the first one, but over the next second one', async () => {
    const { link, stream, bulk } = openedLink();
    bulk.options.onClose(LOST);
    link.send([BEAT, ENTRIES]);
    expect(typesOn(stream)).toEqual(['Heartbeat']);
    await scheduler.run(1000);
    const next = latest();
    link.send([BEAT, ENTRIES]);
    expect([typesOn(stream), typesOn(next)]).toEqual([['Heartbeat', 'Heartbeat'], []]);
    answer(next);
    link.send([ENTRIES]);
    expect(typesOn(next)).toEqual(['AppendEntries']);
    expect(stream.sent).toHaveLength(3);
  });

  test('has lost what it has sent over it, and not the member', () => {
    const { link, stream, bulk } = openedLink();
    link.send([ENTRIES]);
    bulk.options.onClose(LOST);
    expect(told).toEqual(['n2.i lacks something']);
    stream.options.onClose(LOST);
    expect(told).toEqual(['n2.i lacks something', 'n2.i is gone']);
  });

  test('waits for the first one, too', () => {
    const { link, stream } = openedLink({ bulk: false });
    link.send([BEAT, ENTRIES]);
    expect(typesOn(stream)).toEqual(['Heartbeat']);
  });

  test('sends all over the first one to a member of an older version', () => {
    const { link, stream, bulk } = openedLink({ bulk: false });
    bulk.options.onClose(new BalsaError('PROTOCOL_VERSION', 'no such method'));
    link.send([BEAT, ENTRIES]);
    expect(typesOn(stream)).toEqual(['Heartbeat', 'AppendEntries']);
  });

  test('does not wait for ever', async () => {
    const { link, stream, bulk } = openedLink();
    await scheduler.run(60_000);
    bulk.options.onClose(LOST);
    await scheduler.run(89_000);
    link.send([ENTRIES]);
    expect(typesOn(stream)).toEqual([]);
    await scheduler.run(91_000);
    link.send([ENTRIES]);
    expect(typesOn(stream)).toEqual(['AppendEntries']);
  });

  test('dials it again when it is not answered', async () => {
    const { bulk } = openedLink({ bulk: false });
    await scheduler.run(12_000);
    expect([bulk.isAborted, dialled.length]).toEqual([true, 3]);
    answer(latest());
    await scheduler.run(60_000);
    expect([latest().isAborted, dialled.length]).toEqual([false, 3]);
  });
});

describe('a second connection that is not closed', () => {
  /** All that was sent over it. */
  const bytesOf = ({ sent }: Dialled): number =>
    sent.reduce((sum, frame) => sum + frame.byteLength, 0) - (sent[0]?.byteLength ?? 0);

  test('and takes nothing any more is given up while the first one stands', async () => {
    const { link, stream, bulk } = openedLink();
    link.send([ENTRIES]);
    bulk.pendingBytes = bytesOf(bulk);
    await scheduler.run(14_000);
    expect(bulk.isAborted).toBe(false);
    await scheduler.run(16_000);
    expect([bulk.isAborted, stream.isAborted]).toEqual([true, false]);
    expect(told).toEqual(['n2.i lacks something']);
    await scheduler.run(17_000);
    const next = latest();
    answer(next);
    link.send([ENTRIES]);
    next.pendingBytes = bytesOf(next);
    // It may have been slow and no more: this one gets longer.
    await scheduler.run(46_000);
    expect(next.isAborted).toBe(false);
    await scheduler.run(48_000);
    expect(next.isAborted).toBe(true);
  });

  test('and takes little at a time, or has nothing to take, is kept', async () => {
    const { link, bulk } = openedLink();
    link.send([ENTRIES]);
    for (let parts = 8; parts > 0; parts -= 1) {
      bulk.pendingBytes = (parts / 8) * bytesOf(bulk);
      await scheduler.run(scheduler.nowMs + 11_000);
    }
    bulk.pendingBytes = 0;
    await scheduler.run(scheduler.nowMs + 60_000);
    link.send([ENTRIES]);
    bulk.pendingBytes = bytesOf(bulk) / 2;
    await scheduler.run(scheduler.nowMs + 11_000);
    expect([bulk.isAborted, dialled.length, told]).toEqual([false, 2, []]);
  });
});

describe('a link whose peer has dialled in', () => {
  /** How many times it was dialled. */
  const dials = (): number => dialled.filter(({ options }) => options.isBulk !== true).length;

  test('drops an attempt that has hung for a while, and dials at once', async () => {
    const link = linkOf();
    link.connect();
    const hanging = latest();
    await scheduler.run(2000);
    link.peerDialled();
    const next = latest();
    expect([hanging.isAborted, dials()]).toEqual([true, 2]);
    answer(next);
    link.send([BEAT]);
    expect(typesOn(next)).toEqual(['Heartbeat']);
    await scheduler.run(20_000);
    expect([next.isAborted, dials()]).toEqual([false, 2]);
  });

  test('does not wait before the next attempt', async () => {
    const link = linkOf();
    link.connect();
    latest().options.onClose(LOST);
    link.peerDialled();
    expect(dials()).toBe(2);
    await scheduler.run(2900);
    expect(dials()).toBe(2);
  });

  test('keeps an attempt that has just begun, one that began for this, and a stream that is open', async () => {
    const link = linkOf();
    link.connect();
    link.peerDialled();
    expect(dials()).toBe(1);
    await scheduler.run(1000);
    for (let i = 0; i < 5; i += 1) {
      link.peerDialled();
      await scheduler.run(scheduler.nowMs + 300);
    }
    expect(dials()).toBe(2);
    answer(latest());
    link.peerDialled();
    expect(dials()).toBe(2);
    link.stop();
    link.peerDialled();
    expect(dials()).toBe(2);
  });

  test('both of whose ends dial each other over a slow way ends with both open', async () => {
    const links: OutboundLink[] = [];
    const delayMs = 600;
    // A hello is answered, and tells the other side that it was dialled.
    const dialFrom =
      (side: number) =>
      (options: DialOptions): Channel => {
        const channel = dial(options);
        if (options.isBulk === true) return channel;
        const { abort, send } = channel;
        let isOver = false;
        return Object.assign(channel, {
          abort: () => {
            isOver = true;
            abort();
          },
          send: (frame: Buffer) => {
            send(frame);
            if (unpackPeerFrame(frame, { from: 'n1', to: 'n2' }).type !== 'hello') return;
            scheduler.plan(delayMs, () => {
              if (isOver) return;
              links[1 - side]?.peerDialled();
              scheduler.plan(delayMs, () => {
                if (!isOver) answer(channel as unknown as Dialled);
              });
            });
          },
        });
      };
    for (const side of [0, 1]) links.push(linkOf(dialFrom(side)));
    for (const link of links) link.connect();
    await scheduler.run(10_000);
    expect([dials(), dialled.filter(({ options }) => options.isBulk === true).length]).toEqual([
      4, 2,
    ]);
  });
});
