import { unreachable } from '../base/assert.js';
import { BalsaError } from '../base/errors.js';
import type {
  Compare,
  KeyValue,
  PutOperation,
  ReadOperation,
  ReadResult,
  TxnOperation,
  TxnStep,
  WriteResult,
} from '../base/operation.js';
import { checkRevision, invalid } from './invalid.js';
import type { Condition, GetOpResult, Op, RangeOpOptions, TxnOp } from './op-types.js';
import type { KeyForm } from './options.js';
import { leaseId, type Scope } from './scope.js';
import type { PutOpOptions } from './write-options.js';

/** Transactions of callers as operations of the store, and their results back. */

/** The keys and values of the caller's transaction as those of the store. @throws BalsaError `INVALID_ARGUMENT`, `KEY_EMPTY` */
export function encodeTxn<In>(scope: Scope<In, unknown, KeyForm>, txn: TxnOp<In>): TxnOperation {
  return {
    type: 'txn',
    compares: txn.conditions.map((condition) => encodeCondition(scope, condition)),
    success: txn.success.map((step) => encodeStep(scope, step)),
    failure: txn.failure.map((step) => encodeStep(scope, step)),
  };
}

function encodeCondition<In>(
  scope: Scope<In, unknown, KeyForm>,
  condition: Condition<In>,
): Compare {
  const { place, operator, target } = condition;
  const where = encodePlace(scope, place);
  if (target === 'value') {
    return { operator, target, value: scope.encode(condition.value), ...where };
  }
  checkNumber(target, condition.value);
  // A range is counted; of one key it is known whether it is there.
  return { operator, target, value: condition.value, ...where };
}

function encodePlace<In>(
  scope: Scope<In, unknown, KeyForm>,
  place: Condition<In>['place'],
): { from: Uint8Array; to?: Uint8Array | null } {
  if ('range' in place) return scope.range(place.range);
  if (place.inStore === true && place.key instanceof Uint8Array) return { from: place.key };
  return { from: scope.key(place.key) };
}

function encodeStep<In>(scope: Scope<In, unknown, KeyForm>, step: Op<In>): TxnStep {
  switch (step.type) {
    case 'put':
      return putOperation(scope.key(step.key), scope.encode(step.value), step.options);
    case 'touch':
      return putOperation(scope.key(step.key), null, step.options);
    case 'delete':
      return { type: 'delete', key: scope.key(step.key), ...previous(step.options) };
    case 'delete-range':
      return { type: 'delete-range', ...scope.range(step.range), ...previous(step.options) };
    case 'get':
      return { type: 'read', from: scope.key(step.key) };
    case 'range':
      return { type: 'read', ...scope.range(step.range), ...readOptions(step.options) };
    case 'txn':
      return encodeTxn(scope, step);
    default:
      return unreachable(step);
  }
}

/** @param value `null`: the one that is there stays. @throws BalsaError `INVALID_ARGUMENT` */
export function putOperation(
  key: Uint8Array,
  value: Uint8Array | null,
  options: PutOpOptions,
): PutOperation {
  const { lease, ignoreLease = false, returnPrevious = false } = options;
  if (lease === undefined && !ignoreLease && !returnPrevious) return { type: 'put', key, value };
  if (lease !== undefined && ignoreLease) {
    throw invalid('a put takes lease or ignoreLease, not both');
  }
  const hangsOn = ignoreLease ? 'keep' : lease === undefined ? 0 : leaseId(lease);
  return { type: 'put', key, value, lease: hangsOn, returnPrevious };
}

function previous(options: { readonly returnPrevious?: boolean | undefined }): {
  returnPrevious?: boolean;
} {
  return options.returnPrevious === true ? { returnPrevious: true } : {};
}

