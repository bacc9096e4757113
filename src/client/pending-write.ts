import { asBalsaError, BalsaError, isErrorCode } from '../base/errors.js';
import type { TaskReportOperation } from '../base/job.js';
import { fromJobSpec, packedBytes } from '../base/job-codec.js';
import type {
  Compare,
  TxnOperation,
  TxnStep,
  WriteOperation,
  WriteResult,
} from '../base/operation.js';
import { type CallLimits, type Meta, PendingCall } from './pending.js';

/** Bytes of one operation beside keys and values, at most: the tuple, the type, lengths, numbers. */
const OPERATION_OVERHEAD_BYTES = 48;
/** The same of the plain forms of put and delete, of which there are many. */
const PLAIN_OVERHEAD_BYTES = 12;

/** A write on its way; `deliver` makes of its result what the caller gets, and may throw. */
export class PendingWrite extends PendingCall {
  readonly operation: WriteOperation;
  /** It goes before all that waits to be sent. */
  readonly isUrgent: boolean;
  /** Bytes that it takes in a batch, at most. */
  readonly bytes: number;
  /** See `CallQueue`. */
  readonly isWide: boolean;
  /** It is in a batch that was sent at least once. */
  sent = false;
  readonly #deliver: (result: WriteResult, meta: Meta) => void;

  constructor(
    options: {
      readonly operation: WriteOperation;
      readonly limits: CallLimits;
      readonly isUrgent?: boolean;
    },
    deliver: (result: WriteResult, meta: Meta) => void,
    reject: (error: BalsaError) => void,
  ) {
    super(options.limits, reject);
    this.operation = options.operation;
    this.isUrgent = options.isUrgent === true;
    this.bytes = operationBytes(options.operation);
    const { type } = options.operation;
    this.isWide = type === 'delete-range' || type === 'lease-revoke';
    this.#deliver = deliver;
  }

  succeed(result: WriteResult, meta: Meta): void {
    if (this.settled) return;
    if (result.type === 'error') {
      this.fail(refusedByAll(result));
      return;
    }
    try {
      this.#deliver(result, meta);
    } catch (cause) {
      this.fail(appliedUnread(asBalsaError(cause)));
      return;
    }
    this.settle();
  }
}

/** The state machine refused this one operation. */
function refusedByAll(result: WriteResult & { readonly type: 'error' }): BalsaError {
  return new BalsaError(isErrorCode(result.code) ? result.code : 'INTERNAL', result.message, {
    outcome: 'not-applied',
    details: result.details ?? {},
  });
}

/** Its answer cannot be given: a value is not what the codec expects. It was applied, unless the error says otherwise. */
function appliedUnread(error: BalsaError): BalsaError {
  if (error.outcome === 'not-applied') return error;
  return new BalsaError(error.code, `the write was applied, but ${error.message}`, {
    outcome: 'unknown',
    details: { ...error.details, applied: true },
    cause: error.cause ?? error,
  });
}

/** Bytes of an operation as it is packed, at most. */
export function operationBytes(operation: WriteOperation): number {
  switch (operation.type) {
    case 'put': {
      const { key, value, lease = 0, returnPrevious = false } = operation;
      const plain = lease === 0 && !returnPrevious;
      const overhead = plain ? PLAIN_OVERHEAD_BYTES : OPERATION_OVERHEAD_BYTES;
      return key.byteLength + (value?.byteLength ?? 0) + overhead;
    }
    case 'delete':
      return operation.key.byteLength + PLAIN_OVERHEAD_BYTES;
    case 'delete-range':
      return placeBytes(operation) + OPERATION_OVERHEAD_BYTES;
    case 'txn':
      return txnBytes(operation);
    case 'namespace-set':
      return operation.prefix.byteLength + 3 * operation.name.length + OPERATION_OVERHEAD_BYTES;
    case 'deploy':
      return operation.procedures.reduce(
        (sum, { name }) => sum + name.length + PLAIN_OVERHEAD_BYTES,
        operation.code.byteLength + 4 * OPERATION_OVERHEAD_BYTES,
      );
    case 'alias-set':
    case 'alias-remove':
      return 8 * OPERATION_OVERHEAD_BYTES;
    case 'namespace-remove':
      return 3 * operation.name.length + OPERATION_OVERHEAD_BYTES;
    case 'job-submit':
      return packedBytes(fromJobSpec(operation.spec)) + 4 * OPERATION_OVERHEAD_BYTES;
    case 'job-upload':
      return operation.bytes.byteLength + 4 * OPERATION_OVERHEAD_BYTES;
    case 'task-report':
      return reportBytes(operation) + 4 * OPERATION_OVERHEAD_BYTES;
    default:
      return OPERATION_OVERHEAD_BYTES;
  }
}

function reportBytes({ report }: TaskReportOperation): number {
  switch (report.type) {
    case 'checkpoint':
      return Buffer.byteLength(report.json);
    case 'failed':
      return 3 * (report.code.length + report.message.length);
    case 'crashed':
      return 3 * report.message.length;
    case 'result':
      if (report.value.type === 'json') return Buffer.byteLength(report.value.json);
      return report.value.type === 'bytes' ? report.value.bytes.byteLength : 0;
    default:
      return 0;
  }
}

function txnBytes({ compares, success, failure }: TxnOperation): number {
  let bytes = OPERATION_OVERHEAD_BYTES;
  for (const compare of compares) bytes += compareBytes(compare);
  for (const step of success) bytes += stepBytes(step);
  for (const step of failure) bytes += stepBytes(step);
  return bytes;
}

function stepBytes(step: TxnStep): number {
  if (step.type !== 'read') return operationBytes(step);
  return placeBytes(step) + 2 * OPERATION_OVERHEAD_BYTES;
}

function compareBytes(compare: Compare): number {
  const value = compare.target === 'value' ? compare.value.byteLength : 0;
  return placeBytes(compare) + value + OPERATION_OVERHEAD_BYTES;
}

function placeBytes(place: { from: Uint8Array; to?: Uint8Array | null | undefined }): number {
  return place.from.byteLength + (place.to?.byteLength ?? 0);
}
