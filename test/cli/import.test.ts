import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { FakeStore, input, run } from './fakes.js';

const line = (key: string, value: string): string => `${JSON.stringify({ key, value })}\n`;

function file(name: string, text: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'balsa-cli-')), name);
  writeFileSync(path, text);
  return path;
}

/** One turn of the event loop. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

describe('import', () => {
  test('stores every record and says how many, in which time', async () => {
    const store = new FakeStore();
    const path = file('a.jsonl', line('a', '1') + line('b', '2'));
    let now = 0;
    const nowMs = () => {
      now += 100;
      return now;
    };
    const result = await run(['import', path, '--prefix', 'p/', '-o', 'json'], { store, nowMs });
    expect(result.exit).toBe(0);
    expect([store.get('p/a'), store.get('p/b')]).toEqual(['1', '2']);
    expect(JSON.parse(result.stdout)).toMatchObject({ imported: 2, skipped: 0, unknown: 0 });
    expect(result.stderr).toMatch(/^imported 2, skipped 0 in \d+ms \(\d+\/s\)\n$/);
    expect(store.open).toBe(0);
  });

  test('reads JSON lines from stdin, CSV by its name', async () => {
    const store = new FakeStore();
    const stdin = input(line('a', '1'));
    expect(await run(['import', '-'], { store, stdin })).toMatchObject({ exit: 0, stdout: '1\n' });
    const path = file('users.csv', 'id,name,age\nu1,"Lovelace, Ada",36\n');
    const args = ['import', path, '--key-column', 'id', '--value-column', 'name'];
    const result = await run(args, { store });
    expect(store.get('u1')).toBe('Lovelace, Ada');
    expect(result.stderr).toContain('columns not imported: age\n');
  });

  test('what a file says drives no terminal', async () => {
    const path = file('evil.csv', 'key,value,\u001b[2J\na,1,2\n');
    const { stderr } = await run(['import', path], { store: new FakeStore() });
    expect(stderr).toContain('columns not imported: \\e[2J\n');
    expect(stderr).not.toContain('\u001b[2J');
  });

  test('what range prints as JSON is imported again byte by byte', async () => {
    const from = new FakeStore();
    from.set('a', 'text');
    from.set('b', Buffer.from([0xff, 0]));
    const exported = await run(['range', '-o', 'json'], { store: from });
    const to = new FakeStore();
    expect(
      (await run(['import', '-'], { store: to, stdin: input(exported.stdoutBytes) })).exit,
    ).toBe(0);
    const pairs = (store: FakeStore) =>
      [...store.items.values()].map(({ key, value }) => [key, value]);
    expect(
      pairs(to).map((pair) => pair.map((bytes) => Buffer.from(bytes).toString('hex'))),
    ).toEqual(pairs(from).map((pair) => pair.map((bytes) => Buffer.from(bytes).toString('hex'))));
  });

  test('keeps so many puts under way, and no more', async () => {
    const store = new FakeStore();
    store.onPut = turn;
    const text = Array.from({ length: 100 }, (_, i) => line(`k${i}`, 'v')).join('');
    const args = ['import', '-', '--outstanding', '7'];
    expect((await run(args, { store, stdin: input(text) })).exit).toBe(0);
    expect(store.items.size).toBe(100);
    expect(store.putsUnderWayMost).toBe(7);
  });

  test('keeps at most 16 MiB under way, whatever the number of puts', async () => {
    const store = new FakeStore();
    store.onPut = turn;
    const text = Array.from({ length: 40 }, (_, i) => line(`k${i}`, 'v'.repeat(1 << 20))).join('');
    expect((await run(['import', '-'], { store, stdin: input(text) })).exit).toBe(0);
    expect(store.items.size).toBe(40);
    expect(store.putsUnderWayMost).toBe(15);
  });

  test('stops at a bad line, names it, and counts what was stored before', async () => {
    const store = new FakeStore();
    const path = file('a.jsonl', `${line('a', '1')}oops\n${line('b', '2')}`);
    const result = await run(['import', path], { store });
    expect(result).toMatchObject({ exit: 1, stdout: '1\n' });
    expect(result.stderr).toContain('imported 1, skipped 0 in');
    expect(result.stderr).toContain(`error FILE_INVALID: ${path} line 2: is not JSON: Unexpected`);
    expect(store.get('b')).toBeUndefined();
  });

  test('with --on-error skip goes on, tells the first ones, and exits 0', async () => {
    const store = new FakeStore();
    const text = `${line('a', '1')}${'oops\n'.repeat(30)}${line('b', '2')}`;
    const args = ['import', '-', '--on-error', 'skip', '-o', 'json'];
    const result = await run(args, { store, stdin: input(text) });
    expect(result.exit).toBe(0);
    expect(JSON.parse(result.stdout)).toMatchObject({ imported: 2, skipped: 30 });
    expect(result.stderr.match(/skipped: stdin line/g)).toHaveLength(20);
    expect(result.stderr).toContain('skipped: more, which are only counted');
  });

  test('a record that the store refuses for its size is a bad record of its line', async () => {
    const store = new FakeStore();
    store.onPut = (key) => {
      if (key === 'b')
        throw new BalsaError('VALUE_TOO_LARGE', 'too much', { outcome: 'not-applied' });
    };
    const text = line('a', '1') + line('b', '2') + line('c', '3');
    const stop = await run(['import', '-'], { store, stdin: input(text) });
    expect(stop.exit).toBe(1);
    expect(stop.stderr).toContain('error FILE_INVALID: stdin line 2: too much');
    const skip = await run(['import', '-', '--on-error', 'skip'], { store, stdin: input(text) });
    expect(skip).toMatchObject({ exit: 0, stdout: '2\n' });
  });

  test('an unavailable cluster ends it with 5, also with --on-error skip', async () => {
    const store = new FakeStore();
    store.onPut = (key) => {
      if (key === 'b') throw new BalsaError('NO_QUORUM', 'no majority', { outcome: 'not-applied' });
    };
    const text = line('a', '1') + line('b', '2');
    const args = ['import', '-', '--on-error', 'skip'];
    const result = await run(args, { store, stdin: input(text) });
    expect(result).toMatchObject({ exit: 5, stdout: '1\n' });
    expect(result.stderr).toContain('error NO_QUORUM: stdin line 2: no majority');
  });

  test('an unknown outcome counts more than other failures: exit 6', async () => {
    const store = new FakeStore();
    store.onPut = async (key) => {
      if (key === 'b') throw new BalsaError('NO_QUORUM', 'none', { outcome: 'not-applied' });
      await turn();
      if (key === 'c') throw new BalsaError('TIMEOUT', 'too slow', { outcome: 'unknown' });
    };
    const text = line('a', '1') + line('b', '2') + line('c', '3');
    const result = await run(['import', '-'], { store, stdin: input(text) });
    expect(result.exit).toBe(6);
    expect(result.stderr).toContain('imported 1, skipped 0, 1 with unknown outcome in');
    expect(result.stderr).toContain('error TIMEOUT: stdin line 3: too slow');
  });

  test('Ctrl-C stops reading, waits for what is under way, tells what was stored: exit 130', async () => {
    const store = new FakeStore();
    const interruption = new AbortController();
    store.onPut = (key, { signal }) => {
      if (key !== 'b') return;
      return new Promise((_, reject) => {
        signal?.addEventListener('abort', () => {
          reject(new BalsaError('CANCELLED', 'aborted', { outcome: 'unknown' }));
        });
      });
    };
    const stdin = new PassThrough();
    stdin.write(line('a', '1') + line('b', '2'));
    const running = run(['import', '-'], { store, stdin, interrupted: interruption.signal });
    await until(() => store.putsUnderWay === 1 && store.items.size === 1);
    interruption.abort();
    const result = await running;
    expect(result).toMatchObject({ exit: 130, stdout: '1\n' });
    expect(result.stderr).toContain('imported 1, skipped 0, 1 with unknown outcome in');
  });

  test('Ctrl-C between two records is 130, too, and not a file that cannot be read', async () => {
    const store = new FakeStore();
    const interruption = new AbortController();
    const stdin = new PassThrough();
    stdin.write(line('a', '1'));
    const running = run(['import', '-'], { store, stdin, interrupted: interruption.signal });
    await until(() => store.items.size === 1);
    interruption.abort();
    const result = await running;
    expect(result).toMatchObject({ exit: 130, stdout: '1\n' });
    expect(result.stderr).toMatch(/^imported 1, skipped 0 in 0ms \(0\/s\)\n$/);
  });

  test('a header that does not fit, an unknown format, a missing file', async () => {
    const header = await run(['import', file('a.csv', 'id,name\n1,2\n'), '--on-error', 'skip']);
    expect(header.exit).toBe(1);
    expect(header.stderr).toMatch(/error FILE_INVALID: .*a\.csv: no column "key" \(--key-column\)/);
    expect(await run(['import', file('a.txt', '')])).toMatchObject({ exit: 2 });
    expect(await run(['import', '/nowhere/a.csv'])).toMatchObject({ exit: 2 });
    expect(await run(['import', tmpdir(), '--format', 'csv'])).toMatchObject({ exit: 2 });
  });

  test('draws progress on a terminal only, and takes it away', async () => {
    const path = file('a.jsonl', line('a', '1').repeat(100));
    let now = 0;
    const nowMs = () => {
      now += 60;
      return now;
    };
    const terminal = await run(['import', path], { isTerminal: true, nowMs });
    const drawn = terminal.stderr.replaceAll('\r\u001b[2K', '<redraw>');
    expect(drawn).toMatch(/<redraw>[█░]+ +0% {2}\d+ records, \d+\/s/);
    expect(drawn).toMatch(/<redraw>imported 100/);
    expect((await run(['import', path], { nowMs })).stderr).not.toContain('\r');
  });
});
