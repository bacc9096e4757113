import type { BalsaError } from '../base/errors.js';
import type { KeyValue, WriteBatch } from '../base/operation.js';

/** The payload of a log entry of type `command`: what many clients asked in one moment. */
/** What the leader itself puts into the log. */
export type SystemOperation =
  /** These leases have not been kept alive; one that has been meanwhile stays. */
  | { readonly type: 'expire'; readonly leases: readonly number[] }
  /** By age or number of revisions, as the settings say. */
  | { readonly type: 'compact'; readonly revision: number }
  /** Removes some of what is no longer kept: at most `records` records of the history are looked at. */
  | { readonly type: 'sweep'; readonly records: number };

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
}

/** The state machine's answer to one {@link WriteBatch}. */
export type BatchAnswer =
  | {
      readonly ok: true;
      /** `packResults` of one result per operation. The same bytes for every retry of the batch. */
      readonly results: Uint8Array;
      /** It had been applied before; this is the first outcome again. */
      readonly repeated: boolean;
    }
  /** Refused by every replica alike; not applied. Codes: `SESSION_EXPIRED`, `SESSION_GAP`, `FRAME_INVALID`. */
  | { readonly ok: false; readonly error: BalsaError };

/** Which keys a range reads. */
export interface RangeQuery {
  readonly from: Uint8Array;
  /** Exclusive; `null`: to the end. */
  readonly to: Uint8Array | null;
  readonly reverse: boolean;
  /** Most keys to return in this page; capped by `rangePageKeysMax`. */
  readonly keysMax: number;
  /** The revision to read at; `null`: the latest. */
  readonly revision: number | null;
}

export interface RangePage {
  readonly items: readonly KeyValue[];
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
