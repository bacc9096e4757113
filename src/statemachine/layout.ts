import { toBuffer } from '../base/bytes.js';
import { COUNT_BYTES, readCount, writeCount } from './fixed-binary.js';
import { POSITION_BYTES, type Position, readPosition, writePosition } from './position.js';

/**
 * Where things are in the state store. The first byte says what a record is:
 *
 *     'k' key                        what the key is now: KeyRecord, with a small value
 *     'r' revision(8) sub(2)         what one write did: ValueRecord; never changed once written
 *     'l' lease(8)                   LeaseRecord
 *     'L' lease(8) key               (empty) the key hangs on the lease
 *     'n' name                       NamespaceRecord
 *     's' session(16)                SessionRecord
 *     'a' session(16) sequence(8)    the answer of one batch, until it is acknowledged
 *     'b' hash                       BundleRecord: code of procedures
 *     'p' name@alias                 what the alias stands for, and did
 *     'A' name                       (a mark) the name has stood for code of mode `ap`
 *     'c' idempotency key            the outcome of a call, as long as it is remembered
 *     'C' kind(1) index(8)           which keys the calls of one entry had
 *     'o' origin                     OriginRecord: how far a queue of deltas is merged
 *     'd' idempotency key            a call that a delta was merged of, or could be, as long as it is remembered
 *     'D' index(8)                   which keys those of one entry had
 *     'D' index(8) 01                the same of keys of callers, since they are told apart
 *     'j' job                        JobSpec
 *     'J' job                        how far it is: JobRecord
 *     'g' job                        where the chunks of its input begin
 *     'i' job 00 first(8)            a chunk of its input: items
 *     't' job 00 stage(1) ordinal(8) a task that has begun and is not done: TaskRecord
 *     'x' job 00 stage(1) ordinal(8) the last checkpoint of such a task
 *     'T' job 00 stage(1) ordinal(8) what a task has given
 *     'w' worker                     WorkerRecord: who has attempts under way
 *     'u' upload                     UploadRecord: chunks to which nothing refers yet
 *     'U' upload 00 place(8)         a chunk
 *     'm' name                       about the state as a whole: MachineRecord, ConfigurationRecord, settings, marks, KnownCommands
 */
const PREFIX = {
  key: 0x6b,
  value: 0x72,
  lease: 0x6c,
  leaseKey: 0x4c,
  namespace: 0x6e,
  session: 0x73,
  answer: 0x61,
  machine: 0x6d,
  bundle: 0x62,
  alias: 0x70,
  apName: 0x41,
  call: 0x63,
  callGroup: 0x43,
  origin: 0x6f,
  merged: 0x64,
  mergeGroup: 0x44,
  job: 0x6a,
  jobState: 0x4a,
  jobChunks: 0x67,
  inputChunk: 0x69,
  task: 0x74,
  checkpoint: 0x78,
  taskValue: 0x54,
  worker: 0x77,
  upload: 0x75,
  uploadChunk: 0x55,
} as const;

/** The records of all user keys lie in `[KEYS_FROM, KEYS_TO)`. */
export const KEYS_FROM: Uint8Array = Uint8Array.of(PREFIX.key);
export const KEYS_TO: Uint8Array = Uint8Array.of(PREFIX.key + 1);
/** The history lies in `[.., VALUES_TO)`. */
export const VALUES_TO: Uint8Array = Uint8Array.of(PREFIX.value + 1);
export const LEASES_FROM: Uint8Array = Uint8Array.of(PREFIX.lease);
export const LEASES_TO: Uint8Array = Uint8Array.of(PREFIX.lease + 1);
export const NAMESPACES_FROM: Uint8Array = Uint8Array.of(PREFIX.namespace);
export const NAMESPACES_TO: Uint8Array = Uint8Array.of(PREFIX.namespace + 1);
export const SESSIONS_FROM: Uint8Array = Uint8Array.of(PREFIX.session);
export const SESSIONS_TO: Uint8Array = Uint8Array.of(PREFIX.session + 1);

export const BUNDLES_FROM: Uint8Array = Uint8Array.of(PREFIX.bundle);
export const BUNDLES_TO: Uint8Array = Uint8Array.of(PREFIX.bundle + 1);
export const ALIASES_FROM: Uint8Array = Uint8Array.of(PREFIX.alias);
export const ALIASES_TO: Uint8Array = Uint8Array.of(PREFIX.alias + 1);
export const AP_NAMES_FROM: Uint8Array = Uint8Array.of(PREFIX.apName);
export const AP_NAMES_TO: Uint8Array = Uint8Array.of(PREFIX.apName + 1);
export const CALL_GROUPS_FROM: Uint8Array = Uint8Array.of(PREFIX.callGroup);
export const CALL_GROUPS_TO: Uint8Array = Uint8Array.of(PREFIX.callGroup + 1);

