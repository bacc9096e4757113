import { asBalsaError, type BalsaError } from '../base/errors.js';
import type { KeyContent, KeyValue, RangeFilter } from '../base/operation.js';
import type { ReadLevel, ReplicaStatus } from '../rpc/protocol.js';
import { type CallLimits, type Meta, PendingCall } from './pending.js';

/** A read on its way; `deliver` makes of its answer what the caller gets, and may throw. */
export class PendingRead<Answer> extends PendingCall {
  readonly #deliver: (answer: Answer, meta: Meta) => void;

  constructor(
    limits: CallLimits,
    deliver: (answer: Answer, meta: Meta) => void,
    reject: (error: BalsaError) => void,
  ) {
    super(limits, reject);
    this.#deliver = deliver;
  }

  succeed(answer: Answer, meta: Meta): void {
    if (this.settled) return;
    try {
      this.#deliver(answer, meta);
    } catch (error) {
      this.fail(asBalsaError(error));
      return;
    }
    this.settle();
  }
}

/** What is asked for one key. */
export interface GetQuery extends ReadLevel {
  readonly key: Uint8Array;
  /** `null`: the latest. */
  readonly revision: number | null;
}

/** Bytes of a key in a request beside itself, and of the call. */
const KEY_OVERHEAD_BYTES = 5;

export class PendingGet extends PendingRead<KeyValue | null> {
  readonly query: GetQuery;
  readonly bytes: number;
  /** It has left the queue. */
  sent = false;

  constructor(
    options: { query: GetQuery; limits: CallLimits },
    deliver: (item: KeyValue | null, meta: Meta) => void,
    reject: (error: BalsaError) => void,
  ) {
    super(options.limits, deliver, reject);
    this.query = options.query;
    this.bytes = options.query.key.byteLength + KEY_OVERHEAD_BYTES;
  }

  found(content: KeyContent | null, meta: Meta): void {
    if (content === null) {
      this.succeed(null, meta);
      return;
    }
    const { value, createRevision, modRevision, version, lease } = content;
    const { key } = this.query;
    this.succeed({ key, value, createRevision, modRevision, version, lease }, meta);
  }
}

/** What is asked for one page of a range. */
export interface PageQuery extends ReadLevel {
  readonly from: Uint8Array;
  readonly to: Uint8Array | null;
  readonly reverse: boolean;
  readonly keysMax: number;
  /** `null`: the latest. */
  readonly revision: number | null;
  readonly filter: RangeFilter;
}

export interface Page {
  readonly items: readonly KeyValue[];
  readonly revision: number;
  /** Where the next page starts; `null`: there is none. */
  readonly continueFrom: Uint8Array | null;
  readonly count: number;
  readonly meta: Meta;
}

export type PendingPage = PendingRead<Omit<Page, 'meta'>>;
export type PendingStatus = PendingRead<ReplicaStatus>;
