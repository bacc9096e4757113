import { constants } from 'node:http2';
import { Duplex } from 'node:stream';
import {
  Client,
  type ClientDuplexStream,
  credentials,
  type ServerDuplexStream,
  status,
} from '@grpc/grpc-js';
import { assert } from '../base/assert.js';
import { BalsaError } from '../base/errors.js';
import { FRAME_BYTES_MAX } from '../base/limits.js';
import { DIAL_FLOW_WINDOW } from './flow-window.js';
import {
  BULK_PART_BYTES,
  FRAME_PART_BYTES,
  FrameAssembler,
  type PartialFrames,
} from './frame-parts.js';
import { FrameQueue } from './frame-queue.js';

/** One side of a stream of frames. What it carries is settled by the frames themselves. */
export interface Channel {
  /**
   * Best effort, in order; a large frame goes in parts (`frame-parts`). An urgent one (a small one) overtakes
   * large ones that wait. Does nothing once the channel is closed.
   */
  send(frame: Buffer, isUrgent?: boolean): void;
  /** Bytes handed to {@link send} that the network has not taken yet. */
  readonly pendingBytes: number;
  /**
   * Sends what waits, then ends; aborts when the other side does not take it within a few seconds.
   * `onClose` is called when it is over.
   */
  end(): void;
  /** Ends at once; what waits is dropped. */
  abort(): void;
}

export interface ChannelHandlers {
  readonly onFrame: (frame: Buffer) => void;
  /** A part of a large frame has come, of which more is on its way: a sign of life. */
  readonly onPart?: (() => void) | undefined;
  /** Called once. The reason is for logs and messages: a closed channel is an ordinary thing. */
  readonly onClose: (reason: BalsaError) => void;
}

export interface DialOptions extends ChannelHandlers {
  /** `host:port` */
  readonly address: string;
  /** Path of the gRPC method. */
  readonly path: string;
  /** Carries large frames, and no signs of life: on a slow link an answer to a ping may take its time. Default `false`. */
  readonly isBulk?: boolean;
}

/**
 * Most bytes of one message: a larger frame goes in parts. What says that it is longer was damaged on its way, or is not from here;
 * who believed it would take all that follows for a part of it.
 */
export const MESSAGE_BYTES_MAX = FRAME_PART_BYTES + 64 * 1024;

/** A peer that is silent for this long is asked for a sign of life. */
const KEEPALIVE_MS = 3000;
const KEEPALIVE_TIMEOUT_MS = 3000;
/** There are as many of them as of the others, and nothing is on its way on most of them. */
const BULK_KEEPALIVE_MS = 10_000;
export const BULK_KEEPALIVE_TIMEOUT_MS = 30_000;

/** How long a channel may take to end. */
const END_MS = 5000;

/** Calls back when the time is up, unless the process has nothing else to do. */
function afterEndTime(callback: () => void): NodeJS.Timeout {
  return setTimeout(callback, END_MS).unref();
}

const asIs = (bytes: Buffer): Buffer => bytes;

/** Opens a stream over gRPC. Never throws; what goes wrong comes as `onClose`. */
export function dial(options: DialOptions): Channel {
  const { isBulk = false } = options;
  const client = new Client(options.address, credentials.createInsecure(), {
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
    'grpc.max_send_message_length': -1,
    'grpc.keepalive_time_ms': isBulk ? BULK_KEEPALIVE_MS : KEEPALIVE_MS,
    'grpc.keepalive_timeout_ms': isBulk ? BULK_KEEPALIVE_TIMEOUT_MS : KEEPALIVE_TIMEOUT_MS,
    'grpc.keepalive_permit_without_calls': 0,
    'grpc.initial_reconnect_backoff_ms': 50,
    'grpc.max_reconnect_backoff_ms': 500,
    // Each channel has its own connection, so that closing one never touches another.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
    // A database is not reached through the proxy that the environment names for the web.
    'grpc.enable_http_proxy': 0,
    ...DIAL_FLOW_WINDOW,
  });
  const call = client.makeBidiStreamRequest(options.path, asIs, asIs);
  return new GrpcChannel(call, options, () => client.close());
}

class GrpcChannel implements Channel {
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  readonly #queue: FrameQueue;
  #open = true;
  #ending: NodeJS.Timeout | null = null;

