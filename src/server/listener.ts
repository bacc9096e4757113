import { Server, ServerCredentials } from '@grpc/grpc-js';
import { parseAddress } from '../base/address.js';
import { BalsaError } from '../base/errors.js';
import { FRAME_BYTES_MAX, type Limits } from '../base/limits.js';
import {
  type AcceptHandlers,
  acceptedChannel,
  BULK_KEEPALIVE_TIMEOUT_MS,
  type Channel,
  MESSAGE_BYTES_MAX,
} from '../rpc/channel.js';
import { widenFlowWindow } from '../rpc/flow-window.js';
import { PartialFrames } from '../rpc/frame-parts.js';
import { type HealthSource, healthImplementation, healthService } from '../rpc/health.js';
import { clientService, peerService, type StreamHandler } from '../rpc/services.js';
import type { ChannelReceiver } from './replica-options.js';

export interface ListenerOptions {
  /** `host:port`; port 0 picks a free one. */
  readonly listen: string;
  readonly limits: Limits;
  readonly acceptClient: (channel: Channel) => ChannelReceiver;
  readonly acceptPeer: (channel: Channel) => ChannelReceiver;
  /** As `acceptPeer`, for what is large. */
  readonly acceptPeerBulk: (channel: Channel) => ChannelReceiver;
  /** A leader wants to send a snapshot. */
  readonly acceptPeerSnapshot: (channel: Channel) => ChannelReceiver;
  /** A client wants a backup. */
  readonly acceptClientSnapshot: (channel: Channel) => ChannelReceiver;
  readonly health: HealthSource;
}

/** The gRPC server of a replica: one port for clients, peers and health checks. */
export class Listener {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws BalsaError `PORT_IN_USE`, `ADDRESS_UNUSABLE` */
  static async open(options: ListenerOptions): Promise<{ listener: Listener; address: string }> {
    const { frameBytesMax, partialFrameBytesMax } = options.limits;
    // Clients cannot take the room of the members from them.
    const clients = { frameBytesMax, partial: new PartialFrames(partialFrameBytesMax) };
    const peers = {
      frameBytesMax: FRAME_BYTES_MAX,
      partial: new PartialFrames(Math.max(partialFrameBytesMax, FRAME_BYTES_MAX)),
    };
    const server = new Server({
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.max_send_message_length': -1,
      'grpc.keepalive_time_ms': 10_000,
      // On a slow link the answer comes behind what is large; that a stream for signs of life is dead, who dialled it finds out.
      'grpc.keepalive_timeout_ms': BULK_KEEPALIVE_TIMEOUT_MS,
    });
    server.addService(clientService, {
      Stream: streamHandler(clients, options.acceptClient),
      Snapshot: streamHandler(clients, options.acceptClientSnapshot),
    });
    server.addService(peerService, {
      Stream: streamHandler(peers, options.acceptPeer),
      Bulk: streamHandler(peers, options.acceptPeerBulk),
      Snapshot: streamHandler(peers, options.acceptPeerSnapshot),
    });
    server.addService(healthService, healthImplementation(options.health));
    const port = await bind(server, options.listen);
    widenFlowWindow(server);
    const host = options.listen.slice(0, options.listen.lastIndexOf(':'));
    return { listener: new Listener(server), address: `${host}:${port}` };
  }

  /** Lets streams that end by themselves do so for `graceMs`, then cuts the rest. */
  async close(graceMs: number): Promise<void> {
    const server = this.#server;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        server.forceShutdown();
        resolve();
      }, graceMs);
      server.tryShutdown(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

function streamHandler(
  bounds: Pick<AcceptHandlers, 'frameBytesMax' | 'partial'>,
  accept: (channel: Channel) => ChannelReceiver,
): StreamHandler {
  return (call) => {
    let receiver: ChannelReceiver | null = null;
    const channel = acceptedChannel(call, {
      ...bounds,
      onRefused: () => {
        if (receiver?.refused === undefined) channel.abort();
        else receiver.refused();
      },
      onFrame: (frame) => receiver?.receive(frame),
      onPart: () => receiver?.partReceived?.(),
      onClose: () => receiver?.closed(),
    });
    receiver = accept(channel);
  };
}

async function bind(server: Server, listen: string): Promise<number> {
  await refuseTakenPort(listen);
  return new Promise((resolve, reject) => {
    server.bindAsync(listen, ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(bindError(listen, error));
    });
  });
}

/**
 * gRPC's own server hides why it could not bind, and binds beside another socket of some other
 * address family; a plain socket says it clearly.
 */
async function refuseTakenPort(listen: string): Promise<void> {
  const { createServer } = await import('node:net');
  const parsed = parseAddress(listen);
  if (!parsed.ok) throw new BalsaError('CONFIG_INVALID', `listen: ${parsed.problem}`);
  const { host, port } = parsed.address;
  if (port === 0) return;
  await new Promise<void>((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error) => reject(bindError(listen, error)));
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve()));
  });
}

/** Why nobody can listen there. */
export function bindError(listen: string, error: Error): BalsaError {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE' || /EADDRINUSE/.test(error.message)) {
    return new BalsaError('PORT_IN_USE', `another process listens on ${listen}`, {
      cause: error,
      details: { address: listen },
    });
  }
  return new BalsaError('ADDRESS_UNUSABLE', `cannot listen on ${listen}: ${error.message}`, {
    cause: error,
    details: { address: listen },
  });
}
