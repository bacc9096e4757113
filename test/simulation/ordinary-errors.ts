import { BalsaError } from '../../src/base/errors.js';

/** Errors of any call that are no fault of the cluster. */
export const UNAVAILABLE: readonly string[] = [
  'TIMEOUT',
  'NO_QUORUM',
  'UNREACHABLE',
  'OVERLOADED',
  'SESSION_EXPIRED',
  'NOT_LEADER',
  'SHUTTING_DOWN',
  'REPLICA_BEHIND',
  'FUTURE_REVISION',
];

/** And those of reads at all levels. */
const ORDINARY = new Set([...UNAVAILABLE, 'SESSION_BEHIND', 'STALE_BOUND_EXCEEDED']);

export function isOrdinary(error: unknown): error is BalsaError {
  return error instanceof BalsaError && ORDINARY.has(error.code);
}
