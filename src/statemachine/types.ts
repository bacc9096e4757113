import type { CallRecord } from '../base/call.js';
import type { Delta } from '../base/delta.js';
import type { BalsaError } from '../base/errors.js';
import type { JobStep } from '../base/job.js';
import type { KeyValue, RangeFilter, StoreSettings, WriteBatch } from '../base/operation.js';
import type { Position } from './position.js';

/** What the leader itself puts into the log. */
export type SystemOperation =
  /** These leases have not been kept alive; one that has been meanwhile stays. */
  | { readonly type: 'expire'; readonly leases: readonly number[] }
  /** By age or number of revisions, as the settings say. */
  | { readonly type: 'compact'; readonly revision: number }
  /** Removes some of what is no longer kept: at most `records` records of the history are looked at. */
  | { readonly type: 'sweep'; readonly records: number };

/** The payload of a log entry of type `command`: what many clients asked in one moment. */
export interface Command {
  /** Log time as the leader had it, in milliseconds; that of the log is the maximum so far. */
  readonly timeMs: number;
  readonly batches: readonly WriteBatch[];
  /**
   * The term in which it was proposed, for those who read logs; it changes nothing in the state. Only
   * version 2 of the format holds it.
   */
  readonly proposerTerm?: number;
  /** Before the batches. From version 3 on. */
  readonly system?: readonly SystemOperation[];
  /** Behind the batches, each as `packCall` makes it. From version 4 on. */
  readonly calls?: readonly Uint8Array[];
  /** Behind all else. From version 5 on. */
  readonly merge?: MergeCommand | null;
  /** Behind the merge. From version 6 on. */
  readonly jobs?: readonly JobStep[];
  /**
   * The time of day as the leader has it, and not before what it has seen of others, in milliseconds since 1970: deltas are made and
   * members report by such times, too. From version 9 on; 0: there are neither calls nor a merge.
   */
  readonly wallMs?: number;
}

/** A step of jobs, read. */
export interface ParsedJobStep {
  readonly step: JobStep;
  /** Of an attempt that ends well: what it has read and would write. */
  readonly call: CallRecord | BalsaError | null;
}

/** Deltas that are to be merged, and what is known of where they come from. */
export interface MergeCommand {
  /** Members of the cluster, as the leader has them. */
  readonly members: readonly string[];
  readonly reports: readonly OriginReport[];
  /** Each as `packDelta` makes it; those of one origin in order. */
  readonly deltas: readonly Uint8Array[];
}

/** As {@link MergeCommand}, read. */
export interface ParsedMerge extends Omit<MergeCommand, 'deltas'> {
  readonly deltas: readonly (Delta | BalsaError)[];
}

/** What a member says of its queue: all that was made in it through `timeMs` has a sequence through this one. */
export interface OriginReport {
  readonly origin: string;
  readonly member: string;
  readonly sequence: number;
  readonly timeMs: number;
}

/** The state machine's answer to one {@link WriteBatch}, to one call, or to the merge. */
export type BatchAnswer =
  | {
      readonly ok: true;
      /**
       * `packResults` of one result per operation; of a call: `packCallOutcome`; of a merge: empty. The same bytes for every retry.
       */
      readonly results: Uint8Array;
      /** It had been applied before; this is the first outcome again. */
      readonly repeated: boolean;
    }
  /**
   * Refused by every replica alike; not applied. Codes: `SESSION_EXPIRED`, `SESSION_GAP`, `FRAME_INVALID`; of a call
   * `TXN_CONFLICT` (what it had read holds no more), `CALL_EXPIRED`, `CALL_KEY_REUSED`, `CALL_KEYS_FULL`, `MERGED_KEYS_FULL`,
   * what a put is refused with, and how its code has failed.
   */
  | { readonly ok: false; readonly error: BalsaError };

/** Which keys a range reads. */
export interface RangeQuery extends RangeFilter {
  readonly from: Uint8Array;
  /** Exclusive; `null`: to the end. */
  readonly to: Uint8Array | null;
  readonly reverse: boolean;
  /** Most keys to return in this page; capped by `rangePageKeysMax`. `countOnly` counts as many as it can. */
  readonly keysMax: number;
  /** The revision to read at; `null`: the latest. */
  readonly revision: number | null;
}

