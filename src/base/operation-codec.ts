import { check, LARGE_BYTES, pack, packLarge, packToKeep, shownType, unpack } from './codec.js';
import { isPlainPut } from './command-versions.js';
import { BalsaError } from './errors.js';
import type { JobOperation } from './job.js';
import { fromJobOperation, toJobOperation } from './job-codec.js';
import type {
  Compare,
  CompareOperator,
  DeclaredProcedure,
  KeyValue,
  ProcedureOperation,
  PutOperation,
  RangeFilter,
  ReadOperation,
  ReadResult,
  StoreSettings,
  TxnOperation,
  TxnStep,
  WriteOperation,
  WriteResult,
} from './operation.js';

/**
 * How operations travel: the client packs the writes of one turn of its event loop once, and those bytes go
 * untouched through wire, log and disk to every replica. Tuples that begin with the type; fields are
 * appended, never reordered. Plain puts and deletes have the shortest form.
 */
const ERROR = 0;
const PUT = 1;
const DELETE = 2;
const DELETE_RANGE = 3;
const TXN = 4;
const READ = 5;
const LEASE_GRANT = 6;
const LEASE_KEEP_ALIVE = 7;
const LEASE_REVOKE = 8;
const COMPACT = 9;
const NAMESPACE_SET = 10;
const NAMESPACE_REMOVE = 11;
const SETTINGS = 12;
const LEASE = 13;
const DONE = 14;
const DEPLOY = 15;
const ALIAS_SET = 16;
const ALIAS_REMOVE = 17;

const PREVIOUS = 1;
const KEEP_LEASE = 2;
const REVERSE = 1;
const KEYS_ONLY = 2;
const COUNT_ONLY = 4;

/** Deepest nesting of transactions. */
export const TXN_DEPTH_MAX = 4;

const OPERATORS: readonly CompareOperator[] = ['=', '!=', '<', '>'];
const TARGETS: readonly Compare['target'][] = [
  'value',
  'version',
  'createRevision',
  'modRevision',
  'lease',
  'count',
];

export function packOperations(operations: readonly WriteOperation[]): Buffer {
  const tuples = operations.map(fromStep);
  return operations.some(hasLargeValue) ? Buffer.concat(packLarge(tuples)) : pack(tuples);
}

/** Puts inside transactions take the common way, however large. */
function hasLargeValue(operation: WriteOperation): boolean {
  return operation.type === 'put' && (operation.value?.byteLength ?? 0) >= LARGE_BYTES;
}

function fromStep(step: WriteOperation | ReadOperation): unknown[] {
  switch (step.type) {
    case 'put':
      if (isPlainPut(step)) return [PUT, step.key, step.value];
      return [
        PUT,
        step.key,
        step.value,
        step.lease === 'keep' ? 0 : (step.lease ?? 0),
        (step.returnPrevious === true ? PREVIOUS : 0) + (step.lease === 'keep' ? KEEP_LEASE : 0),
      ];
    case 'delete':
      return step.returnPrevious === true ? [DELETE, step.key, PREVIOUS] : [DELETE, step.key];
    case 'delete-range':
      return [DELETE_RANGE, step.from, step.to, step.returnPrevious === true ? PREVIOUS : 0];
    case 'txn':
      return [
        TXN,
        step.compares.map(fromCompare),
        step.success.map(fromStep),
        step.failure.map(fromStep),
      ];
    case 'read':
      return fromRead(step);
    case 'lease-grant':
      return [LEASE_GRANT, step.lease, step.ttlMs];
    case 'lease-keep-alive':
      return [LEASE_KEEP_ALIVE, step.lease];
    case 'lease-revoke':
      return [LEASE_REVOKE, step.lease];
    case 'compact':
      return [COMPACT, step.revision];
    case 'namespace-set':
      return [NAMESPACE_SET, step.name, step.prefix, step.quotaBytes];
    case 'namespace-remove':
      return [NAMESPACE_REMOVE, step.name];
    case 'settings': {
      const { historyMs = null, historyRevisions = null, spaceQuotaBytes = null } = step.change;
      return [SETTINGS, historyMs, historyRevisions, spaceQuotaBytes];
    }
    case 'deploy':
      return [
        ...[DEPLOY, step.hash, step.code, step.alias],
        step.procedures.map(({ name, mode, trigger }) => [name, mode, trigger]),
      ];
    case 'alias-set':
      return [ALIAS_SET, step.name, step.alias, step.hash, step.expected];
    case 'alias-remove':
      return [ALIAS_REMOVE, step.name, step.alias];
    case 'job-submit':
    case 'job-control':
    case 'job-upload':
    case 'task-report':
      return fromJobOperation(step);
  }
}

