import { BalsaError } from '../../src/base/errors.js';
import type { MemberId, Message } from '../../src/raft/types.js';
import type { Channel, DialOptions } from '../../src/rpc/channel.js';
import type { DeltaFrame } from '../../src/rpc/delta-frames.js';
import type { JobFrame } from '../../src/rpc/job-frames.js';
import { packMessages, unpackPeerFrame } from '../../src/rpc/peer-frames.js';
import type { StateCheckpoint } from '../../src/server/transport.js';
import type { Coverage } from './coverage.js';
import { KIND, type Scheduler } from './scheduler.js';

/** How bad the network is. Probabilities from 0 to 1. */
export interface Weather {
  readonly loss: number;
  readonly duplication: number;
  /** Of streams, per frame. */
  readonly streamBreak: number;
  /** Messages take from 0.2 ms to this much longer; rarely ten times that. */
  readonly latencyMs: number;
}

export const FINE: Weather = { loss: 0, duplication: 0, streamBreak: 0, latencyMs: 2 };

/** A frame of a stream that cannot get through is tried again this often, and given up after that long. */
const RETRANSMIT_MS = 150;
const STREAM_TIMEOUT_MS = 4000;

/** Of one member's messages to it: what it does with them. */
export interface MemberPort {
  /** Number of its machine: links are between machines. */
  readonly place: number;
  receive(message: Message): void;
  receiveStateHash(from: MemberId, checkpoint: StateCheckpoint): void;
  receiveDeltas(from: MemberId, frame: DeltaFrame): void;
  receiveJobs(from: MemberId, frame: JobFrame): void;
}

/** One side of an accepted stream. */
export interface StreamHandlers {
  receive(frame: Buffer): void;
  closed(): void;
}

/** Who listens at an address. */
export interface StreamListener {
  readonly place: number;
  accept(channel: Channel, path: string): StreamHandlers;
}

interface LinkFault {
  cuts: number;
  delayMs: number;
}

/**
 * Carries messages between members (which may be lost, doubled and overtaken), and streams between
 * clients and replicas (in order; they hang, or break).
 */
export class SimulatedNetwork {
  readonly #scheduler: Scheduler;
  readonly #coverage: Coverage;
  readonly #usesCodec: boolean;
  weather: Weather = FINE;
  readonly #ports = new Map<MemberId, MemberPort>();
  readonly #listeners = new Map<string, StreamListener>();
  readonly #streams = new Set<SimulatedStream>();
  readonly #faults = new Map<number, LinkFault>();
  delivered = 0;
  lost = 0;

  readonly #met = new Set<string>();

  constructor(options: { scheduler: Scheduler; coverage: Coverage; usesCodec: boolean }) {
    this.#scheduler = options.scheduler;
    this.#coverage = options.coverage;
    this.#usesCodec = options.usesCodec;
  }

  get scheduler(): Scheduler {
    return this.#scheduler;
  }

  attach(member: MemberId, port: MemberPort): void {
    this.#ports.set(member, port);
  }

  detach(member: MemberId): void {
    this.#ports.delete(member);
  }

  listen(address: string, listener: StreamListener): void {
    this.#listeners.set(address, listener);
  }

  listenerAt(address: string): StreamListener | null {
    return this.#listeners.get(address) ?? null;
  }

  /** The process at this address is gone: its streams break. */
  close(address: string): void {
    this.#listeners.delete(address);
    this.breakStreams(address);
  }

