import { describe, expect, test } from 'vitest';
import { Cell } from '../../src/base/cell.js';
import {
  AP_PASTS,
  CALL_TAGS,
  MERGE_COMMANDS,
  MERGED_KEYS_BY_KIND,
} from '../../src/base/command-versions.js';
import { type CellChange, type CellWrite, callNameOf, type Delta } from '../../src/base/delta.js';
import { packDelta } from '../../src/base/delta-codec.js';
import type { StateMachineOptions } from '../../src/statemachine/state-machine.js';
import type { MergeCommand, OriginReport } from '../../src/statemachine/types.js';
import { bytes, del, put, Replica } from './replica.js';

/** Deltas of several origins, as a leader brings them. */

const A = 'a'.repeat(16);
const B = 'b'.repeat(16);
const MEMBERS = ['n1.1', 'n2.1'];
const DAY_MS = 24 * 3_600_000;

function delta(
  origin: string,
  sequence: number,
  writes: readonly (readonly [key: string, change: CellChange])[],
  more: Partial<Omit<Delta, 'key'>> & { readonly key?: string } = {},
): Delta {
  const { key = `${origin}:${sequence}`, ...rest } = more;
  return {
    ...{ origin, sequence, timeMs: 1000 + sequence, count: 0, isNamed: false },
    ...{ key: bytes(key), fingerprint: bytes('12345678'), procedure: 'p', hash: 'ab'.repeat(32) },
    writes: writes.map(([cell, change]): CellWrite => ({ key: cell, change })),
    ...{ result: JSON.stringify(`of ${key}`), ...rest },
  };
}

const add = (by = 1): CellChange => ({ cell: 'counter', type: 'add', by });
const escrow = (type: 'add' | 'take', by: number): CellChange => ({ cell: 'escrow', type, by });

/** One add to the counter `n`. */
function one(origin: string, sequence: number, more: Parameters<typeof delta>[3] = {}): Delta {
  return delta(origin, sequence, [['n', add()]], more);
}

function report(origin: string, member: string, sequence = 0, timeMs = 0): OriginReport {
  return { origin, member, sequence, timeMs };
}

/** @returns what is answered: `merged`, or a code */
async function merge(
  replica: Replica,
  deltas: readonly (Delta | Uint8Array)[],
  more: Partial<Omit<MergeCommand, 'deltas'>> = {},
  version = CALL_TAGS,
): Promise<string> {
  const packed = deltas.map((d) => (d instanceof Uint8Array ? d : packDelta(d)));
  const command = { members: MEMBERS, reports: [], ...more, deltas: packed };
  const [answer] = await replica.run({ merge: command }, version);
  if (answer === undefined) return 'none';
  return answer.ok ? 'merged' : `${answer.error.code} ${answer.error.outcome}`;
}

function view(replica: Replica, key: string): unknown {
  const found = replica.machine.get(bytes(`_cells/${key}`), null);
  return found === null ? null : JSON.parse(Cell.decode(found.value)?.view() ?? '"no cell"');
}

function through(replica: Replica): Record<string, number> {
  return Object.fromEntries(replica.machine.origins().map((o) => [o.origin[0], o.sequence]));
}

/** What is remembered. */
function kept(replica: Replica): number {
  const keys = replica.store.keys();
  expect(keys.filter((key) => key.startsWith('d'))).toHaveLength(replica.machine.merges.size);
  return replica.machine.merges.size;
}

