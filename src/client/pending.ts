import { BalsaError, type WriteOutcome } from '../base/errors.js';
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

  /** Calls `abort` with the reason when `signal` is aborted before this call is settled, or was before. */
  abortedBy(signal: AbortSignal, abort: (cause: unknown) => void): void {
    if (signal.aborted) {
      abort(signal.reason);
      return;
    }
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
