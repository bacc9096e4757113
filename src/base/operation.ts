/**
 * What a client asks the store to do. How it travels: `operation-codec`; what is allowed: `operation-check`.
 * Semantics follow etcd v3 wherever both have the thing.
 */

import type { JobOperation } from './job.js';

export interface PutOperation {
  readonly type: 'put';
  readonly key: Uint8Array;
  /** `null`: keep the value that is there (`KEY_NOT_FOUND` when there is none). */
  readonly value: Uint8Array | null;
  /** The lease that the key shall hang on; absent or 0: none; `'keep'`: the one that it hangs on. */
  readonly lease?: number | 'keep' | undefined;
  /** The answer says what the key held before. */
  readonly returnPrevious?: boolean | undefined;
}

/** Deletes one key. */
export interface DeleteOperation {
  readonly type: 'delete';
  readonly key: Uint8Array;
  readonly returnPrevious?: boolean | undefined;
}

/** Deletes all keys with `from <= key < to`, at one revision (`RANGE_TOO_LARGE` beyond `txnOperationsMax`). */
export interface DeleteRangeOperation {
  readonly type: 'delete-range';
  readonly from: Uint8Array;
  /** `null`: to the end. */
  readonly to: Uint8Array | null;
  readonly returnPrevious?: boolean | undefined;
}

/** Which of several keys a read wants, and what of each. */
export interface RangeFilter {
  readonly keysOnly?: boolean | undefined;
  /** Only how many there are. */
  readonly countOnly?: boolean | undefined;
  /** Inclusive bounds; 0 or absent: none. */
  readonly modRevisionMin?: number | undefined;
  readonly modRevisionMax?: number | undefined;
  readonly createRevisionMin?: number | undefined;
  readonly createRevisionMax?: number | undefined;
}

/** Reads inside a transaction: what earlier operations of it wrote is seen. */
export interface ReadOperation extends RangeFilter {
  readonly type: 'read';
  readonly from: Uint8Array;
  /** `null`: to the end; absent: the key `from` alone. */
  readonly to?: Uint8Array | null | undefined;
  readonly reverse?: boolean | undefined;
  /**
   * The first keys (the last ones with `reverse`), of a range of any size. 0 or absent: all. What is read is bounded
   * (`RANGE_TOO_LARGE`): no more than `txnReadKeysMax` keys, and `txnReadBytesMax` bytes or one value.
   */
  readonly limit?: number | undefined;
}

export type CompareOperator = '=' | '!=' | '<' | '>';

/**
 * A condition on a key, or on every key with `from <= key < to`; all as in etcd. A key that does not exist has version,
 * createRevision, modRevision and lease 0, and fails every comparison of its value, `!=` too. A range
 * without keys is compared as one key that does not exist. `count` is Balsa's own.
 */
export type Compare = {
  readonly from: Uint8Array;
  /** `null`: to the end; absent: the key `from` alone. */
  readonly to?: Uint8Array | null | undefined;
  readonly operator: CompareOperator;
} & (
  | { readonly target: 'value'; readonly value: Uint8Array }
  | {
      /** `count`: how many keys there are in the range. */
      readonly target: 'version' | 'createRevision' | 'modRevision' | 'lease' | 'count';
      readonly value: number;
    }
);

/** All of `success` when every comparison holds, else all of `failure`; all writes at one revision. */
export interface TxnOperation {
  readonly type: 'txn';
  readonly compares: readonly Compare[];
  readonly success: readonly TxnStep[];
  readonly failure: readonly TxnStep[];
}

export type TxnStep =
  | PutOperation
  | DeleteOperation
  | DeleteRangeOperation
  | ReadOperation
  | TxnOperation;

/** Leases: keys that hang on one are deleted when it is revoked or not kept alive for `ttlMs` of log time. */
export interface LeaseGrantOperation {
  readonly type: 'lease-grant';
  /** 0: the state machine chooses. `LEASE_EXISTS` when it is taken. */
  readonly lease: number;
  readonly ttlMs: number;
}

export interface LeaseKeepAliveOperation {
  readonly type: 'lease-keep-alive';
  readonly lease: number;
}

export interface LeaseRevokeOperation {
  readonly type: 'lease-revoke';
  readonly lease: number;
}

/** Revisions before this one are no longer kept. */
export interface CompactOperation {
  readonly type: 'compact';
  readonly revision: number;
}

/** Makes the namespace, or changes its quota. A prefix may not begin with that of another one. */
export interface NamespaceSetOperation {
  readonly type: 'namespace-set';
  readonly name: string;
  readonly prefix: Uint8Array;
  /** Most bytes of its keys and their present values; 0: no bound. */
  readonly quotaBytes: number;
}

/** The keys stay. */
export interface NamespaceRemoveOperation {
  readonly type: 'namespace-remove';
  readonly name: string;
}

