import type { WriteOutcome } from '../base/errors.js';
import type { KeyContent, KeyValue, RangeFilter, StoreSettings } from '../base/operation.js';
import type { Aged, ApFigures, ProceduresTopic, Route } from './call-protocol.js';
import type { JobsAnswer, WorkAnswer, WorkRequest } from './job-protocol.js';
import type { WatchAnswer } from './watch-protocol.js';

/**
 * What crosses the wire. Two gRPC services, each with one bidirectional stream whose messages are
 * msgpack tuples (`base/codec`): first a hello from each side, then batches.
 *
 *     /balsa.v1.Client/Stream   client -> replica
 *     /balsa.v1.Peer/Stream     replica -> replica, one in each direction
 *
 * Tuples are versioned by position: fields are appended, never reordered or removed.
 */
export const PROTOCOL_VERSION = 2;
/** From this version on who was dialled answers probes. */
export const PROTOCOL_VERSION_PROBES = 2;
/** The oldest one that this version still speaks. Two sides speak the newest that both know. */
export const PROTOCOL_VERSION_MIN = 1;

export const CLIENT_STREAM_PATH = '/balsa.v1.Client/Stream';
export const PEER_STREAM_PATH = '/balsa.v1.Peer/Stream';
/** A leader sends a snapshot to a follower (frames: `snapshot-frames`). */
export const PEER_SNAPSHOT_PATH = '/balsa.v1.Peer/Snapshot';
/** A client asks for a backup: the same frames. */
export const CLIENT_SNAPSHOT_PATH = '/balsa.v1.Client/Snapshot';

/**
 * How fresh a read is; docs/guarantees.md says what each promises. The numbers are those of the wire.
 *
 * - `linearizable`: sees every write acknowledged before it began
 * - `session`: has applied at least the log index of a token
 * - `bounded`: at most so many milliseconds old
 * - `at`: the store as it was at a revision
 * - `any`: some earlier state
 * - `ap-local`: as `any`, with what this side has taken in on its own
 */
export const CONSISTENCY_LEVELS = {
  linearizable: 0,
  any: 1,
  session: 2,
  bounded: 3,
  at: 4,
  'ap-local': 5,
} as const;
export type Consistency = keyof typeof CONSISTENCY_LEVELS;

/** What a read asks of the replica that serves it. */
export interface ReadLevel {
  readonly consistency: Consistency;
  /** `session`: the log index of the token. `bounded`: milliseconds. Else 0. */
  readonly bound: number;
}

/**
 * On which side of a partition the replica believes to be: `majority`: a quorum was heard within the last
 * election timeout; `isolated`: none was for longer, although it was asked.
 */
export const SIDES = ['unknown', 'majority', 'isolated'] as const;
export type Side = (typeof SIDES)[number];

// ---------------------------------------------------------------------------------------------
// Client stream

/** Versions of the protocol that one side speaks: all from `protocolVersionMin` to `protocolVersion`. */
export interface VersionRange {
  readonly protocolVersion: number;
  readonly protocolVersionMin: number;
}

/** First frame of a client. */
export interface ClientHello extends VersionRange {
  /** For logs: the library and its version, or what the application calls itself. */
  readonly clientName: string;
  /** Refuse me unless you belong to this cluster; `null`: any. */
  readonly clusterId: string | null;
  /** The session of all writes of this stream: 16 random bytes. */
  readonly sessionId: Uint8Array;
}

export interface MemberAddress {
  readonly name: string;
  /** `host:port` where clients reach it. */
  readonly address: string;
}

/** First frame of a replica to a client. */
export interface ReplicaHello extends VersionRange {
  readonly clusterId: string;
  readonly clusterName: string;
  readonly replica: string;
  readonly members: readonly MemberAddress[];
  /** Name of the leader, if known. */
  readonly leader: string | null;
  /** For the `bornIndex` of a session or of a call that is made now. */
  readonly appliedIndex: number;
  readonly keyBytesMax: number;
  readonly valueBytesMax: number;
  readonly operationsPerBatchMax: number;
  readonly batchBytesMax: number;
  readonly frameBytesMax: number;
  readonly batchesPerSessionMax: number;
}

