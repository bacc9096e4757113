import { BalsaError } from '../base/errors.js';
import { printable, utf8OrNull } from './printable.js';

/**
 * Keys as words of a command line. A word is text, a key is bytes: those that are no text are written as
 * `base64:AP8B`, and so are they shown. A key that is itself such a text has `text:` in front.
 */

const BASE64 = 'base64:';
const TEXT = 'text:';
/** Text that means itself only with one more `text:` in front. */
const AMBIGUOUS = /^(?:text:)*base64:/;

/** What stands where bytes were no UTF-8, in an argument of a process. */
const REPLACEMENT = '\ufffd';

/** A byte that is no text in a word of our own shell: `\xff` is U+DCFF, which no argument of a process has in it. */
const RAW_BYTE = /[\udc80-\udcff]/;
const RAW_BYTE_BASE = 0xdc00;

/** `byte` as a part of a word. */
export function rawByte(byte: number): string {
  return String.fromCharCode(byte < 0x80 ? byte : RAW_BYTE_BASE + byte);
}

/** A word in which raw bytes that are text together are text. */
export function joinRawBytes(word: string): string {
  return RAW_BYTE.test(word) ? (utf8OrNull(bytesOfWord(word)) ?? word) : word;
}

function bytesOfWord(word: string): Buffer {
  const parts: Buffer[] = [];
  // One character outside of the BMP is one here, so that its second half is not taken for a byte.
  for (const character of word) {
    const isRaw = RAW_BYTE.test(character) && character.length === 1;
    parts.push(Buffer.from(isRaw ? [character.charCodeAt(0) - RAW_BYTE_BASE] : character));
  }
  return Buffer.concat(parts);
}

/**
 * The key (or what keys begin with) that a word stands for.
 * @throws BalsaError `INVALID_ARGUMENT`
 */
export function parseKey(word: string): string | Uint8Array {
  if (word.includes(REPLACEMENT)) {
    throw new BalsaError(
      'INVALID_ARGUMENT',
      `the key ${printable(Buffer.from(word), 'one-line')} has bytes that are no UTF-8, which are lost in an argument`,
      { details: { hint: `its bytes in base64: ${BASE64}AP8B is the key of the bytes 00 ff 01` } },
    );
  }
  if (word.startsWith(BASE64)) return decoded(word.slice(BASE64.length));
  if (AMBIGUOUS.test(word)) return word.slice(TEXT.length);
  return RAW_BYTE.test(word) ? bytesOfWord(word) : word;
}

function decoded(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  const whole = bytes.toString('base64');
  if (text !== '' && (text === whole || text === whole.replace(/=+$/, ''))) return bytes;
  throw new BalsaError('INVALID_ARGUMENT', `behind ${BASE64} there is no base64: "${text}"`, {
    details: { hint: `${TEXT}${BASE64}${text} is the key that is this text` },
  });
}

/** The value that a word stands for. @throws BalsaError `INVALID_ARGUMENT` */
export function parseValue(word: string): string | Uint8Array {
  if (!word.includes(REPLACEMENT)) return RAW_BYTE.test(word) ? bytesOfWord(word) : word;
  throw new BalsaError(
    'INVALID_ARGUMENT',
    'the value has bytes that are no UTF-8, which are lost in an argument',
    { details: { hint: 'give it on stdin (-), or in a file (--file); in balsa shell: "\\xff"' } },
  );
}

/** A name, of a lock for example: no key that bytes could be given for. @throws BalsaError `INVALID_ARGUMENT` */
export function parseName(word: string): string {
  if (!word.includes(REPLACEMENT) && !RAW_BYTE.test(word)) return word;
  throw new BalsaError('INVALID_ARGUMENT', 'a name is text in UTF-8, and this one is not', {
    details: { hint: 'another name' },
  });
}

/** The word that {@link parseKey} takes for this key. */
export function keyWord(key: string | Uint8Array): string {
  const bytes = Buffer.from(key);
  const text = utf8OrNull(bytes);
  if (text === null || text.includes(REPLACEMENT)) return `${BASE64}${bytes.toString('base64')}`;
  return AMBIGUOUS.test(text) ? `${TEXT}${text}` : text;
}

/** The same for people: no control character gets through. */
export function keyText(key: string | Uint8Array): string {
  return printable(Buffer.from(keyWord(key)), 'one-line');
}
