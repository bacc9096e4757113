import { BalsaError } from '../../src/base/errors.js';
import type { Channel, ChannelHandlers } from '../../src/rpc/channel.js';
import { type SnapshotFrame, unpackSnapshotFrame } from '../../src/rpc/snapshot-frames.js';
import type { ChannelReceiver } from '../../src/server/replica-options.js';
import type { Scheduler } from './test-scheduler.js';

export type Side = 'dialler' | 'acceptor';

/** What becomes of a frame. A changed frame is passed on in its place. */
export type Fate = 'pass' | 'lose' | 'break' | Buffer;

export interface Wire {
  readonly scheduler: Scheduler;
  /** The other end; `null`: nobody listens there. */
  readonly accept: (channel: Channel) => ChannelReceiver | null;
  readonly fate?: (from: Side, frame: Buffer) => Fate;
  readonly latencyMs?: number;
}

/** A stream in memory, in order, over which frames take a while. */
export function dialOver(wire: Wire, handlers: ChannelHandlers): Channel {
  const { scheduler, latencyMs = 1 } = wire;
  let open = true;
  let receiver: ChannelReceiver | null = null;
  const close = (reason: string): void => {
    if (!open) return;
    open = false;
    receiver?.closed();
    handlers.onClose(new BalsaError('UNREACHABLE', reason));
  };
  const end = (from: Side): Channel => ({
    pendingBytes: 0,
    send: (frame) => {
      const fate = wire.fate?.(from, frame) ?? 'pass';
      if (fate === 'lose') return;
      const carried = Buffer.from(fate instanceof Buffer ? fate : frame);
      scheduler.plan(latencyMs, () => {
        if (!open) return;
        if (fate === 'break') close('connection reset');
        else if (from === 'acceptor') handlers.onFrame(carried);
        else receiver?.receive(carried);
      });
    },
    end: () => void scheduler.plan(latencyMs, () => close(`ended by the ${from}`)),
    abort: () => void scheduler.plan(0, () => close(`aborted by the ${from}`)),
  });
  const acceptor = end('acceptor');
  scheduler.plan(latencyMs, () => {
    if (!open) return;
    receiver = wire.accept(acceptor);
    if (receiver === null) close('connection refused');
  });
  return end('dialler');
}

/** What a frame of a snapshot stream is, in a word: `chunk 3`. */
export function frameName(bytes: Buffer): string {
  const frame: SnapshotFrame = unpackSnapshotFrame(bytes);
  switch (frame.type) {
    case 'chunk':
      return `chunk ${frame.chunk.number}`;
    case 'ack':
      return `ack ${frame.chunk}`;
    case 'answer':
      return `answer ${frame.afterChunk}`;
    case 'refusal':
      return `refusal ${frame.error.code}`;
    default:
      return frame.type;
  }
}
