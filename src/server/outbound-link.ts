import type { Clock, Timer } from '../base/clock.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import { FRAME_BYTES_MAX, type Limits } from '../base/limits.js';
import type { Random } from '../base/random.js';
import type { MemberId, Message } from '../raft/types.js';
import { type Channel, dial as dialChannel } from '../rpc/channel.js';
import { FRAME_PART_BYTES } from '../rpc/frame-parts.js';
import { packMessages, packProbe, unpackPeerFrame } from '../rpc/peer-frames.js';
import type { FormedMember, PeerHello } from '../rpc/peer-protocol.js';
import { PEER_STREAM_PATH, PROTOCOL_VERSION_PROBES } from '../rpc/protocol.js';
import { StreamProbe } from '../rpc/stream-probe.js';
import { agreeOnVersion } from '../rpc/version.js';
import { fromWireError } from '../rpc/wire-error.js';
import { BulkLane } from './bulk-lane.js';
import { isOurs } from './inbound-peer.js';
import { memberId } from './member-id.js';
import type { PeerTarget } from './roster.js';
import type { Standing } from './standing.js';

export interface LinkOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: Limits;
  readonly self: FormedMember;
  readonly standing: Standing;
  readonly onDisconnected: (member: MemberId) => void;
  readonly onMessagesLost: (member: MemberId) => void;
  readonly onConnected: (peer: string) => void;
  readonly onRefused: (peer: string, error: BalsaError) => void;
  readonly log: (level: 'info' | 'warn', fields: Record<string, unknown>, text: string) => void;
  readonly onFailure: (error: BalsaError) => void;
  /** A test's own; default: over the network. */
  readonly dial?: typeof dialChannel;
}

/** What a link asks of those it belongs to. */
export interface LinkOwner {
  meet(hello: PeerHello): FormedMember;
  /** The other side will not have us as it is. */
  refusedBy(hello: PeerHello): void;
  ownHello(to: { name: string; incarnation: string | null }): Buffer;
}

/** From nothing to the first frame of an answer, on a dialled stream. */
const HELLO_TIMEOUT_MS = 3000;
const RECONNECT_MS = { first: 50, max: 500 };
/** An attempt that is younger may well come about, if the way has just become free: its packets are soon sent again. */
const YOUNG_MS = 500;
/** After a refusal only an operator can help. */
const REFUSED_RETRY_MS = 2000;
/** Messages go into one frame up to about this size. */
const FRAME_TARGET_BYTES = 1024 * 1024;

/** A stream that this replica dials, and dials again when it is lost, until it is stopped. */
export class OutboundLink {
  readonly target: PeerTarget;
  readonly #owner: LinkOwner;
  readonly #options: LinkOptions;
  #channel: Channel | null = null;
  #bulk: BulkLane | null = null;
  #ready: MemberId | null = null;
  #probe: StreamProbe | null = null;
  #timer: Timer | null = null;
  #dialledAtMs = 0;
  /** The attempt that is under way began because the peer had dialled. */
  #isAnswer = false;
  #failures = 0;
  #wasRefused = false;
  #stopped = false;

  constructor(owner: LinkOwner, options: LinkOptions, target: PeerTarget) {
    this.#owner = owner;
    this.#options = options;
    this.target = target;
  }

