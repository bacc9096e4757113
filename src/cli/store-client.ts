import type { Consistency, ReplicaStatus } from '../rpc/protocol.js';

/** The part of the client library that the commands use: keys and values as bytes. */
export interface StoreClient {
  put(key: string | Uint8Array, value: Uint8Array, options?: CallOptions): Promise<PutAnswer>;
  get(key: string | Uint8Array, options?: CallOptions): Promise<GetAnswer>;
  delete(key: string | Uint8Array, options?: CallOptions): Promise<DeleteAnswer>;
  range(options?: RangeOptions & CallOptions): AsyncIterable<RangeItem>;
  status(options?: CallOptions): Promise<ReplicaStatus>;
  close(): Promise<void>;
}

export interface StoreOptions {
  readonly endpoints: readonly string[];
  /** Of each call; 0: none. */
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly consistency: Consistency;
  /** `false`: stay at the first endpoint that answers. */
  readonly followLeader: boolean;
  readonly clientName: string;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

export interface RangeOptions {
  readonly prefix?: string;
  readonly from?: string;
  readonly to?: string;
  readonly limit?: number;
  readonly reverse?: boolean;
}

export interface Meta {
  readonly consistency: Consistency;
  readonly replica: string;
  readonly term: number;
  readonly revision: number;
  readonly appliedIndex: number;
}

/** A write is told by the leader that took it. */
type WriteMeta = Omit<Meta, 'consistency'>;

export interface PutAnswer {
  readonly revision: number;
  readonly meta: WriteMeta;
}

export interface DeleteAnswer {
  readonly deleted: boolean;
  readonly revision: number;
  readonly meta?: WriteMeta;
}

export interface GetAnswer {
  readonly value: Uint8Array | undefined;
  readonly createRevision?: number | undefined;
  readonly modRevision?: number | undefined;
  readonly version?: number | undefined;
  readonly meta: Meta;
}

export interface RangeItem {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly createRevision?: number | undefined;
  readonly modRevision?: number | undefined;
  readonly version?: number | undefined;
}
