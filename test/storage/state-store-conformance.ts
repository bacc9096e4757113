import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ScanRange, StateStore, StateWrite } from '../../src/statemachine/state-store.js';

/** One place for a state; opened again it holds what was on its disk. */
export interface StateStoreHarness {
  open(): Promise<StateStore>;
  dispose(): Promise<void>;
}

type Make = () => StateStoreHarness;

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const put = (key: string, value: string): StateWrite => ({ key: bytes(key), value: bytes(value) });
const remove = (key: string): StateWrite => ({ key: bytes(key), value: null });
const ALL: ScanRange = { from: bytes(''), to: null, keysMax: 1e6, bytesMax: 1e9 };

async function withStore(
  make: Make,
  body: (store: StateStore, reopen: () => Promise<StateStore>) => Promise<void>,
): Promise<void> {
  const harness = make();
  try {
    let store = await harness.open();
    await body(store, async () => {
      await store.close();
      store = await harness.open();
      return store;
    });
    await store.close();
  } finally {
    await harness.dispose();
  }
}

async function contents(store: StateStore, range: Partial<ScanRange> = {}): Promise<string[]> {
  const page = await store.scan({ ...ALL, ...range });
  return page.pairs.map(([key, value]) => `${text(key)}=${text(value)}`);
}

function text(value: Uint8Array | undefined): string | undefined {
  return value === undefined ? undefined : Buffer.from(value).toString('latin1');
}

/** Waits until all that may go to the disk is there. */
function flushed(store: StateStore): Promise<void> {
  return new Promise((resolve) => store.whenPendingBelow(0, resolve));
}

/** What every {@link StateStore} does. */
export function describeStateStore(name: string, make: Make): void {
  describe(`${name} as a state store`, () => {
    describeVisibility(make);
    describeDisk(make);
    describeScans(make);
    describeProperties(make);
  });
}

function describeVisibility(make: Make): void {
  test('a new store is empty, at index 0', async () => {
    await withStore(make, async (store) => {
      expect(store.restoredIndex).toBe(0);
      expect(store.get(bytes('a'))).toBeUndefined();
      expect(await store.scan(ALL)).toEqual({ pairs: [], more: false });
    });
  });

  test('what is applied is visible at once', async () => {
    await withStore(make, async (store) => {
      store.apply(1, [put('a', '1'), put('b', '2')]);
      store.apply(2, [remove('a'), put('c', '')]);
      expect(store.get(bytes('a'))).toBeUndefined();
      expect(text(store.get(bytes('b')))).toBe('2');
      expect(text(store.get(bytes('c')))).toBe('');
      expect(await contents(store)).toEqual(['b=2', 'c=']);
    });
  });

  test('what is on disk is covered by what was applied after it', async () => {
    await withStore(make, async (store) => {
      store.apply(1, [put('a', '1'), put('b', '1'), put('c', '1')]);
      store.allowDisk(1);
      await flushed(store);
      store.apply(2, [put('b', '2'), remove('c')]);
      expect(['a', 'b', 'c'].map((key) => text(store.get(bytes(key))))).toEqual([
        '1',
        '2',
        undefined,
      ]);
      expect(await contents(store)).toEqual(['a=1', 'b=2']);
    });
  });

  test('an entry that is not newer than the last one is a broken invariant', async () => {
    await withStore(make, async (store) => {
      store.apply(3, [put('a', '1')]);
      expect(() => store.apply(3, [])).toThrow(/in order/);
    });
  });

  test('a key that begins with the reserved byte is a broken invariant', async () => {
    await withStore(make, async (store) => {
      expect(() => store.apply(1, [put('\0a', '1')])).toThrow(/reserved/);
      expect(() => store.apply(1, [put('', '1')])).toThrow(/reserved/);
    });
  });
}

