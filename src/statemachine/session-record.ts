import { toBuffer } from '../base/bytes.js';
import { corrupt } from './corrupt.js';
import { COUNT_BYTES, readCount, writeCount } from './fixed-binary.js';

/** When something happened, in the order of the log. */
export interface Moment {
  readonly index: number;
  /** Which batch of the entry, from 0: several sessions may be active in one entry. */
  readonly ordinal: number;
  /** Log time. */
  readonly timeMs: number;
}

/** What is remembered of a session. */
export interface SessionRecord {
  readonly bornIndex: number;
  /** Its last batch that was applied. */
  readonly lastSequence: number;
  /** The client has the answers through this one. */
  readonly acknowledged: number;
  readonly lastActive: Moment;
}

const FORMAT = 1;
const BYTES = 1 + 6 * COUNT_BYTES;

export function encodeSessionRecord(record: SessionRecord): Buffer {
  const bytes = Buffer.allocUnsafe(BYTES);
  let offset = bytes.writeUInt8(FORMAT, 0);
  offset = writeCount(bytes, record.bornIndex, offset);
  offset = writeCount(bytes, record.lastSequence, offset);
  offset = writeCount(bytes, record.acknowledged, offset);
  offset = writeCount(bytes, record.lastActive.index, offset);
  offset = writeCount(bytes, record.lastActive.ordinal, offset);
  writeCount(bytes, record.lastActive.timeMs, offset);
  return bytes;
}

/** @throws BalsaError `STATE_CORRUPT` */
export function decodeSessionRecord(source: Uint8Array): SessionRecord {
  const bytes = toBuffer(source);
  if (bytes.byteLength !== BYTES || bytes[0] !== FORMAT) {
    throw corrupt(`a session record of ${bytes.byteLength} bytes and format ${bytes[0]}`);
  }
  const field = (n: number): number => readCount(bytes, 1 + n * COUNT_BYTES);
  return {
    bornIndex: field(0),
    lastSequence: field(1),
    acknowledged: field(2),
    lastActive: { index: field(3), ordinal: field(4), timeMs: field(5) },
  };
}

/** Negative, zero or positive as `a` was before, with or after `b`. */
export function compareMoments(a: Moment, b: Moment): number {
  return a.index - b.index || a.ordinal - b.ordinal;
}
