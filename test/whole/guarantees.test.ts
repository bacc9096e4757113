import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BOUND_LONG_MS, BOUND_SHORT_MS, VALUE_BEFORE } from '../guarantees/probes.js';
import { writeResults } from '../guarantees/results.js';
import { GUARANTEES } from '../guarantees/rows.js';
import { type Guarantee, type Observation, PLACES, type Place } from '../guarantees/types.js';
import { PartedCluster } from './parted-cluster.js';
import { expectAllThereOnce } from './support.js';

/**
 * The table of docs/guarantees.md, demanded of five real replicas that are parted 2 | 3 under load: before
 * the cut and behind the mending everything is served, and meanwhile what the table says.
 */

const SIDES = { minority: 'isolated', majority: 'majority' } as const;
/** Bound of a whole story, on a machine that does much else. */
const STORY_MS = 300_000;
/** What is asked for right behind the cut. */
const IN_FLIGHT = 'put-in-flight';

const rows = GUARANTEES.filter((row) => row.id !== IN_FLIGHT);
const inFlight = GUARANTEES.filter((row) => row.id === IN_FLIGHT);
const all: Observation[] = [];

type Phase = 'before' | 'parted' | 'mended';

/** What was seen at a row. */
function seen(observations: readonly Observation[], row: Guarantee, place: Place): Observation[] {
  const found = observations.filter((o) => o.row === row.id && o.place === place);
  expect(found.map((o) => o.operation)).toEqual(row.operations);
  return found;
}

describe.each(PLACES)('five replicas parted 2 | 3, with the old leader in the %s', (leaderSide) => {
  const observed: Record<Phase, Observation[]> = { before: [], parted: [], mended: [] };
  let parted: PartedCluster;

  beforeAll(async () => {
    parted = await PartedCluster.start(leaderSide);
    await parted.load.acknowledgedMore(50);
    for (const place of PLACES) {
      observed.before.push(...(await parted.observe(place, rows, await parted.latest())));
    }

    const latest = await parted.latest();
    const flying = PLACES.map((place) => parted.observe(place, inFlight, latest));
    parted.cut();
    observed.parted.push(...(await Promise.all(flying)).flat());
    await parted.untilNoticed(BOUND_SHORT_MS);
    await parted.load.acknowledgedMore(50);
    const since = await parted.latest();
    const both = await Promise.all(PLACES.map((place) => parted.observe(place, rows, since)));
    observed.parted.push(...both.flat());

    await parted.heal();
    await parted.load.acknowledgedMore(50);
    for (const place of PLACES) {
      observed.mended.push(...(await parted.observe(place, rows, await parted.latest())));
    }
    all.push(...observed.parted);
  }, STORY_MS);

  afterAll(async () => {
    await parted[Symbol.asyncDispose]();
  });

  test.each(GUARANTEES)('$id: each side gives what the table says', (row) => {
    for (const place of PLACES) {
      for (const { operation, ending } of seen(observed.parted, row, place)) {
        expect({ operation, place, ending }).toEqual({ operation, place, ending: row[place] });
      }
    }
  });

  test.each(rows)(
    '$id: before the cut and behind the mending it is served to both sides',
    (row) => {
      for (const phase of ['before', 'mended'] as const) {
        for (const place of PLACES) {
          for (const { operation, ending } of seen(observed[phase], row, place)) {
            const served = { served: true };
            expect({ phase, operation, place, ending }).toEqual({
              ...{ phase, operation, place, ending: served },
            });
          }
        }
      }
    },
  );

  test.each(GUARANTEES)('$id: every answer says what it was given from', (row) => {
    for (const phase of ['before', 'parted', 'mended'] as const) {
      for (const { place, meta } of observed[phase].filter((o) => o.row === row.id)) {
        if (meta === null) continue;
        const isParted = phase === 'parted';
        const members = isParted ? parted.members[place] : Object.values(parted.members).flat();
        expect(meta.level).toBe(row.level ?? 'linearizable');
        expect(members).toContain(meta.replica);
        if (row.id !== IN_FLIGHT) expect(meta.side).toBe(isParted ? SIDES[place] : 'majority');
        expect(meta.token).toMatch(/^\d+@[0-9a-f]+$/);
        expectStaleness(row, place, phase, meta.stalenessMs);
      }
    }
  });

  test('the minority reads what was there before the cut, the majority too', () => {
    const read = [...observed.before, ...observed.parted, ...observed.mended].filter(
      ({ operation, meta }) => ['get', 'range'].includes(operation) && meta !== null,
    );
    expect(read.length).toBeGreaterThan(40);
    expect(new Set(read.map(({ value }) => value))).toEqual(new Set([VALUE_BEFORE]));
  });

  test('no side waits longer than the time limit of its calls', () => {
    const slow = [...observed.before, ...observed.parted, ...observed.mended].filter(
      ({ tookMs }) => tookMs > 10_000,
    );
    expect(slow).toEqual([]);
  });

  test('what the majority acknowledged meanwhile is on every replica behind the mending, once', async () => {
    await expectAllThereOnce(parted.cluster, await parted.load.stop(), { othersWrite: true });
  });
});

function expectStaleness(row: Guarantee, place: Place, phase: Phase, staleMs: number | null): void {
  expect(staleMs).not.toBeNull();
  const ms = staleMs ?? Number.NaN;
  expect(ms).toBeGreaterThanOrEqual(0);
  if (row.level === 'bounded') {
    expect(ms).toBeLessThanOrEqual(row.id === 'bounded' ? BOUND_LONG_MS : BOUND_SHORT_MS);
  }
  // It owns up to being old: it has not been confirmed since before the cut.
  if (phase === 'parted' && place === 'minority') expect(ms).toBeGreaterThan(BOUND_SHORT_MS);
}

describe('a watch that is on the side of the minority', () => {
  test('is silent while it is cut off, and then told everything once', async () => {
    await using parted = await PartedCluster.start('majority');
    const { minority, majority } = parted.clients;
    const heard: string[] = [];
    const watch = minority.watch({ prefix: 'news/' });
    await watch.ready;
    const listening = (async () => {
      for await (const event of watch) heard.push(`${event.key} ${event.value?.toString()}`);
    })();
    listening.catch((error: unknown) => heard.push(String(error)));
    await majority.put('news/1', 'before');
    await parted.cluster.waitFor('the first event', async () => heard.length === 1);
    parted.cut();
    await parted.untilNoticed(BOUND_SHORT_MS);
    for (const i of [2, 3, 4]) await majority.put(`news/${i}`, 'meanwhile');
    await parted.untilNoticed(BOUND_SHORT_MS);
    expect(heard).toEqual(['news/1 before']);
    await parted.heal();
    await majority.put('news/5', 'after');
    await parted.cluster.waitFor('the last event', async () => heard.includes('news/5 after'));
    expect(heard).toEqual([
      'news/1 before',
      ...['news/2 meanwhile', 'news/3 meanwhile', 'news/4 meanwhile'],
      'news/5 after',
    ]);
    await watch.close();
    await listening;
  });
});

afterAll(() => {
  const path = process.env.GUARANTEES_RESULTS;
  if (path !== undefined && path !== '') writeResults(path, all);
});