  connect(isAnswer = false): void {
    if (this.#stopped) return;
    const { clock, dial = dialChannel } = this.#options;
    this.#isAnswer = isAnswer;
    this.#wasRefused = false;
    this.#dialledAtMs = clock.monotonicMs();
    const channel = dial({
      address: this.target.address,
      path: PEER_STREAM_PATH,
      onFrame: (frame) => this.#onFrame(channel, frame),
      onClose: (reason) => this.#onClose(channel, reason),
    });
    this.#channel = channel;
    channel.send(this.#owner.ownHello(this.target));
    this.#setTimer(HELLO_TIMEOUT_MS, () => channel.abort());
  }

  /**
   * The peer has dialled this replica: the way to it is free, though it may not have been when the attempt began that is under way.
   * One that began for that reason goes on: two that dial each other would break off each other's attempts for ever.
   */
  peerDialled(): void {
    if (this.#stopped || this.#ready !== null) return;
    const channel = this.#channel;
    const ageMs = this.#options.clock.monotonicMs() - this.#dialledAtMs;
    if (channel !== null && (this.#isAnswer || ageMs < YOUNG_MS)) return;
    this.connect(true);
    channel?.abort();
  }

  /**
   * Several to a frame; those for which there is no room are dropped. Signs of life, votes and acknowledgements do not wait
   * behind a large entry: nobody may be taken for dead because of it.
   */
  send(messages: readonly Message[]): void {
    const bytes = messages.reduce((sum, message) => sum + messageBytes(message), 0);
    const pendingBytes = this.#channel?.pendingBytes ?? 0;
    const isPlain = pendingBytes + bytes <= FRAME_PART_BYTES && this.#bulk?.takes(false) !== true;
    if (isPlain) {
      this.#sendInOrder(messages, false);
      return;
    }
    this.#sendInOrder(messages.filter(isUrgent), true);
    this.#sendInOrder(
      messages.filter((message) => !isUrgent(message)),
      false,
    );
  }

  #sendInOrder(messages: readonly Message[], areUrgent: boolean): void {
    let batch: Message[] = [];
    let bytes = 0;
    const flush = (): void => {
      if (batch.length > 0) this.#sendOne(packMessages(batch), areUrgent);
      batch = [];
      bytes = 0;
    };
    for (const message of messages) {
      const added = messageBytes(message);
      if (bytes + added > FRAME_TARGET_BYTES) flush();
      if (areUrgent ? !this.#hasUrgentRoom(bytes) : !this.#hasRoom(bytes)) break;
      batch.push(message);
      bytes += added;
    }
    flush();
  }

  /** Dropped when there is no room; a large one also while the second connection is awaited. */
  sendFrame(frame: Buffer): void {
    if (this.#hasRoom(0)) this.#sendOne(frame, false);
  }

  #sendOne(frame: Buffer, isUrgent: boolean): void {
    const isLarge = frame.byteLength > FRAME_PART_BYTES;
    if (!isUrgent && this.#bulk?.takes(isLarge) === true) this.#bulk.send(frame);
    else if (!isLarge || this.#bulk?.isAwaited !== true) this.#channel?.send(frame, isUrgent);
  }

  /** It is open, and beside `bytes` that wait elsewhere there is room in its queue. */
  #hasRoom(bytes: number): boolean {
    const { peerQueueBytesMax } = this.#options.limits;
    return this.#pendingBytes + (this.#bulk?.pendingBytes ?? 0) + bytes <= peerQueueBytesMax;
  }

  /** The same for what goes before all that waits: large entries, which overfill the queue by one, do not take its room. */
  #hasUrgentRoom(bytes: number): boolean {
    const { peerQueueBytesMax } = this.#options.limits;
    return this.#pendingBytes + bytes <= peerQueueBytesMax + FRAME_BYTES_MAX;
  }

  /** Of the stream; infinite when it is not open. */
  get #pendingBytes(): number {
    const isOpen = this.#ready !== null && !this.#stopped;
    return (isOpen ? this.#channel?.pendingBytes : null) ?? Number.POSITIVE_INFINITY;
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#timer?.cancel();
    this.#probe?.stop();
    this.#channel?.end();
    this.#bulk?.stop();
  }

  #onFrame(channel: Channel, bytes: Buffer): void {
    if (channel !== this.#channel || this.#stopped) return;
    const { self, standing, onConnected, onFailure } = this.#options;
    try {
      const frame = unpackPeerFrame(bytes, { from: this.target.name, to: self.name });
      if (frame.type === 'probe-answer' && this.#probe !== null) {
        this.#probe.answered();
        return;
      }
      if (frame.type !== 'hello')
        throw new BalsaError('FRAME_INVALID', 'only a hello is expected here');
      if (frame.hello.refusal !== null) {
        if (frame.hello.name === this.target.name) this.#owner.refusedBy(frame.hello);
        this.#refused(channel, fromWireError(frame.hello.refusal));
        return;
      }
      if (this.#ready !== null) throw new BalsaError('FRAME_INVALID', 'a second hello');
      this.#checkAnswer(frame.hello);
      const member = this.#owner.meet(frame.hello);
      // What was met may have made this link a needless one.
      if (this.#stopped) return;
      this.#timer?.cancel();
      onConnected(this.target.name);
      if (standing.cluster !== null && frame.hello.clusterId !== null) {
        this.#opened(memberId(member));
        if (agreeOnVersion(frame.hello, this.target.name) >= PROTOCOL_VERSION_PROBES) {
          this.#watch(channel);
        }
      } else {
        // One of the two has yet to join the cluster: say hello again, soon when all have been met.
        if (standing.bound !== null) this.#failures = 0;
        channel.abort();
      }
    } catch (cause) {
      const error = asBalsaError(cause);
      if (isOurs(error)) onFailure(error);
      else this.#refused(channel, error);
    }
  }

  /** An address may have been given to another one. */
  #checkAnswer(hello: PeerHello): void {
    const { name, incarnation, address } = this.target;
    if (hello.name === name && (incarnation === null || hello.incarnation === incarnation)) return;
    throw new BalsaError(
      'MEMBER_MISMATCH',
      `at ${address} is ${memberId(hello)}, not ${name}${incarnation === null ? '' : `.${incarnation}`}`,
    );
  }

  #refused(channel: Channel, error: BalsaError): void {
    this.#wasRefused = true;
    this.#options.onRefused(this.target.name, error);
    channel.abort();
  }

  #opened(member: MemberId): void {
    this.#ready = member;
    this.#failures = 0;
    const { name, address } = this.target;
    const { clock, self, onMessagesLost, onFailure, dial = dialChannel } = this.#options;
    this.#bulk = new BulkLane({
      ...{ clock, address },
      ends: { from: name, to: self.name },
      hello: () => this.#owner.ownHello(this.target),
      check: (hello) => this.#checkAnswer(hello),
      // Whoever sends again begins with what has surely arrived.
      ...{ onMessagesLost: () => onMessagesLost(member), onFailure, dial },
    });
    this.#options.log('info', { peer: name, address }, 'connected to peer');
  }

  #watch(channel: Channel): void {
    const { clock, log } = this.#options;
    this.#probe = new StreamProbe({
      clock,
      // As long as the network has not taken what went before, its end is not reached.
      isNeeded: () => channel.pendingBytes === 0,
      send: () => channel.send(packProbe(), true),
      onSilent: () => {
        log('warn', { peer: this.target.name }, 'peer hears nothing of what is sent');
        channel.abort();
      },
    });
  }

  #onClose(channel: Channel, reason: BalsaError): void {
    if (channel !== this.#channel) return;
    this.#probe?.stop();
    this.#probe = null;
    this.#channel = null;
    this.#bulk?.stop();
    this.#bulk = null;
    const member = this.#ready;
    this.#ready = null;
    if (this.#stopped) return;
    if (member !== null) {
      this.#options.log('warn', { peer: this.target.name, reason: reason.message }, 'lost peer');
      this.#options.onDisconnected(member);
    }
    const { first, max } = RECONNECT_MS;
    const waitMs = this.#wasRefused ? REFUSED_RETRY_MS : Math.min(max, first * 2 ** this.#failures);
    this.#failures = this.#wasRefused ? 0 : this.#failures + 1;
    this.#setTimer(waitMs * (0.5 + this.#options.random.next()), () => this.connect());
  }

  #setTimer(delayMs: number, callback: () => void): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.setTimer(delayMs, callback);
  }
}

/** Small, and its meaning does not hang on what was sent before it. */
function isUrgent({ type }: Message): boolean {
  switch (type) {
    case 'Heartbeat':
    case 'HeartbeatReply':
    case 'AppendEntriesReply':
    case 'RequestVote':
    case 'RequestVoteReply':
    case 'ReadIndex':
    case 'ReadIndexReply':
      return true;
    default:
      return false;
  }
}

function messageBytes(message: Message): number {
  if (message.type !== 'AppendEntries') return 64;
  return message.entries.reduce((sum, entry) => sum + entry.payload.byteLength + 16, 64);
}