export type ClientRequest =
  /** One batch of writes; see `WriteBatch`. Must go to the leader. */
  | {
      readonly type: 'write';
      readonly id: number;
      readonly bornIndex: number;
      readonly sequence: number;
      readonly acknowledged: number;
      readonly operations: Uint8Array;
    }
  | (ReadLevel & {
      readonly type: 'get';
      readonly id: number;
      readonly keys: readonly Uint8Array[];
      /** `null`: the latest. */
      readonly revision: number | null;
    })
  | (ReadLevel & {
      readonly type: 'range';
      readonly id: number;
      readonly from: Uint8Array;
      readonly to: Uint8Array | null;
      readonly reverse: boolean;
      readonly keysMax: number;
      readonly revision: number | null;
      readonly filter: RangeFilter;
    })
  /** Answered `leases`. */
  | (ReadLevel & {
      readonly type: 'leases';
      readonly id: number;
      /** `null`: all of them, without their keys. */
      readonly lease: number | null;
    })
  /** What the store as a whole is like: {@link StoreInfo}. */
  | (ReadLevel & { readonly type: 'store'; readonly id: number })
  | CallProcedureRequest
  /**
   * What `call` with the route `any` was answered: it is applied, or refused with `TXN_CONFLICT`. Must go to the leader.
   * Answered `call`.
   */
  | { readonly type: 'submit'; readonly id: number; readonly record: Uint8Array }
  /** What this replica can say of procedures. Answered `procedures`. */
  | (ReadLevel & {
      readonly type: 'procedures';
      readonly id: number;
      readonly about: ProceduresTopic;
    })
  /** JSON of a `JobQuery`. */
  | (ReadLevel & { readonly type: 'jobs'; readonly id: number; readonly query: string })
  | (WorkRequest & { readonly type: 'work'; readonly id: number })
  | WatchRequest
  /** `watch`: the id of the {@link WatchRequest}. It has no answer of its own. */
  | { readonly type: 'watch-cancel'; readonly id: number; readonly watch: number }
  | { readonly type: 'status'; readonly id: number }
  /** JSON of an {@link AdminCommand}. Must go to the leader. */
  | { readonly type: 'admin'; readonly id: number; readonly command: string };

/** Calls a procedure. A procedure that only reads is run as `read` whatever the route says. */
export interface CallProcedureRequest extends ReadLevel, Aged {
  readonly type: 'call';
  readonly id: number;
  readonly route: Route;
  /** `transfer`, `transfer@prod`, `transfer@<hash>`. */
  readonly procedure: string;
  /** JSON. */
  readonly args: string;
  /** The idempotency key. */
  readonly key: Uint8Array;
  /** The key was chosen by the caller. */
  readonly isNamed: boolean;
  /** See `CallRecord`. */
  readonly bornIndex: number;
  /** Of an `ap` procedure: so many other replicas have it on their disks before it is answered. */
  readonly peers: number;
}

/**
 * Begins a watch: answered `watch-created`, then `watch-events`, `watch-progress` and `watch-lagging` under
 * the same id, as often as there is something to say, and at last `error` (`COMPACTED`, `SHUTTING_DOWN`...).
 */
export interface WatchRequest extends ReadLevel {
  readonly type: 'watch';
  readonly id: number;
  readonly from: Uint8Array;
  /** `null`: to the end; a single key `k` is `[k, k + 00)`. */
  readonly to: Uint8Array | null;
  /** Events from this revision on; `null`: of what comes behind the state that `consistency` asks for. */
  readonly startRevision: number | null;
  readonly withPrevious: boolean;
  readonly noPuts: boolean;
  readonly noDeletes: boolean;
}

export interface WatchEvent {
  readonly type: 'put' | 'delete';
  /** Of a deletion: the key, its revision, no value, version and createRevision 0. */
  readonly item: KeyValue;
  /** What the key held before, when it was asked for and is still kept. */
  readonly previous: KeyValue | null;
}

export interface LeaseInfo {
  readonly lease: number;
  readonly ttlMs: number;
  /** What is left of it, in log time. */
  readonly remainingMs: number;
  readonly keyCount: number;
  /** Empty where only an overview was asked for. */
  readonly keys: readonly Uint8Array[];
}

export interface StoreInfo {
  readonly revision: number;
  /** Reads below it are refused. */
  readonly compactedRevision: number;
  /** Through here what is no longer kept has been removed. */
  readonly sweptRevision: number;
  readonly settings: StoreSettings;
  /** Of keys and values with their history. */
  readonly spaceBytes: number;
  /** Puts are refused with `NO_SPACE`. */
  readonly spaceAlarm: boolean;
  readonly leases: number;
  readonly logTimeMs: number;
  readonly namespaces: readonly {
    readonly name: string;
    /** Hex. */
    readonly prefix: string;
    readonly quotaBytes: number;
    readonly usedBytes: number;
    readonly keys: number;
  }[];
  /** What the state takes on the disk of the replica that answers: keys, values, history. */
  readonly stateBytes: number;
  /** What the Raft log takes there, which compacting the history does not change. */
  readonly logBytes: number;
  /** Both together. */
  readonly diskBytes: number;
}

