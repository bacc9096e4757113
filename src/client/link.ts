import { unreachable } from '../base/assert.js';
import type { Clock, Timer } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import type { Channel } from '../rpc/channel.js';
import { packClientFrame } from '../rpc/client-frames.js';
import {
  CLIENT_STREAM_PATH,
  type ClientAnswer,
  type ClientHello,
  type ClientRequest,
  type MemberAddress,
  PROTOCOL_VERSION_PROBES,
  type ReplicaFrame,
  type ReplicaHello,
} from '../rpc/protocol.js';
import { unpackReplicaFrame } from '../rpc/replica-frames.js';
import { PROBE_MS, StreamProbe } from '../rpc/stream-probe.js';
import { fromWireError } from '../rpc/wire-error.js';
import type { Dial } from './environment.js';

/**
 * Requests are cut into frames of this size at most, or of half of what the replica takes; one request that exceeds it
 * goes alone.
 */
const FRAME_BYTES = 4 * 1024 * 1024;

/** What a link tells. Of a link that was closed by its owner nothing is heard any more. */
export interface LinkHandlers {
  /** Comes first, once. */
  readonly onHello: (link: Link, hello: ReplicaHello) => void;
  readonly onAnswers: (link: Link, answers: readonly ClientAnswer[]) => void;
  readonly onLeader: (link: Link, leader: string | null) => void;
  readonly onMembers: (link: Link, members: readonly MemberAddress[]) => void;
  /** Is there anything that the replica is to tell? */
  readonly isListening: () => boolean;
  /** The link is over: refused, lost or broken by what came over it. Comes last, once. */
  readonly onClosed: (link: Link, reason: BalsaError) => void;
}

export interface LinkOptions {
  readonly address: string;
  readonly hello: ClientHello;
  readonly dial: Dial;
  readonly clock: Clock;
  /** A replica that has not said hello by then is given up, in milliseconds from dialling. */
  readonly helloTimeoutMs: number;
  readonly handlers: LinkHandlers;
}

/** One stream to one replica, from dialling to its end; what comes over it is frames that were checked. */
export class Link {
  readonly address: string;
  readonly dialledMs: number;
  /** When something was heard last. */
  heardMs: number;
  readonly #options: LinkOptions;
  readonly #channel: Channel;
  #helloTimer: Timer | null;
  #hello: ReplicaHello | null = null;
  #greetedMs: number;
  #probe: StreamProbe | null = null;
  /** When anything came last, also a part of a frame. */
  #aliveMs: number;
  /** A probe was sent, and nothing has come since. */
  #isProbed = false;
  #closed = false;

