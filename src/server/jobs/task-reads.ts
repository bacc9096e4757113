import { costOf, type RangeRead } from '../../base/call.js';
import { BalsaError } from '../../base/errors.js';
import type { Limits } from '../../base/limits.js';

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
