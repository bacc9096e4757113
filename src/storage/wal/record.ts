import { crc32 } from '../../base/checksum.js';
import type { Entry, EntryType, HardState, LogIndex, LogPosition, Term } from '../../raft/types.js';
import { RECORD_BYTES, readUint64, writeUint64 } from './format.js';

/** What a frame is made of. Records take effect in order. */
export type WalItem =
  | { readonly kind: 'hard-state'; readonly hardState: HardState }
  /** Entries behind `index` are no more (paper §5.3: a follower drops what conflicts). */
  | { readonly kind: 'cut'; readonly index: LogIndex }
  | { readonly kind: 'entry'; readonly entry: Entry }
  /** The log begins behind this place from now on. */
  | { readonly kind: 'log-start'; readonly position: LogPosition }
  /** A snapshot has taken the place of all entries: the log is empty and goes on behind this place. */
  | { readonly kind: 'reset'; readonly position: LogPosition }
  /**
   * First in each segment: the last place and the start of the log before it, so that the log can be
   * read from any segment on once the older ones are deleted.
   */
  | { readonly kind: 'base'; readonly position: LogPosition }
  | { readonly kind: 'base-start'; readonly position: LogPosition };

/** A record as it is read back: an entry's payload stays where it is. */
export type WalRecord =
  | Exclude<WalItem, { kind: 'entry' }>
  | {
      readonly kind: 'entry';
      readonly index: LogIndex;
      readonly term: Term;
      readonly type: EntryType;
      /** Where the payload is, in the buffer that the frame was read from. */
      readonly payloadOffset: number;
      readonly payloadBytes: number;
      readonly checksum: number;
    };

/** Written to disk by position: never reorder. */
const KINDS = [
  'none',
  'hard-state',
  'cut',
  'entry',
  'log-start',
  'base',
  'base-start',
  'reset',
] as const;
export const ENTRY_TYPES = ['noop', 'command', 'configuration'] as const satisfies EntryType[];

const NO_BYTES = Buffer.alloc(0);
/** In the second byte of a hard-state record: a vote was given, to the member that the payload names. */
const VOTED = 1;

export function itemPayload(item: WalItem): Uint8Array {
  if (item.kind === 'entry') return item.entry.payload;
  if (item.kind !== 'hard-state') return NO_BYTES;
  const { votedFor } = item.hardState;
  return votedFor === null ? NO_BYTES : Buffer.from(votedFor, 'utf8');
}

/**
 * Writes the directory record of `item` at `offset`:
 * kind(1) type(1) 0(2) payload bytes(4) a(8) b(8) payload checksum(4) 0(4).
 */
export function writeRecord(
  target: Buffer,
  offset: number,
  item: WalItem,
  payload: { readonly byteLength: number; readonly checksum: number },
): void {
  const { type, a, b } = fixedFields(item);
  target.writeUInt32LE(KINDS.indexOf(item.kind) | (type << 8), offset);
  target.writeUInt32LE(payload.byteLength, offset + 4);
  writeUint64(target, a, offset + 8);
  writeUint64(target, b, offset + 16);
  target.writeUInt32LE(payload.checksum, offset + 24);
  target.writeUInt32LE(0, offset + 28);
}

function fixedFields(item: WalItem): { type: number; a: number; b: number } {
  switch (item.kind) {
    case 'hard-state': {
      const { currentTerm, commitIndex, votedFor } = item.hardState;
      return { type: votedFor === null ? 0 : VOTED, a: currentTerm, b: commitIndex };
    }
    case 'entry': {
      const { index, term, type } = item.entry;
      return { type: ENTRY_TYPES.indexOf(type), a: index, b: term };
    }
    case 'cut':
      return { type: 0, a: item.index, b: 0 };
    default:
      return { type: 0, a: item.position.index, b: item.position.term };
  }
}

/**
 * The records of a frame whose directory begins at `directoryOffset`; `null` when one is damaged: its
 * payload is not what its checksum says, or it is of a kind that does not exist.
 */
export function readRecords(
  bytes: Buffer,
  directoryOffset: number,
  recordCount: number,
  salt: number,
): WalRecord[] | null {
  const records: WalRecord[] = [];
  let payloadOffset = directoryOffset + recordCount * RECORD_BYTES;
  for (let position = 0; position < recordCount; position += 1) {
    const record = readRecord(
      bytes,
      directoryOffset + position * RECORD_BYTES,
      payloadOffset,
      salt,
    );
    if (record === null) return null;
    records.push(record);
    payloadOffset += bytes.readUInt32LE(directoryOffset + position * RECORD_BYTES + 4);
  }
  return records;
}

function readRecord(
  bytes: Buffer,
  offset: number,
  payloadOffset: number,
  salt: number,
): WalRecord | null {
  const payloadBytes = bytes.readUInt32LE(offset + 4);
  const payload = bytes.subarray(payloadOffset, payloadOffset + payloadBytes);
  const checksum = bytes.readUInt32LE(offset + 24);
  if (payload.length !== payloadBytes || crc32(payload, salt) !== checksum) return null;
  const type = bytes.readUInt8(offset + 1);
  const a = readUint64(bytes, offset + 8);
  const b = readUint64(bytes, offset + 16);
  const kind = KINDS[bytes.readUInt8(offset)];
  switch (kind) {
    case 'hard-state': {
      const votedFor = type === VOTED ? payload.toString('utf8') : null;
      return { kind, hardState: { currentTerm: a, votedFor, commitIndex: b } };
    }
    case 'cut':
      return { kind, index: a };
    case 'entry': {
      const entryType = ENTRY_TYPES[type];
      if (entryType === undefined) return null;
      return { kind, index: a, term: b, type: entryType, payloadOffset, payloadBytes, checksum };
    }
    case 'log-start':
    case 'base':
    case 'base-start':
    case 'reset':
      return { kind, position: { index: a, term: b } };
    default:
      return null;
  }
}
