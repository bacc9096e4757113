import type { WriteOutcome } from '../base/errors.js';
import type { KeyValue } from '../base/operation.js';

/**
 * What crosses the wire. Two gRPC services, each with one bidirectional stream whose messages are
 * msgpack tuples (`base/codec`): first a hello from each side, then batches.
 *
 *     /balsa.v1.Client/Stream   client -> replica
 *     /balsa.v1.Peer/Stream     replica -> replica, one in each direction
 *
 * Tuples are versioned by position: fields are appended, never reordered or removed.
 */
export const PROTOCOL_VERSION = 1;

export const CLIENT_STREAM_PATH = '/balsa.v1.Client/Stream';
export const PEER_STREAM_PATH = '/balsa.v1.Peer/Stream';

/** How fresh a read is. The README says what each promises. The numbers are those of the wire. */
export const CONSISTENCY_LEVELS = { linearizable: 0, any: 1 } as const;
export type Consistency = keyof typeof CONSISTENCY_LEVELS;

// ---------------------------------------------------------------------------------------------
// Client stream

/** First frame of a client. */
export interface ClientHello {
  readonly protocolVersion: number;
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
export interface ReplicaHello {
  readonly protocolVersion: number;
  readonly clusterId: string;
  readonly clusterName: string;
  readonly replica: string;
  readonly members: readonly MemberAddress[];
  /** Name of the leader, if known. */
  readonly leader: string | null;
  /** For `WriteBatch.bornIndex` of a session made now. */
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
  | {
      readonly type: 'get';
      readonly id: number;
      readonly consistency: Consistency;
      readonly keys: readonly Uint8Array[];
      /** `null`: the latest. */
      readonly revision: number | null;
    }
  | {
      readonly type: 'range';
      readonly id: number;
      readonly consistency: Consistency;
      readonly from: Uint8Array;
      readonly to: Uint8Array | null;
      readonly reverse: boolean;
      readonly keysMax: number;
      readonly revision: number | null;
    }
  | { readonly type: 'status'; readonly id: number };

/** What an answer was really given from. */
export interface AnswerMeta {
  readonly term: number;
  /** Revision of the store at that moment. */
  readonly revision: number;
  /** Log index that had been applied. */
  readonly appliedIndex: number;
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
      readonly items: readonly (KeyValue | null)[];
    }
  | {
      readonly type: 'range';
      readonly id: number;
      readonly meta: AnswerMeta;
      readonly items: readonly KeyValue[];
      readonly revision: number;
      readonly continueFrom: Uint8Array | null;
    }
  /** JSON of `ReplicaStatus`. */
  | { readonly type: 'status'; readonly id: number; readonly status: string };

export type ClientFrame =
  | { readonly type: 'hello'; readonly hello: ClientHello }
  | { readonly type: 'requests'; readonly requests: readonly ClientRequest[] };

export type ReplicaFrame =
  | { readonly type: 'hello'; readonly hello: ReplicaHello }
  | { readonly type: 'answers'; readonly answers: readonly ClientAnswer[] }
  /** Sent when the leader changes. */
  | { readonly type: 'leader'; readonly leader: string | null; readonly term: number }
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
  readonly uptimeMs: number;
  readonly limits: Readonly<Record<string, number>>;
}

// ---------------------------------------------------------------------------------------------
// Peer stream

/** First frame of both sides of a peer stream. */
export interface PeerHello {
  readonly protocolVersion: number;
  readonly clusterName: string;
  /** `null` while the cluster is being formed. */
  readonly clusterId: string | null;
  readonly name: string;
  /** Made new with each data folder. */
  readonly incarnation: string;
  /** Name that the other side is expected to have. */
  readonly to: string;
  /** Members with incarnations, once the cluster is formed. */
  readonly formation: readonly FormedMember[] | null;
  /** Set when the sender of this hello refuses the other side; the stream ends. */
  readonly refusal: WireError | null;
}

export interface FormedMember {
  readonly name: string;
  readonly incarnation: string;
}
