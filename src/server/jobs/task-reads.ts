import type { RangeRead } from '../../base/call.js';
import { BalsaError } from '../../base/errors.js';
import type { Limits } from '../../base/limits.js';
import { RANGE_COST } from '../../statemachine/read-ahead.js';

/** What looking at the ranges again takes of the keys that one log entry may look at. */
export function costOf(ranges: readonly RangeRead[]): number {
  return ranges.reduce((sum, { keys }) => sum + keys + RANGE_COST, 0);
}

/**
 * Of a task that writes: whether what it has read can be looked at again when its writes come into being.
 * @throws BalsaError `PROCEDURE_LIMIT`: it could not, however often the task is run
 */
export function checkReads(
  ranges: readonly RangeRead[],
  { txnReadKeysMax, entryReadKeysMax }: Pick<Limits, 'txnReadKeysMax' | 'entryReadKeysMax'>,
): void {
  const most = ranges.reduce((max, { keys }) => Math.max(max, keys), 0);
  if (most > txnReadKeysMax) {
    throw tooMany('txnReadKeysMax', txnReadKeysMax, `${most} keys in one range`);
  }
  const cost = costOf(ranges);
  if (cost > entryReadKeysMax) {
    throw tooMany('entryReadKeysMax', entryReadKeysMax, `${cost} keys in its ranges`);
  }
}

function tooMany(limit: string, max: number, found: string): BalsaError {
  return new BalsaError(
    'PROCEDURE_LIMIT',
    `a task that writes has read ${found}; the limit is ${max} (${limit}): divide it`,
    { outcome: 'not-applied', details: { limit, max } },
  );
}
