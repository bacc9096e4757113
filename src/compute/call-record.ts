import { toMapKey } from '../base/bytes.js';
import type { CallRecord, KeyWrite, RecordedEffects } from '../base/call.js';
import { packCall } from '../base/call-codec.js';
import { BalsaError } from '../base/errors.js';
import type { CallIdentity, CallSupplement, Execution } from './execution.js';

const NOTHING_WRITTEN = { writes: [], updates: [], events: [] };

/**
 * What a call that was run would do, for the log.
 * @throws BalsaError `INVALID_ARGUMENT`: it has changed cells, which are merged in another way
 */
export function recordOf(
  identity: CallIdentity,
  hash: string,
  execution: Execution,
  dependsOn: readonly number[],
  supplement: CallSupplement | null = null,
): CallRecord {
  const record = { hash, dependsOn, ...identity, ...outcomeOf(execution) };
  if (supplement === null || (!record.end.ok && !supplement.evenIfFailed)) return record;
  return {
    ...record,
    reads: [...record.reads, ...supplement.reads],
    writes: [...record.writes, ...writesBeside(record, supplement)],
    end: record.end.ok ? record.end : { ok: true, result: 'null' },
  };
}

/** Of a supplement, what the code has not seen to itself: it may have taken back what it comes from, or put it anew. */
function writesBeside(
  { writes, updates }: RecordedEffects,
  supplement: CallSupplement,
): readonly KeyWrite[] {
  const written = new Set([...writes, ...updates].map(({ key }) => toMapKey(key)));
  const left = supplement.writes.filter(({ key }) => !written.has(toMapKey(key)));
  if (left.length === supplement.writes.length) return left;
  const puts = supplement.writes.filter(({ value }) => value !== null);
  const isPutByCode = puts.some(({ key }) => written.has(toMapKey(key)));
  return isPutByCode ? left.filter(({ value }) => value === null) : left;
}

function outcomeOf(execution: Execution): RecordedEffects & Pick<CallRecord, 'end'> {
  if (execution.ok) {
    const { cells, ...effects } = execution.effects;
    if (cells.length > 0) throw changesCells();
    return { end: { ok: true, result: execution.result }, ...effects };
  }
  const { reads, ranges } = execution.reads;
  const { code, message, details } = execution.error;
  return { reads, ranges, ...NOTHING_WRITTEN, end: { ok: false, code, message, details } };
}

function changesCells(): BalsaError {
  const message = 'a call of an ap procedure is no transaction: its changes are merged';
  return new BalsaError('INVALID_ARGUMENT', message, { outcome: 'not-applied' });
}

/**
 * @param bytesMax of a record: what the log takes
 * @throws BalsaError `PROCEDURE_LIMIT`
 */
export function packRecord(record: CallRecord, bytesMax: number): Buffer {
  const bytes = packCall(record);
  if (bytes.byteLength <= bytesMax) return bytes;
  throw new BalsaError(
    'PROCEDURE_LIMIT',
    `what the call has read and written takes ${bytes.byteLength} bytes; the limit is ${bytesMax} (batchBytesMax)`,
    { outcome: 'not-applied', details: { limit: 'batchBytesMax', max: bytesMax } },
  );
}

/** The code itself ended so: all else has nothing to do with it, and may end otherwise the next time. */
export function isVerdict(execution: Execution): boolean {
  return execution.ok || CODE_ERRORS.has(execution.error.code);
}

const CODE_ERRORS: ReadonlySet<string> = new Set([
  ...['PROCEDURE_FAILED', 'PROCEDURE_ABORTED', 'PROCEDURE_LIMIT', 'PROCEDURE_READ_ONLY'],
  'CELL_FULL',
  ...[
    'PROCEDURE_NOT_FOUND',
    'INVALID_ARGUMENT',
    'KEY_EMPTY',
    'KEY_TOO_LARGE',
    'VALUE_TOO_LARGE',
    'VALUE_NOT_DECODABLE',
  ],
]);
