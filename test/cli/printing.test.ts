import { describe, expect, test } from 'vitest';
import { jsonText } from '../../src/cli/json-print.js';
import { progressText } from '../../src/cli/progress.js';
import { tableLines } from '../../src/cli/table.js';
import { clip, textWidth } from '../../src/cli/text-width.js';

describe('text on a terminal', () => {
  test.each([
    ['abc', 3],
    ['日本', 4],
    ['e\u0301', 1],
    ['🚀', 2],
    ['\u001b[31mred\u001b[39m', 3],
  ])('%j takes %i columns', (text, width) => {
    expect(textWidth(text)).toBe(width);
  });

  test('is clipped to the columns there are, by characters', () => {
    expect(clip('abcdef', 6)).toBe('abcdef');
    expect(clip('abcdefg', 6)).toBe('abcde…');
    expect(clip('日本語', 4)).toBe('日…');
    expect(clip('x'.repeat(1_000_000), 5)).toBe('xxxx…');
  });
});

describe('tables', () => {
  const columns = [{ title: 'KEY' }, { title: 'N', align: 'right' as const }, { title: 'VALUE' }];

  test('have numbers to the right and no spaces at the end', () => {
    expect(
      tableLines(
        columns,
        [
          ['a', '5', 'x'],
          ['bcde', '1234', ''],
        ],
        null,
      ),
    ).toEqual(['KEY      N  VALUE', 'a        5  x', 'bcde  1234']);
  });

  test('take the room from the widest column', () => {
    const lines = tableLines(columns, [['key', '5', 'v'.repeat(100)]], 20);
    expect(lines[1]).toBe(`key  5  ${'v'.repeat(11)}…`);
  });
});

describe('progress', () => {
  test('has bar, part, count, rate and time left', () => {
    expect(progressText({ done: 25, count: 5000 }, 10_000, 100, 'records')).toBe(
      `${'█'.repeat(6)}${'░'.repeat(18)}  25%  5,000 records, 500/s, 30s left`,
    );
  });

  test('without a total has count, rate and time', () => {
    expect(progressText({ done: 25, count: 10 }, 2000, null, 'records')).toBe(
      '10 records, 5/s, 2s',
    );
  });
});

describe('JSON', () => {
  test.each([
    ['[', ']'],
    ['[1,', ',null]'],
    ['{"a":[],"b":{"c":', '},"d":{}}'],
  ])('is printed as it came, however deep it is: %s…%s', (begin, end) => {
    const depth = 20_000;
    const text = `${begin.repeat(depth)}"ä\\n"${end.repeat(depth)}`;
    expect(jsonText(JSON.parse(text)) === text).toBe(true);
    expect(jsonText(JSON.parse(text), 2) === text).toBe(true);
  });

  test('has lines of its own where it is not so deep', () => {
    expect(jsonText({ a: [1] }, 2)).toBe('{\n  "a": [\n    1\n  ]\n}');
  });
});