function readOptions(options: RangeOpOptions): Omit<ReadOperation, 'type' | 'from' | 'to'> {
  const { limit, reverse, keysOnly, countOnly } = options;
  if (limit !== undefined) checkNumber('limit', limit);
  const bounds = {
    modRevisionMin: options.minModRevision,
    modRevisionMax: options.maxModRevision,
    createRevisionMin: options.minCreateRevision,
    createRevisionMax: options.maxCreateRevision,
  };
  for (const bound of Object.values(bounds)) if (bound !== undefined) checkRevision(bound);
  // In the store a limit of 0 is none.
  const nothing = limit === 0 ? { countOnly: true } : { countOnly };
  return { limit, reverse, keysOnly, ...nothing, ...bounds };
}

function checkNumber(name: string, value: unknown): void {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return;
  throw invalid(`${name} must be a whole number from 0, found ${String(value)}`);
}

// ---------------------------------------------------------------------------------------------

type TxnResultOfStore = WriteResult & { readonly type: 'txn' };

/** What the transaction gave, in the caller's keys and values. @throws BalsaError `VALUE_NOT_DECODABLE`, `FRAME_INVALID` */
export function toBranchResult(
  scope: Scope<never, unknown, KeyForm>,
  txn: TxnOp<never>,
  result: TxnResultOfStore,
): { succeeded: boolean; results: readonly unknown[]; revision: number } {
  const { succeeded, revision } = result;
  const steps = succeeded ? txn.success : txn.failure;
  if (steps.length !== result.results.length) {
    throw mismatch(`${result.results.length} results for ${steps.length} steps`);
  }
  const results = steps.map((step, i) => toOpResult(scope, step, result.results[i]));
  return { succeeded, results, revision };
}

function toOpResult(
  scope: Scope<never, unknown, KeyForm>,
  step: Op<never>,
  result: WriteResult | ReadResult | undefined,
): unknown {
  const found = result?.type ?? 'none';
  const { type } = step;
  if ((type === 'put' || type === 'touch') && result?.type === 'put') {
    const { revision } = result;
    if (step.options.returnPrevious !== true) return { revision };
    return { revision, previous: scope.itemOrNull(result.previous) };
  }
  if ((type === 'delete' || type === 'delete-range') && result?.type === 'delete') {
    return toDeleteResult(scope, step, result);
  }
  if (type === 'get' && result?.type === 'read') return toGetOpResult(scope, result.items[0]);
  if (type === 'range' && result?.type === 'read') {
    const one = step.options.keysOnly === true ? toKeyItem : toItem;
    const { count, more } = result;
    const items = result.items.map((item) => one(scope, item));
    return more === true ? { items, count, more } : { items, count };
  }
  if (type === 'txn' && result?.type === 'txn') return toBranchResult(scope, step, result);
  throw mismatch(`a result of type ${found} for a ${type}`);
}

function toDeleteResult(
  scope: Scope<never, unknown, KeyForm>,
  step: Op<never> & { readonly type: 'delete' | 'delete-range' },
  { deleted, revision, previous: before = [] }: WriteResult & { readonly type: 'delete' },
): unknown {
  const wanted = step.options.returnPrevious === true;
  if (step.type === 'delete-range') {
    if (!wanted) return { deleted, revision };
    return { deleted, revision, previous: before.map((item) => scope.item(item)) };
  }
  if (!wanted) return { deleted: deleted > 0, revision };
  return { deleted: deleted > 0, revision, previous: scope.itemOrNull(before[0]) };
}

function toItem(scope: Scope<never, unknown, KeyForm>, item: KeyValue): unknown {
  return scope.item(item);
}

function toKeyItem(scope: Scope<never, unknown, KeyForm>, item: KeyValue): unknown {
  return scope.bareItem(item);
}

/** @throws BalsaError `VALUE_NOT_DECODABLE` */
export function toGetOpResult<Out>(
  scope: Scope<never, Out, KeyForm>,
  item: KeyValue | null | undefined,
): GetOpResult<Out> {
  if (item === null || item === undefined) return ABSENT;
  const { modRevision, createRevision, version, lease } = item;
  return { value: scope.decode(item), modRevision, createRevision, version, lease };
}

export const ABSENT = {
  value: undefined,
  ...{ modRevision: 0, createRevision: 0, version: 0, lease: 0 },
} as const;

function mismatch(what: string): BalsaError {
  return new BalsaError('FRAME_INVALID', what);
}