describe('deltas', () => {
  test('of one origin are merged in order, each once, however often and by whom they are brought', async () => {
    const replica = await Replica.start();
    const all = [one(A, 1), one(A, 2), one(A, 3)];
    expect(await merge(replica, [one(A, 2), one(A, 3)])).toBe('merged');
    expect([view(replica, 'n'), through(replica)]).toEqual([null, {}]);
    await merge(replica, [one(A, 1), one(A, 1), one(A, 3)]);
    expect([view(replica, 'n'), through(replica)]).toEqual([1, { a: 1 }]);
    await merge(replica, all);
    await merge(replica, all);
    expect([view(replica, 'n'), through(replica)]).toEqual([3, { a: 3 }]);
    await replica.restart();
    await merge(replica, [...all, one(A, 4)]);
    expect([view(replica, 'n'), through(replica)]).toEqual([4, { a: 4 }]);
  });

  test('of several origins are merged at one revision, and what changes nothing takes none', async () => {
    const replica = await Replica.start();
    await merge(replica, [
      delta(A, 1, [
        ['n', add(2)],
        ['m', add(-5)],
      ]),
      delta(B, 1, [['n', add(3)]]),
    ]);
    expect(replica.machine.revision).toBe(1);
    expect([view(replica, 'n'), view(replica, 'm')]).toEqual([5, -5]);
    expect((await replica.items()).map((item) => item.split('=')[0])).toEqual([
      ...['_cells/m', '_cells/n'],
    ]);
    await merge(replica, [one(A, 1)], { reports: [report(A, 'n1.1')] });
    expect(replica.machine.revision).toBe(1);
  });

  test('that cannot be read are left out, and nobody else is disturbed', async () => {
    const replica = await Replica.start();
    expect(await merge(replica, [bytes('what'), one(A, 1)])).toBe('merged');
    expect([view(replica, 'n'), through(replica)]).toEqual([1, { a: 1 }]);
  });

  test('do not change a cell of another type, and go on all the same', async () => {
    const replica = await Replica.start();
    const append: CellChange = { cell: 'log', type: 'append', value: '1' };
    await merge(replica, [one(A, 1), delta(B, 1, [['n', append]]), one(B, 2)]);
    expect([view(replica, 'n'), through(replica)]).toEqual([2, { a: 1, b: 2 }]);
  });

  test('begin anew where a cell was deleted, also one that had become something else', async () => {
    const replica = await Replica.start();
    await merge(replica, [one(A, 1)]);
    await replica.do(del('_cells/n'));
    await merge(replica, [one(A, 2)]);
    expect(view(replica, 'n')).toBe(1);
    await replica.do(put('_cells/n', 'no cell'));
    await merge(replica, [one(A, 3)]);
    expect(view(replica, 'n')).toBe(1);
  });

  test('wait when the store is full: all of them, and nothing is counted before', async () => {
    const replica = await Replica.start();
    await merge(replica, [one(A, 1)]);
    await replica.do({ type: 'settings', change: { spaceQuotaBytes: 1 } });
    expect(await merge(replica, [one(A, 2), one(B, 1)])).toBe('NO_SPACE not-applied');
    expect([view(replica, 'n'), through(replica), kept(replica)]).toEqual([1, { a: 1 }, 1]);
    await replica.do({ type: 'settings', change: { spaceQuotaBytes: 0 } });
    await merge(replica, [one(A, 2), one(B, 1)]);
    expect([view(replica, 'n'), through(replica), kept(replica)]).toEqual([3, { a: 2, b: 1 }, 3]);
  });
});

