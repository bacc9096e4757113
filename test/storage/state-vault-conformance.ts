import { describe, expect, test } from 'vitest';
import type { Failpoints } from '../../src/base/failpoints.js';
import type { SnapshotChunk } from '../../src/base/snapshot-codec.js';
import type { StateImport, StateVault } from '../../src/storage/snapshot.js';
import {
  applyAll,
  bytes,
  chunksOf,
  contents,
  fill,
  headerOf,
  pairsOf,
  put,
  texts,
  viewed,
} from './snapshot-helpers.js';

/** One place for a vault. */
export interface StateVaultHarness {
  open(failpoints?: Failpoints): Promise<StateVault>;
  /** The process ends there and then; the next {@link open} finds what is on disk. */
  kill(vault: StateVault): Promise<void>;
  dispose(): Promise<void>;
}

type Make = () => StateVaultHarness;

async function withVault(
  make: Make,
  body: (vault: StateVault, harness: StateVaultHarness) => Promise<unknown>,
): Promise<void> {
  const harness = make();
  try {
    await body(await harness.open(), harness);
  } finally {
    await harness.dispose();
  }
}

/** What every {@link StateVault} does. */
export function describeStateVault(name: string, make: Make): void {
  describe(`${name} as a state vault`, () => {
    describeViews(make);
    describeImports(make);
    describeSwitches(make);
    describeCrashes(make);
  });
}

function describeViews(make: Make): void {
  test('a view is the state after an entry that is on disk, and stays while the state goes on', async () => {
    await withVault(make, async (vault) => {
      const store = vault.current;
      await applyAll(store, 1, [put('a', '1'), put('b', '1')]);
      await applyAll(store, 2, [put('b', '2'), put('c', '')]);
      const view = await store.view();
      await applyAll(store, 3, [{ key: bytes('a'), value: null }, put('d', '3')]);
      expect(view.index).toBe(2);
      expect(await viewed(view)).toEqual(['a=1', 'b=2', 'c=']);
      expect(Buffer.from(view.get(bytes('a')) ?? []).toString()).toBe('1');
      expect(view.get(bytes('d'))).toBeUndefined();
      expect(await contents(store)).toEqual(['b=2', 'c=', 'd=3']);
      await view.close();
      await vault.close();
    });
  });

  test('a view of what is not yet on disk does not show it', async () => {
    await withVault(make, async (vault) => {
      await applyAll(vault.current, 1, [put('a', '1')]);
      vault.current.apply(2, [put('a', '2')]);
      const view = await vault.current.view();
      expect(view.index).toBe(1);
      expect(await viewed(view)).toEqual(['a=1']);
      await view.close();
      await vault.close();
    });
  });

  test('a view of an empty state is empty, at index 0', async () => {
    await withVault(make, async (vault) => {
      const view = await vault.current.view();
      expect(view.index).toBe(0);
      expect(await view.next(null, 1000)).toEqual([]);
      await view.close();
      await vault.close();
    });
  });

  test('a view is read from any key on, in pages of at least one pair', async () => {
    await withVault(make, async (vault) => {
      const pairs = pairsOf('k', 700);
      const writes = pairs.map(([key, value]) => ({ key, value }));
      await applyAll(vault.current, 1, writes);
      const view = await vault.current.view();
      expect(await viewed(view, 500)).toEqual(texts(pairs));
      expect(await view.next(null, 1)).toHaveLength(1);
      const behind = await view.next(bytes('k000349'), 100);
      expect(texts(behind)).toEqual(texts(pairs.slice(350, 350 + behind.length)));
      expect(texts(await view.next(bytes('k000349x'), 1))).toEqual(texts(pairs.slice(350, 351)));
      expect(await view.next(bytes('k000699'), 100)).toEqual([]);
      expect(await view.next(bytes('zzz'), 100)).toEqual([]);
      await view.close();
      await vault.close();
    });
  });

  test('reads of a view that overlap give each its own page', async () => {
    await withVault(make, async (vault) => {
      const pairs = pairsOf('k', 3000);
      const writes = pairs.map(([key, value]) => ({ key, value }));
      await applyAll(vault.current, 1, writes);
      const view = await vault.current.view();
      const whole = pairs.length * 100;
      await view.next(null, 1000);
      const pages = [bytes('k000099'), bytes('k000099'), null, bytes('k002000')].map((after) =>
        view.next(after, whole),
      );
      const firsts = [100, 100, 0, 2001];
      for (const [position, page] of (await Promise.all(pages)).entries()) {
        expect(texts(page)).toEqual(texts(pairs.slice(firsts[position])));
      }
      const last = view.next(null, whole);
      await view.close();
      expect(await last).toHaveLength(pairs.length);
      await vault.close();
    });
  });

  test('what is synced is known', async () => {
    await withVault(make, async (vault, harness) => {
      await applyAll(vault.current, 1, [put('a', '1')]);
      expect(vault.current.syncedIndex()).toBe(0);
      await vault.current.sync();
      expect(vault.current.syncedIndex()).toBe(1);
      await applyAll(vault.current, 2, [put('a', '2')]);
      expect(vault.current.syncedIndex()).toBe(1);
      await vault.close();
      const again = await harness.open();
      expect(again.current.restoredIndex).toBe(2);
      expect(again.current.syncedIndex()).toBe(2);
      await again.close();
    });
  });
}