/** Settings of the whole store, replicated. */
export interface StoreSettings {
  /** History older than this is compacted by the leader; 0: not by age. Milliseconds. */
  readonly historyMs: number;
  /** So many revisions are kept, older ones are compacted by the leader; 0: not by number. */
  readonly historyRevisions: number;
  /** Bytes of keys and values with their history, beyond which puts are refused (`NO_SPACE`); 0: no bound. */
  readonly spaceQuotaBytes: number;
}

export interface SettingsOperation {
  readonly type: 'settings';
  readonly change: Partial<StoreSettings>;
}

/** Of the code of a procedure: who may call it, and what it may do. */
export type Mode = 'cp' | 'read' | 'ap';

/** What a bundle says of one of its procedures. */
export interface DeclaredProcedure {
  readonly name: string;
  readonly mode: Mode;
  /** It is called with what is written to keys with this prefix; `null`: by callers. */
  readonly trigger: string | null;
}

/** Brings code, and lets the alias of each procedure that it defines stand for it. */
export interface DeployOperation {
  readonly type: 'deploy';
  /** Of the code: SHA-256, hex. */
  readonly hash: string;
  readonly code: Uint8Array;
  readonly alias: string;
  readonly procedures: readonly DeclaredProcedure[];
}

/** Lets the alias of one procedure stand for code that is there already. */
export interface AliasSetOperation {
  readonly type: 'alias-set';
  readonly name: string;
  readonly alias: string;
  readonly hash: string;
  /** What it must stand for now (`CONDITION_FAILED`); `null`: whatever it does. */
  readonly expected: string | null;
}

/** Code for which no alias stands any more, and has not lately, is removed. */
export interface AliasRemoveOperation {
  readonly type: 'alias-remove';
  readonly name: string;
  readonly alias: string;
}

export type ProcedureOperation = DeployOperation | AliasSetOperation | AliasRemoveOperation;

export type WriteOperation =
  | PutOperation
  | DeleteOperation
  | DeleteRangeOperation
  | TxnOperation
  | LeaseGrantOperation
  | LeaseKeepAliveOperation
  | LeaseRevokeOperation
  | CompactOperation
  | NamespaceSetOperation
  | NamespaceRemoveOperation
  | SettingsOperation
  | ProcedureOperation
  | JobOperation;

/** Answers of {@link WriteOperation}s, in the same order. */
export type WriteResult =
  /** `previous` is there when it was asked for: `null` when there was none. */
  | {
      readonly type: 'put';
      readonly revision: number;
      readonly previous?: KeyValue | null | undefined;
    }
  /** `deleted`: how many keys. `revision` is that of the deletion, or of the store when none. */
  | {
      readonly type: 'delete';
      readonly revision: number;
      readonly deleted: number;
      readonly previous?: readonly KeyValue[] | undefined;
    }
  | {
      readonly type: 'txn';
      /** That of its writes, or of the store when there are none. */
      readonly revision: number;
      readonly succeeded: boolean;
      /** One for each step of the branch taken. */
      readonly results: readonly (WriteResult | ReadResult)[];
    }
  | { readonly type: 'lease'; readonly lease: number; readonly ttlMs: number }
  /** Of operations that have nothing to say but that they were done. */
  | {
      readonly type: 'done';
      readonly revision: number;
      /** Of a compaction: the oldest revision that is kept. */
      readonly compactedRevision?: number;
    }
  /** This operation was refused, by all replicas alike; the others of its batch were not. */
  | {
      readonly type: 'error';
      readonly code: string;
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>> | null;
    };

export interface ReadResult {
  readonly type: 'read';
  /** Values are empty with `keysOnly`; none at all with `countOnly`. */
  readonly items: readonly KeyValue[];
  /** Keys that match, also beyond `limit`. */
  readonly count: number;
  /** The range was not looked at as a whole: `count` is that of `items`, and there may be more. */
  readonly more?: true;
}

/**
 * One batch of writes of one session: the unit of order and of exactly-once. `sequence` counts the
 * batches of the session from 1.
 */
export interface WriteBatch {
  /** 16 random bytes, chosen by the client. */
  readonly sessionId: Uint8Array;
  /**
   * An index that was applied somewhere when the session was made. A session that is not known is
   * made by its batch 1, unless one that was active at or after `bornIndex` has been forgotten: then
   * this may be it, and the batch is refused as `SESSION_EXPIRED` rather than applied twice.
   */
  readonly bornIndex: number;
  readonly sequence: number;
  /** The client has the answers of all batches through this one and asks for none of them again. */
  readonly acknowledged: number;
  /** `packOperations` of at least one operation. */
  readonly operations: Uint8Array;
}

/** What a key holds at some revision. */
export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  /** Number of puts since the key was created: 1 after the first. */
  readonly version: number;
  /** The lease it hangs on; 0: none. */
  readonly lease: number;
}

/** What a key holds, for whoever knows the key. */
export type KeyContent = Omit<KeyValue, 'key'>;
