import { describe, expect, test } from 'vitest';
import { Compaction } from '../../src/statemachine/compaction.js';
import { toValueRecordKey } from '../../src/statemachine/layout.js';
import { NOWHERE } from '../../src/statemachine/position.js';
import { encodeValueRecord } from '../../src/statemachine/value-record.js';
import { compact, delRange, putWith, sayAll, txn } from './operations.js';
import { bytes, del, put, Replica, readAll } from './replica.js';

const settings = (change: object) => ({ type: 'settings' as const, change });

/** Sweeps slice by slice, until nothing is left to do. */
async function sweep(replica: Replica, records = 3): Promise<number> {
  let slices = 0;
  while (replica.machine.sweptRevision < replica.machine.compactedRevision) {
    await replica.system(0, { type: 'sweep', records });
    slices += 1;
    if (slices > 1000) throw new Error('the sweep does not end');
  }
  return slices;
}

function kept(replica: Replica): { values: number; keys: number } {
  const count = (prefix: string) =>
    replica.store.keys().filter((key) => key.startsWith(prefix)).length;
  return { values: count('r'), keys: count('k') };
}

/** Bytes of keys and values of all records of the history, as the store has them. */
async function bytesKept(replica: Replica): Promise<number> {
  const oldest = replica.machine.compactedRevision;
  const all = replica.store.pairs().filter(([key]) => key.startsWith('r'));
  const heads = 1 + 20 + 24 + 8;
  expect(oldest).toBeLessThanOrEqual(replica.machine.revision);
  return all.reduce((sum, [, value]) => sum + value.length - heads, 0);
}

describe('compaction', () => {
  test('refuses reads before its revision at once, and serves those from it on', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'), put('a', '2'), put('a', '3'));
    expect(sayAll(await replica.do(compact(2)))).toEqual(['done@3']);
    const { machine } = replica;
    expect([machine.compactedRevision, machine.sweptRevision]).toEqual([2, 0]);
    expect(() => machine.get(bytes('a'), 1)).toThrow(
      expect.objectContaining({ code: 'COMPACTED', details: { revision: 1, oldest: 2 } }),
    );
    await expect(replica.items({ revision: 1 })).rejects.toThrow(/no longer kept/);
    expect(machine.get(bytes('a'), 2)?.value).toEqual(bytes('2'));
  });

  test('of the future and of what is compacted is refused', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'), put('a', '2'));
    const said = await replica.do(compact(3), compact(1), compact(1), compact(2), compact(1));
    const again = 'COMPACTED';
    expect(sayAll(said)).toEqual(['FUTURE_REVISION', 'done@2', again, 'done@2', again]);
  });

  test('that the leader asks for does what it can and is never an error', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'), put('a', '2'));
    for (const revision of [3, 1, 0]) await replica.system(0, { type: 'compact', revision });
    expect(replica.machine.compactedRevision).toBe(1);
  });

  test('is part of the state: it is there after a restart', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'), put('a', '2'), put('a', '3'));
    await replica.do(compact(3));
    await replica.system(0, { type: 'sweep', records: 2 });
    const { stateHash } = replica.machine;
    for (const index of [1, 2, 3]) {
      await replica.restart(index);
      expect(replica.machine.compactedRevision).toBe(3);
      expect(replica.machine.stateHash).toBe(stateHash);
    }
    await sweep(replica);
    expect(kept(replica).values).toBe(1);
  });
});

