import { afterEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import type { BalsaError } from '../../src/base/errors.js';
import { LIMITS } from '../../src/base/limits.js';
import { seededRandom } from '../../src/base/random.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import type { MemberId, Message } from '../../src/raft/types.js';
import { dial } from '../../src/rpc/channel.js';
import { packMessages, packPeerHello, unpackPeerFrame } from '../../src/rpc/peer-frames.js';
import { PEER_STREAM_PATH, type PeerHello, PROTOCOL_VERSION } from '../../src/rpc/protocol.js';
import { Formation, memberId } from '../../src/server/formation.js';
import { Listener } from '../../src/server/listener.js';
import { Peers } from '../../src/server/peers.js';

const NAMES = ['n1', 'n2'];
const disk = (name: string) => ({ name, incarnation: `${name}-disk` });

interface Node {
  readonly address: string;
  readonly peers: Peers;
  readonly formation: Formation;
  readonly received: Message[];
  readonly lost: MemberId[];
  readonly connected: string[];
  readonly refused: BalsaError[];
  readonly failures: BalsaError[];
  close(): Promise<void>;
}

const running: Node[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((node) => node.close()));
});

interface NodeOptions {
  readonly name: string;
  readonly addresses?: ReadonlyMap<string, string>;
  readonly formed?: boolean;
  readonly listen?: string;
  readonly incarnation?: string;
  readonly onFormation?: () => void;
}

/** A member without a replica: its peers, behind a real listener. */
async function node(options: NodeOptions): Promise<Node> {
  const { name, addresses = new Map(), formed = true, listen = '127.0.0.1:0' } = options;
  const self = { name, incarnation: options.incarnation ?? disk(name).incarnation };
  const told = {
    received: [] as Message[],
    lost: [] as MemberId[],
    connected: [] as string[],
    refused: [] as BalsaError[],
    failures: [] as BalsaError[],
  };
  const formation = new Formation({
    clusterName: 'c',
    self,
    names: NAMES,
    restored: formed ? { members: NAMES.map(disk), isFormed: true } : null,
  });
  const peers = new Peers({
    clock: systemClock,
    random: seededRandom(1),
    limits: LIMITS,
    clusterName: 'c',
    self,
    addresses,
    formation,
    onMessage: (message) => void told.received.push(message),
    onDisconnected: (member) => void told.lost.push(member),
    onFormation: options.onFormation ?? (() => {}),
    onConnected: (peer) => void told.connected.push(peer),
    onRefused: (_peer, error) => void told.refused.push(error),
    onFailure: (error) => void told.failures.push(error),
    log: () => {},
  });
  const { listener, address } = await Listener.open({
    listen,
    limits: LIMITS,
    acceptClient: () => ({ receive: () => {}, closed: () => {} }),
    acceptPeer: (channel) => peers.accept(channel),
    health: { ready: () => true, onChange: () => () => {} },
  });
  peers.start();
  const close = async (): Promise<void> => {
    peers.stop();
    await listener.close(100);
  };
  const made: Node = { address, peers, formation, ...told, close };
  running.push(made);
  return made;
}

const heartbeat = (readRound: number): Message => ({
  type: 'Heartbeat',
  from: memberId(disk('n1')),
  to: memberId(disk('n2')),
  term: 1,
  commit: 0,
  readRound,
});

const until = (what: string, holds: () => boolean): Promise<true> =>
  waitUntil(what, async () => (holds() ? true : undefined));

function helloOf(change: Partial<PeerHello> = {}): PeerHello {
  return {
    protocolVersion: PROTOCOL_VERSION,
    clusterName: 'c',
    clusterId: null,
    ...disk('n1'),
    to: 'n2',
    formation: null,
    refusal: null,
    ...change,
  };
}

/** Sends frames on a raw stream; resolves with the codes of the refusals when it is over. */
function talk(address: string, frames: readonly Buffer[]): Promise<string[]> {
  return new Promise((resolve) => {
    const refusals: string[] = [];
    const channel = dial({
      address,
      path: PEER_STREAM_PATH,
      frameBytesMax: LIMITS.frameBytesMax,
      onFrame: (bytes) => {
        const frame = unpackPeerFrame(bytes, { from: '', to: '' });
        if (frame.type === 'hello' && frame.hello.refusal !== null) {
          refusals.push(frame.hello.refusal.code);
        }
      },
      onClose: () => resolve(refusals),
    });
    for (const frame of frames) channel.send(frame);
  });
}

