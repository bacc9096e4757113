import { isWellFormed } from '../base/bytes.js';
import { BalsaError } from '../base/errors.js';
import { nearest } from '../base/suggest.js';
import { utf8OrNull } from './printable.js';
import { parseCsvRecord, type RawRecord, RecordSplitter } from './records.js';

/** The files that `balsa import` reads: JSON lines, and CSV with a header. */

export type ImportFormat = 'jsonl' | 'csv';
export const IMPORT_FORMATS: readonly ImportFormat[] = ['jsonl', 'csv'];

export interface ImportFormatOptions {
  readonly format: ImportFormat;
  /** CSV: column of the key. Default `key`. */
  readonly keyColumn?: string | undefined;
  /** CSV: column of the value. Default `value` when there is one, else the row as a JSON object. */
  readonly valueColumn?: string | undefined;
  /** Longest record in bytes; longer ones are problems. */
  readonly recordBytesMax: number;
}

/** One record: something to put, or what is wrong with it. */
export type ImportItem =
  | { readonly line: number; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly line: number; readonly problem: string };

/** `null`: by its name it could be anything. */
export function formatOfFile(path: string): ImportFormat | null {
  if (/\.(jsonl|ndjson|json)$/i.test(path)) return 'jsonl';
  return /\.csv$/i.test(path) ? 'csv' : null;
}

/** Bytes in, items out; holds no more than the record that is under way. */
export class ImportReader {
  readonly #options: ImportFormatOptions;
  readonly #splitter: RecordSplitter;
  #columns: CsvColumns | null = null;

  constructor(options: ImportFormatOptions) {
    this.#options = options;
    const kind = options.format === 'csv' ? 'csv' : 'lines';
    this.#splitter = new RecordSplitter(kind, options.recordBytesMax);
  }

  /** Columns of a CSV file that are not imported; empty before its header was read. */
  get ignoredColumns(): readonly string[] {
    return this.#columns?.ignored ?? [];
  }

  /** @throws BalsaError `FILE_INVALID` when the header is wrong: then nothing can be read */
  push(chunk: Buffer): ImportItem[] {
    return this.#splitter.push(chunk).flatMap((record) => this.#read(record));
  }

  /** @throws BalsaError `FILE_INVALID` when the header is wrong */
  end(): ImportItem[] {
    return this.#splitter.end().flatMap((record) => this.#read(record));
  }

  /** Where there is one column, a space may be a key. */
  #isBlank(text: string): boolean {
    return this.#columns?.names.length === 1 ? text === '' : text.trim() === '';
  }

  #read({ line, bytes, isTooLong }: RawRecord): ImportItem[] {
    const { format, recordBytesMax } = this.#options;
    if (isTooLong) {
      const hint = format === 'csv' ? ' (is a quote never closed?)' : '';
      return [{ line, problem: `is longer than ${recordBytesMax} bytes${hint}` }];
    }
    const decoded = utf8OrNull(bytes);
    if (decoded === null) return [{ line, problem: 'is not UTF-8' }];
    // A byte order mark is one at the beginning of the file alone.
    const text = line === 1 ? decoded.replace(/^\uFEFF/, '') : decoded;
    if (this.#isBlank(text)) return [];
    try {
      if (format === 'jsonl') return [{ line, ...parseJsonRecord(text) }];
      const fields = parseCsvRecord(text);
      if (this.#columns !== null) return [{ line, ...toRecord(fields, this.#columns) }];
      this.#columns = toColumns(fields, this.#options);
      return [];
    } catch (error) {
      if (error instanceof BalsaError) throw error;
      return [{ line, problem: error instanceof Error ? error.message : String(error) }];
    }
  }
}

interface KeyAndValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

// ---------------------------------------------------------------------------------------------
// JSON lines

/**
 * `{"key": "a", "value": "text"}`. A value that is not a string is stored as its JSON text. For bytes:
 * `keyBase64`, `valueBase64`. Other fields are ignored, so that what `balsa range -o json` prints fits.
 *
 * @throws Error that says what is wrong
 */
