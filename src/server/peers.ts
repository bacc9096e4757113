import type { Clock, Timer } from '../base/clock.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { Limits } from '../base/limits.js';
import type { Random } from '../base/random.js';
import type { MemberId, Message } from '../raft/types.js';
import { type Channel, dial } from '../rpc/channel.js';
import { packMessages, packPeerHello, unpackPeerFrame } from '../rpc/peer-frames.js';
import {
  type FormedMember,
  PEER_STREAM_PATH,
  type PeerHello,
  PROTOCOL_VERSION,
} from '../rpc/protocol.js';
import { fromWireError, toWireError } from '../rpc/wire-error.js';
import { type Formation, memberId } from './formation.js';
import type { Transport } from './transport.js';

export interface PeersOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: Limits;
  readonly clusterName: string;
  readonly self: FormedMember;
  /** Addresses of all members by name, this one included. */
  readonly addresses: ReadonlyMap<string, string>;
  readonly formation: Formation;
  readonly onMessage: (message: Message) => void;
  readonly onDisconnected: (member: MemberId) => void;
  /** Called when a hello brought the formation on; throws when that cannot be made durable. */
  readonly onFormation: () => void;
  readonly onConnected: (peer: string) => void;
  readonly log: (level: 'info' | 'warn', fields: Record<string, unknown>, text: string) => void;
  /** A peer refuses this replica, or this one refuses the peer. */
  readonly onRefused: (peer: string, error: BalsaError) => void;
  /** A rule of ours is broken: the replica must stop. */
  readonly onFailure: (error: BalsaError) => void;
}

/**
 * The streams between members. Each dials every other one and sends its messages on the stream that
 * it dialled; nothing goes over a stream before both ends have said who they are. What cannot be sent
 * at once is dropped: Raft sends again what matters.
 */
export class Peers implements Transport {
  readonly #options: PeersOptions;
  readonly #links = new Map<string, OutboundLink>();
  readonly #inbound = new Map<MemberId, InboundPeer>();
  #linkOfMember = new Map<MemberId, OutboundLink>();
  #stopped = false;

  constructor(options: PeersOptions) {
    this.#options = options;
    for (const [name, address] of options.addresses) {
      if (name === options.self.name) continue;
      this.#links.set(name, new OutboundLink(this, options, { name, address }));
    }
  }

