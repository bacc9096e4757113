import type { Http2Server, ServerHttp2Session } from 'node:http2';
import type { Server } from '@grpc/grpc-js';
import { assert } from '../base/assert.js';

/**
 * Bytes that may be on their way on one stream before whoever takes them has said that they have come. The 64 KiB of HTTP/2 are so
 * many bytes for each way there and back: 0.6 MB/s between places that are 100 ms apart, for a log that is behind, a snapshot, a large
 * value. All that comes is taken at once, so that this much does not lie anywhere. Not more: what is on its way keeps back what comes
 * behind it on a slow link, pings too.
 */
export const FLOW_WINDOW_BYTES = 512 * 1024;

/** The option of gRPC for Node for the side that dials. */
export const DIAL_FLOW_WINDOW = { 'grpc-node.flow_control_window': FLOW_WINDOW_BYTES } as const;

/** gRPC for Node has no option for the side that listens: its sessions are told one by one. */
export function widenFlowWindow(server: Server): void {
  const servers: unknown = Reflect.get(server, 'http2Servers');
  assert(servers instanceof Map, 'a gRPC server stands on servers of HTTP/2');
  for (const below of servers.keys() as IterableIterator<Http2Server>) {
    below.on('session', (session: ServerHttp2Session) => {
      session.settings({ initialWindowSize: FLOW_WINDOW_BYTES });
      session.setLocalWindowSize(FLOW_WINDOW_BYTES);
    });
  }
}
