import { isUtf8 } from 'node:buffer';
import { isWellFormed, toBuffer } from '../base/bytes.js';
import { BalsaError } from '../base/errors.js';

/** How values become bytes, and bytes values. `In` is what is put, `Out` what is got. */
export interface Codec<In, Out> {
  /** For messages. */
  readonly name: string;
  /** May throw: the call then fails with `INVALID_ARGUMENT`. */
  encode(value: In): Uint8Array;
  /** May throw: the call then fails with `VALUE_NOT_DECODABLE`. The bytes must not be kept. */
  decode(stored: Buffer): Out;
}

/**
 * Values as bytes: takes a string (as UTF-8) or bytes, gives a Buffer of its own. The default.
 *
 * Bytes that are put are not copied: leave them as they are until the call has settled.
 */
export const bytes: Codec<string | Uint8Array, Buffer> = {
  name: 'bytes',
  encode(value) {
    if (typeof value === 'string') return encodeText(value);
    if (value instanceof Uint8Array) return value;
    throw new TypeError(`expected a string or a Uint8Array, found ${kindOf(value)}`);
  },
  // A copy: a view would hold the whole frame that it came in.
  decode: (stored) => Buffer.from(stored),
};

/** Values as text in UTF-8. */
export const text: Codec<string, string> = {
  name: 'text',
  encode(value) {
    if (typeof value === 'string') return encodeText(value);
    throw new TypeError(`expected a string, found ${kindOf(value)}`);
  },
  decode: decodeText,
};

/**
 * Values as JSON. `T` is trusted: what others have put is parsed, not checked against it.
 *
 * @example
 * ```ts
 * interface User { name: string; age: number }
 * await using db = await connect({ endpoints: ['127.0.0.1:7001'], codec: json<User>() });
 * await db.put('user/ada', { name: 'Ada', age: 36 });
 * const { value } = await db.get('user/ada'); // User | undefined
 * ```
 */
export function json<T = unknown>(): Codec<T, T> {
  return {
    name: 'json',
    encode(value) {
      const encoded: string | undefined = JSON.stringify(value);
      if (encoded === undefined) throw new TypeError(`${kindOf(value)} has no form in JSON`);
      return Buffer.from(encoded, 'utf8');
    },
    decode: (stored) => JSON.parse(decodeText(stored)) as T,
  };
}

/** @throws BalsaError `INVALID_ARGUMENT`, outcome `not-applied` */
export function encodeValue<In>(codec: Codec<In, unknown>, value: In): Uint8Array {
  try {
    return codec.encode(value);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BalsaError(
      'INVALID_ARGUMENT',
      `the value cannot be encoded as ${codec.name}: ${why}`,
      {
        outcome: 'not-applied',
        cause,
      },
    );
  }
}

/** @throws BalsaError `VALUE_NOT_DECODABLE`, naming the key */
export function decodeValue<Out>(
  codec: Codec<never, Out>,
  key: Uint8Array,
  stored: Uint8Array,
): Out {
  try {
    return codec.decode(toBuffer(stored));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BalsaError(
      'VALUE_NOT_DECODABLE',
      `the value of ${showKey(key)} is not ${codec.name}: ${why}`,
      { cause, details: { key: showKey(key), codec: codec.name } },
    );
  }
}

/** @throws BalsaError `VALUE_NOT_DECODABLE` */
export function decodeKeyText(key: Uint8Array): string {
  if (isUtf8(key)) return toBuffer(key).toString('utf8');
  throw new BalsaError(
    'VALUE_NOT_DECODABLE',
    `the key ${showKey(key)} is not text in UTF-8; connect with keys: 'bytes' to read it`,
    { details: { key: showKey(key) } },
  );
}

function encodeText(value: string): Buffer {
  if (isWellFormed(value)) return Buffer.from(value, 'utf8');
  throw new TypeError(
    'it is not well-formed Unicode: half of a surrogate pair has no form in UTF-8',
  );
}

function decodeText(stored: Buffer): string {
  if (!isUtf8(stored)) throw new TypeError('not UTF-8');
  return stored.toString('utf8');
}

const KEY_SHOWN_BYTES = 64;

/** A key for messages: quoted when it is text, else in hex; long ones are cut. */
function showKey(key: Uint8Array): string {
  const more = key.byteLength > KEY_SHOWN_BYTES ? '…' : '';
  const shown = toBuffer(key).subarray(0, KEY_SHOWN_BYTES);
  return isUtf8(key)
    ? JSON.stringify(shown.toString('utf8') + more)
    : `0x${shown.toString('hex')}${more}`;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : typeof value;
}
