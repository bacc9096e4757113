import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../../src/base/errors.js';
import { seededRandom } from '../../../src/base/random.js';
import { Ledger } from '../../../src/cli/demo/ledger.js';
import { runLoad } from '../../../src/cli/demo/load.js';
import { judgeOrder } from '../../../src/cli/demo/verdict.js';
import { verifyReplica } from '../../../src/cli/demo/verify.js';
import { FakeStore } from './fake-store.js';

const RECORDS = Array.from({ length: 20 }, (_, i) => ({ key: `k${i}`, content: { i } }));

async function load(store: FakeStore, rounds = 3): Promise<Ledger> {
  const ledger = new Ledger();
  await runLoad(store, {
    records: RECORDS,
    ledger,
    random: seededRandom(1),
    outstanding: 8,
    more: (round) => round <= rounds,
  });
  return ledger;
}

async function types(store: FakeStore, ledger: Ledger): Promise<string[]> {
  const { findings } = await verifyReplica(store, ledger, { revisionBefore: 0 });
  return [...judgeOrder(ledger), ...findings].map((finding) => finding.type);
}

/** The store fails put number `at` with this error, having applied it or not. */
function failPut(store: FakeStore, options: { at: number; applied: boolean }): void {
  const put = store.put.bind(store);
  let number = 0;
  store.put = async (key, value) => {
    number += 1;
    if (number !== options.at) return put(key, value);
    if (options.applied) await put(key, value);
    throw new BalsaError('TIMEOUT', 'planted', { outcome: 'unknown' });
  };
}

describe('the verification of the demo finds nothing', () => {
  test('when every acknowledged write is there once', async () => {
    const store = new FakeStore();
    const ledger = await load(store);

    const { versions, findings } = await verifyReplica(store, ledger, { revisionBefore: 0 });

    expect(findings).toEqual([]);
    expect(versions).toBe(60);
    expect(ledger.counts).toMatchObject({ acknowledged: 60, unknown: 0, misordered: 0 });
  });

  test.each([true, false])('when a write of unknown outcome was applied: %s', async (applied) => {
    const store = new FakeStore();
    failPut(store, { at: 25, applied });

    const ledger = await load(store);

    expect(ledger.counts).toMatchObject({ acknowledged: 59, unknown: 1 });
    expect(await types(store, ledger)).toEqual([]);
  });
});

describe('the verification of the demo finds as lost', () => {
  test('an acknowledged write that was never applied', async () => {
    const store = new FakeStore();
    const ledger = await load(store);
    const write = ledger.issue('k0', 4, 'never applied');
    ledger.acknowledge(write, store.revision + 1);

    expect(await types(store, ledger)).toContain('lost');
  });

  test('a whole key that is gone', async () => {
    const store = new FakeStore();
    const ledger = await load(store);
    store.history('k3').length = 0;

    const found = await types(store, ledger);

    expect(found.filter((type) => type === 'lost')).toHaveLength(3);
  });

  test('the latest write of a key that fell back to an older value', async () => {
    const store = new FakeStore();
    const ledger = await load(store);
    store.history('k3').pop();

    expect(await types(store, ledger)).toContain('lost');
  });

  test('a write whose place an older value has taken', async () => {
    const store = new FakeStore();
    const ledger = await load(store);
    const [first, , last] = store.history('k3');
    store.history('k3')[2] = { ...last, value: first?.value ?? '' } as typeof last & object;

    expect(await types(store, ledger)).toEqual(expect.arrayContaining(['lost', 'duplicated']));
  });
});

describe('the verification of the demo finds as duplicated', () => {
  test('an acknowledged write that was applied twice in a row', async () => {
    const store = new FakeStore();
    const put = store.put.bind(store);
    store.put = async (key, value) => {
      if (key === 'k7' && value.includes('"round":2')) store.apply(key, value);
      return put(key, value);
    };

    const ledger = await load(store);

    expect(await types(store, ledger)).toEqual(['duplicated']);
  });

  test('a write of unknown outcome that was applied twice', async () => {
    const store = new FakeStore();
    failPut(store, { at: 25, applied: true });
    const ledger = await load(store);
    const unknown = ledger.keys
      .flatMap((key) => [...ledger.writesOf(key)])
      .find((write) => write.state === 'unknown');
    const key = unknown?.key ?? '';
    const applied = store.history(key).find((stored) => stored.value.includes('"round":2'));
    store.apply(key, applied?.value ?? '');

    expect(await types(store, ledger)).toEqual(['duplicated']);
  });

  test('a refused write that was applied all the same', async () => {
    const store = new FakeStore();
    const ledger = await load(store);
    const write = ledger.issue('k0', 4, 'refused');
    ledger.fail(write, 'not-applied');
    store.apply('k0', 'refused');

    expect(await types(store, ledger)).toEqual(['duplicated']);
  });

  test('puts that only the revision of the whole store shows', async () => {
    const store = new FakeStore();
    const ledger = await load(store);
    store.revision += 1;

    expect(await types(store, ledger)).toEqual(['duplicated']);
  });
});

describe('the verification of the demo finds as different', () => {
  test('a value that nobody wrote', async () => {
    const store = new FakeStore();
    const ledger = await load(store);
    store.apply('k5', 'from elsewhere');

    expect(await types(store, ledger)).toEqual(['different']);
  });

  test('a version number that does not count the puts', async () => {
    const store = new FakeStore();
    const ledger = await load(store);
    const [, second] = store.history('k5');
    store.history('k5')[1] = { revision: 0, value: '', ...second, version: 9 };

    expect(await types(store, ledger)).toEqual(['different']);
  });

  test('an acknowledgement that contradicts the order in which writes were asked for', async () => {
    const ledger = new Ledger();
    ledger.acknowledge(ledger.issue('a', 1, 'x'), 10);
    ledger.acknowledge(ledger.issue('b', 1, 'y'), 9);

    expect(judgeOrder(ledger).map((finding) => finding.type)).toEqual(['different']);
  });

  test('not the answers of writes under way together, whose order is open', async () => {
    const ledger = new Ledger();
    const a = ledger.issue('a', 1, 'x');
    const b = ledger.issue('b', 1, 'y');
    ledger.acknowledge(a, 10);
    ledger.acknowledge(b, 9);

    expect(judgeOrder(ledger)).toEqual([]);
  });
});