/** What an operator asks of the cluster. Names are those of members; at most one incarnation of each. */
export type AdminCommand =
  | {
      readonly op: 'change-members';
      /** Refused with `CONFIGURATION_CONFLICT` unless the members are those of this index. */
      readonly expectedIndex: number;
      /** New members, as learners first; `promote`: made voters as soon as they have caught up. */
      readonly add: readonly {
        readonly name: string;
        readonly incarnation: string;
        readonly address: string;
        readonly promote: boolean;
        /** Leaves when the new one gets its vote; `null`: nobody. */
        readonly replaces: string | null;
      }[];
      /** Learners that get a vote; `NOT_CAUGHT_UP` when one lacks too much. */
      readonly promote: readonly string[];
      /** Voters that become learners. */
      readonly demote: readonly string[];
      readonly remove: readonly string[];
    }
  /** `null`: to whom the leader thinks best. */
  | { readonly op: 'transfer'; readonly target: string | null };

/** JSON in the answer to an {@link AdminCommand}: the change is committed, and its joint part is left. */
export interface AdminResult {
  readonly members: MembersStatus;
  readonly leader: string | null;
}

/** The members as the answering replica knows them. */
export interface MembersStatus {
  /** Index of the configuration; for `expectedIndex`. */
  readonly index: number;
  /** It is committed. */
  readonly committed: boolean;
  /** A change of voters is on its way: both old and new ones must agree. */
  readonly joint: boolean;
  readonly members: readonly MemberStatus[];
}

export interface MemberStatus {
  readonly name: string;
  readonly incarnation: string;
  /** `host:port`; empty when this replica does not know it. */
  readonly address: string;
  /** `outgoing`: votes until the joint configuration is left. */
  readonly role: 'voter' | 'learner' | 'outgoing';
  /** A learner that becomes a voter when it has caught up. */
  readonly promote: boolean;
  readonly replaces: string | null;
}

/** What an answer was really given from. */
export interface AnswerMeta {
  readonly term: number;
  /** Revision of the store at that moment. */
  readonly revision: number;
  /** Log index that had been applied. */
  readonly appliedIndex: number;
  /** The state was at most so old when it was read; `null`: the replica cannot say. */
  readonly stalenessMs: number | null;
  readonly side: Side;
}

export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly outcome: WriteOutcome | null;
  /** JSON of `BalsaError.details`; `null` when empty. */
  readonly details: string | null;
}

export type ClientAnswer =
  | { readonly type: 'error'; readonly id: number; readonly error: WireError }
  | {
      readonly type: 'write';
      readonly id: number;
      readonly meta: AnswerMeta;
      /** `packResults`: one per operation. */
      readonly results: Uint8Array;
    }
  | {
      readonly type: 'get';
      readonly id: number;
      readonly meta: AnswerMeta;
      /**
       * In the order of the keys asked; `null`: no such key. At least one; fewer than were asked
       * when the answer would exceed `rangePageBytesMax`: ask again for the rest.
       */
      readonly items: readonly (KeyContent | null)[];
    }
  | {
      readonly type: 'range';
      readonly id: number;
      readonly meta: AnswerMeta;
      readonly items: readonly KeyValue[];
      readonly revision: number;
      readonly continueFrom: Uint8Array | null;
      /** Keys of this page that match; with `countOnly` there are no items. */
      readonly count: number;
    }
  | {
      readonly type: 'leases';
      readonly id: number;
      readonly meta: AnswerMeta;
      readonly leases: readonly LeaseInfo[];
    }
  /** JSON of {@link StoreInfo}. */
  | {
      readonly type: 'store';
      readonly id: number;
      readonly meta: AnswerMeta;
      readonly info: string;
    }
  | {
      readonly type: 'call';
      readonly id: number;
      readonly meta: AnswerMeta;
      /** JSON. */
      readonly result: string;
      /** That of the writes, or that was read. */
      readonly revision: number;
      /** Of the code that ran; empty when it had run before. */
      readonly hash: string;
      readonly repeated: boolean;
      readonly logs: readonly string[];
      /** Of an `ap` procedure: it is not merged into the log yet, or it is; `null`: of another one. */
      readonly pending: boolean | null;
    }
  /** For a `submit`. */
  | {
      readonly type: 'executed';
      readonly id: number;
      readonly meta: AnswerMeta;
      readonly record: Uint8Array;
      readonly logs: readonly string[];
    }
  /** JSON: lists of {@link ProcedureInfo}, `LogLine`, `ProcedureStats`. */
  | {
      readonly type: 'procedures';
      readonly id: number;
      readonly meta: AnswerMeta;
      readonly info: string;
    }
  | (JobsAnswer & { readonly type: 'jobs'; readonly id: number; readonly meta: AnswerMeta })
  | (WorkAnswer & { readonly type: 'work'; readonly id: number; readonly meta: AnswerMeta })
  | WatchAnswer
  /** JSON of `ReplicaStatus`. */
  | { readonly type: 'status'; readonly id: number; readonly status: string }
  /** JSON of {@link AdminResult}. */
  | { readonly type: 'admin'; readonly id: number; readonly result: string };

