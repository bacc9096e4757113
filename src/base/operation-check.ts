import { unreachable } from './assert.js';
import { compareBytes, startsWith } from './bytes.js';
import {
  type CallRecord,
  EVENT_PREFIX,
  eventWrites,
  pendingPlace,
  TRIGGER_PREFIX,
} from './call.js';
import { CELL_PREFIX, CELL_PREFIX_BYTES, isCellKey } from './delta.js';
import { BalsaError } from './errors.js';
import { checkJobOperation } from './job-check.js';
import type { Limits } from './limits.js';
import type {
  Compare,
  ProcedureOperation,
  TxnOperation,
  TxnStep,
  WriteOperation,
} from './operation.js';
import { TXN_DEPTH_MAX } from './operation-codec.js';
import { checkProcedureName } from './procedure-name.js';

/** What gets into the log cannot be refused any more, so all that can be said without the state is checked first. */

/** Bytes of the code of one bundle, with all that it imports. */
export const BUNDLE_BYTES_MAX = 1024 * 1024;

/** @throws BalsaError `KEY_EMPTY`, `KEY_TOO_LARGE` */
export function checkKey(key: Uint8Array, limits: Limits): void {
  if (key.byteLength === 0) {
    throw new BalsaError('KEY_EMPTY', 'a key must have at least one byte', {
      outcome: 'not-applied',
    });
  }
  checkSize('KEY_TOO_LARGE', 'key', key.byteLength, limits.keyBytesMax);
}

/**
 * Cells are put by merges alone; anybody may delete them.
 * @throws BalsaError `KEY_RESERVED`
 */
export function checkNotReserved(key: Uint8Array): void {
  if (!isCellKey(key)) return;
  throw new BalsaError(
    'KEY_RESERVED',
    `keys that begin with ${CELL_PREFIX} are cells, which ap procedures write`,
    {
      outcome: 'not-applied',
    },
  );
}

/** What calls leave there the cluster itself goes on with: what is due, how far triggers have come, and what was emitted. */
const PREFIXES_OF_CALLS = ['_schedules/', '_schedule-ids/', TRIGGER_PREFIX, EVENT_PREFIX].map(
  (prefix) => Buffer.from(prefix),
);

const UNDERSCORE = 0x5f;

/**
 * Puts of clients; calls put there what they schedule and emit. Anybody may delete it.
 * @throws BalsaError `KEY_RESERVED`
 */
function checkNotOfCalls(key: Uint8Array): void {
  if (key[0] !== UNDERSCORE) return;
  const prefix = PREFIXES_OF_CALLS.find((bytes) => startsWith(key, bytes));
  if (prefix === undefined) return;
  const message = `keys that begin with ${prefix.toString()} are written by procedures; anybody may delete them`;
  throw new BalsaError('KEY_RESERVED', message, { outcome: 'not-applied' });
}

const RESERVED_PREFIXES = [CELL_PREFIX_BYTES, ...PREFIXES_OF_CALLS];

/**
 * Of a namespace. A quota would hold up what the cluster itself goes on with: one over the cells all merges, whosever they are.
 * @throws BalsaError `KEY_EMPTY`, `KEY_TOO_LARGE`, `KEY_RESERVED`
 */
function checkNamespacePrefix(prefix: Uint8Array, limits: Limits): void {
  checkKey(prefix, limits);
  const reserved = RESERVED_PREFIXES.find(
    (bytes) => startsWith(prefix, bytes) || startsWith(bytes, prefix),
  );
  if (reserved === undefined) return;
  const message = `a namespace cannot have keys that begin with ${reserved.toString()}, which procedures write; remove it if it is there from before`;
  throw new BalsaError('KEY_RESERVED', message, { outcome: 'not-applied' });
}

