import {
  type MemberAddress,
  type MembersStatus,
  PROTOCOL_VERSION,
  type ProcessFacts,
  type ReplicaStatus,
  type StoreFigures,
} from '../rpc/protocol.js';
import type { StateMachine } from '../statemachine/state-machine.js';
import type { ServerConfig } from './config.js';
import { nameOf } from './member-id.js';
import type { Replica } from './replica.js';
import type { Stores } from './stores.js';
import { VERSION } from './version.js';

/** The members of a cluster that there is not yet. */
export const NO_MEMBERS: MembersStatus = { index: 0, committed: false, joint: false, members: [] };

/** What a replica says of itself. */
export function replicaStatus(source: {
  readonly config: ServerConfig;
  readonly incarnation: string;
  readonly clusterId: string;
  readonly members: readonly MemberAddress[];
  readonly membership: MembersStatus;
  /** What it does as long as it has no role in a cluster. */
  readonly waits: string;
  readonly replica: Replica | null;
  readonly stores: Stores;
  readonly clientStreams: number;
  readonly uptimeMs: number;
  readonly process: ProcessFacts;
}): ReplicaStatus {
  const { config, replica, stores } = source;
  const node = replica?.node;
  const wal = stores.logStore.stats();
  const machine = replica?.machine ?? stores.machine;
  const appliedIndex = replica?.appliedIndex ?? 0;
  return {
    replica: config.name,
    cluster: config.cluster,
    clusterId: source.clusterId,
    incarnation: source.incarnation,
    version: VERSION,
    protocolVersion: PROTOCOL_VERSION,
    role: node?.role ?? source.waits,
    term: node?.term ?? 0,
    leader: replica?.leader ?? null,
    // The state of a snapshot can be read a little before the log begins behind it.
    commitIndex: Math.max(node?.commitIndex ?? 0, appliedIndex),
    appliedIndex,
    lastIndex: Math.max(wal.lastIndex, appliedIndex),
    durableIndex: wal.durableIndex,
    revision: machine.revision,
    stateHash: machine.stateHash.toString(16).padStart(8, '0'),
    sessions: machine.sessionCount,
    members: source.members,
    membership: source.membership,
    logStart: node?.logStart.index ?? 0,
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
    watches: replica?.watches.size ?? 0,
    store: storeFigures(machine),
    ap: replica?.calls.apStatus ?? null,
    scrub: stores.vault.current.scrubbed,
    uptimeMs: Math.round(source.uptimeMs),
    process: source.process,
    limits: { ...config.limits },
  };
}

function storeFigures(machine: StateMachine): StoreFigures {
  const { settings, namespaces, compactedRevision, sweptRevision, ...rest } = machine.info();
  const { spaceBytes, spaceAlarm, leases } = rest;
  return {
    ...{ compactedRevision, sweptRevision, spaceBytes, spaceAlarm, leases },
    spaceQuotaBytes: settings.spaceQuotaBytes,
    namespaces: namespaces.length,
  };
}