describe('the sweep', () => {
  test('goes on behind a revision that has used up all numbers of its writes', () => {
    const last = { revision: 7, sub: 0xffff };
    const from = { revision: 7, sub: 0xfff0 };
    const record = { compactedRevision: 9, sweepCursor: from, sweptTo: from };
    const compaction = new Compaction(record);
    const value = encodeValueRecord({
      ...{ type: 'put', previous: NOWHERE, skip: NOWHERE, createRevision: 7, version: 1 },
      ...{ lease: 0, previousBytes: 0, key: bytes('k'), value: bytes('v') },
    });
    const page = { pairs: [[toValueRecordKey(last), value]] as const, more: true };
    compaction.sweep(page, 9, {} as never);
    for (const next of [compaction, new Compaction(compaction.toRecord())]) {
      const at = toValueRecordKey(next.sweepFrom(false));
      expect(Buffer.compare(at, toValueRecordKey(last))).toBe(1);
      expect(Buffer.compare(at, toValueRecordKey({ revision: 8, sub: 0 }))).toBeLessThanOrEqual(0);
    }
  });

  test('removes what was replaced and what was deleted, and nothing that can be read', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'), put('b', '1'), put('a', '2'), del('b'), put('c', '1'));
    await replica.do(put('a', '3'));
    await replica.do(compact(5));
    expect(kept(replica)).toEqual({ values: 6, keys: 3 });
    await sweep(replica);
    // a at 3 and at 6, c at 5; nothing of b.
    expect(kept(replica)).toEqual({ values: 3, keys: 2 });
    expect(await replica.items({ revision: 5 })).toEqual(['a=2', 'c=1']);
    expect(await replica.items()).toEqual(['a=3', 'c=1']);
  });

  test('keeps a deletion at the compacted revision for watches, until the next compaction', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'), del('a'), put('b', ''));
    await replica.do(compact(2));
    await sweep(replica);
    expect(kept(replica)).toEqual({ values: 2, keys: 2 });
    const events = async () =>
      (await replica.machine.history({ fromRevision: 2, eventsMax: 9, bytesMax: 999 })).events;
    expect((await events()).map(({ type, revision }) => `${type}@${revision}`)).toEqual([
      'delete@2',
      'put@3',
    ]);
    expect(replica.machine.get(bytes('a'), 2)).toBeNull();
    await replica.do(compact(3));
    await sweep(replica);
    expect(kept(replica)).toEqual({ values: 1, keys: 1 });
  });

  test('does so also when the compactions follow each other within the revision, and in one command', async () => {
    const replica = await Replica.start();
    await replica.do(...['a', 'b', 'c', 'd'].map((key) => put(key, '1')));
    await replica.do(delRange('a', 'd'), put('e', ''));
    await replica.do(compact(5));
    // In the middle of the deletions at revision 5.
    await replica.system(0, { type: 'sweep', records: 6 });
    await replica.system(0, { type: 'compact', revision: 6 }, { type: 'sweep', records: 2 });
    await sweep(replica, 1);
    expect(kept(replica)).toEqual({ values: 2, keys: 2 });
    expect(await replica.items()).toEqual(['d=1', 'e=']);
    expect(replica.machine.info().spaceBytes).toBe('d1e'.length);
  });

  test('of everything after it was deleted leaves nothing but the last deletions', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '12345'), put('b', '12345'), put('a', '1'));
    await replica.do(delRange('a', null));
    await replica.do(compact(4));
    await sweep(replica, 1);
    expect(replica.machine.info().spaceBytes).toBe(2);
    expect(kept(replica).values).toBe(2);
  });

  test('removes a key that was deleted and made again only in its former life', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'), del('a'), put('a', '2'), del('a'), put('a', '3'));
    await replica.do(compact(5));
    await sweep(replica, 2);
    expect(kept(replica)).toEqual({ values: 1, keys: 1 });
    await replica.do(put('a', '4'), del('a'), put('a', '5'));
    expect(replica.machine.get(bytes('a'), 6)).toMatchObject({ value: bytes('4'), version: 2 });
    expect(replica.machine.get(bytes('a'), 7)).toBeNull();
  });

  test('looks at no more records than it is told, and at none behind the compacted revision', async () => {
    const replica = await Replica.start();
    for (let n = 0; n < 30; n += 1) await replica.do(put('a', `${n}`));
    await replica.do(compact(20));
    expect(await sweep(replica, 5)).toBe(5);
    expect(kept(replica).values).toBe(11);
    expect(replica.machine.sweptRevision).toBe(20);
    await replica.system(0, { type: 'sweep', records: 100 });
    expect(kept(replica).values).toBe(11);
  });

  test('spares what the same entry writes before it', async () => {
    const replica = await Replica.start();
    await replica.do({ type: 'lease-grant', lease: 1, ttlMs: 1000 });
    await replica.do(putWith('a', '1', { lease: 1 }), put('b', '1'), put('b', '2'));
    await replica.system(
      5000,
      { type: 'expire', leases: [1] },
      { type: 'compact', revision: 4 },
      { type: 'sweep', records: 50 },
    );
    expect(replica.machine.compactedRevision).toBe(4);
    await sweep(replica, 50);
    expect(kept(replica)).toEqual({ values: 2, keys: 2 });
    expect(replica.machine.info().spaceBytes).toBe('b2a'.length);
  });

  test.each([1, 2, 7, 1000])(
    'in slices of %i keeps every revision as it was, and counts each byte',
    async (records) => {
      const replica = await Replica.start();
      let seed = records;
      const next = (max: number): number => {
        seed = (seed * 48_271) % 2_147_483_647;
        return seed % max;
      };
      const key = () => 'abcdefgh'.charAt(next(8)).repeat(1 + next(2));
      const expected = new Map<number, unknown>();
      for (let round = 0; round < 150; round += 1) {
        const steps = [...new Set([key(), key(), key()])].map((one) =>
          next(3) === 0
            ? { type: 'delete' as const, key: bytes(one) }
            : putWith(one, 'v'.repeat(next(9))),
        );
        await replica.do(next(2) === 0 ? txn([], steps) : (steps[0] ?? put('a', '')));
        const { revision, compactedRevision } = replica.machine;
        expected.set(revision, await readAll(replica.machine, { revision }));
        if (next(4) === 0) {
          await replica.do(compact(compactedRevision + next(revision - compactedRevision + 1)));
        }
        if (next(2) === 0) await replica.system(0, { type: 'sweep', records });
        if (next(20) === 0) await sweep(replica, records);
        if (next(15) === 0) await replica.restart(Math.max(0, replica.log.length - next(9)));
      }
      for (let at = replica.machine.compactedRevision; at <= replica.machine.revision; at += 1) {
        const found = await readAll(replica.machine, { revision: at });
        if (expected.has(at)) expect(found).toEqual(expected.get(at));
      }
      expect(await bytesKept(replica)).toBe(replica.machine.info().spaceBytes);
      await replica.do(put('last', ''));
      await replica.do(compact(replica.machine.revision));
      await sweep(replica, records);
      const live = await readAll(replica.machine, {});
      expect(kept(replica)).toEqual({ values: live.length, keys: live.length });
      expect(await bytesKept(replica)).toBe(replica.machine.info().spaceBytes);
    },
  );
});

