import { BalsaError, type WriteOutcome } from '../base/errors.js';
import type { WriteResult } from '../base/operation.js';
import type { AnswerMeta, Consistency } from '../rpc/protocol.js';
import { whenAborted } from './abort.js';

/** What an answer was really given from. */
export interface Meta extends AnswerMeta {
  /** The level that was kept. Writes are always `linearizable`. */
  readonly level: Consistency;
  /** Stands for what the answer was given from, for `{ session: token }`, also in another process. */
  readonly token: string;
  /** Name of the replica that answered. */
  readonly replica: string;
}

export interface PutResult {
  /** The revision that this put made. */
  readonly revision: number;
  readonly meta: Meta;
}

export interface DeleteResult {
  /** Was there a value? */
  readonly deleted: boolean;
  /** The revision that the deletion made, or that of the store when there was nothing to delete. */
  readonly revision: number;
  readonly meta: Meta;
}

/** Until when a call may take, and whether somebody may abort it. */
export interface CallLimits {
  readonly startedMs: number;
  /** Infinity: no limit. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
}

/** One call of the public API on its way. It is settled once, whatever comes. */
export abstract class PendingCall {
  readonly startedMs: number;
  readonly deadlineMs: number;
  settled = false;
  readonly #reject: (error: BalsaError) => void;
  #forgetSignal: (() => void) | null = null;

  constructor(limits: CallLimits, reject: (error: BalsaError) => void) {
    this.startedMs = limits.startedMs;
    this.deadlineMs = limits.deadlineMs;
    this.#reject = reject;
  }

  /** Calls `abort` with the reason when `signal` is aborted before this call is settled. */
  abortedBy(signal: AbortSignal, abort: (cause: unknown) => void): void {
    const others = this.#forgetSignal;
    const forget = whenAborted(signal, () => abort(signal.reason));
    this.#forgetSignal = () => {
      others?.();
      forget();
    };
  }

  fail(error: BalsaError): void {
    if (this.settled) return;
    this.settle();
    this.#reject(error);
  }

  protected settle(): void {
    this.settled = true;
    if (this.#forgetSignal === null) return;
    this.#forgetSignal();
    this.#forgetSignal = null;
  }
}

abstract class PendingWriteCall extends PendingCall {
  readonly key: Uint8Array;
  /** Bytes that it takes in a batch, at most. */
  abstract readonly bytes: number;
  /** It is in a batch that was sent at least once. */
  sent = false;

  constructor(key: Uint8Array, limits: CallLimits, reject: (error: BalsaError) => void) {
    super(limits, reject);
    this.key = key;
  }
}

/** Bytes of one operation beside key and value: the tuple, the type, two lengths. */
const OPERATION_OVERHEAD_BYTES = 12;

export class PendingPut extends PendingWriteCall {
  readonly type = 'put';
  readonly value: Uint8Array;
  readonly bytes: number;
  readonly #resolve: (result: PutResult) => void;

  constructor(
    options: { key: Uint8Array; value: Uint8Array; limits: CallLimits },
    resolve: (result: PutResult) => void,
    reject: (error: BalsaError) => void,
  ) {
    super(options.key, options.limits, reject);
    this.value = options.value;
    this.bytes = options.key.byteLength + options.value.byteLength + OPERATION_OVERHEAD_BYTES;
    this.#resolve = resolve;
  }

  succeed(result: WriteResult, meta: Meta): void {
    if (this.settled) return;
    this.settle();
    if (result.type === 'put') this.#resolve({ revision: result.revision, meta });
  }
}

export class PendingDelete extends PendingWriteCall {
  readonly type = 'delete';
  readonly bytes: number;
  readonly #resolve: (result: DeleteResult) => void;

  constructor(
    options: { key: Uint8Array; limits: CallLimits },
    resolve: (result: DeleteResult) => void,
    reject: (error: BalsaError) => void,
  ) {
    super(options.key, options.limits, reject);
    this.bytes = options.key.byteLength + OPERATION_OVERHEAD_BYTES;
    this.#resolve = resolve;
  }

  succeed(result: WriteResult, meta: Meta): void {
    if (this.settled) return;
    this.settle();
    if (result.type !== 'delete') return;
    this.#resolve({ deleted: result.deleted > 0, revision: result.revision, meta });
  }
}

export type PendingWrite = PendingPut | PendingDelete;

/** @returns BalsaError `CANCELLED` */
export function cancelled(cause: unknown, outcome?: WriteOutcome): BalsaError {
  const fate =
    outcome === undefined
      ? ''
      : outcome === 'unknown'
        ? '; it had been sent and may be applied all the same'
        : ' before it was sent';
  return new BalsaError('CANCELLED', `the call was aborted${fate}`, { cause, outcome });
}

/** @returns BalsaError `CLIENT_CLOSED` */
export function clientClosed(outcome?: WriteOutcome): BalsaError {
  const fate =
    outcome === 'unknown' ? '; the write had been sent and may be applied all the same' : '';
  return new BalsaError('CLIENT_CLOSED', `the client was closed${fate}`, { outcome });
}
