import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DiskWrite } from '../../src/raft/types.js';
import type { LogStore } from '../../src/storage/log-store.js';
import {
  append,
  entries,
  entry,
  ModelLog,
  plain,
  read,
  restoredFacts,
  write,
} from './log-helpers.js';

/** One place for a log; opened again it holds what the store before it held when it was closed. */
export interface LogStoreHarness {
  open(): LogStore;
  dispose(): void;
}

type Make = () => LogStoreHarness;

async function withStore(
  make: Make,
  body: (store: LogStore, reopen: () => Promise<LogStore>) => Promise<void>,
): Promise<void> {
  const harness = make();
  try {
    let store = harness.open();
    await body(store, async () => {
      await store.close();
      store = harness.open();
      return store;
    });
    await store.close();
  } finally {
    harness.dispose();
  }
}

/** What every {@link LogStore} does. */
export function describeLogStore(name: string, make: Make): void {
  describe(`${name} as a log store`, () => {
    describeBasics(make);
    describeReads(make);
    describeProperties(make);
  });
}

function describeBasics(make: Make): void {
  test('a new log is empty', async () => {
    await withStore(make, async (store) => {
      expect(restoredFacts(store)).toEqual(new ModelLog().facts());
      expect(store.stats()).toMatchObject({ lastIndex: 0, durableIndex: 0, syncs: 0 });
    });
  });

  test('a hard state without a vote is whole behind an entry that is large', async () => {
    // A large frame goes out by `writev`, which gives empty arrays a buffer of their own.
    await withStore(make, async (store, reopen) => {
      const hardState = { currentTerm: 5, votedFor: null, commitIndex: 0 };
      const large = { ...entry(1, 5), payload: Buffer.alloc(400_000, 'x') };
      const empty = { ...entry(2, 5), payload: new Uint8Array(0) };
      await append(store, write([large, empty], hardState));
      await append(store, write([entry(3, 6)], { ...hardState, currentTerm: 6 }));
      const again = await reopen();
      expect(again.restored.hardState.currentTerm).toBe(6);
      expect(again.restored.lastIndex).toBe(3);
    });
  });

  test('what was appended is there after a restart', async () => {
    await withStore(make, async (store, reopen) => {
      const writes = [
        write([], { currentTerm: 3, votedFor: 'n1.5f0c', commitIndex: 0 }),
        write(entries(1, 4, 3)),
        write([entry(5, 4, '', 'noop'), entry(6, 4, 'c', 'configuration')], {
          currentTerm: 4,
          votedFor: null,
          commitIndex: 4,
        }),
      ];
      for (const what of writes) await append(store, what);
      expect(store.stats()).toMatchObject({ lastIndex: 6, durableIndex: 6 });
      const again = await reopen();
      expect(restoredFacts(again)).toEqual(ModelLog.after(writes).facts());
    });
  });

  test('entries that conflict are cut off', async () => {
    await withStore(make, async (store, reopen) => {
      const writes = [write(entries(1, 8, 1)), write(entries(4, 2, 2)), write(entries(6, 1, 3))];
      for (const what of writes) await append(store, what);
      expect(plain(await read(store, 1, 6))).toEqual(plain(ModelLog.after(writes).log));
      const again = await reopen();
      expect(restoredFacts(again)).toEqual(ModelLog.after(writes).facts());
    });
  });

  test('a configuration that was cut off is not restored', async () => {
    await withStore(make, async (store, reopen) => {
      await append(store, write([entry(1, 1), entry(2, 1, 'x', 'configuration')]));
      await append(store, write([entry(2, 2)]));
      const again = await reopen();
      expect(again.restored.configurationEntries).toEqual([]);
    });
  });

  test('writes that wait together are called back in their order', async () => {
    await withStore(make, async (store) => {
      const order: number[] = [];
      const all = Array.from({ length: 20 }, (_, position) =>
        append(store, write(entries(position + 1, 1, 1))).then(() => order.push(position)),
      );
      await Promise.all(all);
      expect(order).toEqual([...order].sort((a, b) => a - b));
      expect(store.stats().durableIndex).toBe(20);
      expect(store.stats().syncs).toBeLessThan(20);
    });
  });

  test('a write of nothing is called back in its turn', async () => {
    await withStore(make, async (store) => {
      const order: string[] = [];
      const first = append(store, write(entries(1, 1, 1))).then(() => order.push('entry'));
      const second = append(store, write([])).then(() => order.push('nothing'));
      await Promise.all([first, second]);
      expect(order).toEqual(['entry', 'nothing']);
      await append(store, write([]));
    });
  });

  test('what is appended to a closed log is refused', async () => {
    const harness = make();
    const store = harness.open();
    await store.close();
    await expect(append(store, write(entries(1, 1, 1)))).rejects.toMatchObject({
      code: 'SHUTTING_DOWN',
    });
    harness.dispose();
  });

  test('entries that leave a gap are a broken invariant', async () => {
    await withStore(make, async (store) => {
      expect(() => store.append(write(entries(2, 1, 1)), () => {})).toThrow(/without gaps/);
    });
  });
}

