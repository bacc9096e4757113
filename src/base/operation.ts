import { check, pack, packToKeep, unpack } from './codec.js';
import { BalsaError } from './errors.js';
import type { Limits } from './limits.js';

/**
 * What a client asks the store to do, and how it travels: the client packs the writes of one turn
 * of its event loop once, and those bytes go untouched through wire, log and disk to every replica.
 */

export interface PutOperation {
  readonly type: 'put';
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface DeleteOperation {
  readonly type: 'delete';
  readonly key: Uint8Array;
}

export type WriteOperation = PutOperation | DeleteOperation;

/** Answers of {@link WriteOperation}s, in the same order. */
export type WriteResult =
  | { readonly type: 'put'; readonly revision: number }
  /** `deleted`: was there a value? `revision` is that of the deletion, or of the store when none. */
  | { readonly type: 'delete'; readonly revision: number; readonly deleted: boolean };

/**
 * One batch of writes of one session: the unit of order and of exactly-once. `sequence` counts the
 * batches of the session from 1.
 */
export interface WriteBatch {
  /** 16 random bytes, chosen by the client. */
  readonly sessionId: Uint8Array;
  /**
   * An index that was applied somewhere when the session was made. A session that is not known is
   * made by its batch 1, unless one that was active at or after `bornIndex` has been forgotten: then
   * this may be it, and the batch is refused as `SESSION_EXPIRED` rather than applied twice.
   */
  readonly bornIndex: number;
  readonly sequence: number;
  /** The client has the answers of all batches through this one and asks for none of them again. */
  readonly acknowledged: number;
  /** {@link packOperations} of at least one operation. */
  readonly operations: Uint8Array;
}

/** What a key holds at some revision. */
export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  /** Number of puts since the key was created: 1 after the first. */
  readonly version: number;
}

const PUT = 1;
const DELETE = 2;

export function packOperations(operations: readonly WriteOperation[]): Buffer {
  return pack(
    operations.map((op) => (op.type === 'put' ? [PUT, op.key, op.value] : [DELETE, op.key])),
  );
}

/** @throws BalsaError `FRAME_INVALID` */
export function unpackOperations(bytes: Uint8Array): WriteOperation[] {
  return check.list(unpack(bytes), 'operations').map(toOperation);
}

function toOperation(value: unknown): WriteOperation {
  const tuple = check.tuple(value, 'operation', 2);
  const key = check.bytes(tuple[1], 'operation key');
  if (tuple[0] === PUT) {
    return { type: 'put', key, value: check.bytes(tuple[2], 'operation value') };
  }
  if (tuple[0] === DELETE) return { type: 'delete', key };
  throw new BalsaError('FRAME_INVALID', `operation: unknown type ${String(tuple[0])}`);
}

export function packResults(results: readonly WriteResult[]): Buffer {
  return packToKeep(
    results.map((r) =>
      r.type === 'put' ? [PUT, r.revision] : [DELETE, r.revision, r.deleted ? 1 : 0],
    ),
  );
}

/** @throws BalsaError `FRAME_INVALID` */
export function unpackResults(bytes: Uint8Array): WriteResult[] {
  return check.list(unpack(bytes), 'results').map((value): WriteResult => {
    const tuple = check.tuple(value, 'result', 2);
    const revision = check.count(tuple[1], 'result revision');
    if (tuple[0] === PUT) return { type: 'put', revision };
    if (tuple[0] === DELETE) return { type: 'delete', revision, deleted: tuple[2] === 1 };
    throw new BalsaError('FRAME_INVALID', `result: unknown type ${String(tuple[0])}`);
  });
}

/** @throws BalsaError `KEY_EMPTY`, `KEY_TOO_LARGE` */
export function checkKey(key: Uint8Array, limits: Limits): void {
  if (key.byteLength === 0) {
    throw new BalsaError('KEY_EMPTY', 'a key must have at least one byte', {
      outcome: 'not-applied',
    });
  }
  checkSize('KEY_TOO_LARGE', 'key', key.byteLength, limits.keyBytesMax);
}

/** @throws BalsaError `KEY_EMPTY`, `KEY_TOO_LARGE`, `VALUE_TOO_LARGE` */
export function checkOperation(operation: WriteOperation, limits: Limits): void {
  checkKey(operation.key, limits);
  if (operation.type === 'put') {
    checkSize('VALUE_TOO_LARGE', 'value', operation.value.byteLength, limits.valueBytesMax);
  }
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
