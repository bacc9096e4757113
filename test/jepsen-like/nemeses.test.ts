import { describe, expect, test, vi } from 'vitest';
import type { End } from '../../jepsen-like/cluster/ends.js';
import { clockDrift, clockJump } from '../../jepsen-like/nemeses/clock.js';
import { diskFull, diskSyncError } from '../../jepsen-like/nemeses/disk.js';
import { untilServed } from '../../jepsen-like/nemeses/kill.js';
import { memberAdd } from '../../jepsen-like/nemeses/members.js';
import { chooseNemeses } from '../../jepsen-like/nemeses/nemeses.js';
import type { Nemesis, Stage } from '../../jepsen-like/nemeses/nemesis.js';
import { briefSuite } from '../../jepsen-like/suite.js';
import { seededRandom } from '../../src/cluster/harness.js';

interface Told {
  readonly counted: string[];
  readonly missed: string[];
  readonly faults: { readonly fault: string; readonly nodes: readonly string[] }[];
}

/** Plays an episode on replicas that do as `system` says. */
async function play({ episode }: Pick<Nemesis, 'episode'>, system: object): Promise<Told> {
  const told: Told = { counted: [], missed: [], faults: [] };
  const common = {
    names: ['n1', 'n2', 'n3'],
    running: ['n1', 'n2', 'n3'],
    answering: async () => {},
    disk: () => ({ set: () => {} }),
    clock: () => ({ set: () => {}, environment: () => ({}) }),
    machine: { fakeTimeLibrary: '/lib' },
    cluster: { replica: () => ({ running: true }) },
    stop: async () => {},
    start: async () => {},
  };
  const begin = (fault: string, nodes: readonly string[]) => {
    told.faults.push({ fault, nodes });
    return { mends: () => {}, end: () => {} };
  };
  const stage = {
    ...{ system: { ...common, ...system }, faults: { begin }, random: seededRandom(1), holdMs: 1 },
    ...{ signal: new AbortController().signal, sleep: async () => {} },
    db: { cluster: { settled: async () => ({ members: { members: [] } }) } },
    take: (count: number) => common.names.slice(0, count),
    count: (what: string) => told.counted.push(what),
    missed: (what: string) => told.missed.push(what),
    endsWithPeriod: () => {},
  };
  await episode(stage as unknown as Stage);
  return told;
}

describe('a fault that came to nothing is told to have been missed', () => {
  const end: End = { code: 1, signal: null, error: 'DISK_FAILED', log: '' };
  const never = new Promise<null>(() => {});

  test.each([diskSyncError, diskFull])('$name, when the replica went on', async (nemesis) => {
    const missed = [`${nemesis.name}: the replica went on`];
    expect((await play(nemesis, { ends: () => never })).missed).toEqual(missed);
    expect((await play(nemesis, { ends: async () => null })).missed).toEqual(missed);
    const ended = await play(nemesis, { ends: async () => end });
    expect(ended.missed).toEqual([]);
    expect(ended.counted).toContain(`${nemesis.name}: the replica ended`);
  });

  test.each([clockJump, clockDrift])('$name, when the clocks do not lie', async (nemesis) => {
    const honest = await play(nemesis, { liesOnTime: () => false });
    expect(honest.missed).toEqual([expect.stringContaining('does not lie')]);
    expect((await play(nemesis, { liesOnTime: () => true })).missed).toEqual([]);
  });
});

test('a change of the members is noted for who joins and who leaves, and for nobody else', async () => {
  const asked: string[] = [];
  const told = await play(memberAdd, {
    add: async (name: string) => void asked.push(`add ${name}`),
    remove: async (name: string) => void asked.push(`remove ${name}`),
    discard: async () => {},
  });
  expect(asked).toEqual(['add n4', 'remove n1']);
  expect(told.faults).toEqual([{ fault: 'member-add', nodes: ['n4', 'n1'] }]);
});

test('that no write is served within a minute is wrong', async () => {
  const wrong: string[] = [];
  let passedMs = 0;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => passedMs);
  const stage = {
    db: { put: async () => Promise.reject(new Error('no')) },
    signal: new AbortController().signal,
    sleep: async () => {
      passedMs += 10_000;
    },
    wrong: (what: string) => wrong.push(what),
  };
  try {
    await untilServed(stage as unknown as Stage, 'kill-all');
  } finally {
    clock.mockRestore();
  }
  expect(wrong).toEqual(['kill-all: no write was served within a minute']);
});

test('the suite in brief has every nemesis in one of its parts', () => {
  const parts = briefSuite({ seed: 1, pace: 1, leaseReads: null });
  const there = new Set(parts.flatMap(({ nemesis }) => chooseNemeses(nemesis)));
  const missing = chooseNemeses('all').filter((nemesis) => !there.has(nemesis));
  expect(missing.map(({ name }) => name)).toEqual([]);
});