describe('a call that was made at several replicas', () => {
  test('counts once: the first one that is merged', async () => {
    const replica = await Replica.start();
    const key = 'same';
    await merge(replica, [one(A, 1, { key, result: '1' }), one(B, 1, { key, result: '2' })]);
    await merge(replica, [one(A, 2, { key, result: '3' }), one(B, 2)]);
    expect([view(replica, 'n'), through(replica)]).toEqual([2, { a: 2, b: 2 }]);
    const merged = replica.machine.mergedCall(bytes(key));
    expect(merged).toMatchObject({ origin: A, sequence: 1, result: '1', revision: 1 });
    expect(replica.machine.mergedCall(bytes('another'))).toBeNull();
    await replica.restart();
    await merge(replica, [one(B, 3, { key })]);
    expect(view(replica, 'n')).toBe(2);
  });

  describe('and whose effect was removed by who had seen the other one', () => {
    const tag = (d: Delta, version: number): string => `${callNameOf(d, version)}:0`;
    const add = { cell: 'set', type: 'add', item: '"x"', observed: [] } as const;
    const here = delta(A, 1, [['s', add]], { key: 'same' });
    const there = delta(B, 1, [['s', add]], { key: 'same' });
    const left = async (version: number): Promise<unknown> => {
      const replica = await Replica.start();
      const observed = [tag(there, version)];
      const removal = delta(B, 2, [['s', { ...add, type: 'remove', observed }]]);
      await merge(replica, [here], {}, version);
      await merge(replica, [there, removal], {}, version);
      return view(replica, 's');
    };

    test('is removed', async () => {
      expect(await left(CALL_TAGS)).toEqual([]);
    });

    test('is not in entries of older versions, which mean what they did', async () => {
      expect(await left(MERGE_COMMANDS)).toEqual(['x']);
    });
  });

  test('is told to who listens: those that count, when they do', async () => {
    const replica = await Replica.start();
    const told: string[] = [];
    replica.machine.onCounted(({ origin, sequence }) => told.push(`${origin[0]}${sequence}`));
    await merge(replica, [one(A, 1, { key: 'k' }), one(B, 1, { key: 'k' }), one(A, 2)]);
    await merge(replica, [one(A, 2)]);
    expect(told).toEqual(['a1', 'a2']);
  });

  describe('is remembered', () => {
    const bounds: StateMachineOptions = {
      ...{ callKeptMs: 100, namedCallKeptMs: 1000, clockSkewMsMax: 50 },
    };
    const both = (timeMs: number, sequences: readonly [number, number] = [1, 0]) => [
      report(A, 'n1.1', sequences[0], timeMs),
      report(B, 'n2.1', sequences[1], timeMs),
    ];

    test('until all members have said that they have nothing older, and the clocks may differ', async () => {
      const replica = await Replica.start(bounds);
      await merge(replica, [one(A, 1, { timeMs: 1000 })], { reports: both(0) });
      await merge(replica, [], { reports: [report(A, 'n1.1', 1, 99_999)] });
      expect(kept(replica)).toBe(1);
      await merge(replica, [], { reports: both(1150) });
      expect(kept(replica)).toBe(1);
      await merge(replica, [], { reports: both(1151) });
      expect(kept(replica)).toBe(0);
      expect(replica.machine.mergedCall(bytes(`${A}:1`))).toBeNull();
      expect(replica.store.keys().filter((key) => /^[dD]/.test(key))).toEqual([]);
      // What is forgotten is known to be merged all the same.
      await merge(replica, [one(A, 1, { timeMs: 1000 })]);
      expect([view(replica, 'n'), through(replica)]).toEqual([1, { a: 1, b: 0 }]);
    });

    test('longer under a key of its caller', async () => {
      const replica = await Replica.start(bounds);
      await merge(replica, [one(A, 1, { timeMs: 1000, isNamed: true })], { reports: both(0) });
      await merge(replica, [], { reports: both(2050) });
      expect(kept(replica)).toBe(1);
      await replica.restart();
      await merge(replica, [], { reports: both(2051) });
      expect(kept(replica)).toBe(0);
    });

    describe('when its caller has named it', () => {
      const names = (replica: Replica): string[] =>
        ['named', 'old', 'new'].filter((key) => replica.machine.mergedCall(bytes(key)) !== null);

      /** One named call and two others, of which the named one is merged first: what is left at each of these times. */
      const left = async (versions: readonly [number, number, number]): Promise<string[][]> => {
        const replica = await Replica.start(bounds);
        const keys = ['named', 'old', 'new'];
        for (const [i, key] of keys.entries()) {
          const made = one(A, i + 1, { key, timeMs: 1000 + 100 * i, isNamed: key === 'named' });
          await merge(replica, [made], { reports: both(0, [0, 0]) }, versions[i]);
        }
        const found: string[][] = [];
        for (const timeMs of [1250, 1251, 1351, 2050, 2051]) {
          await replica.restart();
          await merge(replica, [], { reports: both(timeMs, [3, 0]) }, versions[2]);
          expect(kept(replica)).toBe(names(replica).length);
          found.push(names(replica));
        }
        const { stateHash } = replica.machine;
        await replica.restart(0);
        expect(replica.machine.stateHash).toBe(stateHash);
        return found;
      };

      test('others are forgotten all the same', async () => {
        const version = MERGED_KEYS_BY_KIND;
        expect(await left([version, version, version])).toEqual([
          ['named', 'old', 'new'],
          ['named', 'new'],
          ['named'],
          ['named'],
          [],
        ]);
      });

      test('they wait for it in entries of older versions, which mean what they did', async () => {
        const all = ['named', 'old', 'new'];
        expect(await left([CALL_TAGS, CALL_TAGS, CALL_TAGS])).toEqual([all, all, all, all, []]);
      });

      test('what entries of older versions have merged is forgotten in its order', async () => {
        const all = ['named', 'old', 'new'];
        const versions = [CALL_TAGS, CALL_TAGS, MERGED_KEYS_BY_KIND] as const;
        expect(await left(versions)).toEqual([all, all, all, all, []]);
      });
    });

    test('as long as a member has made what is not merged, or has not spoken at all', async () => {
      const replica = await Replica.start(bounds);
      await merge(replica, [one(A, 1)], { reports: [report(A, 'n1.1', 0, 0)] });
      await merge(replica, [], { reports: [report(A, 'n1.1', 1, DAY_MS)] });
      expect(kept(replica)).toBe(1);
      // Its second one is not here.
      await merge(replica, [], { reports: [report(B, 'n2.1', 2, DAY_MS)] });
      await merge(replica, [one(B, 1)]);
      expect(kept(replica)).toBe(2);
      await merge(replica, [one(B, 2)], { reports: [report(B, 'n2.1', 2, DAY_MS)] });
      await merge(replica, [], { reports: [report(A, 'n1.1', 1, DAY_MS)] });
      expect(kept(replica)).toBe(0);
    });

    test.each([
      [MERGED_KEYS_BY_KIND, 1],
      [CALL_TAGS, 2],
    ])(
      'when a member has a copy of something older than it said, in entries of version %i: counts %i',
      async (version, counted) => {
        const C = 'c'.repeat(16);
        const replica = await Replica.start(bounds);
        const say = (...reports: OriginReport[]) => merge(replica, [], { reports }, version);
        const named = { key: 'k', timeMs: 1000 };
        // Made at both sides of a partition; that of n1 is not merged.
        await merge(replica, [one(B, 1, named)], { reports: [report(A, 'n1.1')] }, version);
        await say(report(B, 'n2.1', 1, 5000));
        // Now n2 is sent a copy of it, and the queue of n1 is lost.
        await say(report(B, 'n2.1', 1, 999));
        await say(report(C, 'n1.1', 0, 5000));
        await merge(replica, [one(A, 1, named)], {}, version);
        expect(view(replica, 'n')).toBe(counted);
      },
    );

    test('some by some, and others come meanwhile, alike at one that is started anew each time', async () => {
      const replicas = [await Replica.start(bounds), await Replica.start(bounds)] as const;
      const seen: number[] = [];
      for (let n = 1; n <= 12; n += 1) {
        // From the seventh on, two are forgotten for each that comes.
        const reports = both(n < 7 ? 0 : (n - 6) * 2000 + 500, [n, 0]);
        for (const replica of replicas) {
          await merge(replica, [one(A, n, { timeMs: n * 1000 })], { reports });
        }
        await replicas[1].restart();
        expect(replicas[1].machine.stateHash).toBe(replicas[0].machine.stateHash);
        seen.push(kept(replicas[0]));
        expect(kept(replicas[1])).toBe(seen.at(-1));
      }
      expect(seen).toEqual([1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1, 1]);
    });

    test('of a member that is gone nobody waits; one that is new is waited for', async () => {
      const replica = await Replica.start(bounds);
      await merge(replica, [one(A, 1)], { reports: [report(A, 'n1.1', 1, DAY_MS)] });
      const { length } = MEMBERS;
      await merge(replica, [], { members: [...MEMBERS.slice(0, length - 1), 'n3.1'] });
      expect(kept(replica)).toBe(1);
      await merge(replica, [], { members: ['n1.1'] });
      expect(kept(replica)).toBe(0);
    });

    test('what a lost queue of a member said counts no more when it has another one', async () => {
      const replica = await Replica.start(bounds);
      const C = 'c'.repeat(16);
      await merge(replica, [one(A, 1)], { reports: both(DAY_MS, [99, 0]) });
      expect(kept(replica)).toBe(1);
      await merge(replica, [], { reports: [report(C, 'n1.1', 0, 0)] });
      expect(replica.machine.origins().map(({ origin, member }) => [origin[0], member])).toEqual([
        ...[
          ['a', ''],
          ['b', 'n2.1'],
          ['c', 'n1.1'],
        ],
      ]);
      await merge(replica, [], { reports: [report(C, 'n1.1', 0, DAY_MS)] });
      expect(kept(replica)).toBe(0);
      // Copies of what it had are merged all the same.
      await merge(replica, [one(A, 2)]);
      expect(view(replica, 'n')).toBe(2);
    });

    test('and no more are merged when that are too many', async () => {
      const replica = await Replica.start({ ...bounds, mergedKeysMax: 2 });
      await merge(replica, [one(A, 1), one(A, 2)], { reports: both(0) });
      expect(await merge(replica, [one(A, 3)])).toBe('MERGED_KEYS_FULL not-applied');
      expect([view(replica, 'n'), through(replica)]).toEqual([2, { a: 2, b: 0 }]);
      await merge(replica, [], { reports: both(DAY_MS, [2, 0]) });
      expect(await merge(replica, [one(A, 3)])).toBe('merged');
      expect(view(replica, 'n')).toBe(3);
    });

    test('and those of a member that is back are: it says that it has nothing older once they are merged', async () => {
      const given = async (reports: readonly OriginReport[], version = AP_PASTS) => {
        const replica = await Replica.start({ ...bounds, mergedKeysMax: 2 });
        await merge(replica, [one(A, 1), one(A, 2)], { reports: both(0) });
        const now = { timeMs: DAY_MS };
        const brought = [one(A, 3, now), one(B, 1, now), one(A, 4, now)];
        const answer = await merge(replica, brought, { reports }, version);
        return [answer, view(replica, 'n'), kept(replica)];
      };
      const refused = ['MERGED_KEYS_FULL not-applied', 2, 2];
      const [ofA, ofB] = both(DAY_MS, [4, 1]) as [OriginReport, OriginReport];
      // Those of the entry itself stay until the next one.
      expect(await given([ofA, ofB])).toEqual(['merged', 5, 3]);
      // There may be more in its queue.
      expect(await given([ofA, { ...ofB, sequence: 7 }])).toEqual(['merged', 5, 5]);
      expect(await given([ofA])).toEqual(refused);
      expect(await given([ofA, { ...ofB, timeMs: 1152 }])).toEqual(refused);
      expect(await given([ofA, { ...ofB, timeMs: 1153 }])).toEqual(['merged', 5, 3]);
      expect(await given([ofA, ofB], AP_PASTS - 1)).toEqual(refused);
    });

    test('and so are copies that the others wait with', async () => {
      const replica = await Replica.start({ ...bounds, mergedKeysMax: 2 });
      const late = [one(A, 1, { timeMs: 5000 }), one(A, 2, { timeMs: 5000 })];
      await merge(replica, late, { reports: [] }, AP_PASTS);
      // n1.1 has a copy, and says so.
      const said = [report(A, 'n1.1', 2, 1999), report(B, 'n2.1', 1, DAY_MS)];
      const copied = one(B, 1, { timeMs: 2000 });
      expect(await merge(replica, [copied], { reports: said }, AP_PASTS)).toBe('merged');
      const newer = [one(B, 1, { timeMs: 2001 })];
      const other = await Replica.start({ ...bounds, mergedKeysMax: 2 });
      await merge(other, late, { reports: [] }, AP_PASTS);
      const refused = 'MERGED_KEYS_FULL not-applied';
      expect(await merge(other, newer, { reports: said }, AP_PASTS)).toBe(refused);
    });

    test('and not more than twice as many, whoever is back', async () => {
      const replica = await Replica.start({ ...bounds, mergedKeysMax: 2 });
      const ahead = both(DAY_MS, [99, 99]);
      const many = [one(A, 1), one(A, 2), one(A, 3), one(A, 4)];
      expect(await merge(replica, many, { reports: ahead }, AP_PASTS)).toBe('merged');
      const refused = 'MERGED_KEYS_FULL not-applied';
      expect(await merge(replica, [one(A, 5)], { reports: ahead }, AP_PASTS)).toBe(refused);
    });

    test('from when it is merged, however long ago it was made', async () => {
      const left = async (version: number, timeMs: number): Promise<number> => {
        const replica = await Replica.start(bounds);
        const made = { members: MEMBERS, reports: [], deltas: [packDelta(one(A, 1))] };
        await replica.run({ wallMs: 50_000, merge: made }, version);
        await merge(replica, [], { reports: both(timeMs) }, version);
        return kept(replica);
      };
      expect(await left(AP_PASTS, 50_150)).toBe(1);
      expect(await left(AP_PASTS, 50_151)).toBe(0);
      expect(await left(AP_PASTS - 1, 50_150)).toBe(0);
    });

    test('and calls of one kind are forgotten however many of the other kind there are', async () => {
      const left = async (version: number): Promise<number> => {
        const replica = await Replica.start(bounds);
        for (let at = 1; at <= 5; at += 1) {
          const many = Array.from({ length: 1024 }, (_, n) => one(A, (at - 1) * 1024 + n + 1));
          await merge(replica, many, {}, version);
        }
        await merge(replica, [one(B, 1, { isNamed: true })], {}, version);
        await merge(replica, [], { reports: both(DAY_MS, [5120, 1]) }, version);
        return kept(replica);
      };
      expect(await left(AP_PASTS)).toBe(1024);
      expect(await left(AP_PASTS - 1)).toBe(1025);
    });

    test('and there is room again also when each entry brings more', async () => {
      const replica = await Replica.start({ ...bounds, mergedKeysMax: 2 });
      await merge(replica, [one(A, 1), one(A, 2)], { reports: both(0) });
      const more = { reports: both(DAY_MS, [2, 0]) };
      expect(await merge(replica, [one(A, 3)], more)).toBe('MERGED_KEYS_FULL not-applied');
      expect(await merge(replica, [one(A, 3)], more)).toBe('merged');
      expect([view(replica, 'n'), through(replica)]).toEqual([3, { a: 3, b: 0 }]);
    });
  });
});