/** @throws BalsaError `KEY_EMPTY`, `KEY_TOO_LARGE`, `KEY_RESERVED`, `VALUE_TOO_LARGE`, `TXN_TOO_LARGE`, `INVALID_ARGUMENT` */
export function checkOperation(operation: WriteOperation, limits: Limits): void {
  switch (operation.type) {
    case 'put':
      checkKey(operation.key, limits);
      checkNotReserved(operation.key);
      checkNotOfCalls(operation.key);
      if (operation.value === null) break;
      checkSize('VALUE_TOO_LARGE', 'value', operation.value.byteLength, limits.valueBytesMax);
      break;
    case 'delete':
      checkKey(operation.key, limits);
      break;
    case 'delete-range':
      checkBounds(operation.from, operation.to, limits);
      break;
    case 'txn':
      checkTxn(operation, limits);
      break;
    case 'lease-grant':
      checkLease(operation.lease, operation.ttlMs, limits);
      break;
    case 'namespace-set':
      checkNamespacePrefix(operation.prefix, limits);
      checkName(operation.name);
      break;
    case 'namespace-remove':
      checkName(operation.name);
      break;
    case 'deploy':
    case 'alias-set':
    case 'alias-remove':
      checkProcedureOperation(operation);
      break;
    case 'job-submit':
    case 'job-control':
    case 'job-upload':
    case 'task-report':
      checkJobOperation(operation, limits);
      break;
    case 'lease-keep-alive':
    case 'lease-revoke':
    case 'compact':
    case 'settings':
      break;
    default:
      unreachable(operation);
  }
}

/** An operation that touches a number of keys that only the state knows counts as so many. */
const RANGE_COST = 256;

/** How much work it is to apply, in operations on one key each; roughly. */
export function operationCost(operation: WriteOperation): number {
  switch (operation.type) {
    case 'txn':
      return 1 + txnSize(operation);
    case 'delete-range':
    case 'lease-revoke':
      return RANGE_COST;
    default:
      return 1;
  }
}

function checkTxn(txn: TxnOperation, limits: Limits): void {
  const size = txnSize(txn);
  if (size > limits.txnOperationsMax) {
    throw new BalsaError(
      'TXN_TOO_LARGE',
      `the transaction has ${size} comparisons and operations; the limit is ${limits.txnOperationsMax} (txnOperationsMax)`,
      { outcome: 'not-applied', details: { limit: limits.txnOperationsMax, size } },
    );
  }
  checkSteps(txn, limits, 1);
}

function txnSize(txn: TxnOperation): number {
  const ofSteps = (steps: readonly TxnStep[]): number =>
    steps.reduce((sum, step) => sum + 1 + (step.type === 'txn' ? txnSize(step) : 0), 0);
  return txn.compares.length + ofSteps(txn.success) + ofSteps(txn.failure);
}

function checkSteps(txn: TxnOperation, limits: Limits, depth: number): void {
  if (depth > TXN_DEPTH_MAX) {
    throw invalid(`transactions can be nested ${TXN_DEPTH_MAX} deep, this one is deeper`);
  }
  for (const { from, to } of txn.compares) checkPlace(from, to, limits);
  for (const branch of [txn.success, txn.failure]) {
    for (const step of branch) {
      if (step.type === 'read') checkPlace(step.from, step.to, limits);
      else if (step.type === 'txn') checkSteps(step, limits, depth + 1);
      else checkOperation(step, limits);
    }
  }
}

function checkPlace(from: Uint8Array, to: Compare['to'], limits: Limits): void {
  if (to === undefined) checkKey(from, limits);
  else checkBounds(from, to, limits);
}

/**
 * Of keys that are read or watched. What stands behind the longest key is one byte longer than that.
 * @throws BalsaError `KEY_TOO_LARGE`
 */
export function checkReadBounds(
  { from, to }: { readonly from: Uint8Array; readonly to: Uint8Array | null },
  limits: Limits,
): void {
  for (const { byteLength } of [from, to ?? from]) {
    if (byteLength > limits.keyBytesMax + 1) {
      checkSize('KEY_TOO_LARGE', 'key', byteLength, limits.keyBytesMax);
    }
  }
}

/** `from` may be empty: the first key of all. */
function checkBounds(from: Uint8Array, to: Uint8Array | null, limits: Limits): void {
  checkSize('KEY_TOO_LARGE', 'key', from.byteLength, limits.keyBytesMax);
  if (to === null) return;
  checkSize('KEY_TOO_LARGE', 'key', to.byteLength, limits.keyBytesMax);
  if (compareBytes(from, to) < 0) return;
  throw new BalsaError('INVALID_ARGUMENT', 'a range must begin before its end', {
    outcome: 'not-applied',
  });
}

