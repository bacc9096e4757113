/**
 * The one error of Balsa. Every failure that a user, an operator or another replica can see is a
 * {@link BalsaError} with a stable `code`; what is right to do next is in its fields, not in its text.
 */

/** What became of a write that failed. `unknown`: it may have been applied, or may yet be. */
export type WriteOutcome = 'not-applied' | 'unknown';

interface CodeFacts {
  /** The same request may succeed later, or at another replica. */
  readonly retryable: boolean;
  /** What the code means, in one sentence: docs/errors.md has it, held by a test. */
  readonly meaning: string;
}

/** Every error code, in one table. Codes are stable: they are never renamed or reused. */
export const ERROR_CODES = {
  // Availability
  NOT_LEADER: {
    retryable: true,
    meaning: 'The replica is not the leader; details.leader names it when known.',
  },
  NO_QUORUM: {
    retryable: true,
    meaning: 'No majority of the replicas can be reached, so nothing can be decided.',
  },
  REPLICA_BEHIND: {
    retryable: true,
    meaning: 'The replica has not yet applied what the read must see; another one may have.',
  },
  UNREACHABLE: { retryable: true, meaning: 'No endpoint answers.' },
  TIMEOUT: { retryable: true, meaning: 'The time limit of the call passed.' },
  OVERLOADED: {
    retryable: true,
    meaning: 'A bound was reached; details.retryAfterMs says when to try again.',
  },
  SHUTTING_DOWN: { retryable: true, meaning: 'The replica is stopping.' },
  CANCELLED: { retryable: false, meaning: 'The caller aborted the call.' },
  CLIENT_CLOSED: { retryable: false, meaning: 'The client was closed before the answer came.' },
  // Sessions
  SESSION_EXPIRED: {
    retryable: true,
    meaning: 'The session is no longer known; the write was not applied by this attempt.',
  },
  SESSION_GAP: {
    retryable: true,
    meaning: 'An earlier write of the session has not arrived; writes are applied in their order.',
  },
  // Requests
  INVALID_ARGUMENT: { retryable: false, meaning: 'An argument has the wrong type or range.' },
  KEY_EMPTY: { retryable: false, meaning: 'A key must have at least one byte.' },
  KEY_TOO_LARGE: { retryable: false, meaning: 'The key is longer than keyBytesMax.' },
  VALUE_TOO_LARGE: { retryable: false, meaning: 'The value is longer than valueBytesMax.' },
  BATCH_TOO_LARGE: {
    retryable: false,
    meaning: 'The request is larger than its limit of bytes or operations.',
  },
  COMPACTED: { retryable: false, meaning: 'The revision asked for is no longer kept.' },
  COMPACTION_HELD: {
    retryable: true,
    meaning: 'A trigger or a job needs the oldest history that is kept.',
  },
  SESSION_BEHIND: {
    retryable: true,
    meaning: 'This replica has not yet applied what the session token stands for.',
  },
  STALE_BOUND_EXCEEDED: {
    retryable: true,
    meaning: 'This replica cannot show that its state is as fresh as the bound asks.',
  },
  KEY_NOT_FOUND: {
    retryable: false,
    meaning: 'The operation needs a key that exists, and there is none.',
  },
  KEY_DUPLICATE: {
    retryable: false,
    meaning: 'One transaction may write a key only once.',
  },
  CONDITION_FAILED: {
    retryable: false,
    meaning: 'The condition of the write did not hold; nothing was written.',
  },
  TXN_CONFLICT: {
    retryable: true,
    meaning: 'What the transaction had read was changed by others, each time that it was tried.',
  },
  TXN_TOO_LARGE: {
    retryable: false,
    meaning: 'The transaction has more operations than txnOperationsMax.',
  },
  RANGE_TOO_LARGE: {
    retryable: false,
    meaning: 'The range has more keys or bytes than one transaction may touch.',
  },
  LEASE_NOT_FOUND: {
    retryable: false,
    meaning: 'There is no such lease: it was revoked, or has expired.',
  },
  LEASE_EXISTS: { retryable: false, meaning: 'The id of the lease is taken.' },
  LEASE_FULL: { retryable: false, meaning: 'More keys than leaseKeysMax hang on the lease.' },
  LEASES_TOO_MANY: { retryable: false, meaning: 'There are leasesMax leases already.' },
  LOCK_LOST: {
    retryable: false,
    meaning:
      'The lock, or the leadership of an election, is no longer held: its lease has expired or was revoked.',
  },
  NAMESPACE_CONFLICT: {
    retryable: false,
    meaning: 'The prefix of the namespace begins with that of another one, or the other way round.',
  },
  NAMESPACE_NOT_FOUND: { retryable: false, meaning: 'There is no such namespace.' },
  NAMESPACES_TOO_MANY: { retryable: false, meaning: 'There are namespacesMax namespaces already.' },
  QUOTA_EXCEEDED: {
    retryable: false,
    meaning: 'The namespace would hold more bytes than its quota; delete keys or raise it.',
  },
  NO_SPACE: {
    retryable: false,
    meaning:
      'The store holds as many bytes as its space quota allows; delete keys and compact, or raise it.',
  },
  WATCH_LAGGING: {
    retryable: true,
    meaning: 'The client reads a watch more slowly than it goes on; it is resumed from history.',
  },
  UPGRADE_PENDING: {
    retryable: true,
    meaning: 'Not all members of the cluster know this feature yet; finish the upgrade.',
  },
  FUTURE_REVISION: { retryable: true, meaning: 'The revision asked for does not exist yet.' },
  VALUE_NOT_DECODABLE: {
    retryable: false,
    meaning: 'The stored bytes are not what the codec of the client expects.',
  },
  // Procedures
  PROCEDURE_NOT_FOUND: { retryable: false, meaning: 'There is no such procedure.' },
  PROCEDURE_FAILED: {
    retryable: false,
    meaning: 'The code of the procedure threw; details.stack says where. Nothing was written.',
  },
  PROCEDURE_ABORTED: {
    retryable: false,
    meaning: 'The procedure called ctx.abort. Nothing was written.',
  },
  PROCEDURE_LIMIT: {
    retryable: false,
    meaning: 'The call has reached a limit, which details.limit names. Nothing was written.',
  },
  PROCEDURE_READ_ONLY: {
    retryable: false,
    meaning: 'The procedure has tried to write what one of its mode does not write.',
  },
  CELL_FULL: {
    retryable: false,
    meaning: 'The mergeable cell would be larger than cellBytesMax. Nothing was written.',
  },
  PROCEDURES_TOO_MANY: {
    retryable: false,
    meaning: 'The bounds bundlesMax, bundlesBytesMax or aliasesMax would be exceeded.',
  },
  CALL_EXPIRED: {
    retryable: false,
    meaning:
      'A call with this idempotency key may have been applied so long ago that it is no longer remembered.',
  },
  CALL_KEY_REUSED: {
    retryable: false,
    meaning:
      'The idempotency key was given to another call: another procedure, or other arguments.',
  },
  CALL_KEYS_FULL: {
    retryable: false,
    meaning: 'As many idempotency keys are remembered as namedCallsMax allows; let some grow old.',
  },
  AP_QUEUE_FULL: {
    retryable: true,
    meaning:
      'So many changes of ap procedures wait here to be merged as apQueueBytesMax allows; nothing was changed.',
  },
  MERGED_KEYS_FULL: {
    retryable: true,
    meaning:
      'So many calls are remembered that a member may still bring as mergedKeysMax allows; often one is away.',
  },
  KEY_RESERVED: {
    retryable: false,
    meaning: 'Keys with this prefix are written by procedures alone: cells by ap procedures.',
  },
  // Jobs
  JOB_NOT_FOUND: { retryable: false, meaning: 'There is no such job (any more).' },
  JOB_EXISTS: { retryable: false, meaning: 'There is a job of this id already.' },
  JOBS_TOO_MANY: { retryable: false, meaning: 'There are jobsMax jobs already; remove some.' },
  JOB_LIMIT: {
    retryable: false,
    meaning: 'What belongs to a job is larger than a limit, which details.limit names.',
  },
  JOB_STATE: {
    retryable: false,
    meaning: 'The job is in a phase in which this cannot be done; details.phase says which.',
  },
  JOB_FAILED: {
    retryable: false,
    meaning: 'A task of the job has failed for good; details say which one, and why.',
  },
  JOB_CANCELLED: { retryable: false, meaning: 'The job was cancelled.' },
  TASK_FENCED: {
    retryable: false,
    meaning: 'The attempt of a task does not count any more; nothing of it was applied.',
  },
  TASK_POISONED: {
    retryable: false,
    meaning: 'Workers at several places were lost or broke at the task.',
  },
  WORKER_LOST: { retryable: false, meaning: 'The workers of a task were lost too often.' },
  UPLOAD_INCOMPLETE: {
    retryable: false,
    meaning: 'What is referred to was not uploaded as a whole, or so long ago that it was removed.',
  },
  // Wire
  FRAME_INVALID: {
    retryable: false,
    meaning: 'The bytes received are not a frame of this protocol.',
  },
  PROTOCOL_VERSION: {
    retryable: false,
    meaning: 'Client and replica speak different protocol versions.',
  },
  CLUSTER_MISMATCH: { retryable: false, meaning: 'The other side belongs to another cluster.' },
  MEMBER_MISMATCH: {
    retryable: false,
    meaning: 'The other side is not the member that it should be.',
  },
  // Starting and running a replica
  CONFIG_INVALID: { retryable: false, meaning: 'The configuration is wrong.' },
  PORT_IN_USE: { retryable: false, meaning: 'Another process listens on the address.' },
  ADDRESS_UNUSABLE: { retryable: false, meaning: 'The listen address cannot be bound.' },
  DATA_FOLDER_IN_USE: { retryable: false, meaning: 'Another process uses the data folder.' },
  DATA_FOLDER_MISMATCH: {
    retryable: false,
    meaning: 'The data folder belongs to another cluster or member.',
  },
  DATA_FOLDER_UNUSABLE: {
    retryable: false,
    meaning: 'The data folder cannot be created, read or written.',
  },
  DISK_FULL: { retryable: false, meaning: 'The disk has no space left.' },
  DISK_FAILED: {
    retryable: false,
    meaning: 'The disk failed to write or to sync; the replica stops rather than guess.',
  },
  WAL_CORRUPT: {
    retryable: false,
    meaning: 'The log is damaged inside; the replica refuses to vote.',
  },
  DELTAS_CORRUPT: {
    retryable: false,
    meaning:
      'The queue of deltas, which holds what `ap` calls have left and is not in the log yet, is damaged inside, or lacks a part of what was merged.',
  },
  STATE_CORRUPT: {
    retryable: false,
    meaning: 'The state on disk is damaged or does not fit the log.',
  },
  STATE_DIVERGED: {
    retryable: false,
    meaning: 'The state differs from that of a majority at the same index; the replica stops.',
  },
  SNAPSHOT_CORRUPT: {
    retryable: false,
    meaning: 'A snapshot is damaged, incomplete or not in the stated format; nothing was changed.',
  },
  VERSION_UNSUPPORTED: {
    retryable: false,
    meaning: 'Written by a newer version; this one stops rather than misread it.',
  },
  // Files the CLI reads
  FILE_UNREADABLE: {
    retryable: false,
    meaning: 'A file named on the command line cannot be read.',
  },
  FILE_INVALID: {
    retryable: false,
    meaning: 'A file named on the command line is not in the stated format.',
  },
  // Membership
  CONFIGURATION_CONFLICT: {
    retryable: false,
    meaning: 'The members have changed since they were read; look again, then decide again.',
  },
  CHANGE_PENDING: {
    retryable: true,
    meaning:
      'Another change of the members is not finished, leadership is about to be handed over, or the leader is too new to make one.',
  },
  QUORUM_AT_RISK: {
    retryable: false,
    meaning: 'After the change too few voters would be alive to decide anything.',
  },
  NOT_CAUGHT_UP: {
    retryable: true,
    meaning: 'A member that shall vote lacks too much of the log; wait and try again.',
  },
  TRANSFER_FAILED: {
    retryable: true,
    meaning: 'Leadership was not handed over in time; the leader stays.',
  },
  MEMBER_REMOVED: {
    retryable: false,
    meaning: 'This member was removed from its cluster; its data folder is of no more use to it.',
  },
  QUORUM_ALIVE: {
    retryable: false,
    meaning: 'Refused: a majority of the members can be reached, so nothing needs to be forced.',
  },
  // Ours
  INVARIANT: {
    retryable: false,
    meaning: 'A rule that must always hold does not; the replica stops.',
  },
  INTERNAL: { retryable: false, meaning: 'An error that nobody foresaw.' },
} as const satisfies Record<string, CodeFacts>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface BalsaErrorOptions {
  /** For writes only. */
  readonly outcome?: WriteOutcome | undefined;
  readonly cause?: unknown;
  /** Facts a program may act on, e.g. `leader`, `retryAfterMs`, `limit`, `file`, `offset`. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

export class BalsaError extends Error {
  override readonly name = 'BalsaError';
  readonly code: ErrorCode;
  /** The same request may succeed later or elsewhere. For a write also look at `outcome`. */
  readonly retryable: boolean;
  /** Present on errors of writes: was it applied? */
  readonly outcome: WriteOutcome | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: BalsaErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = ERROR_CODES[code].retryable;
    this.outcome = options.outcome;
    this.details = options.details ?? {};
  }

  /** The same error with another outcome. */
  withOutcome(outcome: WriteOutcome): BalsaError {
    return new BalsaError(this.code, this.message, {
      outcome,
      cause: this.cause ?? this,
      details: this.details,
    });
  }
}

/** `error` as a {@link BalsaError}: itself, or wrapped as `INTERNAL` with its message. */
export function asBalsaError(error: unknown): BalsaError {
  if (error instanceof BalsaError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new BalsaError('INTERNAL', message, { cause: error });
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERROR_CODES, value);
}