  constructor(options: LinkOptions) {
    const { address, clock, dial, hello, helloTimeoutMs } = options;
    this.#options = options;
    this.address = address;
    this.dialledMs = clock.monotonicMs();
    this.heardMs = this.dialledMs;
    this.#greetedMs = this.dialledMs;
    this.#aliveMs = this.dialledMs;
    this.#channel = dial({
      address,
      path: CLIENT_STREAM_PATH,
      onFrame: (frame) => this.#received(frame),
      onPart: () => this.#lives(),
      onClose: (reason) => this.#end(reason),
    });
    this.#helloTimer = clock.setTimer(helloTimeoutMs, () => {
      this.#end(
        new BalsaError('UNREACHABLE', `${address} did not answer within ${helloTimeoutMs} ms`),
      );
    });
    this.#channel.send(packClientFrame({ type: 'hello', hello }));
  }

  /** What the replica said of itself; `null` before. */
  get hello(): ReplicaHello | null {
    return this.#hello;
  }

  /** When it said so, on the monotonic clock; before, when it was dialled. */
  get greetedMs(): number {
    return this.#greetedMs;
  }

  /** Name of the replica; `?` before it has said hello. */
  get replica(): string {
    return this.#hello?.replica ?? '?';
  }

  send(requests: readonly ClientRequest[]): void {
    const bytesMax = Math.min(FRAME_BYTES, (this.#hello?.frameBytesMax ?? FRAME_BYTES) / 2);
    let part: ClientRequest[] = [];
    let bytes = 0;
    for (const request of requests) {
      const size = sizeOf(request);
      if (part.length > 0 && bytes + size > bytesMax) {
        this.#sendFrame(part);
        part = [];
        bytes = 0;
      }
      part.push(request);
      bytes += size;
    }
    this.#sendFrame(part);
  }

  #sendFrame(requests: readonly ClientRequest[]): void {
    this.#channel.send(packClientFrame({ type: 'requests', requests }));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopHelloTimer();
    this.#probe?.stop();
    this.#channel.abort();
  }

  #lives(): void {
    this.#aliveMs = this.#options.clock.monotonicMs();
    this.#isProbed = false;
    this.#probe?.answered();
  }

  #received(frame: Buffer): void {
    if (this.#closed) return;
    this.heardMs = this.#options.clock.monotonicMs();
    this.#lives();
    try {
      this.#take(unpackReplicaFrame(frame));
    } catch (error) {
      // A replica that talks nonsense is left; anything else is a bug of ours and not to be hidden.
      if (!(error instanceof BalsaError) || error.code !== 'FRAME_INVALID') throw error;
      this.#end(
        new BalsaError('FRAME_INVALID', `${this.address}: ${error.message}`, { cause: error }),
      );
    }
  }

  #take(frame: ReplicaFrame): void {
    const { handlers } = this.#options;
    if (frame.type === 'hello') {
      this.#greeted(frame.hello);
    } else if (frame.type === 'end') {
      this.#end(fromWireError(frame.error));
    } else if (this.#hello === null) {
      throw new BalsaError('FRAME_INVALID', 'a frame before the hello');
    } else if (frame.type === 'answers') {
      handlers.onAnswers(this, frame.answers);
    } else if (frame.type === 'leader') {
      handlers.onLeader(this, frame.leader);
    } else if (frame.type === 'members') {
      handlers.onMembers(this, frame.members);
    } else if (frame.type !== 'probe-answer') {
      unreachable(frame);
    }
  }

  #greeted(hello: ReplicaHello): void {
    if (this.#hello !== null) throw new BalsaError('FRAME_INVALID', 'a second hello');
    this.#stopHelloTimer();
    this.#hello = hello;
    this.#greetedMs = this.heardMs;
    if (hello.protocolVersion >= PROTOCOL_VERSION_PROBES) this.#probe = this.#startProbe();
    this.#options.handlers.onHello(this, hello);
  }

  /**
   * Not of one that has just been heard, or from whom nothing is expected: ten thousand idle clients would be a load. What was begun
   * is brought to its end: reads leave a silent member sooner than that, and come again.
   */
  #startProbe(): StreamProbe {
    const { clock, handlers } = this.#options;
    return new StreamProbe({
      clock,
      isNeeded: () =>
        (this.#isProbed || handlers.isListening()) &&
        clock.monotonicMs() - this.#aliveMs >= PROBE_MS &&
        this.#channel.pendingBytes === 0,
      send: () => {
        this.#isProbed = true;
        this.#channel.send(packClientFrame({ type: 'probe' }), true);
      },
      onSilent: () => {
        const message = `${this.address} hears nothing of what is sent to it, or says nothing any more`;
        this.#end(new BalsaError('UNREACHABLE', message));
      },
    });
  }

  #end(reason: BalsaError): void {
    if (this.#closed) return;
    this.close();
    this.#options.handlers.onClosed(this, reason);
  }

  #stopHelloTimer(): void {
    this.#helloTimer?.cancel();
    this.#helloTimer = null;
  }
}

/** Roughly; of what may be large, exactly. */
function sizeOf(request: ClientRequest): number {
  switch (request.type) {
    case 'write':
      return 64 + request.operations.byteLength;
    case 'get':
      return request.keys.reduce((bytes, key) => bytes + key.byteLength + 5, 64);
    case 'range':
    case 'watch':
      return 256 + request.from.byteLength + (request.to?.byteLength ?? 0);
    case 'call':
      return 256 + Buffer.byteLength(request.args) + request.key.byteLength;
    case 'submit':
      return 64 + request.record.byteLength;
    case 'jobs':
      return 64 + Buffer.byteLength(request.query);
    case 'work':
      return 1024 + 9 * request.fences.length;
    case 'admin':
      return 64 + request.command.length;
    default:
      return 256;
  }
}
