import { toBuffer } from './bytes.js';
import {
  CALL_KEY_BYTES_MAX,
  type CallEnd,
  type CallOutcome,
  type CallRecord,
  type EmittedEvent,
  FINGERPRINT_BYTES,
  HASH_BYTES,
  type KeyDefault,
  type KeyRead,
  type KeyUpdate,
  type KeyWrite,
  pendingPlace,
  pendingRevision,
  type RangeRead,
} from './call.js';
import { check, packToKeep, shownType, unpack } from './codec.js';
import { BalsaError } from './errors.js';
import { toDetails } from './operation-codec.js';

/**
 * How calls travel: packed where they were executed, those bytes go untouched through wire, log and disk. Lists of
 * pairs are flat: key, revision, key, revision... Fields are appended, never reordered.
 */
const NAMED = 1;

const ADD = 0;
const MAX = 1;
const SET_IF_ABSENT = 2;

const RESULT = 0;
const FAILURE = 1;

export function packCall(call: CallRecord): Buffer {
  return packToKeep([
    call.key,
    call.isNamed ? NAMED : 0,
    call.bornIndex,
    call.fingerprint,
    call.dependsOn,
    flat(call.reads, ({ key, modRevision }) => [key, fromRevision(modRevision)]),
    call.ranges.map(({ from, to, keys, modRevisionMax }) => [...[from, to, keys, modRevisionMax]]),
    flat(call.writes, ({ key, value }) => [key, value]),
    call.updates.map(fromUpdate),
    flat(call.events, ({ name, payload }) => [name, payload]),
    fromEnd(call.end),
    call.procedure,
    fromHash(call.hash),
  ]);
}

/** @throws BalsaError `FRAME_INVALID` */
export function unpackCall(bytes: Uint8Array): CallRecord {
  const t = check.tuple(unpack(bytes), 'call', 13);
  const key = check.bytes(t[0], 'call key');
  if (key.byteLength === 0 || key.byteLength > CALL_KEY_BYTES_MAX) {
    throw invalid(`call key: ${key.byteLength} bytes, expected 1 to ${CALL_KEY_BYTES_MAX}`);
  }
  const fingerprint = check.bytes(t[3], 'call fingerprint');
  if (fingerprint.byteLength !== FINGERPRINT_BYTES) {
    throw invalid(`call fingerprint: ${fingerprint.byteLength} bytes`);
  }
  return {
    key,
    isNamed: check.count(t[1], 'call flags') === NAMED,
    bornIndex: check.count(t[2], 'call bornIndex'),
    fingerprint,
    dependsOn: check.list(t[4], 'call dependsOn').map((v) => check.count(v, 'call dependsOn')),
    reads: pairs(t[5], 'call reads', toRead),
    ranges: check.list(t[6], 'call ranges').map(toRange),
    writes: pairs(t[7], 'call writes', toWrite),
    updates: check.list(t[8], 'call updates').map(toUpdate),
    events: pairs(t[9], 'call events', toEvent),
    end: toEnd(t[10]),
    procedure: check.text(t[11], 'call procedure'),
    hash: toHash(t[12]),
  };
}

export function packCallOutcome({ result, revision }: CallOutcome): Buffer {
  return packToKeep([result, revision]);
}

/** @throws BalsaError `FRAME_INVALID` */
export function unpackCallOutcome(bytes: Uint8Array): CallOutcome {
  const [result, revision] = check.tuple(unpack(bytes), 'call outcome', 2);
  return {
    result: check.text(result, 'call result'),
    revision: check.count(revision, 'call revision'),
  };
}

// -------------------------------------------------------------------------------------------

/** Places in the entry are short as negative numbers. */
function fromRevision(revision: number): number {
  const place = pendingPlace(revision);
  return place === null ? revision : -1 - place;
}

function toRevision(value: unknown, what: string): number {
  if (typeof value === 'number' && value < 0) return pendingRevision(check.count(-1 - value, what));
  const revision = check.count(value, what);
  if (pendingPlace(revision) !== null) throw invalid(`${what}: ${revision} is not a revision`);
  return revision;
}