function describeReads(make: Make): void {
  test('a read sees what is not yet durable', async () => {
    await withStore(make, async (store) => {
      await append(store, write(entries(1, 3, 1)));
      const pending = [
        append(store, write(entries(4, 2, 1))),
        append(store, write(entries(3, 1, 2))),
      ];
      const seen = await read(store, 1, 3);
      expect(plain(seen)).toEqual(plain([...entries(1, 2, 1), ...entries(3, 1, 2)]));
      await Promise.all(pending);
    });
  });

  test('a read ends at its limit of bytes, and brings at least one entry', async () => {
    await withStore(make, async (store) => {
      await append(store, write(entries(1, 5, 1, 'x'.repeat(100))));
      const pending = append(store, write(entries(6, 5, 1, 'x'.repeat(100))));
      expect(await read(store, 1, 10, 250)).toHaveLength(2);
      expect(await read(store, 1, 10, 10)).toHaveLength(1);
      expect(await read(store, 4, 10, 300)).toHaveLength(3);
      expect(await read(store, 7, 10, 10)).toHaveLength(1);
      expect(await read(store, 1, 10)).toHaveLength(10);
      await pending;
      expect(await read(store, 4, 10, 300)).toHaveLength(3);
    });
  });

  test('a read answers with the log as it was when it was asked', async () => {
    await withStore(make, async (store) => {
      await append(store, write(entries(1, 3, 1)));
      const answer = read(store, 1, 3);
      const cut = append(store, write(entries(2, 2, 2)));
      expect(plain(await answer)).toEqual(plain(entries(1, 3, 1)));
      await cut;
    });
  });
}

/** A step of a random life of a log. */
type Step =
  | { readonly type: 'append'; readonly count: number; readonly bytes: number }
  | { readonly type: 'cut'; readonly back: number; readonly count: number }
  | { readonly type: 'vote' }
  | { readonly type: 'settle' }
  | { readonly type: 'read'; readonly at: number; readonly length: number }
  | { readonly type: 'restart' };

const steps = fc.array(
  fc.oneof(
    fc.record({
      type: fc.constant('append' as const),
      count: fc.integer({ min: 1, max: 6 }),
      bytes: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 500, max: 6000 })),
    }),
    fc.record({
      type: fc.constant('cut' as const),
      back: fc.integer({ min: 1, max: 5 }),
      count: fc.integer({ min: 1, max: 3 }),
    }),
    fc.record({ type: fc.constant('vote' as const) }),
    fc.record({ type: fc.constant('settle' as const) }),
    fc.record({
      type: fc.constant('read' as const),
      at: fc.integer({ min: 0, max: 40 }),
      length: fc.integer({ min: 0, max: 10 }),
    }),
    fc.record({ type: fc.constant('restart' as const) }),
  ),
  { maxLength: 40, size: 'max' },
);

/** The steps as writes, with terms that grow at every cut. */
class Life {
  readonly model = new ModelLog();
  #term = 1;

  toWrite(step: Step): DiskWrite | null {
    const next = this.model.log.length + 1;
    if (step.type === 'vote') {
      this.#term += 1;
      return write([], { currentTerm: this.#term, votedFor: 'n2', commitIndex: next - 1 });
    }
    if (step.type === 'append') {
      return write(entries(next, step.count, this.#term, 'x'.repeat(step.bytes)));
    }
    if (step.type !== 'cut' || next === 1) return null;
    this.#term += 1;
    const from = Math.max(1, next - step.back);
    const list = [entry(from, this.#term, '', 'configuration')];
    return write([...list, ...entries(from + 1, step.count - 1, this.#term)], {
      currentTerm: this.#term,
      votedFor: null,
      commitIndex: from - 1,
    });
  }
}

function describeProperties(make: Make): void {
  test('any life of appends, cuts, reads and restarts leaves what the model says', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (list) => {
        await withStore(make, async (first, reopen) => {
          const life = new Life();
          let store = first;
          let pending: Promise<void>[] = [];
          for (const step of list) {
            const what = life.toWrite(step);
            if (what !== null) {
              life.model.apply(what);
              pending.push(append(store, what));
            } else if (step.type === 'read' && step.at < life.model.log.length) {
              const expected = life.model.log.slice(step.at, step.at + step.length + 1);
              const seen = await read(store, step.at + 1, step.at + step.length + 1);
              expect(plain(seen)).toEqual(plain(expected));
            } else if (step.type === 'settle') {
              await Promise.all(pending);
              pending = [];
              expect(store.stats().durableIndex).toBe(life.model.log.length);
            } else if (step.type === 'restart') {
              store = await reopen();
              expect(restoredFacts(store)).toEqual(life.model.facts());
            }
          }
          store = await reopen();
          await Promise.all(pending);
          expect(restoredFacts(store)).toEqual(life.model.facts());
        });
      }),
      { numRuns: 60 },
    );
  });
}
