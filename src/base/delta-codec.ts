import { assert } from './assert.js';
import { toBuffer } from './bytes.js';
import { CALL_KEY_BYTES_MAX, FINGERPRINT_BYTES, HASH_BYTES } from './call.js';
import { check, checkNesting, packToKeep, unpack } from './codec.js';
import { type CellChange, type CellWrite, type Delta, ORIGIN_LENGTH } from './delta.js';
import { BalsaError } from './errors.js';

/**
 * How deltas travel: packed where they were made, those bytes go untouched through queue, wire and log. Origins are bytes, half
 * as many as digits. Fields are appended, never reordered.
 */
const NAMED = 1;

const COUNTER_ADD = 0;
const ESCROW_ADD = 1;
const ESCROW_TAKE = 2;
const ESCROW_GIVE = 3;
const SET_ADD = 4;
const SET_REMOVE = 5;
const MAP_PUT = 6;
const MAP_REMOVE = 7;
const REGISTER_SET = 8;
const MULTI_VALUE_SET = 9;
const LOG_APPEND = 10;

const ORIGIN_BYTES = ORIGIN_LENGTH / 2;

export function packDelta(delta: Delta): Buffer {
  return packToKeep([
    fromOrigin(delta.origin),
    delta.sequence,
    delta.timeMs,
    delta.count,
    delta.key,
    delta.isNamed ? NAMED : 0,
    delta.fingerprint,
    delta.procedure,
    Buffer.from(delta.hash, 'hex'),
    delta.writes.map(({ key, change }) => [key, ...fromChange(change)]),
    delta.result,
  ]);
}

/** @throws BalsaError `FRAME_INVALID` */
export function unpackDelta(bytes: Uint8Array): Delta {
  checkNesting(bytes);
  const t = check.tuple(unpack(bytes), 'delta', 11);
  const writes = check.list(t[9], 'delta writes').map(toWrite);
  if (writes.length === 0) throw invalid('delta writes: none');
  return {
    origin: toOrigin(t[0], 'delta origin'),
    sequence: from1(t[1], 'delta sequence'),
    timeMs: check.count(t[2], 'delta timeMs'),
    count: check.count(t[3], 'delta count'),
    key: toKey(t[4]),
    isNamed: check.count(t[5], 'delta flags') === NAMED,
    fingerprint: exactly(FINGERPRINT_BYTES, t[6], 'delta fingerprint'),
    procedure: check.text(t[7], 'delta procedure'),
    hash: toBuffer(exactly(HASH_BYTES, t[8], 'delta hash')).toString('hex'),
    writes,
    result: check.text(t[10], 'delta result'),
  };
}

// -------------------------------------------------------------------------------------------

function fromChange(change: CellChange): unknown[] {
  switch (change.cell) {
    case 'counter':
      return [COUNTER_ADD, change.by];
    case 'escrow':
      if (change.type === 'give') return [ESCROW_GIVE, change.by, fromOrigin(change.to)];
      return [change.type === 'add' ? ESCROW_ADD : ESCROW_TAKE, change.by];
    case 'set':
      return [change.type === 'add' ? SET_ADD : SET_REMOVE, change.item, change.observed];
    case 'map':
      if (change.type === 'remove') return [MAP_REMOVE, change.field, change.observed];
      return [MAP_PUT, change.field, change.value, change.observed];
    case 'register':
      return [REGISTER_SET, change.value];
    case 'multi-value':
      return [MULTI_VALUE_SET, change.value, change.observed];
    case 'log':
      return [LOG_APPEND, change.value];
  }
}

function toWrite(value: unknown): CellWrite {
  const [key, kind, ...operands] = check.tuple(value, 'delta write', 3);
  return { key: check.text(key, 'delta write key'), change: toChange(kind, operands) };
}

/** Operands that are missing are not what is expected there. */
function toChange(kind: unknown, [a, b, c]: readonly unknown[]): CellChange {
  const what = 'delta change';
  switch (kind) {
    case COUNTER_ADD:
      return { cell: 'counter', type: 'add', by: toInteger(a) };
    case ESCROW_ADD:
      return { cell: 'escrow', type: 'add', by: from1(a, what) };
    case ESCROW_TAKE:
      return { cell: 'escrow', type: 'take', by: from1(a, what) };
    case ESCROW_GIVE:
      return { cell: 'escrow', type: 'give', by: from1(a, what), to: toOrigin(b, what) };
    case SET_ADD:
      return { cell: 'set', type: 'add', item: check.text(a, what), observed: toTags(b) };
    case SET_REMOVE:
      return { cell: 'set', type: 'remove', item: check.text(a, what), observed: toTags(b) };
    case MAP_PUT: {
      const at = { field: check.text(a, what), value: check.text(b, what) };
      return { cell: 'map', type: 'put', ...at, observed: toTags(c) };
    }
    case MAP_REMOVE:
      return { cell: 'map', type: 'remove', field: check.text(a, what), observed: toTags(b) };
    case REGISTER_SET:
      return { cell: 'register', type: 'set', value: check.text(a, what) };
    case MULTI_VALUE_SET:
      return { cell: 'multi-value', type: 'set', value: check.text(a, what), observed: toTags(b) };
    case LOG_APPEND:
      return { cell: 'log', type: 'append', value: check.text(a, what) };
    default:
      throw invalid('delta change: unknown kind');
  }
}

function toTags(value: unknown): string[] {
  return check.list(value, 'delta observed').map((tag) => check.text(tag, 'delta observed'));
}

function toInteger(value: unknown): number {
  if (Number.isSafeInteger(value)) return value as number;
  throw invalid('delta change: not a safe integer');
}

function from1(value: unknown, what: string): number {
  const count = check.count(value, what);
  if (count === 0) throw invalid(`${what}: 0, expected 1 or more`);
  return count;
}

function fromOrigin(origin: string): Buffer {
  const bytes = Buffer.from(origin, 'hex');
  assert(bytes.toString('hex') === origin && bytes.length === ORIGIN_BYTES, 'an origin is hex');
  return bytes;
}

function toOrigin(value: unknown, what: string): string {
  return toBuffer(exactly(ORIGIN_BYTES, value, what)).toString('hex');
}

function toKey(value: unknown): Uint8Array {
  const key = check.bytes(value, 'delta key');
  if (key.byteLength > 0 && key.byteLength <= CALL_KEY_BYTES_MAX) return key;
  throw invalid(`delta key: ${key.byteLength} bytes, expected 1 to ${CALL_KEY_BYTES_MAX}`);
}

function exactly(length: number, value: unknown, what: string): Uint8Array {
  const bytes = check.bytes(value, what);
  if (bytes.byteLength === length) return bytes;
  throw invalid(`${what}: ${bytes.byteLength} bytes, expected ${length}`);
}

function invalid(message: string): BalsaError {
  return new BalsaError('FRAME_INVALID', message);
}
