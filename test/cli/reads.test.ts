import { beforeEach, describe, expect, test } from 'vitest';
import { input } from './fakes.js';
import { MachineStore } from './machine-store.js';

let store: MachineStore;
beforeEach(async () => {
  store = await MachineStore.open();
  await store.run(['put', 'user/b', 'one']);
  await store.run(['put', 'user/a', 'two']);
  await store.run(['put', 'user/b', 'three']);
  await store.run(['put', 'zoo', 'four']);
});

describe('reads of the past', () => {
  test('--rev of get and range, and at: as a level', async () => {
    expect((await store.run(['get', 'user/b', '--rev', '1'])).stdout).toBe('one');
    expect((await store.run(['get', 'user/b', '--consistency', 'at:2'])).stdout).toBe('one');
    expect((await store.run(['range', '--rev', '1'])).stdout).toBe('user/b\tone\n');
    expect((await store.run(['count', '--rev', '2'])).stdout).toBe('2\n');
  });

  test('a compacted revision is refused, exit 1', async () => {
    await store.run(['compact', '3', '--no-wait']);
    const result = await store.run(['get', 'user/b', '--rev', '1']);
    expect(result).toMatchObject({ exit: 1, stdout: '' });
    expect(result.stderr).toContain('error COMPACTED');
  });

  test('a revision that is not there yet is 5', async () => {
    expect((await store.run(['get', 'user/b', '--rev', '99'])).exit).toBe(5);
  });
});

describe('levels', () => {
  test.each([
    ['linearizable', 'linearizable'],
    ['session', 'session'],
    ['bounded:500ms', 'bounded'],
    ['any', 'any'],
    ['ap-local', 'ap-local'],
    ['at:4', 'at'],
  ])('--consistency %s is kept, and meta says so', async (given, level) => {
    const { meta } = await store.json(['get', 'zoo', '--consistency', given]);
    expect(meta).toMatchObject({ level, token: expect.stringMatching(/^\d+@/) });
  });

  test('the variable of the flag takes all of them, too', async () => {
    const env = { BALSA_CONSISTENCY: 'bounded:2s' };
    expect(await store.json(['count'], { env })).toMatchObject({ meta: { level: 'bounded' } });
  });

  test('a token goes out with -o json, comes in with --token, and weakens nothing by itself', async () => {
    const { meta } = await store.json(['put', 'k', 'v']);
    const { token } = meta as { token: string };
    const read = await store.json(['get', 'k', '--token', token]);
    expect(read).toMatchObject({ value: 'v', meta: { level: 'linearizable' } });
    const session = ['get', 'k', '--token', token, '--consistency', 'session'];
    expect(await store.json(session)).toMatchObject({ value: 'v', meta: { level: 'session' } });
    const stdin = input('.consistency\n');
    const shell = await store.run(['shell', '--token', token], { stdin });
    expect(shell.stderr).toBe('consistency linearizable\n');
    const named = await store.json(['get', 'k', '--consistency', `session:${token}`]);
    expect(named).toMatchObject({ meta: { level: 'session' } });
    const foreign = await store.run(['get', 'k', '--token', '5@another-cluster']);
    expect(foreign).toMatchObject({ exit: 1, stdout: '' });
    expect((await store.run(['get', 'k', '--token', 'x'])).exit).toBe(2);
  });
});

describe('range', () => {
  test('takes a prefix in each of its forms, also in get', async () => {
    const expected = 'user/a\ttwo\nuser/b\tthree\n';
    for (const args of [
      ['range', 'user/'],
      ['range', '--prefix', 'user/'],
      ['range', 'user/', '--prefix'],
      ['get', '--prefix', 'user/'],
      ['get', 'user/', '--prefix'],
    ]) {
      expect((await store.run(args)).stdout, args.join(' ')).toBe(expected);
    }
    expect((await store.run(['range', 'a', '--prefix', 'b'])).exit).toBe(2);
  });

  test('--sort-by with --limit and --reverse', async () => {
    const args = ['range', '--sort-by', 'modRevision', '--limit', '2', '--reverse', '--keys-only'];
    expect((await store.run(args)).stdout).toBe('zoo\nuser/b\n');
    expect((await store.run(['range', '--sort-by', 'version'])).exit).toBe(2);
  });

  test('--count-only prints a number, and bounds of revisions hold', async () => {
    expect((await store.run(['range', 'user/', '--count-only'])).stdout).toBe('2\n');
    const bounds = ['--min-mod-revision', '3', '--max-create-revision', '2', '--keys-only'];
    expect((await store.run(['range', ...bounds])).stdout).toBe('user/b\n');
  });

  test('bounds of revisions hold for get and count, too', async () => {
    const bounds = ['--min-mod-revision', '3', '--max-create-revision', '2'];
    expect((await store.run(['count', ...bounds])).stdout).toBe('1\n');
    expect((await store.run(['get', '--prefix', 'user/', ...bounds])).stdout).toBe(
      'user/b\tthree\n',
    );
    expect((await store.run(['get', '--prefix', 'user/', '--count-only'])).stdout).toBe('2\n');
  });

  test('--sort-by value, with keys in their order where values are equal', async () => {
    await store.run(['put', 'user/c', 'four']);
    const args = ['range', '--sort-by', 'value', '--limit', '3', '--keys-only'];
    expect((await store.run(args)).stdout).toBe('user/c\nzoo\nuser/b\n');
    expect((await store.run([...args, '--reverse'])).stdout).toBe('user/a\nuser/b\nuser/c\n');
  });

  test('-o json --meta has the token in each line', async () => {
    const { stdout } = await store.run(['range', 'zoo', '--meta', '-o', 'json']);
    expect(JSON.parse(stdout)).toMatchObject({
      key: 'zoo',
      lease: 0,
      meta: { token: expect.stringMatching(/@/) },
    });
  });
});

describe('--namespace', () => {
  test('adds its prefix to what goes in and takes it off what comes out', async () => {
    await store.run(['--namespace', 'user', 'put', 'c', 'new']);
    expect((await store.run(['get', 'user/c'])).stdout).toBe('new');
    const inside = await store.run(['range', '--namespace', 'user', '--keys-only']);
    expect(inside.stdout).toBe('a\nb\nc\n');
    const env = { BALSA_NAMESPACE: 'prefix:us' };
    expect((await store.run(['range', '--keys-only'], { env })).stdout).toBe('er/a\ner/b\ner/c\n');
  });
});
