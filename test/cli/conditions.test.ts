import { beforeEach, describe, expect, test } from 'vitest';
import { op } from '../../src/client/op.js';
import { MachineStore } from './machine-store.js';

let store: MachineStore;
beforeEach(async () => {
  store = await MachineStore.open();
});

describe('put with a condition', () => {
  test('--if-absent writes once, and exits 4 the second time with what is there', async () => {
    expect(await store.run(['put', 'lock', 'mine', '--if-absent'])).toMatchObject({ exit: 0 });
    const second = await store.run(['put', 'lock', 'yours', '--if-absent']);
    expect(second).toMatchObject({ exit: 4, stdout: '' });
    expect(second.stderr).toBe(
      'condition failed: lock: it has version 1, revision 1; nothing was written\n',
    );
    expect((await store.run(['get', 'lock'])).stdout).toBe('mine');
  });

  test.each([
    ['--if-version', '2', '1'],
    ['--if-mod-revision', '2', '1'],
    ['--if-value', 'two', 'one'],
  ])('%s %s holds, %s does not', async (flag, right, wrong) => {
    await store.run(['put', 'a', 'one']);
    await store.run(['put', 'a', 'two']);
    expect((await store.run(['put', 'a', 'x', flag, wrong])).exit).toBe(4);
    expect((await store.run(['put', 'a', 'three', flag, right])).exit).toBe(0);
    expect((await store.run(['get', 'a'])).stdout).toBe('three');
  });

  test('several conditions must all hold', async () => {
    await store.run(['put', 'a', 'one']);
    const args = ['put', 'a', 'two', '--if-version', '1', '--if-value'];
    expect((await store.run([...args, 'other'])).exit).toBe(4);
    expect((await store.run([...args, 'one'])).exit).toBe(0);
  });

  test('says in JSON whether it was done, and what is there instead', async () => {
    const done = await store.json(['put', 'a', '1', '--if-absent']);
    expect(done).toMatchObject({ key: 'a', succeeded: true, revision: 1 });
    const refused = await store.json(['put', 'a', '2', '--if-absent']);
    expect(refused).toMatchObject({
      succeeded: false,
      current: { value: '1', version: 1, modRevision: 1 },
      meta: { level: 'linearizable' },
    });
    const missing = await store.json(['put', 'b', '2', '--if-version', '1']);
    expect(missing).toMatchObject({ succeeded: false, current: null });
  });

  test('--if-present with --ignore-value keeps the value', async () => {
    const put = ['put', 'a', '--ignore-value', '--if-present'];
    expect((await store.run(put)).exit).toBe(4);
    await store.run(['put', 'a', '1']);
    expect((await store.run(put)).exit).toBe(0);
    expect(await store.json(['get', 'a'])).toMatchObject({ value: '1', version: 2 });
  });
});

describe('put', () => {
  test('--prev prints what was there', async () => {
    const first = await store.run(['put', 'a', 'one', '--prev']);
    expect(first).toMatchObject({ exit: 0, stdout: '', stderr: 'there was no a\n' });
    expect((await store.run(['put', 'a', 'two', '--prev'])).stdout).toBe('one');
    const json = await store.json(['put', 'a', 'three', '--prev']);
    expect(json).toMatchObject({ revision: 3, previous: { value: 'two', version: 2 } });
  });

  test('--ignore-value without a key exits 3', async () => {
    const result = await store.run(['put', 'a', '--ignore-value']);
    expect(result.exit).toBe(3);
    expect(result.stderr).toContain('error KEY_NOT_FOUND');
  });

  test('--lease and --ignore-lease', async () => {
    const { stdout } = await store.run(['lease', 'grant', '60']);
    const lease = stdout.trim();
    await store.run(['put', 'a', '1', '--lease', lease]);
    await store.run(['put', 'a', '2', '--ignore-lease']);
    expect(await store.json(['get', 'a'])).toMatchObject({ value: '2', lease: Number(lease) });
    await store.run(['put', 'a', '3']);
    expect(await store.json(['get', 'a'])).toMatchObject({ lease: 0 });
    expect((await store.run(['put', 'a', '4', '--lease', '999'])).exit).toBe(3);
  });
});

describe('del', () => {
  beforeEach(async () => {
    for (const key of ['a', 'b/1', 'b/2', 'c']) await store.run(['put', key, key.toUpperCase()]);
  });

  test('--prefix deletes all in one moment, with and without a value of its own', async () => {
    expect(await store.json(['del', '--prefix', 'b/'])).toMatchObject({ deleted: 2, revision: 5 });
    await store.run(['put', 'b/3', 'x']);
    expect((await store.run(['del', 'b/', '--prefix'])).exit).toBe(0);
    expect((await store.run(['range', '--keys-only'])).stdout).toBe('a\nc\n');
    expect((await store.run(['del', '--prefix', 'b/'])).exit).toBe(3);
  });

  test('--prev drives no terminal', async () => {
    await store.run(['put', 'a\u001b[2J', 'x\u001b]0;title']);
    const result = await store.run(['del', 'a\u001b[2J', '--prev', '-o', 'table']);
    expect(result.stdout).toBe('a\\e[2J  x\\e]0;title\n');
  });

  test('--from, --to and --prev print what goes', async () => {
    const result = await store.run(['del', '--from', 'b', '--to', 'c', '--prev']);
    expect(result.stdout).toBe('b/1\tB/1\nb/2\tB/2\n');
  });

  test('--in-parts deletes what is more than one transaction may delete', async () => {
    for (let part = 0; part < 2; part += 1) {
      const keys = Array.from(
        { length: 6000 },
        (_, n) => `many/${part}${String(n).padStart(5, '0')}`,
      );
      const steps = keys.map((key) => op.put(key, 'x'));
      await store.h.until(
        store.db
          .txn()
          .do(...steps)
          .commit(),
      );
    }
    const whole = await store.run(['del', '--prefix', 'many/']);
    expect(whole).toMatchObject({ stdout: '' });
    expect(whole.stderr).toContain('try: --in-parts deletes up to 10,000 keys at a time');
    const { deleted, revision } = await store.json(['del', '--prefix', 'many/', '--in-parts']);
    expect({ deleted, revision }).toEqual({ deleted: 12_000, revision: 8 });
    expect((await store.run(['count'])).stdout).toBe('4\n');
    expect((await store.run(['del', '--prefix', 'many/', '--in-parts'])).exit).toBe(3);
    expect((await store.run(['del', '--from', 'b', '--in-parts'])).stdout).toBe('9\n');
    expect((await store.run(['range', '--keys-only'])).stdout).toBe('a\n');
    expect((await store.run(['del', '--prefix', 'a', '--in-parts', '--prev'])).exit).toBe(2);
  });

  test('with a condition deletes only what is as expected', async () => {
    expect((await store.run(['del', 'a', '--if-value', 'x'])).exit).toBe(4);
    expect((await store.run(['del', 'a', '--if-value', 'A'])).exit).toBe(0);
    expect((await store.run(['del', 'zz', '--if-absent'])).exit).toBe(3);
    expect((await store.run(['del', '--prefix', 'b', '--if-absent'])).exit).toBe(2);
  });
});