function describeImports(make: Make): void {
  test('a snapshot becomes the state, whole, at its position', async () => {
    await withVault(make, async (vault, harness) => {
      await applyAll(vault.current, 5, [put('old', '1')]);
      expect(vault.installed).toBeNull();
      const pairs = pairsOf('n', 11);
      const incoming = await vault.beginImport(headerOf(40));
      await fill(incoming, pairs);
      expect(await contents(vault.current)).toEqual(['old=1']);
      const store = await vault.switchTo(incoming);
      expect(store).toBe(vault.current);
      expect(store.restoredIndex).toBe(40);
      expect(store.syncedIndex()).toBe(40);
      expect(vault.installed).toEqual({ index: 40, term: 3 });
      await applyAll(store, 41, [put('z', 'more')]);
      expect(await contents(store)).toEqual([...texts(pairs), 'z=more']);
      await vault.close();

      const again = await harness.open();
      expect(again.installed).toEqual({ index: 40, term: 3 });
      expect(again.current.restoredIndex).toBe(41);
      expect(await contents(again.current)).toEqual([...texts(pairs), 'z=more']);
      await again.close();
    });
  });

  test('the old state can be read until the new one is adopted, and no longer', async () => {
    await withVault(make, async (vault) => {
      const old = vault.current;
      await applyAll(old, 5, [put('old', '1')]);
      const incoming = await vault.beginImport(headerOf(9));
      await fill(incoming, pairsOf('n', 2));
      const seen: unknown[] = [];
      const store = await vault.switchTo(incoming, async (adopted) => {
        expect(adopted).toBe(vault.current);
        seen.push(await contents(old), Buffer.from(old.get(Buffer.from('old')) ?? '').toString());
        seen.push(await contents(adopted));
      });
      expect(seen).toEqual([['old=1'], '1', texts(pairsOf('n', 2))]);
      expect(() => old.get(Buffer.from('no such key'))).toThrow(/is closed/);
      await expect(contents(old)).rejects.toThrow(/is closed/);
      expect(await contents(store)).toEqual(texts(pairsOf('n', 2)));
      await vault.close();
    });
  });

  test('an empty snapshot is one, too', async () => {
    await withVault(make, async (vault) => {
      await applyAll(vault.current, 5, [put('old', '1')]);
      const incoming = await vault.beginImport(headerOf(9));
      await fill(incoming, []);
      const store = await vault.switchTo(incoming);
      expect(store.restoredIndex).toBe(9);
      expect(await contents(store)).toEqual([]);
      await vault.close();
    });
  });

  test('an import goes on with the same snapshot where it is', async () => {
    await withVault(make, async (vault) => {
      const pairs = pairsOf('n', 9);
      const { chunks, end } = chunksOf(pairs);
      const first = await vault.beginImport(headerOf(40));
      await first.write(chunks[0] as SnapshotChunk);
      await first.write(chunks[1] as SnapshotChunk);
      const second = await vault.beginImport(headerOf(40));
      expect(second.chunks).toBe(2);
      for (const chunk of chunks.slice(2)) await second.write(chunk);
      await second.finish(end);
      // The answer to the end was lost: it comes again.
      const third = await vault.beginImport(headerOf(40));
      expect(third.chunks).toBe(chunks.length);
      await third.finish(end);
      expect(await contents(await vault.switchTo(third))).toEqual(texts(pairs));
      await vault.close();
    });
  });

  test('another snapshot begins anew, and ends the import under way', async () => {
    await withVault(make, async (vault) => {
      const { chunks } = chunksOf(pairsOf('n', 9));
      const first = await vault.beginImport(headerOf(40));
      await first.write(chunks[0] as SnapshotChunk);
      const second = await vault.beginImport(headerOf(50));
      expect(second.chunks).toBe(0);
      await expect(first.write(chunks[1] as SnapshotChunk)).rejects.toMatchObject({
        code: 'SHUTTING_DOWN',
      });
      await fill(second, pairsOf('m', 3));
      expect(await contents(await vault.switchTo(second))).toEqual(texts(pairsOf('m', 3)));
      await vault.close();
    });
  });

  test('an import that was given up leaves nothing, and another can begin', async () => {
    await withVault(make, async (vault) => {
      const first = await vault.beginImport(headerOf(40));
      await first.write(chunksOf(pairsOf('n', 2)).chunks[0] as SnapshotChunk);
      await first.abandon();
      const second = await vault.beginImport(headerOf(40, 'another'));
      await second.write(chunksOf(pairsOf('m', 2)).chunks[0] as SnapshotChunk);
      await second.abandon();
      // Its sender may not have heard of that.
      const third = await vault.beginImport(headerOf(40, 'another'));
      expect(third.chunks).toBe(0);
      await fill(third, pairsOf('m', 3));
      expect(await contents(await vault.switchTo(third))).toEqual(texts(pairsOf('m', 3)));
      await vault.close();
    });
  });

  const wrong: [string, (target: StateImport) => Promise<void>][] = [
    [
      'a chunk is missing',
      async (target) => target.write(chunksOf(pairsOf('n', 9)).chunks[1] as SnapshotChunk),
    ],
    [
      'a chunk comes twice',
      async (target) => {
        const [chunk] = chunksOf(pairsOf('n', 9)).chunks;
        await target.write(chunk as SnapshotChunk);
        await target.write(chunk as SnapshotChunk);
      },
    ],
    [
      'a bit of a chunk is flipped',
      async (target) => {
        const [chunk] = chunksOf(pairsOf('n', 9)).chunks as [SnapshotChunk];
        const pairs = Buffer.from(chunk.pairs);
        pairs.writeUInt8(pairs.readUInt8(20) ^ 4, 20);
        await target.write({ ...chunk, pairs });
      },
    ],
    [
      'the end comes too early',
      async (target) => {
        const { chunks, end } = chunksOf(pairsOf('n', 9));
        for (const chunk of chunks.slice(0, -1)) await target.write(chunk);
        await target.finish(end);
      },
    ],
    [
      'the end states other sums',
      async (target) => {
        const { chunks, end } = chunksOf(pairsOf('n', 9));
        for (const chunk of chunks) await target.write(chunk);
        await target.finish({ ...end, keys: end.keys + 1 });
      },
    ],
    ['keys are not in order', async (target) => fill(target, pairsOf('n', 9).reverse())],
    ['a key is one of ours', async (target) => fill(target, [[Buffer.of(0, 1), bytes('x')]])],
  ];
  for (const [title, act] of wrong) {
    test(`a snapshot in which ${title} is refused, and the state stays`, async () => {
      await withVault(make, async (vault, harness) => {
        await applyAll(vault.current, 5, [put('old', '1')]);
        const incoming = await vault.beginImport(headerOf(40));
        await expect(act(incoming)).rejects.toMatchObject({ code: 'SNAPSHOT_CORRUPT' });
        expect(await contents(vault.current)).toEqual(['old=1']);
        await expect(vault.switchTo(incoming)).rejects.toMatchObject({ code: 'INVARIANT' });
        await vault.close();
        const again = await harness.open();
        expect(again.installed).toBeNull();
        expect(await contents(again.current)).toEqual(['old=1']);
        await again.close();
      });
    });
  }

  test('what is written at once is taken in one by one', async () => {
    await withVault(make, async (vault) => {
      const pairs = pairsOf('n', 40);
      const { chunks, end } = chunksOf(pairs);
      const incoming = await vault.beginImport(headerOf(40));
      await Promise.all([...chunks.map((chunk) => incoming.write(chunk)), incoming.finish(end)]);
      expect(await contents(await vault.switchTo(incoming))).toEqual(texts(pairs));
      await vault.close();
    });
  });
}