function fromCompare(compare: Compare): unknown[] {
  const { from, to, operator, target, value } = compare;
  const tuple = [from, OPERATORS.indexOf(operator), TARGETS.indexOf(target), value];
  return to === undefined ? tuple : [...tuple, to];
}

function fromRead(read: ReadOperation): unknown[] {
  const { from, to, reverse = false, limit = 0 } = read;
  const end = to === undefined ? [] : [to];
  return [
    READ,
    from,
    (reverse ? REVERSE : 0) + filterFlags(read),
    limit,
    filterBounds(read),
    ...end,
  ];
}

/** Bits 2 and 4; bit 1 is the caller's. */
export function filterFlags({ keysOnly = false, countOnly = false }: RangeFilter): number {
  return (keysOnly ? KEYS_ONLY : 0) + (countOnly ? COUNT_ONLY : 0);
}

/** `null`: no bounds. */
export function filterBounds(filter: RangeFilter): number[] | null {
  const {
    modRevisionMin = 0,
    modRevisionMax = 0,
    createRevisionMin = 0,
    createRevisionMax = 0,
  } = filter;
  if (modRevisionMin + modRevisionMax + createRevisionMin + createRevisionMax === 0) return null;
  return [modRevisionMin, modRevisionMax, createRevisionMin, createRevisionMax];
}

/** @throws BalsaError `FRAME_INVALID` */
export function readFilter(flags: number, bounds: unknown): RangeFilter {
  const filter = {
    keysOnly: (flags & KEYS_ONLY) !== 0,
    countOnly: (flags & COUNT_ONLY) !== 0,
  };
  if (bounds === null || bounds === undefined) return filter;
  const tuple = check.tuple(bounds, 'filter bounds', 4);
  return {
    ...filter,
    modRevisionMin: check.count(tuple[0], 'filter modRevisionMin'),
    modRevisionMax: check.count(tuple[1], 'filter modRevisionMax'),
    createRevisionMin: check.count(tuple[2], 'filter createRevisionMin'),
    createRevisionMax: check.count(tuple[3], 'filter createRevisionMax'),
  };
}

/** @throws BalsaError `FRAME_INVALID` */
export function unpackOperations(bytes: Uint8Array): WriteOperation[] {
  return check.list(unpack(bytes), 'operations').map((value) => {
    const operation = toStep(value, 1);
    if (operation.type !== 'read') return operation;
    throw invalid('operation: a read outside of a transaction');
  });
}

function toStep(value: unknown, depth: number): WriteOperation | ReadOperation {
  const t = check.tuple(value, 'operation', 2);
  switch (t[0]) {
    case PUT:
      return toPut(t);
    case DELETE: {
      const key = check.bytes(t[1], 'operation key');
      return flag(t[2], PREVIOUS)
        ? { type: 'delete', key, returnPrevious: true }
        : { type: 'delete', key };
    }
    case DELETE_RANGE:
      return {
        type: 'delete-range',
        from: check.bytes(t[1], 'delete-range from'),
        to: check.optional(t[2], (v) => check.bytes(v, 'delete-range to')),
        returnPrevious: flag(t[3], PREVIOUS),
      };
    case TXN:
      return toTxn(t, depth);
    case READ:
      return toRead(t);
    default:
      return toOther(t);
  }
}

function toOther(t: readonly unknown[]): WriteOperation {
  switch (t[0]) {
    case LEASE_GRANT:
      return {
        type: 'lease-grant',
        lease: check.count(t[1], 'lease'),
        ttlMs: check.count(t[2], 'lease ttlMs'),
      };
    case LEASE_KEEP_ALIVE:
      return { type: 'lease-keep-alive', lease: check.count(t[1], 'lease') };
    case LEASE_REVOKE:
      return { type: 'lease-revoke', lease: check.count(t[1], 'lease') };
    case COMPACT:
      return { type: 'compact', revision: check.count(t[1], 'compact revision') };
    case NAMESPACE_SET:
      return {
        type: 'namespace-set',
        name: check.text(t[1], 'namespace name'),
        prefix: check.bytes(t[2], 'namespace prefix'),
        quotaBytes: check.count(t[3], 'namespace quotaBytes'),
      };
    case NAMESPACE_REMOVE:
      return { type: 'namespace-remove', name: check.text(t[1], 'namespace name') };
    case SETTINGS:
      return { type: 'settings', change: toSettings(t) };
    default:
      return toProcedureOperation(t);
  }
}