export function parseJsonRecord(text: string): KeyAndValue {
  const record = parseObject(text);
  const key = Object.hasOwn(record, 'keyBase64')
    ? fromBase64(record.keyBase64, 'keyBase64')
    : jsonKey(record.key);
  if (key.byteLength === 0) throw new Error('the key is empty');
  return { key, value: jsonValue(record, text) };
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`is not JSON: ${message.replaceAll('\n', ' ').slice(0, 200)}`, { cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new Error('is not an object like {"key": "a", "value": "b"}');
}

function jsonKey(key: unknown): Uint8Array {
  if (typeof key === 'string') return fromText(key, 'key');
  throw new Error(key === undefined ? 'has no "key"' : '"key" is not a string');
}

function jsonValue(record: Record<string, unknown>, text: string): Uint8Array {
  if (Object.hasOwn(record, 'valueBase64')) return fromBase64(record.valueBase64, 'valueBase64');
  if (!Object.hasOwn(record, 'value')) throw new Error('has no "value"');
  const { value } = record;
  if (typeof value === 'string') return fromText(value, 'value');
  if (LONG_NUMBER.test(text)) checkNumbers(text);
  return Buffer.from(JSON.stringify(value), 'utf8');
}

/**
 * A cheap first look, so that only lines with such numbers are searched for those that are not what was written. Fewer digits are
 * all kept, and with a shorter exponent no number is too large or too small.
 */
const LONG_NUMBER = /\d{16}|[\d.]{17}|[eE][+-]?\d{3}/;

/** @throws Error when `"value"` in the text of a record has a number that would be stored as another one */
function checkNumbers(text: string): void {
  for (const number of numbersOfValue(text)) {
    if (!Number.isFinite(Number(number))) {
      throw new Error('a number in "value" is larger than JSON numbers can be: write it as text');
    }
    if (losesDigits(number)) {
      throw new Error(
        'a number in "value" has more digits than JSON numbers keep: write it as text',
      );
    }
  }
}

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:]|[^\s"{}[\]:,]+/g;

/** As they are written. The text is known to be an object. */
function* numbersOfValue(text: string): Generator<string> {
  let depth = 0;
  let name = '';
  let previous = '';
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '{' || token === '[') depth += 1;
    else if (token === '}' || token === ']') depth -= 1;
    else if (token === ':' && depth === 1) name = JSON.parse(previous) as string;
    else if (name === 'value' && /^[-\d]/.test(token)) yield token;
    previous = token;
  }
}

/** `toPrecision` gives no more. */
const DIGITS_MAX = 100;

/** A number with as many digits as are written is another one. */
function losesDigits(written: string): boolean {
  const digits = significantDigits(written);
  if (digits === '') return false;
  if (digits.length > DIGITS_MAX) return true;
  return significantDigits(Number(written).toPrecision(digits.length)) !== digits;
}

/** Without the zeros around them, which say how large it is. */
function significantDigits(number: string): string {
  return number.replace(/[eE].*|[-.]/g, '').replace(/^0+|0+$/g, '');
}

function fromText(text: string, name: string): Uint8Array {
  if (isWellFormed(text)) return Buffer.from(text, 'utf8');
  throw new Error(`"${name}" has half of a surrogate pair, which is no text`);
}

function fromBase64(value: unknown, name: string): Uint8Array {
  const isBase64 = typeof value === 'string' && /^[A-Za-z0-9+/_-]*={0,2}$/.test(value);
  if (!isBase64) throw new Error(`"${name}" is not base64`);
  return Buffer.from(value, 'base64');
}

// ---------------------------------------------------------------------------------------------
// CSV

interface CsvColumns {
  readonly names: readonly string[];
  readonly keyIndex: number;
  /** `null`: the value is the rest of the row as a JSON object. */
  readonly valueIndex: number | null;
  readonly ignored: readonly string[];
}

function toColumns(names: readonly string[], options: ImportFormatOptions): CsvColumns {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    throw headerInvalid(`the header names the column ${quoted(twice)} twice`);
  const keyIndex = columnIndex(names, options.keyColumn ?? 'key', '--key-column');
  const valueIndex =
    options.valueColumn !== undefined
      ? columnIndex(names, options.valueColumn, '--value-column')
      : names.includes('value') && keyIndex !== names.indexOf('value')
        ? names.indexOf('value')
        : null;
  const ignored =
    valueIndex === null ? [] : names.filter((_, i) => i !== keyIndex && i !== valueIndex);
  return { names, keyIndex, valueIndex, ignored };
}

function columnIndex(names: readonly string[], name: string, flag: string): number {
  const index = names.indexOf(name);
  if (index !== -1) return index;
  const meant = nearest(name, names);
  const hint = meant === null ? '' : ` (did you mean ${quoted(meant)}?)`;
  const found = names.slice(0, 20).map(quoted).join(', ');
  throw headerInvalid(`no column ${quoted(name)} (${flag}) in the header ${found}${hint}`);
}

function headerInvalid(problem: string): BalsaError {
  return new BalsaError('FILE_INVALID', problem);
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 60));
}

function toRecord(fields: readonly string[], columns: CsvColumns): KeyAndValue {
  const { names, keyIndex, valueIndex } = columns;
  if (fields.length !== names.length) {
    throw new Error(`has ${fields.length} fields, the header has ${names.length}`);
  }
  const key = fields[keyIndex] ?? '';
  if (key === '') throw new Error('the key is empty');
  const value =
    valueIndex === null
      ? JSON.stringify(
          Object.fromEntries(
            names.map((name, i) => [name, fields[i]]).filter((_, i) => i !== keyIndex),
          ),
        )
      : (fields[valueIndex] ?? '');
  return { key: Buffer.from(key, 'utf8'), value: Buffer.from(value, 'utf8') };
}
