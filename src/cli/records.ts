import { unreachable } from '../base/assert.js';

/**
 * Cuts a stream of bytes into records, in bounded memory: lines, or CSV records, in which a quoted
 * field may hold line ends. What a record means is for `import-format` to say.
 */
export interface RawRecord {
  /** Line on which it starts, from 1. */
  readonly line: number;
  /** Without the line end. Empty when `isTooLong`. */
  readonly bytes: Buffer;
  readonly isTooLong: boolean;
}

export type RecordKind = 'lines' | 'csv';

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const QUOTE = 0x22;
const COMMA = 0x2c;

/** Where in a CSV record a byte stands (RFC 4180). Line ends count as such outside `quoted` only. */
type CsvPlace = 'field-start' | 'unquoted' | 'quoted' | 'quote-in-quoted';

export class RecordSplitter {
  readonly #kind: RecordKind;
  readonly #bytesMax: number;
  /** The record that is under way, as far as earlier chunks held it. */
  #parts: Buffer[] = [];
  #partsBytes = 0;
  #isTooLong = false;
  #place: CsvPlace = 'field-start';
  /** Line on which the record under way starts, and the one that we are on. */
  #recordLine = 1;
  #line = 1;

  constructor(kind: RecordKind, bytesMax: number) {
    this.#kind = kind;
    this.#bytesMax = bytesMax;
  }

  /** The records that `chunk` completes. */
  push(chunk: Buffer): RawRecord[] {
    const records: RawRecord[] = [];
    let start = 0;
    for (;;) {
      const end = this.#findEnd(chunk, start);
      if (end === -1) break;
      this.#keep(chunk.subarray(start, end));
      records.push(this.#take());
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
    return records;
  }

  /** What is left when no more bytes come: a last line without a line end. */
  end(): RawRecord[] {
    return this.#partsBytes === 0 && !this.#isTooLong ? [] : [this.#take()];
  }

  /** Index of the line feed that ends the record under way, or -1. */
  #findEnd(chunk: Buffer, start: number): number {
    if (this.#kind === 'csv') return this.#findCsvEnd(chunk, start);
    const end = chunk.indexOf(LINE_FEED, start);
    if (end !== -1) this.#line += 1;
    return end;
  }

  #findCsvEnd(chunk: Buffer, start: number): number {
    let place = this.#place;
    for (let i = start; i < chunk.length; i += 1) {
      const byte = chunk[i];
      if (byte === LINE_FEED) {
        this.#line += 1;
        if (place !== 'quoted') {
          this.#place = 'field-start';
          return i;
        }
      } else if (byte === QUOTE) {
        place = afterQuote(place);
      } else if (place !== 'quoted') {
        place = byte === COMMA ? 'field-start' : afterOther(place, byte);
      }
    }
    this.#place = place;
    return -1;
  }

  #keep(part: Buffer): void {
    if (part.length === 0 || this.#isTooLong) return;
    this.#partsBytes += part.length;
    if (this.#partsBytes > this.#bytesMax) {
      this.#isTooLong = true;
      this.#parts = [];
    } else {
      this.#parts.push(part);
    }
  }

  #take(): RawRecord {
    const bytes =
      this.#parts.length === 1 ? (this.#parts[0] ?? NOTHING) : Buffer.concat(this.#parts);
    const isCrLf = bytes.at(-1) === CARRIAGE_RETURN;
    const record = {
      line: this.#recordLine,
      bytes: isCrLf ? bytes.subarray(0, -1) : bytes,
      isTooLong: this.#isTooLong,
    };
    this.#parts = [];
    this.#partsBytes = 0;
    this.#isTooLong = false;
    this.#recordLine = this.#line;
    return record;
  }
}

const NOTHING = Buffer.alloc(0);

function afterQuote(place: CsvPlace): CsvPlace {
  switch (place) {
    case 'field-start':
      return 'quoted';
    case 'quoted':
      return 'quote-in-quoted';
    case 'quote-in-quoted':
      return 'quoted';
    case 'unquoted':
      // Not allowed there; the record is refused when it is read, and ends at the next line end.
      return 'unquoted';
    default:
      return unreachable(place);
  }
}

function afterOther(place: CsvPlace, byte: number | undefined): CsvPlace {
  const isBeforeLineEnd = place === 'quote-in-quoted' && byte === CARRIAGE_RETURN;
  return isBeforeLineEnd ? place : 'unquoted';
}

/**
 * The fields of one CSV record (RFC 4180): commas between, quotes around a field that holds commas,
 * quotes or line ends, a quote within written twice.
 *
 * @throws Error that says what is wrong
 */
export function parseCsvRecord(text: string): string[] {
  const fields: string[] = [];
  let position = 0;
  for (;;) {
    const field = text[position] === '"' ? quotedField(text, position) : plainField(text, position);
    fields.push(field.value);
    if (field.end >= text.length) return fields;
    position = field.end + 1;
  }
}

interface CsvField {
  readonly value: string;
  /** Index of the comma behind it, or the length of the text. */
  readonly end: number;
}

function plainField(text: string, start: number): CsvField {
  const comma = text.indexOf(',', start);
  const end = comma === -1 ? text.length : comma;
  const value = text.slice(start, end);
  if (!value.includes('"')) return { value, end };
  throw new Error(`a quote inside the field ${JSON.stringify(value)}, which is not in quotes`);
}

function quotedField(text: string, start: number): CsvField {
  let value = '';
  let position = start + 1;
  for (;;) {
    const quote = text.indexOf('"', position);
    if (quote === -1) throw new Error('a quote is opened and never closed');
    value += text.slice(position, quote);
    const next = text[quote + 1];
    if (next === undefined || next === ',') return { value, end: quote + 1 };
    if (next !== '"') throw new Error(`a quote is closed before ${JSON.stringify(next)}`);
    value += '"';
    position = quote + 2;
  }
}
