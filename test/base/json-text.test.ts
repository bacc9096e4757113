import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { findFault, parseJson } from '../../src/base/json-text.js';

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function refusal(text: string): string {
  try {
    parseJson('it is', text);
  } catch (error) {
    if (error instanceof BalsaError) return `${error.code} ${error.message}`;
    throw error;
  }
  return 'taken';
}

describe('JSON of the command line', () => {
  test('is taken as it is', () => {
    expect(parseJson('it is', ' {"a": [1, -2.5e3, true, null, "\\u00e9\\n"], "b": {}} ')).toEqual({
      a: [1, -2500, true, null, 'é\n'],
      b: {},
    });
  });

  test.each([
    ['', 'line 1, column 1: a value is expected, found the end'],
    ['{a: 1}', 'line 1, column 2: a name in double quotes is expected, found a\n  {a: 1}\n   ^'],
    ["{'a': 1}", "column 2: a name in double quotes is expected, found '"],
    ['{"a" 1}', 'column 6: a colon is expected behind the name, found 1'],
    ['{"a":}', 'column 6: a value is expected, found }'],
    ["['a']", "column 2: a value is expected, found '; texts stand in double quotes"],
    ['{"a": 1', 'column 8: a comma or } is expected, found the end'],
    ['{"a": 1,}', 'column 9: there is a comma before the }'],
    ['[1, 2,]', 'column 7: there is a comma before the ]'],
    ['[1 2]', 'column 4: a comma or ] is expected, found 2'],
    ['{"a": 1]', 'column 8: a comma or } is expected, found ]'],
    ['1 2', 'column 3: there is more behind the end, beginning with 2'],
    ['ada', 'column 1: a value is expected, found ada'],
    ['[undefined]', 'column 2: a value is expected, found undefined'],
    ['01', 'column 1: 01 is no number of JSON'],
    ['[1.]', 'column 2: 1. is no number of JSON'],
    ['[-x]', 'column 2: -x is no number of JSON'],
    ['"abc', 'column 1: the text in quotes has no end'],
    ['"a\\x"', 'column 3: there is no escape \\x'],
    ['"a\\u12"', 'column 3: \\u is followed by four hexadecimal digits'],
    ['"a\nb"', 'column 3: a text in quotes must have \\n as an escape'],
    ['{\n  "a": 1,\n  "b": tru\n}', 'line 3, column 8: a value is expected, found tru'],
  ])('%j is refused, and the place is named', (text, message) => {
    expect(refusal(text)).toContain(`INVALID_ARGUMENT it is no JSON: `);
    expect(refusal(text)).toContain(message);
  });

  test('is shown around the place, where it is long', () => {
    const text = `[${'1,'.repeat(100)}x,${'1,'.repeat(100)}1]`;

    const [, line = '', pointer = ''] = refusal(text).split('\n');

    expect(line.length).toBeLessThan(100);
    expect(line[pointer.indexOf('^')]).toBe('x');
  });

  test('is nested as deeply as it likes', () => {
    const depth = 100_000;
    expect(findFault('['.repeat(depth) + ']'.repeat(depth))).toBe(null);
    expect(findFault(`${'[{"a":'.repeat(depth)}}`)?.at).toBe(6 * depth);
  });

  test('is the same as for JSON.parse, whatever the text', () => {
    const pieces = [
      ...['{', '}', '[', ']', ',', ':', '"', '"a"', "'", '\\', '\\u00e9', '\\n', ' ', '\n', '\t'],
      ...['0', '1', '-', '.', '.5', 'e', 'E+1', 'true', 'false', 'null', 'nul', 'NaN', '\u0001'],
    ];
    const soup = fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((all) => all.join(''));
    const spoilt = fc
      .tuple(fc.json(), fc.nat(), fc.nat({ max: 2 }), fc.constantFrom('', ...pieces))
      .map(([json, where, cut, put]) => {
        const at = where % (json.length + 1);
        return json.slice(0, at) + put + json.slice(at + cut);
      });
    fc.assert(
      fc.property(fc.oneof(soup, spoilt, fc.json(), fc.string()), (text) => {
        const fault = findFault(text);
        expect(fault === null).toBe(isJson(text));
        if (fault === null) return;
        // What stands before the place may go on to become JSON; nothing that ends there is a surprise.
        expect(fault.at).toBeLessThanOrEqual(text.length);
      }),
      { numRuns: 3000 },
    );
  });
});
