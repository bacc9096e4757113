import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  type ServiceDefinition,
  status,
  type UntypedHandleCall,
} from '@grpc/grpc-js';

/**
 * `grpc.health.v1.Health`, so that load balancers and Kubernetes probe a replica as they probe
 * everything else. The two messages are small enough to be read and written by hand.
 *
 * Services: `` (empty) and `readiness` say whether requests can be served here; `liveness` says that
 * the process works.
 */
export type HealthSource = {
  ready(): boolean;
  /** Calls back after each change of readiness; returns what ends that. */
  onChange(callback: () => void): () => void;
};

const SERVING = 1;
const NOT_SERVING = 2;
const SERVICE_UNKNOWN = 3;

/** `HealthCheckRequest { string service = 1; }` */
function readService(bytes: Buffer): string | null {
  if (bytes.length === 0) return '';
  const length = bytes[1];
  if (bytes[0] !== 0x0a || length === undefined || length > 127 || bytes.length !== length + 2)
    return null;
  return bytes.toString('utf8', 2);
}

/** `HealthCheckResponse { ServingStatus status = 1; }` */
const writeStatus = (value: number): Buffer => Buffer.from([0x08, value]);

const asIs = (bytes: Buffer): Buffer => bytes;
const method = (name: string, responseStream: boolean) => ({
  path: `/grpc.health.v1.Health/${name}`,
  requestStream: false,
  responseStream,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
});

export const healthService = {
  Check: method('Check', false),
  Watch: method('Watch', true),
} as const satisfies ServiceDefinition;

export function healthImplementation(source: HealthSource): Record<string, UntypedHandleCall> {
  const statusOf = (service: string | null): number => {
    if (service === 'liveness') return SERVING;
    if (service === '' || service === 'readiness') return source.ready() ? SERVING : NOT_SERVING;
    return SERVICE_UNKNOWN;
  };
  const check: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    const value = statusOf(readService(call.request));
    if (value !== SERVICE_UNKNOWN) callback(null, writeStatus(value));
    else callback({ code: status.NOT_FOUND, details: 'known services: "", readiness, liveness' });
  };
  const watch: handleServerStreamingCall<Buffer, Buffer> = (call) => {
    const service = readService(call.request);
    let last = -1;
    const tell = (): void => {
      const value = statusOf(service);
      if (value === last) return;
      last = value;
      call.write(writeStatus(value));
    };
    const stop = source.onChange(tell);
    for (const event of ['cancelled', 'error', 'close']) call.on(event, stop);
    tell();
  };
  return { Check: check, Watch: watch };
}