export const ORIGINS_FROM: Uint8Array = Uint8Array.of(PREFIX.origin);
export const ORIGINS_TO: Uint8Array = Uint8Array.of(PREFIX.origin + 1);
export const MERGE_GROUPS_FROM: Uint8Array = Uint8Array.of(PREFIX.mergeGroup);
export const MERGE_GROUPS_TO: Uint8Array = Uint8Array.of(PREFIX.mergeGroup + 1);

export const JOBS_FROM: Uint8Array = Uint8Array.of(PREFIX.job);
export const JOBS_TO: Uint8Array = Uint8Array.of(PREFIX.job + 1);
export const TASKS_FROM: Uint8Array = Uint8Array.of(PREFIX.task);
export const TASKS_TO: Uint8Array = Uint8Array.of(PREFIX.task + 1);
export const WORKERS_FROM: Uint8Array = Uint8Array.of(PREFIX.worker);
export const WORKERS_TO: Uint8Array = Uint8Array.of(PREFIX.worker + 1);
export const UPLOADS_FROM: Uint8Array = Uint8Array.of(PREFIX.upload);
export const UPLOADS_TO: Uint8Array = Uint8Array.of(PREFIX.upload + 1);

export const MACHINE_KEY: Uint8Array = Buffer.from('mstate', 'latin1');

export const CONFIGURATION_KEY: Uint8Array = Buffer.from('mconfiguration', 'latin1');

export const SETTINGS_KEY: Uint8Array = Buffer.from('msettings', 'latin1');

export const MARKS_KEY: Uint8Array = Buffer.from('mmarks', 'latin1');

export const KNOWN_COMMANDS_KEY: Uint8Array = Buffer.from('mcommands', 'latin1');

export const CALLS_KEY: Uint8Array = Buffer.from('mcalls', 'latin1');

export const SESSION_ID_BYTES = 16;

export function toKeyRecordKey(key: Uint8Array): Buffer {
  const storeKey = Buffer.allocUnsafe(1 + key.byteLength);
  storeKey[0] = PREFIX.key;
  storeKey.set(key, 1);
  return storeKey;
}

/** The user key of a store key made by {@link toKeyRecordKey} (a view). */
export function fromKeyRecordKey(storeKey: Uint8Array): Uint8Array {
  return storeKey.subarray(1);
}

export function toValueRecordKey(position: Position): Buffer {
  const storeKey = Buffer.allocUnsafe(1 + POSITION_BYTES);
  storeKey[0] = PREFIX.value;
  writePosition(storeKey, position, 1);
  return storeKey;
}

/** @param id the session's id, as `toMapKey` makes it */
export function toSessionKey(id: string): Buffer {
  const storeKey = Buffer.allocUnsafe(1 + SESSION_ID_BYTES);
  storeKey[0] = PREFIX.session;
  storeKey.write(id, 1, 'latin1');
  return storeKey;
}

export function toAnswerKey(id: string, sequence: number): Buffer {
  const storeKey = Buffer.allocUnsafe(1 + SESSION_ID_BYTES + COUNT_BYTES);
  storeKey[0] = PREFIX.answer;
  storeKey.write(id, 1, 'latin1');
  writeCount(storeKey, sequence, 1 + SESSION_ID_BYTES);
  return storeKey;
}

/** The position in a store key made by {@link toValueRecordKey}. */
export function fromValueRecordKey(storeKey: Uint8Array): Position {
  return readPosition(toBuffer(storeKey), 1);
}

export function toLeaseKey(lease: number): Buffer {
  return toCountedKey(PREFIX.lease, lease);
}

function toCountedKey(prefix: number, count: number): Buffer {
  const storeKey = Buffer.allocUnsafe(1 + COUNT_BYTES);
  storeKey[0] = prefix;
  writeCount(storeKey, count, 1);
  return storeKey;
}

export function fromLeaseKey(storeKey: Uint8Array): number {
  return readCount(toBuffer(storeKey), 1);
}

/** That `key` hangs on `lease`. With an empty key: before all keys of the lease. */
export function toLeaseKeyKey(lease: number, key: Uint8Array): Buffer {
  const storeKey = Buffer.allocUnsafe(1 + COUNT_BYTES + key.byteLength);
  storeKey[0] = PREFIX.leaseKey;
  writeCount(storeKey, lease, 1);
  storeKey.set(key, 1 + COUNT_BYTES);
  return storeKey;
}

/** The user key of a store key made by {@link toLeaseKeyKey} (a view). */
export function fromLeaseKeyKey(storeKey: Uint8Array): Uint8Array {
  return storeKey.subarray(1 + COUNT_BYTES);
}

export function toNamespaceKey(name: string): Buffer {
  return Buffer.concat([NAMESPACES_FROM, Buffer.from(name, 'utf8')]);
}

export function toBundleKey(hash: string): Buffer {
  return Buffer.concat([BUNDLES_FROM, Buffer.from(hash, 'utf8')]);
}

/** @param reference `name@alias` */
export function toAliasKey(reference: string): Buffer {
  return Buffer.concat([ALIASES_FROM, Buffer.from(reference, 'utf8')]);
}