describe('a compaction while something is read', () => {
  test('ends a page at a revision that is no longer kept, and lets one of the latest begin anew', async () => {
    const replica = await Replica.start();
    const keys = Array.from({ length: 1500 }, (_, n) => `k${String(n).padStart(4, '0')}`);
    await replica.do(...keys.map((key) => put(key, 'old')));
    const at = replica.items({ revision: 1500, keysMax: 5000 });
    const refused = expect(at).rejects.toThrow(/no longer kept/);
    const latest = replica.items({ keysMax: 5000 });
    await replica.do(delRange('k1400', null), put('k1400', 'new'));
    await replica.do(compact(replica.machine.revision));
    await sweep(replica, 100_000);
    await refused;
    const found = await latest;
    expect(found).toHaveLength(1401);
    expect(found.at(-1)).toBe('k1400=new');
  });

  test('ends a reading of the history that it overtakes', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'), put('a', '2'), put('a', '3'));
    const reading = replica.machine.history({ fromRevision: 1, eventsMax: 9, bytesMax: 99 });
    const refused = expect(reading).rejects.toThrow(expect.objectContaining({ code: 'COMPACTED' }));
    replica.command([]);
    await replica.do(compact(3));
    await refused;
  });
});

describe('compaction by itself', () => {
  test('is not wanted unless the settings say so', async () => {
    const replica = await Replica.start();
    await replica.doAt(0, put('a', '1'));
    expect(replica.machine.revisionToKeep(1e12)).toBeNull();
  });

  test('by number keeps so many revisions behind the latest', async () => {
    const replica = await Replica.start();
    await replica.do(settings({ historyRevisions: 3 }));
    for (let n = 1; n <= 5; n += 1) await replica.do(put('a', `${n}`));
    expect(replica.machine.revisionToKeep(0)).toBe(2);
    await replica.do(compact(2));
    expect(replica.machine.revisionToKeep(0)).toBeNull();
  });

  test('by age keeps what was there at most that long ago, as exactly as its marks stand', async () => {
    const replica = await Replica.start();
    await replica.doAt(0, settings({ historyMs: 3200 }));
    // One revision every 10 ms; a mark at least every 100 ms.
    for (let n = 1; n <= 1000; n += 1) await replica.doAt(n * 10, put('a', `${n}`));
    const now = 10_000;
    const wanted = replica.machine.revisionToKeep(now) ?? 0;
    const exact = (now - 3200) / 10;
    expect(wanted).toBeLessThanOrEqual(exact);
    expect(wanted).toBeGreaterThan(exact - 15);
    await replica.restart();
    expect(replica.machine.revisionToKeep(now)).toBe(wanted);
    // With no more writes all of it gets too old but the last state.
    expect(replica.machine.revisionToKeep(now + 10_000)).toBeGreaterThan(980);
  });

  test('remembers a bounded number of times, also when the age is raised', async () => {
    const replica = await Replica.start();
    const marks = () => replica.store.pairs().find(([key]) => key === 'mmarks')?.[1].length ?? 0;
    for (const [start, historyMs] of [
      [0, 100],
      [1000, 1000],
      [2000, 10_000],
    ] as const) {
      await replica.doAt(start, settings({ historyMs }));
      for (let n = 1; n < 1000; n += 1) replica.command([], start + n);
      expect(marks()).toBeGreaterThan(16);
      expect(marks()).toBeLessThanOrEqual(1 + 16 * 35);
    }
    await replica.doAt(9000, settings({ historyMs: 0 }));
    expect(marks()).toBe(0);
  });
});
