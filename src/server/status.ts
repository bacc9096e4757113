import { type MemberAddress, PROTOCOL_VERSION, type ReplicaStatus } from '../rpc/protocol.js';
import type { ServerConfig } from './config.js';
import type { Replica } from './replica.js';
import type { Stores } from './stores.js';
import { VERSION } from './version.js';

/** What a replica says of itself. */
export function replicaStatus(source: {
  readonly config: ServerConfig;
  readonly incarnation: string;
  readonly clusterId: string;
  readonly members: readonly MemberAddress[];
  /** Members that the forming of the cluster waits for. */
  readonly missing: readonly string[];
  readonly replica: Replica | null;
  readonly stores: Stores;
  readonly nameOf: (member: string) => string;
  readonly clientStreams: number;
  readonly uptimeMs: number;
}): ReplicaStatus {
  const { config, replica, stores, nameOf } = source;
  const node = replica?.node;
  const wal = stores.logStore.stats();
  return {
    replica: config.name,
    cluster: config.cluster,
    clusterId: source.clusterId,
    incarnation: source.incarnation,
    version: VERSION,
    protocolVersion: PROTOCOL_VERSION,
    role: node?.role ?? `forming, waits for ${source.missing.join(', ')}`,
    term: node?.term ?? 0,
    leader: replica?.leader ?? null,
    commitIndex: node?.commitIndex ?? 0,
    appliedIndex: replica?.appliedIndex ?? 0,
    lastIndex: wal.lastIndex,
    durableIndex: wal.durableIndex,
    revision: stores.machine.revision,
    stateHash: stores.machine.stateHash.toString(16).padStart(8, '0'),
    sessions: stores.machine.sessionCount,
    members: source.members,
    followers: (node?.progress ?? []).map((p) => ({
      name: nameOf(p.member),
      matchIndex: p.matchIndex,
      state: p.state,
      active: p.recentActive,
    })),
    wal: {
      bytes: wal.bytes,
      segments: wal.segments,
      syncs: wal.syncs,
      lastSyncMs: wal.lastSyncMs,
      maxSyncMs: wal.maxSyncMs,
    },
    clientStreams: source.clientStreams,
    uptimeMs: Math.round(source.uptimeMs),
    limits: { ...config.limits },
  };
}