  constructor(call: ClientDuplexStream<Buffer, Buffer>, options: DialOptions, release: () => void) {
    this.#call = call;
    this.#queue = new FrameQueue(
      (message, taken) => call.write(message, taken),
      options.isBulk === true ? BULK_PART_BYTES : FRAME_PART_BYTES,
    );
    const close = (code: status, details: string): void => {
      if (!this.#open) return;
      this.#open = false;
      if (this.#ending !== null) clearTimeout(this.#ending);
      this.#queue.clear();
      release();
      options.onClose(closeReason(options.address, code, details));
    };
    const assembler = new FrameAssembler(FRAME_BYTES_MAX);
    call.on('data', (message: Buffer) => {
      const frame = assembler.take(message);
      if (frame !== null) options.onFrame(frame);
      else options.onPart?.();
    });
    // Both come for one failure; without a listener of its own 'error' would end the process.
    call.on('error', (error) =>
      close((error as { code?: status }).code ?? status.UNKNOWN, error.message),
    );
    call.on('status', (s) => close(s.code, s.details));
  }

  get pendingBytes(): number {
    return this.#queue.pendingBytes;
  }

  send(frame: Buffer, isUrgent = false): void {
    if (this.#open && this.#ending === null) this.#queue.send(frame, isUrgent);
  }

  end(): void {
    if (!this.#open || this.#ending !== null) return;
    this.#ending = afterEndTime(() => this.abort());
    this.#queue.whenEmpty(() => this.#call.end());
  }

  abort(): void {
    if (this.#open) this.#call.cancel();
  }
}

function closeReason(address: string, code: status, details: string): BalsaError {
  if (code === status.OK) return new BalsaError('UNREACHABLE', `${address} ended the stream`);
  if (code === status.UNIMPLEMENTED) {
    return new BalsaError(
      'PROTOCOL_VERSION',
      `${address} is a gRPC server, but not a Balsa replica`,
    );
  }
  return new BalsaError('UNREACHABLE', `${address}: ${plainReason(details) || status[code]}`, {
    details: { address },
  });
}

/** What the system said, without what gRPC wraps around it. */
function plainReason(details: string): string {
  return /\bconnect E[A-Z]+\b/.exec(details)?.[0] ?? details.replace(/^\d+ [A-Z_]+: /, '');
}

export interface AcceptHandlers {
  /** Of the one who dialled. */
  readonly frameBytesMax: number;
  /** What the parts of large frames count for. */
  readonly partial: PartialFrames;
  readonly onFrame: (frame: Buffer) => void;
  /** As {@link ChannelHandlers.onPart}. */
  readonly onPart?: () => void;
  /** There is no room for a part of a large frame. Called once; nothing that comes is taken any more. */
  readonly onRefused: () => void;
  /** Called once. */
  readonly onClose: () => void;
}

/** The replica's end of a stream that somebody else dialled. */
export function acceptedChannel(
  call: ServerDuplexStream<Buffer, Buffer>,
  handlers: AcceptHandlers,
): Channel {
  return new AcceptedChannel(call, handlers);
}

class AcceptedChannel implements Channel {
  readonly #call: ServerDuplexStream<Buffer, Buffer>;
  readonly #onClose: () => void;
  readonly #queue: FrameQueue;
  #open = true;
  #ending: NodeJS.Timeout | null = null;

  constructor(call: ServerDuplexStream<Buffer, Buffer>, handlers: AcceptHandlers) {
    this.#call = call;
    this.#onClose = handlers.onClose;
    this.#queue = new FrameQueue((message, taken) => call.write(message, taken));
    this.#listen(call, handlers);
  }

  get pendingBytes(): number {
    return this.#queue.pendingBytes;
  }

  send(frame: Buffer, isUrgent = false): void {
    if (this.#open && this.#ending === null) this.#queue.send(frame, isUrgent);
  }

  end(): void {
    if (this.#open) this.#end();
  }

  abort(): void {
    if (this.#open) reset(this.#call);
  }

  #listen(call: ServerDuplexStream<Buffer, Buffer>, handlers: AcceptHandlers): void {
    const assembler = new FrameAssembler(handlers.frameBytesMax, handlers.partial);
    call.on('data', (message: Buffer) => {
      if (assembler.isRefused) return;
      const frame = assembler.take(message);
      if (frame !== null) handlers.onFrame(frame);
      else if (assembler.isRefused) handlers.onRefused();
      else handlers.onPart?.();
    });
    const close = (): void => {
      assembler.release();
      this.#close();
    };
    call.on('end', () => {
      close();
      this.#end();
    });
    for (const event of ['error', 'cancelled', 'close', 'finish']) call.on(event, close);
    for (const event of ['cancelled', 'close']) {
      call.on(event, () => {
        this.#queue.clear();
        if (this.#ending !== null) clearTimeout(this.#ending);
      });
    }
  }

  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#onClose();
  }

  // gRPC says 'finish' when it has got the last frame, but the network may not have taken it yet.
  #end(): void {
    this.#ending ??= afterEndTime(() => reset(this.#call));
    this.#queue.whenEmpty(() => this.#call.end());
  }
}

/**
 * Cuts a stream off. gRPC for Node has no way to do that for a server: `destroy` only lets go of the
 * handle, and the stream below stays open, with all that waits in it.
 */
function reset(call: ServerDuplexStream<Buffer, Buffer>): void {
  const below: unknown = Reflect.get(Object(Reflect.get(call, 'call')), 'stream');
  assert(below instanceof Duplex && 'close' in below, 'a gRPC stream stands on one of HTTP/2');
  const close: unknown = below.close;
  assert(typeof close === 'function', 'a stream of HTTP/2 can be closed');
  Reflect.apply(close, below, [constants.NGHTTP2_CANCEL]);
}
