import { type Clock, systemClock } from '../../src/base/clock.js';
import type { BalsaError } from '../../src/base/errors.js';
import { LIMITS } from '../../src/base/limits.js';
import { seededRandom } from '../../src/base/random.js';
import { freePorts } from '../../src/cluster/free-ports.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import type { MemberId, Message } from '../../src/raft/types.js';
import { dial } from '../../src/rpc/channel.js';
import { unpackPeerFrame } from '../../src/rpc/peer-frames.js';
import type { PeerHello } from '../../src/rpc/peer-protocol.js';
import { PEER_STREAM_PATH } from '../../src/rpc/protocol.js';
import { OWN_VERSIONS } from '../../src/rpc/version.js';
import { clusterIdOf, formedConfiguration } from '../../src/server/formation.js';
import { Listener } from '../../src/server/listener.js';
import { memberId } from '../../src/server/member-id.js';
import { Peers, type PeersOptions } from '../../src/server/peers.js';
import { Roster } from '../../src/server/roster.js';
import { Standing } from '../../src/server/standing.js';

export const NAMES = ['n1', 'n2'];
export const disk = (name: string) => ({ name, incarnation: `${name}-disk` });

export interface Node {
  readonly address: string;
  readonly peers: Peers;
  readonly standing: Standing;
  readonly roster: Roster;
  readonly received: Message[];
  readonly lost: MemberId[];
  readonly connected: string[];
  readonly refused: BalsaError[];
  readonly failures: BalsaError[];
  readonly hashes: string[];
  readonly joining: string[];
  close(): Promise<void>;
}

const running: Node[] = [];

export async function closeNodes(): Promise<void> {
  await Promise.all(running.splice(0).map((node) => node.close()));
}

interface NodeOptions {
  readonly name: string;
  readonly addresses?: ReadonlyMap<string, string>;
  readonly formed?: boolean;
  readonly listen?: string;
  readonly incarnation?: string;
  readonly onStep?: () => void;
  readonly joining?: { readonly replaces: string | null };
  /** Frames that peers send get lost before it. */
  readonly isDeaf?: () => boolean;
  /** Its clock goes so many times as fast. */
  readonly speed?: number;
  /** Simulated time, and a network of the test's own. */
  readonly simulated?: Pick<PeersOptions, 'clock' | 'dial'>;
  /** What it has set timers to, in milliseconds. */
  readonly timers?: number[];
}

function fasterClock(speed: number, timers: number[] = []): Clock {
  const setTimer: Clock['setTimer'] = (ms, call) => {
    timers.push(ms);
    return systemClock.setTimer(ms / speed, call);
  };
  return { ...systemClock, setTimer };
}

/** A member without a replica: its peers, behind a real listener. */
export async function node(options: NodeOptions): Promise<Node> {
  const { name, addresses = new Map(), formed = true } = options;
  const listen = options.listen ?? `127.0.0.1:${(await freePorts(1))[0]}`;
  const self = { name, incarnation: options.incarnation ?? disk(name).incarnation };
  const told = {
    received: [] as Message[],
    lost: [] as MemberId[],
    connected: [] as string[],
    refused: [] as BalsaError[],
    failures: [] as BalsaError[],
    hashes: [] as string[],
    joining: [] as string[],
  };
  const names = options.joining === undefined ? NAMES : [name];
  const founded = { clusterId: clusterIdOf('c', NAMES.map(disk)), formation: NAMES.map(disk) };
  const standing = new Standing({
    clusterName: 'c',
    self,
    names,
    restored: {
      ...(formed ? founded : { clusterId: null, formation: null }),
      joining: options.joining ?? null,
    },
  });
  const roster = new Roster(
    { self, address: listen, configured: addresses },
    formedConfiguration(NAMES.map(disk)),
  );
  const peers = new Peers({
    ...{ clock: fasterClock(options.speed ?? 1, options.timers), ...options.simulated },
    random: seededRandom(1),
    limits: LIMITS,
    clusterName: 'c',
    self,
    address: listen,
    formats: { command: 2, snapshot: 1 },
    seeds: addresses,
    standing,
    roster: () => (standing.cluster === null ? null : roster),
    onMessage: (message) => void told.received.push(message),
    onStateHash: (from, { hash }) => void told.hashes.push(`${from} ${hash}`),
    onDeltas: () => {},
    onJobs: () => {},
    onDisconnected: (member) => void told.lost.push(member),
    onMessagesLost: () => {},
    onStep: options.onStep ?? (() => {}),
    onJoining: (hello) => void told.joining.push(hello.name),
    onConnected: (peer) => void told.connected.push(peer),
    onRefused: (_peer, error) => void told.refused.push(error),
    onFailure: (error) => void told.failures.push(error),
    log: () => {},
  });
  const { listener, address } = await Listener.open({
    listen,
    limits: LIMITS,
    acceptClient: () => ({ receive: () => {}, closed: () => {} }),
    acceptPeer: (channel) => {
      const peer = peers.accept(channel);
      const receive = (frame: Buffer): void => {
        if (options.isDeaf?.() !== true) peer.receive(frame);
      };
      return { receive, closed: () => peer.closed() };
    },
    acceptPeerBulk: (channel) => peers.acceptBulk(channel),
    acceptPeerSnapshot: () => ({ receive: () => {}, closed: () => {} }),
    acceptClientSnapshot: () => ({ receive: () => {}, closed: () => {} }),
    health: { ready: () => true, onChange: () => () => {} },
  });
  peers.start();
  const close = async (): Promise<void> => {
    peers.stop();
    await listener.close(100);
  };
  const made: Node = { address, peers, standing, roster, ...told, close };
  running.push(made);
  return made;
}

export const heartbeat = (readRound: number): Message => ({
  type: 'Heartbeat',
  from: memberId(disk('n1')),
  to: memberId(disk('n2')),
  term: 1,
  commit: 0,
  leaseMs: 0,
  readRound,
});

export const until = (what: string, holds: () => boolean): Promise<true> =>
  waitUntil(what, async () => (holds() ? true : undefined));

export function helloOf(change: Partial<PeerHello> = {}): PeerHello {
  return {
    ...OWN_VERSIONS,
    clusterName: 'c',
    clusterId: null,
    ...disk('n1'),
    to: 'n2',
    formation: null,
    refusal: null,
    toIncarnation: null,
    formats: { command: 1, snapshot: 1 },
    joining: null,
    address: null,
    memberAt: null,
    ...change,
  };
}

export const nobody = () => ({ receive: () => {}, closed: () => {} });

/** Sends frames on a raw stream; resolves with the codes of the refusals when it is over. */
export function talk(address: string, frames: readonly Buffer[]): Promise<string[]> {
  return new Promise((resolve) => {
    const refusals: string[] = [];
    const channel = dial({
      address,
      path: PEER_STREAM_PATH,
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
