import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asBalsaError } from '../../src/base/errors.js';
import { op } from '../../src/client/client.js';
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
/** Longer than an election takes; the lease of a lock. */
const LOCK_MS = 6000;
/** What is asked for right behind the cut. */
const IN_FLIGHT = new Set(['put-in-flight', 'call-in-flight']);

/** Their answers are of things that say nothing of a state. */
const WITHOUT_META = ['submit', 'job status'];

const rows = GUARANTEES.filter((row) => !IN_FLIGHT.has(row.id));
const inFlight = GUARANTEES.filter((row) => IN_FLIGHT.has(row.id));
const all: Observation[] = [];

type Phase = 'before' | 'parted' | 'mended';

/** What was seen at a row. */
function seen(observations: readonly Observation[], row: Guarantee, place: Place): Observation[] {
  const found = observations.filter((o) => o.row === row.id && o.place === place);
  expect(found.map((o) => o.operation)).toEqual(row.operations);
  return found;
}

let shared: PartedCluster | null = null;
afterAll(() => shared?.[Symbol.asyncDispose]());

/** One cluster for all that comes behind the table, whole at the beginning of each. */
async function partedAgain(leaderSide: Place): Promise<PartedCluster> {
  shared ??= await PartedCluster.start(leaderSide);
  await shared.heal();
  await shared.takeSides(leaderSide);
  return shared;
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
    // The last one is used again.
    if (leaderSide === PLACES.at(-1)) shared = parted;
    else await parted[Symbol.asyncDispose]();
  });

  test.each(GUARANTEES)('$id: each side gives what the table says', (row) => {
    for (const place of PLACES) {
      for (const { operation, ending } of seen(observed.parted, row, place)) {
        expect({ operation, place, ending }).toEqual({ operation, place, ending: row[place] });
      }
    }
  });

  test.each(rows)('$id: before the cut and behind the mending both sides give the same', (row) => {
    for (const phase of ['before', 'mended'] as const) {
      for (const place of PLACES) {
        for (const { operation, ending } of seen(observed[phase], row, place)) {
          expect({ phase, operation, place, ending }).toEqual({
            ...{ phase, operation, place, ending: row.majority },
          });
        }
      }
    }
  });

  test.each(GUARANTEES)('$id: every answer says what it was given from', (row) => {
    for (const phase of ['before', 'parted', 'mended'] as const) {
      for (const { place, meta, operation, ending } of observed[phase].filter(
        (o) => o.row === row.id,
      )) {
        if (meta === null) {
          if (ending.served) expect(WITHOUT_META).toContain(operation);
          continue;
        }
        const isParted = phase === 'parted';
        const members = isParted ? parted.members[place] : Object.values(parted.members).flat();
        expect(meta.level).toBe(row.level ?? 'linearizable');
        expect(members).toContain(meta.replica);
        if (!IN_FLIGHT.has(row.id)) {
          const side = isParted ? SIDES[place] : 'majority';
          // Nobody waits with the answer to a call until the replica has heard again that it is with the majority.
          const known = row.operations.includes('call') && side === 'majority';
          expect(known ? [side, 'unknown'] : [side]).toContain(meta.side);
        }
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

  test('a call that was on its way when the cable was cut counts once, asked again under its key', async () => {
    const { clients, keys } = parted;
    for (const place of PLACES) {
      const key = keys.get(`call-in-flight ${place}`) ?? '';
      const again = (): Promise<{ readonly repeated: boolean }> =>
        clients[place].call('note', key, { idempotencyKey: key, timeoutMs: 20_000 });
      const { repeated } = await again();
      if (place === 'majority') expect(repeated).toBe(true);
      expect((await again()).repeated).toBe(true);
      expect((await clients[place].get(key)).value?.toString()).toBe('1');
    }
  });

  test('what ap calls of both sides counted is merged, once', async () => {
    const { clients, keys, cluster } = parted;
    for (const { id } of GUARANTEES.filter((row) => row.level === 'ap-local')) {
      for (const place of PLACES) {
        const key = `_cells/${keys.get(`${id} ${place}`)}`;
        if (!id.startsWith('call-')) continue;
        await cluster.waitFor(`${id} to be merged`, async () => {
          return (await clients.majority.get(key)).value !== undefined;
        });
        const { value } = await clients.majority.get(key);
        expect(JSON.parse(value?.toString() ?? 'null')).toEqual({ type: 'counter', value: '1' });
      }
    }
  });

  test('no side waits longer than the time limit of its calls', () => {
    const slow = [...observed.before, ...observed.parted, ...observed.mended].filter(
      ({ tookMs }) => tookMs > 15_000,
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
    const parted = await partedAgain('majority');
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

describe('a client that stays at one replica of the minority', () => {
  test('is told NO_QUORUM by what needs a leader, and served what does not', async () => {
    const parted = await partedAgain('majority');
    const [name = ''] = parted.members.minority;
    await using db = await parted.cluster.connectTo(name, { timeoutMs: 3000 });
    parted.cut();
    await parted.untilNoticed(BOUND_SHORT_MS);
    const asked = [
      db.get('kept'),
      db.range({ prefix: 'kept' }).next(),
      db.count({ prefix: 'kept' }),
      db.info(),
      db.watch({ prefix: 'kept' }).ready,
    ];
    const codes = asked.map((call) =>
      Promise.resolve(call).then(
        () => 'served',
        (error: unknown) => asBalsaError(error).code,
      ),
    );
    expect(new Set(await Promise.all(codes))).toEqual(new Set(['NO_QUORUM']));
    const { value, meta } = await db.get('kept', { consistency: 'any' });
    expect([value?.toString(), meta.replica, meta.side]).toEqual([VALUE_BEFORE, name, 'isolated']);
    await parted.heal();
  });
});

describe('a lock whose holder is cut off', () => {
  test('is lost by the clock of its holder before another one has it, with a higher fencing token', async () => {
    const parted = await partedAgain('minority');
    const { minority, majority } = parted.clients;
    const events: string[] = [];
    const old = await minority.lock('ledger', { ttlMs: LOCK_MS });
    old.signal.addEventListener('abort', () => events.push('lost'));
    old.check();
    parted.cut();
    const next = await majority.lock('ledger', { ttlMs: LOCK_MS, timeoutMs: 60_000 });
    events.push('taken');

    expect(events).toEqual(['lost', 'taken']);
    expect(old.held).toBe(false);
    expect(() => old.check()).toThrow(expect.objectContaining({ code: 'LOCK_LOST' }));
    expect(next.fencingToken).toBeGreaterThan(old.fencingToken);

    await parted.heal();
    const late = await minority.txn().when(old.condition).do(op.put('fenced', 'late')).commit();
    const due = await majority.txn().when(next.condition).do(op.put('fenced', 'due')).commit();
    expect([late.succeeded, due.succeeded]).toEqual([false, true]);
    await next.release();
    await using again = await minority.lock('ledger', { ttlMs: LOCK_MS });
    expect(again.fencingToken).toBeGreaterThan(next.fencingToken);
  });

  test('keeps its lock when the cable is mended in time', async () => {
    const parted = await partedAgain('majority');
    await using lock = await parted.clients.minority.lock('ledger', { ttlMs: 60_000 });
    parted.cut();
    await parted.untilNoticed(BOUND_SHORT_MS);
    expect(lock.held).toBe(true);
    await parted.heal();
    const fenced = parted.clients.minority.txn().when(lock.condition).do(op.put('f', 'x'));
    expect((await fenced.commit()).succeeded).toBe(true);
    expect(await parted.clients.majority.tryLock('ledger')).toBeNull();
  });
});

afterAll(() => {
  const path = process.env.GUARANTEES_RESULTS;
  if (path !== undefined && path !== '') writeResults(path, all);
});
