import { Packr } from 'msgpackr';
import { BalsaError } from './errors.js';

/**
 * The one codec of wire and log: msgpack tuples (arrays). Tuples need no shared state between
 * processes and are versioned by position: fields are appended, never reordered or removed.
 *
 * Byte strings come out as views into the input, so the input must not be reused.
 */
const packr = new Packr({ useRecords: false, mapsAsObjects: false, int64AsType: 'number' });

/**
 * `value` as bytes, to be sent or written soon. Nobody overwrites them, but they are a view of a larger
 * buffer (up to some MiB) that stays in memory as long as they do: see {@link packToKeep}.
 */
export function pack(value: unknown): Buffer {
  return packr.pack(value) as Buffer;
}

/** `value` as bytes that hold on to no more memory than they need (Node's small pool aside). */
export function packToKeep(value: unknown): Buffer {
  return Buffer.from(pack(value));
}

/** Byte strings from this size on are not copied more often than need be. */
export const LARGE_BYTES = 256 * 1024;

const BIN_32 = 0xc6;
const ARRAY_32 = 0xdd;
const SIZE_HEAD_BYTES = 5;

/**
 * As {@link pack} of tuples with large byte strings, in pieces to be joined: those strings as they are. (The
 * packer itself copies all that it has each time that its buffer is too small.)
 */
export function packLarge(value: unknown): Buffer[] {
  const pieces: Buffer[] = [];
  addPieces(value, pieces);
  return pieces;
}

function addPieces(value: unknown, pieces: Buffer[]): void {
  if (value instanceof Uint8Array && value.byteLength >= LARGE_BYTES) {
    const { buffer, byteOffset, byteLength } = value;
    pieces.push(sizeHead(BIN_32, byteLength), Buffer.from(buffer, byteOffset, byteLength));
  } else if (Array.isArray(value)) {
    pieces.push(sizeHead(ARRAY_32, value.length));
    for (const field of value) addPieces(field, pieces);
  } else {
    pieces.push(pack(value));
  }
}

function sizeHead(type: number, size: number): Buffer {
  const head = Buffer.allocUnsafe(SIZE_HEAD_BYTES);
  head.writeUInt8(type, 0);
  head.writeUInt32BE(size, 1);
  return head;
}

/**
 * The value that `bytes` hold, all of them.
 * @throws BalsaError `FRAME_INVALID` when they are not one whole msgpack value
 */
export function unpack(bytes: Uint8Array): unknown {
  try {
    return packr.unpack(bytes as Buffer);
  } catch (cause) {
    throw new BalsaError('FRAME_INVALID', `not a msgpack value: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Checks for values that came from outside. Each names what it found and where. */
export const check = {
  tuple(value: unknown, what: string, lengthMin: number): readonly unknown[] {
    if (Array.isArray(value) && value.length >= lengthMin) return value;
    throw invalid(what, `a tuple of at least ${lengthMin} fields`, value);
  },
  list(value: unknown, what: string): readonly unknown[] {
    if (Array.isArray(value)) return value;
    throw invalid(what, 'a list', value);
  },
  /** A whole number from 0 to 2^53 - 1. */
  count(value: unknown, what: string): number {
    if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
    throw invalid(what, 'a whole number from 0', value);
  },
  bytes(value: unknown, what: string): Uint8Array {
    if (value instanceof Uint8Array) return value;
    throw invalid(what, 'bytes', value);
  },
  text(value: unknown, what: string): string {
    if (typeof value === 'string') return value;
    throw invalid(what, 'text', value);
  },
  flag(value: unknown, what: string): boolean {
    if (typeof value === 'boolean') return value;
    throw invalid(what, 'true or false', value);
  },
  optional<T>(value: unknown, read: (value: unknown) => T): T | null {
    return value === null || value === undefined ? null : read(value);
  },
};

function invalid(what: string, expected: string, found: unknown): BalsaError {
  const kind = found === null ? 'null' : Array.isArray(found) ? 'a list' : typeof found;
  return new BalsaError('FRAME_INVALID', `${what}: expected ${expected}, found ${kind}`);
}