function describeSwitches(make: Make): void {
  test('one snapshot after the other is installed', async () => {
    await withVault(make, async (vault, harness) => {
      for (const index of [10, 20, 30]) {
        const incoming = await vault.beginImport(headerOf(index));
        await fill(incoming, pairsOf(`at ${index} `, 3));
        await vault.switchTo(incoming);
      }
      await vault.close();
      const again = await harness.open();
      expect(again.installed?.index).toBe(30);
      expect(await contents(again.current)).toEqual(texts(pairsOf('at 30 ', 3)));
      await again.close();
    });
  });

  test('the state that was replaced takes nothing more', async () => {
    await withVault(make, async (vault) => {
      const old = vault.current;
      old.apply(1, [put('a', '1')]);
      const incoming = await vault.beginImport(headerOf(40));
      await fill(incoming, pairsOf('n', 3));
      await vault.switchTo(incoming);
      expect(() => old.apply(2, [])).toThrow(/store that closes/);
      await vault.close();
    });
  });
}

/** Stands for the end of the process at a failpoint. */
class Killed extends Error {}

const FAILPOINTS = [
  'snapshot.before-chunk',
  'snapshot.after-chunk',
  'snapshot.before-finish',
  'snapshot.after-finish',
  'snapshot.before-switch',
  'snapshot.after-switch',
];

