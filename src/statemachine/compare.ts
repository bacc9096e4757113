import { unreachable } from '../base/assert.js';
import { compareBytes } from '../base/bytes.js';
import { ABSENT_KEYS_COMPARED } from '../base/command-versions.js';
import type { Compare, CompareOperator } from '../base/operation.js';
import { isLive, type Keyspace, type LiveTarget, type Target } from './keyspace.js';
import type { RangeView } from './range-view.js';
import type { ReadBytes } from './read-bytes.js';

/** What conditions are looked at in. */
export interface ComparedState {
  readonly keyspace: Keyspace;
  readonly ranges: RangeView;
  /** Counts the values that are read. */
  readonly compared: ReadBytes;
  /** Of the entry. */
  readonly version: number;
}

/**
 * Does the condition hold now, with all that was written before it?
 * @throws Refusal `RANGE_TOO_LARGE`, `TXN_TOO_LARGE`, `OVERLOADED`
 */
export function holds(compare: Compare, state: ComparedState): boolean {
  const { keyspace, ranges } = state;
  const { from, to, operator, target } = compare;
  const targets = to === undefined ? [keyspace.target(from)] : ranges.liveKeys(from, to);
  if (target === 'count') {
    return isMet(operator, targets.filter(isLive).length - compare.value);
  }
  if (targets.length === 0 && state.version >= ABSENT_KEYS_COMPARED) {
    return target !== 'value' && isMet(operator, 0 - compare.value);
  }
  return targets.every((one) => isMetBy(one, compare, state));
}

function isMetBy(target: Target, compare: Compare, state: ComparedState): boolean {
  const { operator } = compare;
  if (compare.target === 'value') {
    if (!isLive(target)) return operator === '!=' && state.version < ABSENT_KEYS_COMPARED;
    return isMetByValue(target, operator, compare.value, state);
  }
  return isMet(operator, numberOf(target, compare.target) - compare.value);
}

function isMetByValue(
  target: LiveTarget,
  operator: CompareOperator,
  value: Uint8Array,
  { keyspace, compared }: ComparedState,
): boolean {
  const { valueBytes } = target.record;
  const isAboutEquality = operator === '=' || operator === '!=';
  if (isAboutEquality && valueBytes !== value.byteLength) return operator === '!=';
  compared.add(valueBytes);
  return isMet(operator, compareBytes(keyspace.valueOf(target), value));
}

function numberOf(target: Target, what: Exclude<Compare['target'], 'value'>): number {
  if (!isLive(target)) return 0;
  const { version, createRevision, modified, lease } = target.record;
  switch (what) {
    case 'version':
      return version;
    case 'createRevision':
      return createRevision;
    case 'modRevision':
      return modified.revision;
    case 'lease':
      return lease;
    case 'count':
      return 1;
    default:
      return unreachable(what);
  }
}

/** @param difference of what is and what is asked for */
function isMet(operator: CompareOperator, difference: number): boolean {
  switch (operator) {
    case '=':
      return difference === 0;
    case '!=':
      return difference !== 0;
    case '<':
      return difference < 0;
    case '>':
      return difference > 0;
    default:
      return unreachable(operator);
  }
}
