import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  amount,
  amounts,
  count,
  counts,
  oneOf,
  parseFlags,
  someOf,
  text,
  usage,
} from '../../bench/harness/flags.js';

const FLAGS = {
  keys: count(100, 'that are there'),
  warmUpSeconds: amount(1.5, 'before'),
  entries: counts([1, 2], 'behind which they are killed'),
  factors: amounts([1, 3], 'of the top'),
  log: oneOf(['cut', 'whole'], 'cut', 'kept or not'),
  only: someOf(['a', 'b', 'c'], ['a', 'b'], 'what is measured'),
  json: text('into this file'),
};

const parse = (...args: string[]) => parseFlags(FLAGS, args);

describe('the flags of a benchmark', () => {
  test('have their defaults where nothing is said', () => {
    expect(parse()).toEqual({
      ...{ keys: 100, warmUpSeconds: 1.5, entries: [1, 2], factors: [1, 3] },
      ...{ log: 'cut', only: ['a', 'b'], json: undefined },
    });
  });

  test('are read by their kinds', () => {
    const args = ['--keys', '7', '--warm-up-seconds', '0.25', '--entries=5,10', '--factors', '1.5'];

    expect(parse(...args, '--log', 'whole', '--only', 'c,a', '--json', 'x.json')).toEqual({
      ...{ keys: 7, warmUpSeconds: 0.25, entries: [5, 10], factors: [1.5] },
      ...{ log: 'whole', only: ['c', 'a'], json: 'x.json' },
    });
  });

  test.each([
    [['--keys', 'many'], '--keys must be a whole number above 0, found "many"'],
    [['--keys', '1.5'], '--keys must be a whole number above 0, found "1.5"'],
    [['--keys', ''], '--keys must be a whole number above 0, found ""'],
    [['--keys=-3'], '--keys must be a whole number above 0, found "-3"'],
    [['--warm-up-seconds', '0'], '--warm-up-seconds must be a number above 0, found "0"'],
    [['--entries', '1,,2'], '--entries must be whole numbers above 0, with commas'],
    [['--factors', '1,Infinity'], '--factors must be numbers above 0, with commas'],
    [['--log', 'some'], '--log must be one of cut, whole, found "some"'],
    [['--only', 'a,d'], '--only must be some of a, b, c, with commas between them, found "a,d"'],
    [['--json', ''], '--json must be a text'],
    [['--unknown', '1'], "Unknown option '--unknown'"],
    [['word'], 'word'],
    [['--keys'], '--keys'],
  ])('%j is wrong, and it is said how', (args, message) => {
    const error = expect.objectContaining({ code: 'INVALID_ARGUMENT' });
    expect(() => parse(...args)).toThrow(error);
    expect(() => parse(...args)).toThrow(message);
  });

  test('are all named, with their defaults', () => {
    const lines = usage('bench:some', FLAGS).split('\n');

    expect(lines[0]).toBe('npm run bench:some -- [flags]');
    expect(lines).toContain('  --warm-up-seconds   before (a number above 0; default: 1.5)');
    expect(lines).toContain('  --json              into this file');
    expect(lines).toHaveLength(1 + Object.keys(FLAGS).length);
  });

  test('are read by nobody else: a wrong one shows no stack trace', () => {
    const folder = join(import.meta.dirname, '../../bench');
    const readers = readdirSync(folder).filter((name) => {
      return name.endsWith('.ts') && readFileSync(join(folder, name), 'utf8').includes('parseArgs');
    });

    expect(readers).toEqual([]);
  });
});