export interface RangePage {
  /** Values are empty with `keysOnly`; no items at all with `countOnly`. */
  readonly items: readonly KeyValue[];
  /** Keys of this page that match. */
  readonly count: number;
  /** The revision read at; pass it on for the next page. */
  readonly revision: number;
  /** Keys may follow behind `continueFrom`. */
  readonly more: boolean;
  /**
   * Where the next page starts: the new `from`, or, in reverse, the new (exclusive) `to`. May lie
   * beyond the last item: a page can end among deleted keys. `null` when `more` is false.
   */
  readonly continueFrom: Uint8Array | null;
}

/** One write of the history, as a watch tells it. */
export interface WriteEvent {
  readonly type: 'put' | 'delete';
  readonly revision: number;
  /** Which of the writes of its revision, from 0. */
  readonly sub: number;
  readonly key: Uint8Array;
  /** Empty in a deletion. */
  readonly value: Uint8Array;
  /** 0 in a deletion. */
  readonly createRevision: number;
  /** 0 in a deletion. */
  readonly version: number;
  /** 0: none. */
  readonly lease: number;
  /** The write of the key before this one (revision 0: none), for `valueBefore`. */
  readonly previous: Position;
}

/**
 * What an applied entry wrote, called when the store has it: in order, those of one revision side by side.
 * Keys and values are views of the entry (a copy is needed to keep them beyond it).
 */
export type WritesListener = (events: readonly WriteEvent[]) => void;

export interface HistoryQuery {
  readonly fromRevision: number;
  /** Inclusive; absent: the latest at the time of the call. */
  readonly throughRevision?: number | undefined;
  readonly eventsMax: number;
  /** Of keys and values. */
  readonly bytesMax: number;
}

/** Whole revisions only: one that is larger than the bounds is given whole. */
export interface HistoryPage {
  readonly events: readonly WriteEvent[];
  /** Where to go on: greater than `throughRevision` when all has been given. */
  readonly nextRevision: number;
}

/** A lease as the log has it. */
export interface LeaseState {
  readonly lease: number;
  readonly ttlMs: number;
  /** In log time: due when log time is here. */
  readonly deadlineMs: number;
  readonly keyCount: number;
}

export interface NamespaceState {
  readonly name: string;
  readonly prefix: Uint8Array;
  /** 0: no bound. */
  readonly quotaBytes: number;
  /** Bytes of its keys and their present values. */
  readonly usedBytes: number;
  readonly keys: number;
}

/** The store as a whole. */
export interface StoreState {
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
  /** By name. */
  readonly namespaces: readonly NamespaceState[];
}

/**
 * What watches and the leader's housekeeping need of the state machine, beside applying and reading.
 * `StateMachine` implements it.
 */
export interface StoreObservation {
  readonly revision: number;
  readonly compactedRevision: number;
  /** Less than `compactedRevision`: there is something to sweep. */
  readonly sweptRevision: number;
  readonly logTimeMs: number;
  info(): StoreState;

  /** At most one listener; `null`: none. */
  onWrites(listener: WritesListener | null): void;
  /** @throws BalsaError `COMPACTED` when `fromRevision` is, or gets, older than what is kept */
  history(query: HistoryQuery): Promise<HistoryPage>;
  /** What the key held before; `null`: nothing, or it is no longer kept. */
  valueBefore(event: WriteEvent): KeyValue | null;

  /** Leases whose deadline has come at `logNowMs`, at most `max`, and with more keys than `keysMax` only the first one. */
  dueLeases(logNowMs: number, max: number, keysMax?: number): number[];
  lease(id: number): LeaseState | null;
  /** In the order of their ids. */
  leases(): LeaseState[];
  /** In key order, as of this moment. @throws BalsaError `RANGE_TOO_LARGE` when they take more than `bytesMax`; default: no bound */
  keysOfLease(id: number, bytesMax?: number): Promise<Uint8Array[]>;

  /** Up to where the settings want compaction at `logNowMs`; `null`: it is done, or not wanted. */
  revisionToKeep(logNowMs: number): number | null;
}
