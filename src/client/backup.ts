import { assert } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { SnapshotPart } from '../base/snapshot-codec.js';
import type { Channel } from '../rpc/channel.js';
import { CLIENT_SNAPSHOT_PATH } from '../rpc/protocol.js';
import {
  packSnapshotFrame,
  type SnapshotFrame,
  unpackSnapshotFrame,
} from '../rpc/snapshot-frames.js';
import { OWN_VERSIONS } from '../rpc/version.js';
import { fromWireError } from '../rpc/wire-error.js';
import { whenAborted } from './abort.js';
import type { Environment } from './environment.js';
import { cancelled, clientClosed } from './pending.js';

export interface BackupOptions {
  /** `host:port` of the replica to ask. */
  readonly address: string;
  readonly clientName: string;
  readonly clusterId: string | null;
  readonly signal: AbortSignal | undefined;
  /** Calls back when the client is closed; returns what ends that. */
  readonly whenClosed: (callback: () => void) => () => void;
}

/**
 * A snapshot of one replica, part by part: the header, the chunks, the end. A chunk is acknowledged, and so
 * makes room for more, when the caller asks for what comes behind it.
 *
 * @throws BalsaError `UNREACHABLE`, `OVERLOADED`, `CANCELLED`, `CLIENT_CLOSED`, `SNAPSHOT_CORRUPT`
 */
export async function* readBackup(
  environment: Environment,
  options: BackupOptions,
): AsyncGenerator<SnapshotPart, void, undefined> {
  const stream = new BackupStream(environment, options);
  try {
    for (;;) {
      const frame = await stream.next();
      switch (frame.type) {
        case 'header':
          yield { type: 'header', header: frame.offer.header };
          stream.send({ type: 'answer', afterChunk: 0 });
          break;
        case 'chunk':
          yield { type: 'chunk', chunk: frame.chunk };
          stream.acknowledge(frame.chunk.number);
          break;
        case 'end':
          yield { type: 'end', end: frame.end };
          stream.send({ type: 'done' });
          return;
        case 'refusal':
          throw fromWireError(frame.error);
        default:
          throw new BalsaError('FRAME_INVALID', `${options.address} sent a frame ${frame.type}`);
      }
    }
  } finally {
    stream.close();
  }
}

/** While parts of a large frame come the replica is told so this often, in milliseconds. */
const SIGN_MS = 1000;

/** Frames as they come, one at a time for whoever asks. */
class BackupStream {
  readonly #channel: Channel;
  readonly #forgets: (() => void)[] = [];
  readonly #frames: SnapshotFrame[] = [];
  readonly #clock: Clock;
  #taken = 0;
  #toldMs = Number.NEGATIVE_INFINITY;
  #over: BalsaError | null = null;
  /** Whoever reads it wants no more of what has come. */
  #isStopped = false;
  #wake: () => void = () => {};

  constructor(environment: Environment, options: BackupOptions) {
    const { address, signal, clientName, clusterId } = options;
    this.#clock = environment.clock;
    this.#channel = environment.dial({
      address,
      path: CLIENT_SNAPSHOT_PATH,
      onFrame: (bytes) => this.#received(bytes),
      onPart: () => this.#partReceived(),
      onClose: (reason) => this.#end(reason),
    });
    if (signal !== undefined) {
      const abort = (): void => this.#stop(cancelled(signal.reason));
      if (signal.aborted) abort();
      else this.#forgets.push(whenAborted(signal, abort));
    }
    this.#forgets.push(options.whenClosed(() => this.#stop(clientClosed())));
    this.send({ type: 'request', request: { ...OWN_VERSIONS, clientName, clusterId } });
  }

  send(frame: SnapshotFrame): void {
    this.#channel.send(packSnapshotFrame(frame));
  }

  acknowledge(chunk: number): void {
    this.#taken = chunk;
    this.send({ type: 'ack', chunk });
  }

  async next(): Promise<SnapshotFrame> {
    while (this.#frames.length === 0) {
      if (this.#over !== null) throw this.#over;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const frame = this.#frames.shift();
    assert(frame !== undefined, 'there is a frame');
    return frame;
  }

  close(): void {
    for (const forget of this.#forgets) forget();
    if (this.#over === null) this.#channel.end();
    else this.#channel.abort();
  }

  #received(bytes: Buffer): void {
    if (this.#isStopped) return;
    try {
      this.#frames.push(unpackSnapshotFrame(bytes));
    } catch (error) {
      this.#end(asBalsaError(error));
    }
    this.#wake();
  }

  /** A large value may be on its way for longer than the replica waits for a sign of life. */
  #partReceived(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#toldMs < SIGN_MS) return;
    this.#toldMs = nowMs;
    this.send({ type: 'ack', chunk: this.#taken });
  }

  #stop(reason: BalsaError): void {
    this.#isStopped = true;
    this.#frames.length = 0;
    this.#end(reason);
  }

  #end(reason: BalsaError): void {
    this.#over ??= reason;
    this.#wake();
  }
}