describe('an escrow counter', () => {
  const reports = [report(A, 'n1.1'), report(B, 'n2.1')];
  const rights = (replica: Replica): number[] => {
    const found = replica.machine.get(bytes('_cells/stock'), null);
    const cell = found && Cell.decode(found.value);
    return [A, B].map((origin) => cell?.rightsOf(origin) ?? 0);
  };

  test('splits what is added among the queues that the members have, and is never below 0', async () => {
    const replica = await Replica.start();
    const old = 'd'.repeat(16);
    await merge(replica, [], { reports: [report(old, 'n1.1'), report('e'.repeat(16), 'n9.1')] });
    await merge(replica, [delta(A, 1, [['stock', escrow('add', 5)]])], { reports });
    expect([view(replica, 'stock'), rights(replica)]).toEqual([5, [3, 2]]);
    await merge(replica, [delta(B, 1, [['stock', escrow('take', 3)]])]);
    expect([view(replica, 'stock'), rights(replica)]).toEqual([5, [3, 2]]);
    await merge(replica, [delta(B, 2, [['stock', escrow('take', 2)]])]);
    expect([view(replica, 'stock'), rights(replica)]).toEqual([3, [3, 0]]);
  });

  test('gives no rights for an addition that was made twice under one key', async () => {
    const replica = await Replica.start();
    const key = 'restock';
    const twice = [A, B].map((o) => delta(o, 1, [['stock', escrow('add', 10)]], { key }));
    await merge(replica, twice, { reports });
    expect([view(replica, 'stock'), rights(replica)]).toEqual([10, [5, 5]]);
  });
});

test('a snapshot and a restart have all that is known of merges', async () => {
  const replica = await Replica.start();
  await merge(replica, [one(A, 1), one(B, 1)], { reports: [report(A, 'n1.1', 1, 7)] });
  const { stateHash } = replica.machine;
  const before = replica.machine.origins();
  await replica.restart();
  expect(replica.machine.origins()).toEqual(before);
  expect(before).toContainEqual({ origin: A, member: 'n1.1', sequence: 1, clearedMs: 7 });
  await replica.restart(0);
  expect(replica.machine.stateHash).toBe(stateHash);
  expect(replica.machine.origins()).toEqual(before);
});
