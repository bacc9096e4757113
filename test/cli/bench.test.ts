import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { storeCalls } from '../../src/cli/bench/store-calls.js';
import { Harness } from '../client/support/harness.js';
import { FakeStore, run } from './fakes.js';
import { MachineStore } from './machine-store.js';

const SHORT = ['bench', '--duration', '20ms', '--warm-up', '0ms', '--keys', '1500'];

describe('bench', () => {
  test('its help shows defaults in the form in which they can be typed', async () => {
    const { stdout } = await run(['bench', '--help']);
    expect(stdout).toMatch(/--duration <duration> .*\(default: 10s\)\n/);
    expect(stdout).toMatch(/--warm-up <duration> .*\(default: 2s\)\n/);
  });

  test('measures, and leaves the store as it was', async () => {
    const store = new FakeStore();
    store.set('mine', 'stays');
    const result = await run([...SHORT, '-o', 'json', '--value-bytes', '7'], { store });
    expect(result).toMatchObject({ exit: 0, stderr: '' });
    const { operation, valueBytes, keys, served, perSecond, errors } = JSON.parse(result.stdout);
    expect({ operation, valueBytes, keys, errors }).toEqual({
      ...{ operation: 'put', valueBytes: 7, keys: 1500, errors: {} },
    });
    expect(served).toBeGreaterThan(0);
    expect(perSecond).toBeGreaterThan(0);
    expect([...store.items.keys()]).toEqual(['mine']);
    expect(store.open).toBe(0);
  });

  test('gets ask at the level that all reads have, and count as gets', async () => {
    const store = new FakeStore();
    let puts = 0;
    store.onPut = () => {
      puts += 1;
    };
    const args = [...SHORT, '--operation', 'get', '--consistency', 'any'];
    const { exit, stdout } = await run(args, { store });
    expect(exit).toBe(0);
    expect(puts).toBe(1500);
    expect(store.connections[0]).toMatchObject({ consistency: 'any' });
    const [, row] = stdout.split('\n');
    // Calls per second, four latencies, none failed.
    expect(row).toMatch(/^\d+\t(\d+\.\d\d\t){4}0$/);
  });

  test('ranges are measured, too', async () => {
    const args = [...SHORT, '-o', 'json', '--operation', 'range'];
    const { exit, stdout } = await run(args, { store: new FakeStore() });
    expect(exit).toBe(0);
    const { served, errors } = JSON.parse(stdout);
    expect(served).toBeGreaterThan(0);
    expect(errors).toEqual({});
  });

  test('ranges are those of its own keys', async () => {
    const store = new FakeStore();
    store.set('balsa-bench0', 'not mine');
    for (const key of ['a', 'b', 'c']) store.set(`balsa-bench/${key}`, 'mine');
    const client = await store.connect({
      ...{ endpoints: ['10.0.0.1:7001'], followLeader: true, consistency: 'linearizable' },
      ...{ clientName: 'test', connectTimeoutMs: 1000, timeoutMs: 1000 },
    });
    const { range } = storeCalls(client, 'balsa-bench/');
    expect(await range.call('b', Buffer.alloc(0))).toHaveLength(2);
  });

  test.each(['range', 'txn'] as const)('a %s ends when it is interrupted', async (operation) => {
    const h = new Harness();
    const db = await h.connect({ timeoutMs: 0 });
    h.cluster.fate = () => 'ignore';
    const interruption = new AbortController();
    const calls = storeCalls(db, 'p/', interruption.signal);
    const failed = h.failure(calls[operation].call('key-1', Buffer.from('v')) as Promise<unknown>);
    await h.clock.settle();
    interruption.abort();
    expect((await failed).code).toBe('CANCELLED');
  });

  test('a txn is a put of a key that is there', async () => {
    const h = new Harness();
    const db = await h.connect();
    await h.until(db.put('p/key-1', 'old'));
    const { txn } = storeCalls(db, 'p/');
    await h.until(txn.call('key-1', Buffer.from('new')));
    await h.until(txn.call('key-2', Buffer.from('new')));
    expect(String((await h.until(db.get('p/key-1'))).value)).toBe('new');
    expect((await h.until(db.get('p/key-2'))).value).toBeUndefined();
  });

  test('what fails is counted by its code', async () => {
    const store = new FakeStore();
    let puts = 0;
    store.onPut = async () => {
      puts += 1;
      if (puts <= 1500) return;
      await new Promise((resolve) => setTimeout(resolve, 1));
      throw new BalsaError('OVERLOADED', 'full');
    };
    const { exit, stdout, stderr } = await run([...SHORT, '-o', 'json'], { store });
    expect(exit).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ served: 0, perSecond: 0 });
    expect(stdout).not.toContain('p50Ms');
    expect(stderr).toMatch(/^failed with OVERLOADED: \d+\nnothing was measured: [^\n]+\n$/);
    expect(store.items.size).toBe(0);
  });

  test('keys of others are not written over', async () => {
    const store = new FakeStore();
    store.set('balsa-bench/x', 'not mine');
    const { exit, stderr } = await run(SHORT, { store });
    expect(exit).toBe(2);
    expect(stderr).toContain('1 keys begin with balsa-bench/ already');
    expect(store.get('balsa-bench/x')).toBe('not mine');
    expect((await run([...SHORT, '--prefix', 'other/'], { store })).exit).toBe(0);
  });

  test('when a key cannot be put, no other is put after those that were are deleted', async () => {
    const store = new FakeStore();
    let puts = 0;
    store.onPut = async () => {
      puts += 1;
      if (puts === 10) throw new BalsaError('QUOTA_EXCEEDED', 'full');
      await new Promise((resolve) => setTimeout(resolve, 5));
    };
    const { stderr } = await run(SHORT, { store });
    expect(stderr).toContain('error QUOTA_EXCEEDED: full');
    expect(puts).toBeLessThan(1000);
    expect(store.putsUnderWay).toBe(0);
    expect(store.items.size).toBe(0);
  });

  test.each([
    ['while keys are made', 10],
    ['before it measures', 1600],
  ])(
    'interrupted %s, it deletes its keys, says that nothing was measured, exit 130',
    async (_when, at) => {
      const store = new FakeStore();
      const interruption = new AbortController();
      let puts = 0;
      store.onPut = () => {
        puts += 1;
        if (puts === at) interruption.abort();
      };
      const args = ['bench', '--keys', '1500', '--warm-up', '1h'];
      const result = await run(args, { store, interrupted: interruption.signal });
      expect(result).toMatchObject({ exit: 130, stdout: '' });
      expect(result.stderr).toBe('nothing was measured: no call was served\ninterrupted\n');
      expect(puts).toBeLessThan(3000);
      expect(store.items.size).toBe(0);
    },
  );

  test('interrupted while it measures, it tells what was served until then', async () => {
    const store = new FakeStore();
    const interruption = new AbortController();
    let puts = 0;
    store.onPut = () => {
      puts += 1;
      if (puts === 1600) interruption.abort();
    };
    const args = ['bench', '--keys', '1500', '--warm-up', '0ms', '--duration', '1h', '-o', 'json'];
    const result = await run(args, { store, interrupted: interruption.signal });
    expect(result).toMatchObject({ exit: 130, stderr: 'interrupted\n' });
    const { served, p50Ms } = JSON.parse(result.stdout);
    expect(served).toBeGreaterThan(0);
    expect(p50Ms).toBeGreaterThanOrEqual(0);
    expect(store.items.size).toBe(0);
  });

  test.each([
    [['--outstanding', '10001'], 'It must be at most 10,000.'],
    [['--keys', '0'], 'It must be a whole number from 1.'],
    [['--operation', 'push'], 'Allowed choices are put, get'],
    [['--duration', 'long'], 'It must be'],
    [['--duration', '0'], 'It must be longer than 0.'],
  ])('%s is wrong usage', async (flags, message) => {
    const { exit, stderr } = await run(['bench', ...flags]);
    expect(exit).toBe(2);
    expect(stderr).toContain(message);
  });

  test('keys of others are seen at whatever level its own reads are', async () => {
    const store = await MachineStore.open();
    await store.h.until(store.db.put('other', '1'));
    await store.h.until(store.db.put('user/key-0000000001', 'not mine'));
    const args = [...SHORT, '--keys', '3', '--prefix', 'user/', '--consistency', 'at:1'];
    const { exit, stderr } = await store.run(args);
    expect(exit).toBe(2);
    expect(stderr).toContain('1 keys begin with user/ already');
    const { value } = await store.h.until(store.db.get('user/key-0000000001'));
    expect(String(value)).toBe('not mine');
  });
});
