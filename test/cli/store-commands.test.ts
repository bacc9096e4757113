import { writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { FakeStore, input, run } from './fakes.js';

describe('put', () => {
  test('stores the value of the command line and prints the revision in a pipe', async () => {
    const store = new FakeStore();
    const result = await run(['put', 'greeting', 'hello'], { store });
    expect(result).toMatchObject({ exit: 0, stdout: '1\n', stderr: '' });
    expect(store.get('greeting')).toBe('hello');
    expect(store.open).toBe(0);
  });

  test('reads the value from stdin when it is a dash', async () => {
    const store = new FakeStore();
    const result = await run(['put', 'greeting', '-'], { store, stdin: input('from stdin') });
    expect(result.exit).toBe(0);
    expect(store.get('greeting')).toBe('from stdin');
  });

  test('reads the value from a file, byte by byte', async () => {
    const store = new FakeStore();
    const path = join(await mkdtemp(join(tmpdir(), 'balsa-cli-')), 'value');
    const bytes = Buffer.from([0xff, 0x00, 0x0a]);
    writeFileSync(path, bytes);
    expect((await run(['put', 'blob', '--file', path], { store })).exit).toBe(0);
    const read = await run(['get', 'blob'], { store });
    expect(read.stdoutBytes.equals(bytes)).toBe(true);
  });

  test('takes a negative number as value, and anything behind --', async () => {
    const store = new FakeStore();
    expect((await run(['put', 'a', '-5'], { store })).exit).toBe(0);
    expect((await run(['put', 'b', '--', '--x'], { store })).exit).toBe(0);
    expect([store.get('a'), store.get('b')]).toEqual(['-5', '--x']);
  });

  test('refuses no value and two values as wrong usage', async () => {
    const none = await run(['put', 'a']);
    const two = await run(['put', 'a', 'b', '--file', 'c']);
    expect([none.exit, two.exit]).toEqual([2, 2]);
    expect(none.stderr).toContain('error INVALID_ARGUMENT: put: give a VALUE');
    expect(two.stderr).toContain('not both');
  });

  test('names a file that is not there, exit 2', async () => {
    const result = await run(['put', 'a', '--file', '/nowhere/at/all']);
    expect(result.exit).toBe(2);
    expect(result.stderr).toMatch(
      /^error FILE_UNREADABLE: \/nowhere\/at\/all: ENOENT: no such file or directory\ntry: /,
    );
  });

  test('prints JSON with the revision and who answered', async () => {
    const result = await run(['put', '-o', 'json', 'a', 'b']);
    expect(JSON.parse(result.stdout)).toMatchObject({
      key: 'a',
      revision: 1,
      meta: { replica: 'n1' },
    });
  });

  test('exits 6 and says so when the outcome is unknown, whatever the code', async () => {
    const store = new FakeStore();
    store.onPut = () => {
      throw new BalsaError('SHUTTING_DOWN', 'n1 is stopping', { outcome: 'unknown' });
    };
    const result = await run(['put', 'a', 'b'], { store });
    expect(result.exit).toBe(6);
    expect(result.stderr).toContain('error SHUTTING_DOWN: n1 is stopping\nThe outcome is unknown');
    expect(store.open).toBe(0);
  });

  test('Ctrl-C while stdin is read ends it with 130', async () => {
    const interruption = new AbortController();
    const running = run(['put', 'a', '-'], {
      stdin: new PassThrough(),
      interrupted: interruption.signal,
    });
    interruption.abort();
    expect(await running).toMatchObject({ exit: 130, stderr: 'interrupted\n' });
  });

  test('Ctrl-C while connecting ends it with 130, and the late client is closed', async () => {
    const store = new FakeStore();
    const interruption = new AbortController();
    const connect = store.connect;
    let release = (): void => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    store.connect = async (options) => {
      await released;
      return await connect(options);
    };
    const running = run(['get', 'a'], { store, interrupted: interruption.signal });
    interruption.abort();
    expect((await running).exit).toBe(130);
    release();
    await new Promise((resolve) => setImmediate(resolve));
    expect(store.connections).toHaveLength(1);
    expect(store.open).toBe(0);
  });
});

describe('get', () => {
  test('prints exactly the bytes in a pipe and text with a line end on a terminal', async () => {
    const store = new FakeStore();
    store.set('greeting', 'hello');
    expect((await run(['get', 'greeting'], { store })).stdout).toBe('hello');
    const terminal = await run(['get', 'greeting'], { store, isTerminal: true });
    expect(terminal.stdout).toBe('hello\n');
    expect(terminal.stderr).toContain('revision 1, version 1, linearizable from n1');
  });

  test('a missing key prints nothing on stdout and exits 3', async () => {
    const result = await run(['get', '-o', 'json', 'nobody']);
    expect(result).toMatchObject({ exit: 3, stdout: '', stderr: 'not found: nobody\n' });
  });

  test('an empty key is wrong usage', async () => {
    expect((await run(['get', ''])).exit).toBe(2);
  });

  test('a value that is not UTF-8 is base64 in JSON', async () => {
    const store = new FakeStore();
    store.set('blob', Buffer.from([0xff, 0xfe]));
    const result = await run(['get', 'blob', '-o', 'json'], { store });
    expect(JSON.parse(result.stdout)).toMatchObject({
      key: 'blob',
      valueBase64: '//4=',
      version: 1,
    });
  });

  test('a stored value cannot drive the terminal', async () => {
    const store = new FakeStore();
    store.set('evil', 'a\u001b[2Jb\nc\u202e');
    const result = await run(['get', 'evil'], { store, isTerminal: true });
    expect(result.stdout).toBe('a\\e[2Jb\nc\\u202e\n');
  });

  test('flag beats environment beats default', async () => {
    const store = new FakeStore();
    const env = { BALSA_ENDPOINTS: 'h:1,h:2', BALSA_TIMEOUT: '2s', BALSA_CONSISTENCY: '' };
    await run(['get', 'a', '--endpoints', '[::1]:9'], { store, env });
    await run(['get', 'a'], { store, env });
    expect(store.connections).toMatchObject([
      { endpoints: ['[::1]:9'], timeoutMs: 2000, consistency: 'linearizable', followLeader: true },
      { endpoints: ['h:1', 'h:2'], timeoutMs: 2000 },
    ]);
  });

  test('a wrong variable is named, exit 2', async () => {
    const result = await run(['get', 'a'], { env: { BALSA_TIMEOUT: '5' } });
    expect(result.exit).toBe(2);
    expect(result.stderr).toContain(
      'error INVALID_ARGUMENT: BALSA_TIMEOUT=5 (for --timeout): It must',
    );
  });

  test('colours are for terminals without NO_COLOR', async () => {
    const store = new FakeStore();
    store.set('a', 'b');
    const colour = await run(['get', 'a'], { store, isTerminal: true });
    const plain = await run(['get', 'a'], { store, isTerminal: true, env: { NO_COLOR: '1' } });
    expect(colour.stderr).toContain('\u001b[');
    expect(plain.stderr).not.toContain('\u001b[');
  });
});

describe('del', () => {
  test('deletes what is there, exit 0, and says 3 for what is not', async () => {
    const store = new FakeStore();
    store.set('a', '1');
    expect(await run(['del', 'a'], { store })).toMatchObject({ exit: 0, stdout: '2\n' });
    const again = await run(['del', '-o', 'json', 'a'], { store });
    expect(again.exit).toBe(3);
    expect(JSON.parse(again.stdout)).toMatchObject({ key: 'a', deleted: false });
    expect(again.stderr).toBe('not found: a\n');
  });
});

describe('range', () => {
  const filled = (): FakeStore => {
    const store = new FakeStore();
    for (const name of ['a', 'b', 'c']) store.set(`user/${name}`, name.toUpperCase());
    store.set('zoo', 'Z');
    return store;
  };

  test('prints key, tab, value in a pipe', async () => {
    const result = await run(['range', 'user/', '--limit', '2'], { store: filled() });
    expect(result.stdout).toBe('user/a\tA\nuser/b\tB\n');
  });

  test('takes --from, --to, --reverse and --keys-only', async () => {
    const args = ['range', '--from', 'user/b', '--to', 'zoo', '--reverse', '--keys-only'];
    expect((await run(args, { store: filled() })).stdout).toBe('user/c\nuser/b\n');
  });

  test('boolean flags have variables, too', async () => {
    const store = filled();
    const env = { BALSA_KEYS_ONLY: 'true', BALSA_REVERSE: '0', BALSA_LIMIT: '1' };
    expect((await run(['range'], { store, env })).stdout).toBe('user/a\n');
    const wrong = await run(['range'], { store, env: { BALSA_REVERSE: 'perhaps' } });
    expect(wrong).toMatchObject({ exit: 2 });
  });

  test('prints one JSON object a line, bytes as base64', async () => {
    const store = new FakeStore();
    store.set('a', Buffer.from([0xff]));
    store.items.set('\u00ff', {
      key: Buffer.from([0xff]),
      value: Buffer.from('v'),
      createRevision: 1,
      modRevision: 1,
      version: 1,
      lease: 0,
    });
    const lines = (await run(['range', '-o', 'json'], { store })).stdout.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { key: 'a', valueBase64: '/w==', modRevision: 1 },
      { keyBase64: '/w==', value: 'v' },
    ]);
  });

  test('prints a table on a terminal, with line ends made visible', async () => {
    const store = new FakeStore();
    store.set('a', 'one\ntwo');
    store.set('日本', 'x');
    const env = { NO_COLOR: '1' };
    const result = await run(['range'], { store, isTerminal: true, env });
    expect(result.stdout).toBe(
      ['KEY   REVISION  VALUE', 'a            1  one\\ntwo', '日本         2  x', ''].join('\n'),
    );
  });

  test('goes on with the widths of the first rows when there are many', async () => {
    const store = new FakeStore();
    for (let i = 0; i < 450; i += 1) store.set(`k${String(i).padStart(4, '0')}`, 'v');
    const result = await run(['range', '-o', 'table'], { store });
    expect(result.stdout.trimEnd().split('\n')).toHaveLength(451);
  });

  test('refuses a prefix together with --from, and a limit of 0', async () => {
    expect((await run(['range', 'a', '--from', 'b'])).exit).toBe(2);
    expect((await run(['range', '--limit', '0'])).exit).toBe(2);
  });
});