function toProcedureOperation(t: readonly unknown[]): ProcedureOperation | JobOperation {
  switch (t[0]) {
    case DEPLOY:
      return {
        type: 'deploy',
        hash: check.text(t[1], 'deploy hash'),
        code: check.bytes(t[2], 'deploy code'),
        alias: check.text(t[3], 'deploy alias'),
        procedures: check.list(t[4], 'deploy procedures').map(toDeclared),
      };
    case ALIAS_SET:
      return {
        type: 'alias-set',
        name: check.text(t[1], 'alias name'),
        alias: check.text(t[2], 'alias'),
        hash: check.text(t[3], 'alias hash'),
        expected: check.optional(t[4], (v) => check.text(v, 'alias expected')),
      };
    case ALIAS_REMOVE:
      return {
        type: 'alias-remove',
        name: check.text(t[1], 'alias name'),
        alias: check.text(t[2], 'alias'),
      };
    default:
      return toJobOperation(t);
  }
}

function toDeclared(value: unknown): DeclaredProcedure {
  const [name, mode, trigger] = check.tuple(value, 'deploy procedure', 3);
  const isKnown = mode === 'cp' || mode === 'read' || mode === 'ap';
  if (!isKnown) throw invalid(`deploy procedure: unknown mode ${shownType(mode)}`);
  return {
    name: check.text(name, 'deploy procedure'),
    mode,
    trigger: check.optional(trigger, (v) => check.text(v, 'deploy trigger')),
  };
}

function toPut(t: readonly unknown[]): PutOperation {
  const key = check.bytes(t[1], 'operation key');
  if (t.length === 3) return { type: 'put', key, value: check.bytes(t[2], 'operation value') };
  return {
    type: 'put',
    key,
    value: check.optional(t[2], (v) => check.bytes(v, 'operation value')),
    lease: flag(t[4], KEEP_LEASE) ? 'keep' : check.count(t[3], 'operation lease'),
    returnPrevious: flag(t[4], PREVIOUS),
  };
}

function toTxn(t: readonly unknown[], depth: number): TxnOperation {
  if (depth > TXN_DEPTH_MAX) {
    throw invalid(`txn: transactions nested more than ${TXN_DEPTH_MAX} deep`);
  }
  const steps = (value: unknown, what: string): TxnStep[] =>
    check.list(value, what).map((one) => {
      const step = toStep(one, depth + 1);
      if (isTxnStep(step)) return step;
      throw invalid(`${what}: ${step.type} cannot be part of a transaction`);
    });
  return {
    type: 'txn',
    compares: check.list(t[1], 'txn compares').map(toCompare),
    success: steps(t[2], 'txn success'),
    failure: steps(t[3], 'txn failure'),
  };
}

function isTxnStep(step: WriteOperation | ReadOperation): step is TxnStep {
  return ['put', 'delete', 'delete-range', 'read', 'txn'].includes(step.type);
}

function toCompare(value: unknown): Compare {
  const t = check.tuple(value, 'compare', 4);
  const operator = OPERATORS[check.count(t[1], 'compare operator')];
  const target = TARGETS[check.count(t[2], 'compare target')];
  if (operator === undefined || target === undefined) {
    throw invalid('compare: unknown operator or target');
  }
  const to = t.length < 5 ? {} : { to: check.optional(t[4], (v) => check.bytes(v, 'compare to')) };
  const place = { from: check.bytes(t[0], 'compare from'), operator, ...to };
  return target === 'value'
    ? { target, value: check.bytes(t[3], 'compare value'), ...place }
    : { target, value: check.count(t[3], 'compare value'), ...place };
}

function toRead(t: readonly unknown[]): ReadOperation {
  const flags = check.count(t[2], 'read flags');
  const to = t.length < 6 ? {} : { to: check.optional(t[5], (v) => check.bytes(v, 'read to')) };
  return {
    type: 'read',
    from: check.bytes(t[1], 'read from'),
    reverse: (flags & REVERSE) !== 0,
    limit: check.count(t[3], 'read limit'),
    ...readFilter(flags, t[4]),
    ...to,
  };
}

function toSettings(t: readonly unknown[]): Partial<StoreSettings> {
  const setting = (value: unknown, name: keyof StoreSettings): Partial<StoreSettings> =>
    value === null || value === undefined ? {} : { [name]: check.count(value, `setting ${name}`) };
  return {
    ...setting(t[1], 'historyMs'),
    ...setting(t[2], 'historyRevisions'),
    ...setting(t[3], 'spaceQuotaBytes'),
  };
}

function flag(value: unknown, bit: number): boolean {
  return typeof value === 'number' && (value & bit) !== 0;
}

