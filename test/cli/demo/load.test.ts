import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../../src/base/errors.js';
import { seededRandom } from '../../../src/base/random.js';
import { Ledger } from '../../../src/cli/demo/ledger.js';
import { runLoad } from '../../../src/cli/demo/load.js';
import { FakeStore } from './fake-store.js';

const RECORDS = Array.from({ length: 10 }, (_, i) => ({ key: `k${i}`, content: i }));

describe('the load of the demo', () => {
  test('writes every record once a round and stops when no further round is wanted', async () => {
    const store = new FakeStore();
    const ledger = new Ledger();

    const rounds = await runLoad(store, {
      records: RECORDS,
      ledger,
      random: seededRandom(3),
      more: (round) => round <= 4,
    });

    expect(rounds).toBe(4);
    expect(store.revision).toBe(40);
    expect(
      store.history('k3').map(({ value }) => (JSON.parse(value) as { round: number }).round),
    ).toEqual([1, 2, 3, 4]);
  });

  test('never has two puts of one key under way', async () => {
    const store = new FakeStore();
    const underWay = new Set<string>();
    const put = store.put.bind(store);
    store.put = async (key, value) => {
      expect(underWay.has(key)).toBe(false);
      underWay.add(key);
      await new Promise(setImmediate);
      underWay.delete(key);
      return put(key, value);
    };

    await runLoad(store, {
      records: RECORDS,
      ledger: new Ledger(),
      random: seededRandom(3),
      outstanding: 64,
      more: (round) => round <= 4,
    });

    expect(store.revision).toBe(40);
  });

  test('writes in the same order again with the same seed', async () => {
    const order = async (seed: number): Promise<string[]> => {
      const store = new FakeStore();
      const keys: string[] = [];
      const put = store.put.bind(store);
      store.put = async (key, value) => {
        keys.push(key);
        return put(key, value);
      };
      await runLoad(store, {
        records: RECORDS,
        ledger: new Ledger(),
        random: seededRandom(seed),
        outstanding: 1,
        more: (round) => round <= 2,
      });
      return keys;
    };

    expect(await order(5)).toEqual(await order(5));
    expect(await order(5)).not.toEqual(await order(6));
  });

  test('ends with an error that no retry can cure', async () => {
    const store = new FakeStore();
    store.beforePut = (number) => {
      if (number === 5) throw new BalsaError('CLUSTER_MISMATCH', 'planted');
    };

    const load = runLoad(store, {
      records: RECORDS,
      ledger: new Ledger(),
      random: seededRandom(3),
      more: () => true,
    });

    await expect(load).rejects.toMatchObject({ code: 'CLUSTER_MISMATCH' });
  });

  test('puts nothing before its pace lets it', async () => {
    const store = new FakeStore();
    const seen: number[] = [];
    await runLoad(store, {
      records: RECORDS,
      ledger: new Ledger(),
      random: seededRandom(3),
      outstanding: 1,
      more: (round) => round === 1,
      pace: async () => {
        await nextTurn();
        seen.push(store.revision);
      },
    });
    expect(seen).toEqual(RECORDS.map((_, i) => i));
  });

  test('stops at the signal', async () => {
    const stop = new AbortController();
    const store = new FakeStore();
    store.beforePut = (number) => {
      if (number === 15) stop.abort();
    };

    const load = runLoad(store, {
      records: RECORDS,
      ledger: new Ledger(),
      random: seededRandom(3),
      outstanding: 1,
      more: () => true,
      signal: stop.signal,
    });

    await expect(load).rejects.toThrow();
    expect(store.revision).toBe(15);
  });
});
