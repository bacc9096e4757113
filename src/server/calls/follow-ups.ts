import { type CallRecord, FINGERPRINT_BYTES } from '../../base/call.js';
import type { Clock } from '../../base/clock.js';
import type { Random } from '../../base/random.js';
import type { CallSupplement } from '../../compute/execution.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import type { CallDone, CallRequest } from './call-types.js';

/** The leader, for calls that it makes by itself. */
export interface FollowUpHost {
  readonly clock: Clock;
  readonly random: Random;
  readonly machine: () => StateMachine;
  readonly canRun: () => boolean;
  /** The time of day here, in milliseconds since 1970. */
  readonly nowMs: () => number;
  /** Log time as it is now, in milliseconds. */
  readonly logMs: () => number;
  readonly call: (request: CallRequest, done: CallDone) => void;
  /** Puts a record of a call that needs no code into the log. */
  readonly submit: (record: Uint8Array, done: CallDone) => void;
  /** For `balsa proc logs`. */
  readonly note: (procedure: string, line: string) => void;
}

/** How a call ends on account of its code: that it failed, or that the log does not take what it would write. */
export const CODE_FAILED: ReadonlySet<string> = new Set([
  ...['PROCEDURE_FAILED', 'PROCEDURE_ABORTED', 'PROCEDURE_LIMIT', 'INVALID_ARGUMENT'],
  // What it writes that it may not, and what it calls that there is not.
  ...['PROCEDURE_READ_ONLY', 'PROCEDURE_NOT_FOUND'],
  ...['KEY_EMPTY', 'KEY_TOO_LARGE', 'VALUE_TOO_LARGE', 'VALUE_NOT_DECODABLE'],
  ...['KEY_DUPLICATE', 'TXN_TOO_LARGE'],
]);

/** The record of a call of which only the supplement comes into being. */
export function withoutCode(
  identity: Pick<CallRecord, 'procedure' | 'hash' | 'key' | 'bornIndex'>,
  { reads, writes }: Pick<CallSupplement, 'reads' | 'writes'>,
): CallRecord {
  return {
    ...{ ...identity, isNamed: false, fingerprint: new Uint8Array(FINGERPRINT_BYTES) },
    ...{ reads, ranges: [], writes, updates: [], events: [], dependsOn: [] },
    end: { ok: true, result: 'null' },
  };
}