export function toApNameKey(name: string): Buffer {
  return Buffer.concat([AP_NAMES_FROM, Buffer.from(name, 'utf8')]);
}

/** The name in a key made by {@link toNamespaceKey}, {@link toBundleKey}, {@link toAliasKey}, {@link toApNameKey}, {@link toOriginKey} or `jobKeys`, if there is nothing behind it. */
export function fromNameKey(storeKey: Uint8Array): string {
  return toBuffer(storeKey.subarray(1)).toString('utf8');
}

/** Keys of records that are known by one name. */
export const jobKeys = {
  spec: (job: string): Buffer => toNamedKey(PREFIX.job, job),
  state: (job: string): Buffer => toNamedKey(PREFIX.jobState, job),
  chunks: (job: string): Buffer => toNamedKey(PREFIX.jobChunks, job),
  worker: (worker: string): Buffer => toNamedKey(PREFIX.worker, worker),
  upload: (upload: string): Buffer => toNamedKey(PREFIX.upload, upload),
  inputChunk: (job: string, first: number): Buffer => toPlaceKey(PREFIX.inputChunk, job, first),
  uploadChunk: (upload: string, place: number): Buffer =>
    toPlaceKey(PREFIX.uploadChunk, upload, place),
  task: (place: TaskPlace): Buffer => toTaskKey(PREFIX.task, place),
  checkpoint: (place: TaskPlace): Buffer => toTaskKey(PREFIX.checkpoint, place),
  value: (place: TaskPlace): Buffer => toTaskKey(PREFIX.taskValue, place),
};

/** One task of one job. */
export interface TaskPlace {
  readonly job: string;
  /** From 1; 0: what cuts the input. */
  readonly stage: number;
  readonly ordinal: number;
}

function toNamedKey(prefix: number, name: string): Buffer {
  return Buffer.concat([Uint8Array.of(prefix), Buffer.from(name, 'utf8')]);
}

/** Names have no byte 0. */
function toPlaceKey(prefix: number, name: string, place: number): Buffer {
  const named = toNamedKey(prefix, name);
  const storeKey = Buffer.alloc(named.byteLength + 1 + COUNT_BYTES);
  storeKey.set(named);
  writeCount(storeKey, place, named.byteLength + 1);
  return storeKey;
}

function toTaskKey(prefix: number, { job, stage, ordinal }: TaskPlace): Buffer {
  const named = toNamedKey(prefix, job);
  const storeKey = Buffer.alloc(named.byteLength + 2 + COUNT_BYTES);
  storeKey.set(named);
  storeKey[named.byteLength + 1] = stage;
  writeCount(storeKey, ordinal, named.byteLength + 2);
  return storeKey;
}

/** Of a key made by `jobKeys.task`. */
export function fromTaskKey(storeKey: Uint8Array): TaskPlace {
  const bytes = toBuffer(storeKey);
  const end = bytes.byteLength - 2 - COUNT_BYTES;
  return {
    job: bytes.toString('utf8', 1, end),
    stage: bytes[end + 1] ?? 0,
    ordinal: readCount(bytes, end + 2),
  };
}

/** @param key `toMapKey` of the idempotency key */
export function toCallKey(key: string): Buffer {
  return toCallKeyIn(PREFIX.call, key);
}

export function toCallGroupKey(kind: number, index: number): Buffer {
  const storeKey = Buffer.allocUnsafe(2 + COUNT_BYTES);
  storeKey[0] = PREFIX.callGroup;
  storeKey[1] = kind;
  writeCount(storeKey, index, 2);
  return storeKey;
}

export function fromCallGroupKey(storeKey: Uint8Array): {
  readonly kind: number;
  readonly index: number;
} {
  return { kind: storeKey[1] ?? 0, index: readCount(toBuffer(storeKey), 2) };
}

export function toOriginKey(origin: string): Buffer {
  return Buffer.concat([ORIGINS_FROM, Buffer.from(origin, 'utf8')]);
}

/** @param key `toMapKey` of the idempotency key */
export function toMergedKey(key: string): Buffer {
  return toCallKeyIn(PREFIX.merged, key);
}

function toCallKeyIn(prefix: number, key: string): Buffer {
  const storeKey = Buffer.allocUnsafe(1 + key.length);
  storeKey[0] = prefix;
  storeKey.write(key, 1, 'latin1');
  return storeKey;
}

/** @param isNamed its keys are of callers; before they were told apart all were in one */
export function toMergeGroupKey(index: number, isNamed: boolean): Buffer {
  const storeKey = toCountedKey(PREFIX.mergeGroup, index);
  return isNamed ? Buffer.concat([storeKey, Uint8Array.of(1)]) : storeKey;
}

export function fromMergeGroupKey(storeKey: Uint8Array): {
  readonly index: number;
  readonly isNamed: boolean;
} {
  const isNamed = storeKey.byteLength > 1 + COUNT_BYTES;
  return { index: readCount(toBuffer(storeKey), 1), isNamed };
}