function describeCrashes(make: Make): void {
  for (const name of FAILPOINTS) {
    test(`a crash at ${name} leaves the old state or the new one, whole`, async () => {
      await withVault(make, async (unused, harness) => {
        await unused.close();
        const failpoints = {
          hit(point: string): void {
            if (point === name) throw new Killed();
          },
        };
        const vault = await harness.open(failpoints);
        await applyAll(vault.current, 5, [put('old', '1')]);
        const pairs = pairsOf('n', 9);
        const work = async (): Promise<void> => {
          const incoming = await vault.beginImport(headerOf(40));
          await fill(incoming, pairs);
          await vault.switchTo(incoming);
        };
        await expect(work()).rejects.toThrow();
        await harness.kill(vault);

        const again = await harness.open();
        const isNew = name === 'snapshot.after-switch';
        expect(again.current.restoredIndex).toBe(isNew ? 40 : 5);
        expect(again.installed).toEqual(isNew ? { index: 40, term: 3 } : null);
        expect(await contents(again.current)).toEqual(isNew ? texts(pairs) : ['old=1']);

        // What the crash left does not disturb the next import.
        const incoming = await again.beginImport(headerOf(60));
        expect(incoming.chunks).toBe(0);
        await fill(incoming, pairsOf('m', 4));
        expect(await contents(await again.switchTo(incoming))).toEqual(texts(pairsOf('m', 4)));
        await again.close();
      });
    });
  }

  test('an import does not survive the end of the process', async () => {
    await withVault(make, async (vault, harness) => {
      const { chunks } = chunksOf(pairsOf('n', 9));
      await (await vault.beginImport(headerOf(40))).write(chunks[0] as SnapshotChunk);
      await vault.close();
      const again = await harness.open();
      expect((await again.beginImport(headerOf(40))).chunks).toBe(0);
      await again.close();
    });
  });
}
