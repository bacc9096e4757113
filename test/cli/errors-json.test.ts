import { describe, expect, test } from 'vitest';
import { BalsaError, type ErrorCode } from '../../src/base/errors.js';
import { reportError } from '../../src/cli/errors-to-exit.js';
import type { CliIo } from '../../src/cli/io.js';
import { FakeStore, input, type RunOptions, run } from './fakes.js';

/** Errors for scripts, and what is said to try. */

function failing(error: BalsaError): FakeStore {
  const store = new FakeStore();
  store.onPut = () => {
    throw error;
  };
  return store;
}

describe('with -o json an error is one object on stderr', () => {
  const told = async (args: readonly string[], options: RunOptions = {}) => {
    const { exit, stdout, stderr } = await run(args, options);
    expect(stdout).toBe('');
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    return { exit, error: JSON.parse(stderr) as Record<string, unknown> };
  };

  test('with code, message, outcome, retryable, details and what to try', async () => {
    const store = failing(
      new BalsaError('OVERLOADED', 'too much', {
        outcome: 'unknown',
        details: { retryAfterMs: 7 },
      }),
    );
    expect(await told(['put', 'a', 'b', '-o', 'json'], { store })).toEqual({
      exit: 6,
      error: {
        ...{ code: 'OVERLOADED', message: 'too much', outcome: 'unknown', retryable: true },
        ...{ details: { retryAfterMs: 7 }, hint: 'the same command again in a moment' },
      },
    });
    const { error } = await told(['get', ''], { env: { BALSA_OUTPUT: 'json' } });
    expect(error).toMatchObject({ code: 'KEY_EMPTY', outcome: null, details: {} });
  });

  test.each([
    [['pot', '-o', 'json'], "unknown command 'pot'"],
    [['get', '-ojson', 'a', 'b'], 'too many arguments'],
    [['--output=json', 'put', 'a', '--bogus'], "unknown option '--bogus'"],
    [['get', '-o', 'json', '--limit', '0', 'a'], 'It must be a whole number from 1'],
    [['get', '-o', 'json'], 'get: give a KEY'],
    [['-o', 'json'], 'give a command'],
  ])('also for wrong usage: %j', async (args, message) => {
    const { exit, error } = await told(args);
    expect(exit).toBe(2);
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', retryable: false, outcome: null });
    expect(error.message).toContain(message);
    expect(error.hint).toMatch(/--help|^$/);
  });

  test('what stands behind -- is for another command', async () => {
    const { stderr } = await run(['lock', '--bogus', '--', 'x', '-o', 'json']);
    expect(stderr).toContain("error: unknown option '--bogus'");
  });

  test('in a shell, too', async () => {
    const stdin = input('put a "b\n');
    const { stderr } = await run(['shell', '-o', 'json'], { stdin });
    expect(JSON.parse(stderr)).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('what is said to try', () => {
  const hint = (
    code: ErrorCode,
    command: string,
    more: Partial<Parameters<typeof reportError>[1]>,
    outcome?: 'not-applied',
  ) => {
    let text = '';
    const stderr = { write: (part: string) => (text += part) };
    const io = { stderr, env: {}, interrupted: new AbortController().signal };
    const error = new BalsaError(code, 'x', outcome === undefined ? {} : { outcome });
    reportError(io as unknown as CliIo, { error, command, ...more });
    return /^try: (.*)$/m.exec(text)?.[1] ?? '';
  };

  test('without a majority: another level for a read, none for a write', () => {
    expect(hint('NO_QUORUM', 'put', {}, 'not-applied')).toBe('balsa status shows who is missing');
    expect(hint('NO_QUORUM', 'get', {})).toContain('--consistency any reads');
    expect(hint('NO_QUORUM', 'get', { flags: { rev: 17 } })).toContain('--consistency at:17 reads');
    // Its --rev says where it begins.
    expect(hint('NO_QUORUM', 'watch', { flags: { rev: 17 } })).toContain('--consistency any reads');
  });

  test('for a range that is too large to delete: in parts', () => {
    expect(hint('RANGE_TOO_LARGE', 'del', {}, 'not-applied')).toContain('--in-parts');
    expect(hint('RANGE_TOO_LARGE', 'txn', {}, 'not-applied')).toBe('take a smaller range');
  });

  test.each([
    [['put', 'a', 'b', '--lease', '1', '--ignore-lease'], 'put: give --lease or --ignore-lease'],
    [['range', '--sort-by', 'version'], 'range: --sort-by version needs --limit'],
    [['get', '--prefix', 'a', '--sort-by', 'value'], 'get: --sort-by value needs --limit'],
    [['del', 'a', '--in-parts'], 'del: --in-parts is for --prefix'],
    [['get', 'a', '--count-only'], 'get: --count-only is for --prefix'],
    [['get', 'a', '--min-mod-revision', '3'], 'get: --min-mod-revision is for --prefix'],
  ])('%j is refused in the words of the command line', async (args, message) => {
    const store = new FakeStore();
    const { exit, stderr } = await run(args, { store });
    expect(exit).toBe(2);
    expect(stderr).toContain(message);
    expect(store.connections).toEqual([]);
  });

  test('a time to live has its unit in the help', async () => {
    const { stdout } = await run(['lock', '--help']);
    expect(stdout).toMatch(/--ttl .*default:\s+10s/s);
    expect(stdout).not.toContain('10000');
    expect((await run(['lease', 'grant', '--help'])).stdout).toContain('60 is 60s');
  });
});