function describeDisk(make: Make): void {
  test('what may go to the disk is there after a restart, with its index', async () => {
    await withStore(make, async (store, reopen) => {
      store.apply(1, [put('a', '1'), put('b', '1')]);
      store.apply(5, [put('b', '5')]);
      store.apply(6, []);
      store.allowDisk(6);
      const again = await reopen();
      expect(again.restoredIndex).toBe(6);
      expect(await contents(again)).toEqual(['a=1', 'b=5']);
    });
  });

  test('what may not go to the disk is not there after a restart', async () => {
    await withStore(make, async (store, reopen) => {
      store.apply(1, [put('a', '1')]);
      store.allowDisk(1);
      await flushed(store);
      store.apply(2, [put('a', '2')]);
      const again = await reopen();
      expect(again.restoredIndex).toBe(1);
      expect(await contents(again)).toEqual(['a=1']);
      again.apply(2, [put('a', '2')]);
      expect(text(again.get(bytes('a')))).toBe('2');
    });
  });

  test('pending bytes grow with what is applied and fall when it is on disk', async () => {
    await withStore(make, async (store) => {
      expect(store.pendingBytes()).toBe(0);
      store.apply(1, [put('a', 'x'.repeat(10_000))]);
      expect(store.pendingBytes()).toBeGreaterThan(10_000);
      let isBelow = false;
      store.whenPendingBelow(15_000, () => {
        isBelow = true;
      });
      expect(isBelow).toBe(false);
      store.allowDisk(1);
      await flushed(store);
      expect(isBelow).toBe(true);
      expect(store.pendingBytes()).toBe(0);
    });
  });

  test('who waits for few pending bytes is called at once when they are few', async () => {
    await withStore(make, async (store) => {
      let calls = 0;
      store.whenPendingBelow(100, () => {
        calls += 1;
      });
      expect(calls).toBe(1);
    });
  });
}

function describeScans(make: Make): void {
  const prepare = async (store: StateStore): Promise<void> => {
    store.apply(
      1,
      ['a', 'c', 'e', 'g', 'i'].map((key) => put(key, 'disk')),
    );
    store.allowDisk(1);
    await flushed(store);
    store.apply(2, [put('b', 'new'), put('c', 'new'), remove('e'), put('h', 'new')]);
  };

  test('a range has its first key and not its end', async () => {
    await withStore(make, async (store) => {
      await prepare(store);
      const range = { from: bytes('b'), to: bytes('h') };
      expect(await contents(store, range)).toEqual(['b=new', 'c=new', 'g=disk']);
      expect(await contents(store, { ...range, reverse: true })).toEqual([
        'g=disk',
        'c=new',
        'b=new',
      ]);
    });
  });

  test('a page ends at its limit of keys and says whether there is more', async () => {
    await withStore(make, async (store) => {
      await prepare(store);
      const page = await store.scan({ ...ALL, keysMax: 3 });
      expect(page.pairs.map(([key]) => text(key))).toEqual(['a', 'b', 'c']);
      expect(page.more).toBe(true);
      const last = await store.scan({ ...ALL, keysMax: 6 });
      expect(last.pairs).toHaveLength(6);
      expect(last.more).toBe(false);
      const back = await store.scan({ ...ALL, keysMax: 2, reverse: true });
      expect(back.pairs.map(([key]) => text(key))).toEqual(['i', 'h']);
    });
  });

  test('a page of what is not yet on disk says whether there is more', async () => {
    await withStore(make, async (store) => {
      store.apply(1, [put('a', '1'), put('b', '1'), put('c', '1')]);
      const pages = [2, 3].map((keysMax) => store.scan({ ...ALL, keysMax }));
      const [short, whole] = await Promise.all(pages);
      expect([short?.pairs.length, short?.more]).toEqual([2, true]);
      expect([whole?.pairs.length, whole?.more]).toEqual([3, false]);
    });
  });

  test('a page ends at its limit of bytes, and has at least one pair', async () => {
    await withStore(make, async (store) => {
      await prepare(store);
      expect((await store.scan({ ...ALL, bytesMax: 10 })).pairs).toHaveLength(2);
      const one = await store.scan({ ...ALL, bytesMax: 1 });
      expect(one.pairs).toHaveLength(1);
      expect(one.more).toBe(true);
    });
  });

  test('deleted keys at the end of a range are not more', async () => {
    await withStore(make, async (store) => {
      await prepare(store);
      store.apply(3, [remove('h'), remove('i')]);
      const page = await store.scan({ ...ALL, keysMax: 4 });
      expect(page.pairs.map(([key]) => text(key))).toEqual(['a', 'b', 'c', 'g']);
      expect(page.more).toBe(false);
    });
  });

  test('a scan shows the state of the moment when it was asked', async () => {
    await withStore(make, async (store) => {
      await prepare(store);
      const before = contents(store);
      store.apply(3, [put('a', 'later'), put('d', 'later'), remove('g')]);
      store.allowDisk(3);
      await flushed(store);
      expect(await before).toEqual(['a=disk', 'b=new', 'c=new', 'g=disk', 'h=new', 'i=disk']);
    });
  });

  test('keys are ordered as unsigned bytes', async () => {
    await withStore(make, async (store) => {
      store.apply(1, [put('\xff', ''), put('\x7f', ''), put('\x80', ''), put('\x7f\x00', '')]);
      const keys = (await store.scan(ALL)).pairs.map(([key]) => text(key));
      expect(keys).toEqual(['\x7f', '\x7f\x00', '\x80', '\xff']);
      store.allowDisk(1);
      await flushed(store);
      expect((await store.scan(ALL)).pairs.map(([key]) => text(key))).toEqual(keys);
    });
  });
}

