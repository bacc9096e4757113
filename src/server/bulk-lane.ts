import type { Clock, Timer } from '../base/clock.js';
import { asBalsaError, type BalsaError } from '../base/errors.js';
import type { Channel, dial } from '../rpc/channel.js';
import { unpackPeerFrame } from '../rpc/peer-frames.js';
import { PEER_BULK_PATH, type PeerHello } from '../rpc/peer-protocol.js';
import { isOurs } from './inbound-peer.js';

export interface BulkLaneOptions {
  readonly clock: Clock;
  readonly address: string;
  /** Names, for messages. */
  readonly ends: { readonly from: string; readonly to: string };
  readonly hello: () => Buffer;
  /** Throws when the other side is not the one that is meant. */
  readonly check: (hello: PeerHello) => void;
  /** What was sent may not have arrived. */
  readonly onMessagesLost: () => void;
  readonly onFailure: (error: BalsaError) => void;
  readonly dial: typeof dial;
}

/** It is dialled again so long after it was lost, in milliseconds. */
const RETRY_MS = 1000;
/** From nothing to the first frame of an answer. On a slow link it may have to wait for what else is on its way. */
const HELLO_TIMEOUT_MS = 10_000;
/** One that has not come about for so long is not waited for. */
const AWAITED_MS = 30_000;
/** Between two looks at whether the network takes what is sent, in milliseconds. */
const LOOK_MS = 3000;
/**
 * So many looks may find that it has taken nothing more. A slow link takes up to a whole flow window at a time: who was given up for
 * that once gets as long the next time as an answer to a ping may take behind such a window.
 */
const STILL_LOOKS = { first: 5, next: 10 };
/** So long behind the last large frame, what comes is sent in its order. */
const BULK_MS = 5000;

/**
 * A second connection to a member, for large frames and what comes behind them. On a link that takes seconds for a large value,
 * signs of life that wait behind it in the buffers of one connection would come too late: the leader would be lost over it, again
 * and again. What is sent here overtakes nothing that is sent here; a member of an older version has no such connection.
 */
export class BulkLane {
  readonly #options: BulkLaneOptions;
  #channel: Channel | null = null;
  #isReady = false;
  #hasSent = false;
  #isStopped = false;
  #untilMs = Number.NEGATIVE_INFINITY;
  #awaitedUntilMs: number;
  /** Of the hello that is due, or of the next attempt. */
  #timer: Timer | null = null;
  #look: Timer | null = null;
  #sentBytes = 0;
  #takenBytes = 0;
  #stillLooks = 0;
  #stillLooksMax = STILL_LOOKS.first;

  constructor(options: BulkLaneOptions) {
    this.#options = options;
    this.#awaitedUntilMs = options.clock.monotonicMs() + AWAITED_MS;
    this.#dial();
  }

  get pendingBytes(): number {
    return this.#channel?.pendingBytes ?? 0;
  }

  /** A frame goes this way if it is large, or others that are went lately. */
  takes(isLarge: boolean): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    if (isLarge) this.#untilMs = nowMs + BULK_MS;
    return this.#isReady && (nowMs < this.#untilMs || this.pendingBytes > 0);
  }

  /**
   * It is not open, and will be soon. What is large is not to be sent at all meanwhile: on the other connection, signs of life would
   * wait behind it.
   */
  get isAwaited(): boolean {
    return !this.#isReady && this.#options.clock.monotonicMs() < this.#awaitedUntilMs;
  }

  send(frame: Buffer): void {
    this.#hasSent = true;
    this.#sentBytes += frame.byteLength;
    this.#channel?.send(frame);
    this.#look ??= this.#planLook();
  }

  stop(): void {
    this.#isStopped = true;
    this.#isReady = false;
    this.#timer?.cancel();
    this.#look?.cancel();
    this.#channel?.end();
  }

  #planLook(): Timer {
    return this.#options.clock.setTimer(LOOK_MS, () => this.#lookOnce());
  }

  /**
   * A connection can be dead and not closed, beside one that is not: all that waits in it would wait for the end of the keepalive.
   * The looks are counted, and not the time: it may be this side that did nothing for long.
   */
  #lookOnce(): void {
    const takenBytes = this.#sentBytes - this.pendingBytes;
    const isStill = this.pendingBytes > 0 && takenBytes <= this.#takenBytes;
    this.#takenBytes = Math.max(this.#takenBytes, takenBytes);
    this.#stillLooks = isStill ? this.#stillLooks + 1 : 0;
    this.#look = this.pendingBytes > 0 ? this.#planLook() : null;
    if (this.#stillLooks < this.#stillLooksMax) return;
    this.#stillLooksMax = STILL_LOOKS.next;
    this.#channel?.abort();
  }

  #dial(): void {
    const { address, hello, clock } = this.#options;
    this.#sentBytes = 0;
    this.#takenBytes = 0;
    this.#stillLooks = 0;
    const channel = this.#options.dial({
      ...{ address, path: PEER_BULK_PATH, isBulk: true },
      onFrame: (frame) => this.#answered(channel, frame),
      onClose: (reason) => this.#closed(channel, reason),
    });
    this.#channel = channel;
    channel.send(hello());
    this.#timer = clock.setTimer(HELLO_TIMEOUT_MS, () => channel.abort());
  }

  #answered(channel: Channel, bytes: Buffer): void {
    const { ends, check } = this.#options;
    try {
      const frame = unpackPeerFrame(bytes, ends);
      if (frame.type !== 'hello' || frame.hello.refusal !== null) {
        channel.abort();
        return;
      }
      check(frame.hello);
      this.#timer?.cancel();
      this.#isReady = !this.#isStopped;
    } catch (cause) {
      const error = asBalsaError(cause);
      // Whoever is there, the other connection says what is wrong with it; this one is not used.
      if (isOurs(error)) this.#options.onFailure(error);
      else channel.abort();
    }
  }

  #closed(channel: Channel, reason: BalsaError): void {
    if (channel !== this.#channel) return;
    const { clock, onMessagesLost } = this.#options;
    this.#timer?.cancel();
    this.#look?.cancel();
    this.#look = null;
    this.#channel = null;
    if (this.#isReady) this.#awaitedUntilMs = clock.monotonicMs() + AWAITED_MS;
    this.#isReady = false;
    if (this.#isStopped) return;
    if (this.#hasSent) onMessagesLost();
    this.#hasSent = false;
    // A member of an older version has no such connection.
    if (reason.code === 'PROTOCOL_VERSION') this.#awaitedUntilMs = Number.NEGATIVE_INFINITY;
    else this.#timer = clock.setTimer(RETRY_MS, () => this.#dial());
  }
}