  start(): void {
    this.mapMembers();
    for (const link of this.#links.values()) link.connect();
  }

  stop(): void {
    this.#stopped = true;
    for (const link of this.#links.values()) link.stop();
    for (const peer of this.#inbound.values()) peer.close();
    this.#inbound.clear();
  }

  send(to: MemberId, messages: readonly Message[]): void {
    this.#linkOfMember.get(to)?.send(messages);
  }

  /** Takes in a hello from either direction; throws when the two cannot belong together. */
  meet(hello: PeerHello): FormedMember {
    if (hello.protocolVersion !== PROTOCOL_VERSION) {
      throw new BalsaError(
        'PROTOCOL_VERSION',
        `${hello.name} speaks protocol version ${hello.protocolVersion}, ${this.#options.self.name} ${PROTOCOL_VERSION}`,
      );
    }
    if (this.#options.formation.meet(hello)) {
      this.#options.onFormation();
      this.mapMembers();
    }
    return { name: hello.name, incarnation: hello.incarnation };
  }

  mapMembers(): void {
    this.#linkOfMember = new Map();
    for (const member of this.#options.formation.formed?.members ?? []) {
      const link = this.#links.get(member.name);
      if (link !== undefined) this.#linkOfMember.set(memberId(member), link);
    }
  }

  ownHello(to: string, refusal: BalsaError | null = null): Buffer {
    const { formation, clusterName, self } = this.#options;
    return packPeerHello({
      protocolVersion: PROTOCOL_VERSION,
      clusterName,
      clusterId: formation.formed?.clusterId ?? null,
      name: self.name,
      incarnation: self.incarnation,
      to,
      formation: formation.bound,
      refusal: refusal && toWireError(refusal),
    });
  }

  /** A stream that another member dialled. */
  accept(channel: Channel): InboundPeer {
    const peer = new InboundPeer(this, this.#options, channel, this.#inbound);
    if (this.#stopped) peer.close();
    return peer;
  }
}

/** From nothing to the first frame of an answer, on a dialled stream. */
const HELLO_TIMEOUT_MS = 3000;
const RECONNECT_MS = { first: 50, max: 500 };
/** After a refusal only an operator can help. */
const REFUSED_RETRY_MS = 2000;
/** Messages go into one frame up to about this size. */
const FRAME_TARGET_BYTES = 1024 * 1024;

class OutboundLink {
  readonly #peers: Peers;
  readonly #options: PeersOptions;
  readonly #peer: { readonly name: string; readonly address: string };
  #channel: Channel | null = null;
  #ready: MemberId | null = null;
  #timer: Timer | null = null;
  #failures = 0;
  #stopped = false;

  constructor(peers: Peers, options: PeersOptions, peer: { name: string; address: string }) {
    this.#peers = peers;
    this.#options = options;
    this.#peer = peer;
  }

  connect(): void {
    if (this.#stopped) return;
    const channel = dial({
      address: this.#peer.address,
      path: PEER_STREAM_PATH,
      frameBytesMax: this.#options.limits.frameBytesMax,
      onFrame: (frame) => this.#onFrame(channel, frame),
      onClose: (reason) => this.#onClose(channel, reason),
    });
    this.#channel = channel;
    channel.send(this.#peers.ownHello(this.#peer.name));
    this.#setTimer(HELLO_TIMEOUT_MS, () => channel.abort());
  }

  send(messages: readonly Message[]): void {
    const channel = this.#channel;
    if (this.#ready === null || channel === null || this.#stopped) return;
    let batch: Message[] = [];
    let bytes = 0;
    for (const message of messages) {
      if (channel.pendingBytes + bytes > this.#options.limits.peerQueueBytesMax) break;
      batch.push(message);
      bytes += messageBytes(message);
      if (bytes < FRAME_TARGET_BYTES) continue;
      channel.send(packMessages(batch));
      batch = [];
      bytes = 0;
    }
    if (batch.length > 0) channel.send(packMessages(batch));
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#channel?.end();
  }

  #onFrame(channel: Channel, bytes: Buffer): void {
    if (channel !== this.#channel || this.#stopped) return;
    try {
      const frame = unpackPeerFrame(bytes, { from: this.#peer.name, to: this.#options.self.name });
      if (frame.type !== 'hello')
        throw new BalsaError('FRAME_INVALID', 'only a hello is expected here');
      if (frame.hello.refusal !== null) {
        this.#refused(channel, fromWireError(frame.hello.refusal));
        return;
      }
      const member = this.#peers.meet(frame.hello);
      this.#timer?.cancel();
      this.#options.onConnected(this.#peer.name);
      if (this.#options.formation.formed !== null && frame.hello.clusterId !== null) {
        this.#opened(memberId(member));
      } else {
        // One of the two has yet to form the cluster: say hello again, soon when all have been met.
        if (this.#options.formation.bound !== null) this.#failures = 0;
        channel.abort();
      }
    } catch (cause) {
      const error = asBalsaError(cause);
      if (isOurs(error)) this.#options.onFailure(error);
      else this.#refused(channel, error);
    }
  }

  #refused(channel: Channel, error: BalsaError): void {
    this.#options.onRefused(this.#peer.name, error);
    this.#failures = Number.POSITIVE_INFINITY;
    channel.abort();
  }

  #opened(member: MemberId): void {
    this.#ready = member;
    this.#failures = 0;
    this.#options.log(
      'info',
      { peer: this.#peer.name, address: this.#peer.address },
      'connected to peer',
    );
  }

  #onClose(channel: Channel, reason: BalsaError): void {
    if (channel !== this.#channel) return;
    this.#channel = null;
    const member = this.#ready;
    this.#ready = null;
    if (this.#stopped) return;
    if (member !== null) {
      this.#options.log('warn', { peer: this.#peer.name, reason: reason.message }, 'lost peer');
      this.#options.onDisconnected(member);
    }
    const { first, max } = RECONNECT_MS;
    const base =
      this.#failures === Number.POSITIVE_INFINITY
        ? REFUSED_RETRY_MS
        : Math.min(max, first * 2 ** this.#failures);
    this.#failures = this.#failures === Number.POSITIVE_INFINITY ? 0 : this.#failures + 1;
    this.#setTimer(base * (0.5 + this.#options.random.next()), () => this.connect());
  }

  #setTimer(delayMs: number, callback: () => void): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.setTimer(delayMs, callback);
  }
}

/** An error that no other member can bring about. */
function isOurs(error: BalsaError): boolean {
  return error.code === 'INVARIANT' || error.code === 'INTERNAL';
}

function messageBytes(message: Message): number {
  if (message.type !== 'AppendEntries') return 64;
  return message.entries.reduce((sum, entry) => sum + entry.payload.byteLength + 16, 64);
}

/** The receiving end of a stream that another member dialled. */
export class InboundPeer {
  readonly #peers: Peers;
  readonly #options: PeersOptions;
  readonly #channel: Channel;
  readonly #all: Map<MemberId, InboundPeer>;
  readonly #helloTimer: Timer;
  #over = false;
  #ends: { readonly from: MemberId; readonly to: MemberId } | null = null;

  constructor(
    peers: Peers,
    options: PeersOptions,
    channel: Channel,
    all: Map<MemberId, InboundPeer>,
  ) {
    this.#peers = peers;
    this.#options = options;
    this.#channel = channel;
    this.#all = all;
    this.#helloTimer = options.clock.setTimer(HELLO_TIMEOUT_MS, () => channel.abort());
  }

  /** Never throws: a bad frame ends this stream. */
  receive(bytes: Buffer): void {
    if (this.#over) return;
    try {
      const ends = this.#ends;
      const frame = unpackPeerFrame(bytes, ends ?? { from: '', to: '' });
      if (frame.type === 'hello') this.#welcome(frame.hello);
      else if (ends === null) throw new BalsaError('FRAME_INVALID', 'messages before the hello');
      else for (const message of frame.messages) this.#options.onMessage(message);
    } catch (cause) {
      const error = asBalsaError(cause);
      if (isOurs(error)) {
        this.#options.onFailure(error);
        return;
      }
      this.#options.log(
        'warn',
        { code: error.code, reason: error.message },
        'refused a peer stream',
      );
      this.#channel.send(this.#peers.ownHello('', error));
      this.close();
    }
  }

  /** The stream is over. */
  closed(): void {
    this.#over = true;
    this.#helloTimer.cancel();
    const from = this.#ends?.from;
    if (from === undefined || this.#all.get(from) !== this) return;
    this.#all.delete(from);
    this.#options.onDisconnected(from);
  }

  /** Sends what waits and ends it; nothing more is taken from it. */
  close(): void {
    this.#over = true;
    this.#helloTimer.cancel();
    this.#channel.end();
  }

  #welcome(hello: PeerHello): void {
    if (this.#ends !== null) throw new BalsaError('FRAME_INVALID', 'a second hello on one stream');
    this.#helloTimer.cancel();
    const member = this.#peers.meet(hello);
    this.#channel.send(this.#peers.ownHello(hello.name));
    if (this.#options.formation.formed === null) return;
    const from = memberId(member);
    this.#ends = { from, to: memberId(this.#options.self) };
    // The latest stream of a member counts; an older one may be half-open and die much later.
    this.#all.set(from, this);
  }
}
