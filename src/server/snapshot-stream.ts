import { unreachable } from '../base/assert.js';
import type { Clock, Timer } from '../base/clock.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { Failpoints } from '../base/failpoints.js';
import type { Limits } from '../base/limits.js';
import type { SnapshotChunk } from '../base/snapshot-codec.js';
import type { Channel } from '../rpc/channel.js';
import {
  packSnapshotFrame,
  type SnapshotFrame,
  type SnapshotOfferFrame,
  unpackSnapshotFrame,
} from '../rpc/snapshot-frames.js';
import { fromWireError, toWireError } from '../rpc/wire-error.js';
import type { ByteRate } from './byte-rate.js';
import { isChunk, type OutboundSnapshot } from './outbound-snapshot.js';

/** How a stream came to its end. */
export type StreamResult =
  /** The receiver has all of it, checked and durable. */
  | { readonly type: 'done' }
  /** The connection broke: it may go on over another one. */
  | { readonly type: 'broken'; readonly reason: string }
  /** The receiver does not want it. */
  | { readonly type: 'refused'; readonly error: BalsaError }
  /** It cannot be read here. */
  | { readonly type: 'failed'; readonly error: BalsaError };

export interface SnapshotStreamOptions {
  readonly snapshot: OutboundSnapshot;
  readonly offer: SnapshotOfferFrame;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly failpoints: Failpoints;
  readonly rate: ByteRate;
  /** The receiver has taken in some more. */
  readonly onProgress: () => void;
  /** Called once. */
  readonly onResult: (result: StreamResult) => void;
}

/** Sends one snapshot over one channel: see {@link SnapshotFrame} for what is said on it. */
export class SnapshotStream {
  readonly #options: SnapshotStreamOptions;
  #channel: Channel | null = null;
  /** The receiver has said where to begin. */
  #answered = false;
  #endSent = false;
  #over = false;
  #pumping = false;
  /** Chunks that are sent and not acknowledged, oldest first. */
  #underWay: { readonly number: number; readonly bytes: number }[] = [];
  #underWayBytes = 0;
  #idle: Timer | null = null;
  #pause: Timer | null = null;

  constructor(options: SnapshotStreamOptions) {
    this.#options = options;
  }

  /** The receiver has agreed to take it in. */
  get isWelcome(): boolean {
    return this.#answered;
  }

  start(channel: Channel): void {
    this.#channel = channel;
    this.#send({ type: 'header', offer: this.#options.offer });
    this.#waitForReceiver();
  }

  receive(frame: Buffer): void {
    if (this.#over) return;
    try {
      this.#handle(unpackSnapshotFrame(frame));
    } catch (error) {
      // A frame that was damaged on its way: the next connection may be better.
      this.#finish({ type: 'broken', reason: asBalsaError(error).message });
    }
  }

  closed(reason: string): void {
    this.#finish({ type: 'broken', reason });
  }

  /** Ends it without a result; the receiver is told why. */
  cancel(error: BalsaError): void {
    if (this.#over) return;
    this.#send({ type: 'refusal', error: toWireError(error) });
    this.#stop();
    this.#channel?.end();
  }

  #handle(frame: SnapshotFrame): void {
    switch (frame.type) {
      case 'answer':
        this.#begin(frame.afterChunk);
        break;
      case 'ack':
        this.#acknowledged(frame.chunk);
        break;
      case 'done':
        this.#finish({ type: 'done' });
        break;
      case 'refusal':
        this.#finish({ type: 'refused', error: fromWireError(frame.error) });
        break;
      case 'request':
      case 'header':
      case 'chunk':
      case 'end':
        throw new BalsaError('FRAME_INVALID', `the receiver of a snapshot sent ${frame.type}`);
      default:
        unreachable(frame);
    }
  }

  #begin(afterChunk: number): void {
    if (this.#answered) throw new BalsaError('FRAME_INVALID', 'two answers to one header');
    if (!this.#options.snapshot.rewindTo(afterChunk)) {
      const message = `chunk ${afterChunk + 1} cannot be made again`;
      this.#fail(new BalsaError('SNAPSHOT_CORRUPT', message));
      return;
    }
    this.#answered = true;
    this.#pump();
  }

  #acknowledged(chunk: number): void {
    this.#options.snapshot.acknowledged(chunk);
    while (this.#underWay[0] !== undefined && this.#underWay[0].number <= chunk) {
      this.#underWayBytes -= this.#underWay.shift()?.bytes ?? 0;
      this.#options.onProgress();
    }
    // Also one that acknowledges nothing new is a sign of life.
    this.#waitForReceiver();
    if (this.#answered) this.#pump();
  }

  #pump(): void {
    if (this.#pumping || this.#endSent || this.#over) return;
    this.#pumping = true;
    this.#sendWindow().then(
      () => {
        this.#pumping = false;
        // Acknowledgements may have come between the last look and here.
        if (this.#hasRoom) this.#pump();
      },
      (error: unknown) => this.#fail(asBalsaError(error)),
    );
  }

  #fail(error: BalsaError): void {
    if (this.#over) return;
    this.#send({ type: 'refusal', error: toWireError(error) });
    this.#finish({ type: 'failed', error });
  }

  get #hasRoom(): boolean {
    const { snapshotWindowBytes, snapshotChunkBytes } = this.#options.limits;
    if (this.#over || this.#endSent) return false;
    const room = snapshotWindowBytes - this.#underWayBytes;
    return room >= snapshotChunkBytes || this.#underWayBytes === 0;
  }

  async #sendWindow(): Promise<void> {
    const { snapshot } = this.#options;
    while (this.#hasRoom) {
      const part = await snapshot.next();
      if (this.#over || part === null) return;
      if (!isChunk(part)) {
        this.#endSent = true;
        this.#send({ type: 'end', end: part });
        this.#waitForReceiver();
        return;
      }
      await this.#sendChunk(part);
    }
  }

  async #sendChunk(chunk: SnapshotChunk): Promise<void> {
    const bytes = chunk.pairs.byteLength;
    const delayMs = this.#options.rate.reserve(bytes);
    if (delayMs > 0) await this.#sleep(delayMs);
    if (this.#over) return;
    this.#options.failpoints.hit('snapshot.before-send');
    if (this.#underWay.length === 0) this.#waitForReceiver();
    this.#underWay.push({ number: chunk.number, bytes });
    this.#underWayBytes += bytes;
    this.#send({ type: 'chunk', chunk });
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#pause = this.#options.clock.setTimer(delayMs, resolve);
    });
  }

  #send(frame: SnapshotFrame): void {
    this.#channel?.send(packSnapshotFrame(frame));
  }

  /** Nothing from the receiver for so long, while it owes an answer: it is gone. */
  #waitForReceiver(): void {
    const { clock, limits } = this.#options;
    this.#idle?.cancel();
    if (this.#over) return;
    this.#idle = clock.setTimer(limits.snapshotIdleMsMax, () => {
      // Then it is this side that is slow (the rate is bounded).
      const owesAnswer = !this.#answered || this.#endSent || this.#underWay.length > 0;
      if (!owesAnswer) this.#waitForReceiver();
      else this.#finish({ type: 'broken', reason: `silent for ${limits.snapshotIdleMsMax} ms` });
    });
  }

  #finish(result: StreamResult): void {
    if (this.#over) return;
    this.#stop();
    if (result.type === 'broken') this.#channel?.abort();
    else this.#channel?.end();
    this.#options.onResult(result);
  }

  #stop(): void {
    this.#over = true;
    this.#idle?.cancel();
    this.#pause?.cancel();
  }
}
