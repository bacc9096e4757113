import { prefixEnd } from '../base/bytes.js';
import { isLive, type LiveTarget, type Target } from './keyspace.js';
import { entryTooLarge, type RangeView } from './range-view.js';
import { Refusal } from './refusal.js';

/** @throws Refusal `KEY_NOT_FOUND` */
export function mustBeThere(target: Target): LiveTarget {
  if (isLive(target)) return target;
  throw new Refusal('KEY_NOT_FOUND', 'there is no such key, so there is nothing to keep', {
    key: Buffer.from(target.key).toString('hex'),
  });
}

/**
 * What keys of the prefix there are already, of which at most `limit` are counted.
 * @throws Refusal `RANGE_TOO_LARGE`, `OVERLOADED`
 */
export function usedBelow(
  ranges: RangeView,
  prefix: Uint8Array,
  limit: number,
): { readonly usedBytes: number; readonly keys: number } {
  const found = ranges.prefix(prefix);
  if (found.type === 'not-read') throw entryTooLarge();
  if (found.type === 'too-many') {
    throw new Refusal(
      'RANGE_TOO_LARGE',
      `more than ${limit} keys begin with that prefix already (namespaceKeysFoundMax): ` +
        'make a namespace before it is filled',
      { limit },
    );
  }
  const targets = ranges.merge(found, prefix, prefixEnd(prefix));
  const usedBytes = targets.reduce(
    (sum, { key, record }) => sum + key.byteLength + record.valueBytes,
    0,
  );
  return { usedBytes, keys: targets.length };
}

export function tooManyWrites(limit: number): Refusal {
  return new Refusal(
    'TXN_TOO_LARGE',
    `the transaction writes more than ${limit} keys; nothing was applied`,
    { limit },
  );
}