export type ClientFrame =
  | { readonly type: 'hello'; readonly hello: ClientHello }
  | { readonly type: 'requests'; readonly requests: readonly ClientRequest[] }
  /** Asks for nothing but an answer. */
  | { readonly type: 'probe' };

export type ReplicaFrame =
  | { readonly type: 'hello'; readonly hello: ReplicaHello }
  | { readonly type: 'answers'; readonly answers: readonly ClientAnswer[] }
  /** Sent when the leader changes. */
  | { readonly type: 'leader'; readonly leader: string | null; readonly term: number }
  /** Sent when the members change, or where they are. */
  | { readonly type: 'members'; readonly members: readonly MemberAddress[] }
  | { readonly type: 'probe-answer' }
  /** The stream ends for this reason; requests in flight on it have no answer. */
  | { readonly type: 'end'; readonly error: WireError };

// ---------------------------------------------------------------------------------------------
// Status

/** What a replica says of itself (`balsa status`). Times in milliseconds. */
export interface ReplicaStatus {
  readonly replica: string;
  readonly cluster: string;
  readonly clusterId: string;
  readonly incarnation: string;
  readonly version: string;
  readonly protocolVersion: number;
  readonly role: string;
  readonly term: number;
  readonly leader: string | null;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly durableIndex: number;
  readonly revision: number;
  /** Chain hash of all applied writes, hex: equal on every replica at the same appliedIndex. */
  readonly stateHash: string;
  readonly sessions: number;
  readonly members: readonly MemberAddress[];
  /** Who votes and who learns, with the index for a change. */
  readonly membership: MembersStatus;
  /** Where the log begins: entries before it are in snapshots only. */
  readonly logStart: number;
  /** On the leader: how far each follower is. */
  readonly followers: readonly {
    readonly name: string;
    readonly matchIndex: number;
    readonly state: string;
    readonly active: boolean;
  }[];
  readonly wal: {
    readonly bytes: number;
    readonly segments: number;
    readonly syncs: number;
    readonly lastSyncMs: number;
    readonly maxSyncMs: number;
  };
  readonly clientStreams: number;
  /** Watches that this replica serves. */
  readonly watches: number;
  /** The store as this replica has applied it. */
  readonly store: StoreFigures;
  /** What `ap` calls left here; `null`: it has no role in a cluster yet. Replicas of earlier versions do not say. */
  readonly ap?: ApFigures | null;
  /**
   * How much of the state on its disk it has read again since that was opened, and how long ago it found all of it whole; `null`: it
   * does not look. Replicas of earlier versions do not say.
   */
  readonly scrub?: { readonly bytes: number; readonly wholeMs: number } | null;
  readonly uptimeMs: number;
  readonly process: ProcessFacts;
  readonly limits: Readonly<Record<string, number>>;
}

export type StoreFigures = Pick<
  StoreInfo,
  'compactedRevision' | 'sweptRevision' | 'spaceBytes' | 'spaceAlarm' | 'leases'
> & {
  /** Beyond it puts are refused; 0: no bound. */
  readonly spaceQuotaBytes: number;
  readonly namespaces: number;
};

export interface ProcessFacts {
  /** Memory of the process, in bytes. */
  readonly rssBytes: number;
  /** Longest time that the event loop was held up in the last 5 to 10 seconds, in milliseconds. */
  readonly eventLoopDelayMs: number;
  /** The same since the start. */
  readonly eventLoopDelayMaxMs: number;
}
