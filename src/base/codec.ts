import { isNativeAccelerationEnabled, Packr } from 'msgpackr';
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
 * The value that `packed` holds, all of it.
 * @throws BalsaError `FRAME_INVALID` when it is not one whole msgpack value
 */
export function unpack(packed: Uint8Array): unknown {
  const bytes = isNativeAccelerationEnabled ? packed : keepMarks(packed);
  let value: unknown;
  let end = 0;
  try {
    // Of a value with more behind it `unpack` of the library shows the beginning, as JSON of the whole, which takes seconds.
    packr.unpackMultiple(bytes, (first, _start, behind = 0) => {
      value = first;
      end = behind;
      return false;
    });
  } catch (cause) {
    throw new BalsaError('FRAME_INVALID', `not a msgpack value: ${(cause as Error).message}`, {
      cause,
    });
  }
  if (end === bytes.byteLength) return value;
  throw new BalsaError('FRAME_INVALID', `not a msgpack value: it ends after ${end} bytes`);
}

/** Deeper than any tuple of ours. */
const NESTING_MAX = 32;

const FIXED_EXTENSION_1 = 0xd4;

/**
 * Refuses bytes whose lists are nested deeper than any of ours: how deep they can be read depends on the stack of the moment, and
 * what gets into the log must be read alike everywhere. So are extensions of msgpack (sets, errors, records...), of which ours have
 * none: some of them take the next value into themselves, and so on, as deep as somebody likes. Bytes that are no msgpack at all
 * are for {@link unpack} to refuse.
 *
 * @throws BalsaError `FRAME_INVALID`
 */
export function checkNesting(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** Of each list that is open: how many values are still to come. */
  const open: number[] = [];
  let at = 0;
  while (at < bytes.byteLength) {
    if (isExtension(bytes, at)) throw new BalsaError('FRAME_INVALID', 'an extension of msgpack');
    const { bytes: size, values } = headOf(view, at);
    at += size;
    while (open.length > 0 && open[open.length - 1] === 0) open.pop();
    if (open.length > 0) open[open.length - 1] = (open[open.length - 1] as number) - 1;
    if (values === 0) continue;
    if (open.length >= NESTING_MAX)
      throw new BalsaError('FRAME_INVALID', `lists nested more than ${NESTING_MAX} deep`);
    open.push(values);
  }
}

/** All but the one that stands for `undefined`, which {@link pack} makes. */
function isExtension(bytes: Uint8Array, at: number): boolean {
  const type = bytes[at] as number;
  if (type === FIXED_EXTENSION_1) return bytes[at + 1] !== 0;
  return (type >= 0xc7 && type <= 0xc9) || (type > FIXED_EXTENSION_1 && type <= 0xd8);
}

/** Of the value that begins at `at`: its own bytes, and how many values it is made of. */
function headOf(view: DataView, at: number): { readonly bytes: number; readonly values: number } {
  const type = view.getUint8(at);
  const size = (bytes: 1 | 2 | 4): number => {
    if (at + bytes >= view.byteLength) return 0;
    if (bytes === 1) return view.getUint8(at + 1);
    return bytes === 2 ? view.getUint16(at + 1) : view.getUint32(at + 1);
  };
  if (type <= 0x7f || type >= 0xe0) return { bytes: 1, values: 0 };
  if (type <= 0x8f) return { bytes: 1, values: 2 * (type & 0x0f) };
  if (type <= 0x9f) return { bytes: 1, values: type & 0x0f };
  if (type <= 0xbf) return { bytes: 1 + (type & 0x1f), values: 0 };
  const width =
    type === 0xc4 || type === 0xd9
      ? 1
      : type === 0xc5 || type === 0xda || type === 0xdc || type === 0xde
        ? 2
        : 4;
  switch (type) {
    // bin, str
    case 0xc4:
    case 0xc5:
    case 0xc6:
    case 0xd9:
    case 0xda:
    case 0xdb:
      return { bytes: 1 + width + size(width), values: 0 };
    case 0xdc:
    case 0xdd:
      return { bytes: 1 + width, values: size(width) };
    case 0xde:
    case 0xdf:
      return { bytes: 1 + width, values: 2 * size(width) };
    default:
      return { bytes: 1 + (FIXED_BYTES[type - 0xc0] ?? 0), values: 0 };
  }
}

/** U+FEFF in UTF-8. */
const MARK = Buffer.from([0xef, 0xbb, 0xbf]);

const STR_8 = 0xd9;
const STR_32 = 0xdb;

/**
 * Without its native part the library takes a mark from the beginning of each text of more than 64 bytes: there is a second one
 * then, which is what it takes.
 */
function keepMarks(packed: Uint8Array): Uint8Array {
  const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
  if (!bytes.includes(MARK)) return packed;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const pieces: Buffer[] = [];
  let kept = 0;
  for (let at = 0; at < bytes.byteLength; ) {
    const type = view.getUint8(at);
    const { bytes: size } = headOf(view, at);
    const begin = at + 1 + (1 << (type - STR_8));
    const length = at + size - begin;
    const isText = type >= STR_8 && type <= STR_32;
    if (isText && length > 64 && MARK.equals(bytes.subarray(begin, begin + MARK.byteLength))) {
      pieces.push(bytes.subarray(kept, at), sizeHead(STR_32, length + MARK.byteLength), MARK);
      kept = begin;
    }
    at += size;
  }
  return Buffer.concat([...pieces, bytes.subarray(kept)]);
}

/** Of 0xc0 to 0xd4, those that have a size of their own. */
const FIXED_BYTES: readonly number[] = [
  ...[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8],
  2,
];

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
  return new BalsaError('FRAME_INVALID', `${what}: expected ${expected}, found ${kindOf(found)}`);
}

function kindOf(found: unknown): string {
  return found === null ? 'null' : Array.isArray(found) ? 'a list' : typeof found;
}

const SHOWN_LENGTH_MAX = 100;

/** For messages: what came from outside where a type is expected. It may be anything, a number of millions of digits too. */
export function shownType(found: unknown): string {
  if (typeof found === 'string') return found.slice(0, SHOWN_LENGTH_MAX);
  return typeof found === 'number' ? String(found) : kindOf(found);
}
