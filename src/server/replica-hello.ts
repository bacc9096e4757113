import type { MemberAddress, ReplicaHello } from '../rpc/protocol.js';
import { OWN_VERSIONS } from '../rpc/version.js';
import type { ServerConfig } from './config.js';
import type { Replica } from './replica.js';

/** What a replica tells a client first. */
export function replicaHello(source: {
  readonly config: ServerConfig;
  /** Empty as long as there is none. */
  readonly clusterId: string;
  readonly members: readonly MemberAddress[];
  readonly replica: Replica | null;
}): ReplicaHello {
  const { config, clusterId, members, replica } = source;
  const { limits } = config;
  return {
    ...OWN_VERSIONS,
    clusterId,
    clusterName: config.cluster,
    replica: config.name,
    members,
    leader: replica?.leader ?? null,
    appliedIndex: replica?.appliedIndex ?? 0,
    keyBytesMax: limits.keyBytesMax,
    valueBytesMax: limits.valueBytesMax,
    operationsPerBatchMax: limits.operationsPerBatchMax,
    batchBytesMax: limits.batchBytesMax,
    frameBytesMax: limits.frameBytesMax,
    batchesPerSessionMax: limits.batchesPerSessionMax,
  };
}
