import { describe, expect, test } from 'vitest';
import {
  formatOfFile,
  type ImportFormatOptions,
  type ImportItem,
  ImportReader,
} from '../../src/cli/import-format.js';

function read(text: string | Buffer, options: Partial<ImportFormatOptions> = {}): ImportItem[] {
  const reader = new ImportReader({ format: 'jsonl', recordBytesMax: 10_000, ...options });
  return [...reader.push(Buffer.from(text)), ...reader.end()];
}

function shown(items: readonly ImportItem[]): unknown[] {
  return items.map((item) =>
    'problem' in item
      ? `line ${item.line}: ${item.problem}`
      : [Buffer.from(item.key).toString(), Buffer.from(item.value).toString()],
  );
}

describe('JSON lines', () => {
  test.each([
    ['{"key":"a","value":"text"}', ['a', 'text']],
    ['{"key":"a","value":""}', ['a', '']],
    ['{"key":"a","value":{"b":[1,null]}}', ['a', '{"b":[1,null]}']],
    ['{"key":"a","value":null}', ['a', 'null']],
    ['{"key":"a","value":1e300}', ['a', '1e+300']],
    ['{"key":"a","valueBase64":"aGk="}', ['a', 'hi']],
    ['{"keyBase64":"aGk=","value":"x","modRevision":7}', ['hi', 'x']],
    ['\uFEFF{"key":"a","value":"bom"}', ['a', 'bom']],
  ])('%s', (line, expected) => {
    expect(shown(read(line))).toEqual([expected]);
  });

  test.each([
    ['{"key":"a"', 'line 1: is not JSON: '],
    ['[1]', 'line 1: is not an object like'],
    ['{"value":"x"}', 'line 1: has no "key"'],
    ['{"key":5,"value":"x"}', 'line 1: "key" is not a string'],
    ['{"key":"","value":"x"}', 'line 1: the key is empty'],
    ['{"key":"a"}', 'line 1: has no "value"'],
    ['{"key":"a","valueBase64":"?"}', 'line 1: "valueBase64" is not base64'],
    ['{"key":"a","value":{"n":12345678901234567890}}', 'line 1: a number in "value" has more'],
    ['{"key":"a","value":[0.123456789012345678]}', 'line 1: a number in "value" has more'],
    ['{"key":"a","value":9007199254740993}', 'line 1: a number in "value" has more'],
    ['{"key":"a","value":3.00000000000000000001}', 'line 1: a number in "value" has more'],
    ['{"key":"a","value":1e-400}', 'line 1: a number in "value" has more'],
    ['{"key":"a","value":[1e400]}', 'line 1: a number in "value" is larger'],
    [`{"key":"a","value":${'9'.repeat(400)}}`, 'line 1: a number in "value" is larger'],
    [`{"key":"a","value":[${'9'.repeat(250)}e60]}`, 'line 1: a number in "value" is larger'],
    ['{"key":"\\ud800","value":"x"}', 'line 1: "key" has half of a surrogate pair'],
    ['{"key":"a","value":"\\udfff"}', 'line 1: "value" has half of a surrogate pair'],
    [Buffer.from([0x7b, 0xff]), 'line 1: is not UTF-8'],
    [`{"key":"${'x'.repeat(10_000)}"}`, 'line 1: is longer than 10000 bytes'],
  ])('%s is refused', (line, expected) => {
    const [item] = shown(read(line));
    expect(item).toContain(expected);
  });

  test('a long number in text is only text', () => {
    // As programs print doubles; of other fields nothing is stored.
    for (const [written, stored] of [
      ['0.10000000000000001', '0.1'],
      ['[9007199254740992,5e-324,1e300]', '[9007199254740992,5e-324,1e+300]'],
      ['{"long":"0.123456789012345678","\\"":[1]}', '{"long":"0.123456789012345678","\\"":[1]}'],
    ]) {
      const line = `{"id":{"value":0.123456789012345678},"key":"a","value":${written},"n":1e400}`;
      expect(shown(read(line))).toEqual([['a', stored]]);
    }
    expect(shown(read('{"key":"a","value":"12345678901234567890"}'))).toEqual([
      ['a', '12345678901234567890'],
    ]);
  });

  test('empty lines are nothing, but they count', () => {
    expect(shown(read('\n  \n{"key":"a","value":"b"}\nx\n'))).toEqual([
      ['a', 'b'],
      expect.stringContaining('line 4: is not JSON'),
    ]);
  });
});

describe('CSV', () => {
  const csv = (text: string, options: Partial<ImportFormatOptions> = {}) =>
    shown(read(text, { format: 'csv', ...options }));

  test('takes the columns key and value', () => {
    expect(csv('key,value\na,1\n"b","2\n3"\n')).toEqual([
      ['a', '1'],
      ['b', '2\n3'],
    ]);
  });

  test('keys are as they are written: a mark or a space may be one, where it is none of the file', () => {
    expect(csv('\uFEFFkey,value\n\uFEFFa,1\na,2\n')).toEqual([
      ['\uFEFFa', '1'],
      ['a', '2'],
    ]);
    expect(csv('key\n \n\nb\n').map((item) => (item as string[])[0])).toEqual([' ', 'b']);
    expect(csv('key,value\n  \na,1\n')).toEqual([['a', '1']]);
  });

  test('without a column value the rest of the row is the value, as JSON', () => {
    expect(csv('id,name,age\nu1,Ada,36\n', { keyColumn: 'id' })).toEqual([
      ['u1', '{"name":"Ada","age":"36"}'],
    ]);
  });

  test('takes named columns and tells those that are not imported', () => {
    const reader = new ImportReader({
      format: 'csv',
      keyColumn: 'id',
      valueColumn: 'name',
      recordBytesMax: 100,
    });
    expect(shown(reader.push(Buffer.from('\uFEFFid,name,age\nu1,Ada,36\n')))).toEqual([
      ['u1', 'Ada'],
    ]);
    expect(reader.ignoredColumns).toEqual(['age']);
  });

  test('a row with another number of fields is refused with its line', () => {
    expect(csv('key,value\n"a\nb",1\nc\nd,4')).toEqual([
      ['a\nb', '1'],
      'line 4: has 1 fields, the header has 2',
      ['d', '4'],
    ]);
  });

  test.each([
    ['name,value\n', {}, 'no column "key" (--key-column) in the header "name", "value"'],
    ['key,valeu\n', { valueColumn: 'value' }, '(did you mean "valeu"?)'],
    ['key,a,a\n', {}, 'the header names the column "a" twice'],
  ])('the header %j is refused for good', (text, options, message) => {
    expect(() => csv(text, options)).toThrow(message);
  });
});

test('the format is told by the name of the file', () => {
  expect(['a.jsonl', 'a.NDJSON', 'a.json', 'a.csv', 'a.txt', 'csv'].map(formatOfFile)).toEqual([
    'jsonl',
    'jsonl',
    'jsonl',
    'csv',
    null,
    null,
  ]);
});
