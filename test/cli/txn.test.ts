import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { parseTxn } from '../../src/cli/txn-text.js';
import { quoteWord, splitWords } from '../../src/cli/words.js';
import { input, type RunResult } from './fakes.js';
import { MachineStore } from './machine-store.js';

let store: MachineStore;
beforeEach(async () => {
  store = await MachineStore.open();
});

function txn(text: string, more: readonly string[] = []): Promise<RunResult> {
  return store.run(['txn', ...more], { stdin: input(text) });
}

describe('txn', () => {
  test('does the second part when all conditions hold, exit 0, else the third, exit 4', async () => {
    const text = 'absent(lock)\n\nput lock mine\n\nget lock\n';
    expect(await txn(text)).toMatchObject({ exit: 0, stdout: 'SUCCESS\nOK\n' });
    expect(await txn(text)).toMatchObject({ exit: 4, stdout: 'FAILURE\nlock\tmine\n' });
  });

  test('writes everything at one revision, and prints what each step gives', async () => {
    await store.run(['put', 'user/1', 'a']);
    await store.run(['put', 'user/2', 'b']);
    const text = `# moves two users
count(prefix("user/")) = 2
value("user/1") != "x y"
mod('user/2') < 3

put new "c d" --prev
del --prefix user/ --prev
get new
get --prefix user/ --count-only`;
    const { stdout, exit } = await txn(text);
    expect({ exit, stdout }).toEqual({
      exit: 0,
      stdout: 'SUCCESS\nOK\nuser/1\ta\nuser/2\tb\n2\nnew\tc d\n0\n',
    });
    expect(await store.json(['get', 'new'])).toMatchObject({ modRevision: 3 });
  });

  test('prints JSON with one result for each step', async () => {
    const { stdout } = await txn('\nput a 1\nget a\nget b\nget --prefix a', ['-o', 'json']);
    expect(JSON.parse(stdout)).toMatchObject({
      succeeded: true,
      revision: 1,
      results: [
        { revision: 1 },
        { key: 'a', value: '1', version: 1 },
        { key: 'b', value: null },
        { items: [{ key: 'a', value: '1' }], count: 1 },
      ],
      meta: { token: expect.any(String) },
    });
  });

  test('reads a file, and shows its steps on a terminal', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'balsa-cli-')), 'txn');
    writeFileSync(path, '\nput a 1\nget a\n');
    const env = { NO_COLOR: '1' };
    const { stdout } = await store.run(['txn', path], { isTerminal: true, env });
    expect(stdout).toBe('SUCCESS at revision 1\nput a 1\n  OK\nget a\n  a  1\n');
  });

  test('a key written twice is refused as a whole, exit 2', async () => {
    const result = await txn('\nput a 1\nput a 2');
    expect(result.exit).toBe(2);
    expect(result.stderr).toContain('error KEY_DUPLICATE');
    expect((await store.run(['get', 'a'])).exit).toBe(3);
  });

  test('keys hang on a lease, and may keep value or lease', async () => {
    const lease = (await store.run(['lease', 'grant', '60s'])).stdout.trim();
    await txn(`\nput a 1 --lease ${lease}`);
    await txn(`lease(a) = ${lease}\n\nput a 2 --ignore-lease`);
    expect(await store.json(['get', 'a'])).toMatchObject({ value: '2', lease: Number(lease) });
    await txn('\nput a --ignore-value');
    expect(await store.json(['get', 'a'])).toMatchObject({ value: '2', lease: 0 });
  });

  test.each([
    ['value(a) = 1\n\nput a', 'txn: line 3: it is put KEY VALUE'],
    ['valeu(a) = 1', 'txn: line 1: there is no valeu()'],
    ['value(a = 1', 'txn: line 1: a ) is missing'],
    ['mod(a) = x', 'txn: line 1: It must be a whole number'],
    ['mod(a) ~ 3', 'txn: line 1: a condition is like'],
    ['count(a) = 3', 'txn: line 1: count is of two keys'],
    ['exists(a, b)', 'txn: line 1: it is exists("key")'],
    ['exists(prefix("a"))', 'of several keys: count(prefix("text")) > 0'],
    ['absent(prefix("a"))', 'of several keys: count(prefix("text")) = 0'],
    ['\nput a b --lease 3 --ignore-lease', 'txn: line 2: give --lease or --ignore-lease'],
    ['value(a) = "b', 'txn: line 1: a quote is opened and never closed'],
    ['\npat a b', 'txn: line 2: an operation is put, get or del; found pat'],
    ['\nput a "b', 'txn: line 2: a quote is opened and never closed'],
    ['\nput a b --leese 3', "txn: line 2: unknown option '--leese'"],
    ['\nget a --limit 3', 'txn: line 2: --limit and the like are for'],
    ['\nget a\n\nget b\n\nget c', 'txn: line 6: a fourth part'],
    ['', 'neither conditions nor steps'],
  ])('%j is wrong usage', async (text, message) => {
    const result = await txn(text);
    expect(result).toMatchObject({ exit: 2, stdout: '' });
    expect(result.stderr).toContain(message);
  });
});

describe('the text of a transaction', () => {
  test('has conditions of keys and of ranges', () => {
    const { conditions } = parseTxn(
      'value("a b") = "c, (d)"\nver(a) > 1\ncreate("a","b") = 0\nlease(\'"\') != 7\nexists(a)',
    );
    expect(conditions).toEqual([
      { place: { key: 'a b' }, operator: '=', target: 'value', value: 'c, (d)' },
      { place: { key: 'a' }, operator: '>', target: 'version', value: 1 },
      {
        place: { range: { from: 'a', to: 'b' } },
        operator: '=',
        target: 'createRevision',
        value: 0,
      },
      { place: { key: '"' }, operator: '!=', target: 'lease', value: 7 },
      { place: { key: 'a' }, operator: '>', target: 'createRevision', value: 0 },
    ]);
  });

  test('may leave parts out, and has ranges of two keys as in etcd', () => {
    const { conditions, success, failure } = parseTxn('\n\nget a b --limit 3\ndel a');
    expect([conditions, success]).toEqual([[], []]);
    expect(failure.map((step) => step.op)).toMatchObject([
      { type: 'range', range: { from: 'a', to: 'b', limit: 3 } },
      { type: 'delete', key: 'a' },
    ]);
  });
});

describe('words', () => {
  test.each([
    ['a  b', ['a', 'b']],
    ['"a b" \'c"d\' e\\ f', ['a b', 'c"d', 'e f']],
    ['x"y z"w ""', ['xy zw', '']],
    ['"a\\nb\\"" \'a\\n\'', ['a\nb"', 'a\\n']],
  ])('%j', (line, expected) => {
    expect(splitWords(line).words.map((word) => word.text)).toEqual(expected);
  });

  test('a word that was quoted is the same when it is read', () => {
    for (const text of ['a', 'a b', 'a"b', "it's", 'a\nb\t\0', 'a\\b', '']) {
      expect(splitWords(quoteWord(text)).words.map((word) => word.text)).toEqual([text]);
    }
  });
});
