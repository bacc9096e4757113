import { beforeEach, describe, expect, test } from 'vitest';
import { keyText, parseKey } from '../../src/cli/key-argument.js';
import { splitWords } from '../../src/cli/words.js';
import { input } from './fakes.js';
import { MachineStore } from './machine-store.js';

/** Keys are bytes; the words of a command line are text. */

let store: MachineStore;
beforeEach(async () => {
  store = await MachineStore.open();
});

const put = (key: Uint8Array, value: string) => store.h.until(store.db.put(key, value));
/** What Node makes of the argument `$'a\xff'`. */
const LOST = 'a\ufffd';

describe('a key that is no text', () => {
  test.each([
    [['put', LOST, 'v']],
    [['put', 'k', 'v', '--if-value', LOST]],
    [['put', 'k', LOST]],
    [['get', LOST]],
    [['get', '--prefix', LOST]],
    [['del', LOST]],
    [['del', '--from', 'a', '--to', LOST]],
    [['range', LOST]],
    [['count', LOST]],
    [['watch', LOST]],
    [['lock', LOST, '--', 'work']],
    [['namespace', 'set', 'n', '--prefix', LOST]],
    [['--namespace', `prefix:${LOST}`, 'get', 'k']],
  ])('is refused where its bytes were lost on the way: %j', async (args) => {
    const { exit, stdout, stderr } = await store.run(args);
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: '' });
    expect(stderr).toMatch(/^error INVALID_ARGUMENT: .*UTF-8.*\ntry: ./);
  });

  test('is told from another one, and taken back as it was shown', async () => {
    await put(Buffer.from([0x61, 0xff]), 'one');
    await put(Buffer.from([0x61, 0xfe]), 'two');
    const env = { NO_COLOR: '1' };
    const { stdout } = await store.run(['range'], { isTerminal: true, env });
    expect(stdout).toBe(
      'KEY          REVISION  VALUE\nbase64:Yf4=         2  two\nbase64:Yf8=         1  one\n',
    );
    expect((await store.run(['get', 'base64:Yf8='])).stdout).toBe('one');
    expect((await store.run(['range', 'base64:Yf4='])).stdoutBytes.toString('latin1')).toBe(
      'a\u00fe\ttwo\n',
    );
    expect((await store.run(['put', 'base64:Yf8=', 'new', '--if-value', 'one'])).exit).toBe(0);
    const json = await store.json(['get', 'base64:Yf8=']);
    expect(json).toMatchObject({ keyBase64: 'Yf8=', value: 'new' });
    const watch = ['watch', 'base64:Yf8=', '--rev', '1', '--limit', '1', '-o', 'table'];
    expect((await store.run(watch)).stdout).toBe('       1  put     base64:Yf8=  one\n');
    expect((await store.run(['del', 'base64:Yf4='])).exit).toBe(0);
    expect((await store.run(['get', 'base64:Yf4='])).stderr).toBe('not found: base64:Yf4=\n');
    expect((await store.run(['count'])).stdout).toBe('1\n');
  });

  test('is named in a transaction, too', async () => {
    const stdin = input('absent(base64:Yf8=)\n\nput "a\\xff" "v\\xfe"\nget base64:Yf8=');
    const { stdout } = await store.run(['txn', '-o', 'json'], { stdin });
    expect(JSON.parse(stdout)).toMatchObject({
      succeeded: true,
      results: [{ revision: 1 }, { valueBase64: 'dv4=' }],
    });
  });

  test('can be the prefix of a namespace', async () => {
    await store.run(['namespace', 'set', 'n', '--prefix', 'base64:/w==']);
    await store.run(['--namespace', 'prefix:base64:/w==', 'put', 'k', 'v']);
    expect((await store.run(['get', 'base64:/2s='])).stdout).toBe('v');
  });
});

describe('a key that is text', () => {
  test.each(['base64:AP8B', 'text:base64:AP8B', 'text:text:base64:', 'base64:', 'text:a', 'a'])(
    '%s is taken back as it is shown',
    (key) => {
      expect(parseKey(keyText(key))).toBe(key);
    },
  );

  test('that begins with base64: has text: in front', async () => {
    await store.run(['put', 'text:base64:AP8B', 'text']);
    await store.run(['put', 'base64:AP8B', 'bytes']);
    expect((await store.run(['get', 'text:base64:AP8B'])).stdout).toBe('text');
    expect((await store.run(['get', 'base64:AP8B'])).stdout).toBe('bytes');
    expect((await store.run(['range', 'text:base64:'])).stdout).toBe('base64:AP8B\ttext\n');
  });

  test.each(['base64:', 'base64:a', 'base64:A?==', 'base64:AP8C='])(
    '%s is no base64, and text: is named',
    async (key) => {
      const { exit, stderr } = await store.run(['get', key]);
      expect(exit).toBe(2);
      expect(stderr).toContain(`try: text:${key} is the key that is this text\n`);
    },
  );

  test('that has U+FFFD in it is shown by its bytes, by which it can be read', () => {
    expect(keyText('a\ufffd')).toBe('base64:Ye+/vQ==');
    expect(parseKey('base64:Ye+/vQ==')).toEqual(Buffer.from('a\ufffd'));
  });
});

describe('words of the shell', () => {
  test.each([
    ['"\\xff"', 'base64:/w=='],
    ['"a\\xFEb"', 'base64:Yf5i'],
    ['"\\xc3\\xa9"', 'é'],
    ['"\\x41\\u0042\\e"', 'AB\\e'],
    ['"🚀\\x80"', 'base64:8J+agIA='],
    ["'\\xff'", '\\xff'],
    ['"\\\\xff"', '\\xff'],
  ])('%s is the key %s', (line, shown) => {
    const { words, problem } = splitWords(line);
    expect(problem).toBeNull();
    expect(words.map((word) => keyText(parseKey(word.text)))).toEqual([shown]);
  });

  test.each(['"\\q"', '"\\x"', '"\\xf"', '"\\xgg"', '"\\u12"', '"\\ud83d"'])(
    '%s has no meaning, and is refused',
    async (line) => {
      expect(splitWords(line).problem).toContain('in double quotes there is no \\');
      const stdin = input(`put ${line} v\nput k ${line}\n`);
      const { exit, stdout } = await store.run(['shell'], { stdin });
      expect({ exit, stdout }).toEqual({ exit: 2, stdout: '' });
    },
  );

  test('keys and values of any bytes are put and read', async () => {
    const stdin = input('put "a\\xff" "\\xff\\xfe"\nget base64:Yf8=\n');
    const { stdoutBytes } = await store.run(['shell'], { stdin });
    expect(stdoutBytes.toString('latin1')).toMatch(/^1\n\u00ff\u00fe/);
  });
});