  /** All streams that lead to this address are reset. */
  breakStreams(address: string): void {
    for (const stream of [...this.#streams]) {
      if (stream.address === address) stream.reset('connection reset');
    }
  }

  /** Those that a process at this place has opened are reset. */
  breakStreamsFrom(place: number): void {
    for (const stream of [...this.#streams]) {
      if (stream.place === place) stream.reset('connection reset');
    }
  }

  breakStreamsBetween(a: number, b: number): void {
    for (const stream of [...this.#streams]) {
      if (stream.joins(a, b)) stream.reset('connection reset');
    }
  }

  // ---------------------------------------------------------------- links

  /** Nothing gets from one place to the other until the answer is called. */
  cut(from: number, to: number): () => void {
    const link = this.#link(from, to);
    link.cuts += 1;
    return once(() => {
      link.cuts -= 1;
    });
  }

  slow(from: number, to: number, delayMs: number): () => void {
    const link = this.#link(from, to);
    link.delayMs += delayMs;
    return once(() => {
      link.delayMs -= delayMs;
    });
  }

  isCut(from: number, to: number): boolean {
    return (this.#faults.get(linkKey(from, to))?.cuts ?? 0) > 0;
  }

  /**
   * The process there has heard the hello of the member: at some time in its life both were there, and heard each other.
   */
  haveMet(from: number, life: number, to: MemberId): boolean {
    const name = `${from}/${life}>${to}`;
    if (this.#met.has(name)) return true;
    const port = this.#ports.get(to);
    if (port === undefined) return false;
    const isOpen = !this.isCut(from, port.place) && !this.isCut(port.place, from);
    if (isOpen) this.#met.add(name);
    return isOpen;
  }

  #link(from: number, to: number): LinkFault {
    const key = linkKey(from, to);
    const link = this.#faults.get(key) ?? { cuts: 0, delayMs: 0 };
    this.#faults.set(key, link);
    return link;
  }

  latency(from: number, to: number): number {
    const { random } = this.#scheduler;
    const longest = this.weather.latencyMs * (random.next() < 0.02 ? 10 : 1);
    const extra = this.#faults.get(linkKey(from, to))?.delayMs ?? 0;
    return 0.2 + random.next() * longest + extra;
  }

  // ---------------------------------------------------------------- messages

  send(from: number, to: MemberId, messages: readonly Message[]): void {
    const port = this.#ports.get(to);
    const { random } = this.#scheduler;
    const copies = random.next() < this.weather.duplication ? 2 : 1;
    if (copies > 1) this.#coverage.count('network: duplicated');
    const frame = this.#usesCodec ? packMessages(messages) : null;
    for (let copy = 0; copy < copies; copy += 1) {
      if (port === undefined || random.next() < this.weather.loss || this.isCut(from, port.place)) {
        this.lost += 1;
        this.#coverage.count(port === undefined ? 'network: nobody there' : 'network: lost');
        continue;
      }
      const { place } = port;
      const what = { kind: KIND.message, subject: place };
      this.#scheduler.plan(
        this.latency(from, place),
        () => this.#deliver({ from, to, messages, frame }),
        what,
      );
    }
  }

  #deliver(sent: {
    from: number;
    to: MemberId;
    messages: readonly Message[];
    frame: Buffer | null;
  }): void {
    // Whoever has the name by now; a partition also takes what is on its way.
    const port = this.#ports.get(sent.to);
    if (port === undefined || this.isCut(sent.from, port.place)) {
      this.lost += 1;
      return;
    }
    this.delivered += 1;
    for (const message of this.#unpack(sent)) {
      this.#hash(message);
      port.receive(message);
    }
  }

  /** Anything else between members that may get lost. */
  tell(from: number, to: MemberId, hand: (port: MemberPort) => void): void {
    const port = this.#ports.get(to);
    if (port === undefined || this.#scheduler.random.next() < this.weather.loss) return;
    const { place } = port;
    const what = { kind: KIND.message, subject: place };
    this.#scheduler.plan(
      this.latency(from, place),
      () => {
        const now = this.#ports.get(to);
        if (now !== undefined && !this.isCut(from, now.place)) hand(now);
      },
      what,
    );
  }

  #unpack(sent: {
    to: MemberId;
    messages: readonly Message[];
    frame: Buffer | null;
  }): readonly Message[] {
    const [first] = sent.messages;
    if (sent.frame === null || first === undefined) return sent.messages;
    const unpacked = unpackPeerFrame(sent.frame, { from: first.from, to: sent.to });
    if (unpacked.type !== 'messages') throw new Error('a frame of messages');
    return unpacked.messages;
  }

  #hash(message: Message): void {
    const { hash } = this.#scheduler;
    hash.text(message.type);
    hash.add(message.term);
    if (message.type === 'AppendEntries') {
      hash.add(message.prevLog.index);
      hash.add(message.entries.length);
      hash.add(message.leaderCommit);
    }
  }

  // ---------------------------------------------------------------- streams

  /** For `Environment.dial` of a client at `place`. */
  dial(place: number, options: DialOptions): Channel {
    const listener = this.#listeners.get(options.address);
    const stream = new SimulatedStream(this, { place, to: listener?.place ?? null, dial: options });
    this.#streams.add(stream);
    stream.onOver = () => this.#streams.delete(stream);
    stream.open();
    return stream.client;
  }
}

/** A stream: in order both ways, held up while a link is cut. */
class SimulatedStream {
  readonly address: string;
  /** Of the side that opened it. */
  readonly place: number;
  readonly #to: number | null;
  readonly client: Channel;
  readonly #network: SimulatedNetwork;
  readonly #dial: DialOptions;
  readonly #toReplica: Lane;
  readonly #toClient: Lane;
  #replica: StreamHandlers | null = null;
  #isOpen = true;
  onOver: () => void = () => {};

