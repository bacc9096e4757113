import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCsvRecord, type RawRecord, RecordSplitter } from '../../src/cli/records.js';

function split(kind: 'lines' | 'csv', chunks: readonly Buffer[], bytesMax = 1000): RawRecord[] {
  const splitter = new RecordSplitter(kind, bytesMax);
  return [...chunks.flatMap((chunk) => splitter.push(chunk)), ...splitter.end()];
}

const texts = (records: readonly RawRecord[]) => records.map(({ bytes }) => bytes.toString());

/** `bytes` in pieces, cut where `cuts` say. */
function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const ends = [...cuts.map((at) => at % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
}

function toCsv(row: readonly string[], always: boolean): string {
  const quote = (field: string) =>
    always || /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
  return row.map(quote).join(',');
}

describe('lines', () => {
  test('are cut at line feeds, without the carriage return, and counted', () => {
    expect(split('lines', [Buffer.from('a\r\nb'), Buffer.from('c\n\nd')])).toMatchObject([
      { line: 1, bytes: Buffer.from('a') },
      { line: 2, bytes: Buffer.from('bc') },
      { line: 3, bytes: Buffer.from('') },
      { line: 4, bytes: Buffer.from('d') },
    ]);
  });

  test('a quote means nothing', () => {
    expect(texts(split('lines', [Buffer.from('"a\nb"\n')]))).toEqual(['"a', 'b"']);
  });

  test('one that is too long is told once, without its bytes, and the next is whole', () => {
    const records = split('lines', cut(Buffer.from(`${'x'.repeat(50)}\nnext\n`), [10, 20, 30]), 25);
    expect(records).toMatchObject([
      { line: 1, isTooLong: true, bytes: Buffer.alloc(0) },
      { line: 2, isTooLong: false, bytes: Buffer.from('next') },
    ]);
  });
});

describe('CSV (RFC 4180)', () => {
  test('line ends in quotes belong to the record, and lines are counted through them', () => {
    const records = split('csv', [Buffer.from('a,"b\n""c""\r\nd"\r\ne,f')]);
    expect(records.map(({ line }) => line)).toEqual([1, 4]);
    expect(parseCsvRecord(records[0]?.bytes.toString() ?? '')).toEqual(['a', 'b\n"c"\r\nd']);
  });

  test('a quote in an unquoted field spoils its own record only', () => {
    const records = texts(split('csv', [Buffer.from('5" pipe,x\n"ok",y\n')]));
    expect(records).toHaveLength(2);
    expect(() => parseCsvRecord(records[0] ?? '')).toThrow('a quote inside the field "5\\" pipe"');
    expect(parseCsvRecord(records[1] ?? '')).toEqual(['ok', 'y']);
  });

  test.each([
    ['"a', 'a quote is opened and never closed'],
    ['"a"b', 'a quote is closed before "b"'],
  ])('%s is refused', (text, message) => {
    expect(() => parseCsvRecord(text)).toThrow(message);
  });

  test.each([
    ['', ['']],
    [',', ['', '']],
    ['a,', ['a', '']],
    ['"",""', ['', '']],
    ['""""', ['"']],
    [' a , b ', [' a ', ' b ']],
  ])('%j reads as %j', (text, fields) => {
    expect(parseCsvRecord(text)).toEqual(fields);
  });

  test('what was written is read again, wherever the chunks are cut', () => {
    const field = fc.oneof(fc.string(), fc.stringMatching(/^[a",\r\n]*$/), fc.constant('é日'));
    const rows = fc.array(fc.array(field, { minLength: 1, maxLength: 5 }), { maxLength: 8 });
    const options = fc.record({
      rows,
      cuts: fc.array(fc.nat()),
      lineEnd: fc.constantFrom('\n', '\r\n'),
    });
    fc.assert(
      fc.property(options, fc.boolean(), ({ rows, cuts, lineEnd }, always) => {
        const text = rows.map((row) => toCsv(row, always) + lineEnd).join('');
        const records = split('csv', cut(Buffer.from(text), cuts), 100_000);
        expect(texts(records).map(parseCsvRecord)).toEqual(rows);
      }),
    );
  });

  test('the lines of records add up, and no chunking changes anything', () => {
    const bytes = fc.stringMatching(/^[a",\r\n]*$/).map((text) => Buffer.from(text));
    fc.assert(
      fc.property(bytes, fc.array(fc.nat()), fc.constantFrom('csv', 'lines'), (all, cuts, kind) => {
        const whole = split(kind as 'csv' | 'lines', [all]);
        expect(split(kind as 'csv' | 'lines', cut(all, cuts))).toEqual(whole);
      }),
    );
  });
});
