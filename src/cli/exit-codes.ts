import type { ErrorCode } from '../base/errors.js';

/** What the exit code of the `balsa` command tells a script. Stable, like the error codes. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  conditionFailed: 4,
  unavailable: 5,
  outcomeUnknown: 6,
  notAllowed: 7,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** For `--help`. */
export const EXIT_MEANINGS: { readonly [K in keyof typeof EXIT]: string } = {
  done: 'done',
  failed: 'failed',
  usage:
    'wrong usage, among others: an unknown flag, a bad argument, a bad configuration, something too large; nothing was done, but import keeps what it has stored before',
  notFound: 'not found: no such key, lease, namespace, procedure or job',
  conditionFailed:
    'a condition did not hold, among others: --if-... or txn; lock --try; a procedure that aborts; an id that is taken; a job in another phase; members that have changed, or too few alive',
  unavailable:
    'unavailable, among others: unreachable, no leader, no quorum, too slow; what failed was not applied, try again; a command of many requests (import, del --in-parts) keeps what it has done before',
  outcomeUnknown: 'a write whose outcome is unknown: it may have been applied, or may yet be',
  notAllowed: 'not allowed (kept for access control)',
  interrupted: 'interrupted by Ctrl-C or SIGTERM',
};

/**
 * The exit code of each error code. It holds when a write was surely not applied, and for reads;
 * a write with an unknown outcome is `outcomeUnknown`, whatever its code.
 */
export const EXIT_OF_CODE: { readonly [C in ErrorCode]: ExitCode } = {
  // The same command may succeed later.
  NOT_LEADER: EXIT.unavailable,
  NO_QUORUM: EXIT.unavailable,
  REPLICA_BEHIND: EXIT.unavailable,
  UNREACHABLE: EXIT.unavailable,
  TIMEOUT: EXIT.unavailable,
  OVERLOADED: EXIT.unavailable,
  SHUTTING_DOWN: EXIT.unavailable,
  SESSION_EXPIRED: EXIT.unavailable,
  SESSION_GAP: EXIT.unavailable,
  FUTURE_REVISION: EXIT.unavailable,
  SESSION_BEHIND: EXIT.unavailable,
  TXN_CONFLICT: EXIT.unavailable,
  STALE_BOUND_EXCEEDED: EXIT.unavailable,
  WATCH_LAGGING: EXIT.unavailable,
  UPGRADE_PENDING: EXIT.unavailable,
  CHANGE_PENDING: EXIT.unavailable,
  NOT_CAUGHT_UP: EXIT.unavailable,
  TRANSFER_FAILED: EXIT.unavailable,
  CANCELLED: EXIT.interrupted,
  // The caller must change something.
  INVALID_ARGUMENT: EXIT.usage,
  KEY_EMPTY: EXIT.usage,
  KEY_TOO_LARGE: EXIT.usage,
  VALUE_TOO_LARGE: EXIT.usage,
  BATCH_TOO_LARGE: EXIT.usage,
  CONFIG_INVALID: EXIT.usage,
  FILE_UNREADABLE: EXIT.usage,
  // What the command leans on no longer holds.
  CONFIGURATION_CONFLICT: EXIT.conditionFailed,
  CONDITION_FAILED: EXIT.conditionFailed,
  LEASE_EXISTS: EXIT.conditionFailed,
  NAMESPACE_CONFLICT: EXIT.conditionFailed,
  QUORUM_AT_RISK: EXIT.conditionFailed,
  PROCEDURE_ABORTED: EXIT.conditionFailed,
  // Failed.
  PROCEDURES_TOO_MANY: EXIT.failed,
  CALL_EXPIRED: EXIT.failed,
  CALL_KEY_REUSED: EXIT.failed,
  CALL_KEYS_FULL: EXIT.failed,
  AP_QUEUE_FULL: EXIT.unavailable,
  MERGED_KEYS_FULL: EXIT.unavailable,
  KEY_RESERVED: EXIT.usage,
  PROCEDURE_FAILED: EXIT.failed,
  PROCEDURE_LIMIT: EXIT.failed,
  PROCEDURE_READ_ONLY: EXIT.failed,
  CELL_FULL: EXIT.failed,
  JOB_NOT_FOUND: EXIT.notFound,
  JOB_EXISTS: EXIT.conditionFailed,
  JOB_STATE: EXIT.conditionFailed,
  JOBS_TOO_MANY: EXIT.failed,
  JOB_LIMIT: EXIT.usage,
  JOB_FAILED: EXIT.failed,
  JOB_CANCELLED: EXIT.failed,
  TASK_FENCED: EXIT.failed,
  TASK_POISONED: EXIT.failed,
  WORKER_LOST: EXIT.failed,
  UPLOAD_INCOMPLETE: EXIT.failed,
  KEY_NOT_FOUND: EXIT.notFound,
  LEASE_NOT_FOUND: EXIT.notFound,
  NAMESPACE_NOT_FOUND: EXIT.notFound,
  PROCEDURE_NOT_FOUND: EXIT.notFound,
  KEY_DUPLICATE: EXIT.usage,
  TXN_TOO_LARGE: EXIT.usage,
  RANGE_TOO_LARGE: EXIT.usage,
  LEASE_FULL: EXIT.failed,
  LEASES_TOO_MANY: EXIT.failed,
  LOCK_LOST: EXIT.failed,
  NAMESPACES_TOO_MANY: EXIT.failed,
  QUOTA_EXCEEDED: EXIT.failed,
  NO_SPACE: EXIT.failed,
  CLIENT_CLOSED: EXIT.failed,
  COMPACTED: EXIT.failed,
  COMPACTION_HELD: EXIT.unavailable,
  VALUE_NOT_DECODABLE: EXIT.failed,
  FRAME_INVALID: EXIT.failed,
  PROTOCOL_VERSION: EXIT.failed,
  CLUSTER_MISMATCH: EXIT.failed,
  MEMBER_MISMATCH: EXIT.failed,
  PORT_IN_USE: EXIT.failed,
  ADDRESS_UNUSABLE: EXIT.failed,
  DATA_FOLDER_IN_USE: EXIT.failed,
  DATA_FOLDER_MISMATCH: EXIT.failed,
  DATA_FOLDER_UNUSABLE: EXIT.failed,
  DISK_FULL: EXIT.failed,
  DISK_FAILED: EXIT.failed,
  WAL_CORRUPT: EXIT.failed,
  DELTAS_CORRUPT: EXIT.failed,
  STATE_CORRUPT: EXIT.failed,
  STATE_DIVERGED: EXIT.failed,
  SNAPSHOT_CORRUPT: EXIT.failed,
  VERSION_UNSUPPORTED: EXIT.failed,
  MEMBER_REMOVED: EXIT.failed,
  QUORUM_ALIVE: EXIT.failed,
  FILE_INVALID: EXIT.failed,
  INVARIANT: EXIT.failed,
  INTERNAL: EXIT.failed,
};

/** The table as lines for `--help`. */
export function exitCodesHelp(): string {
  const names = Object.keys(EXIT) as (keyof typeof EXIT)[];
  const lines = names.map((name) => `  ${String(EXIT[name]).padEnd(4)} ${EXIT_MEANINGS[name]}`);
  return ['Exit codes (docs/errors.md has that of each error):', ...lines].join('\n');
}