  constructor(
    network: SimulatedNetwork,
    ends: { place: number; to: number | null; dial: DialOptions },
  ) {
    this.#network = network;
    this.#dial = ends.dial;
    this.address = ends.dial.address;
    this.place = ends.place;
    this.#to = ends.to;
    const to = ends.to ?? ends.place;
    const onTimeout = (): void => this.reset('timed out');
    this.#toReplica = new Lane(network, { from: ends.place, to, onTimeout });
    this.#toClient = new Lane(network, { from: to, to: ends.place, onTimeout });
    this.client = {
      pendingBytes: 0,
      send: (frame) =>
        this.#carry(this.#toReplica, () => this.#replica?.receive(Buffer.from(frame))),
      end: () => this.#toReplica.plan(() => this.reset('ended by the client')),
      abort: () => this.reset('aborted by the client'),
    };
  }

  joins(a: number, b: number): boolean {
    return (this.place === a && this.#to === b) || (this.place === b && this.#to === a);
  }

  open(): void {
    let pendingBytes = 0;
    const replicaSide: Channel = {
      // What has not arrived.
      get pendingBytes() {
        return pendingBytes;
      },
      send: (frame) => {
        pendingBytes += frame.byteLength;
        this.#carry(this.#toClient, () => {
          pendingBytes -= frame.byteLength;
          this.#dial.onFrame(Buffer.from(frame));
        });
      },
      end: () => this.#toClient.plan(() => this.reset('ended by the replica')),
      abort: () => this.reset('aborted by the replica'),
    };
    this.#toReplica.plan(() => {
      if (!this.#isOpen) return;
      const listener = this.#network.listenerAt(this.address);
      if (listener === null) this.reset('connection refused');
      else this.#replica = listener.accept(replicaSide, this.#dial.path);
    });
  }

  /** Both sides hear of it, the client a moment later. */
  reset(reason: string): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.onOver();
    this.#replica?.closed();
    const error = new BalsaError('UNREACHABLE', `${this.address}: ${reason}`);
    this.#network.scheduler.plan(0, () => this.#dial.onClose(error));
  }

  #carry(lane: Lane, deliver: () => void): void {
    lane.plan(() => {
      if (!this.#isOpen) return;
      const { scheduler, weather } = this.#network;
      if (scheduler.random.next() < weather.streamBreak) this.reset('stream broken');
      else deliver();
    });
  }
}

/** One direction of a stream: what is sent later never arrives earlier. */
class Lane {
  readonly #network: SimulatedNetwork;
  readonly #from: number;
  readonly #to: number;
  readonly #onTimeout: () => void;
  #lastMs = 0;
  #waiting: { deliver: () => void; sentMs: number }[] = [];
  #blocked = false;

  constructor(
    network: SimulatedNetwork,
    options: { from: number; to: number; onTimeout: () => void },
  ) {
    this.#network = network;
    this.#from = options.from;
    this.#to = options.to;
    this.#onTimeout = options.onTimeout;
  }

  plan(deliver: () => void): void {
    const { scheduler } = this.#network;
    const sentMs = scheduler.nowMs;
    const arrivesMs = sentMs + this.#network.latency(this.#from, this.#to);
    this.#lastMs = Math.max(this.#lastMs, arrivesMs);
    const what = { kind: KIND.stream, subject: this.#to & 0xff };
    scheduler.planAt(this.#lastMs, () => this.#arrive({ deliver, sentMs }), what);
  }

  #arrive(frame: { deliver: () => void; sentMs: number }): void {
    this.#waiting.push(frame);
    if (!this.#blocked) this.#drain();
  }

  #drain(): void {
    const { scheduler } = this.#network;
    this.#blocked = this.#network.isCut(this.#from, this.#to);
    const [first] = this.#waiting;
    if (first === undefined) return;
    if (!this.#blocked) {
      const frames = this.#waiting;
      this.#waiting = [];
      for (const frame of frames) frame.deliver();
    } else if (scheduler.nowMs - first.sentMs > STREAM_TIMEOUT_MS) {
      this.#waiting = [];
      this.#onTimeout();
    } else {
      scheduler.plan(RETRANSMIT_MS, () => this.#drain());
    }
  }
}

function linkKey(from: number, to: number): number {
  return from * 4096 + to;
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}
