import { BalsaError } from '../../src/base/errors.js';

/** Errors of calls that are no fault of the cluster. */
const ORDINARY = new Set([
  'TIMEOUT',
  'NO_QUORUM',
  'UNREACHABLE',
  'OVERLOADED',
  'SESSION_EXPIRED',
  'NOT_LEADER',
  'SHUTTING_DOWN',
  'REPLICA_BEHIND',
  'SESSION_BEHIND',
  'STALE_BOUND_EXCEEDED',
  'FUTURE_REVISION',
]);

export function isOrdinary(error: unknown): error is BalsaError {
  return error instanceof BalsaError && ORDINARY.has(error.code);
}
