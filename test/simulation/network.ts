import { BalsaError } from '../../src/base/errors.js';
import type { MemberId, Message } from '../../src/raft/types.js';
import type { Channel, DialOptions } from '../../src/rpc/channel.js';
import { packMessages, unpackPeerFrame } from '../../src/rpc/peer-frames.js';
import type { Scheduler } from './scheduler.js';

/** How bad the network is. Probabilities from 0 to 1. */
export interface NetworkFaults {
  loss: number;
  duplication: number;
  /** Of client streams, per frame. */
  streamBreak: number;
  /** Messages take from 0.2 ms to this long. */
  latencyMs: number;
}

export const GOOD_NETWORK: NetworkFaults = {
  loss: 0,
  duplication: 0,
  streamBreak: 0,
  latencyMs: 2,
};

/** The replica's side of the client streams at one address. */
export interface StreamListener {
  accept(channel: Channel): { receive(frame: Buffer): void; closed(): void };
}

interface SimulatedStream {
  readonly address: string;
  readonly break: (reason: string) => void;
}

/** Carries frames between members, and streams between clients and replicas. */
export class SimulatedNetwork {
  readonly #scheduler: Scheduler;
  faults: NetworkFaults = { ...GOOD_NETWORK };
  readonly #receivers = new Map<MemberId, (message: Message) => void>();
  readonly #listeners = new Map<string, StreamListener>();
  readonly #streams = new Set<SimulatedStream>();
  /** `from>to`: nothing gets through. */
  readonly #cut = new Set<string>();
  delivered = 0;
  lost = 0;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  attach(member: MemberId, receive: (message: Message) => void): void {
    this.#receivers.set(member, receive);
  }

  listen(address: string, listener: StreamListener): void {
    this.#listeners.set(address, listener);
  }

  /** The machine is gone: nobody receives there, and all its client streams break. */
  detach(member: MemberId, address: string): void {
    this.#receivers.delete(member);
    this.#listeners.delete(address);
    for (const stream of [...this.#streams]) {
      if (stream.address === address) stream.break('connection reset');
    }
  }

  cut(from: MemberId, to: MemberId): void {
    this.#cut.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  get isCut(): boolean {
    return this.#cut.size > 0;
  }

  /** Frames may be lost, doubled and overtaken. */
  send(from: MemberId, to: MemberId, messages: readonly Message[]): void {
    const { random } = this.#scheduler;
    const frame = packMessages(messages);
    const copies = random.next() < this.faults.duplication ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      if (random.next() < this.faults.loss || this.#cut.has(`${from}>${to}`)) {
        this.lost += 1;
        continue;
      }
      this.#scheduler.plan(this.#latency(), () => {
        this.delivered += 1;
        const unpacked = unpackPeerFrame(frame, { from, to });
        if (unpacked.type !== 'messages') throw new Error('a frame of messages');
        for (const message of unpacked.messages) this.#receivers.get(to)?.(message);
      });
    }
  }

  /** For `Environment.dial` of the client. Ordered both ways; breaks now and then. */
  dial(options: DialOptions): Channel {
    const { address } = options;
    let open = true;
    const toClient = new Lane(this.#scheduler, () => this.#latency());
    const toReplica = new Lane(this.#scheduler, () => this.#latency());
    let receiver: ReturnType<StreamListener['accept']> | null = null;
    const close = (reason: string): void => {
      if (!open) return;
      open = false;
      this.#streams.delete(stream);
      receiver?.closed();
      this.#scheduler.plan(0, () =>
        options.onClose(new BalsaError('UNREACHABLE', `${address}: ${reason}`)),
      );
    };
    const stream: SimulatedStream = { address, break: close };
    this.#streams.add(stream);
    const broken = (): boolean => this.#scheduler.random.next() < this.faults.streamBreak;
    const replicaSide: Channel = {
      pendingBytes: 0,
      send: (frame) =>
        toClient.plan(() => {
          if (open && broken()) close('stream broken');
          else if (open) options.onFrame(Buffer.from(frame));
        }),
      end: () => toClient.plan(() => close('ended by the replica')),
      abort: () => close('aborted by the replica'),
    };
    toReplica.plan(() => {
      if (!open) return;
      const listener = this.#listeners.get(address);
      if (listener === undefined) close('connection refused');
      else receiver = listener.accept(replicaSide);
    });
    return {
      pendingBytes: 0,
      send: (frame) =>
        toReplica.plan(() => {
          if (open && broken()) close('stream broken');
          else if (open) receiver?.receive(Buffer.from(frame));
        }),
      end: () => toReplica.plan(() => close('ended by the client')),
      abort: () => close('aborted by the client'),
    };
  }

  #latency(): number {
    return 0.2 + this.#scheduler.random.next() * this.faults.latencyMs;
  }
}

/** One direction of a stream: what is sent later never arrives earlier. */
class Lane {
  readonly #scheduler: Scheduler;
  readonly #latency: () => number;
  #lastMs = 0;

  constructor(scheduler: Scheduler, latency: () => number) {
    this.#scheduler = scheduler;
    this.#latency = latency;
  }

  plan(deliver: () => void): void {
    const { nowMs } = this.#scheduler;
    this.#lastMs = Math.max(this.#lastMs, nowMs + this.#latency());
    this.#scheduler.planAt(this.#lastMs, deliver);
  }
}