function pairs<T>(
  value: unknown,
  what: string,
  toItem: (first: unknown, second: unknown) => T,
): readonly T[] {
  const list = check.list(value, what);
  if (list.length % 2 !== 0) throw invalid(`${what}: one is not whole`);
  const items: T[] = [];
  for (let i = 0; i < list.length; i += 2) items.push(toItem(list[i], list[i + 1]));
  return items;
}

/** As `flatMap`, which takes several times as long. */
function flat<T>(list: readonly T[], pairOf: (item: T) => readonly [unknown, unknown]): unknown[] {
  const fields: unknown[] = [];
  for (const item of list) {
    const [first, second] = pairOf(item);
    fields.push(first, second);
  }
  return fields;
}

function toRead(key: unknown, revision: unknown): KeyRead {
  return { key: check.bytes(key, 'call read'), modRevision: toRevision(revision, 'call read') };
}

function toRange(value: unknown): RangeRead {
  const t = check.tuple(value, 'call range', 4);
  return {
    from: check.bytes(t[0], 'call range from'),
    to: check.optional(t[1], (v) => check.bytes(v, 'call range to')),
    keys: check.count(t[2], 'call range keys'),
    modRevisionMax: check.count(t[3], 'call range revision'),
  };
}

function toWrite(key: unknown, value: unknown): KeyWrite {
  return {
    key: check.bytes(key, 'call write'),
    value: check.optional(value, (v) => check.bytes(v, 'call write')),
  };
}

function fromUpdate(update: KeyUpdate | KeyDefault): unknown[] {
  if (update.type === 'set-if-absent') return [SET_IF_ABSENT, update.key, update.value];
  return [update.type === 'add' ? ADD : MAX, update.key, update.by];
}

function toUpdate(value: unknown): KeyUpdate | KeyDefault {
  const [type, key, operand] = check.tuple(value, 'call update', 3);
  const of = { key: check.bytes(key, 'call update') };
  if (type === SET_IF_ABSENT) {
    return { type: 'set-if-absent', ...of, value: check.bytes(operand, 'call update') };
  }
  if (type !== ADD && type !== MAX) throw invalid(`call update: unknown type ${shownType(type)}`);
  if (typeof operand !== 'number' || !Number.isFinite(operand)) {
    throw invalid('call update: not a finite number');
  }
  return { type: type === ADD ? 'add' : 'max', ...of, by: operand };
}

function toEvent(name: unknown, payload: unknown): EmittedEvent {
  return { name: check.text(name, 'call event'), payload: check.text(payload, 'call event') };
}

/** Most calls are of the code of the one before. */
let lastHash = { text: '', bytes: Buffer.alloc(0) };

function fromHash(text: string): Buffer {
  if (lastHash.text !== text) lastHash = { text, bytes: Buffer.from(text, 'hex') };
  return lastHash.bytes;
}

function toHash(value: unknown): string {
  const bytes = check.bytes(value, 'call hash');
  if (bytes.byteLength !== HASH_BYTES) throw invalid(`call hash: ${bytes.byteLength} bytes`);
  return toBuffer(bytes).toString('hex');
}

function fromEnd(end: CallEnd): unknown[] {
  if (end.ok) return [RESULT, end.result];
  return [FAILURE, end.code, end.message, JSON.stringify(end.details)];
}

function toEnd(value: unknown): CallEnd {
  const t = check.tuple(value, 'call end', 2);
  if (t[0] === RESULT) return { ok: true, result: check.text(t[1], 'call result') };
  if (t[0] !== FAILURE) throw invalid('call end: neither a result nor a failure');
  return {
    ok: false,
    code: check.text(t[1], 'call error'),
    message: check.text(t[2], 'call error'),
    details: toDetails(t[3]),
  };
}

function invalid(message: string): BalsaError {
  return new BalsaError('FRAME_INVALID', message);
}
