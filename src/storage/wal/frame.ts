import { crc32 } from '../../base/checksum.js';
import {
  FRAME_HEADER_BYTES,
  frameBytes,
  RECORD_BYTES,
  readFrameHeader,
  writeFrameHeader,
} from './format.js';
import { itemPayload, readRecords, type WalItem, type WalRecord, writeRecord } from './record.js';

/** Frames up to this size are copied into one buffer: one write of one buffer is the fastest. */
const COPIED_BYTES_MAX = 256 * 1024;

export interface EncodedFrame {
  readonly chunks: readonly Uint8Array[];
  readonly byteLength: number;
  /** Of each item's payload, in order: where it lies from the start of the frame, and its checksum. */
  readonly payloads: readonly PayloadPlace[];
}

export interface PayloadPlace {
  readonly offset: number;
  readonly byteLength: number;
  readonly checksum: number;
}

/** Makes frames; keeps a buffer from one to the next, so a frame must be written before the next is made. */
export class FrameEncoder {
  readonly #salt: number;
  #scratch = Buffer.alloc(16 * 1024);

  constructor(salt: number) {
    this.#salt = salt;
  }

  encode(sequence: number, items: readonly WalItem[]): EncodedFrame {
    const payloads = items.map(itemPayload);
    const payloadBytes = payloads.reduce((sum, payload) => sum + payload.byteLength, 0);
    const byteLength = frameBytes(items.length, payloadBytes);
    const headBytes = FRAME_HEADER_BYTES + items.length * RECORD_BYTES;
    const isCopied = byteLength <= COPIED_BYTES_MAX;
    const head = this.#take(isCopied ? byteLength : headBytes);
    const places = this.#writeDirectory(head, items, payloads);
    const directory = head.subarray(FRAME_HEADER_BYTES, headBytes);
    writeFrameHeader(
      head,
      {
        kind: 'records',
        sequence,
        recordCount: items.length,
        payloadBytes,
        directoryChecksum: crc32(directory, this.#salt),
      },
      this.#salt,
    );
    const padding = byteLength - headBytes - payloadBytes;
    if (!isCopied) {
      return { chunks: [head, ...payloads, Buffer.alloc(padding)], byteLength, payloads: places };
    }
    let offset = headBytes;
    for (const payload of payloads) {
      head.set(payload, offset);
      offset += payload.byteLength;
    }
    head.fill(0, offset);
    return { chunks: [head], byteLength, payloads: places };
  }

  #writeDirectory(
    head: Buffer,
    items: readonly WalItem[],
    payloads: readonly Uint8Array[],
  ): PayloadPlace[] {
    const places: PayloadPlace[] = [];
    let offset = FRAME_HEADER_BYTES + items.length * RECORD_BYTES;
    items.forEach((item, position) => {
      const payload = payloads[position] as Uint8Array;
      const checksum = crc32(payload, this.#salt);
      const place = { offset, byteLength: payload.byteLength, checksum };
      writeRecord(head, FRAME_HEADER_BYTES + position * RECORD_BYTES, item, place);
      places.push(place);
      offset += payload.byteLength;
    });
    return places;
  }

  #take(byteLength: number): Buffer {
    if (this.#scratch.length < byteLength) this.#scratch = Buffer.alloc(byteLength * 2);
    return this.#scratch.subarray(0, byteLength);
  }
}

export interface DecodedFrame {
  readonly sequence: number;
  readonly byteLength: number;
  readonly records: readonly WalRecord[];
}

/** The frame at `offset`; `null` when there is no whole and undamaged one. Seals are not frames. */
export function decodeFrame(bytes: Buffer, offset: number, salt: number): DecodedFrame | null {
  const header = readFrameHeader(bytes, offset, salt);
  if (header === null || header.kind !== 'records') return null;
  const byteLength = frameBytes(header.recordCount, header.payloadBytes);
  if (offset + byteLength > bytes.length) return null;
  const directoryOffset = offset + FRAME_HEADER_BYTES;
  const directoryEnd = directoryOffset + header.recordCount * RECORD_BYTES;
  const directory = bytes.subarray(directoryOffset, directoryEnd);
  if (crc32(directory, salt) !== header.directoryChecksum) return null;
  const records = readRecords(bytes, directoryOffset, header.recordCount, salt);
  return records === null ? null : { sequence: header.sequence, byteLength, records };
}