/** @param id 0: one that the cluster chooses */
function checkLease(id: number, ttlMs: number, limits: Limits): void {
  if (!Number.isSafeInteger(id) || id < 0) {
    throw invalid(`the id of a lease is a whole number from 1, found ${id}`);
  }
  const { leaseTtlMsMin, leaseTtlMsMax } = limits;
  if (Number.isInteger(ttlMs) && ttlMs >= leaseTtlMsMin && ttlMs <= leaseTtlMsMax) return;
  throw new BalsaError(
    'INVALID_ARGUMENT',
    `the time to live of a lease is ${ttlMs} ms; allowed are whole numbers from ${leaseTtlMsMin} to ${leaseTtlMsMax} (leaseTtlMsMin, leaseTtlMsMax)`,
    { outcome: 'not-applied', details: { ttlMs, leaseTtlMsMin, leaseTtlMsMax } },
  );
}

const NAME_LENGTH_MAX = 200;

function checkName(name: string): void {
  if (name.length > 0 && name.length <= NAME_LENGTH_MAX) return;
  throw new BalsaError(
    'INVALID_ARGUMENT',
    `the name of a namespace has 1 to ${NAME_LENGTH_MAX} characters, found ${name.length}`,
    { outcome: 'not-applied' },
  );
}

const TRIGGER_LENGTH_MAX = 1000;
const HASH = /^[0-9a-f]{64}$/;

function checkProcedureOperation(operation: ProcedureOperation): void {
  checkProcedureName('alias', operation.alias);
  if (operation.type !== 'deploy') checkProcedureName('name', operation.name);
  if (operation.type === 'alias-remove') return;
  if (!HASH.test(operation.hash)) throw invalid('the hash of a bundle is not SHA-256 in hex');
  if (operation.type === 'alias-set') return;
  if (operation.procedures.length === 0) throw invalid('a bundle without procedures');
  for (const { name, mode, trigger } of operation.procedures) {
    checkProcedureName('name', name);
    if (trigger !== null && mode === 'ap') throw invalid('a trigger cannot be an ap procedure');
    if (trigger !== null && trigger.length > TRIGGER_LENGTH_MAX)
      throw invalid('a trigger with a prefix that is too long');
  }
  const bytes = operation.code.byteLength;
  if (bytes <= BUNDLE_BYTES_MAX) return;
  throw new BalsaError(
    'PROCEDURE_LIMIT',
    `the code has ${bytes} bytes; the limit is ${BUNDLE_BYTES_MAX} (bundleBytesMax)`,
    {
      outcome: 'not-applied',
      details: { limit: 'bundleBytesMax', max: BUNDLE_BYTES_MAX },
    },
  );
}

/**
 * What a call that was run elsewhere would write.
 * @throws BalsaError `KEY_EMPTY`, `KEY_TOO_LARGE`, `KEY_RESERVED`, `VALUE_TOO_LARGE`, `INVALID_ARGUMENT`
 */
export function checkCall(call: CallRecord, limits: Limits): void {
  const { reads, writes, updates, events, dependsOn } = call;
  const isOfGroup =
    dependsOn.length > 0 || reads.some(({ modRevision }) => pendingPlace(modRevision) !== null);
  if (isOfGroup) throw invalid('the call has read what others of its entry wrote, and has none');
  for (const { key } of reads) checkKey(key, limits);
  const values = [...writes, ...updates, ...eventWrites(events)];
  for (const write of values) {
    checkKey(write.key, limits);
    if (!('value' in write) || write.value !== null) checkNotReserved(write.key);
    const bytes = 'value' in write ? (write.value?.byteLength ?? 0) : 0;
    checkSize('VALUE_TOO_LARGE', 'value', bytes, limits.valueBytesMax);
  }
}

function invalid(message: string): BalsaError {
  return new BalsaError('INVALID_ARGUMENT', message, { outcome: 'not-applied' });
}

function checkSize(
  code: 'KEY_TOO_LARGE' | 'VALUE_TOO_LARGE',
  what: string,
  bytes: number,
  limit: number,
): void {
  if (bytes <= limit) return;
  throw new BalsaError(
    code,
    `the ${what} has ${bytes} bytes; the limit is ${limit} (${what}BytesMax)`,
    {
      outcome: 'not-applied',
      details: { limit, bytes },
    },
  );
}
