import { toBuffer } from '../base/bytes.js';
import { crc32, crc32Joined } from '../base/checksum.js';
import { corrupt } from './corrupt.js';
import { COUNT_BYTES, readCount, writeCount } from './fixed-binary.js';
import { MACHINE_KEY } from './layout.js';
import { NOWHERE, type Position } from './position.js';
import type { StateWrite } from './state-store.js';

/** What the state machine knows beside keys and sessions; written with every entry. */
export interface MachineRecord {
  readonly appliedIndex: number;
  readonly revision: number;
  /** Revisions before this one are no longer kept. */
  readonly compactedRevision: number;
  /** Where the next slice of the sweep begins. */
  readonly sweepCursor: Position;
  /** Records before this one have been looked at once. */
  readonly sweptTo: Position;
  /** Bytes of keys and values of all records of the history. */
  readonly spaceBytes: number;
  /** The last id that was chosen for a lease. */
  readonly lastLease: number;
  readonly logTimeMs: number;
  /** The last activity of every session that was forgotten is at or before this index. */
  readonly forgottenThrough: number;
  /** See {@link hashWrites}. */
  readonly stateHash: number;
}

export const EMPTY_MACHINE: MachineRecord = {
  appliedIndex: 0,
  revision: 0,
  compactedRevision: 0,
  sweepCursor: NOWHERE,
  sweptTo: NOWHERE,
  spaceBytes: 0,
  lastLease: 0,
  logTimeMs: 0,
  forgottenThrough: 0,
  stateHash: 0,
};

const FORMAT = 1;
const HASH_OFFSET = 1 + 11 * COUNT_BYTES;
const BYTES = HASH_OFFSET + 4;

/**
 * Gives the writes of an entry their checksums and adds the record, with `stateHash` brought up to date: the hash before the
 * entry, chained with its writes and with the record itself.
 * @returns the new hash
 */
export function sealWrites(record: MachineRecord, writes: StateWrite[]): number {
  const bytes = encode(record);
  const chained = hashWrites(record.stateHash, writes);
  const stateHash = crc32(bytes.subarray(0, HASH_OFFSET), chained);
  bytes.writeUInt32BE(stateHash, HASH_OFFSET);
  writes.push({ key: MACHINE_KEY, value: bytes });
  return stateHash;
}

function encode(record: MachineRecord): Buffer {
  const bytes = Buffer.allocUnsafe(BYTES);
  let offset = bytes.writeUInt8(FORMAT, 0);
  offset = writeCount(bytes, record.appliedIndex, offset);
  offset = writeCount(bytes, record.revision, offset);
  offset = writeCount(bytes, record.compactedRevision, offset);
  offset = writeCount(bytes, record.logTimeMs, offset);
  offset = writeCount(bytes, record.forgottenThrough, offset);
  offset = writeCount(bytes, record.sweepCursor.revision, offset);
  offset = writeCount(bytes, record.sweepCursor.sub, offset);
  offset = writeCount(bytes, record.sweptTo.revision, offset);
  offset = writeCount(bytes, record.sweptTo.sub, offset);
  offset = writeCount(bytes, record.spaceBytes, offset);
  writeCount(bytes, record.lastLease, offset);
  return bytes;
}

/** @throws BalsaError `STATE_CORRUPT` */
export function decodeMachineRecord(source: Uint8Array): MachineRecord {
  const bytes = toBuffer(source);
  if (bytes.byteLength !== BYTES || bytes[0] !== FORMAT) {
    throw corrupt(`a machine record of ${bytes.byteLength} bytes and format ${bytes[0]}`);
  }
  const field = (n: number): number => readCount(bytes, 1 + n * COUNT_BYTES);
  return {
    appliedIndex: field(0),
    revision: field(1),
    compactedRevision: field(2),
    logTimeMs: field(3),
    forgottenThrough: field(4),
    sweepCursor: { revision: field(5), sub: field(6) },
    sweptTo: { revision: field(7), sub: field(8) },
    spaceBytes: field(9),
    lastLease: field(10),
    stateHash: bytes.readUInt32BE(HASH_OFFSET),
  };
}

/**
 * `hash` chained with all bytes of `writes`, in their order. Each byte is read once: the checksums of key and value make the
 * hash as well as what the store keeps beside the value.
 */
function hashWrites(hash: number, writes: readonly StateWrite[]): number {
  let chained = hash;
  for (const write of writes) {
    const { key, value } = write;
    const ofKey = crc32(key);
    // The length goes in, too: otherwise bytes could move from one write to the next unnoticed.
    chained = crc32Joined(mix(chained, key.byteLength), ofKey, key.byteLength);
    if (value === null) {
      chained = mix(chained, -1);
      continue;
    }
    const ofValue = crc32(value);
    chained = crc32Joined(mix(chained, value.byteLength), ofValue, value.byteLength);
    write.checksum = crc32Joined(ofKey, ofValue, value.byteLength) | 0;
  }
  return chained;
}

function mix(hash: number, length: number): number {
  return Math.imul(hash ^ length, 0x9e37_79b1) >>> 0;
}
