import { describe, expect, test } from 'vitest';
import { lookAtMachine, type Machine } from '../../jepsen-like/cluster/machine.js';
import type { System } from '../../jepsen-like/cluster/system.js';
import { Director } from '../../jepsen-like/nemeses/director.js';
import { nemesesAt } from '../../jepsen-like/nemeses/nemeses.js';
import type { Nemesis } from '../../jepsen-like/nemeses/nemesis.js';
import type { Period } from '../../jepsen-like/nemeses/schedule.js';
import type { FaultLog } from '../../jepsen-like/run/fault-log.js';
import type { Client } from '../../src/client/client.js';

function director(of: {
  readonly untilMs: number;
  readonly done: string[];
  readonly nemeses?: readonly Nemesis[];
  readonly complaints?: readonly string[];
}): Director {
  const { untilMs, done, nemeses = [], complaints = [] } = of;
  const system = {
    mend: async () => void done.push('mended'),
    recovered: async () => {
      done.push('whole');
      return null;
    },
  } as unknown as System;
  return new Director({
    ...{ system, untilMs, nemeses, faults: {} as FaultLog, db: {} as Client },
    complaints: async () => complaints,
    ...{ signal: new AbortController().signal, onPeriod: () => done.push('period') },
  });
}

function periodsOf(nemesis: Nemesis, count: number): Period[] {
  const episodes = [{ nemesis, afterMs: 0, holdMs: 1, seed: 1 }];
  return Array.from({ length: count }, () => ({ lengthMs: 1, episodes }));
}

async function directed(untilMs: number): Promise<string[]> {
  const done: string[] = [];
  const nemesis: Nemesis = {
    ...{ name: 'x', about: 'leaves something that ends later' },
    episode: async ({ endsWithPeriod }) => {
      done.push('episode');
      endsWithPeriod(() => done.push('ended'));
    },
  };
  await director({ untilMs, done }).run(periodsOf(nemesis, 2));
  return done;
}

/** @returns what is said of a nemesis whose episodes are these */
async function idleAfter(episodes: readonly Nemesis['episode'][]): Promise<string[]> {
  const rest = [...episodes];
  const nemesis: Nemesis = {
    ...{ name: 'x', about: 'does one thing after the other' },
    episode: async (stage) => rest.shift()?.(stage),
  };
  const all = director({ untilMs: Number.POSITIVE_INFINITY, done: [] });
  await all.run(periodsOf(nemesis, episodes.length));
  return all.idle;
}

test('what an episode leaves ends with its period, when all is whole again', async () => {
  const period = ['period', 'episode', 'mended', 'whole', 'ended'];
  expect(await directed(Number.POSITIVE_INFINITY)).toEqual([...period, ...period]);
});

test('no period begins when the time is up', async () => {
  expect(await directed(0)).toEqual([]);
});

const nothing: Nemesis['episode'] = async () => {};
const fault: Nemesis['episode'] = async ({ count }) => count('x');
/** A fault was begun, and came to nothing. */
const failure: Nemesis['episode'] = async ({ count, missed }) => {
  count('x');
  missed('flipped bits: nothing there');
};
const member: Nemesis['episode'] = async ({ count }) => {
  count('x');
  count('member added');
};

test('a nemesis that had its turn three times and did no harm is told', async () => {
  const told = 'nemesis x had its turn 3 times and did nothing';
  expect(await idleAfter([nothing, nothing])).toEqual([]);
  expect(await idleAfter([nothing, nothing, nothing])).toEqual([told]);
  expect(await idleAfter([failure, nothing, failure])).toEqual([
    `${told} (flipped bits: nothing there)`,
  ]);
  expect(await idleAfter([failure, fault, failure])).toEqual([]);
  expect(await idleAfter([failure, nothing, member])).toEqual([]);
});

test('clients that are not served when all is whole again end the run', async () => {
  const done: string[] = [];
  const complaints = ['no write was served'];
  const all = director({ untilMs: Number.POSITIVE_INFINITY, done, complaints });
  await all.run(periodsOf({ ...{ name: 'x', about: '' }, episode: fault }, 3));
  expect(all.problems).toEqual(complaints);
  expect(done).toEqual(['period', 'mended', 'whole']);
});

describe('an episode in whose way another one is', () => {
  const done: string[] = [];
  /** It has the network as long as its period lasts. */
  const named = (name: string): Nemesis => ({
    ...{ name, about: '', claims: ['network'] },
    episode: async ({ count, sleep }) => {
      done.push(name);
      count(name);
      await sleep(1);
    },
  });
  const [a, b] = [named('a'), named('b')];
  const nemeses = [a, b];
  const free: Nemesis = { ...named('free'), claims: [] };
  const both: Period = {
    lengthMs: 1,
    episodes: nemeses.map((nemesis) => ({ nemesis, afterMs: 0, holdMs: 1, seed: 1 })),
  };

  async function conducted(
    periods: readonly Period[],
    wanted: readonly Nemesis[],
  ): Promise<Director> {
    done.length = 0;
    const all = director({ untilMs: Number.POSITIVE_INFINITY, done: [], nemeses: wanted });
    await all.run(periods);
    return all;
  }

  test('gets its turn in a later period, when nothing there is in its way', async () => {
    const all = await conducted([both, ...periodsOf(free, 1)], [a, b, free]);
    expect(done.toSorted()).toEqual(['a', 'b', 'free']);
    expect([all.skipped, all.withoutTurn, all.turnless]).toEqual([0, [], []]);
  });

  test('gets it alone in the end, when the run was long enough for all', async () => {
    const all = await conducted([both, ...periodsOf(a, 1)], nemeses);
    expect(done).toEqual(['a', 'a', 'b']);
    expect([all.withoutTurn, all.turnless]).toEqual([[], []]);
  });

  test('is told to have had none, when the run was too short', async () => {
    const all = await conducted([both], [a, b, free]);
    expect(all.withoutTurn).toEqual(['b', 'free']);
    expect(all.skipped).toBe(1);
    // Nobody could expect that.
    expect(all.turnless).toEqual([]);
  });
});

const machine: Machine = { ...lookAtMachine(), fakeTimeLibrary: null };
const place = { machine, network: 'proxies', nodes: 3 } as const;

test('a nemesis that is named and cannot be had is an error, and one of many is told', () => {
  expect(() => nemesesAt('kill-all,clock-jump', place)).toThrow('no nemesis clock-jump here');
  expect(() => nemesesAt('partition-ring', place)).toThrow('it needs 4 replicas');
  expect(() => nemesesAt('clock', place)).toThrow('none of these nemeses can be had here');
  const there = nemesesAt('partition,clock', place);
  expect(there.nemeses.map(({ name }) => name)).toContain('partition-halves');
  expect(there.nemeses.map(({ name }) => name)).not.toContain('partition-ring');
  expect(there.leftOut.map((text) => text.split(' ')[0])).toEqual([
    ...['partition-ring', 'clock-jump', 'clock-strobe', 'clock-drift'],
  ]);
  const five = { ...place, nodes: 5 };
  expect(nemesesAt('partition-ring', five).nemeses).toHaveLength(1);
});