// ---------------------------------------------------------------------------------------------
// Results

export function packResults(results: readonly WriteResult[]): Buffer {
  return packToKeep(results.map(fromResult));
}

function fromResult(result: WriteResult | ReadResult): unknown[] {
  switch (result.type) {
    case 'put':
      if (result.previous === undefined) return [PUT, result.revision];
      return [PUT, result.revision, result.previous && keyValueTuple(result.previous)];
    case 'delete':
      if (result.previous === undefined) return [DELETE, result.revision, result.deleted];
      return [DELETE, result.revision, result.deleted, result.previous.map(keyValueTuple)];
    case 'txn':
      return [TXN, result.revision, result.succeeded ? 1 : 0, result.results.map(fromResult)];
    case 'lease':
      return [LEASE, result.lease, result.ttlMs];
    case 'done':
      if (result.compactedRevision === undefined) return [DONE, result.revision];
      return [DONE, result.revision, result.compactedRevision];
    case 'read':
      return [READ, result.items.map(keyValueTuple), result.count, ...(result.more ? [1] : [])];
    case 'error': {
      const details = result.details === null ? null : JSON.stringify(result.details);
      return [ERROR, result.code, result.message, details];
    }
  }
}

/** @throws BalsaError `FRAME_INVALID` */
export function unpackResults(bytes: Uint8Array): WriteResult[] {
  return check.list(unpack(bytes), 'results').map((value) => {
    const result = toResult(value);
    if (result.type !== 'read') return result;
    throw invalid('result: a read outside of a transaction');
  });
}

function toResult(value: unknown): WriteResult | ReadResult {
  const t = check.tuple(value, 'result', 2);
  const revision = (): number => check.count(t[1], 'result revision');
  switch (t[0]) {
    case PUT: {
      if (t.length === 2) return { type: 'put', revision: revision() };
      return { type: 'put', revision: revision(), previous: check.optional(t[2], toKeyValue) };
    }
    case DELETE: {
      const result = { type: 'delete', revision: revision(), deleted: count(t[2]) } as const;
      if (t.length < 4) return result;
      return { previous: check.list(t[3], 'result previous').map(toKeyValue), ...result };
    }
    case TXN:
      return {
        type: 'txn',
        revision: revision(),
        succeeded: t[2] === 1,
        results: check.list(t[3], 'result results').map(toResult),
      };
    case LEASE:
      return { type: 'lease', lease: count(t[1]), ttlMs: count(t[2]) };
    case DONE:
      if (t.length === 2) return { type: 'done', revision: revision() };
      return { type: 'done', revision: revision(), compactedRevision: count(t[2]) };
    case READ:
      return {
        type: 'read',
        items: check.list(t[1], 'result items').map(toKeyValue),
        count: count(t[2]),
        ...(t[3] === 1 ? { more: true } : {}),
      };
    case ERROR:
      return {
        type: 'error',
        code: check.text(t[1], 'result code'),
        message: check.text(t[2], 'result message'),
        details: check.optional(t[3], toDetails),
      };
    default:
      throw invalid(`result: unknown type ${shownType(t[0])}`);
  }
}

const count = (value: unknown): number => check.count(value, 'result count');

/** @throws BalsaError `FRAME_INVALID` */
export function toDetails(value: unknown): Readonly<Record<string, unknown>> {
  try {
    const details: unknown = JSON.parse(check.text(value, 'result details'));
    if (typeof details === 'object' && details !== null) return { ...details };
  } catch (cause) {
    if (cause instanceof BalsaError) throw cause;
  }
  throw invalid('result details: not a JSON object');
}

/** Layout: `[key, value, createRevision, modRevision, version, lease]`. */
export function keyValueTuple(item: KeyValue): unknown[] {
  const { key, value, createRevision, modRevision, version, lease } = item;
  const tuple = [key, value, createRevision, modRevision, version];
  return lease === 0 ? tuple : [...tuple, lease];
}

/** @throws BalsaError `FRAME_INVALID` */
export function toKeyValue(value: unknown): KeyValue {
  const t = check.tuple(value, 'item', 5);
  return {
    key: check.bytes(t[0], 'item key'),
    value: check.bytes(t[1], 'item value'),
    createRevision: check.count(t[2], 'item createRevision'),
    modRevision: check.count(t[3], 'item modRevision'),
    version: check.count(t[4], 'item version'),
    lease: t[5] === undefined ? 0 : check.count(t[5], 'item lease'),
  };
}

function invalid(message: string): BalsaError {
  return new BalsaError('FRAME_INVALID', message);
}
