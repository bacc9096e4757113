import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DiskWrite } from '../../src/raft/types.js';
import type { LogStore } from '../../src/storage/log-store.js';
import {
  append,
  entries,
  entry,
  type LogChange,
  ModelLog,
  plain,
  read,
  restoredFacts,
  submitted,
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
    describeStarts(make);
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
  | { readonly type: 'compact'; readonly back: number }
  | { readonly type: 'reset'; readonly ahead: number; readonly isHeld: boolean }
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
    fc.record({ type: fc.constant('compact' as const), back: fc.integer({ min: 0, max: 6 }) }),
    fc.record({
      type: fc.constant('reset' as const),
      ahead: fc.integer({ min: -6, max: 6 }),
      isHeld: fc.boolean(),
    }),
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

  newTerm(): number {
    this.#term += 1;
    return this.#term;
  }

  toWrite(step: Step): DiskWrite | null {
    const next = this.model.lastIndex + 1;
    if (step.type === 'vote') {
      this.#term += 1;
      return write([], { currentTerm: this.#term, votedFor: 'n2', commitIndex: next - 1 });
    }
    if (step.type === 'append') {
      return write(entries(next, step.count, this.#term, 'x'.repeat(step.bytes)));
    }
    const first = this.model.start.index + 1;
    if (step.type !== 'cut' || next === first) return null;
    this.#term += 1;
    const from = Math.max(first, next - step.back);
    const list = [entry(from, this.#term, '', 'configuration')];
    return write([...list, ...entries(from + 1, step.count - 1, this.#term)], {
      currentTerm: this.#term,
      votedFor: null,
      commitIndex: from - 1,
    });
  }
}

/** What the step asks beside writes; needs a settled log. */
function toChange(step: Step, life: Life): LogChange | null {
  const { model } = life;
  if (step.type === 'compact') {
    const entry = model.log[model.log.length - 1 - step.back];
    return entry === undefined ? null : { compactTo: { index: entry.index, term: entry.term } };
  }
  if (step.type !== 'reset') return null;
  const index = Math.max(model.lastIndex + step.ahead, 1);
  const held = model.log.find((entry) => entry.index === index);
  if (step.isHeld && held !== undefined) return { resetTo: { index, term: held.term } };
  return { resetTo: { index, term: life.newTerm() } };
}

function describeStarts(make: Make): void {
  test('a log that was compacted begins later, and its entries behind that stay', async () => {
    await withStore(make, async (store, reopen) => {
      const changes = [
        write(entries(1, 3, 1)),
        write([entry(4, 1, 'members', 'configuration'), ...entries(5, 4, 2, 'x'.repeat(5000))]),
        write(entries(9, 6, 2, 'y'.repeat(5000))),
        { compactTo: { index: 6, term: 2 } },
      ];
      for (const change of changes) await submitted(store, change);
      const model = ModelLog.after(changes);
      expect(await read(store, 4, 9)).toEqual([]);
      expect(await read(store, 6, 9)).toEqual([]);
      expect(plain(await read(store, 7, 99))).toEqual(plain(model.log));
      expect(store.stats()).toMatchObject({ lastIndex: 14, durableIndex: 14 });
      let again = await reopen();
      expect(restoredFacts(again)).toEqual(model.facts());
      const more = [{ compactTo: { index: 14, term: 2 } }, write(entries(15, 2, 3))];
      for (const change of more) await submitted(again, change);
      again = await reopen();
      expect(restoredFacts(again)).toEqual(ModelLog.after([...changes, ...more]).facts());
    });
  });

  test('a log cannot be compacted behind what is durable, nor back', async () => {
    await withStore(make, async (store) => {
      await append(store, write(entries(1, 4, 1)));
      const pending = append(store, write(entries(5, 1, 1)));
      expect(() => store.compactTo({ index: 5, term: 1 }, () => {})).toThrow(/durable/);
      await pending;
      await submitted(store, { compactTo: { index: 3, term: 1 } });
      expect(() => store.compactTo({ index: 2, term: 1 }, () => {})).toThrow(/only grows/);
      expect(() => store.append(write(entries(3, 1, 2)), () => {})).toThrow(/start of the log/);
    });
  });

  const vote = { currentTerm: 7, votedFor: 'n3.9a', commitIndex: 2 };
  const resets: [string, { index: number; term: number }, string[]][] = [
    ['that it does not reach empties the log', { index: 20, term: 5 }, []],
    ['whose entry it has with another term empties the log', { index: 4, term: 5 }, []],
    ['that it holds keeps the entries behind it', { index: 4, term: 2 }, ['5', '6']],
    ['at its end leaves no entries', { index: 6, term: 2 }, []],
  ];
  for (const [title, position, left] of resets) {
    test(`a snapshot ${title}; the hard state stays`, async () => {
      await withStore(make, async (store, reopen) => {
        const before = [write(entries(1, 3, 1), vote), write(entries(4, 3, 2))];
        const next = (left.length > 0 ? 6 : position.index) + 1;
        const changes = [...before, { resetTo: position }];
        for (const change of changes) await submitted(store, change);
        expect(await read(store, position.index, next + 5)).toEqual([]);
        const kept = left.length > 0 ? await read(store, position.index + 1, 99) : [];
        expect(kept.map(({ index }) => String(index))).toEqual(left);
        expect(store.stats()).toMatchObject({ lastIndex: next - 1, durableIndex: next - 1 });
        let again = await reopen();
        expect(restoredFacts(again)).toEqual(ModelLog.after(changes).facts());
        expect(again.restored.hardState).toEqual(vote);

        const more = write(entries(next, 3, 7));
        await append(again, more);
        again = await reopen();
        expect(restoredFacts(again)).toEqual(ModelLog.after([...changes, more]).facts());
      });
    });
  }

  test('a snapshot from before the start of the log changes nothing', async () => {
    await withStore(make, async (store, reopen) => {
      const changes = [write(entries(1, 6, 1)), { compactTo: { index: 4, term: 1 } }];
      for (const change of [...changes, { resetTo: { index: 2, term: 9 } }]) {
        await submitted(store, change);
      }
      expect(restoredFacts(await reopen())).toEqual(ModelLog.after(changes).facts());
    });
  });

  test('writes and resets that wait together are done in their order', async () => {
    await withStore(make, async (store, reopen) => {
      const changes = [
        write(entries(1, 5, 1)),
        { resetTo: { index: 9, term: 2 } },
        write(entries(10, 3, 2)),
        { resetTo: { index: 11, term: 2 } },
        write(entries(12, 2, 3)),
        { resetTo: { index: 13, term: 9 } },
        write(entries(14, 2, 9)),
      ];
      const pending = changes.map((change) => submitted(store, change));
      const model = ModelLog.after(changes);
      expect(store.stats().lastIndex).toBe(15);
      expect(await read(store, 13, 15)).toEqual([]);
      expect(plain(await read(store, 14, 99))).toEqual(plain(model.log));
      await Promise.all(pending);
      expect(restoredFacts(await reopen())).toEqual(model.facts());
    });
  });
}

function describeProperties(make: Make): void {
  test('any life of appends, cuts, compactions, resets, reads and restarts leaves what the model says', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (list) => {
        await withStore(make, async (first, reopen) => {
          const life = new Life();
          let store = first;
          let pending: Promise<void>[] = [];
          for (const step of list) {
            if (step.type === 'compact') await Promise.all(pending);
            const what = life.toWrite(step) ?? toChange(step, life);
            if (what !== null) {
              life.model.apply(what);
              pending.push(submitted(store, what));
            } else if (step.type === 'read') {
              const from = step.at + 1;
              const to = from + step.length;
              const { log, start } = life.model;
              const isThere = from > start.index;
              const expected = log.filter((e) => isThere && e.index >= from && e.index <= to);
              expect(plain(await read(store, from, to))).toEqual(plain(expected));
            } else if (step.type === 'settle') {
              await Promise.all(pending);
              pending = [];
              expect(store.stats().durableIndex).toBe(life.model.lastIndex);
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