describe('peers over loopback', () => {
  test('messages reach the member they are for, in order, under the name of the stream', async () => {
    const n2 = await node({ name: 'n2' });
    const n1 = await node({ name: 'n1', addresses: new Map([['n2', n2.address]]) });
    await until('the connection', () => n1.connected.length > 0);
    n1.peers.send(memberId(disk('n2')), [heartbeat(1), heartbeat(2)]);
    n1.peers.send('stranger.x', [heartbeat(9)]);
    n1.peers.send(memberId(disk('n2')), [heartbeat(3)]);
    await until('the messages', () => n2.received.length >= 3);
    expect(n2.received).toEqual([1, 2, 3].map(heartbeat));
  });

  test('a peer that goes is told of on both sides, and dialled until it is back', async () => {
    const n2 = await node({ name: 'n2' });
    const n1 = await node({ name: 'n1', addresses: new Map([['n2', n2.address]]) });
    await until('the connection', () => n1.connected.length > 0);
    await n2.close();
    await until('the loss', () => n1.lost.length > 0);
    expect(n1.lost).toEqual([memberId(disk('n2'))]);
    const back = await node({ name: 'n2', listen: n2.address });
    await until('the next connection', () => n1.connected.length > 1);
    n1.peers.send(memberId(disk('n2')), [heartbeat(1)]);
    await until('the message', () => back.received.length > 0);
    await n1.close();
    await until('the loss', () => back.lost.length > 0);
    expect(back.lost).toEqual([memberId(disk('n1'))]);
  });

  test('a wiped member is refused by its peer, is told why, and gets nothing through', async () => {
    const n2 = await node({ name: 'n2' });
    const addresses = new Map([['n2', n2.address]]);
    const wiped = await node({ name: 'n1', addresses, formed: false, incarnation: 'new' });
    await until('the refusal', () => wiped.refused.length > 0);
    expect(wiped.refused[0]?.code).toBe('MEMBER_MISMATCH');
    expect(wiped.refused[0]?.message).toMatch(/must not vote again/);
    expect([wiped.formation.bound, wiped.connected, n2.received]).toEqual([null, [], []]);
  });

  test('two fresh members form, each step durable before the other hears of it', async () => {
    const steps: string[] = [];
    const n2: Node = await node({
      name: 'n2',
      formed: false,
      onFormation: () => void steps.push(n2.formation.formed === null ? 'bound' : 'formed'),
    });
    const n1 = await node({
      name: 'n1',
      addresses: new Map([['n2', n2.address]]),
      formed: false,
    });
    await until('a cluster', () => n1.formation.formed !== null && n2.formation.formed !== null);
    expect(n1.formation.formed).toEqual(n2.formation.formed);
    expect(steps).toEqual(['bound', 'formed']);
  });

  test('a step that cannot be made durable is not said to anybody', async () => {
    const n2 = await node({
      name: 'n2',
      formed: false,
      onFormation: () => {
        throw new Error('the disk is gone');
      },
    });
    const said: PeerHello[] = [];
    const channel = dial({
      address: n2.address,
      path: PEER_STREAM_PATH,
      frameBytesMax: LIMITS.frameBytesMax,
      onFrame: (bytes) => {
        const frame = unpackPeerFrame(bytes, { from: '', to: '' });
        if (frame.type === 'hello') said.push(frame.hello);
      },
      onClose: () => {},
    });
    channel.send(packPeerHello(helloOf()));
    await until('the failure', () => n2.failures.length > 0);
    channel.abort();
    expect(said).toEqual([]);
  });

  test.each([
    ['messages before the hello', [packMessages([heartbeat(1)])], 'FRAME_INVALID'],
    ['another protocol', [packPeerHello(helloOf({ protocolVersion: 9 }))], 'PROTOCOL_VERSION'],
    ['another cluster', [packPeerHello(helloOf({ clusterName: 'd' }))], 'CLUSTER_MISMATCH'],
    ['its own name', [packPeerHello(helloOf({ name: 'n2' }))], 'MEMBER_MISMATCH'],
    [
      'a second hello',
      [packPeerHello(helloOf()), packPeerHello(helloOf()), packMessages([heartbeat(1)])],
      'FRAME_INVALID',
    ],
  ])('%s is refused by code, and nothing of it is taken', async (_what, frames, code) => {
    const n2 = await node({ name: 'n2' });
    expect(await talk(n2.address, frames)).toEqual([code]);
    expect(n2.received).toEqual([]);
    expect(n2.failures).toEqual([]);
  });

  test('a stream that says nothing is ended', async () => {
    const n2 = await node({ name: 'n2' });
    const startMs = performance.now();
    expect(await talk(n2.address, [])).toEqual([]);
    expect(performance.now() - startMs).toBeLessThan(10_000);
  });
});

describe('a listener', () => {
  test('says that a port is taken, and which', async () => {
    const n2 = await node({ name: 'n2' });
    await expect(node({ name: 'n1', listen: n2.address })).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      details: { address: n2.address },
    });
  });

  test('says that an address is not of this machine', async () => {
    await expect(node({ name: 'n1', listen: '192.0.2.1:4000' })).rejects.toMatchObject({
      code: 'ADDRESS_UNUSABLE',
    });
  });
});
