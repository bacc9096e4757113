import { asBalsaError, BalsaError } from '../../base/errors.js';
import type { CallSupplement } from '../../compute/execution.js';
import type { ResolvedProcedure } from '../../statemachine/procedures.js';
import type { FreshnessFacts } from '../freshness.js';

/** A call as its caller asks for it. */
export interface CallRequest {
  /** `transfer`, `transfer@prod`, `transfer@<hash>`. */
  readonly procedure: string;
  /** JSON. */
  readonly args: string;
  readonly key: Uint8Array;
  readonly isNamed: boolean;
  readonly bornIndex: number;
  /** Of one of an `ap` procedure that was tried before: how long ago it was first, at most, when it came here. */
  readonly ageMs?: number | null | undefined;
  /** Of one of an `ap` procedure: what is known of the state as it is now. */
  readonly facts?: (() => FreshnessFacts) | undefined;
  /** Of a call that the leader makes by itself: when what this has read is not so any more it is told of the conflict, and decides anew. */
  readonly supplement?: CallSupplement | undefined;
}

/** What a call is answered. `logs`: what its code logged, as far as it ran here. */
export type CallAnswer = { readonly logs: readonly string[] } & (
  | {
      readonly ok: true;
      /** JSON. */
      readonly result: string;
      readonly revision: number;
      /** Of the code that ran; empty when it had run before. */
      readonly hash: string;
      /** It had been applied before; this is the first outcome again. */
      readonly repeated: boolean;
      /** Of an `ap` procedure: it is on the disk of this replica, and not merged into the log yet; or it is merged. */
      readonly pending?: boolean;
      /** Of an `ap` procedure: of the state that it was made over. */
      readonly facts?: FreshnessFacts | undefined;
      /** Of one that the leader has made by itself: what its code has failed of. What belongs to it was applied all the same. */
      readonly failure?: string | null | undefined;
    }
  | { readonly ok: false; readonly error: BalsaError }
);

export type CallDone = (answer: CallAnswer) => void;

export function refusedCall(error: BalsaError, logs: readonly string[] = []): CallAnswer {
  return { ok: false, error, logs };
}

/** What a call had logged before it failed is often why. */
export function withLogs(cause: BalsaError, logs: readonly string[]): BalsaError {
  const { code, message, outcome, details } = asBalsaError(cause);
  if (logs.length === 0) return cause;
  return new BalsaError(code, message, { outcome, details: { ...details, logs }, cause });
}

/** What {@link withLogs} has put in. */
export function logsOf({ details }: BalsaError): readonly string[] {
  const { logs } = details as { logs?: readonly string[] };
  return logs ?? [];
}

const OTHER_MODE = 'other-mode';

/** It was taken for one that is called in another way than what the name stands for. */
export function otherMode({ procedure }: CallRequest, { mode }: ResolvedProcedure): BalsaError {
  const message = `${procedure} is declared as ${mode}`;
  return new BalsaError('INVALID_ARGUMENT', message, {
    ...{ outcome: 'not-applied', details: { reason: OTHER_MODE } },
  });
}

export function isOfOtherMode({ details }: BalsaError): boolean {
  return details.reason === OTHER_MODE;
}
