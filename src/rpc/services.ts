import type { handleBidiStreamingCall, ServiceDefinition, UntypedHandleCall } from '@grpc/grpc-js';
import { PEER_BULK_PATH } from './peer-protocol.js';
import {
  CLIENT_SNAPSHOT_PATH,
  CLIENT_STREAM_PATH,
  PEER_SNAPSHOT_PATH,
  PEER_STREAM_PATH,
} from './protocol.js';

/** gRPC method definitions. The bytes of a message are a frame as it is: no second codec. */
const asIs = (bytes: Buffer): Buffer => bytes;

const streamMethod = (path: string) => ({
  path,
  requestStream: true as const,
  responseStream: true as const,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
});

export type StreamHandler = handleBidiStreamingCall<Buffer, Buffer>;

export interface StreamImplementation {
  readonly [name: string]: UntypedHandleCall;
  readonly Stream: StreamHandler;
  readonly Snapshot: StreamHandler;
}

export const clientService: ServiceDefinition<StreamImplementation> = {
  Stream: streamMethod(CLIENT_STREAM_PATH),
  Snapshot: streamMethod(CLIENT_SNAPSHOT_PATH),
};

export interface PeerStreamImplementation extends StreamImplementation {
  readonly Bulk: StreamHandler;
}

export const peerService: ServiceDefinition<PeerStreamImplementation> = {
  Stream: streamMethod(PEER_STREAM_PATH),
  Bulk: streamMethod(PEER_BULK_PATH),
  Snapshot: streamMethod(PEER_SNAPSHOT_PATH),
};