const key = fc.stringMatching(/^[a-d]{1,2}$/);
const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        type: fc.constant('apply' as const),
        writes: fc.array(fc.tuple(key, fc.option(fc.stringMatching(/^[x-z]{0,4}$/))), {
          maxLength: 6,
          size: 'max',
        }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        type: fc.constant('scan' as const),
        from: key,
        to: fc.option(key),
        reverse: fc.boolean(),
        keysMax: fc.integer({ min: 1, max: 8 }),
        bytesMax: fc.integer({ min: 1, max: 60 }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ type: fc.constant('allow' as const) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('flush' as const) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('restart' as const) }) },
  ),
  { maxLength: 30, size: 'max' },
);

type ModelState = ReadonlyMap<string, string>;

function scanModel(state: ModelState, range: ScanRange): { pairs: string[]; more: boolean } {
  const from = String(text(range.from));
  const to = range.to === null ? null : String(text(range.to));
  const keys = [...state.keys()].filter((k) => k >= from && (to === null || k < to)).sort();
  if (range.reverse === true) keys.reverse();
  const pairs: string[] = [];
  let size = 0;
  for (const k of keys) {
    size += k.length + String(state.get(k)).length;
    const isOver = pairs.length >= range.keysMax || size > range.bytesMax;
    if (isOver && pairs.length > 0) return { pairs, more: true };
    pairs.push(`${k}=${state.get(k)}`);
  }
  return { pairs, more: false };
}

function describeProperties(make: Make): void {
  test('any life of applies, scans, flushes and restarts shows what the model says', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (list) => {
        await withStore(make, async (first, reopen) => {
          // The state after each entry: a restart may come back to any that was allowed.
          let history: ModelState[] = [new Map()];
          let allowed = 0;
          let store = first;
          const latest = (): ModelState => history.at(-1) ?? new Map();
          for (const step of list) {
            if (step.type === 'apply') {
              const next = new Map(latest());
              for (const [k, v] of step.writes) v === null ? next.delete(k) : next.set(k, v);
              store.apply(
                history.length,
                step.writes.map(([k, v]) => (v === null ? remove(k) : put(k, v))),
              );
              history.push(next);
            } else if (step.type === 'scan') {
              const to = step.to === null ? null : bytes(step.to);
              const range = { ...step, from: bytes(step.from), to };
              const page = await store.scan(range);
              const pairs = page.pairs.map(([k, v]) => `${text(k)}=${text(v)}`);
              expect({ pairs, more: page.more }).toEqual(scanModel(latest(), range));
            } else if (step.type === 'allow') {
              allowed = history.length - 1;
              store.allowDisk(allowed);
            } else if (step.type === 'flush') {
              allowed = history.length - 1;
              store.allowDisk(allowed);
              await flushed(store);
            } else {
              const isAll = allowed === history.length - 1;
              store = await reopen();
              expect(store.restoredIndex).toBeLessThanOrEqual(allowed);
              if (isAll) expect(store.restoredIndex).toBe(allowed);
              history = history.slice(0, store.restoredIndex + 1);
              allowed = store.restoredIndex;
            }
            for (const k of ['a', 'bb', 'd']) {
              expect(text(store.get(bytes(k)))).toBe(latest().get(k));
            }
          }
          expect(await contents(store)).toEqual(scanModel(latest(), ALL).pairs);
        });
      }),
      { numRuns: 40 },
    );
  });
}
